//! Appending records to a log file.
//!
//! Layer 4. One buffer is encoded into and passed on with one write per record; it is kept for the next one unless a
//! large batch blew it up. The writer is used under the collection's write lock; waiting for the disk happens outside
//! it, through [`WalSync`].

use super::frame::{Content, Preamble, encode_frame, encode_preamble};
use super::{Record, WalSync};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{ByteWriter, FileId, magic};
use crate::storage::failpoint::{Failpoint, reach};
use crate::storage::{AppendFile, Backend, names};
use crate::types::{Ids, Schema, Seq, Vectors};
use std::sync::Arc;

/// Largest buffer that is kept between records: 1,300 rows of 768 f32.
const BUFFER_BYTES_KEPT: usize = 4 << 20;

/// Appends to one log file.
pub struct WalWriter {
    file: Box<dyn AppendFile>,
    id: FileId,
    name: String,
    number: u64,
    schema: Schema,
    next_seq: Seq,
    end: u64,
    buffer: ByteWriter,
    sync: Arc<WalSync>,
}

impl WalWriter {
    /// Creates log file `number` of the collection `identity`, whose first write will have seq `next_seq`. The file is
    /// durable on return, so that its absence is never the work of a crash.
    pub fn create(
        backend: &dyn Backend,
        number: u64,
        identity: u128,
        schema: &Schema,
        next_seq: Seq,
    ) -> Result<WalWriter> {
        WalWriter::create_after(backend, number, identity, schema, next_seq, 0)
    }

    /// Creates a log file behind one of which `previous_end` bytes count.
    fn create_after(
        backend: &dyn Backend,
        number: u64,
        identity: u128,
        schema: &Schema,
        next_seq: Seq,
        previous_end: u64,
    ) -> Result<WalWriter> {
        let name = names::wal(number);
        let id = FileId::numbered(&magic::WAL, identity, number);
        let preamble = Preamble { number, first_seq: next_seq, previous_end };
        let preamble = encode_preamble(identity, id, schema, &preamble);
        reach(Failpoint::LogCreate)?;
        backend.put_if_absent(&name, &preamble)?;
        WalWriter::continue_at(backend, number, identity, schema, next_seq)
    }

    /// Creates log file `number`, which goes on where this one ends. When this fails and the file may be there, this log
    /// takes no more writes: replay would find them behind the seq that the new file begins with.
    pub fn create_next(&self, backend: &dyn Backend, number: u64, identity: u128) -> Result<WalWriter> {
        self.sync.check()?;
        let next = WalWriter::create_after(backend, number, identity, &self.schema, self.next_seq, self.end);
        if let Err(error) = &next {
            match backend.open(&names::wal(number)) {
                Err(missing) if missing.kind() == ErrorKind::NotFound => {}
                _ => self.sync.poison(error.message()),
            }
        }
        next
    }

    /// Opens a file that is whole and durable up to its end.
    pub(super) fn continue_at(
        backend: &dyn Backend,
        number: u64,
        identity: u128,
        schema: &Schema,
        next_seq: Seq,
    ) -> Result<WalWriter> {
        let name = names::wal(number);
        let file = backend.append(&name, false)?;
        let end = file.len();
        let sync = Arc::new(WalSync::new(file.syncer(), name.clone(), end));
        let id = FileId::numbered(&magic::WAL, identity, number);
        let schema = schema.clone();
        Ok(WalWriter { file, id, name, number, schema, next_seq, end, buffer: ByteWriter::new(), sync })
    }

    /// Writes `record` and returns the end of its frame, to pass to [`WalSync::sync_to`]. When this fails, nothing was
    /// written, or the log is poisoned.
    pub fn append(&mut self, record: &Record<'_>) -> Result<u64> {
        let used = self.check(record)?;
        self.write(Content::Record(record))?;
        self.next_seq += used;
        Ok(self.end)
    }

    /// Makes all records durable and says so in the file, twice, so that from now on any damage to it is recognised as
    /// such: the second seal proves the first one, and a torn end behind the first one is what is left of the second.
    pub fn seal(&mut self) -> Result<()> {
        reach(Failpoint::LogSeal)?;
        for _ in 0..2 {
            self.sync.sync_to(self.end)?;
            self.write(Content::Seal(self.next_seq))?;
        }
        self.sync.sync_to(self.end)
    }

    /// Waits for durability, from any thread.
    pub fn syncer(&self) -> Arc<WalSync> {
        self.sync.clone()
    }

    /// End of the last frame.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Number of the file.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Seq of the next write.
    pub fn next_seq(&self) -> Seq {
        self.next_seq
    }

    /// Why the log takes no more writes.
    pub fn poisoned(&self) -> Option<Arc<str>> {
        self.sync.poisoned()
    }

    /// Checks that replay would take `record`, and returns how many seqs it uses.
    fn check(&self, record: &Record<'_>) -> Result<u64> {
        let fits = |ids: &Ids| !ids.is_empty() && ids.id_type() == self.schema.id_type;
        let shaped =
            |ids: &Ids, vectors: &Vectors<'_>| Some(vectors.values()) == ids.len().checked_mul(self.schema.dim);
        let (first_seq, used, good) = match record {
            Record::Upsert { first_seq, ids, vectors, .. } => {
                (*first_seq, ids.len() as u64, fits(ids) && shaped(ids, vectors))
            }
            Record::Delete { first_seq, ids } => (*first_seq, ids.len() as u64, fits(ids)),
            Record::Reserve { first_seq, count } => (*first_seq, *count, *count > 0),
        };
        if good && first_seq == self.next_seq && first_seq.checked_add(used).is_some() {
            return Ok(used);
        }
        Err(Error::internal(format!(
            "{}: a record of {used} rows from seq {first_seq} does not fit the log, which goes on with seq {}",
            self.name, self.next_seq
        )))
    }

    fn write(&mut self, content: Content<'_>) -> Result<()> {
        self.sync.check()?;
        reach(Failpoint::LogAppend)?;
        self.buffer.clear(BUFFER_BYTES_KEPT);
        encode_frame(&mut self.buffer, self.id, self.end, self.sync.synced(), content)?;
        if let Err(error) = self.file.append(self.buffer.as_slice()) {
            let (file, end) = (&mut *self.file, self.end);
            self.sync.alone(|| cut_off(file, end).map_err(|second| format!("{error}; then {second}")));
            return Err(error);
        }
        self.end += self.buffer.len() as u64;
        self.sync.set_written(self.end);
        Ok(())
    }
}

/// Removes what a failed append left behind `end`.
fn cut_off(file: &mut dyn AppendFile, end: u64) -> Result<()> {
    file.truncate(end)?;
    file.sync()
}
