//! Lists of rows by bucket.
//!
//! Layer 5.

use crate::state::BucketTable;
use crate::state::index::LiveSegment;

/// The rows of which each bucket has, or is to get, an entry.
pub struct Members {
    starts: Vec<usize>,
    rows: Vec<u32>,
}

impl Members {
    /// From pairs of table position and row; the rows of a bucket keep their order.
    pub fn new(buckets: usize, pairs: &[(u32, u32)]) -> Members {
        let mut starts = vec![0usize; buckets + 1];
        for (position, _) in pairs {
            starts[*position as usize + 1] += 1;
        }
        for position in 0..buckets {
            starts[position + 1] += starts[position];
        }
        let mut next = starts.clone();
        let mut rows = vec![0; pairs.len()];
        for &(position, row) in pairs {
            rows[next[position as usize]] = row;
            next[position as usize] += 1;
        }
        Members { starts, rows }
    }

    /// The rows of `segments` in their first and second buckets, as far as those are in `table`.
    pub fn of_segments(table: &BucketTable, segments: &[LiveSegment]) -> Members {
        let mut pairs = Vec::new();
        for live in segments {
            for row in 0..live.segment.rows() {
                let homes = [Some(live.assignment.first(row)), live.assignment.second(row)];
                // A second bucket that is gone has no entry until the row moves.
                let positions = homes.into_iter().flatten().filter_map(|bucket| table.position(bucket));
                pairs.extend(positions.map(|position| (position as u32, live.base + row)));
            }
        }
        Members::new(table.len(), &pairs)
    }

    /// The rows of the bucket at `position`.
    pub fn of(&self, position: usize) -> &[u32] {
        &self.rows[self.starts[position]..self.starts[position + 1]]
    }
}
