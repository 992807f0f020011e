//! Row codes in memory that begins at a cache line.
//!
//! Layer 4. Rows of a multiple of 64 bytes then never share a line, and no load of a kernel crosses one.

use std::ops::Range;

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Codes of all rows of a segment.
pub struct Codes {
    lines: Vec<Line>,
    stride: usize,
    len: usize,
}

impl Codes {
    /// Room for `rows` rows of `stride` bytes.
    pub fn with_capacity(stride: usize, rows: usize) -> Codes {
        Codes { lines: Vec::with_capacity((stride * rows).div_ceil(64)), stride, len: 0 }
    }

    /// `len` bytes to be filled.
    pub fn zeroed(stride: usize, len: usize) -> Codes {
        Codes { lines: vec![Line([0; 64]); len.div_ceil(64)], stride, len }
    }

    /// Appends whole rows.
    pub fn extend(&mut self, codes: &[u8]) {
        let start = self.len;
        self.len += codes.len();
        self.lines.resize(self.len.div_ceil(64), Line([0; 64]));
        bytemuck::cast_slice_mut(&mut self.lines)[start..self.len].copy_from_slice(codes);
    }

    /// All bytes.
    pub fn as_slice(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }

    /// All bytes, to be filled.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }

    /// Codes of consecutive rows.
    pub fn rows(&self, rows: Range<u32>) -> &[u8] {
        &self.as_slice()[rows.start as usize * self.stride..rows.end as usize * self.stride]
    }

    /// Bytes of heap memory in use.
    pub fn bytes(&self) -> usize {
        64 * self.lines.capacity()
    }
}
