//! Background work that fails is told, and is tried again with pauses: nothing spins meanwhile.

use drift_core::clock::{Clock, Components};
use drift_core::config::{Config, Durability};
use drift_core::db::{Collection, Database};
use drift_core::storage::LocalBackend;
use drift_core::storage::sim::{Fault, SimFs};
use drift_core::types::{IdType, Ids, Metric, Schema, Vectors};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const DIM: usize = 8;

/// Rows of a segment, of which so many are written into one.
const ROWS: i64 = 16;
const SEGMENTS: i64 = 8;

/// Far more than background work takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(300);

/// Looks at the clock that a scheduler needs between two tries at most; one that spins takes a hundred times as many.
const LOOKS_MAX: u64 = 1_000;

/// Counts how often somebody looks at it.
struct Counted {
    inner: Arc<dyn Clock>,
    looks: AtomicU64,
}

impl Clock for Counted {
    fn monotonic(&self) -> Duration {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.inner.monotonic()
    }

    fn wall(&self) -> Duration {
        self.inner.wall()
    }
}

fn degraded(collection: &Collection) -> Option<String> {
    collection.stats().expect("figures").degraded
}

#[test]
fn a_job_that_fails_is_tried_again_after_a_pause() {
    let components = Components::system();
    let clock = Arc::new(Counted { inner: components.clock.clone(), looks: AtomicU64::new(0) });
    let components = Components { clock: clock.clone(), ..components };
    let fs = SimFs::default();
    let backend = LocalBackend::open(Path::new("/data/db"), Arc::new(fs.clone()), true, false).expect("a folder");
    let config = Config { durability: Durability::Os, memtable_rows_max: ROWS as usize, ..Config::default() };
    let database = Database::open_on(Arc::new(backend), config, components).expect("a database");
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    let collection = database.create_collection("rows", schema, false).expect("a collection");
    collection.pause_maintenance().expect("a pause");
    for segment in 0..SEGMENTS {
        let ids: Vec<i64> = (segment * ROWS..(segment + 1) * ROWS).collect();
        let values: Vec<f32> = ids.iter().flat_map(|id| (0..DIM).map(move |at| (*id * 7 + at as i64) as f32)).collect();
        collection.upsert(&Ids::Int(ids), Vectors::F32(&values), None).expect("an upsert");
        collection.flush().expect("a flush");
    }
    assert!(collection.wait_for_rest(PATIENCE).expect("an open collection"));
    fs.fail(fs.calls()..u64::MAX, Fault::Full);
    collection.resume_maintenance().expect("resume");
    let begun = clock.inner.monotonic();
    while degraded(&collection).is_none() {
        assert!(clock.inner.monotonic() - begun < PATIENCE, "the compaction has not failed");
        std::thread::yield_now();
    }
    let before = clock.looks.load(Ordering::Relaxed);
    let rests = collection.wait_for_rest(Duration::from_millis(300)).expect("an open collection");
    let looks = clock.looks.load(Ordering::Relaxed) - before;
    assert!(!rests && looks < LOOKS_MAX, "{looks} looks at the clock; at rest: {rests}");
    fs.heal();
    assert!(collection.wait_for_rest(PATIENCE).expect("an open collection"));
    assert_eq!(degraded(&collection), None);
    assert_eq!(collection.stats().expect("figures").segments, 1, "it was tried again");
    database.close().expect("a close");
}
