//! Every byte of a small database flipped: `verify` finds it, and a call gives the right answer or an error.
//!
//! The first tier flips every `STRIDE`-th byte, another one for each `DRIFT_SEED`; `DRIFT_FLIPS=all` flips each.

use drift_core::clock::Components;
use drift_core::config::{Config, Durability};
use drift_core::db::{Collection, Database};
use drift_core::error::{ErrorKind, Result};
use drift_core::storage::{Backend, MemoryBackend};
use drift_core::types::{Hits, Ids, Metric, Missing, Schema, SearchOptions, Vectors, never_interrupt};
use std::sync::Arc;

const DIM: usize = 4;

/// Bytes from one flip to the next in the first tier: some thousand flips, which take some seconds.
const STRIDE: usize = 17;

type Files = Vec<(String, Vec<u8>)>;

fn vector(id: i64) -> [f32; DIM] {
    std::array::from_fn(|at| ((id as u64 * 37 + at as u64 * 11) % 64) as f32 / 16.0 + at as f32)
}

fn config() -> Config {
    Config { durability: Durability::Os, memtable_rows_max: 16, frozen_memtables_max: 64, ..Config::default() }
}

fn open(backend: &MemoryBackend) -> Result<Collection> {
    let config = Config { read_only: backend.read_only(), ..config() };
    let database = Database::open_on(Arc::new(backend.clone()), config, Components::simulated(2))?;
    database.open_collection("rows")
}

fn upsert(collection: &Collection, ids: &[i64]) {
    let values: Vec<f32> = ids.iter().flat_map(|id| vector(*id)).collect();
    collection.upsert(&Ids::Int(ids.to_vec()), Vectors::F32(&values)).expect("upsert");
}

/// A closed database with every kind of file: segments, buckets, tombstones, a bitstore, logs, manifests, a catalog.
fn sound() -> Files {
    let backend = MemoryBackend::open("", true, false).expect("a store in memory");
    let components = Components::simulated(1);
    let database = Database::open_on(Arc::new(backend.clone()), config(), components).expect("open");
    let schema = Schema::new(DIM, Metric::L2, drift_core::types::IdType::Int).expect("a schema");
    let collection = database.create_collection("rows", schema, false).expect("create");
    upsert(&collection, &(0..40).collect::<Vec<_>>());
    collection.flush().expect("flush");
    collection.delete(&Ids::Int(vec![3, 7])).expect("delete");
    upsert(&collection, &[5, 41, 42]);
    collection.flush().expect("flush");
    upsert(&collection, &[50, 51, 9]);
    collection.delete(&Ids::Int(vec![8])).expect("delete");
    database.close().expect("close");
    let names = backend.list("").expect("list");
    let files: Files = names.into_iter().map(|name| (name.clone(), backend.read(&name).expect("read"))).collect();
    for kind in ["segments", "buckets", "tombstones", "bitstore", "wal", "manifest", "catalog"] {
        assert!(files.iter().any(|(name, _)| name.contains(kind)), "no file of {kind}");
    }
    files
}

/// A store of these files, to read and to write.
fn store(files: &Files) -> (MemoryBackend, MemoryBackend) {
    const NAME: &str = "damage";
    let writing = MemoryBackend::open(NAME, true, false).expect("a store in memory");
    files.iter().for_each(|(name, bytes)| writing.put_if_absent(name, bytes).expect("put"));
    let reading = MemoryBackend::open(NAME, false, true).expect("the same store");
    MemoryBackend::forget(NAME);
    (reading, writing)
}

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
    vectors: Vec<f32>,
    exact: Hits,
    near: Hits,
}

fn ask(collection: &Collection) -> Result<Answers> {
    let ids = collection.ids()?;
    let vectors = collection.get(&ids, Missing::Error)?.vectors;
    let search = |exact| {
        let options = SearchOptions { k: 60, exact, ..SearchOptions::default() };
        collection.search(&[vector(5), vector(50)].concat(), &options, &never_interrupt)
    };
    Ok(Answers { exact: search(true)?, near: search(false)?, ids, vectors })
}

#[allow(clippy::disallowed_methods)] // The harness is told by the environment what to run.
fn step_and_start() -> (usize, usize) {
    let seed = std::env::var("DRIFT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    if std::env::var("DRIFT_FLIPS").is_ok_and(|flips| flips == "all") { (1, 0) } else { (STRIDE, seed % STRIDE) }
}

fn is_damage(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Corrupt | ErrorKind::UnsupportedFormat)
}

#[test]
fn every_flipped_byte_is_found_and_changes_no_answer() {
    let files = sound();
    let truth = ask(&open(&store(&files).0).expect("open")).expect("answers");
    assert!(!is_found(&store(&files).0), "the sound database verifies");
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
