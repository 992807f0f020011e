//! Flushed rows as the scan sees them: for each bucket its runs, each a range of rows of one segment.
//!
//! Layer 5. Derived from the bucket table and the segments that the manifest names; built anew by every commit (a pass
//! over the run tables) so that there is no second copy of the truth to keep in step. Runs stand in
//! one array with one offset per bucket: a scan reads both in sequence.

use super::{BucketTable, Calibration, Router};
use crate::error::{Error, Result};
use crate::segment::Segment;
use crate::types::{BucketId, Seq};
use std::collections::HashSet;
use std::sync::Arc;

/// Rows of one bucket in one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Place of the segment in [`Index::segments`].
    pub segment: u32,
    /// First row within the segment.
    pub start: u32,
    /// Number of rows.
    pub rows: u32,
}

/// A segment and the buckets whose runs in it have been superseded.
#[derive(Clone)]
pub struct LiveSegment {
    /// The file.
    pub segment: Arc<Segment>,
    /// Buckets whose rows here were rewritten elsewhere.
    pub dropped: Arc<HashSet<BucketId>>,
}

/// All flushed rows, by bucket.
pub struct Index {
    /// Buckets and how to rank them.
    pub router: Arc<Router>,
    /// Segments in order of commit.
    pub segments: Vec<LiveSegment>,
    /// How far a search goes per recall target.
    pub calibration: Arc<Calibration>,
    run_starts: Vec<u32>,
    runs: Vec<Run>,
    rows: u64,
}

impl Index {
    /// Builds the run lists. Every live run must belong to a bucket of the table.
    pub fn build(router: Arc<Router>, segments: Vec<LiveSegment>, calibration: Arc<Calibration>) -> Result<Index> {
        let buckets = router.table();
        let mut placed = Vec::new();
        for (place, live) in segments.iter().enumerate() {
            for (bucket, range) in live.segment.runs() {
                if live.dropped.contains(&bucket) {
                    continue;
                }
                let position = buckets.position(bucket).ok_or_else(|| unknown_bucket(&live.segment, bucket))?;
                let run = Run { segment: place as u32, start: range.start, rows: range.end - range.start };
                placed.push((position as u32, run));
            }
        }
        // A stable sort by bucket keeps each bucket's runs in commit order.
        placed.sort_by_key(|(position, _)| *position);
        let run_starts = starts(&placed, buckets);
        let rows = placed.iter().map(|(_, run)| u64::from(run.rows)).sum();
        let runs = placed.into_iter().map(|(_, run)| run).collect();
        Ok(Index { router, segments, calibration, run_starts, runs, rows })
    }

    /// The same rows with other stop rules.
    pub fn with_calibration(&self, calibration: Calibration) -> Index {
        Index {
            router: self.router.clone(),
            segments: self.segments.clone(),
            calibration: Arc::new(calibration),
            run_starts: self.run_starts.clone(),
            runs: self.runs.clone(),
            rows: self.rows,
        }
    }

    /// Bytes of heap memory in use, without the segments'.
    pub fn heap_bytes(&self) -> usize {
        self.router.heap_bytes() + 4 * self.run_starts.len() + size_of::<Run>() * self.runs.len()
    }

    /// Rows in live runs, dead ones included.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Runs of the bucket at `position` of the table.
    pub fn runs(&self, position: usize) -> &[Run] {
        &self.runs[self.run_starts[position] as usize..self.run_starts[position + 1] as usize]
    }

    /// Position of the bucket that run `at` of [`Index::all_runs`] belongs to.
    pub fn position_of_run(&self, at: usize) -> usize {
        self.run_starts.partition_point(|start| *start as usize <= at) - 1
    }

    /// Every live run, in order of bucket.
    pub fn all_runs(&self) -> &[Run] {
        &self.runs
    }

    /// The segment of `run`.
    pub fn segment(&self, run: &Run) -> &Arc<Segment> {
        &self.segments[run.segment as usize].segment
    }

    /// The row with `seq` in `bucket`; segments whose bloom filter denies `id_hash` are not looked into.
    pub fn find(&self, bucket: BucketId, seq: Seq, id_hash: u64) -> Option<(u32, u32)> {
        let position = self.router.table().position(bucket)?;
        self.runs(position).iter().find_map(|run| {
            let segment = self.segment(run);
            if !segment.may_contain(id_hash) {
                return None;
            }
            segment.find(run.start..run.start + run.rows, seq).map(|row| (run.segment, row))
        })
    }
}

fn starts(placed: &[(u32, Run)], buckets: &BucketTable) -> Vec<u32> {
    let mut starts = vec![0u32; buckets.len() + 1];
    for (position, _) in placed {
        starts[*position as usize + 1] += 1;
    }
    for position in 0..buckets.len() {
        starts[position + 1] += starts[position];
    }
    starts
}

fn unknown_bucket(segment: &Segment, bucket: BucketId) -> Error {
    Error::corrupt(format!("{}: bucket {} is in no bucket file of the manifest", segment.name(), bucket.0))
}
