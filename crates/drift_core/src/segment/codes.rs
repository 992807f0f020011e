//! Row codes in memory, one row behind the other.
//!
//! Layer 4.

use crate::types::Lines;
use std::ops::Range;

/// Codes of all rows of a segment.
pub struct Codes {
    lines: Lines,
    stride: usize,
}

impl Codes {
    /// Room for `rows` rows of `stride` bytes.
    pub fn with_capacity(stride: usize, rows: usize) -> Codes {
        Codes { lines: Lines::with_capacity(stride * rows), stride }
    }

    /// `len` bytes to be filled.
    pub fn zeroed(stride: usize, len: usize) -> Codes {
        Codes { lines: Lines::zeroed(len), stride }
    }

    /// Appends whole rows.
    pub fn extend(&mut self, codes: &[u8]) {
        self.lines.extend(codes);
    }

    /// All bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.lines.as_slice()
    }

    /// All bytes, to be filled.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.lines.as_mut_slice()
    }

    /// Codes of consecutive rows.
    #[inline(always)]
    pub fn rows(&self, rows: Range<u32>) -> &[u8] {
        &self.lines.as_slice()[rows.start as usize * self.stride..rows.end as usize * self.stride]
    }

    /// Bytes of heap memory in use.
    pub fn bytes(&self) -> usize {
        self.lines.heap_bytes()
    }
}
