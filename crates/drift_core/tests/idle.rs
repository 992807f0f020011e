//! A collection that nobody uses touches no file and sets no timer, but one for the next row to expire.

mod watched;

use drift_core::clock::Components;
use drift_core::config::{Config, Durability};
use drift_core::db::{Collection, Database};
use drift_core::storage::{Backend, MemoryBackend};
use drift_core::types::{
    Column, Columns, EXPIRES_FIELD, FieldType, IdType, Ids, Metric, Schema, SearchOptions, Value, Vectors,
    never_interrupt,
};
use rand::RngExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use watched::Watched;

const DIM: usize = 64;

/// More than what is searched whole, so that recall is measured.
const ROWS: i64 = 6_000;

/// Far more than background work takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(300);

/// A store, and the number of calls to it.
fn counted() -> (Arc<dyn Backend>, Arc<AtomicU64>) {
    let calls = Arc::new(AtomicU64::new(0));
    let inner = Arc::new(MemoryBackend::open("", true, false).expect("a store"));
    let counter = calls.clone();
    (Arc::new(Watched::new(inner, Arc::new(move || _ = counter.fetch_add(1, Ordering::Relaxed)))), calls)
}

fn rows(count: i64, seed: u64) -> Vec<f32> {
    let mut rng = drift_core::clock::rng(seed);
    (0..count as usize * DIM).map(|_| rng.random::<f32>()).collect()
}

/// Rest is reached, and no call is made from then on, however often one looks.
fn rests(collection: &Collection, calls: &AtomicU64, after: &str) {
    assert!(collection.wait_for_rest(PATIENCE).expect("an open collection"), "no rest after {after}");
    let before = calls.load(Ordering::Relaxed);
    assert!(before > 0);
    for _ in 0..100 {
        assert!(collection.wait_for_rest(Duration::ZERO).expect("an open collection"), "work again after {after}");
        collection.health().expect("health");
    }
    assert_eq!(calls.load(Ordering::Relaxed), before, "after {after}");
}

#[test]
fn a_collection_at_rest_touches_no_file_and_sets_no_timer() {
    for durability in [Durability::Always, Durability::Interval, Durability::None] {
        let (backend, calls) = counted();
        let config = Config { durability, memtable_rows_max: 1_000, sync_interval_ms: 1, ..Config::default() };
        let database = Database::open_on(backend, config, Components::system()).expect("a database");
        let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
        let collection = database.create_collection("rows", schema, false).expect("a collection");
        rests(&collection, &calls, "the opening");
        collection.upsert(&Ids::Int((0..ROWS).collect()), Vectors::F32(&rows(ROWS, 1)), None).expect("rows");
        collection.delete(&Ids::Int((0..ROWS / 2).collect())).expect("a delete");
        collection.upsert(&Ids::Int((0..ROWS).collect()), Vectors::F32(&rows(ROWS, 2)), None).expect("rows");
        rests(&collection, &calls, "writes, flushes and jobs");
        let options = SearchOptions::default();
        for query in rows(300, 3).chunks_exact(DIM) {
            collection.search(query, &options, &never_interrupt).expect("hits");
        }
        rests(&collection, &calls, "searches, some of which were searched again");
        database.close().expect("a close");
    }
}

#[test]
fn a_collection_rests_until_the_next_row_expires_and_then_deletes_it() {
    let (backend, calls) = counted();
    let components = Components::system();
    let clock = components.clock.clone();
    let database = Database::open_on(backend, Config::default(), components).expect("a database");
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    let collection = database.create_collection("rows", schema, false).expect("a collection");
    let write = |id: i64, after: Duration| {
        let mut expires = Column::new(FieldType::Timestamp);
        expires.push(Value::Timestamp((clock.wall() + after).as_micros() as i64));
        let mut payload = Columns::new(1);
        payload.add(EXPIRES_FIELD, expires).expect("a column");
        collection.upsert(&Ids::Int(vec![id]), Vectors::F32(&rows(1, 1)), Some(&payload)).expect("a row");
    };
    write(1, Duration::from_secs(86_400));
    rests(&collection, &calls, "a row that expires tomorrow");
    // Its timer takes the place of the other, and nothing else wakes the collection.
    write(2, Duration::from_millis(50));
    let start = clock.monotonic();
    while collection.health().expect("health").jobs.is_empty() {
        assert!(clock.monotonic() - start < PATIENCE, "no job deletes the row");
        std::thread::yield_now();
    }
    let jobs = collection.health().expect("health").jobs;
    assert_eq!(jobs.iter().map(|of| of.effect.as_str()).collect::<Vec<_>>(), ["1 rows deleted"]);
    rests(&collection, &calls, "the expiry of a row");
    assert_eq!(collection.len().expect("len"), 1);
    database.close().expect("a close");
}
