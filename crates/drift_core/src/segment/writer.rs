//! Writes a segment: exact vectors stream to the file as runs come in, the hot part gathers in memory and follows.
//!
//! Layer 4. The open segment is handed back with its hot part in place, so nothing is read again.

use super::blocks;
use super::bloom::Bloom;
use super::codes::Codes;
use super::footer::{self, BLOCKS, Footer, PayloadColumn, RAW, Section};
use super::pages::{PAGE, Pages};
use super::payload::StoredColumn;
use super::zone::Zone;
use super::{Assembled, Hot, RunEntry, Segment, SegmentFile, cold_offset};
use crate::error::{Error, Result};
use crate::format::{ByteWriter, FileId, Header, Words, checksum, column_bytes, magic, write_column, write_ids};
use crate::quant::sq8::{Factors, code_stride};
use crate::storage::{Backend, WriteFile, names};
use crate::types::{BucketId, Column, ElementType, Field, Ids, Precision, Schema, Seq, Value, Vectors};
use xxhash_rust::xxh3::Xxh3;

/// Bytes gathered before a write call.
const BUFFER: usize = 1 << 20;

/// Rows of one bucket, in ascending order of seq.
pub struct RunRows<'a> {
    /// Their ids.
    pub ids: &'a Ids,
    /// Their seqs.
    pub seqs: &'a [Seq],
    /// Their exact vectors.
    pub vectors: Vectors<'a>,
    /// Their codes.
    pub codes: &'a [u8],
    /// Factors of the codes.
    pub factors: &'a [Factors],
    /// Second buckets, `u32::MAX` for none; empty at precision sq8.
    pub seconds: &'a [u32],
}

/// A segment under way; dropped before [`SegmentWriter::finish`] it leaves nothing.
pub struct SegmentWriter {
    pages: PageWriter,
    name: String,
    schema: Schema,
    element_type: ElementType,
    hot: Hot,
}

impl SegmentWriter {
    /// Begins segment `id` of the collection `owner`, with room for `rows`.
    pub fn create(
        backend: &dyn Backend,
        owner: u128,
        id: FileId,
        schema: &Schema,
        element_type: ElementType,
        rows: usize,
    ) -> Result<SegmentWriter> {
        let file = backend.create(&names::segment(id))?;
        let mut pages = PageWriter {
            file,
            id,
            pending: Vec::with_capacity(BUFFER + PAGE),
            offset: 0,
            sums: Vec::new(),
            hasher: Xxh3::new(),
        };
        pages.write(&Header::new(magic::SEGMENT, owner, id).encode())?;
        pages.pad()?;
        let hot = Hot {
            ids: Ids::empty(schema.id_type),
            seqs: Vec::with_capacity(rows),
            codes: Codes::with_capacity(code_stride(schema.dim), rows),
            factors: Vec::with_capacity(rows),
            seconds: Vec::with_capacity(if schema.precision == Precision::OneBit { rows } else { 0 }),
            runs: Vec::new(),
            bloom: Bloom::new(rows),
        };
        let name = format!("{}/{}", backend.describe(), names::segment(id));
        Ok(SegmentWriter { pages, name, schema: schema.clone(), element_type, hot })
    }

    /// Appends the rows of a bucket; buckets come in ascending order.
    pub fn push_run(&mut self, bucket: BucketId, rows: RunRows<'_>) -> Result<()> {
        if self.hot.runs.last().is_some_and(|last| last.bucket >= bucket.0) {
            return Err(Error::internal(format!("{}: bucket {} out of order", self.name, bucket.0)));
        }
        if rows.vectors.element_type() != self.element_type {
            return Err(Error::internal(format!("{}: vectors of another element type", self.name)));
        }
        let start = u32::try_from(self.hot.seqs.len() + rows.seqs.len())
            .map_err(|_| Error::internal(format!("{}: more than 4 billion rows", self.name)))?
            - rows.seqs.len() as u32;
        self.hot.runs.push(RunEntry { bucket: bucket.0, start, rows: rows.seqs.len() as u32 });
        self.hot.seqs.extend_from_slice(rows.seqs);
        self.hot.codes.extend(rows.codes);
        self.hot.factors.extend_from_slice(rows.factors);
        self.hot.seconds.extend_from_slice(rows.seconds);
        for id in rows.ids.iter() {
            self.hot.bloom.insert(id.hash64());
            self.hot.ids.push(id);
        }
        let row_bytes = self.schema.dim * self.element_type.size();
        for (at, row) in rows.vectors.as_bytes().chunks_exact(row_bytes).enumerate() {
            let offset = cold_offset(start as u64 + at as u64, row_bytes);
            self.pages.write(row)?;
            self.pages.write(&checksum(self.pages.id, offset, row).to_le_bytes())?;
        }
        Ok(())
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.hot.seqs.len()
    }

