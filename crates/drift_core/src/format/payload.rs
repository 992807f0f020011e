//! Payload columns as bytes: the one layout that the log and segments share.
//!
//! Layer 2. A column of n rows:
//!
//! ```text
//! one bit a row, lowest first: whether it has a value; padded with zeros to a multiple of 8 bytes
//! bool               one byte a row, 0 or 1
//! int, timestamp     i64 each
//! float              f64 each
//! str, json          u64 end of each, then the text of all
//! list               u64 end of each among the items; then u64 end of each item, then the text of all
//! ```
//!
//! In blocks of rows that are compressed ([`Words::Planes`]), the eight-byte arrays after the bits of presence stand byte by
//! byte: the lowest bytes of all, then the next ones.
//!
//! In the log, columns are: u32 count; of each u8 type, u8 bytes of the name, the name, u64 bytes of the column, the column.

use super::{ByteReader, ByteWriter};
use crate::error::Result;
use crate::types::payload::{Lists, Texts, Values};
use crate::types::{Column, Columns, FieldType};
use bytemuck::{AnyBitPattern, NoUninit};

/// How arrays of eight-byte values stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// One value after the other.
    Whole,
    /// The lowest bytes of all values, then the next ones: what is alike stands together, and compresses.
    Planes,
}

/// Bytes before the values of a column of `rows`.
pub fn presence_bytes(rows: usize) -> usize {
    rows.div_ceil(64) * 8
}

/// Bytes that [`write_column`] appends.
pub fn column_bytes(column: &Column) -> usize {
    let rows = column.len();
    presence_bytes(rows)
        + match column.parts().1 {
            Values::Bool(_) => rows,
            Values::Int(_) | Values::Float(_) | Values::Timestamp(_) => 8 * rows,
            Values::Str(texts) | Values::Json(texts) => texts_bytes(texts),
            Values::List(lists) => 8 * rows + texts_bytes(lists.items()),
        }
}

fn texts_bytes(texts: &Texts) -> usize {
    8 * texts.len() + texts.text().len()
}

/// Appends a column.
pub fn write_column(out: &mut ByteWriter, column: &Column, words: Words) {
    let (present, values) = column.parts();
    for rows in present.chunks(64) {
        out.u64(rows.iter().enumerate().fold(0, |word, (at, &present)| word | u64::from(present) << at));
    }
    match values {
        Values::Bool(values) => out.bytes(values),
        Values::Int(values) | Values::Timestamp(values) => write_words(out, values, words),
        Values::Float(values) => write_words(out, values, words),
        Values::Str(texts) | Values::Json(texts) => write_texts(out, texts, words),
        Values::List(lists) => {
            write_words(out, lists.ends(), words);
            write_texts(out, lists.items(), words);
        }
    }
}

fn write_texts(out: &mut ByteWriter, texts: &Texts, words: Words) {
    write_words(out, texts.ends(), words);
    out.bytes(texts.text().as_bytes());
}

fn write_words<T: NoUninit>(out: &mut ByteWriter, values: &[T], words: Words) {
    match words {
        Words::Whole => out.column(values),
        Words::Planes => out.planes(values),
    }
}

/// Reads a column of `rows` values of one type.
pub fn read_column(reader: &mut ByteReader<'_>, rows: usize, kind: FieldType, words: Words) -> Result<Column> {
    let start = reader.clone();
    let bits: Vec<u64> = reader.column(rows.div_ceil(64))?;
    let values = match kind {
        FieldType::Bool => Values::Bool(reader.column(rows)?),
        FieldType::Int => Values::Int(read_words(reader, rows, words)?),
        FieldType::Float => Values::Float(read_words(reader, rows, words)?),
        FieldType::Timestamp => Values::Timestamp(read_words(reader, rows, words)?),
        FieldType::Str => Values::Str(read_texts(reader, rows, words)?),
        FieldType::Json => Values::Json(read_texts(reader, rows, words)?),
        FieldType::List => {
            let ends: Vec<u64> = read_words(reader, rows, words)?;
            let items = usize::try_from(ends.last().copied().unwrap_or(0)).map_err(|error| start.corrupt(error))?;
            let items = read_texts(reader, items, words)?;
            Values::List(Lists::from_parts(items, ends).ok_or_else(|| start.corrupt("ends of lists do not ascend"))?)
        }
    };
    let present = (0..rows).map(|row| bits[row / 64] >> (row % 64) & 1 == 1).collect();
    Column::from_parts(present, values).ok_or_else(|| start.corrupt("a column of another length"))
}

fn read_words<T: AnyBitPattern + NoUninit>(reader: &mut ByteReader<'_>, count: usize, words: Words) -> Result<Vec<T>> {
    match words {
        Words::Whole => reader.column(count),
        Words::Planes => reader.planes(count),
    }
}

