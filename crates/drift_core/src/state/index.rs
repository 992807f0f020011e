//! Flushed rows as searches and lookups see them.
//!
//! Layer 5. Derived from the bucket table, the segments and the moves that the manifest names; every commit makes the next
//! one from the last, and what both have in common is not made again. Immutable, but for the deaths within the segments.

use super::filter::{Filter, Members, Scene};
use super::physical::PhysicalRuns;
use super::runs::BucketRuns;
use super::{Assignment, BucketTable, Calibration, Positions, Router, SCAN_ALL_ROWS, StopRule};
use crate::error::{Error, ErrorKind, Result};
use crate::quant::bits;
use crate::segment::Segment;
use crate::types::{BucketId, Metric, Precision, Schema, Seq};
use std::sync::{Arc, Weak};

/// Consecutive rows of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Place of the segment in [`Index::segments`].
    pub segment: u32,
    /// First row within the segment.
    pub start: u32,
    /// Number of rows.
    pub rows: u32,
}

/// A segment and the buckets that its rows are in.
#[derive(Clone)]
pub struct LiveSegment {
    /// The file.
    pub segment: Arc<Segment>,
    /// Buckets of its rows.
    pub assignment: Arc<Assignment>,
    /// Number of its first row: what filter entries name rows by. Ascends in order of commit; what compaction gives free is
    /// not used again until all rows are numbered anew.
    pub base: u32,
}

impl LiveSegment {
    /// A segment with its rows in the buckets that they were written for; its base is given by the index.
    pub fn new(mut segment: Segment) -> LiveSegment {
        let second = segment.take_second_buckets();
        let assignment = Arc::new(Assignment::as_written(&segment, second));
        LiveSegment { segment: Arc::new(segment), assignment, base: 0 }
    }
}

/// Segment place and row of a row's number.
#[inline]
pub fn locate(segments: &[LiveSegment], row: u32) -> (u32, u32) {
    let place = if segments.len() == 1 { 0 } else { segments.partition_point(|live| live.base <= row) - 1 };
    (place as u32, row - segments[place].base)
}

/// What a search scans.
#[derive(Clone)]
pub enum ScanCodes {
    /// 1-bit entries.
    Filter(Filter),
    /// SQ8 codes, in place.
    Runs(BucketRuns),
}

/// All flushed rows.
pub struct Index {
    /// Buckets and how to rank them.
    pub router: Arc<Router>,
    /// Segments in order of commit.
    pub segments: Vec<LiveSegment>,
    /// What a search scans.
    pub scan: ScanCodes,
    /// How far a search goes per recall target.
    pub calibration: Arc<Calibration>,
    metric: Metric,
    physical: Arc<PhysicalRuns>,
    rows: u64,
    codes: u64,
    unmeasured: u64,
}

/// A change of buckets: what [`Index::reassigned`] needs to know besides the new buckets and assignments.
pub struct Reassignment {
    /// Positions in the new table of the buckets whose entries are all made anew: those with a new centroid.
    pub rebuilt: Vec<u32>,
    /// Position in the new table and number of the rows that came into other buckets.
    pub added: Vec<(u32, u32)>,
}

impl Index {
    /// An index without rows.
    pub fn empty(router: Arc<Router>, schema: &Schema) -> Index {
        let filtered = schema.precision == Precision::OneBit && schema.dim >= bits::DIM_MIN;
        Index {
            scan: if filtered { ScanCodes::Filter(Filter::default()) } else { ScanCodes::Runs(BucketRuns::default()) },
            metric: schema.metric,
            router,
            segments: Vec::new(),
            calibration: Arc::default(),
            physical: Arc::default(),
            rows: 0,
            codes: 0,
            unmeasured: 0,
        }
    }

    /// This index with more segments, and perhaps more buckets: those of `router` are the ones there are, with the same
    /// centroids, and others behind them. `seq` is the oldest snapshot that will read it. Runs on the caller's pool.
    pub fn extended(&self, router: Arc<Router>, added: Vec<LiveSegment>, seq: Seq) -> Result<Index> {
        let first = self.segments.len();
        let mut segments = self.segments.clone();
        segments.extend(added);
        let renumbered = number(&mut segments, first)?;
        let known = |filter: &Filter| {
            let scene = Scene { router: &router, metric: self.metric, segments: &segments, seq };
            if renumbered || filter.layers().is_empty() || !self.router.same_origin(&router) {
                return Filter::build(scene);
            }
            let from = positions_in(self.router.table(), router.table());
            filter.changed(&from, &Members::of_segments(router.table(), &segments[first..]), scene)
        };
        let filter = self.filter().map(known);
        let mut extended = self.assembled(router, segments, filter)?;
        let rows = |live: &LiveSegment| u64::from(live.segment.rows());
        extended.unmeasured += extended.segments[first..].iter().map(rows).sum::<u64>();
        Ok(extended)
    }

