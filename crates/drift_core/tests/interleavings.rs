//! The engine under thousands of orders of its threads, which shuttle chooses by a seed: the swap of versions that readers
//! pin, rotation of the memtable, deletion of files that a snapshot may hold, and the group commit of the log.
//!
//! It is the engine's own code that runs: its locks and shared numbers (`drift_core::sync`) are places where another
//! thread may go on. `DRIFT_INTERLEAVINGS` says how many orders each test tries, `DRIFT_SEED` which ones.

use drift_core::clock::Components;
use drift_core::config::{Config, Durability};
use drift_core::db::{Collection, Database};
use drift_core::error::ErrorKind;
use drift_core::storage::sim::{Fault, SimFs};
use drift_core::storage::{Backend, LocalBackend, MemoryBackend};
use drift_core::sync::{AtomicU64, Condvar, Mutex, model::explore, step};
use drift_core::types::{
    HitIds, IdType, Ids, Include, Metric, Missing, Schema, SearchOptions, Vectors, never_interrupt,
};
use shuttle::thread;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const DIM: usize = 2;

#[allow(clippy::disallowed_methods)] // The harness is told by the environment what to run.
fn number_of(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => default,
    }
}

/// Explores as many orders as the environment says, or `default`.
fn explored(default: u64, body: impl Fn() + Send + Sync + 'static) {
    let (runs, seed) = (number_of("DRIFT_INTERLEAVINGS", default), number_of("DRIFT_SEED", 1));
    let _doing = Doing(seed);
    explore(usize::try_from(runs).expect("a count"), seed, body);
    println!("DRIFT_SEED={seed}: {runs} orders");
}

/// Says on a panic which orders were tried; shuttle says which one it was.
struct Doing(u64);

impl Drop for Doing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("DRIFT_SEED={}", self.0);
        }
    }
}

fn config(durability: Durability, memtable_rows_max: usize) -> Config {
    Config { durability, memtable_rows_max, bucket_rows_target: 8, frozen_memtables_max: 64, ..Config::default() }
}

fn open_on(backend: Arc<dyn Backend>, config: Config) -> Database {
    Database::open_on(backend, config, Components::simulated(3)).expect("open")
}

fn create(backend: Arc<dyn Backend>, config: Config) -> (Database, Collection) {
    let database = open_on(backend, config);
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    let collection = database.create_collection("rows", schema, false).expect("create");
    (database, collection)
}

fn upsert(collection: &Collection, ids: &[i64], version: u64) {
    let vectors: Vec<f32> = ids.iter().flat_map(|id| [*id as f32, version as f32]).collect();
    collection.upsert(&Ids::Int(ids.to_vec()), Vectors::F32(&vectors), None).expect("upsert");
}

/// Version of each of these ids that is there.
fn versions(collection: &Collection, ids: &[i64]) -> BTreeMap<i64, u64> {
    let rows = collection.get(&Ids::Int(ids.to_vec()), Missing::Skip, &Include::Nothing).expect("get");
    let Ids::Int(found) = rows.ids else { panic!("int ids") };
    found.into_iter().zip(rows.vectors.chunks_exact(DIM).map(|vector| vector[1] as u64)).collect()
}

/// Ids that exact search finds, in order.
fn searched(collection: &Collection) -> Vec<i64> {
    let options = SearchOptions { k: 100, exact: true, ..SearchOptions::default() };
    let hits = collection.search(&[0.0; DIM], &options, &never_interrupt).expect("search");
    let HitIds::Int(mut found) = hits.ids else { panic!("int ids") };
    found.retain(|id| *id >= 0);
    found.sort_unstable();
    found
}

