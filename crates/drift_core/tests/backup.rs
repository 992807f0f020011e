//! Power loss, kills and failing calls at every operation of a backup and of a restore.
//!
//! The folder of backups, and then the restored database, are on a simulated disk. Whatever happens: a backup that
//! returned is listed, what is listed can be restored and holds what the database held at its call, the next backup
//! works; a restored database is whole, or does not open and can be restored again.

use drift_core::clock::Components;
use drift_core::config::{Config, Durability};
use drift_core::db::{BackupInfo, BackupProgress, Database, Moment, restore_on};
use drift_core::error::{Error, ErrorKind, Result};
use drift_core::storage::sim::{Fault, SimFs};
use drift_core::storage::{Backend, Fs, LocalBackend, MemoryBackend};
use drift_core::types::{IdType, Ids, Include, Metric, Missing, Schema, Vectors};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

const DIM: usize = 4;
const BACKUPS: i64 = 3;

/// Power losses that a disk is looked at after, at each operation: what survives is drawn.
const LOSSES: u64 = 3;

fn go_on(_: BackupProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn config() -> Config {
    Config { durability: Durability::Os, memtable_rows_max: 16, bucket_rows_target: 8, ..Config::default() }
}

/// A disk with an empty folder.
fn disk() -> SimFs {
    let fs = SimFs::default();
    fs.create_dir(Path::new("/data")).and_then(|()| fs.sync_dir(Path::new("/"))).expect("a disk that works");
    fs
}

fn folder(fs: &SimFs, path: &str) -> Result<Arc<dyn Backend>> {
    Ok(Arc::new(LocalBackend::open(Path::new(path), Arc::new(fs.clone()), true, false)?))
}

fn memory() -> Arc<dyn Backend> {
    Arc::new(MemoryBackend::open("", true, false).expect("a store in memory"))
}

fn open(backend: Arc<dyn Backend>) -> Result<Database> {
    Database::open_on(backend, config(), Components::simulated(1))
}

/// A database in memory that gets more rows before each backup.
struct Source(Database);

impl Source {
    fn new() -> Source {
        let database = open(memory()).expect("a database");
        let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
        database.create_collection("rows", schema, false).expect("a collection");
        Source(database)
    }

    /// Rows `10 number..10 number + 10`, every second time flushed.
    fn write(&self, number: i64) {
        let rows = self.0.open_collection("rows").expect("the collection");
        let ids: Vec<i64> = (10 * number..10 * number + 10).collect();
        let values: Vec<f32> = ids.iter().flat_map(|&id| [id as f32; DIM]).collect();
        rows.upsert(&Ids::Int(ids), Vectors::F32(&values), None).expect("a write");
        if number % 2 == 1 {
            rows.flush().expect("a flush");
        }
    }

    fn backup(&self, fs: &SimFs) -> Result<BackupInfo> {
        self.0.backup_on(folder(fs, "/data/kept")?, true, &mut go_on)
    }
}

/// Fails unless `backend` holds what the source held after `writes` writes.
fn check(backend: Arc<dyn Backend>, writes: i64) {
    let database = open(backend).expect("it opens");
    let rows = database.open_collection("rows").expect("the collection");
    let ids = Ids::Int((10..10 + 10 * writes).collect());
    assert_eq!(rows.len().expect("a count"), 10 * writes as u64);
    let found = rows.get(&ids, Missing::Error, &Include::Nothing).expect("all rows");
    let expected: Vec<f32> = (10..10 + 10 * writes).flat_map(|id| [id as f32; DIM]).collect();
    assert_eq!(found.vectors, expected);
    assert_eq!(rows.verify().expect("a check").problems, Vec::<String>::new());
}

/// Fails unless all of the first `returned` backups are there, at most one more, and every one is whole.
fn check_kept(fs: &SimFs, returned: i64) -> i64 {
    let mut listed = 0;
    loop {
        let from = folder(fs, "/data/kept").expect("the folder");
        let target = memory();
        match restore_on(&*from, target.clone(), Moment::Number(listed as u64 + 1), &mut go_on) {
            Ok(_) => check(target, listed + 1),
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            Err(error) => panic!("backup {}: {error}", listed + 1),
        }
        listed += 1;
    }
    assert!((returned..=returned + 1).contains(&listed), "{listed} are listed, {returned} returned");
    listed
}

/// What is left of a disk after `operations`, by a kill and by power losses.
fn crashed(fs: &SimFs, operations: u64) -> impl Iterator<Item = SimFs> {
    let losses = (0..LOSSES).map(move |seed| fs.after_power_loss(operations, operations * LOSSES + seed));
    std::iter::once(fs.after_kill(operations)).chain(losses)
}

#[test]
fn a_backup_is_listed_when_it_is_whole_wherever_it_is_cut() {
    let fs = disk();
    let born = fs.operations();
    let source = Source::new();
    let mut returned = Vec::new();
    for number in 1..=BACKUPS {
        source.write(number);
        source.backup(&fs).expect("a backup");
        returned.push(fs.operations());
    }
    for operations in born..=fs.operations() {
        let count = returned.iter().filter(|&&end| end <= operations).count() as i64;
        for left in crashed(&fs, operations) {
            let listed = check_kept(&left, count);
            let next = source.backup(&left).expect("the next backup");
            assert_eq!(next.number as i64, listed + 1);
            let target = memory();
            restore_on(&*folder(&left, "/data/kept").expect("the folder"), target.clone(), Moment::Newest, &mut go_on)
                .expect("a restore");
            check(target, BACKUPS);
        }
    }
}

#[test]
fn a_backup_whose_disk_fails_is_an_error_and_spoils_nothing() {
    let clean = disk();
    let source = Source::new();
    source.write(1);
    source.backup(&clean).expect("a backup");
    let first = clean.calls();
    source.write(2);
    source.backup(&clean).expect("a backup");
    assert!(clean.calls() > first + 10, "the second backup makes calls");
    for number in first..clean.calls() {
        let action = clean.call(number).expect("a call").action;
        for fault in Fault::ALL.into_iter().filter(|fault| fault.fits(action) && *fault != Fault::Lost) {
            let fs = disk();
            let source = Source::new();
            source.write(1);
            source.backup(&fs).expect("a backup");
            source.write(2);
            fs.fail(number..number + 1, fault);
            let outcome = source.backup(&fs);
            fs.heal();
            if let Err(error) = &outcome {
                assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::Exhausted), "{fault:?} at {number}: {error}");
            }
            let left = fs.after_kill(fs.operations());
            check_kept(&left, 1 + i64::from(outcome.is_ok()));
            source.backup(&left).expect("the next backup");
        }
    }
}

