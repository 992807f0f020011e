//! How the buckets and segments stand: one pass over the rows' buckets and deaths.
//!
//! Layer 6. What the policy decides on.

use super::policy::{self, Action, BucketStats, SegmentStats, Terms};
use crate::kernels::kernels;
use crate::quant::sq8;
use crate::state::{Backlog, CollectionState, Index, LiveSegment, Maintenance, Positions, Upkeep, Version};
use crate::types::Seq;
use std::time::Duration;

/// Figures of every segment, by place; rows whose death is not flushed yet count as alive, as they must be kept.
pub fn segments(version: &Version) -> Vec<SegmentStats> {
    let horizon = horizon(version);
    let stats = |live: &LiveSegment| {
        let segment = &live.segment;
        let flushed = |row: &u32| (1..horizon).contains(&segment.death(*row));
        let dead = if segment.dead_rows() == 0 { 0 } else { (0..segment.rows()).filter(flushed).count() as u32 };
        SegmentStats { rows: segment.rows(), dead }
    };
    version.index.segments.iter().map(stats).collect()
}

/// Figures of every bucket, by table position. Looks at every row of `index`.
pub fn buckets(index: &Index, upkeep: &Upkeep) -> Vec<BucketStats> {
    let table = index.router.table();
    let positions = Positions::of(table);
    let examined: Vec<_> = table.ids.iter().map(|id| upkeep.examined.get(&id.0).copied()).collect();
    let mut buckets = vec![BucketStats::default(); table.len()];
    for live in &index.segments {
        let (segment, assignment) = (&live.segment, &live.assignment);
        for row in 0..segment.rows() {
            if segment.death(row) != 0 {
                continue;
            }
            let position = positions.get(assignment.first(row)).expect("invariant: every row's bucket is there");
            let bucket = &mut buckets[position];
            bucket.live += 1;
            bucket.entries += 1;
            bucket.fresh += u32::from(examined[position].is_some_and(|then| segment.seq(row) > then.seq));
            if let Some(position) = assignment.second(row).and_then(|second| positions.get(second)) {
                buckets[position].entries += 1;
            }
        }
    }
    for (position, bucket) in buckets.iter_mut().enumerate() {
        let then = examined[position];
        // Where rows are scanned in place, dead ones go with their segment.
        bucket.slots = index.filter().map_or(0, |filter| filter.slots_of(position));
        bucket.gone = then.map_or(0, |then| (then.live + bucket.fresh).saturating_sub(bucket.live));
        bucket.tried = then.map_or(0, |then| then.tried);
        bucket.temperature = upkeep.temperature.of(table.ids[position], table.len());
    }
    buckets
}

/// Live rows that were written after `seq`.
pub fn written_since(index: &Index, seq: Seq) -> u64 {
    let since = |live: &LiveSegment| {
        let segment = &live.segment;
        (0..segment.rows()).filter(|&row| segment.death(row) == 0 && segment.seq(row) > seq).count() as u64
    };
    index.segments.iter().map(since).sum()
}

/// Bucketfuls of rows that searches have read lately, entries of second buckets included; none where nobody has searched.
pub fn read(collection: &CollectionState) -> Option<f64> {
    let log = collection.recall.log.lock();
    log.timeline.back().map(|last| last.codes * last.buckets as f64 / last.rows.max(1) as f64)
}

/// What the policy goes by at present.
pub fn terms(collection: &CollectionState, version: &Version, maintenance: &Maintenance) -> Terms {
    let (upkeep, buckets) = (&maintenance.upkeep, version.index.router.len());
    let (target, writes) = (collection.bucket_rows(version.live_rows), version.seq.saturating_sub(upkeep.counted_seq));
    let patience = policy::patience(policy::unrest(upkeep.unrest, (0, false), buckets, writes, target));
    Terms { target, patience, bucket_entries: upkeep.cost.bucket_entries() }
}

/// How long a job that is about to commit is waited for before what was due when it was last counted is told instead.
const BACKLOG_WAIT: Duration = Duration::from_millis(100);

/// Counts what is due; amid a long commit, what was due when it was last counted.
pub fn backlog(collection: &CollectionState) -> Backlog {
    let Some(maintenance) = collection.maintenance.try_lock_for(BACKLOG_WAIT) else {
        return Backlog { memtables: collection.pin().frozen.len() as u64, ..collection.jobs.backlog() };
    };
    let backlog = counted(collection, &maintenance);
    collection.jobs.note_backlog(backlog);
    backlog
}

