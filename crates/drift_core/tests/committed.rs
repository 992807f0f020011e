//! What comes after a commit may fail, and the call has succeeded all the same; a background thread that panics is seen.

use drift_core::clock::{Clock, Components};
use drift_core::config::{Config, Durability};
use drift_core::db::{Collection, Database};
use drift_core::error::ErrorKind;
use drift_core::ingest::source::{BatchVectors, MemorySource, RowBatch};
use drift_core::storage::sim::{Action, Call, Fault, SimFs};
use drift_core::storage::{LocalBackend, MemoryBackend};
use drift_core::types::{IdType, Ids, Metric, Schema, Vectors};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const DIM: usize = 8;

/// A test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn values(ids: &[i64]) -> Vec<f32> {
    ids.iter().flat_map(|id| (0..DIM).map(move |at| ((*id * 37 + at as i64 * 11) % 101) as f32)).collect()
}

fn source(rows: i64) -> MemorySource {
    let ids: Vec<i64> = (0..rows).collect();
    MemorySource::new(vec![RowBatch { vectors: BatchVectors::F32(values(&ids)), ids: Ids::Int(ids), payload: None }])
}

fn create(database: &Database) -> Collection {
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    database.create_collection("rows", schema, true).expect("a collection")
}

fn on_disk(fs: &SimFs) -> Database {
    let backend = LocalBackend::open(Path::new("/data/db"), Arc::new(fs.clone()), true, false).expect("a folder");
    let config = Config { durability: Durability::Always, ..Config::default() };
    Database::open_on(Arc::new(backend), config, Components::simulated(1)).expect("a database")
}

/// The number of the first call of the disk that is `wanted` of those that a load and a drop make.
fn first_call(wanted: impl Fn(&Call) -> bool) -> u64 {
    let fs = SimFs::default();
    let database = on_disk(&fs);
    let collection = create(&database);
    let first = fs.calls();
    collection.load(&mut source(200), &mut |_| ControlFlow::Continue(())).expect("a load");
    database.drop_collection("rows").expect("a drop");
    (first..fs.calls()).find(|number| fs.call(*number).is_some_and(|call| wanted(&call))).expect("such a call")
}

#[test]
fn regression_a_load_that_has_committed_succeeds_though_its_checkpoint_cannot_be_written() {
    let failing = first_call(|call| call.is_in("bitstore"));
    let fs = SimFs::default();
    let database = on_disk(&fs);
    let collection = create(&database);
    fs.fail(failing..u64::MAX, Fault::Full);
    let report = collection.load(&mut source(200), &mut |_| ControlFlow::Continue(())).expect("a load");
    assert_eq!((report.rows, collection.len().expect("len")), (200, 200));
    let degraded = collection.stats().expect("figures").degraded;
    assert!(degraded.is_some_and(|reason| !reason.is_empty()), "the failure is to be seen");
    let left = fs.after_power_loss(fs.operations(), 3);
    let again = create(&on_disk(&left));
    assert_eq!(again.len().expect("len"), 200);
    assert!(again.verify().expect("verify").problems.is_empty());
}

#[test]
fn regression_a_collection_is_dropped_though_its_files_cannot_be_deleted() {
    let failing =
        first_call(|call| call.action == Action::Remove && call.path.extension().is_some_and(|kind| kind == "drift"));
    let fs = SimFs::default();
    let database = on_disk(&fs);
    create(&database).load(&mut source(200), &mut |_| ControlFlow::Continue(())).expect("a load");
    fs.fail(failing..u64::MAX, Fault::Io);
    database.drop_collection("rows").expect("a drop");
    assert_eq!(database.collections().expect("names"), Vec::<String>::new());
    fs.heal();
    assert!(create(&database).is_empty().expect("a new one"));
    let again = on_disk(&fs.after_kill(fs.operations()));
    assert!(create(&again).is_empty().expect("a new one"), "and its files are gone with the next opening");
    assert!(create(&again).verify().expect("verify").problems.is_empty());
}

#[test]
fn regression_a_load_that_has_committed_before_the_close_succeeds_though_it_could_not_measure_its_rules() {
    let backend = Arc::new(MemoryBackend::open("", true, false).expect("a store"));
    let database = Database::open_on(backend, Config::default(), Components::system()).expect("a database");
    let collection = create(&database);
    std::thread::scope(|scope| {
        let mut is_closing = false;
        let report = collection.load(&mut source(6_000), &mut |progress| {
            if progress.stage == "write" && !is_closing {
                is_closing = true;
                // It waits for the load, and gets hold of the collection once that has committed.
                scope.spawn(|| collection.close().expect("a close"));
                while !collection.is_closed() {
                    std::thread::yield_now();
                }
            }
            ControlFlow::Continue(())
        });
        assert_eq!(report.expect("a load").rows, 6_000);
    });
    assert_eq!(create(&database).len().expect("len"), 6_000);
}

/// A clock that fails, once told so, when a background thread asks it.
struct Failing(Arc<dyn Clock>, AtomicBool);

impl Clock for Failing {
    fn monotonic(&self) -> Duration {
        let of_background = std::thread::current().name().is_some_and(|name| name == "drift-rows");
        assert!(!(of_background && self.1.load(Ordering::SeqCst)), "the clock has failed");
        self.0.monotonic()
    }

    fn wall(&self) -> Duration {
        self.0.wall()
    }
}

#[test]
fn a_background_thread_that_panics_is_seen_and_the_close_says_so() {
    let system = Components::system();
    let clock = Arc::new(Failing(system.clock.clone(), AtomicBool::new(false)));
    let components = Components { clock: clock.clone(), ..system.clone() };
    let backend = Arc::new(MemoryBackend::open("", true, false).expect("a store"));
    let database = Database::open_on(backend, Config::default(), components).expect("a database");
    let collection = create(&database);
    assert!(collection.wait_for_rest(PATIENCE).expect("an open collection"));
    clock.1.store(true, Ordering::SeqCst);
    // Raises a call to look.
    collection.resume_maintenance().expect("an open collection");
    let start = system.clock.monotonic();
    while collection.stats().expect("figures").degraded.is_none() {
        assert!(system.clock.monotonic() - start < PATIENCE, "the panic is not seen");
        std::thread::yield_now();
    }
    collection.upsert(&Ids::Int(vec![1]), Vectors::F32(&values(&[1])), None).expect("writes go on while there is room");
    let error = collection.close().expect_err("a close that tells of the panic");
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
}
