//! Shadow queries: live queries that are searched again in the background, through everything, to measure what recall they
//! had, and how far they would have had to go.
//!
//! Layer 6. Their traces count beside those of sampled rows, later instead of them (`calibrate`), and the measured recall
//! corrects what the traces promise.

use super::trace::TRUTH_WIDTH;
use super::{fit_log, publish, trace_groups};
use crate::error::Result;
use crate::manifest::TimelinePoint;
use crate::memtable::SearchMode;
use crate::search::{memory, scratch};
use crate::state::{CollectionState, Maintenance, Measured, RecallLog, SCAN_ALL_ROWS, Shadow, Version};
use crate::sync::Pool;
use std::sync::atomic::Ordering;

/// Neighbours asked for, at most, by a query that is searched again: the trace finds [`TRUTH_WIDTH`] candidates for sure.
pub const K_MAX: usize = TRUTH_WIDTH / 2;

/// Live traces after which the rules are fitted again.
const REFIT_AFTER: usize = 32;

/// Distances that differ by less than this share are the same: sums in another order.
const SAME_SHARE: f32 = 1e-5;

/// Measured queries after which a manifest is committed for their sake, where no job has committed one: a quarter of those
/// that health tells of, so that another process sees what is not much older, and a collection that is only read writes a file
/// of some KB every few thousand queries.
const SAVE_AFTER: u64 = 256;

/// Searches the waiting live queries again, and follows what they show; how many there were. Runs on `pool`.
pub fn check_shadows(collection: &CollectionState, pool: &Pool) -> Result<usize> {
    let _one = collection.recall.measuring.lock();
    pool.install(|| check(collection))
}

fn check(collection: &CollectionState) -> Result<usize> {
    let version = collection.pin();
    let shadows = collection.recall.take();
    if shadows.is_empty() || version.index.rows() <= SCAN_ALL_ROWS {
        return Ok(0);
    }
    // What was answered from other rows cannot be judged by these, but how far the query must go now can be seen.
    let is_judged = |shadow: &Shadow| version.index.is_of(&shadow.index);
    let queries: Vec<(&[f32], u64)> = shadows
        .iter()
        .map(|shadow| (&shadow.query[..], if is_judged(shadow) { shadow.seq } else { version.seq }))
        .collect();
    let traced = trace_groups(collection, &version, &queries)?;
    let mut log = collection.recall.log.lock();
    let mut judged = 0;
    for (shadow, traced) in shadows.iter().zip(traced) {
        if is_judged(shadow) {
            judged += 1;
            let recall = recall(collection, &version, shadow, &traced.nearest);
            log.add_measured(Measured { target: shadow.target, recall });
        }
        log.add_live(shadow.query.clone(), traced.trace);
    }
    if judged > 0 {
        add_point(collection, &version, &mut log, judged);
    }
    let points = (log.unfitted >= REFIT_AFTER).then(|| {
        log.correct();
        fit_log(&mut log)
    });
    let summary = log.summary();
    drop(log);
    let mut maintenance = collection.maintenance.lock();
    // The next commit saves both; the rules in the file are as good a beginning after a crash.
    maintenance.manifest.recall = summary;
    maintenance.unsaved_queries += judged as u64;
    if let Some(points) = points {
        maintenance.manifest.calibration.clone_from(&points);
        maintenance.manifest.calibrated_codes = version.index.codes();
        publish(collection, points, version.index.codes());
    }
    if maintenance.unsaved_queries >= SAVE_AFTER {
        save(&mut maintenance)?;
    }
    Ok(shadows.len())
}

/// Commits what was measured and is in no file yet, so that whoever opens the collection next begins with it.
pub fn save(maintenance: &mut Maintenance) -> Result<()> {
    if maintenance.unsaved_queries == 0 {
        return Ok(());
    }
    let next = maintenance.manifest.next();
    maintenance.commit(next)
}

/// Notes what the newest `judged` queries met.
fn add_point(collection: &CollectionState, version: &Version, log: &mut RecallLog, judged: usize) {
    let recent = log.measured.iter().rev().take(judged);
    let point = TimelinePoint {
        time: collection.components.clock.wall().as_secs_f64(),
        recall: recent.map(|measured| measured.recall).sum::<f32>() / judged as f32,
        codes: 0.0,
        rows: version.live_rows,
        buckets: version.index.router.len() as u64,
    };
    let counters = &collection.counters;
    let (queries, codes) = (counters.queries.load(Ordering::Relaxed), counters.rows_scanned.load(Ordering::Relaxed));
    log.add_point(point, queries, codes);
}

/// Share of the true nearest rows that were returned.
fn recall(collection: &CollectionState, version: &Version, shadow: &Shadow, flushed: &[f32]) -> f32 {
    let mut scratch = scratch::take(collection);
    scratch.set_query(collection, &version.index.router, &shadow.query);
    scratch.exact.reset(shadow.k);
    for (at, &distance) in flushed.iter().enumerate() {
        scratch.exact.push(distance, at as u64);
    }
    let then = Version { seq: shadow.seq, ..version.clone() };
    memory::scan(&then, SearchMode::Flat, None, &mut scratch);
    let nearest = scratch.exact.sorted();
    let Some(&(last, _)) = nearest.last() else { return 1.0 };
    let limit = last + SAME_SHARE * last.abs();
    let found = shadow.distances.iter().filter(|distance| **distance <= limit).count();
    found.min(nearest.len()) as f32 / nearest.len() as f32
}