fn counted(collection: &CollectionState, maintenance: &Maintenance) -> Backlog {
    let version = collection.pin();
    let stats = buckets(&version.index, &maintenance.upkeep);
    let actions = policy::buckets(&stats, &terms(collection, &version, maintenance));
    let count = |wanted: Action| actions.iter().filter(|(_, action)| *action == wanted).count() as u64;
    Backlog {
        split: count(Action::Split),
        merge: count(Action::Merge),
        clear: count(Action::Clear),
        examine: count(Action::Examine),
        segments: policy::segments(&segments(&version)).map_or(0, |(places, _)| places.len() as u64),
        memtables: version.frozen.len() as u64,
    }
}

/// Sizes and drift of buckets, by table position.
pub struct Shape {
    /// Live rows.
    pub live: Vec<u32>,
    /// Dead rows.
    pub dead: Vec<u32>,
    /// Distance of the mean of the live rows from the centre, in units of their root mean squared distance from the mean.
    pub drift: Vec<f32>,
}

/// Measures every bucket.
pub fn shape(index: &Index) -> Shape {
    let table = index.router.table();
    let (buckets, dim) = (table.len(), index.router.origin().len());
    let mut shape = Shape { live: vec![0; buckets], dead: vec![0; buckets], drift: vec![0.0; buckets] };
    let mut sums = vec![0.0f32; buckets * dim];
    let mut squares = vec![0.0f32; buckets];
    let mut vector = vec![0.0f32; dim];
    for (place, live) in index.segments.iter().enumerate() {
        for row in 0..live.segment.rows() {
            let position = index.position_of(place as u32, row);
            if live.segment.death(row) != 0 {
                shape.dead[position] += 1;
                continue;
            }
            shape.live[position] += 1;
            let codes = live.segment.codes(row..row + 1);
            sq8::reconstruct(codes, &live.segment.factors()[row as usize], &mut vector);
            squares[position] += (kernels().l2)(&vector, table.centroid(position));
            let sums = &mut sums[position * dim..][..dim];
            sums.iter_mut().zip(&vector).for_each(|(sum, value)| *sum += value);
        }
    }
    for position in (0..buckets).filter(|&position| shape.live[position] > 0) {
        let count = shape.live[position] as f32;
        let mean: Vec<f32> = sums[position * dim..][..dim].iter().map(|sum| sum / count).collect();
        let moved2 = (kernels().l2)(&mean, table.centroid(position));
        // What the rows' distance from the centre has of the mean's own is not spread.
        let spread = squares[position] / count - moved2;
        shape.drift[position] = if moved2 > 0.0 { (moved2 / spread.max(f32::MIN_POSITIVE)).sqrt() } else { 0.0 };
    }
    shape
}

/// Deaths at or after this write are not flushed: were the log lost, the rows would be the newest ones left. Those that come while
/// rows are looked at are after the version, whose memtable may have been empty.
pub fn horizon(version: &Version) -> Seq {
    version.memtables().map(|memtable| memtable.first_seq()).min().unwrap_or(Seq::MAX).min(version.seq + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memtable::Memtable;
    use crate::state::{BucketTable, Router};
    use crate::types::{IdType, Ids, Metric, Schema, Vectors};
    use std::sync::Arc;

    #[test]
    fn regression_a_write_behind_the_version_is_flushed_by_no_empty_memtable() {
        let schema = Schema::new(1, Metric::L2, IdType::Int).unwrap();
        let router = Arc::new(Router::new(BucketTable::default(), 1, Metric::L2));
        let active = Arc::new(Memtable::new(&schema, 1));
        let index = Arc::new(Index::empty(router, &schema));
        let version = Version { seq: 10, live_rows: 0, active: active.clone(), frozen: Arc::from([]), index };
        // What dies at 11, while a job looks at rows, is in no segment.
        assert_eq!(horizon(&version), 11);
        active.append_upserts(8, &Ids::Int(vec![1, 2, 3]), Vectors::F32(&[0.0; 3]), None);
        assert_eq!(horizon(&version), 8);
    }
}
