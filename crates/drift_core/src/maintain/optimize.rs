//! Optimize: all that is due at once, and one segment without dead rows in the end.
//!
//! Layer 6. What the background does bit by bit within its budget; nothing needs it.

use super::compact::compact;
use super::flush::flush_all;
use super::restructure::{Restructured, restructure};
use super::retrain::retrain;
use crate::error::{Error, ErrorKind, Result};
use crate::state::{CollectionState, SCAN_ALL_ROWS};
use crate::types::{Interrupt, OptimizeReport};

/// Writes since the buckets were defined together, as a share of the rows, for which they are defined anew.
const RETRAIN_SHARE: f64 = 0.1;

/// Rounds of restructuring after which the rest is left to the background: each does all that is due, and what the last
/// ones find are the few that the ones before have made due.
const ROUNDS_MAX: usize = 12;

/// Brings buckets and segments into order. `interrupt` is asked between the parts, each of which commits what it did.
pub fn optimize(collection: &CollectionState, interrupt: Interrupt<'_>) -> Result<OptimizeReport> {
    let clock = collection.components.clock.clone();
    let start = clock.monotonic();
    flush_all(collection)?;
    go_on(interrupt)?;
    let mut report = OptimizeReport::default();
    let _job = collection.job.lock();
    let version = collection.pin();
    let trained = collection.maintenance.lock().manifest.trained_seq;
    let writes = version.seq.saturating_sub(trained) as f64;
    if writes >= RETRAIN_SHARE * version.index.rows() as f64 && version.index.rows() > SCAN_ALL_ROWS {
        report.buckets_retrained = collection.pool.install(|| retrain(collection))?.buckets;
    }
    go_on(interrupt)?;
    let mut maintenance = collection.maintenance.lock();
    let maintenance = &mut *maintenance;
    let mut restructured = Restructured::default();
    for _ in 0..ROUNDS_MAX {
        let round = collection.pool.install(|| restructure(collection, maintenance, usize::MAX))?;
        let Some(round) = round else { break };
        go_on(interrupt)?;
        restructured.add(&round);
    }
    report.buckets_split = restructured.split;
    report.buckets_merged = restructured.merged;
    report.buckets_recentred = restructured.recentred;
    report.rows_moved = restructured.moved;
    let version = collection.pin();
    let segments = &version.index.segments;
    if segments.len() > 1 || segments.iter().any(|live| live.segment.dead_rows() > 0) {
        let places: Vec<u32> = (0..segments.len() as u32).collect();
        let compacted = collection.pool.install(|| compact(collection, maintenance, &places))?;
        report.segments_merged = compacted.segments;
        report.rows_written = compacted.rows;
        report.rows_dropped = compacted.dropped;
    }
    report.seconds = (clock.monotonic() - start).as_secs_f64();
    Ok(report)
}

fn go_on(interrupt: Interrupt<'_>) -> Result<()> {
    if interrupt() {
        let message = "optimize was interrupted: what was done stays done, and the rest is as it was";
        return Err(Error::new(ErrorKind::Interrupted, message));
    }
    Ok(())
}
