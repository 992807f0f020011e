//! A collection that nobody uses touches no file and sets no timer, but one for the next row to expire.

use drift_core::clock::Components;
use drift_core::config::{Config, Durability};
use drift_core::db::{Collection, Database};
use drift_core::error::Result;
use drift_core::storage::{AppendFile, Backend, LockGuard, MemoryBackend, ReadFile, SyncFile, WriteFile};
use drift_core::types::{
    Column, Columns, EXPIRES_FIELD, FieldType, IdType, Ids, Metric, Schema, SearchOptions, Value, Vectors,
    never_interrupt,
};
use rand::RngExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const DIM: usize = 64;

/// More than what is searched whole, so that recall is measured.
const ROWS: i64 = 6_000;

/// Far more than background work takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(300);

/// Counts every call of a backend and of its files.
#[derive(Clone)]
struct Counting {
    inner: Arc<dyn Backend>,
    calls: Arc<AtomicU64>,
}

/// A file whose calls are counted.
struct File<T: ?Sized> {
    calls: Arc<AtomicU64>,
    inner: T,
}

impl Counting {
    fn counted(&self) -> &dyn Backend {
        self.calls.fetch_add(1, Ordering::Relaxed);
        &*self.inner
    }

    fn file<T>(&self, inner: T) -> File<T> {
        File { calls: self.calls.clone(), inner }
    }
}

impl<T> File<T> {
    fn count(&self) -> &T {
        self.calls.fetch_add(1, Ordering::Relaxed);
        &self.inner
    }

    fn count_mut(&mut self) -> &mut T {
        self.calls.fetch_add(1, Ordering::Relaxed);
        &mut self.inner
    }
}

impl Backend for Counting {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    fn read_only(&self) -> bool {
        self.inner.read_only()
    }
    fn read(&self, name: &str) -> Result<Vec<u8>> {
        self.counted().read(name)
    }
    fn open(&self, name: &str) -> Result<Arc<dyn ReadFile>> {
        Ok(Arc::new(self.file(self.counted().open(name)?)))
    }
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.counted().put_if_absent(name, bytes)
    }
    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>> {
        Ok(Box::new(self.file(self.counted().create(name)?)))
    }
    fn append(&self, name: &str, create_new: bool) -> Result<Box<dyn AppendFile>> {
        Ok(Box::new(self.file(self.counted().append(name, create_new)?)))
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.counted().list(prefix)
    }
    fn settle(&self, folder: &str) -> Result<()> {
        self.counted().settle(folder)
    }
    fn delete(&self, name: &str) -> Result<()> {
        self.counted().delete(name)
    }
    fn delete_tree(&self, prefix: &str) -> Result<()> {
        self.counted().delete_tree(prefix)
    }
    fn lock(&self, name: &str) -> Result<Box<dyn LockGuard>> {
        self.counted().lock(name)
    }
    fn scoped(&self, folder: &str) -> Arc<dyn Backend> {
        Arc::new(Counting { inner: self.inner.scoped(folder), calls: self.calls.clone() })
    }
}

impl ReadFile for File<Arc<dyn ReadFile>> {
    fn len(&self) -> u64 {
        self.inner.len()
    }
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.count().read_at(offset, out)
    }
}

impl WriteFile for File<Box<dyn WriteFile>> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.count_mut().write(bytes)
    }
    fn finish(self: Box<Self>) -> Result<()> {
        self.count();
        self.inner.finish()
    }
}

impl AppendFile for File<Box<dyn AppendFile>> {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.count_mut().append(bytes)
    }
    fn sync(&self) -> Result<()> {
        self.count().sync()
    }
    fn len(&self) -> u64 {
        self.inner.len()
    }
    fn truncate(&mut self, len: u64) -> Result<()> {
        self.count_mut().truncate(len)
    }
    fn syncer(&self) -> Arc<dyn SyncFile> {
        Arc::new(File { calls: self.calls.clone(), inner: self.inner.syncer() })
    }
}

impl SyncFile for File<Arc<dyn SyncFile>> {
    fn sync(&self) -> Result<()> {
        self.count().sync()
    }
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
        let calls = Arc::new(AtomicU64::new(0));
        let inner: Arc<dyn Backend> = Arc::new(MemoryBackend::open("", true, false).expect("a store"));
        let backend = Arc::new(Counting { inner, calls: calls.clone() });
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
    let calls = Arc::new(AtomicU64::new(0));
    let inner: Arc<dyn Backend> = Arc::new(MemoryBackend::open("", true, false).expect("a store"));
    let backend = Arc::new(Counting { inner, calls: calls.clone() });
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
