//! Appends records to one log file.
//!
//! Layer 4. Called under the collection's write lock. One write call per record; a failed one is cut back, and where
//! that fails too the log is poisoned: a half record must never be followed by a whole one.

use super::record::{self, Record};
use super::sync::WalSync;
use crate::error::Result;
use crate::format::{ByteWriter, FileKind, HEADER_BYTES, Header};
use crate::storage::{Backend, LogFile, names};
use crate::types::Seq;
use std::sync::Arc;

/// Largest buffer kept between records: a larger batch is rare enough to pay for its own.
const BUFFER_BYTES_KEPT: usize = 16 << 20;

/// A log file under way.
pub struct WalWriter {
    log: Arc<dyn LogFile>,
    sync: Arc<WalSync>,
    file: u128,
    end: u64,
    buffer: ByteWriter,
}

impl WalWriter {
    /// Creates log `number` of the collection `owner`; its first write has `next_seq`.
    pub fn create(backend: &dyn Backend, number: u64, owner: u128, next_seq: Seq) -> Result<WalWriter> {
        let name = names::log(number);
        let log = backend.create_log(&name)?;
        let header = Header { kind: FileKind::Wal, owner, file: u128::from(number) };
        let sync = Arc::new(WalSync::new(log.clone(), format!("{}/{name}", backend.describe())));
        let mut first = ByteWriter::new();
        record::encode(&Record::Begin { first_seq: next_seq }, header.file, HEADER_BYTES as u64, &mut first)?;
        let bytes = [&header.encode(), first.as_slice()].concat();
        log.append(0, &bytes)?;
        sync.appended(bytes.len() as u64);
        Ok(WalWriter { log, sync, file: header.file, end: bytes.len() as u64, buffer: first })
    }

    /// Appends one record and returns the offset after it.
    pub fn append(&mut self, record: &Record<'_>) -> Result<u64> {
        self.sync.check()?;
        record::encode(record, self.file, self.end, &mut self.buffer)?;
        if let Err(error) = self.log.append(self.end, self.buffer.as_slice()) {
            if let Err(second) = self.log.truncate(self.end) {
                self.sync.poison(format!("an append failed ({error}) and could not be undone ({second})"));
            }
            return Err(error);
        }
        self.end += self.buffer.len() as u64;
        self.sync.appended(self.end);
        if self.buffer.len() > BUFFER_BYTES_KEPT {
            self.buffer = ByteWriter::new();
        }
        Ok(self.end)
    }

    /// Offset after the last record.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Makes this log durable, outside the write lock.
    pub fn syncer(&self) -> Arc<WalSync> {
        self.sync.clone()
    }
}
