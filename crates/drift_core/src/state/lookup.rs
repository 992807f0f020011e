//! Where the newest row of an id is.
//!
//! Layer 5. Memtables first, newest to oldest, then the bitstore, whose answer (bucket, seq) is checked against the
//! row itself because its tags can collide. A job moves rows and updates the bitstore in one commit; a lookup without
//! the write lock that misses while such a commit is under way asks again under the lock.

use super::{CollectionState, Index, Version, Writes};
use crate::types::{IdRef, Seq};

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Memtable (0 = active, then frozen from the newest) and row.
    Memtable(usize, usize),
    /// Segment (place in the index) and row.
    Segment(u32, u32),
}

/// A row of an id: where, which version, and since when dead (0 = live).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is, within the version that was asked.
    pub place: Place,
    /// Its seq.
    pub seq: Seq,
    /// The seq that superseded it, or 0.
    pub death: Seq,
}

impl Version {
    /// The newest row of `id` in the memtables.
    pub fn find_in_memory(&self, id: IdRef<'_>) -> Option<Found> {
        self.memtables().enumerate().find_map(|(place, memtable)| {
            memtable.find(id).map(|row| Found {
                place: Place::Memtable(place, row.row),
                seq: row.seq,
                death: row.death,
            })
        })
    }
}

impl CollectionState {
    /// The newest row of `id`, dead or alive, in `version`, which is the current one: the caller holds `writes`.
    pub fn find_locked(&self, _writes: &Writes, version: &Version, id: IdRef<'_>) -> Option<Found> {
        self.newest(version, id)
    }

    /// A live row in a memtable is the newest; a dead one there may have been superseded by a bulk load.
    fn newest(&self, version: &Version, id: IdRef<'_>) -> Option<Found> {
        match version.find_in_memory(id) {
            Some(found) if found.death == 0 => Some(found),
            dead => [dead, self.find_flushed(&version.index, id)].into_iter().flatten().max_by_key(|found| found.seq),
        }
    }

    /// The row of `id` that the bitstore names, within `index`.
    pub fn find_flushed(&self, index: &Index, id: IdRef<'_>) -> Option<Found> {
        let hash = id.hash64();
        let mut found = None;
        self.bitstore.candidates(hash, |bucket, seq| {
            let Some((segment, row)) = index.find(bucket, seq, hash) else { return false };
            let file = &index.segments[segment as usize].segment;
            if file.id(row) != id {
                return false;
            }
            found = Some(Found { place: Place::Segment(segment, row), seq, death: file.death(row) });
            true
        });
        found
    }

    /// The newest row of `id` and the version it is in, without the write lock unless a commit interferes.
    pub fn find(&self, id: IdRef<'_>) -> (std::sync::Arc<Version>, Option<Found>) {
        let before = self.commits();
        let version = self.pin();
        let found = self.newest(&version, id);
        if found.is_some_and(|found| found.death == 0) || (before.is_multiple_of(2) && before == self.commits()) {
            return (version, found);
        }
        let writes = self.writes.lock();
        let version = self.pin();
        let found = self.find_locked(&writes, &version, id);
        (version, found)
    }
}
