//! Columns of payload in compressed blocks of rows.
//!
//! Layer 4. A value is read by decompressing the block that its row is in, so a block is small; a column whose blocks are not
//! smaller than its plain layout is written in that one ([`super::footer::RAW`]). The section:
//!
//! ```text
//! u32 rows of a block (the last one may have fewer), u32 zero
//! u64 end of each block, from the beginning of the section
//! of each block: u32 bytes of its layout, then these (format::payload, words in planes) as an LZ4 block
//! ```
//!
//! LZ4 makes at most 255 bytes of one, which bounds what a forged length can ask for.

use super::footer::Section;
use super::pages::Pages;
use crate::error::Result;
use crate::format::{ByteReader, ByteWriter, FileId, Words, column_bytes, read_column, write_column};
use crate::types::{Column, FieldType};
use lz4_flex::block::{compress, decompress_into};

/// Rows of a block that is written: a text of 70 bytes makes 10 KB, which take a few microseconds; 1,024 rows would save a tenth of
/// the file's texts more, and cost every single value eight times as much.
const ROWS: usize = 128;

/// Bytes before the ends of the blocks.
const HEAD: usize = 8;

/// Most bytes that LZ4 makes of one.
const EXPANSION_MAX: usize = 255;

/// A column in blocks; none when that is no shorter than `plain` bytes.
pub fn encode(column: &Column, plain: usize) -> Option<Vec<u8>> {
    let count = column.len().div_ceil(ROWS);
    let mut out = ByteWriter::with_capacity(plain / 2);
    out.u32(ROWS as u32);
    out.u32(0);
    out.zeros(8 * count);
    let mut layout = ByteWriter::new();
    for block in 0..count {
        let rows = column.slice(block * ROWS..column.len().min((block + 1) * ROWS));
        layout.clear(column_bytes(&rows));
        write_column(&mut layout, &rows, Words::Planes);
        // Lengths are u32: what is longer stays as it is.
        out.u32(u32::try_from(layout.len()).ok()?);
        out.bytes(&compress(layout.as_slice()));
        let end = out.len() as u64;
        out.set(HEAD + 8 * block, &end.to_le_bytes());
    }
    (out.len() < plain).then(|| out.into_vec())
}

/// Where the blocks of a column are.
pub struct Blocks {
    rows: usize,
    rows_each: usize,
    ends: Vec<u64>,
}

impl Blocks {
    /// The blocks of a column of `rows` in a section.
    pub fn read(pages: &Pages, section: Section, name: &str, rows: usize, scratch: &mut Vec<u8>) -> Result<Blocks> {
        let head = pages.read(section.offset, (section.length as usize).min(HEAD), scratch)?;
        let mut reader = ByteReader::new(name, section.offset, head);
        let rows_each = reader.u32()? as usize;
        reader.zeros(4)?;
        let count = if rows_each == 0 { usize::MAX } else { rows.div_ceil(rows_each) };
        let table = count.checked_mul(8).filter(|table| (table + HEAD) as u64 <= section.length);
        let table = table.ok_or_else(|| reader.corrupt(format_args!("blocks of {rows_each} rows do not fit")))?;
        let offset = section.offset + HEAD as u64;
        let mut reader = ByteReader::new(name, offset, pages.read(offset, table, scratch)?);
        let ends: Vec<u64> = reader.column(count)?;
        let first = (HEAD + table) as u64;
        let ascend = std::iter::once(&first).chain(&ends).zip(&ends).all(|(start, end)| start < end);
        if !ascend || ends.last().copied().unwrap_or(first) != section.length {
            return Err(reader.corrupt("ends of blocks do not ascend to the end of the section"));
        }
        Ok(Blocks { rows, rows_each, ends })
    }

    /// Bytes of heap memory in use.
    pub fn heap_bytes(&self) -> usize {
        8 * self.ends.capacity()
    }

    /// The block of a row, and its place there.
    pub fn place(&self, row: usize) -> (usize, usize) {
        (row / self.rows_each, row % self.rows_each)
    }

    /// Rows of a block.
    pub fn rows_of(&self, block: usize) -> usize {
        self.rows_each.min(self.rows - block * self.rows_each)
    }

    /// Start and length of a block in its section.
    fn extent(&self, block: usize) -> (u64, usize) {
        let start = if block == 0 { (HEAD + 8 * self.ends.len()) as u64 } else { self.ends[block - 1] };
        (start, (self.ends[block] - start) as usize)
    }

