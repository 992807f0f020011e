//! Segments: immutable files of rows, grouped by bucket.
//!
//! Layer 4. A segment has a cold part (exact vectors as given, read from storage when wanted) and a hot part (ids,
//! seqs, SQ8 codes, factors, run index, bloom filter) that is in memory while the segment is open. The rows of one
//! bucket are one run, sorted by seq. Every byte of the file is under a checksum, verified on every read. Only deaths
//! change after a segment is written, and those are memory: recomputed at open, never the record.

mod blocks;
mod bloom;
mod codes;
mod deaths;
mod expiry;
mod footer;
mod open;
mod pages;
mod payload;
mod select;
mod values;
mod writer;
mod zone;

pub use blocks::Scratch;
pub use payload::NO_TIME;
pub use select::{CountedRows, RowSet};
pub use writer::{PayloadSource, RunRows, SegmentWriter};

use crate::error::{Error, Result};
use crate::format::{FileId, checksum};
use crate::kernels::{kernels, prefetch};
use crate::quant::sq8::Factors;
use crate::storage::ReadFile;
use crate::types::{BucketId, ElementType, IdRef, Ids, Lines, Seq, VectorBuf, Vectors};
use bloom::Bloom;
use codes::Codes;
use deaths::Deaths;
use expiry::Alive;
use half::f16;
use pages::Pages;
use payload::StoredColumn;
use select::Selected;
use std::ops::Range;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// What the manifest keeps of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// Names the file and stands in all its checksums.
    pub id: FileId,
    /// Its length in bytes.
    pub length: u64,
    /// xxh3 of all its bytes.
    pub digest: u64,
    /// Its rows.
    pub rows: u64,
}

/// One bucket's rows in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct RunEntry {
    bucket: u32,
    start: u32,
    rows: u32,
}

/// The part of a segment that is in memory.
struct Hot {
    ids: Ids,
    seqs: Vec<Seq>,
    codes: Codes,
    factors: Vec<Factors>,
    /// Second bucket of each row, until taken; empty at precision sq8.
    seconds: Vec<u32>,
    runs: Vec<RunEntry>,
    bloom: Bloom,
}

/// An open segment.
pub struct Segment {
    file: SegmentFile,
    name: String,
    dim: usize,
    element_type: ElementType,
    hot: Hot,
    pages: Pages,
    /// Exact vectors of all rows as given, one behind the other, when they are kept.
    kept: Option<Lines>,
    payload: Vec<StoredColumn>,
    selected: Selected,
    alive: Alive,
    deaths: Deaths,
    /// Largest seq of a row.
    newest: Seq,
}

impl Segment {
    /// Names the file in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the manifest keeps of it.
    pub fn file(&self) -> SegmentFile {
        self.file
    }

    /// Type of the exact vectors.
    pub fn element_type(&self) -> ElementType {
        self.element_type
    }

    /// Number of rows, dead ones included.
    pub fn rows(&self) -> u32 {
        self.hot.seqs.len() as u32
    }

