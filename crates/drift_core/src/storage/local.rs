//! A folder of a local disk as a store.
//!
//! Layer 3. How an object becomes durable: written under a temporary name, fsynced, linked to its own name (which
//! fails when that exists: nothing is ever overwritten), the temporary name removed, the folder fsynced. Each folder
//! that is used for writing is fsynced into its parent first, once per handle, also when it existed: a crashed process
//! may have created it just before. That holds for the lowest existing folder above a missing database, too: folders
//! are made from above, each durable before the next, so it alone may be one that a crash left behind. Temporary names
//! are never listed, and are removed by whoever takes the lock: only then is it certain that no other process is about
//! to link them. The folder may hold files of others: only where drift makes folders, and under the names that it makes
//! itself, is anything looked for to remove, and a folder of somebody else that cannot be read is passed over.
//!
//! Every failed fsync poisons the backend, its scoped ones and all their open files: see the invariants of `storage`.

use super::fs::{Fs, FsFile};
use super::local_files::{LocalAppend, LocalRead, LocalWrite};
use super::{
    AppendFile, Backend, LockGuard, ReadFile, TMP_SUFFIX, WriteFile, already_exists, check_name, locked, names,
    read_whole, refuse_read_only,
};
use crate::error::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Deepest folder that is listed: drift's own names have three parts below the database.
const DEPTH_MAX: usize = 8;

/// Names tried for a temporary file before giving up: each taken one is a leftover of another process.
const TMP_NAMES_MAX: u64 = 10_000;

/// A store in a folder.
#[derive(Clone)]
pub struct LocalBackend {
    disk: Arc<Disk>,
    root: PathBuf,
}

/// What a backend shares with its scoped ones and its open files.
pub(super) struct Disk {
    pub(super) fs: Arc<dyn Fs>,
    /// Folder of the whole store, which scoped backends are below.
    top: PathBuf,
    read_only: bool,
    poison: OnceLock<String>,
    tmp_next: AtomicU64,
    /// Folders known to be durable in their parents.
    durable: Mutex<HashSet<PathBuf>>,
}

impl Disk {
    /// Fails when an fsync has failed before.
    pub(super) fn check(&self) -> Result<()> {
        match self.poison.get() {
            None => Ok(()),
            Some(reason) => Err(Error::new(
                ErrorKind::Io,
                format!(
                    "an earlier fsync failed ({reason}) and writes are refused: close the database and open it again"
                ),
            )),
        }
    }

    /// The result of an fsync: a failure poisons.
    pub(super) fn synced(&self, path: &Path, result: io::Result<()>) -> Result<()> {
        result.map_err(|error| {
            let error = Error::io(format_args!("fsync of {}", path.display()), error);
            let _ = self.poison.set(error.message().to_owned());
            error
        })
    }

    pub(super) fn sync_dir(&self, path: &Path) -> Result<()> {
        self.check()?;
        self.synced(path, self.fs.sync_dir(path))
    }

    /// Creates a file under a temporary name beside `path`.
    pub(super) fn create_tmp(&self, path: &Path) -> Result<(PathBuf, Box<dyn FsFile>)> {
        for _ in 0..TMP_NAMES_MAX {
            let mut tmp = path.as_os_str().to_owned();
            tmp.push(format!(".{}{TMP_SUFFIX}", self.tmp_next.fetch_add(1, Ordering::Relaxed)));
            let tmp = PathBuf::from(tmp);
            match self.fs.create_new(&tmp) {
                Ok(file) => return Ok((tmp, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io(format_args!("creating {}", tmp.display()), error)),
            }
        }
        Err(Error::new(
            ErrorKind::Exhausted,
            format!("{}: {TMP_NAMES_MAX} leftover files are in the way", path.display()),
        ))
    }

    /// Fsyncs `file`, gives it the name `path` for good, and removes its temporary name.
    pub(super) fn publish(&self, tmp: &Path, file: &dyn FsFile, path: &Path) -> Result<()> {
        self.check()?;
        self.synced(tmp, file.sync())?;
        match self.fs.link(tmp, path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(already_exists(path.display())),
            Err(error) => return Err(Error::io(format_args!("linking {}", path.display()), error)),
        }
        // A leftover name costs nothing but room until the next open.
        let _ = self.fs.remove(tmp);
        self.sync_dir(path.parent().unwrap_or(Path::new("/")))
    }

    /// Makes the name of the folder `path` durable, which exists. Where its parent cannot be opened or synced, as with a
    /// mount point in a folder of somebody else, drift has not made it.
    fn settle_existing(&self, path: &Path) -> Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        match self.fs.sync_dir(parent) {
            Err(error) if is_foreign(&error) => Ok(()),
            result => self.synced(parent, result),
        }
    }

