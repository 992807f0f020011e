//! Eight threads write, delete and read the same ids while loads and jobs run all the time: for every id there is an order of the
//! calls, within the times that they took, in which each read finds what the last write before it left.
//!
//! A write gives its id a version that no other has, so a read says which write it saw. The order is searched for by
//! Wing and Gong's method (1993) with Lowe's memory of states seen (2017), id by id. `DRIFT_HISTORIES` and
//! `DRIFT_HISTORY_CALLS` make it as long as one likes. What is drawn follows from `DRIFT_SEED`; how threads run does not.

use drift_core::clock::{self, Components, Rng};
use drift_core::config::{Config, Durability};
use drift_core::db::{Collection, Database};
use drift_core::ingest::source::{BatchVectors, MemorySource, RowBatch};
use drift_core::types::{
    HitIds, IdType, Ids, Include, Metric, Missing, Schema, SearchOptions, Vectors, never_interrupt,
};
use rand::RngExt;
use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const THREADS: usize = 8;
const IDS: i64 = 24;
const DIM: usize = 8;

/// Rows of a load, and how many steps of the clock go by from one to the next: some ten calls of each thread.
const LOAD_ROWS: usize = 6;
const LOAD_EVERY: u64 = 160;

/// One call on one id, and when it began and ended, in steps of a clock that all threads share.
#[derive(Clone, Copy, Debug)]
struct Call {
    id: i64,
    began: u64,
    ended: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The id has this version from now on; none: it is deleted.
    Write(Option<u64>),
    /// The id has this version; none: it is not there.
    Read(Option<u64>),
}

fn vector(id: i64, version: u64) -> [f32; DIM] {
    std::array::from_fn(|at| match at {
        0 => id as f32,
        1 => version as f32,
        _ => ((id as u64 * 37 + version * 101 + at as u64 * 11) % 64) as f32 / 16.0,
    })
}

#[allow(clippy::disallowed_methods)] // The harness is told by the environment what to run.
fn number_of(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => default,
    }
}

/// Whether the calls on one id have an order: each in turn may be the next if no other one ended before it began.
fn has_order(calls: &[Call]) -> bool {
    let mut calls = calls.to_vec();
    calls.sort_unstable_by_key(|call| call.began);
    // Places of calls taken, and the version after them. Calls before `base` are all taken.
    let mut stack = vec![(0usize, Vec::<usize>::new(), None::<u64>)];
    let mut seen = HashSet::new();
    while let Some((base, taken, version)) = stack.pop() {
        if base == calls.len() {
            return true;
        }
        if !seen.insert((base, taken.clone(), version)) {
            continue;
        }
        let mut earliest_end = u64::MAX;
        for (at, call) in calls.iter().enumerate().skip(base) {
            if taken.contains(&at) {
                continue;
            }
            if call.began > earliest_end {
                break;
            }
            earliest_end = earliest_end.min(call.ended);
            let after = match call.kind {
                Kind::Read(found) if found != version => continue,
                Kind::Read(_) => version,
                Kind::Write(written) => written,
            };
            let (mut base, mut taken) = (base, taken.clone());
            taken.push(at);
            taken.sort_unstable();
            while taken.first() == Some(&base) {
                taken.remove(0);
                base += 1;
            }
            stack.push((base, taken, after));
        }
    }
    false
}

/// What one thread does.
fn work(collection: &Collection, mut rng: Rng, clock: &AtomicU64, versions: &AtomicU64, calls: u64) -> Vec<Call> {
    let now = || clock.fetch_add(1, Ordering::SeqCst);
    let mut done = Vec::new();
    for _ in 0..calls {
        let id = rng.random_range(0..IDS);
        let ids = Ids::Int(vec![id]);
        match rng.random_range(0..10) {
            0..4 => {
                let version = versions.fetch_add(1, Ordering::SeqCst);
                let began = now();
                collection.upsert(&ids, Vectors::F32(&vector(id, version)), None).expect("upsert");
                done.push(Call { id, began, ended: now(), kind: Kind::Write(Some(version)) });
            }
            4 => {
                let began = now();
                let existed = collection.delete(&ids).expect("delete");
                let ended = now();
                // A delete that found nothing has seen that there is nothing.
                let kind = if existed == 1 { Kind::Write(None) } else { Kind::Read(None) };
                done.push(Call { id, began, ended, kind });
            }
            5..9 => {
                let began = now();
                let found = collection.get(&ids, Missing::Skip, &Include::Nothing).expect("get").vectors;
                let ended = now();
                let version = found.get(1).map(|version| *version as u64);
                assert!(version.is_none_or(|version| found == vector(id, version)), "a mixture of rows: {found:?}");
                done.push(Call { id, began, ended, kind: Kind::Read(version) });
            }
            _ => {
                let options = SearchOptions { k: 10, exact: rng.random(), ..SearchOptions::default() };
                let hits = collection.search(&vector(id, 1), &options, &never_interrupt).expect("search");
                let HitIds::Int(mut found) = hits.ids else { panic!("int ids") };
                found.retain(|id| *id >= 0);
                let count = found.len();
                found.sort_unstable();
                found.dedup();
                assert_eq!(found.len(), count, "an id is found twice");
            }
        }
    }
    done
}