    /// Id of a row.
    pub fn id(&self, row: u32) -> IdRef<'_> {
        self.hot.ids.get(row as usize)
    }

    /// Asks memory for what [`Segment::id`] reads first.
    #[inline]
    pub fn ask_for_id(&self, row: u32) {
        prefetch(self.hot.ids.head(row as usize));
    }

    /// Seq of a row.
    pub fn seq(&self, row: u32) -> Seq {
        self.hot.seqs[row as usize]
    }

    /// Codes of consecutive rows, one after the other.
    pub fn codes(&self, rows: Range<u32>) -> &[u8] {
        self.hot.codes.rows(rows)
    }

    /// Factors of all rows.
    pub fn factors(&self) -> &[Factors] {
        &self.hot.factors
    }

    /// Second bucket of each row as written, `u32::MAX` where it has none; empty at precision sq8, and once taken.
    pub fn take_second_buckets(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.hot.seconds)
    }

    /// Runs in ascending order of bucket.
    pub fn runs(&self) -> impl Iterator<Item = (BucketId, Range<u32>)> {
        self.hot.runs.iter().map(|run| (BucketId(run.bucket), run.start..run.start + run.rows))
    }

    /// Whether a row whose id has this hash may be here; false is certain.
    pub fn may_contain(&self, id_hash: u64) -> bool {
        self.hot.bloom.may_contain(id_hash)
    }

    /// The row with `seq` in a run.
    pub fn find(&self, run: Range<u32>, seq: Seq) -> Option<u32> {
        let seqs = &self.hot.seqs[run.start as usize..run.end as usize];
        seqs.binary_search(&seq).ok().map(|at| run.start + at as u32)
    }

    /// Notes that the write `seq` superseded a row.
    pub fn mark_dead(&self, row: u32, seq: Seq) {
        self.deaths.mark(row, seq);
    }

    /// The write that superseded a row, or 0.
    pub fn death(&self, row: u32) -> Seq {
        self.deaths.get(row)
    }

    /// Number of superseded rows.
    pub fn dead_rows(&self) -> u64 {
        self.deaths.count()
    }

    /// Whether a row is there for a reader at `snapshot`.
    #[inline]
    pub fn is_visible(&self, row: u32, snapshot: Seq) -> bool {
        let death = self.deaths.get(row);
        // Most readers have seen all writes of a segment, and the row's own seq is one more miss of the cache.
        let is_written = self.newest <= snapshot || self.hot.seqs[row as usize] <= snapshot;
        is_written && (death == 0 || death > snapshot)
    }

    fn row_bytes(&self) -> usize {
        self.dim * self.element_type.size()
    }

    /// Exact vectors of consecutive rows as f32 into `out`; `scratch` keeps its memory between calls.
    pub fn read_vectors(&self, rows: Range<u32>, out: &mut [f32], scratch: &mut Vec<u8>) -> Result<()> {
        let bytes = self.read_cold(rows, scratch)?;
        for (row, out) in bytes.chunks_exact(cold_stride(self.row_bytes())).zip(out.chunks_exact_mut(self.dim)) {
            self.widen(&row[..self.row_bytes()], out);
        }
        Ok(())
    }

    /// Appends the exact vectors of consecutive rows as given.
    pub fn read_vectors_raw(&self, rows: Range<u32>, out: &mut VectorBuf, scratch: &mut Vec<u8>) -> Result<()> {
        let bytes = self.read_cold(rows, scratch)?;
        let rows = bytes.chunks_exact(cold_stride(self.row_bytes())).map(|row| &row[..self.row_bytes()]);
        match self.element_type {
            ElementType::F32 => {
                let mut values = vec![0.0f32; self.dim];
                rows.for_each(|row| {
                    copy_f32(row, &mut values);
                    out.extend(&Vectors::F32(&values));
                });
            }
            ElementType::F16 => {
                let mut values = vec![f16::ZERO; self.dim];
                rows.for_each(|row| {
                    bytemuck::cast_slice_mut::<f16, u8>(&mut values).copy_from_slice(row);
                    out.extend(&Vectors::F16(&values));
                });
            }
        }
        Ok(())
    }

    /// The cold bytes of consecutive rows, each followed by its checksum, with all pages that they touch.
    fn read_cold<'a>(&self, rows: Range<u32>, scratch: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        let stride = cold_stride(self.row_bytes());
        self.pages.read(cold_offset(u64::from(rows.start), self.row_bytes()), rows.len() * stride, scratch)
    }

    /// Reads the exact vectors of all rows into memory, where [`Segment::read_each`] finds them from then on.
    pub fn keep_rows(&mut self) -> Result<()> {
        let (row_bytes, stride) = (self.row_bytes(), cold_stride(self.row_bytes()));
        let mut kept = Lines::with_capacity(self.rows() as usize * row_bytes);
        let mut scratch = Vec::new();
        let rows_at_once = (KEEP_BYTES / stride).max(1);
        for start in (0..self.rows()).step_by(rows_at_once) {
            let end = self.rows().min(start + rows_at_once as u32);
            let bytes = self.read_cold(start..end, &mut scratch)?;
            bytes.chunks_exact(stride).for_each(|row| kept.extend(&row[..row_bytes]));
        }
        self.kept = Some(kept);
        Ok(())
    }

    /// The exact vector of one row as f32 into `out`.
    pub fn read_row(&self, row: u32, out: &mut [f32], scratch: &mut Vec<u8>) -> Result<()> {
        self.read_each(&[row], out, scratch, |_, _| ())
    }

    /// Exact vectors of a few rows, ascending, as f32: each comes with its place in `rows`. Rows that are near each other in
    /// the file are read at once; each is checked by the checksum behind it. Rows that are kept were checked when they were read.
    pub fn read_each(
        &self,
        rows: &[u32],
        vector: &mut [f32],
        scratch: &mut Vec<u8>,
        mut each: impl FnMut(usize, &[f32]),
    ) -> Result<()> {
        let (row_bytes, stride) = (self.row_bytes(), cold_stride(self.row_bytes()));
        if let Some(kept) = &self.kept {
            let row = |row: u32| &kept.as_slice()[row as usize * row_bytes..][..row_bytes];
            rows.iter().take(ROWS_AHEAD).for_each(|&ahead| prefetch(row(ahead)));
            for (place, &at) in rows.iter().enumerate() {
                if let Some(&ahead) = rows.get(place + ROWS_AHEAD) {
                    prefetch(row(ahead));
                }
                self.widen(row(at), vector);
                each(place, vector);
            }
            return Ok(());
        }
        let mut at = 0;
        while at < rows.len() {
            let first = rows[at];
            let near = |row: &&u32| (**row - first + 1) as usize * stride <= SPAN_BYTES;
            let count = 1 + rows[at + 1..].iter().take_while(near).count();
            let span = (rows[at + count - 1] - first + 1) as usize * stride;
            if scratch.len() < span {
                scratch.resize(span, 0);
            }
            let start = cold_offset(u64::from(first), row_bytes);
            self.pages.file().read_at(start, &mut scratch[..span])?;
            for (place, &row) in rows.iter().enumerate().skip(at).take(count) {
                let offset = (row - first) as usize * stride;
                let (bytes, sum) = scratch[offset..offset + stride].split_at(row_bytes);
                let offset = start + offset as u64;
                if checksum(self.file.id, offset, bytes).to_le_bytes() != sum {
                    let problem = format!("{} at offset {offset}: the checksum does not match", self.name);
                    return Err(Error::corrupt(problem));
                }
                self.widen(bytes, vector);
                each(place, vector);
            }
            at += count;
        }
        Ok(())
    }

    fn widen(&self, row: &[u8], out: &mut [f32]) {
        match self.element_type {
            ElementType::F32 => copy_f32(row, out),
            ElementType::F16 => (kernels().widen)(row, out),
        }
    }

    /// Reads the whole file again and checks every byte of it; `read` is told of each piece and may end the check.
    pub fn verify(&self, read: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        let mut hasher = Xxh3::new();
        let mut scratch = Vec::new();
        let footer = self.pages.end();
        for start in (0..footer).step_by(1 << 20) {
            let len = (footer - start).min(1 << 20) as usize;
            hasher.update(self.pages.read(start, len, &mut scratch)?);
            read(len as u64)?;
        }
        let mut rest = vec![0; (self.file.length - footer) as usize];
        self.pages.file().read_at(footer, &mut rest)?;
        hasher.update(&rest);
        if hasher.digest() != self.file.digest || self.pages.file().len() != self.file.length {
            return Err(Error::corrupt(format!("{}: the file is not the one that was committed", self.name)));
        }
        Ok(())
    }

    /// Bytes of heap memory in use.
    pub fn heap_bytes(&self) -> usize {
        let hot = &self.hot;
        hot.ids.bytes()
            + 8 * hot.seqs.capacity()
            + hot.codes.bytes()
            + size_of::<Factors>() * hot.factors.capacity()
            + 4 * hot.seconds.capacity()
            + size_of::<RunEntry>() * hot.runs.capacity()
            + hot.bloom.bytes()
            + self.pages.heap_bytes()
            + self.kept.as_ref().map_or(0, Lines::heap_bytes)
            + self.payload.iter().map(StoredColumn::heap_bytes).sum::<usize>()
            + self.selected.heap_bytes()
            + self.alive.heap_bytes()
            + self.deaths.bytes()
    }

    fn assemble(file: SegmentFile, name: String, parts: Assembled, hot: Hot) -> Segment {
        let deaths = Deaths::new(hot.seqs.len());
        let Assembled { dim, element_type, pages, payload } = parts;
        let (selected, alive) = (Selected::default(), Alive::default());
        let newest = hot.seqs.iter().copied().max().unwrap_or(0);
        Segment { file, name, dim, element_type, hot, pages, kept: None, payload, selected, alive, deaths, newest }
    }
}

