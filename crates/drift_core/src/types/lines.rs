//! Bytes in memory that begins at a cache line.
//!
//! Layer 0. Codes of a multiple of 64 bytes then never share a line, and no load of a kernel crosses one.

/// Bytes of a cache line.
pub const LINE_BYTES: usize = 64;

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; LINE_BYTES]);

const EMPTY: Line = Line([0; LINE_BYTES]);

/// A growing array of bytes, aligned to 64.
#[derive(Clone, Default)]
pub struct Lines {
    lines: Vec<Line>,
    len: usize,
}

impl Lines {
    /// Nothing yet, with room for `len` bytes.
    pub fn with_capacity(len: usize) -> Lines {
        Lines { lines: Vec::with_capacity(len.div_ceil(LINE_BYTES)), len: 0 }
    }

    /// `len` bytes to be filled.
    pub fn zeroed(len: usize) -> Lines {
        Lines { lines: vec![EMPTY; len.div_ceil(LINE_BYTES)], len }
    }

    /// Appends bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        let start = self.len;
        self.len += bytes.len();
        self.lines.resize(self.len.div_ceil(LINE_BYTES), EMPTY);
        bytemuck::cast_slice_mut(&mut self.lines)[start..self.len].copy_from_slice(bytes);
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All bytes.
    #[inline(always)]
    pub fn as_slice(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }

    /// All bytes, to be filled.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }

    /// Bytes of heap memory in use.
    pub fn heap_bytes(&self) -> usize {
        LINE_BYTES * self.lines.capacity()
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lines({} bytes)", self.len)
    }
}