    /// Visits the values of the column, a block at a time, with the row that each begins at.
    pub fn visit(
        &self,
        pages: &Pages,
        section: Section,
        name: &str,
        kind: FieldType,
        visit: &mut dyn FnMut(usize, &Column),
    ) -> Result<()> {
        let (mut scratch, mut layout) = (Vec::new(), Vec::new());
        let bytes = pages.read(section.offset, section.length as usize, &mut scratch)?;
        for block in 0..self.ends.len() {
            let (start, length) = self.extent(block);
            let packed = &bytes[start as usize..start as usize + length];
            decompress(packed, &mut layout, name, section.offset + start)?;
            let mut reader = ByteReader::new(name, section.offset + start, &layout);
            let values = read_column(&mut reader, self.rows_of(block), kind, Words::Planes)?;
            reader.finish()?;
            visit(block * self.rows_each, &values);
        }
        Ok(())
    }
}

/// What reading single values keeps between calls: memory, and the block that was read last.
#[derive(Default)]
pub struct Scratch {
    pub(super) pages: Vec<u8>,
    layout: Vec<u8>,
    known: Option<(FileId, u64)>,
}

impl Scratch {
    /// The layout of a block of the file `id`, and memory for more.
    pub(super) fn block(
        &mut self,
        pages: &Pages,
        id: FileId,
        section: Section,
        name: &str,
        (blocks, block): (&Blocks, usize),
    ) -> Result<(&[u8], &mut Vec<u8>)> {
        let (start, length) = blocks.extent(block);
        let offset = section.offset + start;
        if self.known != Some((id, offset)) {
            self.known = None;
            decompress(pages.read(offset, length, &mut self.pages)?, &mut self.layout, name, offset)?;
            self.known = Some((id, offset));
        }
        Ok((&self.layout, &mut self.pages))
    }
}

/// Decompresses a block, which stands at `offset`, into `layout`.
fn decompress(packed: &[u8], layout: &mut Vec<u8>, name: &str, offset: u64) -> Result<()> {
    let mut reader = ByteReader::new(name, offset, packed);
    let length = reader.u32()? as usize;
    let packed = reader.bytes(reader.remaining())?;
    let reader = ByteReader::new(name, offset, packed);
    if length > EXPANSION_MAX * packed.len() {
        return Err(reader.corrupt(format_args!("a block of {} bytes cannot hold {length}", packed.len())));
    }
    layout.clear();
    layout.resize(length, 0);
    match decompress_into(packed, layout) {
        Ok(written) if written == length => Ok(()),
        Ok(written) => Err(reader.corrupt(format_args!("a block holds {written} bytes, not {length}"))),
        Err(error) => Err(reader.corrupt(format_args!("a block does not decompress: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::checksum;
    use crate::segment::footer::BLOCKS;
    use crate::segment::pages::PAGE;
    use crate::storage::{Backend, MemoryBackend};
    use crate::types::Value;

    /// A section of 300 rows, whatever `change` makes of it.
    fn read_changed(change: impl FnOnce(&mut Vec<u8>)) -> Result<Column> {
        let mut column = Column::new(FieldType::Str);
        (0..300).for_each(|row| column.push(Value::Str(["abc", "", "abcabc"][row % 3])));
        let mut bytes = encode(&column, 1 << 20).expect("shorter than a megabyte");
        change(&mut bytes);
        let section = Section { offset: 0, length: bytes.len() as u64, encoding: BLOCKS };
        bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
        let sums = bytes.chunks(PAGE).enumerate().map(|(at, page)| checksum(FileId(1), (at * PAGE) as u64, page));
        let backend = MemoryBackend::open("", true, false)?;
        backend.put_if_absent("segments/x.drift", &bytes)?;
        let pages = Pages::new(backend.open("segments/x.drift")?, "x".into(), FileId(1), sums.collect());
        let blocks = Blocks::read(&pages, section, "x", 300, &mut Vec::new())?;
        let mut scratch = Scratch::default();
        for block in 0..3 {
            scratch.block(&pages, FileId(1), section, "x", (&blocks, block))?;
        }
        let mut read = Column::new(FieldType::Str);
        blocks.visit(&pages, section, "x", FieldType::Str, &mut |row, part| {
            assert_eq!(row, read.len());
            read.extend(part);
        })?;
        assert_eq!(read.len(), 300);
        Ok(read)
    }

    #[test]
    fn forged_blocks_are_errors_that_allocate_nothing() {
        assert_eq!(read_changed(|_| ()).expect("as written").get(2), Value::Str("abcabc"));
        let first = HEAD + 3 * 8;
        for (at, value) in [(0, 0u32), (0, 1), (0, u32::MAX), (4, 1), (HEAD, 0), (HEAD + 16, 1), (HEAD + 12, 1)] {
            let error = read_changed(|bytes| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes())).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Corrupt, "{value} at {at}: {error}");
        }
        for length in [0, 1, 1_000_000, u32::MAX] {
            let error = read_changed(|bytes| bytes[first..first + 4].copy_from_slice(&length.to_le_bytes()));
            let error = error.unwrap_err();
            assert!(error.message().contains("a block"), "{length}: {error}");
        }
        assert!(read_changed(|bytes| bytes.truncate(5)).is_err());
    }
}