#[test]
fn a_reader_sees_each_id_once_and_never_an_older_version_while_commits_publish() {
    explored(120, || {
        const IDS: [i64; 6] = [0, 1, 2, 3, 4, 5];
        let store = Arc::new(MemoryBackend::open("", true, false).expect("a store"));
        let (_database, collection) = create(store, config(Durability::Os, 16));
        upsert(&collection, &IDS, 1);
        let (writing, jobs, reading) = (collection.clone(), collection.clone(), collection.clone());
        let writer = thread::spawn(move || {
            // The second of these fills the memtable, so that it rotates.
            (2..5).for_each(|version| upsert(&writing, &IDS[..5], version));
        });
        let job = thread::spawn(move || {
            for _ in 0..2 {
                jobs.flush().expect("flush");
                jobs.run_maintenance().expect("maintenance");
            }
        });
        let reader = thread::spawn(move || {
            let mut before = versions(&reading, &IDS);
            for _ in 0..4 {
                assert_eq!(searched(&reading), IDS, "each id is there, once");
                let now = versions(&reading, &IDS);
                assert_eq!(now.len(), IDS.len(), "no id is missing: {now:?}");
                assert!(IDS.iter().all(|id| before[id] <= now[id]), "{before:?}, and then {now:?}");
                before = now;
            }
        });
        for thread in [writer, job, reader] {
            thread.join().expect("a thread");
        }
        assert_eq!(versions(&collection, &IDS), BTreeMap::from([(0, 4), (1, 4), (2, 4), (3, 4), (4, 4), (5, 1)]));
        assert!(collection.verify().expect("verify").problems.is_empty());
    });
}

#[test]
fn writers_that_rotate_the_memtable_beside_each_other_and_a_flush_lose_no_row() {
    explored(200, || {
        let store = Arc::new(MemoryBackend::open("", true, false).expect("a store"));
        let (database, collection) = create(store.clone(), config(Durability::Always, 16));
        // Two writes fill a memtable.
        let batch = |writer: i64, at: i64| -> Vec<i64> { (0..8).map(|row| 100 * writer + 10 * at + row).collect() };
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let collection = collection.clone();
                thread::spawn(move || (0..3).for_each(|at| upsert(&collection, &batch(writer, at), 1)))
            })
            .collect();
        let flushing = collection.clone();
        let flush = thread::spawn(move || (0..2).for_each(|_| flushing.flush().expect("flush")));
        for thread in writers.into_iter().chain([flush]) {
            thread.join().expect("a thread");
        }
        let all: Vec<i64> = (0..3).flat_map(|writer| (0..3).flat_map(move |at| batch(writer, at))).collect();
        assert_eq!(searched(&collection), all);
        drop(collection);
        database.close().expect("close");
        let database = open_on(store, config(Durability::Always, 16));
        let collection = database.open_collection("rows").expect("open");
        assert_eq!(searched(&collection), all, "and none is lost by replay");
        assert!(collection.verify().expect("verify").problems.is_empty());
    });
}

#[test]
fn files_that_jobs_delete_are_no_loss_for_readers_and_backups_under_way() {
    explored(60, || {
        const IDS: [i64; 6] = [0, 1, 2, 3, 4, 5];
        let store = Arc::new(MemoryBackend::open("", true, false).expect("a store"));
        let (database, collection) = create(store.clone(), config(Durability::Os, 64));
        upsert(&collection, &IDS, 1);
        collection.flush().expect("flush");
        upsert(&collection, &IDS, 2);
        let (jobs, reading) = (collection.clone(), collection.clone());
        let job = thread::spawn(move || {
            jobs.flush().expect("flush");
            jobs.optimize().expect("optimize");
            upsert(&jobs, &[0], 3);
            jobs.flush().expect("flush");
            jobs.run_maintenance().expect("maintenance");
        });
        let reader = thread::spawn(move || {
            for _ in 0..3 {
                assert_eq!(searched(&reading), IDS);
                assert_eq!(versions(&reading, &IDS).len(), IDS.len());
            }
        });
        let backups = Arc::new(MemoryBackend::open("", true, false).expect("a store"));
        let target = backups.clone();
        let backup = thread::spawn(move || {
            let mut go_on = |_| ControlFlow::Continue(());
            database.backup_on(target, true, &mut go_on).expect("a backup beside jobs");
        });
        for thread in [job, reader, backup] {
            thread.join().expect("a thread");
        }
        let mut go_on = |_| ControlFlow::Continue(());
        let restored = Arc::new(MemoryBackend::open("", true, false).expect("a store"));
        let moment = drift_core::db::Moment::Newest;
        drift_core::db::restore_on(&*backups, restored.clone(), moment, &mut go_on).expect("restore");
        let database = open_on(restored, config(Durability::Os, 64));
        let collection = database.open_collection("rows").expect("open");
        let found = versions(&collection, &IDS);
        assert!(found.len() == IDS.len() && found.values().all(|version| *version >= 2), "{found:?}");
        assert!(collection.verify().expect("verify").problems.is_empty());
    });
}

fn on_disk(fs: &SimFs) -> Arc<dyn Backend> {
    Arc::new(LocalBackend::open(Path::new("/data/db"), Arc::new(fs.clone()), true, false).expect("a disk"))
}

