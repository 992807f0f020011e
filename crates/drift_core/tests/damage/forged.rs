//! Files that are wrong though every checksum is right: what a parser relies on, it must check itself.
//!
//! A case follows from its number: some bytes of the content of one file are changed, cut out or put in, all checksums
//! are made right, and the database is opened in every way and asked everything. Answers may be wrong, for the bytes are;
//! but nothing panics, hangs or allocates what the file does not hold. `DRIFT_FORGED` says how many cases; `corpus.txt`
//! is replayed by every run.

use crate::sound::{Files, config, restructured, sound, store, vector};
use crate::{number_of, seed};
use drift_core::clock::{Components, Rng, rng};
use drift_core::config::{Config, Recovery};
use drift_core::db::Database;
use drift_core::error::Result;
use drift_core::format::{FileId, HEADER_BYTES, checksum, checksum_parts};
use drift_core::storage::MemoryBackend;
use drift_core::types::{Ids, Include, Missing, SearchOptions, Vectors, never_interrupt};
use rand::RngExt;
use std::sync::Arc;

/// Cases of the first tier: some seconds.
const CASES: u64 = 3_000;

/// Bytes of a page of a segment, of its trailer, of the preamble of a log and of the head of a frame.
const PAGE: usize = 4_096;
const TRAILER: usize = 32;
const PREAMBLE: usize = 96;
const HEAD: usize = 32;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn set(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Identity of a file, from its header.
fn identity(bytes: &[u8]) -> FileId {
    FileId(u128::from_le_bytes(bytes[32..48].try_into().expect("sixteen bytes")))
}

/// Changes `bytes`, keeping or changing their number.
fn mutate(bytes: &mut Vec<u8>, keep_length: bool, rng: &mut Rng) {
    const TELLING: [u64; 8] = [0, 1, 2, 0x7fff_ffff, 0xffff_ffff, u64::MAX, 1 << 40, i64::MIN as u64];
    for _ in 0..rng.random_range(1..4) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..if keep_length { 4 } else { 6 }) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at] = rng.random(),
            2 | 3 => {
                let value = TELLING[rng.random_range(0..TELLING.len())].to_le_bytes();
                let at = at / 4 * 4;
                let count = (if rng.random() { 4 } else { 8 }).min(bytes.len() - at);
                set(bytes, at, &value[..count]);
            }
            4 => {
                let end = (at + rng.random_range(1..40)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let more: Vec<u8> = (0..rng.random_range(1..40)).map(|_| rng.random()).collect();
                bytes.splice(at..at, more);
            }
        }
    }
}

/// A sealed file with another body.
fn forge_sealed(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut body = bytes[HEADER_BYTES + 8..bytes.len() - 4].to_vec();
    mutate(&mut body, false, rng);
    let mut forged = bytes[..HEADER_BYTES].to_vec();
    forged.extend_from_slice(&(body.len() as u64).to_le_bytes());
    forged.extend_from_slice(&body);
    let sum = checksum(identity(bytes), HEADER_BYTES as u64, &forged[HEADER_BYTES..]);
    forged.extend_from_slice(&sum.to_le_bytes());
    forged
}

/// A log with another preamble or another frame.
fn forge_log(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let id = identity(bytes);
    let mut frames = vec![];
    let mut at = PREAMBLE;
    while at + HEAD <= bytes.len() {
        frames.push(at);
        at += HEAD + (u32_at(bytes, at) as usize).next_multiple_of(8);
    }
    let mut forged = bytes.to_vec();
    let chosen = rng.random_range(0..=frames.len());
    if chosen == frames.len() {
        let mut preamble = forged[HEADER_BYTES..PREAMBLE - 4].to_vec();
        mutate(&mut preamble, true, rng);
        set(&mut forged, HEADER_BYTES, &preamble);
        let sum = checksum(id, HEADER_BYTES as u64, &preamble);
        set(&mut forged, PREAMBLE - 4, &sum.to_le_bytes());
        return forged;
    }
    let start = frames[chosen];
    let end = frames.get(chosen + 1).copied().unwrap_or(bytes.len());
    let mut frame = bytes[start..end].to_vec();
    let mut rest = frame.split_off(8);
    mutate(&mut rest, rng.random(), rng);
    rest.resize(rest.len().max(HEAD - 8).next_multiple_of(8), 0);
    let length = (rest.len() + 8 - HEAD) as u32;
    let length = length.saturating_sub(rng.random_range(0..8)).to_le_bytes();
    let sum = checksum_parts(id, start as u64, &[&length, &rest]).to_le_bytes();
    let tail = forged.split_off(end);
    forged.truncate(start);
    [forged, length.to_vec(), sum.to_vec(), rest, tail].concat()
}

