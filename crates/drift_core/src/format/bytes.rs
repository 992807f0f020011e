//! Checked little-endian reading and writing of byte slices.
//!
//! Layer 2. [`ByteReader`] takes any input without a panic: each length is compared with what is left before anything
//! is allocated, and errors name the file and the absolute offset. [`ByteWriter`] appends to one vector, whose
//! allocation callers keep for the next use.

use crate::error::{Error, Result};
use bytemuck::{AnyBitPattern, NoUninit};

/// Reads values from bytes of a file, front to back.
#[derive(Clone, Debug)]
pub struct ByteReader<'a> {
    file: &'a str,
    base: u64,
    bytes: &'a [u8],
    position: usize,
}

impl<'a> ByteReader<'a> {
    /// A reader of `bytes`, which stand at offset `base` of the file called `file` (for messages).
    pub fn new(file: &'a str, base: u64, bytes: &'a [u8]) -> ByteReader<'a> {
        ByteReader { file, base, bytes, position: 0 }
    }

    /// Offset in the file of the next value.
    pub fn offset(&self) -> u64 {
        self.base.saturating_add(self.position as u64)
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// A Corrupt error at the next value: `file: offset N: message`.
    pub fn corrupt(&self, message: impl std::fmt::Display) -> Error {
        Error::corrupt(format!("{}: offset {}: {message}", self.file, self.offset()))
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        match rest.get(..count) {
            Some(bytes) => {
                self.position += count;
                Ok(bytes)
            }
            None => Err(self.corrupt(format_args!("{count} bytes are needed, but {} are left", rest.len()))),
        }
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A 16-bit unsigned integer.
    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// A 32-bit unsigned integer.
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A 64-bit unsigned integer.
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A 128-bit unsigned integer.
    pub fn u128(&mut self) -> Result<u128> {
        self.array().map(u128::from_le_bytes)
    }

    /// A 64-bit signed integer.
    pub fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// An IEEE 754 binary32.
    pub fn f32(&mut self) -> Result<f32> {
        self.array().map(f32::from_le_bytes)
    }

    /// A column of `count` plain values (integers or floats), copied.
    pub fn column<T: AnyBitPattern + NoUninit>(&mut self, count: usize) -> Result<Vec<T>> {
        let Some(length) = count.checked_mul(size_of::<T>()) else {
            return Err(self.corrupt(format_args!("a column of {count} values does not fit into memory")));
        };
        let bytes = self.bytes(length)?;
        let mut values = vec![T::zeroed(); count];
        bytemuck::cast_slice_mut::<T, u8>(&mut values).copy_from_slice(bytes);
        Ok(values)
    }

    /// A column of `count` values of eight bytes as [`ByteWriter::planes`] writes them.
    pub fn planes<T: AnyBitPattern + NoUninit>(&mut self, count: usize) -> Result<Vec<T>> {
        let Some(length) = count.checked_mul(size_of::<u64>()) else {
            return Err(self.corrupt(format_args!("a column of {count} values does not fit into memory")));
        };
        let bytes = self.bytes(length)?;
        let mut values = vec![T::zeroed(); count];
        let words: &mut [u64] = bytemuck::cast_slice_mut(&mut values);
        for (at, plane) in bytes.chunks_exact(count.max(1)).enumerate() {
            words.iter_mut().zip(plane).for_each(|(word, byte)| *word |= u64::from(*byte) << (8 * at));
        }
        Ok(values)
    }

    /// Fails unless the next `count` bytes are zero: reserved bytes and padding.
    pub fn zeros(&mut self, count: usize) -> Result<()> {
        let at = self.clone();
        if self.bytes(count)?.iter().any(|&byte| byte != 0) {
            return Err(at.corrupt(format_args!("{count} reserved bytes are not zero")));
        }
        Ok(())
    }

    /// Fails unless everything was read.
    pub fn finish(&self) -> Result<()> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(self.corrupt(format_args!("{left} bytes too many"))),
        }
    }
}

/// Appends values to a byte vector.
#[derive(Clone, Debug, Default)]
pub struct ByteWriter {
    bytes: Vec<u8>,
}

impl ByteWriter {
    /// An empty writer.
    pub fn new() -> ByteWriter {
        ByteWriter::default()
    }

