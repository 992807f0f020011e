//! Bytes of log files: the preamble, and frames to and from records.
//!
//! Layer 4, pure. A frame stands at a multiple of 8, so that a search for frames after damage has few places to look.
//!
//! ```text
//! preamble                                  frame
//!  0  header       64  (format::Header)      0  length       4  of the payload, at most FRAME_BYTES_MAX
//! 64  number        8                        4  checksum     4  of all else, seeded with file and offset
//! 72  first seq     8                        8  kind         1  1 upsert, 2 delete, 3 reserve, 4 seal
//! 80  dim           4                        9  elements     1  1 f32, 2 f16; 0 where there are none
//! 84  id type       1  1 int, 2 string      10  zero         2
//! 85  previous end  7                       12  rows         4
//! 92  checksum      4  of 64..92            16  first seq    8
//!                                           24  synced end   8  bytes of the file known to be durable
//!                                           32  payload, then zeros up to a multiple of 8
//! payload: ids (int: i64 each; string: u32 end offset each, then the text), vectors; of a reserve: u64 count. Kind 5 is an
//! upsert with columns (format::payload) behind the vectors
//! ```

use super::{OwnedRecord, Record};
use crate::error::{Error, Result};
use crate::format::{
    ByteReader, ByteWriter, FileId, HEADER_BYTES, Header, checksum, checksum_parts, columns_bytes, id_type_code,
    ids_bytes, magic, read_columns, read_ids, write_columns, write_ids,
};
use crate::types::{ElementType, Schema, Seq, VectorBuf};

/// Largest payload of a frame, 1 GiB: 350,000 rows of 768 f32. A larger batch is a bulk load. It bounds what a damaged
/// length makes replay allocate, together with the length of the file.
pub const FRAME_BYTES_MAX: usize = 1 << 30;

/// Bytes before a frame's payload.
pub(super) const HEAD_BYTES: usize = 32;

/// Bytes before the first frame.
pub(super) const PREAMBLE_BYTES: usize = HEADER_BYTES + 32;

/// Frames stand at multiples of this.
pub(super) const ALIGNMENT: usize = 8;

/// Where the kind stands in a frame, which is never zero.
pub(super) const KIND_OFFSET: usize = 8;

/// What a log file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Preamble {
    pub(super) number: u64,
    pub(super) first_seq: Seq,
    /// Bytes of the file before it that count; 0 in the first.
    pub(super) previous_end: u64,
}

/// Bytes that the preamble has for [`Preamble::previous_end`].
const PREVIOUS_END_BYTES: usize = 7;

fn element_code(element: ElementType) -> u8 {
    match element {
        ElementType::F32 => 1,
        ElementType::F16 => 2,
    }
}

pub(super) fn encode_preamble(identity: u128, file: FileId, schema: &Schema, preamble: &Preamble) -> Vec<u8> {
    let mut writer = ByteWriter::with_capacity(PREAMBLE_BYTES);
    writer.bytes(&Header::new(magic::WAL, identity, file).encode());
    writer.u64(preamble.number);
    writer.u64(preamble.first_seq);
    writer.u32(schema.dim as u32);
    writer.u8(id_type_code(schema.id_type));
    writer.bytes(&preamble.previous_end.to_le_bytes()[..PREVIOUS_END_BYTES]);
    writer.u32(checksum(file, HEADER_BYTES as u64, &writer.as_slice()[HEADER_BYTES..]));
    writer.into_vec()
}

/// Reads the preamble of log file `name`, which must be `file` of the collection `identity` with `schema`.
pub(super) fn decode_preamble(
    name: &str,
    bytes: &[u8],
    identity: u128,
    file: FileId,
    schema: &Schema,
) -> Result<Preamble> {
    let header = Header::decode(name, bytes, &magic::WAL)?;
    header.check_database(name, identity)?;
    header.check_file(name, file)?;
    let rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let mut reader = ByteReader::new(name, HEADER_BYTES as u64, rest);
    let start = reader.clone();
    let (number, first_seq) = (reader.u64()?, reader.u64()?);
    let (dim, id_type) = (reader.u32()?, reader.u8()?);
    let mut previous_end = [0; 8];
    previous_end[..PREVIOUS_END_BYTES].copy_from_slice(reader.bytes(PREVIOUS_END_BYTES)?);
    let preamble = Preamble { number, first_seq, previous_end: u64::from_le_bytes(previous_end) };
    let covered = rest.get(..28).unwrap_or_default();
    if reader.u32()? != checksum(file, HEADER_BYTES as u64, covered) {
        return Err(start.corrupt("the checksum of the preamble is wrong"));
    }
    if dim as usize != schema.dim || id_type != id_type_code(schema.id_type) {
        return Err(start.corrupt("the log has another dimension or id type than the collection"));
    }
    Ok(preamble)
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Upsert(ElementType),
    /// An upsert whose rows have payload.
    UpsertWithPayload(ElementType),
    Delete,
    Reserve,
    /// Nothing: written and synced when a log is closed, so that all before it is known to have been durable.
    Seal,
}