/// A segment with other pages, or another footer.
fn forge_segment(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let id = identity(bytes);
    let trailer = bytes.len() - TRAILER;
    let offset = u64_at(bytes, trailer) as usize;
    let mut pages = bytes[..offset].to_vec();
    let length = u64_at(bytes, offset) as usize;
    let mut message = bytes[offset + 8..offset + 8 + length].to_vec();
    if rng.random_ratio(1, 2) {
        // The manifest has the length of the file: another one would be refused before the footer is read.
        mutate(&mut message, true, rng);
    } else {
        let first = PAGE * rng.random_range(0..offset / PAGE);
        let mut page = pages[first..first + PAGE].to_vec();
        mutate(&mut page, true, rng);
        set(&mut pages, first, &page);
    }
    let mut footer = (message.len() as u64).to_le_bytes().to_vec();
    footer.extend_from_slice(&message);
    for (at, page) in pages.chunks(PAGE).enumerate() {
        footer.extend_from_slice(&checksum(id, (at * PAGE) as u64, page).to_le_bytes());
    }
    let mut end = bytes[trailer..].to_vec();
    set(&mut end, 8, &(footer.len() as u64).to_le_bytes());
    set(&mut end, 24, &checksum(id, offset as u64, &footer).to_le_bytes());
    let place = (offset + footer.len()) as u64;
    let sum = checksum(id, place, &end[..28]);
    set(&mut end, 28, &sum.to_le_bytes());
    [pages, footer, end].concat()
}

fn forge(name: &str, bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    match name {
        _ if name.contains("/wal/") => forge_log(bytes, rng),
        _ if name.contains("/segments/") => forge_segment(bytes, rng),
        _ => forge_sealed(bytes, rng),
    }
}

/// Asks everything; errors are answers.
fn ask(backend: &MemoryBackend, recovery: Recovery, read_only: bool) -> Result<()> {
    let config = Config { recovery, read_only, ..config() };
    let database = Database::open_on(Arc::new(backend.clone()), config, Components::simulated(2))?;
    for name in database.collections()? {
        let collection = database.open_collection(&name)?;
        let _ = collection.verify();
        let _ = collection.ids().and_then(|ids| collection.get(&ids, Missing::Error, &Include::All));
        for exact in [true, false] {
            let options = SearchOptions { k: 60, exact, ..SearchOptions::default() };
            let _ = collection.search(&vector(5), &options, &never_interrupt);
        }
        if !read_only {
            let _ = collection.upsert(&Ids::Int(vec![5, 99]), Vectors::F32(&[vector(5), vector(99)].concat()), None);
            let _ = collection.flush();
            let _ = collection.run_maintenance();
            let _ = collection.optimize();
            let _ = collection.repair();
        }
    }
    database.close()
}

/// Runs a case; whether the forged database opens and answers.
fn run(files: &Files, number: u64) -> bool {
    let mut rng = rng(number);
    let mut forged = files.clone();
    let at = loop {
        let at = rng.random_range(0..files.len());
        if !files[at].1.is_empty() {
            break at;
        }
    };
    forged[at].1 = forge(&files[at].0, &files[at].1, &mut rng);
    let outcome = std::panic::catch_unwind(|| {
        let answers = ask(&store(&forged).0, Recovery::Strict, true).is_ok();
        let _ = ask(&store(&forged).1, Recovery::Strict, false);
        let _ = ask(&store(&forged).1, Recovery::Salvage, false);
        answers
    });
    outcome.unwrap_or_else(|_| panic!("case {number} forges {}: add it to corpus.txt", files[at].0))
}

#[test]
fn no_forged_file_makes_a_reader_panic() {
    let (usual, moved) = (sound(), restructured());
    let corpus = include_str!("corpus.txt").lines().filter(|line| !line.starts_with('#'));
    let corpus: Vec<u64> = corpus.map(|line| line.parse().expect("a number")).collect();
    let cases = number_of("DRIFT_FORGED", CASES);
    let first = seed() << 32;
    let (mut count, mut opened) = (0, 0);
    for number in corpus.into_iter().chain(first..first + cases) {
        // One in four; in the corpus there is none of them yet.
        let files = if matches!(number % 8, 4 | 6) { &moved } else { &usual };
        opened += u64::from(run(files, number));
        count += 1;
    }
    println!("DRIFT_SEED={}: {count} forged files, {opened} of them open", seed());
    assert!(opened > 0 && opened < count, "checksums are right, contents are not");
}
