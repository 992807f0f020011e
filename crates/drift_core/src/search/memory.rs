//! Memtable rows of a version: exact distances, through the graph where one has been built.
//!
//! Layer 6. A search comes to them last, when few of their rows are nearer than what it has from the buckets; first, where most rows of
//! the buckets are dead: what is near among those says nothing.

use super::scratch::Scratch;
use crate::memtable::SearchMode;
use crate::state::Version;
use crate::types::{Metric, Predicate};

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

/// A search begins with the memtables when more than this share of the flushed rows is dead. A threshold from the buckets spares
/// exact distances of memtable rows; among the dead it takes as many times as many codes to find.
const DEAD_SHARE: f64 = 0.75;

/// Adds the `k` nearest memtable rows to `scratch.exact`, and to `scratch.estimates` as a threshold for the buckets, where it is best to
/// begin with them; whether it was.
pub fn scan_first(
    metric: Metric,
    version: &Version,
    wanted: Option<&Predicate>,
    k: usize,
    scratch: &mut Scratch,
) -> bool {
    scratch.memory.reset(k);
    let index = &version.index;
    if version.memtable_rows() == 0 || index.dead_rows() as f64 <= DEAD_SHARE * index.rows() as f64 {
        return false;
    }
    let Scratch { query, memory, exact, .. } = scratch;
    for (place, memtable) in version.memtables().enumerate() {
        memtable.search(query, version.seq, wanted, SearchMode::Fast, |row| key(place, row), memory);
    }
    exact.merge(memory);
    offer(metric, scratch);
    true
}

/// Adds the memtable rows that the search began with to `scratch.estimates`.
pub fn offer(metric: Metric, scratch: &mut Scratch) {
    // Reported distances under cosine are half the engine's.
    let scale = if metric == Metric::Cosine { 2.0 } else { 1.0 };
    let Scratch { memory, estimates, .. } = scratch;
    memory.sorted().iter().for_each(|&(distance, key)| estimates.push(scale * distance, key));
}

/// Adds the best memtable rows to `scratch.exact`.
pub fn scan(version: &Version, mode: SearchMode, wanted: Option<&Predicate>, scratch: &mut Scratch) {
    for (place, memtable) in version.memtables().enumerate() {
        memtable.search(&mut scratch.query, version.seq, wanted, mode, |row| key(place, row), &mut scratch.exact);
    }
}