impl Kind {
    fn codes(self) -> [u8; 2] {
        match self {
            Kind::Upsert(element) => [1, element_code(element)],
            Kind::UpsertWithPayload(element) => [5, element_code(element)],
            Kind::Delete => [2, 0],
            Kind::Reserve => [3, 0],
            Kind::Seal => [4, 0],
        }
    }

    fn from_codes(codes: [u8; 2]) -> Option<Kind> {
        match codes {
            [1, 1] => Some(Kind::Upsert(ElementType::F32)),
            [1, 2] => Some(Kind::Upsert(ElementType::F16)),
            [2, 0] => Some(Kind::Delete),
            [3, 0] => Some(Kind::Reserve),
            [4, 0] => Some(Kind::Seal),
            [5, 1] => Some(Kind::UpsertWithPayload(ElementType::F32)),
            [5, 2] => Some(Kind::UpsertWithPayload(ElementType::F16)),
            _ => None,
        }
    }
}

/// Head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: usize,
    check: u32,
    pub(super) kind: Kind,
    pub(super) rows: u32,
    pub(super) first_seq: Seq,
    pub(super) synced_end: u64,
}

impl Head {
    /// Reads a head; none when no frame can begin so. The checksum is not looked at.
    pub(super) fn decode(bytes: &[u8]) -> Option<Head> {
        let mut reader = ByteReader::new("", 0, bytes);
        let length = reader.u32().ok()? as usize;
        let check = reader.u32().ok()?;
        let kind = Kind::from_codes(reader.array().ok()?)?;
        reader.zeros(2).ok()?;
        let rows = reader.u32().ok()?;
        let first_seq = reader.u64().ok()?;
        let synced_end = reader.u64().ok()?;
        (length <= FRAME_BYTES_MAX).then_some(Head { length, check, kind, rows, first_seq, synced_end })
    }

    /// Bytes of the whole frame.
    pub(super) fn frame_bytes(&self) -> usize {
        HEAD_BYTES + self.length.next_multiple_of(ALIGNMENT)
    }

    /// Whether the frame has this checksum.
    pub(super) fn has_checksum(&self, check: u32) -> bool {
        self.check == check
    }

    /// Whether `frame`, which stands at `offset` of `file`, is what was written there.
    pub(super) fn verify(&self, file: FileId, offset: u64, frame: &[u8]) -> bool {
        self.has_checksum(frame_checksum(file, offset, frame))
    }
}

/// The checksum of a frame, whatever stands where it is to stand.
pub(super) fn frame_checksum(file: FileId, offset: u64, frame: &[u8]) -> u32 {
    let (length, rest) = (frame.get(..4).unwrap_or_default(), frame.get(8..).unwrap_or_default());
    checksum_parts(file, offset, &[length, rest])
}

/// Writes a frame that is to stand at `offset` of `file` into `out`, which is empty.
pub(super) fn encode_frame(
    out: &mut ByteWriter,
    file: FileId,
    offset: u64,
    synced_end: u64,
    content: Content<'_>,
) -> Result<()> {
    let (kind, rows, first_seq) = content.describe();
    let rows = u32::try_from(rows).ok().filter(|_| content.payload_bytes() <= FRAME_BYTES_MAX).ok_or_else(|| {
        Error::invalid(format!(
            "a batch of {rows} rows takes {} bytes in the log, at most {FRAME_BYTES_MAX} are allowed: \
             split it, or use load()",
            content.payload_bytes()
        ))
    })?;
    out.reserve(HEAD_BYTES + content.payload_bytes() + ALIGNMENT);
    out.zeros(8);
    out.bytes(&kind.codes());
    out.zeros(2);
    out.u32(rows);
    out.u64(first_seq);
    out.u64(synced_end);
    content.write_payload(out);
    let length = (out.len() - HEAD_BYTES) as u32;
    out.align(ALIGNMENT);
    out.set(0, &length.to_le_bytes());
    let check = frame_checksum(file, offset, out.as_slice());
    out.set(4, &check.to_le_bytes());
    Ok(())
}

