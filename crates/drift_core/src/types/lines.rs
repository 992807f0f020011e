//! Bytes in memory that begins at a cache line.
//!
//! Layer 0. Codes of a multiple of 64 bytes then never share a line, and no load of a kernel crosses one. Long arrays are
//! mappings of their own: they are read at random places, where huge pages save the processor most of its page walks, and
//! what is freed goes back to the system at once, whatever was allocated after it.

use memmap2::MmapMut;

/// Bytes of a cache line.
pub const LINE_BYTES: usize = 64;

/// Bytes from which an array is a mapping of its own: a huge page of x86-64.
const MAPPED_BYTES_MIN: usize = 2 << 20;

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; LINE_BYTES]);

const EMPTY: Line = Line([0; LINE_BYTES]);

/// Zeroed memory of a fixed length.
enum Memory {
    Heap(Vec<Line>),
    Mapped(MmapMut),
}

impl Memory {
    /// At least `len` bytes.
    fn zeroed(len: usize) -> Memory {
        match (len >= MAPPED_BYTES_MIN).then(|| mapped(len)).flatten() {
            Some(map) => Memory::Mapped(map),
            None => Memory::Heap(vec![EMPTY; len.div_ceil(LINE_BYTES)]),
        }
    }

    #[inline(always)]
    fn as_slice(&self) -> &[u8] {
        match self {
            Memory::Heap(lines) => bytemuck::cast_slice(lines),
            Memory::Mapped(map) => map,
        }
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        match self {
            Memory::Heap(lines) => bytemuck::cast_slice_mut(lines),
            Memory::Mapped(map) => map,
        }
    }
}

/// A mapping of zeroes; none where the system refuses one, and the allocator then decides.
fn mapped(len: usize) -> Option<MmapMut> {
    let map = MmapMut::map_anon(len).ok()?;
    // Advice: a system without huge pages goes on with small ones.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Some(map)
}

/// A growing array of bytes, aligned to 64.
pub struct Lines {
    memory: Memory,
    len: usize,
}

impl Default for Lines {
    fn default() -> Lines {
        Lines::zeroed(0)
    }
}

impl Lines {
    /// Nothing yet, with room for `len` bytes.
    pub fn with_capacity(len: usize) -> Lines {
        Lines { memory: Memory::zeroed(len), len: 0 }
    }

    /// `len` bytes to be filled.
    pub fn zeroed(len: usize) -> Lines {
        Lines { memory: Memory::zeroed(len), len }
    }

    /// Appends bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if end > self.capacity() {
            let mut memory = Memory::zeroed(end.max(2 * self.capacity()));
            memory.as_mut_slice()[..self.len].copy_from_slice(self.as_slice());
            self.memory = memory;
        }
        self.memory.as_mut_slice()[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    fn capacity(&self) -> usize {
        self.memory.as_slice().len()
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
        &self.memory.as_slice()[..self.len]
    }

    /// All bytes, to be filled.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory.as_mut_slice()[..self.len]
    }

    /// Bytes of memory in use.
    pub fn heap_bytes(&self) -> usize {
        self.capacity()
    }
}

/// A growing array of numbers in [`Lines`]: for rows that are copied to be worked on. An allocator keeps what it has once had for
/// such copies, on each thread that made one; a mapping goes back to the system.
#[derive(Default)]
pub struct Floats(Lines);

impl Floats {
    /// Nothing yet, with room for `len` numbers.
    pub fn with_capacity(len: usize) -> Floats {
        Floats(Lines::with_capacity(len * size_of::<f32>()))
    }

    /// `len` numbers to be filled.
    pub fn zeroed(len: usize) -> Floats {
        Floats(Lines::zeroed(len * size_of::<f32>()))
    }

    /// Appends numbers.
    pub fn extend(&mut self, numbers: &[f32]) {
        self.0.extend(bytemuck::cast_slice(numbers));
    }
}

impl std::ops::Deref for Floats {
    type Target = [f32];

    #[inline(always)]
    fn deref(&self) -> &[f32] {
        bytemuck::cast_slice(self.0.as_slice())
    }
}

impl std::ops::DerefMut for Floats {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(self.0.as_mut_slice())
    }
}

impl Clone for Lines {
    fn clone(&self) -> Lines {
        let mut lines = Lines::with_capacity(self.len);
        lines.extend(self.as_slice());
        lines
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lines({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stay_as_an_array_grows_into_a_mapping() {
        let bytes: Vec<u8> = (0..MAPPED_BYTES_MIN / 2 + 100).map(|at| (at % 251) as u8).collect();
        let mut lines = Lines::default();
        assert!(lines.is_empty());
        for part in 0..4 {
            assert_eq!(matches!(lines.memory, Memory::Mapped(_)), part >= 2);
            lines.extend(&bytes);
            assert_eq!(lines.as_slice().as_ptr() as usize % LINE_BYTES, 0);
        }
        let copy = lines.clone();
        assert_eq!((copy.len(), lines.len()), (4 * bytes.len(), 4 * bytes.len()));
        assert!(lines.as_slice().chunks_exact(bytes.len()).all(|part| part == bytes));
        assert_eq!(copy.as_slice(), lines.as_slice());
    }
}