#[test]
fn what_the_group_commit_acknowledges_survives_a_power_loss_at_that_moment() {
    explored(150, || {
        let fs = SimFs::default();
        let (_database, collection) = create(on_disk(&fs), config(Durability::Always, 64));
        // Others may go on before each call of the disk as well.
        fs.observe(Some(Arc::new(|_, _| step())));
        let writers: Vec<_> = (0..3)
            .map(|id| {
                let (collection, fs) = (collection.clone(), fs.clone());
                thread::spawn(move || {
                    upsert(&collection, &[id], 7);
                    // Only what this writer was told is looked for: others may be amid theirs.
                    let left = fs.after_power_loss(fs.operations(), id as u64);
                    let database = open_on(on_disk(&left), config(Durability::Always, 64));
                    let recovered = database.open_collection("rows").expect("open");
                    assert_eq!(versions(&recovered, &[id]), BTreeMap::from([(id, 7)]));
                })
            })
            .collect();
        for thread in writers {
            thread.join().expect("a thread");
        }
    });
}

#[test]
fn after_a_failed_fsync_no_waiting_writer_is_acknowledged() {
    explored(150, || {
        let fs = SimFs::default();
        let (_database, collection) = create(on_disk(&fs), config(Durability::Always, 64));
        upsert(&collection, &[9], 1);
        // From here on the disk fails: every call that is an fsync is among the next ones.
        fs.fail(fs.calls()..u64::MAX, Fault::Io);
        let writers: Vec<_> = (0..3)
            .map(|id| {
                let collection = collection.clone();
                thread::spawn(move || {
                    let vector = [id as f32, 1.0];
                    let outcome = collection.upsert(&Ids::Int(vec![id]), Vectors::F32(&vector), None);
                    assert!(outcome.is_err(), "nothing is acknowledged on a disk that fails");
                })
            })
            .collect();
        for thread in writers {
            thread.join().expect("a thread");
        }
        fs.heal();
        let more = collection.upsert(&Ids::Int(vec![5]), Vectors::F32(&[5.0, 1.0]), None);
        assert!(more.is_err(), "a poisoned log takes no more writes, whatever the disk says now");
        assert_eq!(versions(&collection, &[9]), BTreeMap::from([(9, 1)]), "reads go on");
    });
}

#[test]
fn regression_a_writer_that_waits_for_room_ends_with_the_close() {
    explored(300, || {
        let store = Arc::new(MemoryBackend::open("", true, false).expect("a store"));
        let full = Config { frozen_memtables_max: 1, ..config(Durability::Os, 16) };
        let (database, collection) = create(store, full);
        let ids: Vec<i64> = (0..16).collect();
        upsert(&collection, &ids, 1);
        let writer = thread::spawn(move || {
            // There is no room before a flush, and nothing flushes.
            let outcome = collection.upsert(&Ids::Int(vec![99]), Vectors::F32(&[1.0, 1.0]), None);
            assert_eq!(outcome.expect_err("a write into a closed database").kind(), ErrorKind::Closed);
        });
        database.close().expect("close");
        writer.join().expect("the writer");
    });
}

#[test]
fn an_order_in_which_two_threads_lose_a_count_and_one_that_misses_a_wake_up_are_found() {
    let lost = std::panic::catch_unwind(|| {
        explore(200, 1, || {
            let count = Arc::new(AtomicU64::new(0));
            let add = |count: &AtomicU64| count.store(count.load(Ordering::SeqCst) + 1, Ordering::SeqCst);
            let other = count.clone();
            let thread = thread::spawn(move || add(&other));
            add(&count);
            thread.join().expect("a thread");
            assert_eq!(count.load(Ordering::SeqCst), 2);
        });
    });
    assert!(lost.is_err(), "both read 0 in some order");
    let missed = std::panic::catch_unwind(|| {
        explore(200, 1, || {
            let shared = Arc::new((Mutex::new(false), Condvar::new()));
            let other = shared.clone();
            let thread = thread::spawn(move || {
                *other.0.lock() = true;
                other.1.notify_all();
            });
            // It looks, lets go of the lock, and then waits for what may have come in between.
            let is_done = *shared.0.lock();
            if !is_done {
                shared.1.wait(&mut shared.0.lock());
            }
            thread.join().expect("a thread");
        });
    });
    assert!(missed.is_err(), "the notification comes before the wait in some order");
}
