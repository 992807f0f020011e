//! Where files are kept: named objects in a folder of the local disk or in memory.
//!
//! Layer 3. Everything above talks to a [`Backend`]; what a local disk needs to make an object durable (fsync of file
//! and folder, links instead of overwriting) is in [`LocalBackend`] alone, over the few system calls of [`Fs`], in
//! whose place tests put a disk that fails. Invariants:
//! * an object appears whole or not at all, and is never overwritten; only append files grow;
//! * what a method promised to be durable survives a power loss once the method has returned;
//! * after a failed fsync a [`LocalBackend`] refuses all writes for ever: what the disk holds is unknown, and asking
//!   again would report success for pages that the kernel has dropped (Rebello et al., ATC'20);
//! * a read-only backend changes nothing.

pub mod failpoint;
mod fs;
mod local;
mod local_files;
mod memory;
pub mod names;
#[cfg(feature = "sim")]
pub mod sim;
mod snapshot;

pub use fs::{DirEntry, Fs, FsFile, OsFs};
pub use local::LocalBackend;
pub use memory::MemoryBackend;
pub use snapshot::SnapshotBackend;

use crate::error::{Error, ErrorKind, Result};
use crate::format::{SEALED_HEAD_BYTES, check_sealed_length};
use std::sync::Arc;

/// Largest object that [`Backend::read`] reads whole, 4 GiB: bucket files, the largest of them, hold 2.8 million
/// buckets of 384 dimensions in it.
pub const READ_BYTES_MAX: u64 = 4 << 30;

/// A store of named objects. Names are relative paths, separated by `/`; [`names`] makes all of them.
pub trait Backend: Send + Sync {
    /// Where the store is, for messages.
    fn describe(&self) -> String;

    /// Whether every write is refused.
    fn read_only(&self) -> bool;

    /// A whole small object; NotFound when there is none.
    fn read(&self, name: &str) -> Result<Vec<u8>>;

    /// A whole sealed object (`format::seal`), as [`Backend::read`]. One that is longer or shorter than its own head
    /// says is Corrupt, and nothing of that length is allocated.
    fn read_sealed(&self, name: &str) -> Result<Vec<u8>> {
        let file = self.open(name)?;
        let full_name = format!("{}/{name}", self.describe());
        let mut head = [0; SEALED_HEAD_BYTES];
        if file.len() >= SEALED_HEAD_BYTES as u64 {
            file.read_at(0, &mut head)?;
            check_sealed_length(&full_name, &head, file.len())?;
        }
        read_whole(&full_name, &*file)
    }

    /// Opens an object for reading at any place; NotFound when there is none.
    fn open(&self, name: &str) -> Result<Arc<dyn ReadFile>>;

    /// Writes an object, durable and whole on return; AlreadyExists when the name is taken. After any other error the
    /// object may be there or not: read it back before relying on either.
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<()>;

    /// Begins an object that appears when it is finished.
    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>>;

    /// Opens an object to append to; with `create_new` the name must be free and is durable on return.
    fn append(&self, name: &str, create_new: bool) -> Result<Box<dyn AppendFile>>;

    /// Names of all objects below the folder `prefix` (all of them for `""`), sorted. A missing folder has none.
    fn list(&self, prefix: &str) -> Result<Vec<String>>;

    /// Makes the names in `folder` durable, which a killed process may have left visible only: whoever builds on what
    /// he has listed or read calls it first. A missing folder is no error.
    fn settle(&self, folder: &str) -> Result<()>;

    /// Removes an object; NotFound when there is none. Readers that have it open may go on reading.
    fn delete(&self, name: &str) -> Result<()>;

    /// Removes everything below the folder `prefix`; a missing folder is no error.
    fn delete_tree(&self, prefix: &str) -> Result<()>;

    /// Takes the lock called `name`, for one holder in all processes, until the guard is dropped; Locked when it is
    /// held. Whoever gets it may also expect that leftovers of a crashed writer have been removed.
    fn lock(&self, name: &str) -> Result<Box<dyn LockGuard>>;

    /// The same store seen from a folder of it.
    fn scoped(&self, folder: &str) -> Arc<dyn Backend>;

    /// Why writes are refused, after a failed fsync.
    fn poisoned(&self) -> Option<String> {
        None
    }
}

/// An object open for reading.
#[allow(clippy::len_without_is_empty)] // An object is not a collection.
pub trait ReadFile: Send + Sync {
    /// Its length in bytes when it was opened; append files tell their present length.
    fn len(&self) -> u64;

    /// Fills `out` from `offset`; an object that ends before that is Corrupt.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()>;

    /// Where the next bytes from `offset` on are that may be others than zeros; the length where there are none. It may
    /// be `offset`, unless holes of the file are known.
    fn next_data(&self, offset: u64) -> Result<u64> {
        Ok(offset.min(self.len()))
    }
}

/// An object being written. Dropped unfinished, it never was.
pub trait WriteFile: Send {
    /// Appends `bytes`; they are buffered, so small pieces are cheap.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Makes the object durable, then visible.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// An object that grows at its end.
#[allow(clippy::len_without_is_empty)] // An object is not a collection.
pub trait AppendFile: Send {
    /// Appends `bytes` with one write. After an error the end of the file is unknown until [`AppendFile::truncate`].
    fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// Makes all that was appended durable.
    fn sync(&self) -> Result<()>;

    /// Bytes appended so far.
    fn len(&self) -> u64;

    /// Cuts the object to `len` bytes.
    fn truncate(&mut self, len: u64) -> Result<()>;

    /// A handle to sync with while another thread appends.
    fn syncer(&self) -> Arc<dyn SyncFile>;
}

/// Makes an append file durable, from any thread.
pub trait SyncFile: Send + Sync {
    /// Makes all that was appended before the call durable.
    fn sync(&self) -> Result<()>;
}

/// Holds a lock until it is dropped.
pub trait LockGuard: Send + Sync {}

/// All bytes of `file`, called `name`.
fn read_whole(name: impl std::fmt::Display, file: &dyn ReadFile) -> Result<Vec<u8>> {
    let length = file.len();
    if length > READ_BYTES_MAX {
        let problem = format!("the file has {length} bytes, but at most {READ_BYTES_MAX} are read at once");
        return Err(Error::corrupt(format!("{name}: {problem}")));
    }
    let mut bytes = vec![0; length as usize];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Checks that `name` is a relative path that stays within the store and is no name of an unfinished object.
fn check_name(name: &str) -> Result<()> {
    let part_ok = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    if name.split('/').all(part_ok) && !name.ends_with(TMP_SUFFIX) && name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    Err(Error::invalid(format!("{name:?} cannot name a stored object")))
}

/// End of the names of unfinished objects.
const TMP_SUFFIX: &str = ".tmp";

/// Longest name of an object: the longest of [`names`] has 100 bytes.
const NAME_BYTES_MAX: usize = 200;

fn refuse_read_only(store: &str) -> Error {
    Error::new(ErrorKind::ReadOnly, format!("{store} was opened with read_only=True: open it for writing"))
}

fn locked(what: &str) -> Error {
    let advice = "use that one, close it, or open this one with read_only=True";
    let problem = "is locked: another handle or process has the database open";
    Error::new(ErrorKind::Locked, format!("{what} {problem}: {advice}"))
}

fn already_exists(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("{what} exists already"))
}

fn short_read(what: impl std::fmt::Display, offset: u64, wanted: usize, length: u64) -> Error {
    Error::corrupt(format!("{what}: offset {offset}: {wanted} bytes are needed, but the file ends at {length}"))
}

#[cfg(test)]
mod tests;
