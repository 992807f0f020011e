//! The system calls that [`LocalBackend`](super::LocalBackend) is made of, as a trait, so that tests can put a
//! simulated or failing disk in their place.
//!
//! Layer 3. No policy here: each method is one call of the operating system. `sync` is `fdatasync`, which also writes
//! the length and everything else that is needed to read the data back.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Result, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Name within the folder.
    pub name: String,
    /// Whether it is a folder itself. Symbolic links are not followed.
    pub is_dir: bool,
}

/// Files and folders of a disk.
pub trait Fs: Send + Sync {
    /// Creates a file and opens it to read and append; AlreadyExists when the name is taken.
    fn create_new(&self, path: &Path) -> Result<Box<dyn FsFile>>;
    /// Opens a file for reading.
    fn open_read(&self, path: &Path) -> Result<Box<dyn FsFile>>;
    /// Opens an existing file to read and append.
    fn open_append(&self, path: &Path) -> Result<Box<dyn FsFile>>;
    /// Gives a file a second name; AlreadyExists when it is taken.
    fn link(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> Result<()>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> Result<()>;
    /// Entries of a folder, in any order; names that are not UTF-8 are left out, as drift makes none.
    fn list(&self, path: &Path) -> Result<Vec<DirEntry>>;
    /// Whether the path is a folder.
    fn is_dir(&self, path: &Path) -> bool;
    /// Creates a folder in an existing one; AlreadyExists when the name is taken.
    fn create_dir(&self, path: &Path) -> Result<()>;
    /// Removes a folder and all it contains.
    fn remove_dir_all(&self, path: &Path) -> Result<()>;
}

/// An open file. All methods work through a shared reference, so that a sync can run beside an append.
#[allow(clippy::len_without_is_empty)] // A file is not a collection.
pub trait FsFile: Send + Sync {
    /// Writes all of `bytes` at the end.
    fn write_all(&self, bytes: &[u8]) -> Result<()>;
    /// Fills `out` from `offset`; UnexpectedEof when the file ends before that.
    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<()>;
    /// Length in bytes.
    fn len(&self) -> Result<u64>;
    /// Where the next bytes from `offset` on are that are no hole of the file, which reads as zeros; at the end or beyond
    /// where there are none.
    fn next_data(&self, offset: u64) -> Result<u64> {
        Ok(offset)
    }
    /// Makes data and length durable.
    fn sync(&self) -> Result<()>;
    /// Cuts the file to `len` bytes.
    fn truncate(&self, len: u64) -> Result<()>;
    /// Takes an exclusive lock that ends with the handle and all that forked children have of it; false when somebody
    /// else holds it.
    fn try_lock(&self) -> Result<bool>;
    /// Ends the lock, for forked children too.
    fn unlock(&self) -> Result<()>;
}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFs;

impl Fs for OsFs {
    fn create_new(&self, path: &Path) -> Result<Box<dyn FsFile>> {
        open(OpenOptions::new().read(true).append(true).create_new(true), path)
    }

    fn open_read(&self, path: &Path) -> Result<Box<dyn FsFile>> {
        open(OpenOptions::new().read(true), path)
    }

    fn open_append(&self, path: &Path) -> Result<Box<dyn FsFile>> {
        open(OpenOptions::new().read(true).append(true), path)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        std::fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path) -> Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            match entry.file_type() {
                Ok(kind) => entries.push(DirEntry { name, is_dir: kind.is_dir() }),
                // Some file systems are asked anew for the type, and the entry may be gone meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        std::fs::create_dir(path)
    }

    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        std::fs::remove_dir_all(path)
    }
}

fn open(options: &OpenOptions, path: &Path) -> Result<Box<dyn FsFile>> {
    Ok(Box::new(OsFile(options.open(path)?)))
}

struct OsFile(File);

impl FsFile for OsFile {
    fn write_all(&self, bytes: &[u8]) -> Result<()> {
        (&self.0).write_all(bytes)
    }

    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn len(&self) -> Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    #[cfg(target_os = "linux")]
    fn next_data(&self, offset: u64) -> Result<u64> {
        use rustix::fs::{SeekFrom, seek};
        use rustix::io::Errno;
        // The position that this moves is used by nothing: reads say where, and writes append.
        match seek(&self.0, SeekFrom::Data(offset)) {
            Err(Errno::NXIO) => self.len(),
            // A file system that does not know.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(offset),
            next => Ok(next?),
        }
    }

    fn sync(&self) -> Result<()> {
        self.0.sync_data()
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.0.set_len(len)
    }

    fn try_lock(&self) -> Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn unlock(&self) -> Result<()> {
        self.0.unlock()
    }
}
