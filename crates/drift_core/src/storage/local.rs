//! A folder of a local file system.
//!
//! Layer 3. An object is written under a temporary name, fsynced, linked to its own name (which fails if that exists)
//! and its folder fsynced: it is there whole and durably, or not at all. Temporary names are never listed.

use super::{Backend, Fs, FsFile, LockGuard, LogFile, ReadFile, WriteFile};
use crate::error::{Error, ErrorKind, Result};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Begins every temporary name.
const TEMPORARY: &str = ".tmp-";

/// Numbers temporary names within the process; the lock keeps other processes away.
static NEXT_TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// Objects as files below a folder.
#[derive(Clone)]
pub struct LocalBackend {
    root: PathBuf,
    fs: Arc<dyn Fs>,
}

impl LocalBackend {
    /// A backend at `root`. With `create` the folder and its parents are made, durably; otherwise it must exist.
    pub fn open(root: &Path, fs: Arc<dyn Fs>, create: bool) -> Result<LocalBackend> {
        let backend = LocalBackend { root: root.to_path_buf(), fs };
        if create {
            backend.make_folder(root)?;
        } else if !backend.fs.exists(root) {
            return Err(Error::not_found(format!("there is no database at {}", root.display())));
        }
        Ok(backend)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn make_folder(&self, folder: &Path) -> Result<()> {
        if self.fs.exists(folder) {
            return Ok(());
        }
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.make_folder(parent)?;
        self.fs.create_dir(folder).map_err(|error| failed("create folder", folder, error))?;
        self.fs.sync_dir(parent).map_err(|error| failed("sync folder", parent, error))
    }

    /// Makes the folder of `path` and returns it.
    fn folder_of<'a>(&self, path: &'a Path) -> Result<&'a Path> {
        let folder = path.parent().expect("invariant: an object's path has the root above it");
        self.make_folder(folder)?;
        Ok(folder)
    }

    fn create_file(&self, name: &str) -> Result<LocalWrite> {
        let target = self.path(name);
        let folder = self.folder_of(&target)?.to_path_buf();
        let number = NEXT_TEMPORARY.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!("{TEMPORARY}{}-{number}", std::process::id()));
        // Of a process with the same number that was killed.
        let _ = self.fs.remove(&temporary);
        let file = self.fs.create_new(&temporary).map_err(|error| failed("create", &temporary, error))?;
        Ok(LocalWrite { fs: self.fs.clone(), file, folder, temporary, target, offset: 0 })
    }

    /// Removes temporary files of earlier processes in `folder`. For whoever holds the lock.
    pub fn remove_temporary(&self, folder: &str) -> Result<()> {
        let folder = self.path(folder);
        if !self.fs.exists(&folder) {
            return Ok(());
        }
        for name in self.fs.list(&folder).map_err(|error| failed("list", &folder, error))? {
            if name.starts_with(TEMPORARY) {
                let path = folder.join(name);
                self.fs.remove(&path).map_err(|error| failed("remove", &path, error))?;
            }
        }
        Ok(())
    }
}

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    Error::io(format!("cannot {what} {}", path.display()), error)
}

struct LocalFile {
    file: Box<dyn FsFile>,
    path: PathBuf,
    len: u64,
}

impl ReadFile for LocalFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.file.read_at(offset, out).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::corrupt(format!(
                "{} at offset {offset}: the file ends before {} bytes could be read",
                self.path.display(),
                out.len()
            )),
            _ => failed("read", &self.path, error),
        })
    }
}

struct LocalWrite {
    fs: Arc<dyn Fs>,
    file: Box<dyn FsFile>,
    folder: PathBuf,
    temporary: PathBuf,
    target: PathBuf,
    offset: u64,
}

impl WriteFile for LocalWrite {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_at(self.offset, bytes).map_err(|error| failed("write", &self.target, error))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.file.sync().map_err(|error| failed("sync", &self.target, error))?;
        self.fs.link(&self.temporary, &self.target).map_err(|error| failed("create", &self.target, error))?;
        self.fs.sync_dir(&self.folder).map_err(|error| failed("sync folder", &self.folder, error))
    }
}

impl Drop for LocalWrite {
    fn drop(&mut self) {
        // Left behind it is ignored, and removed by the next open.
        let _ = self.fs.remove(&self.temporary);
    }
}

struct LocalLog {
    file: Box<dyn FsFile>,
    path: PathBuf,
}

impl LogFile for LocalLog {
    fn append(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_at(offset, bytes).map_err(|error| failed("append to", &self.path, error))
    }