/// Longest stretch of the file that is read to get at several rows in it: copying what lies between costs less than another
/// system call up to about there.
const SPAN_BYTES: usize = 8192;

/// Bytes that are read at once when all rows are to be kept.
const KEEP_BYTES: usize = 1 << 20;

/// Rows in memory that are asked for before they are measured: a line or two of each is on its way at a time.
const ROWS_AHEAD: usize = 4;

/// Bytes of the checksum behind each exact vector.
const ROW_SUM_BYTES: usize = 4;

/// Bytes from one exact vector to the next.
fn cold_stride(row_bytes: usize) -> usize {
    row_bytes + ROW_SUM_BYTES
}

/// Where the exact vector of a row stands: behind the page of the header.
fn cold_offset(row: u64, row_bytes: usize) -> u64 {
    pages::PAGE as u64 + row * cold_stride(row_bytes) as u64
}

/// What a segment needs besides its hot part.
struct Assembled {
    dim: usize,
    element_type: ElementType,
    pages: Pages,
    payload: Vec<StoredColumn>,
}

/// Little-endian bytes, of any alignment, as f32.
fn copy_f32(bytes: &[u8], out: &mut [f32]) {
    bytemuck::cast_slice_mut::<f32, u8>(out).copy_from_slice(bytes);
}

/// A file handle that several owners share.
type SharedFile = Arc<dyn ReadFile>;

#[cfg(test)]
mod tests;