    /// Creates `folder` where it is missing, and makes it and the folders above it, up to `top`, durable.
    fn ensure_dir(&self, folder: &Path, top: &Path) -> Result<()> {
        let mut chain: Vec<&Path> = folder.ancestors().take_while(|path| path.starts_with(top)).collect();
        chain.reverse();
        for path in chain {
            if self.durable.lock().contains(path) {
                continue;
            }
            match self.fs.create_dir(path) {
                Ok(()) => {}
                Err(_) if self.fs.is_dir(path) => {}
                Err(error) => return Err(Error::io(format_args!("creating folder {}", path.display()), error)),
            }
            if let Some(parent) = path.parent() {
                self.sync_dir(parent)?;
            }
            self.durable.lock().insert(path.to_owned());
        }
        Ok(())
    }
}

impl LocalBackend {
    /// The store in the folder `path`. With `create` a missing folder is made, and those above it; a read-only store
    /// changes nothing at all.
    pub fn open(path: &Path, fs: Arc<dyn Fs>, create: bool, read_only: bool) -> Result<LocalBackend> {
        let root = std::path::absolute(path).map_err(|error| Error::io(path.display(), error))?;
        let disk = Disk {
            fs,
            top: root.clone(),
            read_only,
            poison: OnceLock::new(),
            tmp_next: AtomicU64::new(0),
            durable: Mutex::new(HashSet::new()),
        };
        let missing = !disk.fs.is_dir(&root);
        if missing && (read_only || !create) {
            return Err(Error::not_found(format!("there is no database folder {}", root.display())));
        }
        if !read_only {
            let mut top = root.as_path();
            while let Some(parent) = top.parent().filter(|_| missing)
                && !disk.fs.is_dir(parent)
            {
                top = parent;
            }
            if let Some(above) = top.parent().filter(|_| missing) {
                disk.settle_existing(above)?;
            }
            disk.ensure_dir(&root, top)?;
        }
        Ok(LocalBackend { disk: Arc::new(disk), root })
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        check_name(name)?;
        Ok(self.root.join(name))
    }