    fn sync(&self) -> Result<()> {
        self.file.sync().map_err(|error| failed("sync", &self.path, error))
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.file.set_len(len).map_err(|error| failed("truncate", &self.path, error))?;
        self.sync()
    }
}

struct LocalLock {
    _file: Box<dyn FsFile>,
}

impl LockGuard for LocalLock {}

impl Backend for LocalBackend {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let file = self.open(name)?;
        let len = usize::try_from(file.len()).map_err(|_| Error::corrupt(format!("{name}: impossible length")))?;
        let mut bytes = vec![0; len];
        file.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    fn open(&self, name: &str) -> Result<Arc<dyn ReadFile>> {
        let path = self.path(name);
        let file = self.fs.open(&path).map_err(|error| failed("open", &path, error))?;
        let len = file.len().map_err(|error| failed("measure", &path, error))?;
        Ok(Arc::new(LocalFile { file, path, len }))
    }

    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut file = Box::new(self.create_file(name)?);
        file.write(bytes)?;
        file.finish()
    }

    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>> {
        Ok(Box::new(self.create_file(name)?))
    }

    fn create_log(&self, name: &str) -> Result<Arc<dyn LogFile>> {
        let path = self.path(name);
        let folder = self.folder_of(&path)?;
        let file = self.fs.create_new(&path).map_err(|error| failed("create", &path, error))?;
        self.fs.sync_dir(folder).map_err(|error| failed("sync folder", folder, error))?;
        Ok(Arc::new(LocalLog { file, path }))
    }

    fn truncate_log(&self, name: &str, len: u64) -> Result<()> {
        let path = self.path(name);
        let file = self.fs.open_or_create(&path).map_err(|error| failed("open", &path, error))?;
        LocalLog { file, path }.truncate(len)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.path(folder);
        if !self.fs.exists(&path) {
            return Ok(Vec::new());
        }
        let mut names = self.fs.list(&path).map_err(|error| failed("list", &path, error))?;
        names.retain(|name| !name.starts_with(TEMPORARY));
        names.sort_unstable();
        Ok(names)
    }

    fn delete(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        match self.fs.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path, error)),
            _ => Ok(()),
        }
    }

    fn delete_tree(&self, folder: &str) -> Result<()> {
        let path = self.path(folder);
        match self.fs.remove_tree(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path, error)),
            _ => Ok(()),
        }
    }

    fn lock(&self, name: &str) -> Result<Box<dyn LockGuard>> {
        let path = self.path(name);
        let file = self.fs.open_or_create(&path).map_err(|error| failed("open", &path, error))?;
        if !file.try_lock().map_err(|error| failed("lock", &path, error))? {
            return Err(Error::new(
                ErrorKind::Locked,
                format!(
                    "{} is open in another process or handle: close it there, or open it with read_only=True",
                    self.describe()
                ),
            ));
        }
        Ok(Box::new(LocalLock { _file: file }))
    }

    fn scoped(&self, folder: &str) -> Arc<dyn Backend> {
        Arc::new(LocalBackend { root: self.path(folder), fs: self.fs.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::OsFs;

    fn backend() -> (tempfile::TempDir, LocalBackend) {
        let folder = tempfile::tempdir().expect("a folder");
        let backend = LocalBackend::open(&folder.path().join("a/b"), Arc::new(OsFs), true).expect("a backend");
        (folder, backend)
    }

    #[test]
    fn an_object_is_put_once() {
        let (_folder, backend) = backend();
        backend.put_if_absent("x/1", b"one").expect("put");
        assert_eq!(backend.put_if_absent("x/1", b"two").expect_err("again").kind(), ErrorKind::AlreadyExists);
        assert_eq!(backend.read("x/1").expect("read"), b"one");
        assert_eq!(backend.list("x").expect("list"), ["1"]);
        assert_eq!(backend.read("x/2").expect_err("missing").kind(), ErrorKind::NotFound);
    }

    #[test]
    fn an_unfinished_object_leaves_nothing() {
        let (_folder, backend) = backend();
        let mut file = backend.create("x/1").expect("create");
        file.write(b"half").expect("write");
        drop(file);
        assert!(backend.list("x").expect("list").is_empty());
    }

    #[test]
    fn a_lock_is_held_once_and_released_with_its_guard() {
        let (_folder, backend) = backend();
        let guard = backend.lock("LOCK").expect("lock");
        assert_eq!(backend.lock("LOCK").err().expect("held").kind(), ErrorKind::Locked);
        drop(guard);
        backend.lock("LOCK").expect("free again");
    }
}