#[test]
fn a_restored_database_is_whole_or_is_refused_wherever_it_is_cut() {
    let kept = disk();
    let source = Source::new();
    for number in 1..=2 {
        source.write(number);
    }
    source.backup(&kept).expect("a backup");
    let from = folder(&kept, "/data/kept").expect("the folder");
    let restore = |fs: &SimFs| restore_on(&*from, folder(fs, "/data/db")?, Moment::Newest, &mut go_on);
    let fs = disk();
    let born = fs.operations();
    restore(&fs).expect("a restore");
    for operations in born..=fs.operations() {
        for left in crashed(&fs, operations) {
            let ended = operations == fs.operations();
            let reader = Config { read_only: true, ..config() };
            let here = LocalBackend::open(Path::new("/data/db"), Arc::new(left.clone()), false, true);
            let opened = here.and_then(|here| Database::open_on(Arc::new(here), reader, Components::simulated(1)));
            match opened {
                Ok(database) => {
                    drop(database);
                    check(folder(&left, "/data/db").expect("the folder"), 2);
                    assert_eq!(restore(&left).expect_err("it is there").kind(), ErrorKind::AlreadyExists);
                }
                Err(error) => {
                    assert!(!ended, "it had returned: {error}");
                    assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound), "{error}");
                    restore(&left).expect("another restore");
                    check(folder(&left, "/data/db").expect("the folder"), 2);
                }
            }
        }
    }
}

#[test]
fn regression_files_that_later_backups_hold_outlive_the_record_of_their_own() {
    let (fs, source) = (disk(), Source::new());
    for number in 1..=2 {
        source.write(number);
        source.backup(&fs).expect("a backup");
    }
    let kept = folder(&fs, "/data/kept").expect("the folder of backups");
    kept.delete("backups/00000000000000000001").expect("a record deleted by hand");
    kept.put_if_absent("files/00000000000000000009/half", b"of a backup that did not finish").expect("a leftover");
    source.write(3);
    source.backup(&fs).expect("a backup");
    for number in 2..=3 {
        let restored = memory();
        restore_on(&*kept, restored.clone(), Moment::Number(number), &mut go_on).expect("it is whole");
        check(restored, i64::try_from(number).expect("a small number"));
    }
    assert!(kept.list("files/00000000000000000009").expect("a list").is_empty());
}

#[test]
fn a_stopped_restore_leaves_nothing() {
    let source = Source::new();
    source.write(1);
    let kept = memory();
    source.0.backup_on(kept.clone(), true, &mut go_on).expect("a backup");
    let target = memory();
    let stopped: Result<BackupInfo> =
        restore_on(&*kept, target.clone(), Moment::Newest, &mut |_| ControlFlow::Break(()));
    assert_eq!(stopped.map_err(|error: Error| error.kind()), Err(ErrorKind::Interrupted));
    assert_eq!(target.list("").expect("a list"), Vec::<String>::new());
    restore_on(&*kept, target.clone(), Moment::Newest, &mut go_on).expect("a restore");
    check(target, 1);
}