fn read_texts(reader: &mut ByteReader<'_>, count: usize, words: Words) -> Result<Texts> {
    let start = reader.clone();
    let ends: Vec<u64> = read_words(reader, count, words)?;
    let length = usize::try_from(ends.last().copied().unwrap_or(0)).map_err(|error| start.corrupt(error))?;
    let text = std::str::from_utf8(reader.bytes(length)?).map_err(|error| start.corrupt(error))?;
    Texts::from_parts(text.to_owned(), ends).ok_or_else(|| start.corrupt("ends of texts do not ascend"))
}

/// Bytes that [`write_columns`] appends.
pub fn columns_bytes(columns: &Columns) -> usize {
    4 + columns.iter().map(|(name, column)| 10 + name.len() + column_bytes(column)).sum::<usize>()
}

/// Appends the columns of some rows.
pub fn write_columns(out: &mut ByteWriter, columns: &Columns) {
    out.u32(columns.iter().len() as u32);
    for (name, column) in columns.iter() {
        out.u8(column.kind().code());
        out.u8(name.len() as u8);
        out.bytes(name.as_bytes());
        out.u64(column_bytes(column) as u64);
        write_column(out, column, Words::Whole);
    }
}

/// Reads the columns of `rows` rows.
pub fn read_columns(reader: &mut ByteReader<'_>, rows: usize) -> Result<Columns> {
    let mut columns = Columns::new(rows);
    for _ in 0..reader.u32()? {
        let start = reader.clone();
        let kind = FieldType::from_code(reader.u8()?).ok_or_else(|| start.corrupt("an unknown field type"))?;
        let name_bytes = usize::from(reader.u8()?);
        let name = std::str::from_utf8(reader.bytes(name_bytes)?).map_err(|error| start.corrupt(error))?;
        let length = usize::try_from(reader.u64()?).map_err(|error| start.corrupt(error))?;
        let before = reader.remaining();
        let column = read_column(reader, rows, kind, Words::Whole)?;
        if before - reader.remaining() != length {
            return Err(start.corrupt("a column of another length"));
        }
        columns.add(name, column).map_err(|error| start.corrupt(error))?;
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Value;
    use proptest::prelude::*;

    fn columns() -> impl Strategy<Value = Columns> {
        (0usize..80).prop_flat_map(|rows| {
            let values = prop::collection::vec(prop::option::of((any::<i64>(), "\\PC{0,5}")), rows);
            prop::collection::vec((1u8..8, values), 0..4).prop_map(move |given| {
                let mut columns = Columns::new(rows);
                for (at, (code, values)) in given.into_iter().enumerate() {
                    let mut column = Column::new(FieldType::from_code(code).unwrap());
                    for value in &values {
                        match (value, column.kind()) {
                            (None, _) => column.push(Value::Null),
                            (Some((n, _)), FieldType::Bool) => column.push(Value::Bool(n % 2 == 0)),
                            (Some((n, _)), FieldType::Int) => column.push(Value::Int(*n)),
                            (Some((n, _)), FieldType::Timestamp) => column.push(Value::Timestamp(*n)),
                            (Some((n, _)), FieldType::Float) => column.push(Value::Float(f64::from_bits(*n as u64))),
                            (Some((_, text)), FieldType::Str) => column.push(Value::Str(text)),
                            (Some((_, text)), FieldType::Json) => column.push(Value::Json(text)),
                            (Some((n, text)), FieldType::List) => {
                                column.push_list((0..n.rem_euclid(4)).map(|_| text.as_str()));
                            }
                        }
                    }
                    columns.add(&format!("f{at}"), column).unwrap();
                }
                columns
            })
        })
    }

    proptest! {
        #[test]
        fn columns_come_back_and_cut_ones_are_refused(columns in columns(), cut in any::<prop::sample::Index>()) {
            let mut out = ByteWriter::new();
            write_columns(&mut out, &columns);
            prop_assert_eq!(out.len(), columns_bytes(&columns));
            let mut reader = ByteReader::new("f", 0, out.as_slice());
            prop_assert_eq!(&read_columns(&mut reader, columns.rows()).unwrap(), &columns);
            reader.finish().unwrap();
            for (_, column) in columns.iter() {
                let mut planes = ByteWriter::new();
                write_column(&mut planes, column, Words::Planes);
                prop_assert_eq!(planes.len(), column_bytes(column));
                let mut reader = ByteReader::new("f", 0, planes.as_slice());
                let read = read_column(&mut reader, columns.rows(), column.kind(), Words::Planes);
                prop_assert_eq!(&read.unwrap(), column);
                reader.finish().unwrap();
            }
            let short = &out.as_slice()[..cut.index(out.len())];
            prop_assert!(read_columns(&mut ByteReader::new("f", 0, short), columns.rows()).is_err());
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..90), rows in any::<u16>(), code in 1u8..8) {
            let _ = read_columns(&mut ByteReader::new("f", 0, &bytes), usize::from(rows % 5));
            let kind = FieldType::from_code(code).unwrap();
            for words in [Words::Whole, Words::Planes] {
                let _ = read_column(&mut ByteReader::new("f", 0, &bytes), usize::from(rows), kind, words);
            }
        }
    }
}
