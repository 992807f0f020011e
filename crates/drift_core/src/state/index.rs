//! Flushed rows as the scan sees them: for each bucket its runs, each a range of rows of one segment.
//!
//! Layer 5. Derived from the bucket table and the segments that the manifest names; built anew by every commit (a pass
//! over the run tables) so that there is no second copy of the truth to keep in step. Runs stand in
//! one array with one offset per bucket: a scan reads both in sequence.

use super::{BucketTable, Calibration, Filter, Router, SCAN_ALL_ROWS, StopRule};
use crate::error::{Error, ErrorKind, Result};
use crate::quant::bits;
use crate::segment::Segment;
use crate::types::{BucketId, Metric, Precision, Schema, Seq};
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
    /// Number of its first row among the rows of all segments of the index: what filter entries name rows by.
    pub base: u32,
}

/// Segment place and row of a row's number among all.
#[inline]
pub fn locate(segments: &[LiveSegment], row: u32) -> (u32, u32) {
    let place = if segments.len() == 1 { 0 } else { segments.partition_point(|live| live.base <= row) - 1 };
    (place as u32, row - segments[place].base)
}

/// All flushed rows, by bucket.
pub struct Index {
    /// Buckets and how to rank them.
    pub router: Arc<Router>,
    /// Segments in order of commit.
    pub segments: Vec<LiveSegment>,
    /// 1-bit codes of the rows; none at precision sq8.
    pub filter: Option<Filter>,
    /// How far a search goes per recall target.
    pub calibration: Arc<Calibration>,
    metric: Metric,
    run_starts: Vec<u32>,
    runs: Vec<Run>,
    rows: u64,
}

impl Index {
    /// An index without rows.
    pub fn empty(router: Arc<Router>, schema: &Schema) -> Index {
        Index {
            filter: (schema.precision == Precision::OneBit && schema.dim >= bits::DIM_MIN).then(Filter::default),
            metric: schema.metric,
            run_starts: vec![0; router.len() + 1],
            router,
            segments: Vec::new(),
            calibration: Arc::default(),
            runs: Vec::new(),
            rows: 0,
        }
    }

    /// The index of `segments`, in place of this one: what both have in common is not made again. Every live run must belong
    /// to a bucket of the router. `seq` is the oldest snapshot that will read it. Runs on the caller's pool.
    pub fn next(&self, router: Arc<Router>, mut segments: Vec<LiveSegment>, seq: Seq) -> Result<Index> {
        let buckets = router.table();
        let mut placed = Vec::new();
        let mut base = 0u32;
        for (place, live) in segments.iter_mut().enumerate() {
            live.base = base;
            base = base.checked_add(live.segment.rows()).ok_or_else(too_many_rows)?;
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
        let filter = self.filter.as_ref().map(|filter| {
            let known = self.is_beginning_of(&router, &segments).then_some((filter, self.segments.len()));
            Filter::extended(known, &router, self.metric, &segments, seq)
        });
        let calibration = self.calibration.clone();
        Ok(Index { router, segments, filter, calibration, metric: self.metric, run_starts, runs, rows })
    }

    /// Whether the first of `segments` are the ones of this index, in the same buckets.
    fn is_beginning_of(&self, router: &Router, segments: &[LiveSegment]) -> bool {
        let same = |(old, new): (&LiveSegment, &LiveSegment)| {
            Arc::ptr_eq(&old.segment, &new.segment) && Arc::ptr_eq(&old.dropped, &new.dropped)
        };
        self.router.same_buckets(router)
            && self.segments.len() <= segments.len()
            && self.segments.iter().zip(segments).all(same)
    }

    /// The same rows with other stop rules.
    pub fn with_calibration(&self, calibration: Calibration) -> Index {
        Index {
            router: self.router.clone(),
            segments: self.segments.clone(),
            filter: self.filter.clone(),
            calibration: Arc::new(calibration),
            metric: self.metric,
            run_starts: self.run_starts.clone(),
            runs: self.runs.clone(),
            rows: self.rows,
        }
    }

    /// Bytes of heap memory in use, without the segments'.
    pub fn heap_bytes(&self) -> usize {
        let filter = self.filter.as_ref().map_or(0, Filter::heap_bytes);
        self.router.heap_bytes() + filter + 4 * self.run_starts.len() + size_of::<Run>() * self.runs.len()
    }

    /// Codes that a scan of the bucket at `position` reads.
    pub fn codes_of(&self, position: usize) -> u64 {
        match &self.filter {
            Some(filter) => filter.slots_of(position),
            None => self.runs(position).iter().map(|run| u64::from(run.rows)).sum(),
        }
    }

    /// When a search for the `k` nearest with recall at `recall` stops.
    pub fn rule(&self, recall: f32, k: usize) -> StopRule {
        if self.rows <= SCAN_ALL_ROWS { StopRule::ALL } else { self.calibration.rule(recall, k, self.codes()) }
    }

    /// Codes that a scan of everything reads: those of the filter's blocks, or of the rows.
    pub fn codes(&self) -> u64 {
        self.filter.as_ref().map_or(self.rows, Filter::slots)
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

fn too_many_rows() -> Error {
    Error::new(
        ErrorKind::Exhausted,
        "the collection's segments hold more than 4,294,967,295 rows, dead ones included: optimize(), or use several collections",
    )
}

fn unknown_bucket(segment: &Segment, bucket: BucketId) -> Error {
    Error::corrupt(format!("{}: bucket {} is in no bucket file of the manifest", segment.name(), bucket.0))
}