/// Appends to `file` the frame of another file that had `head` and `payload`. What precedes it there is durable when it
/// can be read.
pub(super) fn encode_copy(file: &mut Vec<u8>, id: FileId, head: &Head, payload: &[u8]) {
    let offset = file.len() as u64;
    let mut frame = ByteWriter::with_capacity(head.frame_bytes());
    frame.u32(payload.len() as u32);
    frame.zeros(4);
    frame.bytes(&head.kind.codes());
    frame.zeros(2);
    frame.u32(head.rows);
    frame.u64(head.first_seq);
    frame.u64(offset);
    frame.bytes(payload);
    frame.align(ALIGNMENT);
    let check = frame_checksum(id, offset, frame.as_slice());
    frame.set(4, &check.to_le_bytes());
    file.extend_from_slice(frame.as_slice());
}

/// What to put into a frame.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    Record(&'a Record<'a>),
    Seal(Seq),
}

impl Content<'_> {
    fn describe(&self) -> (Kind, usize, Seq) {
        match *self {
            Content::Record(Record::Upsert { first_seq, ids, vectors, payload }) => {
                let element = vectors.element_type();
                let kind = if payload.is_some() { Kind::UpsertWithPayload(element) } else { Kind::Upsert(element) };
                (kind, ids.len(), *first_seq)
            }
            Content::Record(Record::Delete { first_seq, ids }) => (Kind::Delete, ids.len(), *first_seq),
            Content::Record(Record::Reserve { first_seq, .. }) => (Kind::Reserve, 0, *first_seq),
            Content::Seal(next_seq) => (Kind::Seal, 0, next_seq),
        }
    }

    fn payload_bytes(&self) -> usize {
        match *self {
            Content::Record(Record::Upsert { ids, vectors, payload, .. }) => {
                ids_bytes(ids) + vectors.as_bytes().len() + payload.map_or(0, columns_bytes)
            }
            Content::Record(Record::Delete { ids, .. }) => ids_bytes(ids),
            Content::Record(Record::Reserve { .. }) => 8,
            Content::Seal(_) => 0,
        }
    }

    fn write_payload(&self, out: &mut ByteWriter) {
        match *self {
            Content::Record(Record::Upsert { ids, vectors, payload, .. }) => {
                write_ids(out, ids);
                out.bytes(vectors.as_bytes());
                if let Some(payload) = payload {
                    write_columns(out, payload);
                }
            }
            Content::Record(Record::Delete { ids, .. }) => write_ids(out, ids),
            Content::Record(Record::Reserve { count, .. }) => out.u64(*count),
            Content::Seal(_) => {}
        }
    }
}

/// What a verified frame holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Decoded {
    Record(OwnedRecord),
    Reserve(u64),
    Seal,
}

impl Decoded {
    /// Seqs that it uses.
    pub(super) fn seqs(&self) -> u64 {
        match self {
            Decoded::Record(OwnedRecord::Upsert { ids, .. } | OwnedRecord::Delete { ids, .. }) => ids.len() as u64,
            Decoded::Reserve(count) => *count,
            Decoded::Seal => 0,
        }
    }
}

/// Reads the payload of a verified frame at `offset` of the file called `name`.
pub(super) fn decode_payload(name: &str, offset: u64, head: &Head, frame: &[u8], schema: &Schema) -> Result<Decoded> {
    let payload = frame.get(HEAD_BYTES..).and_then(|rest| rest.get(..head.length)).unwrap_or_default();
    let mut reader = ByteReader::new(name, offset + HEAD_BYTES as u64, payload);
    let (rows, first_seq) = (head.rows as usize, head.first_seq);
    let decoded = match head.kind {
        Kind::Upsert(element) | Kind::UpsertWithPayload(element) => {
            let ids = read_ids(&mut reader, rows, schema.id_type)?;
            let values = rows.checked_mul(schema.dim).ok_or_else(|| reader.corrupt("too many rows"))?;
            let vectors = match element {
                ElementType::F32 => VectorBuf::F32(reader.column(values)?),
                ElementType::F16 => VectorBuf::F16(reader.column(values)?),
            };
            let with_payload = matches!(head.kind, Kind::UpsertWithPayload(_));
            let payload = if with_payload { Some(read_columns(&mut reader, rows)?) } else { None };
            Decoded::Record(OwnedRecord::Upsert { first_seq, ids, vectors, payload })
        }
        Kind::Delete => {
            Decoded::Record(OwnedRecord::Delete { first_seq, ids: read_ids(&mut reader, rows, schema.id_type)? })
        }
        Kind::Reserve => Decoded::Reserve(reader.u64()?),
        Kind::Seal => Decoded::Seal,
    };
    reader.finish()?;
    Ok(decoded)
}
