//! `durability="interval"` promises an fsync within the interval, whatever else the collection is doing.

use drift_core::clock::{Clock, Components};
use drift_core::config::{Config, Durability};
use drift_core::db::{Collection, Database};
use drift_core::ingest::source::{BatchVectors, MemorySource, RowBatch};
use drift_core::storage::LocalBackend;
use drift_core::storage::sim::{Action, SimFs};
use drift_core::types::{IdType, Ids, Metric, Schema, Vectors};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const DIM: usize = 8;

/// Rows that fill a memtable.
const MEMTABLE_ROWS: i64 = 16;

/// Far more than an interval; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn values(ids: &[i64]) -> Vec<f32> {
    ids.iter().flat_map(|id| (0..DIM).map(move |at| (*id * 7 + at as i64) as f32)).collect()
}

fn upsert(collection: &Collection, ids: std::ops::Range<i64>) {
    let ids: Vec<i64> = ids.collect();
    collection.upsert(&Ids::Int(ids.clone()), Vectors::F32(&values(&ids)), None).expect("an upsert");
}

fn open(fs: &SimFs, components: &Components) -> Database {
    let config = Config {
        durability: Durability::Interval,
        sync_interval_ms: 1,
        memtable_rows_max: MEMTABLE_ROWS as usize,
        ..Config::default()
    };
    let backend = LocalBackend::open(Path::new("/data/db"), Arc::new(fs.clone()), true, false).expect("a folder");
    Database::open_on(Arc::new(backend), config, components.clone()).expect("a database")
}

/// Waits until a log that was written after call number `first` of the disk has been made durable since.
fn await_log_sync(fs: &SimFs, first: u64, clock: &dyn Clock) {
    let (start, mut number, mut written) = (clock.monotonic(), first, None);
    loop {
        match fs.call(number) {
            // A sync that came before the write, or is of the log before it, says nothing of the write.
            Some(call) if call.action == Action::Sync && written.as_ref() == Some(&call.path) => return,
            Some(call) => {
                number += 1;
                let is_write = call.action == Action::Write && call.is_in("wal");
                written = written.or(is_write.then_some(call.path));
            }
            None => std::thread::yield_now(),
        }
        assert!(clock.monotonic() - start < PATIENCE, "the log is not made durable");
    }
}

#[test]
fn regression_a_write_amid_a_load_is_durable_within_the_interval() {
    let (fs, components) = (SimFs::default(), Components::system());
    let database = open(&fs, &components);
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    let collection = database.create_collection("rows", schema, false).expect("a collection");
    let loaded: Vec<i64> = (1_000..1_400).collect();
    let batch = RowBatch { ids: Ids::Int(loaded.clone()), vectors: BatchVectors::F32(values(&loaded)), payload: None };
    let mut images = Vec::new();
    let mut amid = |collection: &Collection| {
        // The memtable is full, so the background thread flushes it meanwhile.
        upsert(collection, 0..MEMTABLE_ROWS);
        let before = fs.calls();
        upsert(collection, 100..101);
        await_log_sync(&fs, before, &*components.clock);
        images.push(fs.after_power_loss(fs.operations(), 1));
    };
    let report = collection
        .load(&mut MemorySource::new(vec![batch]), &mut |progress| {
            if progress.stage == "write" && progress.rows == 0 {
                amid(&collection);
            }
            ControlFlow::Continue(())
        })
        .expect("a load");
    assert_eq!(report.rows, 400);
    database.close().expect("a close");
    assert_eq!(images.len(), 1);
    let again = open(&images[0], &components);
    let found = again.open_collection("rows").expect("the collection").len().expect("len");
    assert_eq!(found, MEMTABLE_ROWS as u64 + 1, "a power loss amid the load costs nothing of what the fsync covered");
    again.close().expect("a close");
}
