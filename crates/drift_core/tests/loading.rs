//! Writers beside a bulk load or a compaction: they do not wait, and what they write meanwhile is younger and known.

use drift_core::clock::Components;
use drift_core::config::Config;
use drift_core::db::{Collection, Database, Job};
use drift_core::ingest::source::{BatchVectors, LoadProgress, MemorySource, RowBatch};
use drift_core::types::{Column, Columns, FieldType, IdType, Ids, Include, Metric, Missing, Schema, Value, Vectors};
use std::ops::ControlFlow;
use std::path::Path;

const DIM: usize = 8;

/// Rows that fill a memtable, of which two may wait for their flush.
const MEMTABLE_ROWS: usize = 16;

/// First coordinates of the vectors that are there before a load, come with it, and are written amid it.
const BEFORE: f32 = 1.0;
const LOADED: f32 = 2.0;
const AMID: f32 = 3.0;

fn open(folder: &Path, read_only: bool) -> Database {
    let config = Config { memtable_rows_max: MEMTABLE_ROWS, frozen_memtables_max: 2, read_only, ..Config::default() };
    Database::open(folder.to_str().expect("a UTF-8 path"), config, Components::system()).expect("a database")
}

fn values(ids: &[i64], first: f32) -> Vec<f32> {
    ids.iter()
        .flat_map(|&id| (0..DIM).map(move |at| if at == 0 { first } else { (id * 7 + at as i64) as f32 }))
        .collect()
}

fn upsert(collection: &Collection, ids: &[i64], first: f32) {
    collection.upsert(&Ids::Int(ids.to_vec()), Vectors::F32(&values(ids, first)), None).expect("an upsert");
}

fn delete(collection: &Collection, ids: &[i64]) -> u64 {
    collection.delete(&Ids::Int(ids.to_vec())).expect("a delete")
}

/// Loads rows `0..ids`; `amid` runs once on another thread, and ends before the first segment is written.
fn load_amid(collection: &Collection, ids: i64, amid: impl FnOnce() + Send) {
    let ids: Vec<i64> = (0..ids).collect();
    let rows = RowBatch { vectors: BatchVectors::F32(values(&ids, LOADED)), ids: Ids::Int(ids), payload: None };
    let mut amid = Some(amid);
    let mut progress = |progress: LoadProgress| {
        if progress.stage == "write"
            && let Some(amid) = amid.take()
        {
            std::thread::scope(|scope| scope.spawn(amid).join().expect("the other thread"));
        }
        ControlFlow::Continue(())
    };
    collection.load(&mut MemorySource::new(vec![rows]), &mut progress).expect("a load");
    assert!(amid.is_none());
}

/// The first coordinate of each of rows 0 to 9; none where there is no such row.
fn firsts(collection: &Collection) -> Vec<Option<f32>> {
    let first = |id| {
        let rows = collection.get(&Ids::Int(vec![id]), Missing::Skip, &Include::Nothing).expect("get");
        rows.vectors.first().copied()
    };
    (0..10).map(first).collect()
}

#[test]
fn regression_writers_do_not_wait_for_a_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = open(folder.path(), false);
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    let collection = database.create_collection("rows", schema, false).expect("a collection");
    load_amid(&collection, 400, || {
        // Far more than the memory has room for.
        for at in 0..40 {
            let ids: Vec<i64> = (10 * at..10 * at + 10).map(|id| 1_000 + id).collect();
            upsert(&collection, &ids, AMID);
        }
    });
    assert_eq!(collection.len().expect("len"), 800);
    assert!(collection.verify().expect("verify").problems.is_empty());
    database.close().expect("a close");
}

#[test]
fn what_is_flushed_amid_a_load_is_younger_than_its_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = open(folder.path(), false);
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    let collection = database.create_collection("rows", schema, false).expect("a collection");
    upsert(&collection, &(0..6).collect::<Vec<_>>(), BEFORE);
    collection.flush().expect("a flush");
    // It is older than the load, though its tombstone is flushed amid it.
    assert_eq!(delete(&collection, &[0]), 1);
    let reading = open(folder.path(), true);
    let reader = reading.open_collection("rows").expect("the collection");
    load_amid(&collection, 9, || {
        assert_eq!(delete(&collection, &[1, 2]), 2);
        // Nothing but tombstones: what a reader follows without opening anything anew.
        collection.flush().expect("a flush");
        assert!(reading.refresh().expect("a refresh"));
        upsert(&collection, &[2, 3], AMID);
        collection.flush().expect("a flush");
        assert_eq!(delete(&collection, &[4]), 1);
        upsert(&collection, &[5], AMID);
    });
    let (loaded, amid) = (Some(LOADED), Some(AMID));
    let expected = [loaded, None, amid, amid, None, amid, loaded, loaded, loaded, None];
    assert_eq!(firsts(&collection), expected);
    assert_eq!(collection.len().expect("len"), 7);
    assert!(collection.verify().expect("verify").problems.is_empty());
    assert!(reading.refresh().expect("a refresh"));
    assert_eq!(firsts(&reader), expected, "for a reader that has followed the flushes");
    reading.close().expect("a close");
    database.close().expect("a close");
    let database = open(folder.path(), false);
    let again = database.open_collection("rows").expect("the collection");
    assert_eq!(firsts(&again), expected, "after the next opening");
    again.optimize().expect("optimize");
    assert_eq!((firsts(&again), again.len().expect("len")), (expected.to_vec(), 7));
    assert!(again.verify().expect("verify").problems.is_empty());
    database.close().expect("a close");
}

#[test]
fn regression_a_field_that_grew_is_known_to_the_manifest_of_a_compaction() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = open(folder.path(), false);
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    let collection = database.create_collection("rows", schema, false).expect("a collection");
    collection.pause_maintenance().expect("a pause");
    let upsert = |id: i64, kind, value| {
        let mut column = Column::new(kind);
        column.push(value);
        let mut payload = Columns::new(1);
        payload.add("price", column).expect("a column");
        let vector = values(&[id], BEFORE);
        collection.upsert(&Ids::Int(vec![id]), Vectors::F32(&vector), Some(&payload)).expect("an upsert");
    };
    for id in 0..8 {
        upsert(id, FieldType::Int, Value::Int(id));
        collection.flush().expect("a flush");
    }
    // In memory and in the log alone.
    upsert(8, FieldType::Float, Value::Float(8.5));
    let jobs = collection.run_maintenance().expect("maintenance");
    assert!(jobs.iter().any(|job| job.job == Job::Compact), "{jobs:?}");
    database.close().expect("a close");
    let database = open(folder.path(), false);
    let again = database.open_collection("rows").expect("the collection");
    assert_eq!(again.len().expect("len"), 9);
    assert!(again.verify().expect("verify").problems.is_empty());
    database.close().expect("a close");
}
