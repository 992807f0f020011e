//! The rows of each bucket as ranges of rows of segments, for scans that read SQ8 codes bucket by bucket.
//!
//! Layer 5. Where there is a filter there are no such runs. As written, a bucket is one run of each segment; rows that
//! have moved since are runs of one, until compaction brings them together.

use super::BucketTable;
use super::index::{LiveSegment, Run, unknown_bucket};
use crate::error::Result;
use crate::types::BucketId;

/// Runs by bucket.
#[derive(Clone, Debug, Default)]
pub struct BucketRuns {
    starts: Vec<u32>,
    runs: Vec<Run>,
}

impl BucketRuns {
    /// The runs of the buckets of `table`, in which every row must be.
    pub fn new(table: &BucketTable, segments: &[LiveSegment]) -> Result<BucketRuns> {
        let mut placed: Vec<(u32, Run)> = Vec::new();
        for (place, live) in segments.iter().enumerate() {
            let mut start = 0;
            for rows in live.assignment.firsts().chunk_by(|a, b| a == b) {
                let bucket = BucketId(rows[0]);
                let position = table.position(bucket).ok_or_else(|| unknown_bucket(&live.segment, bucket))?;
                placed.push((position as u32, Run { segment: place as u32, start, rows: rows.len() as u32 }));
                start += rows.len() as u32;
            }
        }
        placed.sort_by_key(|(position, _)| *position);
        let mut starts = vec![0u32; table.len() + 1];
        placed.iter().for_each(|(position, _)| starts[*position as usize + 1] += 1);
        (0..table.len()).for_each(|position| starts[position + 1] += starts[position]);
        Ok(BucketRuns { starts, runs: placed.into_iter().map(|(_, run)| run).collect() })
    }

    /// Runs of the bucket at `position` of the table.
    pub fn of(&self, position: usize) -> &[Run] {
        &self.runs[self.starts[position] as usize..self.starts[position + 1] as usize]
    }

    /// Bytes of heap memory in use.
    pub fn heap_bytes(&self) -> usize {
        4 * self.starts.capacity() + size_of::<Run>() * self.runs.capacity()
    }
}