    /// This index with other buckets and the same segments under other assignments.
    pub fn reassigned(
        &self,
        router: Arc<Router>,
        assignments: Vec<Arc<Assignment>>,
        change: &Reassignment,
        seq: Seq,
    ) -> Result<Index> {
        let mut segments = self.segments.clone();
        segments.iter_mut().zip(assignments).for_each(|(live, assignment)| live.assignment = assignment);
        let changed = |filter: &Filter| {
            let scene = Scene { router: &router, metric: self.metric, segments: &segments, seq };
            if !self.router.same_origin(&router) {
                return Filter::build(scene);
            }
            let table = router.table();
            let mut from = positions_in(self.router.table(), table);
            let mut is_rebuilt = vec![false; table.len()];
            for &position in &change.rebuilt {
                from[position as usize] = None;
                is_rebuilt[position as usize] = true;
            }
            let mut pairs: Vec<(u32, u32)> =
                change.added.iter().copied().filter(|(position, _)| !is_rebuilt[*position as usize]).collect();
            for live in &segments {
                for row in (0..live.segment.rows()).filter(|&row| live.segment.death(row) == 0) {
                    let homes = [Some(live.assignment.first(row)), live.assignment.second(row)];
                    let positions = homes.into_iter().flatten().filter_map(|bucket| table.position(bucket));
                    let positions = positions.filter(|&position| is_rebuilt[position]);
                    pairs.extend(positions.map(|position| (position as u32, live.base + row)));
                }
            }
            filter.changed(&from, &Members::new(table.len(), &pairs), scene)
        };
        let filter = self.filter().map(changed);
        self.assembled(router, segments, filter)
    }

    /// This index without the segments at the places `gone`, whose rows that are still wanted are in `added` now: `rename`
    /// gives the row of `added` for each segment place and row. Runs on the caller's pool.
    pub fn compacted(
        &self,
        gone: &[u32],
        added: Option<LiveSegment>,
        rename: impl Fn(u32, u32) -> Option<u32> + Sync,
        seq: Seq,
    ) -> Result<Index> {
        let is_gone = |place: &usize| gone.contains(&(*place as u32));
        let kept = (0..self.segments.len()).filter(|place| !is_gone(place));
        let mut segments: Vec<LiveSegment> = kept.map(|place| self.segments[place].clone()).collect();
        let first = segments.len();
        segments.extend(added);
        if let Some(last) = segments.get_mut(first) {
            last.base = next_base(&self.segments);
        }
        let new_base = segments.get(first).map_or(0, |live| live.base);
        let new_rows = segments.get(first).map_or(0, |live| live.segment.rows());
        let overflow = new_base.checked_add(new_rows).is_none();
        if overflow {
            number(&mut segments, 0)?;
        }
        let renamed = |filter: &Filter| {
            let scene = Scene { router: &self.router, metric: self.metric, segments: &segments, seq };
            if overflow {
                return Filter::build(scene);
            }
            let rename = |row: u32| {
                let (place, at) = locate(&self.segments, row);
                if is_gone(&(place as usize)) { rename(place, at).map(|row| new_base + row) } else { Some(row) }
            };
            filter.renamed(rename, scene)
        };
        let filter = self.filter().map(renamed);
        self.assembled(self.router.clone(), segments, filter)
    }

    /// The same rows with other stop rules, which `unmeasured` rows have come after.
    pub fn with_calibration(&self, calibration: Calibration, unmeasured: u64) -> Index {
        Index {
            router: self.router.clone(),
            segments: self.segments.clone(),
            scan: self.scan.clone(),
            calibration: Arc::new(calibration),
            metric: self.metric,
            physical: self.physical.clone(),
            rows: self.rows,
            codes: self.codes,
            unmeasured,
        }
    }

    fn assembled(&self, router: Arc<Router>, segments: Vec<LiveSegment>, filter: Option<Filter>) -> Result<Index> {
        check_buckets(router.table(), &segments)?;
        let scan = match filter {
            Some(filter) => ScanCodes::Filter(filter),
            None => ScanCodes::Runs(BucketRuns::new(router.table(), &segments)?),
        };
        let physical = Arc::new(PhysicalRuns::new(&segments));
        let rows = segments.iter().map(|live| u64::from(live.segment.rows())).sum();
        // Counted here, as each search asks for it.
        let codes = match &scan {
            ScanCodes::Filter(filter) => filter.slots(),
            ScanCodes::Runs(_) => rows,
        };
        let (calibration, unmeasured) = (self.calibration.clone(), self.unmeasured);
        Ok(Index { router, segments, scan, calibration, metric: self.metric, physical, rows, codes, unmeasured })
    }

    /// The 1-bit entries; none at precision sq8 and where there are few dimensions.
    pub fn filter(&self) -> Option<&Filter> {
        match &self.scan {
            ScanCodes::Filter(filter) => Some(filter),
            ScanCodes::Runs(_) => None,
        }
    }

