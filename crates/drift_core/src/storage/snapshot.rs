//! Files of a store as they were at one moment, held open: what a reader beside a writer works on.
//!
//! Layer 3. The writer may delete any of them: an open file outlives its name. It may append to the newest log: a file
//! ends here where it ended when it was added. What was not added does not exist. Nothing can be written.

use super::{AppendFile, Backend, LockGuard, ReadFile, WriteFile, read_whole, refuse_read_only, short_read};
use crate::error::{Error, Result};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;

type Files = BTreeMap<String, Arc<HeldFile>>;

/// Open files by name.
pub struct SnapshotBackend {
    origin: String,
    files: RwLock<Files>,
}

impl SnapshotBackend {
    /// No files yet, of the store that errors call `origin`.
    pub fn new(origin: String) -> SnapshotBackend {
        SnapshotBackend { origin, files: RwLock::default() }
    }

    /// Adds `file` as it is now.
    pub fn add(&self, name: String, file: Arc<dyn ReadFile>) {
        let held = HeldFile { name: format!("{}/{name}", self.origin), length: file.len(), file };
        self.files.write().insert(name, Arc::new(held));
    }

    /// Lengths by name.
    pub fn lengths(&self) -> BTreeMap<String, u64> {
        self.files.read().iter().map(|(name, file)| (name.clone(), file.length)).collect()
    }

    /// Takes the files of `newer`, of the same store, in place of its own.
    pub fn replace(&self, newer: &SnapshotBackend) {
        let files = newer.files.read().clone();
        *self.files.write() = files;
    }

    fn held(&self, name: &str) -> Result<Arc<HeldFile>> {
        let found = self.files.read().get(name).cloned();
        found.ok_or_else(|| Error::not_found(format!("{}/{name}: no such file", self.origin)))
    }

    fn refusal(&self) -> Error {
        refuse_read_only(&self.origin)
    }
}

impl Backend for SnapshotBackend {
    fn describe(&self) -> String {
        self.origin.clone()
    }

    fn read_only(&self) -> bool {
        true
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let held = self.held(name)?;
        read_whole(&held.name, &*held)
    }

    fn open(&self, name: &str) -> Result<Arc<dyn ReadFile>> {
        Ok(self.held(name)?)
    }

    fn put_if_absent(&self, _name: &str, _bytes: &[u8]) -> Result<()> {
        Err(self.refusal())
    }

    fn create(&self, _name: &str) -> Result<Box<dyn WriteFile>> {
        Err(self.refusal())
    }

    fn append(&self, _name: &str, _create_new: bool) -> Result<Box<dyn AppendFile>> {
        Err(self.refusal())
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let below = |name: &&String| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
        Ok(self.files.read().keys().filter(|name| prefix.is_empty() || below(name)).cloned().collect())
    }

    fn settle(&self, _folder: &str) -> Result<()> {
        Err(self.refusal())
    }

    fn delete(&self, _name: &str) -> Result<()> {
        Err(self.refusal())
    }

    fn delete_tree(&self, _prefix: &str) -> Result<()> {
        Err(self.refusal())
    }

    fn lock(&self, _name: &str) -> Result<Box<dyn LockGuard>> {
        Err(self.refusal())
    }

    fn scoped(&self, folder: &str) -> Arc<dyn Backend> {
        let inside = |(name, file): (&String, &Arc<HeldFile>)| {
            Some((name.strip_prefix(folder)?.strip_prefix('/')?.to_owned(), file.clone()))
        };
        let files = self.files.read().iter().filter_map(inside).collect();
        Arc::new(SnapshotBackend { origin: format!("{}/{folder}", self.origin), files: RwLock::new(files) })
    }
}

/// An open file that ends where it ended once.
struct HeldFile {
    name: String,
    length: u64,
    file: Arc<dyn ReadFile>,
}

impl ReadFile for HeldFile {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > self.length) {
            return Err(short_read(&self.name, offset, out.len(), self.length));
        }
        self.file.read_at(offset, out)
    }

    fn next_data(&self, offset: u64) -> Result<u64> {
        Ok(self.file.next_data(offset)?.min(self.length))
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryBackend;
    use super::*;
    use crate::error::ErrorKind;

    fn store() -> (MemoryBackend, SnapshotBackend) {
        let store = MemoryBackend::open("", true, false).expect("a store");
        store.put_if_absent("folder/log", b"one").expect("put");
        let snapshot = SnapshotBackend::new("there".to_owned());
        snapshot.add("folder/log".to_owned(), store.open("folder/log").expect("open"));
        (store, snapshot)
    }

    #[test]
    fn files_stay_as_they_were_when_they_grow_or_go() {
        let (store, snapshot) = store();
        store.append("folder/log", false).expect("open").append(b"two").expect("append");
        store.put_if_absent("folder/other", b"three").expect("put");
        assert_eq!(snapshot.read("folder/log").expect("read"), b"one");
        assert_eq!(snapshot.list("folder").expect("list"), ["folder/log"]);
        assert!(snapshot.list("fold").expect("list").is_empty(), "a prefix is a folder");
        store.delete("folder/log").expect("delete");
        assert_eq!(snapshot.scoped("folder").read("log").expect("read"), b"one");
        let error = snapshot.read("folder/other").expect_err("it came later");
        assert_eq!((error.kind(), error.message()), (ErrorKind::NotFound, "there/folder/other: no such file"));
    }

    #[test]
    fn a_read_beyond_the_end_is_refused_though_the_file_goes_on() {
        let (store, snapshot) = store();
        store.append("folder/log", false).expect("open").append(b"two").expect("append");
        let mut out = [0; 4];
        let error = snapshot.open("folder/log").expect("open").read_at(0, &mut out).expect_err("three bytes");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(snapshot.put_if_absent("x", b"").expect_err("read-only").kind(), ErrorKind::ReadOnly);
    }
}
