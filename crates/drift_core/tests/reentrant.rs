//! Calls made from within calls, and beside a close: what would wait for itself fails at once, all else works.

use drift_core::clock::Components;
use drift_core::config::{Config, Durability};
use drift_core::db::{Collection, Database};
use drift_core::error::{Error, ErrorKind, Result};
use drift_core::ingest::source::{BatchVectors, LoadProgress, MemorySource, RowBatch, RowSource};
use drift_core::storage::MemoryBackend;
use drift_core::types::predicate::Test;
use drift_core::types::{
    Column, Columns, FieldType, IdType, Ids, Include, Metric, Missing, Predicate, Schema, SearchOptions, Value,
    Vectors, never_interrupt,
};
use std::ops::ControlFlow;
use std::sync::{Arc, mpsc};
use std::time::Duration;

const DIM: usize = 8;

/// Rows that fill a memtable.
const MEMTABLE_ROWS: usize = 16;

fn values(ids: &[i64]) -> Vec<f32> {
    ids.iter().flat_map(|id| (0..DIM).map(move |at| (*id * 7 + at as i64) as f32)).collect()
}

fn batch(ids: std::ops::Range<i64>) -> RowBatch {
    let ids: Vec<i64> = ids.collect();
    RowBatch { vectors: BatchVectors::F32(values(&ids)), ids: Ids::Int(ids), payload: None }
}

fn upsert(collection: &Collection, ids: std::ops::Range<i64>) -> Result<()> {
    let ids: Vec<i64> = ids.collect();
    collection.upsert(&Ids::Int(ids.clone()), Vectors::F32(&values(&ids)), None)
}

fn search(collection: &Collection) -> Result<()> {
    collection.search(&[0.0; DIM], &SearchOptions::default(), &never_interrupt).map(|_| ())
}

fn load(collection: &Collection, ids: std::ops::Range<i64>) -> Result<()> {
    collection.load(&mut MemorySource::new(vec![batch(ids)]), &mut |_| ControlFlow::Continue(())).map(|_| ())
}

fn open(backend: &Arc<MemoryBackend>, durability: Durability) -> Database {
    let config = Config { durability, memtable_rows_max: MEMTABLE_ROWS, frozen_memtables_max: 2, ..Config::default() };
    Database::open_on(backend.clone(), config, Components::system()).expect("a database")
}

fn create(durability: Durability) -> (Arc<MemoryBackend>, Database, Collection) {
    let backend = Arc::new(MemoryBackend::open("", true, false).expect("a store"));
    let database = open(&backend, durability);
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    let collection = database.create_collection("rows", schema, false).expect("a collection");
    (backend, database, collection)
}

/// Everything that waits for a load, a job or a check.
fn waiting_calls(database: &Database, collection: &Collection) -> Vec<(&'static str, Result<()>)> {
    let ids = Ids::Int(vec![1]);
    let mut note = Column::new(FieldType::Str);
    note.push(Value::Str("seen"));
    let mut changes = Columns::new(1);
    changes.add("note", note).expect("a column");
    let all = Arc::new(Predicate::Not(Box::new(Predicate::Test("missing".to_owned(), Test::Exists))));
    vec![
        ("load", load(collection, 5_000..5_010)),
        ("flush", collection.flush()),
        ("optimize", collection.optimize().map(|_| ())),
        ("run_maintenance", collection.run_maintenance().map(|_| ())),
        ("verify", collection.verify().map(|_| ())),
        ("repair", collection.repair().map(|_| ())),
        ("health", collection.health().map(|_| ())),
        ("wait_for_rest", collection.wait_for_rest(Duration::from_secs(3_600)).map(|_| ())),
        ("delete_where", collection.delete_where(&all).map(|_| ())),
        ("update_payload", collection.update_payload(&ids, &changes, &[])),
        ("close", collection.close()),
        ("close the database", database.close()),
        ("drop", database.drop_collection("rows")),
    ]
}