    /// Makes the segment durable and opens it. `payload` gives its columns, one at a time.
    pub fn finish(mut self, backend: &dyn Backend, payload: &dyn PayloadSource) -> Result<Segment> {
        let (dim, stride) = (self.schema.dim, code_stride(self.schema.dim));
        let rows = self.hot.seqs.len();
        let seconds = if self.schema.precision == Precision::OneBit { rows } else { 0 };
        let hot = &self.hot;
        if hot.codes.as_slice().len() != rows * stride || hot.factors.len() != rows || hot.seconds.len() != seconds {
            return Err(Error::internal(format!("{}: columns of different lengths", self.name)));
        }
        let length = cold_offset(rows as u64, dim * self.element_type.size()) - PAGE as u64;
        let vectors = Section { offset: PAGE as u64, length, encoding: RAW };
        self.pages.pad()?;
        let mut ids = ByteWriter::new();
        write_ids(&mut ids, &self.hot.ids);
        let pages = &mut self.pages;
        let (payload, columns) = write_payload(pages, rows, payload)?;
        let footer = Footer {
            rows: rows as u64,
            dim: dim as u32,
            id_type: self.schema.id_type.name().to_owned(),
            element_bytes: self.element_type.size() as u32,
            vectors,
            seqs: pages.section(bytemuck::cast_slice(&self.hot.seqs))?,
            ids: pages.section(ids.as_slice())?,
            codes: pages.section(self.hot.codes.as_slice())?,
            factors: pages.section(bytemuck::cast_slice(&self.hot.factors))?,
            seconds: pages.section(bytemuck::cast_slice(&self.hot.seconds))?,
            runs: pages.section(bytemuck::cast_slice(&self.hot.runs))?,
            bloom: pages.section(bytemuck::cast_slice(self.hot.bloom.words()))?,
            payload,
        };
        let id = pages.id;
        let (length, digest, sums) = self.pages.finish(&footer)?;
        let file = SegmentFile { id, length, digest, rows: rows as u64 };
        let handle = backend.open(&names::segment(id))?;
        let parts = Assembled {
            dim,
            element_type: self.element_type,
            pages: Pages::new(handle, self.name.clone(), id, sums),
            payload: columns,
        };
        Ok(Segment::assemble(file, self.name, parts, self.hot))
    }
}

/// Where the payload of a segment's rows comes from.
pub trait PayloadSource {
    /// The fields that some of the rows have.
    fn fields(&self) -> Vec<Field>;

    /// The values of a field, in the order in which the rows were pushed.
    fn column(&self, field: &Field) -> Result<Column>;
}

/// Writes the columns; fields that no row has a value of are left out.
fn write_payload(
    pages: &mut PageWriter,
    rows: usize,
    source: &dyn PayloadSource,
) -> Result<(Vec<PayloadColumn>, Vec<StoredColumn>)> {
    let (mut payload, mut stored) = (Vec::new(), Vec::new());
    for field in source.fields() {
        let column = source.column(&field)?;
        if column.len() != rows {
            return Err(Error::internal(format!("field {:?} has {} values of {rows} rows", field.name, column.len())));
        }
        if (0..rows).all(|row| column.get(row) == Value::Null) {
            continue;
        }
        let section = write_one(pages, &column)?;
        let zone = Zone::of(&column);
        let written = Field { kind: column.kind(), name: field.name.clone() };
        stored.push(StoredColumn::new(written, section).with_zone(zone));
        payload.push(PayloadColumn { name: field.name, kind: u32::from(column.kind().code()), column: section, zone });
    }
    Ok((payload, stored))
}

/// Writes a column, in blocks where these are shorter.
fn write_one(pages: &mut PageWriter, column: &Column) -> Result<Section> {
    let plain = column_bytes(column);
    if let Some(blocks) = blocks::encode(column, plain) {
        return Ok(Section { encoding: BLOCKS, ..pages.section(&blocks)? });
    }
    let mut bytes = ByteWriter::with_capacity(plain);
    write_column(&mut bytes, column, Words::Whole);
    pages.section(bytes.as_slice())
}

/// Cuts a stream of bytes into checked pages.
struct PageWriter {
    file: Box<dyn WriteFile>,
    id: FileId,
    pending: Vec<u8>,
    offset: u64,
    sums: Vec<u32>,
    hasher: Xxh3,
}

impl PageWriter {
    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let part = bytes.len().min(BUFFER - self.pending.len());
            self.pending.extend_from_slice(&bytes[..part]);
            bytes = &bytes[part..];
            if self.pending.len() == BUFFER {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Writes what is pending, which is whole pages.
    fn flush(&mut self) -> Result<()> {
        for page in self.pending.chunks_exact(PAGE) {
            self.sums.push(checksum(self.id, self.offset, page));
            self.offset += PAGE as u64;
        }
        self.hasher.update(&self.pending);
        self.file.write(&self.pending)?;
        self.pending.clear();
        Ok(())
    }

    /// Fills the last page with zeros.
    fn pad(&mut self) -> Result<()> {
        let end = self.pending.len().next_multiple_of(PAGE);
        self.pending.resize(end, 0);
        self.flush()
    }

    fn section(&mut self, bytes: &[u8]) -> Result<Section> {
        let section = Section { offset: self.offset, length: bytes.len() as u64, encoding: RAW };
        self.write(bytes)?;
        self.pad()?;
        Ok(section)
    }

    fn finish(mut self, footer: &Footer) -> Result<(u64, u64, Vec<u32>)> {
        let bytes = footer::encode(footer, &self.sums, self.id, self.offset);
        self.hasher.update(&bytes);
        self.file.write(&bytes)?;
        self.file.finish()?;
        Ok((self.offset + bytes.len() as u64, self.hasher.digest(), self.sums))
    }
}
