//! Every byte flipped: `verify` finds it, and a call gives the right answer or an error.
//!
//! The first tier flips every `STRIDE`-th byte, others for each `DRIFT_SEED`; `DRIFT_FLIPS=all` flips each.

use crate::seed;
use crate::sound::{Files, open, restructured, sound, store, vector};
use drift_core::db::Collection;
use drift_core::error::{ErrorKind, Result};
use drift_core::storage::MemoryBackend;
use drift_core::types::predicate::Test;
use drift_core::types::{Hits, Ids, Include, Missing, Predicate, Rows, SearchOptions, never_interrupt};
use std::sync::Arc;

/// Bytes from one flip to the next in the first tier: some thousand flips, which take some seconds.
const STRIDE: usize = 17;

/// Fails unless the answers are the true ones, or damage is reported; whether they are.
fn check(backend: &MemoryBackend, truth: &Answers, what: &str) -> bool {
    match open(backend).and_then(|collection| ask(&collection)) {
        Ok(answers) => assert_eq!(answers, *truth, "{what}"),
        Err(error) if is_damage(error.kind()) => return false,
        Err(error) => panic!("{what}: {error}"),
    }
    true
}

/// Whether opening or verifying tells of damage.
fn is_found(backend: &MemoryBackend) -> bool {
    match open(backend) {
        Ok(collection) => !collection.verify().expect("a report").problems.is_empty(),
        Err(error) => is_damage(error.kind()),
    }
}

/// Everything that can be asked.
#[derive(Debug, PartialEq)]
struct Answers {
    ids: Ids,
    rows: Rows,
    count: u64,
    exact: Hits,
    near: Hits,
}

fn ask(collection: &Collection) -> Result<Answers> {
    let ids = collection.ids()?;
    let rows = collection.get(&ids, Missing::Error, &Include::All)?;
    let starts = Predicate::Test("name".to_owned(), Test::StartsWith("row 1".to_owned()));
    let count = collection.count(&Arc::new(starts))?;
    let search = |exact| {
        let options = SearchOptions { k: 60, exact, include: Include::All, ..SearchOptions::default() };
        collection.search(&[vector(5), vector(50)].concat(), &options, &never_interrupt)
    };
    Ok(Answers { exact: search(true)?, near: search(false)?, ids, rows, count })
}

#[allow(clippy::disallowed_methods)] // The harness is told by the environment what to run.
fn step_and_start() -> (usize, usize) {
    let all = std::env::var("DRIFT_FLIPS").is_ok_and(|flips| flips == "all");
    if all { (1, 0) } else { (STRIDE, seed() as usize % STRIDE) }
}

fn is_damage(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Corrupt | ErrorKind::UnsupportedFormat)
}

/// Flips bytes of every file.
fn flip(files: &Files) {
    let truth = ask(&open(&store(files).0).expect("open")).expect("answers");
    assert!(!is_found(&store(files).0), "the sound database verifies");
    let (step, start) = step_and_start();
    let (mut flips, mut total, mut harmless) = (0, 0, 0);
    for at in 0..files.len() {
        let length = files[at].1.len();
        for offset in (0..length).filter(|offset| (total + offset) % step == start) {
            let mut damaged = files.clone();
            damaged[at].1[offset] ^= 1 << (offset % 8);
            let what = format!("{}: byte {offset} of {length}", files[at].0);
            let (reading, writing) = store(&damaged);
            assert!(is_found(&reading), "{what}: verify says nothing");
            let same = check(&reading, &truth, &what) & check(&writing, &truth, &what);
            harmless += usize::from(same);
            flips += 1;
        }
        total += length;
    }
    println!("{flips} of {total} bytes flipped, each found; {harmless} of them change no answer");
    assert!(flips >= total / step, "{flips} flips");
}

#[test]
fn every_flipped_byte_is_found_and_changes_no_answer() {
    flip(&sound());
}

#[test]
fn every_flipped_byte_of_moved_rows_is_found_and_changes_no_answer() {
    flip(&restructured());
}
