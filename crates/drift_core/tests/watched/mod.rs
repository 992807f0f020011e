//! A backend whose calls are watched.

use drift_core::error::Result;
use drift_core::storage::{AppendFile, Backend, LockGuard, ReadFile, SyncFile, WriteFile};
use std::sync::Arc;

/// Told of each call before it is made.
pub type Watch = Arc<dyn Fn() + Send + Sync>;

/// A backend of whose calls, and of those to its files, somebody is told.
pub struct Watched {
    inner: Arc<dyn Backend>,
    watch: Watch,
}

/// A file of one.
struct File<T: ?Sized> {
    watch: Watch,
    inner: T,
}

impl Watched {
    /// `inner`, of whose calls `watch` is told.
    pub fn new(inner: Arc<dyn Backend>, watch: Watch) -> Watched {
        Watched { inner, watch }
    }

    fn told(&self) -> &dyn Backend {
        (self.watch)();
        &*self.inner
    }

    fn file<T>(&self, inner: T) -> File<T> {
        File { watch: self.watch.clone(), inner }
    }
}

impl<T> File<T> {
    fn told(&self) -> &T {
        (self.watch)();
        &self.inner
    }

    fn told_mut(&mut self) -> &mut T {
        (self.watch)();
        &mut self.inner
    }
}

impl Backend for Watched {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    fn read_only(&self) -> bool {
        self.inner.read_only()
    }
    fn read(&self, name: &str) -> Result<Vec<u8>> {
        self.told().read(name)
    }
    fn open(&self, name: &str) -> Result<Arc<dyn ReadFile>> {
        Ok(Arc::new(self.file(self.told().open(name)?)))
    }
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.told().put_if_absent(name, bytes)
    }
    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>> {
        Ok(Box::new(self.file(self.told().create(name)?)))
    }
    fn append(&self, name: &str, create_new: bool) -> Result<Box<dyn AppendFile>> {
        Ok(Box::new(self.file(self.told().append(name, create_new)?)))
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.told().list(prefix)
    }
    fn settle(&self, folder: &str) -> Result<()> {
        self.told().settle(folder)
    }
    fn delete(&self, name: &str) -> Result<()> {
        self.told().delete(name)
    }
    fn delete_tree(&self, prefix: &str) -> Result<()> {
        self.told().delete_tree(prefix)
    }
    fn lock(&self, name: &str) -> Result<Box<dyn LockGuard>> {
        self.told().lock(name)
    }
    fn scoped(&self, folder: &str) -> Arc<dyn Backend> {
        Arc::new(Watched { inner: self.inner.scoped(folder), watch: self.watch.clone() })
    }
}

impl ReadFile for File<Arc<dyn ReadFile>> {
    fn len(&self) -> u64 {
        self.inner.len()
    }
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.told().read_at(offset, out)
    }
}

impl WriteFile for File<Box<dyn WriteFile>> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.told_mut().write(bytes)
    }
    fn finish(self: Box<Self>) -> Result<()> {
        self.told();
        self.inner.finish()
    }
}

impl AppendFile for File<Box<dyn AppendFile>> {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.told_mut().append(bytes)
    }
    fn sync(&self) -> Result<()> {
        self.told().sync()
    }
    fn len(&self) -> u64 {
        self.inner.len()
    }
    fn truncate(&mut self, len: u64) -> Result<()> {
        self.told_mut().truncate(len)
    }
    fn syncer(&self) -> Arc<dyn SyncFile> {
        Arc::new(File { watch: self.watch.clone(), inner: self.inner.syncer() })
    }
}

impl SyncFile for File<Arc<dyn SyncFile>> {
    fn sync(&self) -> Result<()> {
        self.told().sync()
    }
}
