//! The payload of a segment: a column per field, read from storage when it is wanted.
//!
//! Layer 4. Single values are read from their places in the file, or in the block of rows that they are in; a whole column is read for compaction, and for the first
//! predicate that asks for it, whose index over the values stays in memory ([`super::values`]).

use super::Segment;
use super::blocks::{Blocks, Scratch};
use super::footer::{RAW, Section};
use super::values::ValueIndex;
use super::zone::Zone;
use crate::error::{Error, Result};
use crate::format::{ByteReader, Words, presence_bytes, read_column};
use crate::sync::Mutex;
use crate::types::payload::Texts;
use crate::types::{Column, Field, FieldType, Value};
use std::sync::{Arc, OnceLock};

/// Stands for the time of a row without one: no clock shows it.
pub const NO_TIME: i64 = i64::MIN;

/// A column in the file.
pub struct StoredColumn {
    field: Field,
    pub(super) section: Section,
    blocks: OnceLock<Blocks>,
    index: Mutex<Option<Arc<ValueIndex>>>,
    zone: OnceLock<Option<Zone>>,
    times: OnceLock<Arc<[i64]>>,
}

impl StoredColumn {
    /// The column of `field` in `section`.
    pub(super) fn new(field: Field, section: Section) -> StoredColumn {
        let (blocks, index, zone, times) = (OnceLock::new(), Mutex::new(None), OnceLock::new(), OnceLock::new());
        StoredColumn { field, section, blocks, index, zone, times }
    }

    /// The same column, whose zone is known where there is one.
    pub(super) fn with_zone(self, zone: Option<Zone>) -> StoredColumn {
        if zone.is_some() {
            self.set_zone(zone);
        }
        self
    }

    /// The zone, once it is known.
    pub(super) fn known_zone(&self) -> Option<Option<Zone>> {
        self.zone.get().copied()
    }

    pub(super) fn set_zone(&self, zone: Option<Zone>) {
        // Whoever else has found it has found the same.
        let _ = self.zone.set(zone);
    }

    /// Bytes of heap memory in use.
    pub(super) fn heap_bytes(&self) -> usize {
        let times = self.times.get().map_or(0, |times| size_of_val(&times[..]));
        let blocks = self.blocks.get().map_or(0, Blocks::heap_bytes);
        self.field.name.len() + times + blocks + self.index.lock().as_ref().map_or(0, |index| index.bytes())
    }
}

