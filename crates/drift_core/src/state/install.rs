//! Makes the bitstore point at the rows of new segments, newest seq of an id first.
//!
//! Layer 5. Flush, bulk load and recovery end with it; so what a lookup finds never depends on which of them put a row
//! where it is.

use super::{CollectionState, Found, Index};
use crate::types::{BucketId, IdRef, Ids, Seq};
use std::ops::Range;

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installed {
    /// Its id had no flushed row.
    New,
    /// It took the place of an older row.
    Replaced(Found),
    /// A younger row of its id stays.
    Superseded(Found),
}

impl CollectionState {
    /// Points the bitstore at a row of `index`, unless it points at a younger row of the id.
    pub fn install(&self, index: &Index, bucket: BucketId, seq: Seq, id: IdRef<'_>) -> Installed {
        let hash = id.hash64();
        match self.find_flushed(index, id) {
            None => {
                self.bitstore.insert(hash, bucket, seq);
                Installed::New
            }
            Some(found) if found.seq <= seq => {
                self.bitstore.replace(hash, found.seq, bucket, seq);
                Installed::Replaced(found)
            }
            Some(found) => Installed::Superseded(found),
        }
    }

    /// Takes deleted ids out of the bitstore, where it points at rows older than the delete.
    pub fn uninstall(&self, index: &Index, ids: &Ids, seqs: &[Seq]) {
        for (id, &seq) in ids.iter().zip(seqs) {
            if let Some(found) = self.find_flushed(index, id)
                && found.seq < seq
            {
                self.bitstore.remove(id.hash64(), found.seq);
            }
        }
    }

    /// Points the bitstore at the rows of the segments at `places`; tells `each` segment place, row and what became of it.
    pub fn install_segments(&self, index: &Index, places: Range<usize>, mut each: impl FnMut(u32, u32, Installed)) {
        let segments = index.segments.iter().enumerate().take(places.end).skip(places.start);
        for (place, live) in segments {
            for (bucket, rows) in live.segment.runs() {
                for row in rows {
                    let installed = self.install(index, bucket, live.segment.seq(row), live.segment.id(row));
                    each(place as u32, row, installed);
                }
            }
        }
    }

    /// Marks every row dead that the bitstore does not point at: what recovery knows of deaths.
    pub fn mark_superseded(&self, index: &Index) -> u64 {
        let mut live_rows = 0;
        for live in &index.segments {
            let segment = &live.segment;
            for row in 0..segment.rows() {
                if self.bitstore.contains(segment.id(row).hash64(), segment.seq(row)) {
                    live_rows += 1;
                } else {
                    segment.mark_dead(row, 1);
                }
            }
        }
        live_rows
    }
}
