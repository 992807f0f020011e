//! Shadow queries: live queries that are searched again in the background, through everything, to measure what recall they
//! had, and how far they would have had to go.
//!
//! Layer 6. The traces of those that ask for few of the nearest rows count beside those of sampled rows, later instead of them (`calibrate`),
//! and their measured recall corrects what the traces promise. Of those that ask for many, or have a filter, some are measured to be
//! told of (`health`): they go by rules that follow from the others.

use super::trace::{self, K, TRUTH_WIDTH};
use super::{fit_log, neighbours, publish, trace_groups};
use crate::error::Result;
use crate::manifest::{Asked, TimelinePoint};
use crate::memtable::SearchMode;
use crate::search::buckets::{self, Limits, Work};
use crate::search::wanted::Wanted;
use crate::search::{confidence, filter, memory, rerank, scratch};
use crate::state::{
    Calibration, CollectionState, Maintenance, Measured, RecallLog, SCAN_ALL_ROWS, ScanCodes, Shadow, Taken, Version,
};
use crate::storage::failpoint::{Failpoint, reach};
use crate::sync::Pool;
use crate::types::BucketId;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Neighbours asked for, at most, by a query that is traced: the trace finds [`TRUTH_WIDTH`] candidates for sure.
const TRACED_K_MAX: usize = TRUTH_WIDTH / 2;

/// Neighbours asked for, at most, by a query that is searched again: 4 KB of distances are kept of it.
pub const K_MAX: usize = 1_024;

/// Others that are measured at a time, without a trace, at most: each takes a pass of its own over the codes of all rows, or of those
/// that its filter leaves.
const MEASURED_ALONE: usize = 16;

/// Buckets that a live query warms: those that nearly all of its neighbours are in.
const WARMED_BUCKETS: usize = 4;

/// Row reads that a group may cost, so that other work does not wait for it long: as many as come up to 100,000 rows.
const GROUP_READS: usize = 40_000_000;

/// Live traces after which the rules are fitted again.
const REFIT_AFTER: usize = 32;

/// Live traces that rules are fitted to alone, where no rows have been traced yet since the collection was opened.
const LIVE_ALONE: usize = 128;

/// Distances that differ by less than this share are the same: sums in another order.
const SAME_SHARE: f32 = 1e-5;

/// Measured queries after which a manifest is committed for their sake, where no job has committed one: a quarter of those
/// that health tells of, so that another process sees what is not much older, and a collection that is only read writes a file
/// of some KB every few thousand queries.
const SAVE_AFTER: u64 = 256;

/// What a query for `k` neighbours asks for.
pub fn asked(k: usize, is_filtered: bool) -> Asked {
    match (is_filtered, k > TRACED_K_MAX) {
        (true, _) => Asked::Filtered,
        (false, true) => Asked::Many,
        (false, false) => Asked::Nearest,
    }
}

/// Searches the waiting live queries again, and follows what they show; how many there were. Runs on `pool`.
pub fn check_shadows(collection: &CollectionState, pool: &Pool) -> Result<usize> {
    let _one = collection.recall.measuring.lock();
    pool.install(|| check(collection))
}

fn check(collection: &CollectionState) -> Result<usize> {
    let version = collection.pin();
    let rows = version.index.rows();
    let taken = collection.recall.waiting.take(GROUP_READS / rows.max(1) as usize);
    if taken.traceable.is_empty() && taken.others.is_empty() {
        return Ok(0);
    }
    let followed = if rows > SCAN_ALL_ROWS { follow(collection, &version, &taken) } else { Ok(0) };
    collection.recall.waiting.give_back(taken);
    followed
}

