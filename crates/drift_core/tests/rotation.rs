//! A memtable that is full and cannot be frozen: the write that filled it is whole, and the next one fails before it
//! changes anything, or succeeds once there is room.

use drift_core::clock::Components;
use drift_core::config::{Config, Durability};
use drift_core::db::{Collection, Database};
use drift_core::error::{ErrorKind, Result};
use drift_core::storage::LocalBackend;
use drift_core::storage::sim::{Action, Fault, SimFs};
use drift_core::types::{IdType, Ids, Metric, Schema, Vectors};
use std::path::Path;
use std::sync::Arc;

/// Rows that fill a memtable.
const MEMTABLE_ROWS: i64 = 16;

fn open(fs: &SimFs, durability: Durability) -> (Database, Collection) {
    let config = Config { durability, memtable_rows_max: MEMTABLE_ROWS as usize, ..Config::default() };
    let backend = LocalBackend::open(Path::new("/data/db"), Arc::new(fs.clone()), true, false).expect("a folder");
    let database = Database::open_on(Arc::new(backend), config, Components::simulated(1)).expect("a database");
    let schema = Schema::new(2, Metric::L2, IdType::Int).expect("a schema");
    let collection = database.create_collection("rows", schema, true).expect("a collection");
    (database, collection)
}

fn upsert(collection: &Collection, id: i64) -> Result<()> {
    collection.upsert(&Ids::Int(vec![id]), Vectors::F32(&[id as f32, 1.0]), None)
}

/// The number of the call of the disk that creates the log after the one that the filling write goes to.
fn creation(durability: Durability) -> u64 {
    let fs = SimFs::default();
    let (_database, collection) = open(&fs, durability);
    (1..MEMTABLE_ROWS).for_each(|id| upsert(&collection, id).expect("an upsert"));
    let first = fs.calls();
    upsert(&collection, 0).expect("the write that fills the memtable");
    let of_log = |number: &u64| fs.call(*number).is_some_and(|call| call.action == Action::Create);
    (first..fs.calls()).find(of_log).expect("the next log is created")
}

#[test]
fn regression_a_write_is_acknowledged_though_the_next_log_cannot_be_created() {
    for durability in [Durability::Always, Durability::Os, Durability::Interval] {
        let failing = creation(durability);
        let fs = SimFs::default();
        let (database, collection) = open(&fs, durability);
        (1..MEMTABLE_ROWS).for_each(|id| upsert(&collection, id).expect("an upsert"));
        fs.fail(failing..u64::MAX, Fault::Full);
        upsert(&collection, 0).expect("the write that fills the memtable is in the log");
        for _ in 0..3 {
            let refused = upsert(&collection, 100).expect_err("a write without a log to go on in");
            assert_eq!(refused.kind(), ErrorKind::Exhausted, "{refused}");
            assert_eq!(collection.len().expect("len"), MEMTABLE_ROWS as u64, "it has changed nothing");
        }
        fs.heal();
        upsert(&collection, 100).expect("a write once there is room");
        assert_eq!(collection.len().expect("len"), MEMTABLE_ROWS as u64 + 1);
        let left = if durability == Durability::Always {
            fs.after_power_loss(fs.operations(), 5)
        } else {
            fs.after_kill(fs.operations())
        };
        drop((database, collection));
        let (_database, again) = open(&left, durability);
        assert_eq!(again.len().expect("len"), MEMTABLE_ROWS as u64 + 1);
        assert!(again.verify().expect("verify").problems.is_empty());
    }
}
