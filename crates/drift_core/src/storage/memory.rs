//! A store in memory, for `memory://name` databases and tests.
//!
//! Layer 3. Stores with a name live as long as the process, so that a database closed and opened again under the same
//! name is the same one; a store without a name belongs to its handles. It promises what a disk does but durability.

use super::{
    AppendFile, Backend, LockGuard, ReadFile, SyncFile, WriteFile, already_exists, check_name, locked,
    refuse_read_only, short_read,
};
use crate::error::{Error, Result};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

type Bytes = Arc<RwLock<Vec<u8>>>;

#[derive(Default)]
struct Store {
    objects: Mutex<BTreeMap<String, Bytes>>,
    locks: Mutex<HashSet<String>>,
}

static STORES: Mutex<BTreeMap<String, Arc<Store>>> = Mutex::new(BTreeMap::new());

/// A store in memory.
#[derive(Clone)]
pub struct MemoryBackend {
    name: String,
    store: Arc<Store>,
    /// Empty, or a folder with a `/` at its end.
    folder: String,
    read_only: bool,
}

impl MemoryBackend {
    /// The process's store called `name`, or a new one of its own for `""`. Without `create` it must be there.
    pub fn open(name: &str, create: bool, read_only: bool) -> Result<MemoryBackend> {
        let mut stores = STORES.lock();
        let store = match stores.get(name) {
            Some(store) => store.clone(),
            None if !create || read_only => {
                return Err(Error::not_found(format!("there is no database memory://{name} in this process")));
            }
            None => Arc::default(),
        };
        if !name.is_empty() {
            stores.insert(name.to_owned(), store.clone());
        }
        Ok(MemoryBackend { name: name.to_owned(), store, folder: String::new(), read_only })
    }

    /// Forgets the store called `name`; handles that are open keep it.
    pub fn forget(name: &str) {
        STORES.lock().remove(name);
    }

    fn key(&self, name: &str) -> Result<String> {
        check_name(name)?;
        Ok(format!("{}{name}", self.folder))
    }

    fn key_for_write(&self, name: &str) -> Result<String> {
        let key = self.key(name)?;
        if self.read_only {
            return Err(refuse_read_only(&self.describe()));
        }
        Ok(key)
    }

    fn get(&self, name: &str) -> Result<MemoryFile> {
        let key = self.key(name)?;
        match self.store.objects.lock().get(&key) {
            Some(bytes) => Ok(MemoryFile { key, bytes: bytes.clone() }),
            None => Err(Error::not_found(format!("{key}: no such object in {}", self.describe()))),
        }
    }
}

impl Store {
    fn insert(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        let mut objects = self.objects.lock();
        if objects.contains_key(key) {
            return Err(already_exists(key));
        }
        objects.insert(key.to_owned(), Arc::new(RwLock::new(bytes)));
        Ok(())
    }
}

impl Backend for MemoryBackend {
    fn describe(&self) -> String {
        format!("memory://{}", self.name)
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        Ok(self.get(name)?.bytes.read().clone())
    }

    fn open(&self, name: &str) -> Result<Arc<dyn ReadFile>> {
        Ok(Arc::new(self.get(name)?))
    }

    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.store.insert(&self.key_for_write(name)?, bytes.to_vec())
    }

    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>> {
        let key = self.key_for_write(name)?;
        Ok(Box::new(MemoryWrite { key, store: self.store.clone(), bytes: Vec::new() }))
    }

    fn append(&self, name: &str, create_new: bool) -> Result<Box<dyn AppendFile>> {
        let key = self.key_for_write(name)?;
        if create_new {
            self.store.insert(&key, Vec::new())?;
        }
        Ok(Box::new(self.get(name)?))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let folder = if prefix.is_empty() { self.folder.clone() } else { format!("{}/", self.key(prefix)?) };
        let objects = self.store.objects.lock();
        let below = objects.keys().filter(|key| key.starts_with(&folder));
        Ok(below.filter_map(|key| key.strip_prefix(&self.folder)).map(str::to_owned).collect())
    }

    fn settle(&self, folder: &str) -> Result<()> {
        self.key_for_write(folder).map(|_| ())
    }

    fn delete(&self, name: &str) -> Result<()> {
        let key = self.key_for_write(name)?;
        match self.store.objects.lock().remove(&key) {
            Some(_) => Ok(()),
            None => Err(Error::not_found(format!("{key}: no such object in {}", self.describe()))),
        }
    }

    fn delete_tree(&self, prefix: &str) -> Result<()> {
        let folder = format!("{}/", self.key_for_write(prefix)?);
        self.store.objects.lock().retain(|key, _| !key.starts_with(&folder));
        Ok(())
    }

    fn lock(&self, name: &str) -> Result<Box<dyn LockGuard>> {
        let key = self.key_for_write(name)?;
        if !self.store.locks.lock().insert(key.clone()) {
            return Err(locked(&self.describe()));
        }
        Ok(Box::new(MemoryLock { key, store: self.store.clone() }))
    }

    fn scoped(&self, folder: &str) -> Arc<dyn Backend> {
        Arc::new(MemoryBackend { folder: format!("{}{folder}/", self.folder), ..self.clone() })
    }
}

struct MemoryFile {
    key: String,
    bytes: Bytes,
}

impl ReadFile for MemoryFile {
    fn len(&self) -> u64 {
        self.bytes.read().len() as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let bytes = self.bytes.read();
        let start = usize::try_from(offset).ok();
        match start.and_then(|start| bytes.get(start..)?.get(..out.len())) {
            Some(found) => {
                out.copy_from_slice(found);
                Ok(())
            }
            None => Err(short_read(&self.key, offset, out.len(), bytes.len() as u64)),
        }
    }
}

impl AppendFile for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.write().extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn len(&self) -> u64 {
        self.bytes.read().len() as u64
    }

    fn truncate(&mut self, len: u64) -> Result<()> {
        self.bytes.write().truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(())
    }

    fn syncer(&self) -> Arc<dyn SyncFile> {
        Arc::new(MemorySync)
    }
}

struct MemorySync;

impl SyncFile for MemorySync {
    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

struct MemoryWrite {
    key: String,
    store: Arc<Store>,
    bytes: Vec<u8>,
}

impl WriteFile for MemoryWrite {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.store.insert(&self.key, self.bytes)
    }
}

struct MemoryLock {
    key: String,
    store: Arc<Store>,
}

impl LockGuard for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.store.locks.lock().remove(&self.key);
    }
}