impl Segment {
    /// Fields that some rows have.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.payload.iter().map(|column| &column.field)
    }

    /// Checks the types of fields against those that the manifest says: columns are made of them.
    pub fn check_fields(&self, known: &[Field]) -> Result<()> {
        for own in self.fields() {
            let kind = known.iter().find(|field| field.name == own.name).map_or(own.kind, |field| field.kind);
            if !kind.takes(own.kind) {
                let (own_kind, says) = (own.kind.name(), kind.name());
                let problem = format!("field {:?} is {own_kind}, the manifest says {says}", own.name);
                return Err(Error::corrupt(format!("{}: {problem}", self.name)));
            }
        }
        Ok(())
    }

    pub(super) fn stored(&self, name: &str) -> Option<&StoredColumn> {
        self.payload.iter().find(|column| column.field.name == name)
    }

    /// The type of a field here.
    pub(super) fn kind(&self, stored: &StoredColumn) -> FieldType {
        stored.field.kind
    }

    /// All values of a field; none when no row has one.
    pub fn read_column(&self, name: &str) -> Result<Option<Column>> {
        self.stored(name).map(|stored| self.load(stored)).transpose()
    }

    /// The timestamps of all rows, [`NO_TIME`] where a row has none; none when no row has one. They stay in memory.
    pub fn times(&self, name: &str) -> Result<Option<Arc<[i64]>>> {
        let Some(stored) = self.stored(name).filter(|stored| stored.field.kind == FieldType::Timestamp) else {
            return Ok(None);
        };
        if let Some(times) = stored.times.get() {
            return Ok(Some(times.clone()));
        }
        let column = self.load(stored)?;
        let time = |row| if let Value::Timestamp(time) = column.get(row) { time } else { NO_TIME };
        let times: Arc<[i64]> = (0..column.len()).map(time).collect();
        Ok(Some(stored.times.get_or_init(|| times).clone()))
    }

    /// Reads a whole column.
    pub(super) fn load(&self, stored: &StoredColumn) -> Result<Column> {
        let mut bytes = Vec::new();
        if self.blocks(stored, &mut bytes)?.is_none() {
            return self.read_plain(stored, &mut bytes);
        }
        let mut column = Column::new(stored.field.kind);
        self.visit(stored, &mut |_, part| column.extend(part))?;
        Ok(column)
    }

    /// Visits the values of a column in their order, some rows at a time, with the first of these rows: no more than a block of
    /// them is in memory where the column is in blocks.
    pub(super) fn visit(&self, stored: &StoredColumn, visit: &mut dyn FnMut(usize, &Column)) -> Result<()> {
        let mut bytes = Vec::new();
        match self.blocks(stored, &mut bytes)? {
            Some(blocks) => blocks.visit(&self.pages, stored.section, &self.name, stored.field.kind, visit),
            None => {
                visit(0, &self.read_plain(stored, &mut bytes)?);
                Ok(())
            }
        }
    }

    fn read_plain(&self, stored: &StoredColumn, bytes: &mut Vec<u8>) -> Result<Column> {
        let section = stored.section;
        let bytes = self.pages.read(section.offset, section.length as usize, bytes)?;
        let mut reader = ByteReader::new(&self.name, section.offset, bytes);
        let column = read_column(&mut reader, self.rows() as usize, stored.field.kind, Words::Whole)?;
        reader.finish()?;
        Ok(column)
    }

    /// Where the blocks of a column are; none when it is in no blocks.
    fn blocks<'a>(&self, stored: &'a StoredColumn, scratch: &mut Vec<u8>) -> Result<Option<&'a Blocks>> {
        if stored.section.encoding == RAW {
            return Ok(None);
        }
        if let Some(blocks) = stored.blocks.get() {
            return Ok(Some(blocks));
        }
        let found = Blocks::read(&self.pages, stored.section, &self.name, self.rows() as usize, scratch)?;
        Ok(Some(stored.blocks.get_or_init(|| found)))
    }

    /// The index over the values of a column, built the first time that it is asked for.
    pub(super) fn index(&self, stored: &StoredColumn) -> Result<Arc<ValueIndex>> {
        // Held while it is built: others that want the same index wait instead of building it as well.
        let mut index = stored.index.lock();
        if let Some(index) = &*index {
            return Ok(index.clone());
        }
        let built = Arc::new(ValueIndex::new(&self.load(stored)?));
        *index = Some(built.clone());
        Ok(built)
    }

    /// Appends the value that one row has of a field to `out`, which is of the field's type; ints and floats meet as floats.
    pub fn read_value(&self, row: u32, name: &str, out: &mut Column, scratch: &mut Scratch) -> Result<()> {
        let Some(stored) = self.stored(name) else {
            out.push(Value::Null);
            return Ok(());
        };
        out.meet(stored.field.kind);
        let row = row as usize;
        match self.blocks(stored, &mut scratch.pages)? {
            Some(blocks) => {
                let (block, row) = blocks.place(row);
                let rows = blocks.rows_of(block);
                let within = (blocks, block);
                let (bytes, scratch) = scratch.block(&self.pages, self.file.id, stored.section, &self.name, within)?;
                Cell { segment: self, stored, bytes: Bytes::Block(bytes), rows, row }.read(out, scratch)
            }
            None => {
                let rows = self.rows() as usize;
                Cell { segment: self, stored, bytes: Bytes::File, rows, row }.read(out, &mut scratch.pages)
            }
        }
    }
}

/// Where the layout of the rows is that a value is among.
enum Bytes<'a> {
    /// In the file, words one after the other.
    File,
    /// In memory, words in planes.
    Block(&'a [u8]),
}

/// One value of a stored column.
struct Cell<'a> {
    segment: &'a Segment,
    stored: &'a StoredColumn,
    bytes: Bytes<'a>,
    rows: usize,
    row: usize,
}

impl<'a> Cell<'a> {
    fn corrupt(&self, problem: &str) -> Error {
        Error::corrupt(format!("{}: field {:?}: {problem}", self.segment.name, self.stored.field.name))
    }

