//! Optimize: all that is due at once, and one segment without dead rows in the end.
//!
//! Layer 6. What the background does bit by bit within its budget; nothing needs it.

use super::compact::compact;
use super::flush::flush_all;
use super::policy::Limit;
use super::restructure::{Restructured, restructure};
use super::retrain::retrain;
use super::step::retraining_due;
use crate::error::Result;
use crate::state::CollectionState;
use crate::sync::Pool;
use crate::types::{OnWork, OptimizeReport, WorkProgress};

/// Writes since the buckets were defined together, as a share of the rows, for which they are defined anew.
const RETRAIN_SHARE: f64 = 0.1;

/// Rounds of restructuring after which the rest is left to the background: each does all that is due, and what the last
/// ones find are the few that the ones before have made due.
const ROUNDS_MAX: usize = 12;

/// The steps, as progress names them.
const STEPS: [&str; 4] = ["flush", "retrain", "restructure", "compact"];

/// Brings buckets and segments into order on a pool of its own; `progress` hears of each step before it begins, and of the end.
pub fn optimize(collection: &CollectionState, pool: &Pool, progress: OnWork<'_>) -> Result<OptimizeReport> {
    let mut step = |at: usize| {
        let stage = STEPS[at.min(STEPS.len() - 1)];
        WorkProgress { done: at as u64, total: STEPS.len() as u64, stage }.tell(progress)
    };
    let clock = collection.components.clock.clone();
    let start = clock.monotonic();
    step(0)?;
    flush_all(collection)?;
    step(1)?;
    let mut report = OptimizeReport::default();
    let _hold = collection.hold();
    let _job = collection.job.lock();
    if retraining_due(collection, RETRAIN_SHARE).is_some() {
        report.buckets_retrained = pool.install(|| retrain(collection))?.buckets;
    }
    step(2)?;
    let mut restructured = Restructured::default();
    for _ in 0..ROUNDS_MAX {
        let round = pool.install(|| restructure(collection, Limit::NONE))?;
        let Some(round) = round else { break };
        restructured.add(&round);
        step(2)?;
    }
    report.buckets_split = restructured.split;
    report.buckets_merged = restructured.merged;
    report.buckets_recentred = restructured.recentred;
    report.rows_moved = restructured.moved;
    step(3)?;
    let version = collection.pin();
    let segments = &version.index.segments;
    if segments.len() > 1 || segments.iter().any(|live| live.segment.dead_rows() > 0) {
        let places: Vec<u32> = (0..segments.len() as u32).collect();
        let compacted = pool.install(|| compact(collection, &places))?;
        report.segments_merged = compacted.segments;
        report.rows_written = compacted.rows;
        report.rows_dropped = compacted.dropped;
    }
    step(STEPS.len())?;
    report.seconds = (clock.monotonic() - start).as_secs_f64();
    Ok(report)
}
