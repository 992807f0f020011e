//! Open files of a [`LocalBackend`](super::LocalBackend): reading, streaming a new object, appending.
//!
//! Layer 3. Reads name file and offset in every error. A new object is buffered, so that writers may pass small
//! pieces; an append file passes each append on as one write.

use super::fs::FsFile;
use super::local::Disk;
use super::{AppendFile, ReadFile, SyncFile, WriteFile, short_read};
use crate::error::{Error, Result};
use std::io::ErrorKind::{InvalidInput, UnexpectedEof};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Buffer of a new object: at 256 KiB a write costs 1 % of what copying the bytes does.
const WRITE_BUFFER_BYTES: usize = 256 << 10;

fn read_at(path: &Path, file: &dyn FsFile, offset: u64, out: &mut [u8]) -> Result<()> {
    file.read_exact_at(offset, out).map_err(|error| match error.kind() {
        // The system calls an offset above its own limit invalid input; no file reaches there.
        UnexpectedEof | InvalidInput => short_read(path.display(), offset, out.len(), file.len().unwrap_or(0)),
        _ => Error::io(format_args!("reading {} at offset {offset}", path.display()), error),
    })
}

pub(super) struct LocalRead {
    path: PathBuf,
    file: Box<dyn FsFile>,
    length: u64,
}

impl LocalRead {
    pub(super) fn new(path: PathBuf, file: Box<dyn FsFile>) -> Result<LocalRead> {
        let length = file.len().map_err(|error| Error::io(path.display(), error))?;
        Ok(LocalRead { path, file, length })
    }
}

impl ReadFile for LocalRead {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        read_at(&self.path, &*self.file, offset, out)
    }

    fn next_data(&self, offset: u64) -> Result<u64> {
        let next = self.file.next_data(offset).map_err(|error| Error::io(self.path.display(), error))?;
        Ok(next.min(self.length))
    }
}

/// A new object under its temporary name.
pub(super) struct LocalWrite {
    disk: Arc<Disk>,
    path: PathBuf,
    tmp: PathBuf,
    file: Box<dyn FsFile>,
    buffer: Vec<u8>,
}

impl LocalWrite {
    pub(super) fn create(disk: Arc<Disk>, path: PathBuf) -> Result<LocalWrite> {
        let (tmp, file) = disk.create_tmp(&path)?;
        Ok(LocalWrite { disk, path, tmp, file, buffer: Vec::new() })
    }

    fn pass_on(&self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| Error::io(format_args!("writing {}", self.tmp.display()), error))
    }

    fn flush(&mut self) -> Result<()> {
        self.pass_on(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl WriteFile for LocalWrite {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.disk.check()?;
        if self.buffer.len() + bytes.len() > WRITE_BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= WRITE_BUFFER_BYTES {
            return self.pass_on(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.flush()?;
        self.disk.publish(&self.tmp, &*self.file, &self.path)
    }
}

impl Drop for LocalWrite {
    /// Removes what was not finished; after `finish` the name is gone already.
    fn drop(&mut self) {
        let _ = self.disk.fs.remove(&self.tmp);
    }
}

pub(super) struct LocalAppend {
    file: Arc<LocalSync>,
    length: u64,
}

impl LocalAppend {
    pub(super) fn new(disk: Arc<Disk>, path: PathBuf, file: Box<dyn FsFile>) -> Result<LocalAppend> {
        let length = file.len().map_err(|error| Error::io(path.display(), error))?;
        Ok(LocalAppend { file: Arc::new(LocalSync { disk, path, file }), length })
    }
}

impl AppendFile for LocalAppend {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.disk.check()?;
        let written = self.file.file.write_all(bytes);
        written.map_err(|error| Error::io(format_args!("writing {}", self.file.path.display()), error))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.file.sync()
    }

    fn len(&self) -> u64 {
        self.length
    }

    fn truncate(&mut self, len: u64) -> Result<()> {
        self.file.disk.check()?;
        let cut = self.file.file.truncate(len);
        cut.map_err(|error| Error::io(format_args!("truncating {}", self.file.path.display()), error))?;
        self.length = len;
        Ok(())
    }

    fn syncer(&self) -> Arc<dyn SyncFile> {
        self.file.clone()
    }
}

struct LocalSync {
    disk: Arc<Disk>,
    path: PathBuf,
    file: Box<dyn FsFile>,
}

impl SyncFile for LocalSync {
    fn sync(&self) -> Result<()> {
        self.disk.check()?;
        self.disk.synced(&self.path, self.file.sync())
    }
}
