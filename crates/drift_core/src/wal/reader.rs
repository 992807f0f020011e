//! Reads log files back.
//!
//! Layer 4. A torn tail (a record that ends past the file, or whose checksum fails with nothing valid behind it) is what
//! a crash leaves at the end of the last file, and only there it is legal. Whether damage is a torn tail is decided by
//! what follows: a valid record behind it proves that it was once whole.

use super::record::{self, OwnedRecord, PAYLOAD_BYTES_MAX, PREFIX_BYTES};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{FileKind, HEADER_BYTES, Header};
use crate::storage::{Backend, names};
use crate::types::{Schema, Seq};

/// What a file held.
#[derive(Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Seq after the last record; none when the file holds no record.
    pub next_seq: Option<Seq>,
    /// Bytes up to the end of the last whole record.
    pub valid_bytes: u64,
    /// Bytes of a torn tail behind them.
    pub torn_bytes: u64,
}

/// Numbers of the log files from `floor`, ascending; a missing one in between is `Corrupt`.
pub fn numbers(backend: &dyn Backend, floor: u64) -> Result<Vec<u64>> {
    let mut numbers: Vec<u64> =
        backend.list(names::LOGS)?.iter().filter_map(|name| names::parse_log(name)).filter(|&n| n >= floor).collect();
    numbers.sort_unstable();
    if let Some(gap) = numbers.windows(2).find(|pair| pair[1] != pair[0] + 1) {
        return Err(Error::corrupt(format!(
            "{}: {} is missing, {} is there",
            backend.describe(),
            names::log(gap[0] + 1),
            names::log(gap[1])
        )));
    }
    Ok(numbers)
}

/// Reads file `number` and hands each record to `apply`. `expected` is the seq at which the file before it ended.
pub fn replay(
    backend: &dyn Backend,
    number: u64,
    owner: u128,
    schema: &Schema,
    is_last: bool,
    expected: Option<Seq>,
    apply: &mut dyn FnMut(OwnedRecord) -> Result<()>,
) -> Result<Replayed> {
    let name = names::log(number);
    let bytes = backend.read(&name)?;
    let header = Header { kind: FileKind::Wal, owner, file: u128::from(number) };
    let reader = LogReader { bytes: &bytes, header, schema, name: format!("{}/{name}", backend.describe()) };
    reader.replay(is_last, expected, apply)
}

struct LogReader<'a> {
    bytes: &'a [u8],
    header: Header,
    schema: &'a Schema,
    name: String,
}

impl LogReader<'_> {
    fn replay(
        &self,
        is_last: bool,
        expected: Option<Seq>,
        apply: &mut dyn FnMut(OwnedRecord) -> Result<()>,
    ) -> Result<Replayed> {
        let len = self.bytes.len() as u64;
        let empty = Replayed { next_seq: expected, valid_bytes: 0, torn_bytes: len };
        if let Err(error) = self.header.check(self.bytes, &self.name) {
            // A crash while the file was created leaves less than a header, or a header that never reached the disk.
            let unwritten =
                self.bytes.iter().take(HEADER_BYTES).all(|byte| *byte == 0) || self.bytes.len() < HEADER_BYTES;
            let harmless = unwritten && error.kind() == ErrorKind::Corrupt && !self.valid_record_after(HEADER_BYTES);
            return if len == 0 || (is_last && harmless) { Ok(empty) } else { Err(error) };
        }
        let mut at = HEADER_BYTES;
        let mut next = expected;
        let mut first = true;
        while at < self.bytes.len() {
            let (record, end) = match self.record(at) {
                Ok(found) => found,
                Err(error) if is_last && !self.valid_record_after(at + 1) => {
                    tracing::info!(log = %self.name, offset = at, %error, "a torn tail is left out");
                    break;
                }
                Err(error) => return Err(error),
            };
            let (from, to) = record.seqs();
            if matches!(record, OwnedRecord::Begin { .. }) != first {
                return Err(self.corrupt(at, "a file begins with one begin record"));
            }
            if next.is_some_and(|next| next != from) {
                return Err(self.corrupt(at, format!("seq {from} follows {}: writes are missing", next.unwrap_or(0))));
            }
            apply(record)?;
            (next, at, first) = (Some(to), end, false);
        }
        Ok(Replayed { next_seq: next, valid_bytes: at as u64, torn_bytes: len - at as u64 })
    }

    fn corrupt(&self, at: usize, problem: impl std::fmt::Display) -> Error {
        Error::corrupt(format!("{} at offset {at}: {problem}", self.name))
    }

    /// The payload at `at`, if length and checksum hold, and where it ends.
    fn payload(&self, at: usize) -> Result<(&[u8], usize)> {
        let prefix = self.bytes.get(at..at + PREFIX_BYTES).ok_or_else(|| self.corrupt(at, "half a record"))?;
        let word =
            |from: usize| u32::from_le_bytes([prefix[from], prefix[from + 1], prefix[from + 2], prefix[from + 3]]);
        let (len, sum) = (word(0), word(4));
        if len == 0 || len as usize > PAYLOAD_BYTES_MAX {
            return Err(self.corrupt(at, format!("a record of {len} bytes")));
        }
        let start = at + PREFIX_BYTES;
        let end = start + len as usize;
        let payload = self.bytes.get(start..end).ok_or_else(|| self.corrupt(at, "the file ends within a record"))?;
        if record::record_checksum(self.header.file, at as u64, len, payload) != sum {
            return Err(self.corrupt(at, "the checksum does not match"));
        }
        Ok((payload, end))
    }

    fn record(&self, at: usize) -> Result<(OwnedRecord, usize)> {
        let (payload, end) = self.payload(at)?;
        let record = record::decode(payload, self.schema.dim, self.schema.id_type, &self.name, at as u64)?;
        Ok((record, end))
    }

    /// Whether a whole record stands anywhere from `from` on. Lengths that cannot be are skipped before any checksum
    /// is taken, so a torn tail of a megabyte costs a megabyte of comparisons.
    fn valid_record_after(&self, from: usize) -> bool {
        let mut budget = 64 * self.bytes.len().max(1 << 20);
        (from..self.bytes.len().saturating_sub(PREFIX_BYTES)).any(|at| {
            let len = u32::from_le_bytes([self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3]])
                as usize;
            if len < 18 || len > self.bytes.len() - at - PREFIX_BYTES || len > budget {
                return false;
            }
            // The payload's kind and element type leave few positions to be summed.
            let (kind, element) = (self.bytes[at + PREFIX_BYTES], self.bytes[at + PREFIX_BYTES + 1]);
            if !(1..=4).contains(&kind) || element > 1 {
                return false;
            }
            budget -= len;
            self.payload(at).is_ok()
        })
    }
}