/// Searches live queries again, and follows what they show; how many there were.
fn follow(collection: &CollectionState, version: &Version, taken: &Taken) -> Result<usize> {
    // What was answered from other rows cannot be judged by these, but how far the query must go now can be seen.
    let is_judged = |shadow: &Shadow| version.index.is_of(&shadow.index);
    let (traceable, kept) = taken.traceable.split_at(taken.group);
    let measured = taken
        .others
        .iter()
        .filter(|shadow| is_judged(shadow))
        .take(MEASURED_ALONE)
        .map(|shadow| measure(collection, version, shadow))
        .collect::<Result<Vec<_>>>()?;
    let queries: Vec<(&[f32], u64)> = traceable
        .iter()
        .map(|shadow| (&shadow.query[..], if is_judged(shadow) { shadow.seq } else { version.seq }))
        .collect();
    let (usual, spare) = (version.index.calibration().usual(), version.index.calibration().spare());
    let traced = trace_groups(collection, version, &queries, (usual, spare), trace::Wanted::Nearest, |_| false)?;
    let (asked, timed) = retrace(collection, version, &queries);
    let mut log = collection.recall.log.lock();
    kept.iter().for_each(|shadow| log.keep(shadow.query.clone()));
    let mut judged = measured.len();
    measured.into_iter().for_each(|measured| log.add_measured(measured));
    for (shadow, traced) in traceable.iter().zip(traced) {
        if is_judged(shadow) {
            judged += 1;
            let recall = recall(collection, version, shadow, &traced.nearest);
            log.add_measured(Measured { asked: shadow.asked, target: shadow.target, recall });
        }
        log.add_live(shadow.query.clone(), traced.trace, shadow.seq);
    }
    if judged > 0 {
        add_point(collection, version, &mut log, judged);
    }
    log.correct();
    let is_enough = !log.rows.is_empty() || log.live.len() >= LIVE_ALONE;
    let points = (log.unfitted >= REFIT_AFTER && is_enough).then(|| {
        fit_log(&mut log, version, |points, log| {
            // Before rows were traced, what the manifest says.
            let known = if log.base.is_empty() { version.index.calibration().points() } else { &log.base };
            neighbours::carried_wide(known, points)
        })
    });
    let summary = log.summary();
    drop(log);
    let mut maintenance = collection.maintenance.lock();
    // The next commit saves both; the rules in the file are as good a beginning after a crash.
    maintenance.manifest.recall = summary;
    maintenance.unsaved_queries += judged as u64;
    maintenance.upkeep.temperature.warm(asked.into_iter(), collection.components.clock.monotonic());
    timed.into_iter().for_each(|(work, took)| maintenance.upkeep.cost.add(work.buckets, work.rows, took));
    if let Some(points) = points {
        maintenance.manifest.calibration.clone_from(&points);
        maintenance.manifest.calibrated_codes = version.index.codes();
        // Where the manifest has more of them, buckets have been defined anew, and all is measured right behind.
        let unmeasured = collection.pin().index.unmeasured();
        publish(collection, Calibration::of(&maintenance.manifest), unmeasured);
    }
    if maintenance.unsaved_queries >= SAVE_AFTER {
        save(&mut maintenance)?;
    }
    Ok(taken.traceable.len() + taken.others.len())
}

/// Recall targets at which live queries are searched again to time their scans: few buckets and many.
const TIMED_TARGETS: [f32; 3] = [0.6, 0.9, 0.99];

/// Searches live queries again as searches do, one after the other: the buckets that they begin with, and the work and the time of
/// their scans.
fn retrace(
    collection: &CollectionState,
    version: &Version,
    queries: &[(&[f32], u64)],
) -> (Vec<BucketId>, Vec<(Work, Duration)>) {
    let index = &version.index;
    let (mut asked, mut timed) = (Vec::new(), Vec::new());
    let ScanCodes::Filter(filter) = &index.scan else { return (asked, timed) };
    let (mut scratch, clock) = (scratch::take(collection), &collection.components.clock);
    for (number, (query, _)) in queries.iter().enumerate() {
        let recall = TIMED_TARGETS[number % TIMED_TARGETS.len()];
        let stop = index.rule(recall, K);
        let mut limits = Limits { stop, recall, buckets_max: usize::MAX, k: K, confidence: None };
        scratch.set_query(collection, &index.router, query);
        scratch.estimates.reset(rerank::width_in(index, K));
        confidence::begin(collection, version, &limits, &mut scratch);
        let start = clock.monotonic();
        let work = filter::scan(collection.schema.metric, version, filter, &mut limits, None, None, &mut scratch);
        timed.push((work, clock.monotonic() - start));
        let first = scratch.rank.ranked.iter().take(WARMED_BUCKETS);
        asked.extend(first.map(|ranked| index.router.table().ids[ranked.position as usize]));
    }
    (asked, timed)
}

/// Commits what was measured and is in no file yet, so that whoever opens the collection next begins with it.
pub fn save(maintenance: &mut Maintenance) -> Result<()> {
    if maintenance.unsaved_queries == 0 {
        return Ok(());
    }
    let next = maintenance.manifest.next();
    reach(Failpoint::RecallCommit)?;
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

/// Measures the recall of a query by the codes of all rows that it asked about, and the vectors of the best.
fn measure(collection: &CollectionState, version: &Version, shadow: &Shadow) -> Result<Measured> {
    let then = Version { seq: shadow.seq, ..version.clone() };
    let wanted = Wanted::find(collection, &then, shadow.filter.as_ref(), shadow.now)?;
    let mut scratch = scratch::take(collection);
    scratch.set_query(collection, &version.index.router, &shadow.query);
    scratch.exact.reset(shadow.k);
    let width = rerank::width_in(&version.index, shadow.k);
    scratch.estimates.reset(width);
    buckets::scan_each(collection.schema.metric, &then, wanted.as_ref(), &mut scratch);
    rerank::rerank(collection, &then, shadow.k, width, &mut scratch)?;
    memory::scan(&then, SearchMode::Flat, wanted.as_ref().and_then(Wanted::predicate), &mut scratch);
    let recall = share_found(shadow, scratch.exact.sorted());
    Ok(Measured { asked: shadow.asked, target: shadow.target, recall })
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
    share_found(shadow, scratch.exact.sorted())
}

/// Share of these nearest rows that a query was answered, be it by others that are as near.
fn share_found(shadow: &Shadow, nearest: &[(f32, u64)]) -> f32 {
    let Some(&(last, _)) = nearest.last() else { return 1.0 };
    let limit = last + SAME_SHARE * last.abs();
    let found = shadow.distances.iter().filter(|distance| **distance <= limit).count();
    found.min(nearest.len()) as f32 / nearest.len() as f32
}