    /// An empty writer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> ByteWriter {
        ByteWriter { bytes: Vec::with_capacity(capacity) }
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What was written.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written, without the writer.
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }

    /// Forgets what was written and keeps the allocation, unless it is above `capacity_max`.
    pub fn clear(&mut self, capacity_max: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(capacity_max);
    }

    /// Makes room for `additional` bytes.
    pub fn reserve(&mut self, additional: usize) {
        self.bytes.reserve(additional);
    }

    /// Appends `bytes` as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Appends a 16-bit unsigned integer.
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    /// Appends a 32-bit unsigned integer.
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    /// Appends a 64-bit unsigned integer.
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    /// Appends a 128-bit unsigned integer.
    pub fn u128(&mut self, value: u128) {
        self.bytes(&value.to_le_bytes());
    }

    /// Appends a 64-bit signed integer.
    pub fn i64(&mut self, value: i64) {
        self.bytes(&value.to_le_bytes());
    }

    /// Appends an IEEE 754 binary32.
    pub fn f32(&mut self, value: f32) {
        self.bytes(&value.to_le_bytes());
    }

    /// Appends a column of plain values.
    pub fn column<T: NoUninit>(&mut self, values: &[T]) {
        self.bytes(bytemuck::cast_slice(values));
    }

    /// Appends values of eight bytes, byte by byte: the lowest bytes of all, then the next ones.
    pub fn planes<T: NoUninit>(&mut self, values: &[T]) {
        let words: &[u64] = bytemuck::cast_slice(values);
        for at in 0..size_of::<u64>() {
            self.bytes.extend(words.iter().map(|word| (word >> (8 * at)) as u8));
        }
    }

    /// Appends `count` zero bytes.
    pub fn zeros(&mut self, count: usize) {
        self.bytes.resize(self.bytes.len() + count, 0);
    }

    /// Appends zero bytes up to a multiple of `alignment`.
    pub fn align(&mut self, alignment: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
    }

    /// Overwrites what stands at `position`, which was written before; panics when it was not.
    pub fn set(&mut self, position: usize, bytes: &[u8]) {
        self.bytes[position..position + bytes.len()].copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use proptest::prelude::*;

    #[test]
    fn values_come_back_as_they_were_written() {
        let mut writer = ByteWriter::new();
        writer.u8(1);
        writer.u16(2);
        writer.u32(3);
        writer.u64(4);
        writer.u128(5);
        writer.i64(-6);
        writer.f32(7.5);
        writer.column(&[1.5f32, -2.0]);
        writer.align(8);
        assert_eq!(writer.len() % 8, 0);
        let bytes = writer.into_vec();
        let mut reader = ByteReader::new("file", 100, &bytes);
        assert_eq!((reader.u8().unwrap(), reader.u16().unwrap(), reader.u32().unwrap()), (1, 2, 3));
        assert_eq!((reader.u64().unwrap(), reader.u128().unwrap(), reader.i64().unwrap()), (4, 5, -6));
        assert_eq!(reader.f32().unwrap(), 7.5);
        assert_eq!(reader.column::<f32>(2).unwrap(), [1.5, -2.0]);
        reader.zeros(reader.remaining()).unwrap();
        reader.finish().unwrap();
    }

    #[test]
    fn errors_name_file_and_offset() {
        let mut reader = ByteReader::new("wal/7", 96, &[1, 2, 3]);
        reader.u8().unwrap();
        let error = reader.u64().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.message().starts_with("wal/7: offset 97: 8 bytes"), "{error}");
        assert_eq!(reader.u16().unwrap(), 0x0302);
        assert!(reader.zeros(1).is_err());
    }

    #[test]
    fn huge_columns_do_not_allocate() {
        for count in [usize::MAX, usize::MAX / 4, 1 << 60] {
            assert!(ByteReader::new("f", 0, &[0; 64]).column::<f32>(count).is_err());
            assert!(ByteReader::new("f", 0, &[0; 64]).bytes(count).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_reads_of_any_bytes_end_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
            steps in prop::collection::vec((0u8..6, any::<usize>()), 0..32),
        ) {
            let mut reader = ByteReader::new("f", u64::MAX - 8, &bytes);
            for (step, count) in steps {
                let _ = match step {
                    0 => reader.u8().map(drop),
                    1 => reader.u128().map(drop),
                    2 => reader.bytes(count).map(drop),
                    3 => reader.column::<i64>(count % 9).map(drop),
                    4 => reader.zeros(count % 5),
                    _ => reader.finish(),
                };
            }
        }
    }
}