    /// `length` bytes of the layout, `offset` from its beginning.
    fn bytes<'b>(&self, offset: u64, length: u64, scratch: &'b mut Vec<u8>) -> Result<&'b [u8]>
    where
        'a: 'b,
    {
        let section = self.stored.section;
        let end = offset.checked_add(length);
        let found = match self.bytes {
            Bytes::File if end.is_some_and(|end| end <= section.length) => {
                return self.segment.pages.read(section.offset + offset, length as usize, scratch);
            }
            Bytes::File => None,
            Bytes::Block(bytes) => end.and_then(|end| bytes.get(offset as usize..end as usize)),
        };
        found.ok_or_else(|| self.corrupt(&format!("it ends before row {}", self.row)))
    }

    /// Word `at` of the `count` that begin at `base`.
    fn word(&self, base: u64, count: u64, at: u64, scratch: &mut Vec<u8>) -> Result<u64> {
        match self.bytes {
            Bytes::File => {
                let bytes = self.bytes(base.saturating_add(at.saturating_mul(8)), 8, scratch)?;
                Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| Error::internal("eight bytes are eight bytes"))?))
            }
            Bytes::Block(_) => {
                let planes = self.bytes(base, count.saturating_mul(8), scratch)?;
                if at >= count {
                    return Err(self.corrupt("ends of lists do not ascend"));
                }
                let plane = planes.chunks_exact(count as usize).map(|plane| u64::from(plane[at as usize]));
                Ok(plane.enumerate().fold(0, |word, (byte, value)| word | value << (8 * byte)))
            }
        }
    }

    /// Where entry `at` of `count` ends that begin at `base` starts and ends.
    fn range(&self, base: u64, count: u64, at: u64, scratch: &mut Vec<u8>) -> Result<(u64, u64)> {
        let start = if at == 0 { 0 } else { self.word(base, count, at - 1, scratch)? };
        Ok((start, self.word(base, count, at, scratch)?))
    }

    /// Text between two places of text that begins at `base`.
    fn text<'b>(&self, base: u64, (start, end): (u64, u64), scratch: &'b mut Vec<u8>) -> Result<&'b str>
    where
        'a: 'b,
    {
        let length = end.checked_sub(start).ok_or_else(|| self.corrupt("ends of texts do not ascend"))?;
        let offset = base.checked_add(start).ok_or_else(|| self.corrupt("ends of texts do not ascend"))?;
        let bytes = self.bytes(offset, length, scratch)?;
        std::str::from_utf8(bytes).map_err(|_| self.corrupt("the text is not UTF-8"))
    }

    fn read(&self, out: &mut Column, scratch: &mut Vec<u8>) -> Result<()> {
        let (rows, row, base) = (self.rows as u64, self.row as u64, presence_bytes(self.rows) as u64);
        // The bits of presence are words of their own, in planes or not.
        if self.bytes(row / 8, 1, scratch)?[0] >> (row % 8) & 1 == 0 {
            out.push(Value::Null);
            return Ok(());
        }
        let ends = base + 8 * rows;
        match self.stored.field.kind {
            FieldType::Bool => out.push(Value::Bool(self.bytes(base + row, 1, scratch)?[0] != 0)),
            FieldType::Int => out.push(Value::Int(self.word(base, rows, row, scratch)? as i64)),
            FieldType::Timestamp => out.push(Value::Timestamp(self.word(base, rows, row, scratch)? as i64)),
            FieldType::Float => out.push(Value::Float(f64::from_bits(self.word(base, rows, row, scratch)?))),
            FieldType::Str => {
                let range = self.range(base, rows, row, scratch)?;
                out.push(Value::Str(self.text(ends, range, scratch)?));
            }
            FieldType::Json => {
                let range = self.range(base, rows, row, scratch)?;
                out.push(Value::Json(self.text(ends, range, scratch)?));
            }
            FieldType::List => {
                let (first, last) = self.range(base, rows, row, scratch)?;
                let items = self.word(base, rows, rows - 1, scratch)?;
                let text_base = items.checked_mul(8).and_then(|bytes| ends.checked_add(bytes));
                let text_base = text_base.ok_or_else(|| self.corrupt("ends of lists do not ascend"))?;
                let mut texts = Texts::default();
                for item in first..last {
                    let range = self.range(ends, items, item, scratch)?;
                    texts.push(self.text(text_base, range, scratch)?);
                }
                out.push_list((0..texts.len()).map(|item| texts.get(item)));
            }
        }
        Ok(())
    }
}