/// Loads a few ids at a time, some of them twice, now and then, until told to stop.
fn load(
    collection: &Collection,
    mut rng: Rng,
    clock: &AtomicU64,
    versions: &AtomicU64,
    stop: &AtomicBool,
) -> Vec<Call> {
    let mut done = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let ids: Vec<i64> = (0..LOAD_ROWS).map(|_| rng.random_range(0..IDS)).collect();
        let version = versions.fetch_add(1, Ordering::SeqCst);
        let vectors = BatchVectors::F32(ids.iter().flat_map(|id| vector(*id, version)).collect());
        let batch = RowBatch { ids: Ids::Int(ids.clone()), vectors, payload: None };
        let due = clock.load(Ordering::SeqCst) + LOAD_EVERY;
        while clock.load(Ordering::SeqCst) < due && !stop.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        let began = clock.fetch_add(1, Ordering::SeqCst);
        collection.load(&mut MemorySource::new(vec![batch]), &mut |_| ControlFlow::Continue(())).expect("a load");
        let ended = clock.fetch_add(1, Ordering::SeqCst);
        let distinct: BTreeSet<i64> = ids.into_iter().collect();
        done.extend(distinct.into_iter().map(|id| Call { id, began, ended, kind: Kind::Write(Some(version)) }));
    }
    done
}

/// Says on a panic which history it was.
struct Doing(u64);

impl Drop for Doing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("history {0}: DRIFT_SEED={0} DRIFT_HISTORIES=1", self.0);
        }
    }
}

fn history(number: u64, calls: u64) -> Vec<Call> {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config {
        durability: Durability::Os,
        memtable_rows_max: 16,
        bucket_rows_target: 8,
        frozen_memtables_max: 8,
        ..Config::default()
    };
    let uri = folder.path().to_str().expect("UTF-8");
    let database = Database::open(uri, config, Components::system()).expect("open");
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    let collection = database.create_collection("rows", schema, false).expect("create");
    let (clock, versions, stop) = (AtomicU64::new(0), AtomicU64::new(1), AtomicBool::new(false));
    let done = std::thread::scope(|scope| {
        let jobs = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                collection.flush().expect("flush");
                collection.run_maintenance().expect("maintenance");
                collection.optimize().expect("optimize");
            }
        });
        let loads = scope.spawn(|| load(&collection, clock::rng(number << 8 | 0xff), &clock, &versions, &stop));
        let threads: Vec<_> = (0..THREADS as u64)
            .map(|thread| {
                let (collection, clock, versions) = (&collection, &clock, &versions);
                let rng = clock::rng(number << 8 | thread);
                scope.spawn(move || work(collection, rng, clock, versions, calls))
            })
            .collect();
        let mut done: Vec<Call> = threads.into_iter().flat_map(|thread| thread.join().expect("a thread")).collect();
        stop.store(true, Ordering::Relaxed);
        jobs.join().expect("jobs");
        done.extend(loads.join().expect("loads"));
        done
    });
    assert!(collection.verify().expect("verify").problems.is_empty());
    database.close().expect("close");
    done
}

#[test]
fn calls_on_an_id_have_an_order_in_which_reads_see_the_last_write() {
    let (histories, calls) = (number_of("DRIFT_HISTORIES", 8), number_of("DRIFT_HISTORY_CALLS", 250));
    let seed = number_of("DRIFT_SEED", 1);
    let mut total = 0;
    for number in seed..seed + histories {
        let _doing = Doing(number);
        let done = history(number, calls);
        total += done.len();
        for id in 0..IDS {
            let of_id: Vec<Call> = done.iter().copied().filter(|call| call.id == id).collect();
            assert!(has_order(&of_id), "history {number}: calls on id {id} have no order: {of_id:?}");
        }
    }
    println!("DRIFT_SEED={seed}: {histories} histories, {THREADS} threads, {total} calls");
}

#[test]
fn the_checker_tells_histories_without_an_order() {
    let call = |began, ended, kind| Call { id: 0, began, ended, kind };
    let (write, read) = (|version| Kind::Write(Some(version)), |version| Kind::Read(Some(version)));
    assert!(has_order(&[call(0, 1, write(1)), call(2, 3, read(1))]));
    assert!(has_order(&[call(0, 5, write(1)), call(1, 2, Kind::Read(None)), call(3, 4, read(1))]));
    assert!(!has_order(&[call(0, 1, write(1)), call(2, 3, write(2)), call(4, 5, read(1))]), "a stale read");
    assert!(!has_order(&[call(0, 9, write(1)), call(1, 2, read(1)), call(3, 4, Kind::Read(None))]), "it goes back");
    assert!(!has_order(&[call(0, 1, write(1)), call(2, 3, Kind::Write(None)), call(4, 5, read(1))]), "it comes back");
    assert!(!has_order(&[call(0, 1, write(1)), call(2, 3, Kind::Read(None))]), "it is lost");
}
