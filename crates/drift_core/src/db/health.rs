//! How a collection does: the recall that queries have, and the state of buckets and segments.
//!
//! Layer 7. Reads memory only: every row's bucket and death, and every live row's SQ8 code for the drift of its bucket.

use crate::error::Result;
use crate::maintain;
use crate::manifest::{Asked, TargetSum, TimelinePoint};
use crate::search;
use crate::state::{Backlog, CollectionState, JobRecord};
use std::sync::atomic::Ordering;

/// Standard errors on both sides of a mean between which the truth lies 19 times in 20.
const INTERVAL: f64 = 1.96;

/// Recall of the live queries that asked for the same, and for one target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TargetRecall {
    /// What was asked for.
    pub asked: Asked,
    /// Recall asked for.
    pub target: f32,
    /// Mean recall measured.
    pub recall: f64,
    /// Ends of the 95 % interval of the mean.
    pub low: f64,
    /// See `low`.
    pub high: f64,
    /// Queries measured: the newest thousand of each kind at most, all targets together.
    pub queries: u64,
}

/// State of a collection, for people and monitors.
#[derive(Clone, Debug)]
pub struct Health {
    /// Measured recall by target, the most asked for first; empty until live queries have been searched again.
    pub recalls: Vec<TargetRecall>,
    /// Live rows, those in memory included.
    pub rows: u64,
    /// Dead rows in segments.
    pub dead_rows: u64,
    /// Rows in segments, dead ones included.
    pub segment_rows: u64,
    /// Segments.
    pub segments: u64,
    /// Live rows of each bucket, dead ones, and the drift of the mean of the live ones from the centre in units of their
    /// root mean squared distance from it; by bucket, in order of id.
    pub bucket_rows: Vec<u32>,
    /// See `bucket_rows`.
    pub bucket_dead: Vec<u32>,
    /// See `bucket_rows`.
    pub bucket_drift: Vec<f32>,
    /// What is due; amid a job or a load that takes long, what was due before it.
    pub backlog: Backlog,
    /// Finished jobs, oldest first; the newest 256.
    pub jobs: Vec<JobRecord>,
    /// What live queries met over time, oldest first.
    pub timeline: Vec<TimelinePoint>,
    /// Bytes written by flushes and bulk loads, and by jobs, since open.
    pub bytes_inserted: u64,
    /// See `bytes_inserted`.
    pub bytes_moved: u64,
    /// Whether background jobs are paused.
    pub paused: bool,
    /// Why background work fails at present.
    pub degraded: Option<String>,
    /// Why writes are refused.
    pub poisoned: Option<String>,
}

/// Looks at everything that is in memory.
pub(super) fn health(collection: &CollectionState) -> Result<Health> {
    let backlog = maintain::backlog(collection);
    let shape = maintain::shape(&collection.pin().index);
    let version = collection.pin();
    let index = &version.index;
    let (recalls, timeline) = {
        let log = collection.recall.log.lock();
        (log.by_target().into_iter().map(target).collect(), log.timeline.iter().copied().collect())
    };
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let (written, moved) =
        (count(&collection.counters.segment_bytes_written), count(&collection.counters.job_bytes_written));
    let compacted = count(&collection.counters.compacted_bytes_written);
    let poisoned = collection.writes.lock().wal_sync.as_ref().and_then(|sync| sync.poisoned());
    Ok(Health {
        recalls,
        rows: search::live_rows(collection)?,
        dead_rows: index.dead_rows(),
        segment_rows: index.rows(),
        segments: index.segments.len() as u64,
        bucket_rows: shape.live,
        bucket_dead: shape.dead,
        bucket_drift: shape.drift,
        backlog,
        jobs: collection.jobs.records(),
        timeline,
        bytes_inserted: written.saturating_sub(compacted),
        bytes_moved: moved,
        paused: collection.schedule.is_paused(),
        degraded: collection.degraded(),
        poisoned: poisoned.map(|reason| reason.to_string()).or_else(|| collection.backend.poisoned()),
    })
}

fn target(of: TargetSum) -> TargetRecall {
    let count = of.queries as f64;
    let recall = of.sum / count;
    let error = INTERVAL * ((of.squares / count - recall * recall).max(0.0) / count).sqrt();
    let (low, high) = ((recall - error).max(0.0), (recall + error).min(1.0));
    TargetRecall { asked: of.asked, target: of.target, recall, low, high, queries: of.queries }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_holds_the_mean_and_narrows_with_more_queries() {
        let half_missed = |queries: u64| {
            let (sum, squares) = (0.95 * queries as f64, 0.905 * queries as f64);
            target(TargetSum { asked: Asked::Nearest, target: 0.95, queries, sum, squares })
        };
        let (few, many) = (half_missed(10), half_missed(100));
        assert!([few, many].iter().all(|of| (of.recall - 0.95).abs() < 1e-9 && of.low < 0.95 && of.high > 0.95));
        assert!(many.high - many.low < few.high - few.low);
    }
}
