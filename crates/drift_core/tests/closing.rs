//! A call that is under way when its database is closed changes nothing afterwards: the folder may be another's by then.

use drift_core::clock::Components;
use drift_core::config::{Config, Durability};
use drift_core::db::{Collection, Database};
use drift_core::error::ErrorKind;
use drift_core::ingest::source::{BatchVectors, MemorySource, RowBatch};
use drift_core::types::{IdType, Ids, Metric, Schema, Vectors};
use std::ops::ControlFlow;

const DIM: usize = 8;

fn values(ids: &[i64]) -> Vec<f32> {
    ids.iter().flat_map(|id| (0..DIM).map(move |at| (*id * 7 + at as i64) as f32)).collect()
}

fn upsert(collection: &Collection, ids: std::ops::Range<i64>) {
    let ids: Vec<i64> = ids.collect();
    collection.upsert(&Ids::Int(ids.clone()), Vectors::F32(&values(&ids)), None).expect("an upsert");
}

fn open(folder: &tempfile::TempDir, durability: Durability) -> (Database, Collection) {
    let config = Config { durability, ..Config::default() };
    let uri = folder.path().to_str().expect("UTF-8");
    let database = Database::open(uri, config, Components::system()).expect("a database");
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    let collection = database.create_collection("rows", schema, true).expect("a collection");
    (database, collection)
}

#[test]
fn regression_a_load_that_outlives_its_database_changes_nothing() {
    for durability in [Durability::Always, Durability::None] {
        let folder = tempfile::tempdir().expect("a folder");
        let (database, collection) = open(&folder, durability);
        upsert(&collection, 0..40);
        let loaded: Vec<i64> = (20..600).collect();
        let batch =
            RowBatch { ids: Ids::Int(loaded.clone()), vectors: BatchVectors::F32(values(&loaded)), payload: None };
        let mut next = None;
        let outcome = collection.load(&mut MemorySource::new(vec![batch]), &mut |progress| {
            if progress.stage == "train" {
                database.close().expect("a close");
                // Another owner, as another process may be.
                let (database, collection) = open(&folder, durability);
                upsert(&collection, 100..110);
                collection.flush().expect("a flush");
                next = Some((database, collection));
            }
            ControlFlow::Continue(())
        });
        assert_eq!(outcome.expect_err("a load into a closed database").kind(), ErrorKind::Closed);
        let (database, collection) = next.expect("the load was under way");
        upsert(&collection, 110..120);
        collection.flush().expect("a flush");
        collection.optimize().expect("optimize");
        assert_eq!(collection.verify().expect("verify").problems, Vec::<String>::new());
        assert_eq!(collection.len().expect("len"), 60);
        database.close().expect("a close");
        let (database, collection) = open(&folder, durability);
        assert_eq!(collection.len().expect("len"), 60);
        assert_eq!(collection.verify().expect("verify").problems, Vec::<String>::new());
        database.close().expect("a close");
    }
}

#[test]
fn regression_rows_acknowledged_while_a_database_without_a_log_closes_are_kept() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().expect("a folder");
        let (database, collection) = open(&folder, Durability::None);
        let acknowledged = std::thread::scope(|scope| {
            let (sender, receiver) = std::sync::mpsc::channel();
            let writer = scope.spawn(move || {
                let mut acknowledged = 0;
                for id in 0.. {
                    match collection.upsert(&Ids::Int(vec![id]), Vectors::F32(&values(&[id])), None) {
                        Ok(()) => acknowledged += 1,
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Closed);
                            break;
                        }
                    }
                    // The receiver goes once the first rows are there.
                    let _ = sender.send(());
                }
                acknowledged
            });
            (0..200).for_each(|_| receiver.recv().expect("a row"));
            drop(receiver);
            database.close().expect("a close");
            writer.join().expect("the writer")
        });
        let (database, collection) = open(&folder, Durability::None);
        assert_eq!(collection.len().expect("len"), acknowledged);
        database.close().expect("a close");
    }
}