/// Calls that wait for nothing, and the write that no room is left for.
fn other_calls(database: &Database, collection: &Collection) {
    search(collection).expect("a search");
    upsert(collection, 900..902).expect("an upsert");
    assert_eq!(collection.delete(&Ids::Int(vec![901])).expect("a delete"), 1);
    collection.get(&Ids::Int(vec![900]), Missing::Error, &Include::All).expect("a row");
    collection.len().expect("a count");
    collection.stats().expect("figures");
    database.open_collection("rows").expect("the collection");
    assert_eq!(database.collections().expect("names"), ["rows"]);
}

fn all_fail(calls: Vec<(&'static str, Result<()>)>) {
    for (name, outcome) in calls {
        let error = outcome.expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Locked, "{name}: {error}");
        assert!(error.message().contains("this thread"), "{name}: {error}");
    }
}

#[test]
fn regression_calls_that_would_wait_for_the_load_that_they_are_made_from_fail() {
    let (backend, database, collection) = create(Durability::Always);
    upsert(&collection, 0..10).expect("an upsert");
    let (mut met, mut full) = (0, None);
    let mut amid = |progress: LoadProgress| {
        if progress.stage == "write" && met == 0 {
            met += 1;
            all_fail(waiting_calls(&database, &collection));
            other_calls(&database, &collection);
            // Whatever this thread holds, it must not wait for room.
            full = (0..100).find_map(|at| upsert(&collection, 1_000 + 10 * at..1_010 + 10 * at).err());
        }
        ControlFlow::Continue(())
    };
    let report = collection.load(&mut MemorySource::new(vec![batch(100..500)]), &mut amid).expect("a load");
    assert_eq!((report.rows, met), (400, 1));
    let full: Error = full.expect("a write for which there is no room");
    assert_eq!(full.kind(), ErrorKind::Locked, "{full}");
    for (name, outcome) in waiting_calls(&database, &collection) {
        outcome.unwrap_or_else(|error| {
            assert!(error.kind() == ErrorKind::NotFound || error.kind() == ErrorKind::Closed, "{name}: {error}");
        });
    }
    drop(backend);
}

#[test]
fn regression_calls_that_would_wait_for_optimize_or_verify_that_they_are_made_from_fail() {
    let (_backend, database, collection) = create(Durability::Os);
    load(&collection, 0..500).expect("a load");
    upsert(&collection, 300..310).expect("an upsert");
    let mut stages = Vec::new();
    let report = collection.optimize_watched(&mut |progress| {
        // Before it takes its locks, and when it is done, nothing waits for anything.
        if progress.stage == "restructure" || progress.stage == "compact" {
            all_fail(waiting_calls(&database, &collection));
            search(&collection).expect("a search");
        }
        stages.push(progress.stage);
        ControlFlow::Continue(())
    });
    assert!(report.expect("optimize").rows_written > 0);
    assert!(stages.contains(&"compact"), "{stages:?}");
    let mut met = 0;
    let report = collection.verify_watched(&mut |_| {
        met += 1;
        all_fail(waiting_calls(&database, &collection));
        upsert(&collection, met..met + 1).expect("an upsert");
        ControlFlow::Continue(())
    });
    assert!(report.expect("verify").problems.is_empty());
    assert!(met > 0);
    assert_eq!(collection.len().expect("len"), 500);
    database.close().expect("a close");
}

/// Rows whose reading calls something.
struct Calling<'a> {
    batches: Vec<RowBatch>,
    call: &'a mut (dyn FnMut(usize) + Send),
}

impl RowSource for Calling<'_> {
    fn rows_total(&self) -> Option<u64> {
        None
    }

    fn next(&mut self) -> Result<Option<RowBatch>> {
        (self.call)(self.batches.len());
        Ok(self.batches.pop())
    }
}

