//! Objects in the memory of the process, for `memory://name` and for tests.
//!
//! Layer 3. A name stands for one store for as long as the process lives; durability is the process's life.

use super::{Backend, LockGuard, LogFile, ReadFile, WriteFile};
use crate::error::{Error, ErrorKind, Result};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, LazyLock};

type Object = Arc<RwLock<Vec<u8>>>;

#[derive(Default)]
struct Store {
    objects: RwLock<BTreeMap<String, Object>>,
    locks: Mutex<HashSet<String>>,
}

static STORES: LazyLock<Mutex<HashMap<String, Arc<Store>>>> = LazyLock::new(Mutex::default);

/// A store in memory, seen from a folder.
#[derive(Clone)]
pub struct MemoryBackend {
    store: Arc<Store>,
    name: String,
    folder: String,
}

impl MemoryBackend {
    /// The process's store called `name`; an empty name is a store of its own.
    pub fn named(name: &str) -> MemoryBackend {
        let store = match name {
            "" => Arc::default(),
            name => STORES.lock().entry(name.to_owned()).or_default().clone(),
        };
        MemoryBackend { store, name: name.to_owned(), folder: String::new() }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.folder)
    }

    fn find(&self, name: &str) -> Result<Object> {
        let object = self.store.objects.read().get(&self.key(name)).cloned();
        object.ok_or_else(|| Error::not_found(format!("{} has no object {name}", self.describe())))
    }

    fn insert(&self, name: &str, bytes: Vec<u8>) -> Result<Object> {
        let mut objects = self.store.objects.write();
        let key = self.key(name);
        if objects.contains_key(&key) {
            let message = format!("{} has an object {name} already", self.describe());
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        let object: Object = Arc::new(RwLock::new(bytes));
        objects.insert(key, object.clone());
        Ok(object)
    }
}

struct MemoryFile(Object);

impl ReadFile for MemoryFile {
    fn len(&self) -> u64 {
        self.0.read().len() as u64
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let bytes = self.0.read();
        let from = usize::try_from(offset).ok().and_then(|start| bytes.get(start..)?.get(..out.len()));
        let from = from.ok_or_else(|| Error::corrupt(format!("an object in memory ends before offset {offset}")))?;
        out.copy_from_slice(from);
        Ok(())
    }
}

struct MemoryWrite {
    backend: MemoryBackend,
    name: String,
    bytes: Vec<u8>,
}

impl WriteFile for MemoryWrite {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.backend.insert(&self.name, self.bytes).map(|_| ())
    }
}

impl LogFile for MemoryFile {
    fn append(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut object = self.0.write();
        object.truncate(offset as usize);
        object.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.0.write().truncate(len as usize);
        Ok(())
    }
}

struct MemoryLock {
    store: Arc<Store>,
    key: String,
}

impl LockGuard for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.store.locks.lock().remove(&self.key);
    }
}

impl Backend for MemoryBackend {
    fn describe(&self) -> String {
        format!("memory://{}", self.name)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        Ok(self.find(name)?.read().clone())
    }

    fn open(&self, name: &str) -> Result<Arc<dyn ReadFile>> {
        Ok(Arc::new(MemoryFile(self.find(name)?)))
    }

    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.insert(name, bytes.to_vec()).map(|_| ())
    }

    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>> {
        Ok(Box::new(MemoryWrite { backend: self.clone(), name: name.to_owned(), bytes: Vec::new() }))
    }

    fn create_log(&self, name: &str) -> Result<Arc<dyn LogFile>> {
        Ok(Arc::new(MemoryFile(self.insert(name, Vec::new())?)))
    }

    fn truncate_log(&self, name: &str, len: u64) -> Result<()> {
        MemoryFile(self.find(name)?).truncate(len)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let prefix = self.key(&format!("{folder}/"));
        let objects = self.store.objects.read();
        let below = objects.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        Ok(below.map(|(key, _)| key[prefix.len()..].to_owned()).filter(|name| !name.contains('/')).collect())
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.store.objects.write().remove(&self.key(name));
        Ok(())
    }

    fn delete_tree(&self, folder: &str) -> Result<()> {
        let prefix = self.key(&format!("{folder}/"));
        self.store.objects.write().retain(|key, _| !key.starts_with(&prefix));
        Ok(())
    }

    fn lock(&self, name: &str) -> Result<Box<dyn LockGuard>> {
        let key = self.key(name);
        if !self.store.locks.lock().insert(key.clone()) {
            let message = format!("{} is open in another handle: close it there", self.describe());
            return Err(Error::new(ErrorKind::Locked, message));
        }
        Ok(Box::new(MemoryLock { store: self.store.clone(), key }))
    }

    fn scoped(&self, folder: &str) -> Arc<dyn Backend> {
        Arc::new(MemoryBackend { folder: self.key(&format!("{folder}/")), ..self.clone() })
    }
}
