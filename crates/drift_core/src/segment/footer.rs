//! The end of a segment file: where its sections are, and the checksum of every page before.
//!
//! Layer 4. Footer: length and body of a protocol buffer, then one u32 per page. Trailer, the last 32 bytes: offset,
//! length and checksum of the footer, magic, checksum of the trailer.

use super::zone::Zone;
use crate::error::Result;
use crate::format::{ByteReader, ByteWriter, FileId, checksum};

/// Bytes of the trailer.
pub const TRAILER_BYTES: usize = 32;

const MAGIC: u64 = u64::from_le_bytes(*b"driftend");

/// Raw little-endian values; other encodings get other numbers.
pub const RAW: u32 = 0;

/// Compressed blocks of rows ([`super::blocks`]); of columns of payload.
pub const BLOCKS: u32 = 1;

/// What is where.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Footer {
    /// Rows of the segment.
    #[prost(uint64, tag = "1")]
    pub rows: u64,
    /// Vector dimension.
    #[prost(uint32, tag = "2")]
    pub dim: u32,
    /// Name of the id type.
    #[prost(string, tag = "3")]
    pub id_type: String,
    /// Bytes of one element of an exact vector: 4 (f32) or 2 (f16).
    #[prost(uint32, tag = "4")]
    pub element_bytes: u32,
    /// Exact vectors.
    #[prost(message, required, tag = "5")]
    pub vectors: Section,
    /// Seqs, u64 each.
    #[prost(message, required, tag = "6")]
    pub seqs: Section,
    /// Ids.
    #[prost(message, required, tag = "7")]
    pub ids: Section,
    /// SQ8 codes.
    #[prost(message, required, tag = "8")]
    pub codes: Section,
    /// Factors of the codes, 12 bytes each.
    #[prost(message, required, tag = "9")]
    pub factors: Section,
    /// Second bucket of each row, u32 each; of no length at precision sq8.
    #[prost(message, required, tag = "12")]
    pub seconds: Section,
    /// Run index, 12 bytes each.
    #[prost(message, required, tag = "10")]
    pub runs: Section,
    /// Words of the bloom filter.
    #[prost(message, required, tag = "11")]
    pub bloom: Section,
    /// Payload, a column each.
    #[prost(message, repeated, tag = "13")]
    pub payload: Vec<PayloadColumn>,
}

/// One field of the payload.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PayloadColumn {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Code of its type.
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    /// The column, as `format::payload` has it.
    #[prost(message, required, tag = "3")]
    pub column: Section,
    /// What the values of a column of integers or timestamps are within.
    #[prost(message, optional, tag = "4")]
    pub zone: Option<Zone>,
}

/// A part of the file, beginning at a page.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Section {
    /// Where it begins.
    #[prost(uint64, tag = "1")]
    pub offset: u64,
    /// Its bytes, without the padding behind.
    #[prost(uint64, tag = "2")]
    pub length: u64,
    /// How its values are written ([`RAW`], [`BLOCKS`]).
    #[prost(uint32, tag = "3")]
    pub encoding: u32,
}

/// Footer and trailer as they stand at `offset`.
pub fn encode(footer: &Footer, sums: &[u32], id: FileId, offset: u64) -> Vec<u8> {
    use prost::Message;
    let body = footer.encode_to_vec();
    let mut writer = ByteWriter::new();
    writer.u64(body.len() as u64);
    writer.bytes(&body);
    writer.column(sums);
    let length = writer.len() as u64;
    let sum = checksum(id, offset, writer.as_slice());
    let mut trailer = ByteWriter::new();
    trailer.u64(offset);
    trailer.u64(length);
    trailer.u64(MAGIC);
    trailer.u32(sum);
    let trailer_sum = checksum(id, offset + length, trailer.as_slice());
    trailer.u32(trailer_sum);
    writer.bytes(trailer.as_slice());
    writer.into_vec()
}

/// Offset and length of the footer, and its checksum, from the trailer's bytes.
pub fn decode_trailer(bytes: &[u8], id: FileId, file_length: u64, name: &str) -> Result<(u64, u64, u32)> {
    let base = file_length - TRAILER_BYTES as u64;
    let mut reader = ByteReader::new(name, base, bytes);
    let (offset, length, magic) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let (sum, trailer_sum) = (reader.u32()?, reader.u32()?);
    let intact = magic == MAGIC && trailer_sum == checksum(id, base, &bytes[..TRAILER_BYTES - 4]);
    if !intact || offset.checked_add(length) != Some(base) {
        return Err(reader.corrupt("the trailer is damaged"));
    }
    Ok((offset, length, sum))
}

/// Footer and page checksums from the footer's bytes, which stand at `offset`.
pub fn decode(bytes: &[u8], id: FileId, offset: u64, sum: u32, name: &str) -> Result<(Footer, Vec<u32>)> {
    let mut reader = ByteReader::new(name, offset, bytes);
    if sum != checksum(id, offset, bytes) {
        return Err(reader.corrupt("the footer's checksum does not match"));
    }
    let len = usize::try_from(reader.u64()?).map_err(|_| reader.corrupt("impossible footer length"))?;
    let body = reader.bytes(len)?;
    let footer = <Footer as prost::Message>::decode(body).map_err(|error| reader.corrupt(error))?;
    let sums = reader.column(reader.remaining() / 4)?;
    reader.finish()?;
    Ok((footer, sums))
}