#[test]
fn the_source_of_a_load_may_call_the_collection_and_close_it() {
    let (backend, database, collection) = create(Durability::Always);
    let mut read = |left: usize| {
        search(&collection).expect("a search");
        upsert(&collection, 10 * left as i64..10 * left as i64 + 10).expect("an upsert");
        collection.flush().expect("a flush");
        collection.delete(&Ids::Int(vec![10 * left as i64])).expect("a delete");
        load(&collection, 2_000..2_300).expect("a load within a load");
        collection.optimize().expect("optimize");
        assert!(collection.verify().expect("verify").problems.is_empty());
    };
    let batches = vec![batch(1_000..1_200), batch(1_200..1_400)];
    let mut source = Calling { batches: batches.clone(), call: &mut read };
    assert_eq!(collection.load(&mut source, &mut |_| ControlFlow::Continue(())).expect("a load").rows, 400);
    assert_eq!(collection.len().expect("len"), 400 + 300 + 27);
    let mut close = |left: usize| {
        if left == 1 {
            database.close().expect("a close");
        }
    };
    let mut source = Calling { batches, call: &mut close };
    let outcome = collection.load(&mut source, &mut |_| ControlFlow::Continue(()));
    assert_eq!(outcome.expect_err("a load into a closed database").kind(), ErrorKind::Closed);
    let database = open(&backend, Durability::Always);
    let again = database.open_collection("rows").expect("the collection");
    assert_eq!(again.len().expect("len"), 400 + 300 + 27);
    assert!(again.verify().expect("verify").problems.is_empty());
    database.close().expect("a close");
}

#[test]
fn regression_a_collection_is_opened_again_once_it_is_closed_and_not_before() {
    for durability in [Durability::None, Durability::Always] {
        let (_backend, database, collection) = create(durability);
        upsert(&collection, 0..10).expect("an upsert");
        let (ended, end) = mpsc::channel();
        std::thread::scope(|scope| {
            let mut closing = None;
            let mut amid = |progress: LoadProgress| {
                if progress.stage == "write" && closing.is_none() {
                    let (collection, database, ended) = (&collection, &database, ended.clone());
                    closing = Some(scope.spawn(|| collection.close().expect("a close")));
                    while !collection.is_closed() {
                        std::thread::yield_now();
                    }
                    // The close waits for this load: whoever opens it now waits for the close.
                    let early = database.open_collection("rows").map(|_| ()).expect_err("it is being closed");
                    assert_eq!(early.kind(), ErrorKind::Locked, "{early}");
                    scope.spawn(move || ended.send(database.open_collection("rows")).expect("a receiver"));
                    // The catalog is free for whatever the load's caller does.
                    assert_eq!(database.collections().expect("names"), ["rows"]);
                }
                ControlFlow::Continue(())
            };
            let outcome = collection.load(&mut MemorySource::new(vec![batch(100..500)]), &mut amid);
            assert_eq!(outcome.expect("a load that commits before the close").rows, 400);
        });
        let again = end.recv().expect("an outcome").expect("the collection");
        assert_eq!(again.len().expect("len"), 410, "{durability:?}: what was acknowledged is there");
        upsert(&again, 500..510).expect("an upsert");
        again.flush().expect("a flush");
        assert!(again.verify().expect("verify").problems.is_empty());
        database.close().expect("a close");
    }
}

#[test]
fn regression_a_delete_amid_a_load_holds_for_an_id_that_is_given_twice() {
    let (backend, database, collection) = create(Durability::Always);
    upsert(&collection, 0..40).expect("an upsert");
    collection.flush().expect("a flush");
    let twice: Vec<i64> = (0..40).chain(0..40).collect();
    let rows = RowBatch { vectors: BatchVectors::F32(values(&twice)), ids: Ids::Int(twice), payload: None };
    let mut amid = |progress: LoadProgress| {
        if progress.stage == "write" && progress.rows == 0 {
            assert_eq!(collection.delete(&Ids::Int(vec![7, 8])).expect("a delete"), 2);
        }
        ControlFlow::Continue(())
    };
    collection.load(&mut MemorySource::new(vec![rows]), &mut amid).expect("a load");
    let found = collection.get(&Ids::Int(vec![7, 8]), Missing::Skip, &Include::Nothing).expect("get");
    assert_eq!((found.ids.len(), collection.len().expect("len")), (0, 38));
    collection.optimize().expect("optimize");
    database.close().expect("a close");
    let database = open(&backend, Durability::Always);
    let again = database.open_collection("rows").expect("the collection");
    assert_eq!(again.len().expect("len"), 38, "and it is the same after the next opening");
    assert!(again.verify().expect("verify").problems.is_empty());
    database.close().expect("a close");
}
