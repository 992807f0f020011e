//! How the buckets and segments stand: one pass over the rows' buckets and deaths.
//!
//! Layer 6. What the policy decides on.

use super::policy::{BucketStats, SegmentStats};
use crate::state::{Index, LiveSegment, Upkeep, Version};
use crate::types::Seq;

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
    let end = table.ids.last().map_or(0, |last| last.0 as usize + 1);
    let mut position_of = vec![u32::MAX; end];
    table.ids.iter().enumerate().for_each(|(position, id)| position_of[id.0 as usize] = position as u32);
    let examined: Vec<_> = table.ids.iter().map(|id| upkeep.examined.get(&id.0).copied()).collect();
    let mut buckets = vec![BucketStats::default(); table.len()];
    for live in &index.segments {
        let (segment, assignment) = (&live.segment, &live.assignment);
        for row in 0..segment.rows() {
            if segment.death(row) != 0 {
                continue;
            }
            let position = position_of[assignment.first(row).0 as usize] as usize;
            let bucket = &mut buckets[position];
            bucket.live += 1;
            bucket.entries += 1;
            bucket.fresh += u32::from(examined[position].is_some_and(|then| segment.seq(row) > then.seq));
            if let Some(second) = assignment.second(row) {
                let position = position_of.get(second.0 as usize).copied().unwrap_or(u32::MAX);
                if let Some(bucket) = buckets.get_mut(position as usize) {
                    bucket.entries += 1;
                }
            }
        }
    }
    for (position, bucket) in buckets.iter_mut().enumerate() {
        let then = examined[position];
        bucket.slots = index.codes_of(position);
        bucket.gone = then.map_or(0, |then| (then.live + bucket.fresh).saturating_sub(bucket.live));
        bucket.tried = then.map_or(0, |then| then.tried);
    }
    buckets
}

/// Deaths at or after this write are not flushed: were the log lost, the rows would be the newest ones left.
pub fn horizon(version: &Version) -> Seq {
    version.memtables().map(|memtable| memtable.first_seq()).min().unwrap_or(Seq::MAX)
}
