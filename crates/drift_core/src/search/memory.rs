//! Memtable rows of a version: exact distances, through the graph where one has been built.
//!
//! Layer 6.

use super::scratch::Scratch;
use crate::memtable::SearchMode;
use crate::state::Version;
use crate::types::Predicate;

/// Marks a key as a memtable's: bit 63, then the memtable's place (0 = active) and the row.
const MEMORY_BIT: u64 = 1 << 63;

/// The key of a memtable row.
pub fn key(place: usize, row: usize) -> u64 {
    MEMORY_BIT | (place as u64) << 32 | row as u64
}

/// Memtable place and row of a key, or none if it is a segment's.
pub fn place(key: u64) -> Option<(usize, usize)> {
    (key & MEMORY_BIT != 0).then_some(((key & !MEMORY_BIT) as usize >> 32, key as u32 as usize))
}

/// Adds the best memtable rows to `scratch.exact`.
pub fn scan(version: &Version, mode: SearchMode, wanted: Option<&Predicate>, scratch: &mut Scratch) {
    for (place, memtable) in version.memtables().enumerate() {
        memtable.search(&mut scratch.query, version.seq, wanted, mode, |row| key(place, row), &mut scratch.exact);
    }
}