    /// The path of an object about to be written, in a folder that exists durably.
    fn path_for_write(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name)?;
        self.check_writable()?;
        if let Some(folder) = path.parent() {
            self.disk.ensure_dir(folder, &self.disk.top)?;
        }
        Ok(path)
    }

    fn check_writable(&self) -> Result<()> {
        if self.disk.read_only {
            return Err(refuse_read_only(&self.describe()));
        }
        self.disk.check()
    }

    /// Files below `folder`, in it and in those folders below that `enter` takes, with their names relative to the
    /// root, temporary ones included.
    fn walk(&self, folder: &str, enter: impl Fn(&str) -> bool) -> Result<Vec<String>> {
        let mut files = Vec::new();
        let mut folders = vec![(folder.to_owned(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let path = self.root.join(&folder);
            let entries = match self.disk.fs.list(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if depth > 0 && error.kind() == io::ErrorKind::PermissionDenied && !self.is_own(&path) => {
                    continue;
                }
                Err(error) => return Err(Error::io(format_args!("listing {}", path.display()), error)),
            };
            for entry in entries {
                let name = if folder.is_empty() { entry.name } else { format!("{folder}/{}", entry.name) };
                if !entry.is_dir {
                    files.push(name);
                } else if depth < DEPTH_MAX && enter(&name) {
                    folders.push((name, depth + 1));
                }
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    /// Whether drift makes folders of this name in the store.
    fn is_own(&self, folder: &Path) -> bool {
        folder.strip_prefix(&self.disk.top).is_ok_and(|name| name.to_str().is_some_and(names::is_folder))
    }

    /// Removes temporary files, which only a crashed writer can have left: the caller holds the lock. One that is gone
    /// meanwhile is as good as removed.
    fn remove_leftovers(&self) -> Result<()> {
        let is_leftover = |name: &&String| object_of_tmp(name).is_some_and(names::is_object);
        for name in self.walk("", names::is_folder)?.iter().filter(is_leftover) {
            let path = self.root.join(name);
            match self.disk.fs.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io(format_args!("removing {}", path.display()), error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether a folder does not let its names be synced by this user.
fn is_foreign(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | InvalidInput | Unsupported)
}

/// The object that a file is the beginning of, when it is named as [`Disk::create_tmp`] names files:
/// `<object>.<digits>.tmp`.
fn object_of_tmp(name: &str) -> Option<&str> {
    let (object, count) = name.strip_suffix(TMP_SUFFIX)?.rsplit_once('.')?;
    (!count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit())).then_some(object)
}

impl Backend for LocalBackend {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn read_only(&self) -> bool {
        self.disk.read_only
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        read_whole(self.root.join(name).display(), &*Backend::open(self, name)?)
    }

    fn open(&self, name: &str) -> Result<Arc<dyn ReadFile>> {
        let path = self.path(name)?;
        let file = self.disk.fs.open_read(&path).map_err(|error| Error::io(path.display(), error))?;
        Ok(Arc::new(LocalRead::new(path, file)?))
    }

    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut file = self.create(name)?;
        file.write(bytes)?;
        file.finish()
    }

    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>> {
        let path = self.path_for_write(name)?;
        Ok(Box::new(LocalWrite::create(self.disk.clone(), path)?))
    }

    fn append(&self, name: &str, create_new: bool) -> Result<Box<dyn AppendFile>> {
        let path = self.path_for_write(name)?;
        if create_new {
            self.put_if_absent(name, &[])?;
        }
        let file = self.disk.fs.open_append(&path).map_err(|error| Error::io(path.display(), error))?;
        Ok(Box::new(LocalAppend::new(self.disk.clone(), path, file)?))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        if !prefix.is_empty() {
            check_name(prefix)?;
        }
        let mut found = self.walk(prefix, |_| true)?;
        found.retain(|name| object_of_tmp(name).is_none());
        Ok(found)
    }

    fn settle(&self, folder: &str) -> Result<()> {
        let path = self.path(folder)?;
        self.check_writable()?;
        if self.disk.fs.is_dir(&path) { self.disk.sync_dir(&path) } else { Ok(()) }
    }

    fn delete(&self, name: &str) -> Result<()> {
        let path = self.path(name)?;
        self.check_writable()?;
        self.disk.fs.remove(&path).map_err(|error| Error::io(format_args!("removing {}", path.display()), error))
    }

    fn delete_tree(&self, prefix: &str) -> Result<()> {
        let path = self.path(prefix)?;
        self.check_writable()?;
        self.disk.durable.lock().retain(|folder| !folder.starts_with(&path));
        match self.disk.fs.remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format_args!("removing {}", path.display()), error))
            }
            _ => Ok(()),
        }
    }

    fn lock(&self, name: &str) -> Result<Box<dyn LockGuard>> {
        let path = self.path_for_write(name)?;
        let in_path = |error| Error::io(format_args!("locking {}", path.display()), error);
        let file = match self.disk.fs.create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.disk.fs.open_append(&path),
            other => other,
        }
        .map_err(in_path)?;
        if !file.try_lock().map_err(in_path)? {
            return Err(locked(&self.describe()));
        }
        // From here on whatever fails ends the lock.
        let lock = LocalLock { file, process: std::process::id() };
        self.remove_leftovers()?;
        Ok(Box::new(lock))
    }

    fn scoped(&self, folder: &str) -> Arc<dyn Backend> {
        Arc::new(LocalBackend { disk: self.disk.clone(), root: self.root.join(folder) })
    }

    fn poisoned(&self) -> Option<String> {
        self.disk.poison.get().cloned()
    }
}

/// A lock of the process that took it. Closing the file is not enough: a child that was forked meanwhile has it open, too,
/// and with it the lock, for as long as the child lives. Nor may the child end the lock of its parent.
struct LocalLock {
    file: Box<dyn FsFile>,
    process: u32,
}

impl LockGuard for LocalLock {}

impl Drop for LocalLock {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return;
        }
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "the lock of a database ends with the children that were forked meanwhile");
        }
    }
}
