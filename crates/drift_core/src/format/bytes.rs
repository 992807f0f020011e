//! Little-endian reading and writing with every bound checked.
//!
//! Layer 2.

use crate::error::{Error, Result};
use crate::types::{ID_BYTES_MAX, IdType, Ids, StrIds};

/// Writes values one after the other.
#[derive(Debug, Default)]
pub struct ByteWriter {
    bytes: Vec<u8>,
}

impl ByteWriter {
    /// An empty writer.
    pub fn new() -> ByteWriter {
        ByteWriter::default()
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What was written so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Empties the writer and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes one byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Writes four bytes.
    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes sixteen bytes.
    pub fn u128(&mut self, value: u128) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Overwrites four bytes at `at`, which were written before.
    pub fn set_u32(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// Writes a column of ids: int64 values, or the length and the bytes of each string.
    pub fn ids(&mut self, ids: &Ids) {
        match ids {
            Ids::Int(ids) => self.raw(bytemuck::cast_slice(ids)),
            Ids::Str(ids) => {
                for row in 0..ids.len() {
                    let id = ids.get(row);
                    self.u32(id.len() as u32);
                    self.raw(id.as_bytes());
                }
            }
        }
    }
}

/// Reads values one after the other; `what` names the bytes in errors, `base` is their offset in their file.
pub struct ByteReader<'a> {
    bytes: &'a [u8],
    at: usize,
    what: &'a str,
    base: u64,
}

impl<'a> ByteReader<'a> {
    /// A reader of `bytes`, which stand at offset `base` of what `what` names.
    pub fn new(bytes: &'a [u8], what: &'a str, base: u64) -> ByteReader<'a> {
        ByteReader { bytes, at: 0, what, base }
    }

    /// A `Corrupt` error at the present position.
    pub fn corrupt(&self, problem: impl std::fmt::Display) -> Error {
        Error::corrupt(format!("{} at offset {}: {problem}", self.what, self.base + self.at as u64))
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `len` bytes.
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8]> {
        let left = &self.bytes[self.at..];
        if left.len() < len {
            return Err(self.corrupt(format!("{len} bytes expected, {} left", left.len())));
        }
        self.at += len;
        Ok(&left[..len])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.raw(N)?);
        Ok(array)
    }

    /// Reads one byte.
    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// Reads four bytes.
    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Reads eight bytes.
    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Reads sixteen bytes.
    pub fn u128(&mut self) -> Result<u128> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    /// Reads `count` values of a plain type; sizes are checked before anything is allocated.
    pub fn array_of<T: bytemuck::Pod>(&mut self, count: usize) -> Result<Vec<T>> {
        let len = count
            .checked_mul(size_of::<T>())
            .ok_or_else(|| self.corrupt(format!("{count} values are more than any file holds")))?;
        let bytes = self.raw(len)?;
        let mut values = vec![T::zeroed(); count];
        bytemuck::cast_slice_mut(&mut values).copy_from_slice(bytes);
        Ok(values)
    }

    /// Reads a column of ids as [`ByteWriter::ids`] writes it.
    pub fn ids(&mut self, id_type: IdType, count: usize) -> Result<Ids> {
        match id_type {
            IdType::Int => Ok(Ids::Int(self.array_of(count)?)),
            IdType::Str => {
                let mut ids = StrIds::default();
                for _ in 0..count {
                    let len = self.u32()? as usize;
                    if len > ID_BYTES_MAX {
                        return Err(self.corrupt(format!("a string id of {len} bytes")));
                    }
                    let bytes = self.raw(len)?;
                    let text = std::str::from_utf8(bytes).map_err(|_| self.corrupt("a string id is not UTF-8"))?;
                    ids.push(text);
                }
                Ok(Ids::Str(ids))
            }
        }
    }

    /// Fails unless every byte was read.
    pub fn finish(self) -> Result<()> {
        match self.left() {
            0 => Ok(()),
            left => Err(self.corrupt(format!("{left} bytes too many"))),
        }
    }
}
