//! Checked reads from a segment file.
//!
//! Layer 4. The file up to its footer is pages of 4 KiB with a checksum each; one row's exact vector costs one or two.

use super::SharedFile;
use crate::error::{Error, Result};
use crate::format::{FileId, checksum};

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// A file and the checksums of its pages.
pub struct Pages {
    file: SharedFile,
    name: String,
    id: FileId,
    sums: Vec<u32>,
}

impl Pages {
    /// Pages of `file` with their checksums.
    pub fn new(file: SharedFile, name: String, id: FileId, sums: Vec<u32>) -> Pages {
        Pages { file, name, id, sums }
    }

    /// The file.
    pub fn file(&self) -> &SharedFile {
        &self.file
    }

    /// Offset after the last page.
    pub fn end(&self) -> u64 {
        (self.sums.len() * PAGE) as u64
    }

    /// Bytes of heap memory in use.
    pub fn heap_bytes(&self) -> usize {
        4 * self.sums.capacity()
    }

    /// `len` bytes from `offset`, every page that they touch checked.
    pub fn read<'a>(&self, offset: u64, len: usize, scratch: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        let first = offset as usize / PAGE;
        let end = (offset as usize + len).div_ceil(PAGE);
        let bytes = (end - first) * PAGE;
        if scratch.len() < bytes {
            scratch.resize(bytes, 0);
        }
        let scratch = &mut scratch[..bytes];
        self.read_pages(first, scratch)?;
        let start = offset as usize - first * PAGE;
        Ok(&scratch[start..start + len])
    }

    /// Fills `out`, whole pages, from page `first`.
    pub fn read_pages(&self, first: usize, out: &mut [u8]) -> Result<()> {
        self.file.read_at((first * PAGE) as u64, out)?;
        for (at, page) in out.chunks_exact(PAGE).enumerate() {
            let offset = ((first + at) * PAGE) as u64;
            let sum = self.sums.get(first + at).copied();
            if sum != Some(checksum(self.id, offset, page)) {
                return Err(Error::corrupt(format!("{} at offset {offset}: the checksum does not match", self.name)));
            }
        }
        Ok(())
    }
}
