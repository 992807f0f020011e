//! Records: bytes <-> writes.
//!
//! Layer 4.

use crate::error::{Error, Result};
use crate::format::{ByteReader, ByteWriter, checksum};
use crate::types::{ElementType, IdType, Ids, Seq, VectorBuf, Vectors};

/// Bytes of length and checksum before a payload.
pub const PREFIX_BYTES: usize = 8;

/// Longest payload. It bounds what replay allocates, and a call of that size should be a bulk load.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 30;

const BEGIN: u8 = 1;
const UPSERT: u8 = 2;
const DELETE: u8 = 3;
const RESERVE: u8 = 4;

/// A record to be written.
pub enum Record<'a> {
    /// The file begins at this seq.
    Begin {
        /// Seq of the first write that follows.
        first_seq: Seq,
    },
    /// Rows with consecutive seqs.
    Upsert {
        /// Seq of the first row.
        first_seq: Seq,
        /// Ids of the rows.
        ids: &'a Ids,
        /// Vectors of the rows, as given.
        vectors: Vectors<'a>,
    },
    /// Deleted ids with consecutive seqs.
    Delete {
        /// Seq of the first one.
        first_seq: Seq,
        /// The ids.
        ids: &'a Ids,
    },
    /// Seqs given to rows that do not go through the log (bulk load).
    Reserve {
        /// The first of them.
        first_seq: Seq,
        /// How many.
        count: u64,
    },
}

/// A record that was read.
#[derive(Debug)]
pub enum OwnedRecord {
    /// See [`Record::Begin`].
    Begin {
        /// Seq of the first write that follows.
        first_seq: Seq,
    },
    /// See [`Record::Upsert`].
    Upsert {
        /// Seq of the first row.
        first_seq: Seq,
        /// Ids of the rows.
        ids: Ids,
        /// Vectors of the rows.
        vectors: VectorBuf,
    },
    /// See [`Record::Delete`].
    Delete {
        /// Seq of the first one.
        first_seq: Seq,
        /// The ids.
        ids: Ids,
    },
    /// See [`Record::Reserve`].
    Reserve {
        /// The first of them.
        first_seq: Seq,
        /// How many.
        count: u64,
    },
}

impl OwnedRecord {
    /// The seqs that the record covers: first, and one past the last.
    pub fn seqs(&self) -> (Seq, Seq) {
        match self {
            OwnedRecord::Begin { first_seq } => (*first_seq, *first_seq),
            OwnedRecord::Upsert { first_seq, ids, .. } | OwnedRecord::Delete { first_seq, ids } => {
                (*first_seq, first_seq.saturating_add(ids.len() as u64))
            }
            OwnedRecord::Reserve { first_seq, count } => (*first_seq, first_seq.saturating_add(*count)),
        }
    }
}

/// Writes length, checksum and payload of `record`, which will stand at `offset` of `file`.
pub fn encode(record: &Record<'_>, file: u128, offset: u64, out: &mut ByteWriter) -> Result<()> {
    out.clear();
    out.u32(0);
    out.u32(0);
    let head = |out: &mut ByteWriter, kind: u8, element: u8, count: u64, first_seq: Seq| {
        out.u8(kind);
        out.u8(element);
        out.u64(count);
        out.u64(first_seq);
    };
    match record {
        Record::Begin { first_seq } => head(out, BEGIN, 0, 0, *first_seq),
        Record::Reserve { first_seq, count } => head(out, RESERVE, 0, *count, *first_seq),
        Record::Delete { first_seq, ids } => {
            head(out, DELETE, 0, ids.len() as u64, *first_seq);
            out.ids(ids);
        }
        Record::Upsert { first_seq, ids, vectors } => {
            head(out, UPSERT, vectors.element_type() as u8, ids.len() as u64, *first_seq);
            out.ids(ids);
            out.raw(vectors.as_bytes());
        }
    }
    let len = out.len() - PREFIX_BYTES;
    if len > PAYLOAD_BYTES_MAX {
        return Err(Error::invalid(format!(
            "one call writes {len} bytes, the limit is {PAYLOAD_BYTES_MAX}: split the batch, or use load()"
        )));
    }
    out.set_u32(0, len as u32);
    let sum = record_checksum(file, offset, len as u32, &out.as_slice()[PREFIX_BYTES..]);
    out.set_u32(4, sum);
    Ok(())
}

/// Checksum over length and payload.
pub fn record_checksum(file: u128, offset: u64, len: u32, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(checksum(file, offset, &len.to_le_bytes()), payload)
}

/// Reads a payload whose checksum has been verified.
pub fn decode(payload: &[u8], dim: usize, id_type: IdType, name: &str, offset: u64) -> Result<OwnedRecord> {
    let mut reader = ByteReader::new(payload, name, offset);
    let (kind, element) = (reader.u8()?, reader.u8()?);
    let (count, first_seq) = (reader.u64()?, reader.u64()?);
    let rows = usize::try_from(count).map_err(|_| reader.corrupt("impossible row count"))?;
    let record = match kind {
        BEGIN => OwnedRecord::Begin { first_seq },
        RESERVE => OwnedRecord::Reserve { first_seq, count },
        DELETE => OwnedRecord::Delete { first_seq, ids: reader.ids(id_type, rows)? },
        UPSERT => {
            let ids = reader.ids(id_type, rows)?;
            let values = rows.checked_mul(dim).ok_or_else(|| reader.corrupt("impossible row count"))?;
            let vectors = match element {
                x if x == ElementType::F32 as u8 => VectorBuf::F32(reader.array_of(values)?),
                x if x == ElementType::F16 as u8 => VectorBuf::F16(reader.array_of(values)?),
                other => return Err(reader.corrupt(format!("unknown element type {other}"))),
            };
            OwnedRecord::Upsert { first_seq, ids, vectors }
        }
        other => return Err(reader.corrupt(format!("unknown record kind {other}"))),
    };
    reader.finish()?;
    Ok(record)
}