    /// Bytes of heap memory in use, without the segments'.
    pub fn heap_bytes(&self) -> usize {
        let scan = match &self.scan {
            ScanCodes::Filter(filter) => filter.heap_bytes(),
            ScanCodes::Runs(runs) => runs.heap_bytes(),
        };
        let assignments: usize = self.segments.iter().map(|live| live.assignment.heap_bytes()).sum();
        self.router.heap_bytes() + scan + self.physical.heap_bytes() + assignments
    }

    /// Codes that a scan of the bucket at `position` reads.
    pub fn codes_of(&self, position: usize) -> u64 {
        match &self.scan {
            ScanCodes::Filter(filter) => filter.slots_of(position),
            ScanCodes::Runs(runs) => runs.of(position).iter().map(|run| u64::from(run.rows)).sum(),
        }
    }

    /// The stop rules.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// When a search for the `k` nearest with recall at `recall` stops.
    pub fn rule(&self, recall: f32, k: usize) -> StopRule {
        if self.rows <= SCAN_ALL_ROWS { StopRule::ALL } else { self.calibration.rule(recall, k, self.codes()) }
    }

    /// Rows that came after the stop rules were measured.
    pub fn unmeasured(&self) -> u64 {
        self.unmeasured
    }

    /// Codes that a scan of everything reads: those of the filter's blocks, or of the rows.
    pub fn codes(&self) -> u64 {
        self.codes
    }

    /// Names the rows and buckets of this index, whatever its stop rules; see [`Index::is_of`].
    pub fn rows_name(&self) -> Weak<PhysicalRuns> {
        Arc::downgrade(&self.physical)
    }

    /// Whether an index of the same rows in the same buckets has given this name.
    pub fn is_of(&self, name: &Weak<PhysicalRuns>) -> bool {
        std::ptr::eq(Arc::as_ptr(&self.physical), name.as_ptr())
    }

    /// Rows in segments that some write has superseded, be it one after the version of this index.
    pub fn dead_rows(&self) -> u64 {
        self.segments.iter().map(|live| live.segment.dead_rows()).sum()
    }

    /// Rows in segments, dead ones included.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// All rows of each segment.
    pub fn segment_runs(&self) -> impl Iterator<Item = Run> {
        let whole =
            |(place, live): (usize, &LiveSegment)| Run { segment: place as u32, start: 0, rows: live.segment.rows() };
        self.segments.iter().enumerate().map(whole)
    }

    /// The segment of `run`.
    pub fn segment(&self, run: &Run) -> &Arc<Segment> {
        &self.segments[run.segment as usize].segment
    }

    /// Table position of the bucket that a row is in.
    pub fn position_of(&self, segment: u32, row: u32) -> usize {
        let bucket = self.segments[segment as usize].assignment.first(row);
        self.router.table().position(bucket).expect("invariant: every row of an index is in a bucket of it")
    }

    /// The row with `seq` that was written under `label`; segments whose bloom filter denies `id_hash` are not looked into.
    pub fn find(&self, label: BucketId, seq: Seq, id_hash: u64) -> Option<(u32, u32)> {
        self.physical.find(&self.segments, label, seq, id_hash)
    }
}

/// Gives the segments from place `first` on the numbers behind those before; where there are no more numbers, all segments
/// get new ones, and true is returned.
fn number(segments: &mut [LiveSegment], first: usize) -> Result<bool> {
    let start = next_base(&segments[..first]);
    let rows: u64 = segments[first..].iter().map(|live| u64::from(live.segment.rows())).sum();
    if u64::from(start) + rows <= u64::from(u32::MAX) {
        let mut base = start;
        for live in &mut segments[first..] {
            live.base = base;
            base += live.segment.rows();
        }
        return Ok(false);
    }
    if first == 0 {
        return Err(Error::new(
            ErrorKind::Exhausted,
            "the collection's segments hold more than 4,294,967,295 rows, dead ones included: optimize(), or use several collections",
        ));
    }
    number(segments, 0).map(|_| true)
}

/// The number behind those of `segments`.
fn next_base(segments: &[LiveSegment]) -> u32 {
    segments.last().map_or(0, |live| live.base.saturating_add(live.segment.rows()))
}

/// For each bucket of `new` its position in `old`.
fn positions_in(old: &BucketTable, new: &BucketTable) -> Vec<Option<u32>> {
    new.ids.iter().map(|&id| old.position(id).map(|position| position as u32)).collect()
}

/// Every row's bucket must be there.
fn check_buckets(table: &BucketTable, segments: &[LiveSegment]) -> Result<()> {
    let positions = Positions::of(table);
    for live in segments {
        let is_known = |bucket: &u32| positions.get(BucketId(*bucket)).is_some();
        if let Some(&bucket) = live.assignment.firsts().iter().find(|bucket| !is_known(bucket)) {
            return Err(unknown_bucket(&live.segment, BucketId(bucket)));
        }
    }
    Ok(())
}

pub(super) fn unknown_bucket(segment: &Segment, bucket: BucketId) -> Error {
    Error::corrupt(format!("{}: bucket {} is in no bucket file of the manifest", segment.name(), bucket.0))
}
