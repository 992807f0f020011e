//! Where rows stand in the files: the runs of all segments by label, for lookups by bucket and seq.
//!
//! Layer 5. A run's label is the bucket that its rows were written for. The bitstore names a row by that label for as
//! long as its segment lives, whatever bucket the row is in by now; labels of buckets that are gone are no harm.

use super::index::{LiveSegment, Run};
use crate::types::{BucketId, Seq};

/// Runs by label.
#[derive(Clone, Debug, Default)]
pub struct PhysicalRuns {
    /// Labels, ascending.
    labels: Vec<u32>,
    /// First run of each label, and the end of the last.
    starts: Vec<u32>,
    runs: Vec<Run>,
}

impl PhysicalRuns {
    /// The runs of `segments`.
    pub fn new(segments: &[LiveSegment]) -> PhysicalRuns {
        let mut placed: Vec<(u32, Run)> = Vec::new();
        for (place, live) in segments.iter().enumerate() {
            placed.extend(live.segment.runs().map(|(bucket, range)| {
                (bucket.0, Run { segment: place as u32, start: range.start, rows: range.end - range.start })
            }));
        }
        // Stable, so that each label's runs stay in commit order.
        placed.sort_by_key(|(label, _)| *label);
        let mut found = PhysicalRuns::default();
        for (label, run) in placed {
            if found.labels.last() != Some(&label) {
                found.labels.push(label);
                found.starts.push(found.runs.len() as u32);
            }
            found.runs.push(run);
        }
        found.starts.push(found.runs.len() as u32);
        found
    }

    /// The row with `seq` in a run of `label`; segments whose bloom filter denies `id_hash` are not looked into.
    pub fn find(&self, segments: &[LiveSegment], label: BucketId, seq: Seq, id_hash: u64) -> Option<(u32, u32)> {
        let at = self.labels.binary_search(&label.0).ok()?;
        let runs = &self.runs[self.starts[at] as usize..self.starts[at + 1] as usize];
        runs.iter().find_map(|run| {
            let segment = &segments[run.segment as usize].segment;
            if !segment.may_contain(id_hash) {
                return None;
            }
            segment.find(run.start..run.start + run.rows, seq).map(|row| (run.segment, row))
        })
    }

    /// Bytes of heap memory in use.
    pub fn heap_bytes(&self) -> usize {
        4 * (self.labels.capacity() + self.starts.capacity()) + size_of::<Run>() * self.runs.capacity()
    }
}
