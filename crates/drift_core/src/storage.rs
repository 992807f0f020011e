//! Where bytes live: local folders and memory behind one [`Backend`].
//!
//! Layer 3. Everything above names objects by relative paths and knows three kinds: small objects put once and whole,
//! immutable objects streamed and then finished, and logs that are appended to. Objects appear durably and at once or
//! not at all; nothing is ever overwritten.

mod fs;
mod local;
mod memory;
pub mod names;

pub use fs::{Fs, FsFile, OsFs};
pub use local::LocalBackend;
pub use memory::MemoryBackend;

use crate::error::Result;
use std::sync::Arc;

/// An open immutable object.
pub trait ReadFile: Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> u64;

    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `out` from `offset`; a short file is `Corrupt`.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()>;
}

/// A new immutable object under way; dropped before [`WriteFile::finish`] it leaves nothing.
pub trait WriteFile: Send {
    /// Appends bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Makes the object durable and visible. `AlreadyExists` when there is one of that name.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// A log under way. Shared: one thread appends, any may sync.
pub trait LogFile: Send + Sync {
    /// Appends bytes at `offset`, which is the end of the log.
    fn append(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Makes everything appended before the call durable.
    fn sync(&self) -> Result<()>;

    /// Cuts the log to `len` bytes and makes that durable.
    fn truncate(&self, len: u64) -> Result<()>;
}

/// Held by whoever may write; released when dropped.
pub trait LockGuard: Send + Sync {}

/// A store of named objects. Names are relative paths with `/` between folders.
pub trait Backend: Send + Sync {
    /// The place, for messages.
    fn describe(&self) -> String;

    /// A whole object; `NotFound` when there is none.
    fn read(&self, name: &str) -> Result<Vec<u8>>;

    /// Opens an immutable object.
    fn open(&self, name: &str) -> Result<Arc<dyn ReadFile>>;

    /// Puts an object that must not exist yet; durable and whole on return.
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<()>;

    /// Begins an immutable object.
    fn create(&self, name: &str) -> Result<Box<dyn WriteFile>>;

    /// Begins a log that must not exist yet; its name is durable on return.
    fn create_log(&self, name: &str) -> Result<Arc<dyn LogFile>>;

    /// Cuts an existing log to `len` bytes, durably.
    fn truncate_log(&self, name: &str, len: u64) -> Result<()>;

    /// Names of all objects directly in `folder`, sorted; none when it does not exist.
    fn list(&self, folder: &str) -> Result<Vec<String>>;

    /// Deletes an object; it is no error when there is none.
    fn delete(&self, name: &str) -> Result<()>;

    /// Deletes a folder with all that is in it; it is no error when there is none.
    fn delete_tree(&self, folder: &str) -> Result<()>;

    /// Takes the lock `name`; `Locked` when somebody has it.
    fn lock(&self, name: &str) -> Result<Box<dyn LockGuard>>;

    /// The same store seen from `folder`.
    fn scoped(&self, folder: &str) -> Arc<dyn Backend>;
}
