//! Measures how far a search must go for each recall target, and keeps measuring.
//!
//! Layer 6. A traced query has its buckets scanned in rank order to the end, once, which tells for every (difference,
//! budget) pair where a search would have stopped and which of the true neighbours it would have had by then. Per target
//! the pair that scans least is kept. Traced are sampled rows, as queries that must not find themselves: after a bulk load,
//! after optimize, and a few more whenever a share of the rows has changed; and live queries (`shadow`), which count alone once
//! there are enough that came since. One measurement at a time: a rule is fitted to all traces there are.

mod fit;
mod shadow;
mod trace;

pub use shadow::{K_MAX as SHADOW_K_MAX, check_shadows, save};

use crate::clock;
use crate::error::Result;
use crate::manifest::CalibrationPoint;
use crate::state::{Calibration, CollectionState, ROW_TRACES_MAX, RecallLog, SCAN_ALL_ROWS, Version};
use crate::storage::failpoint::{Failpoint, reach};
use crate::sync::Pool;
use crate::types::Seq;
use fit::Evidence;
use rand::RngExt;
use rayon::prelude::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use trace::{Origin, Traced};

/// Fewest traced rows, and the row reads that all of them together may cost.
const QUERIES_MIN: usize = 256;
const ROW_READS_MAX: usize = 400_000_000;

/// Rows drawn for each query wanted.
const DRAWS_PER_QUERY: usize = 4;

/// Queries that share one pass over the codes: so many that memory keeps up with the products.
const GROUP: usize = 32;

/// Share of the rows that must have changed before some are traced again: while changes go on, and once they have come to
/// rest.
const CHANGED_SHARE: f64 = 0.3;
const SETTLED_SHARE: f64 = 0.1;

/// Fewest rows that are traced when a share has changed: their mean recall is within 0.007 of the truth. Row reads that tracing
/// more of them may cost: as many as all new up to 20,000 rows.
const REFRESH_TRACES_MIN: usize = 640;
const REFRESH_READS: usize = 40_000_000;

/// Rows whose distances tell what is usual.
const USUAL_ROWS: usize = 128;

/// Measures the rules anew if enough has changed since they were measured; whether it did. `settled` when no job is due. Runs
/// on `pool`.
pub fn refresh(collection: &CollectionState, pool: &Pool, settled: bool) -> Result<bool> {
    let _one = collection.recall.measuring.lock();
    pool.install(|| refresh_if_due(collection, settled))
}

fn refresh_if_due(collection: &CollectionState, settled: bool) -> Result<bool> {
    let version = collection.pin();
    let rows = version.index.rows();
    if rows <= SCAN_ALL_ROWS {
        return Ok(false);
    }
    let now = changes(collection, &version);
    let traced_at = collection.recall.log.lock().traced_at;
    let known = collection.maintenance.lock().manifest.calibrated_rows;
    let Some(before) = traced_at else {
        // Just opened: the rules in the manifest hold for the rows that they were measured on.
        if known > 0 && (rows.abs_diff(known) as f64) < CHANGED_SHARE * known as f64 {
            collection.recall.log.lock().traced_at = Some(now);
            return Ok(false);
        }
        measure_all(collection)?;
        return Ok(true);
    };
    let share = (now - before) as f64 / version.live_rows.max(1) as f64;
    if share < if settled { SETTLED_SHARE } else { CHANGED_SHARE } {
        return Ok(false);
    }
    // What was traced before so much changed speaks of other buckets: a larger collection needs a smaller share of them.
    let wanted = (REFRESH_READS / rows as usize).max(REFRESH_TRACES_MIN).min(traces_of(rows));
    trace_and_fit(collection, &version, wanted)?;
    Ok(true)
}

/// Measures the rules on as many rows as they should be measured on, and commits them. Runs on `pool`.
pub fn measure(collection: &CollectionState, pool: &Pool) -> Result<()> {
    let _one = collection.recall.measuring.lock();
    pool.install(|| measure_all(collection))
}

fn measure_all(collection: &CollectionState) -> Result<()> {
    let version = collection.pin();
    if version.index.rows() <= SCAN_ALL_ROWS {
        return Ok(());
    }
    trace_and_fit(collection, &version, traces_of(version.index.rows()))
}

/// How many rows of `rows` are traced when all is new.
fn traces_of(rows: u64) -> usize {
    (ROW_READS_MAX / rows as usize).clamp(QUERIES_MIN, ROW_TRACES_MAX)
}

/// Writes and moves so far.
fn changes(collection: &CollectionState, version: &Version) -> u64 {
    version.seq + collection.counters.rows_moved.load(Ordering::Relaxed)
}

/// Traces the live queries that are kept, and `wanted` rows unless those are enough, and follows what they show.
fn trace_and_fit(collection: &CollectionState, version: &Version, wanted: usize) -> Result<()> {
    let queries = collection.recall.log.lock().forget_traces();
    let now: Vec<(&[f32], Seq)> = queries.iter().map(|query| (&query[..], version.seq)).collect();
    let rows = sample(collection, version, wanted);
    let usual = trace::usual_distance(collection, version, &rows[..rows.len().min(USUAL_ROWS)])?;
    let live = trace_groups(collection, version, &now, usual)?;
    let traced: Result<Vec<Vec<Traced>>> =
        rows.par_chunks(GROUP).map(|rows| trace::trace_rows(collection, version, rows, usual)).collect();
    let traces = traced?.into_iter().flatten().map(|traced| traced.trace);
    let points = {
        let mut log = collection.recall.log.lock();
        log.add_rows(traces);
        log.add_older(queries.into_iter().zip(live.into_iter().map(|traced| traced.trace)));
        log.traced_at = Some(changes(collection, version));
        fit_log(&mut log)
    };
    let mut maintenance = collection.maintenance.lock();
    let mut manifest = maintenance.manifest.next();
    manifest.calibration = points.clone();
    manifest.calibrated_rows = version.index.rows();
    manifest.calibrated_codes = version.index.codes();
    manifest.usual_distance = usual;
    reach(Failpoint::CalibrationCommit)?;
    maintenance.commit(manifest)?;
    publish(collection, Calibration::new(points, version.index.codes(), usual));
    Ok(())
}

/// Traces live queries, each as of a write. Runs on the caller's pool.
fn trace_groups(
    collection: &CollectionState,
    version: &Version,
    queries: &[(&[f32], Seq)],
    usual: f32,
) -> Result<Vec<Traced>> {
    let groups: Result<Vec<Vec<Traced>>> =
        queries.par_chunks(GROUP).map(|group| trace::trace_queries(collection, version, group, usual)).collect();
    Ok(groups?.into_iter().flatten().collect())
}

/// The rules that the kept traces speak for. Runs on the caller's pool.
fn fit_log(log: &mut RecallLog) -> Vec<CalibrationPoint> {
    log.unfitted = 0;
    fit::fit(&Evidence {
        rows: log.rows.iter().collect(),
        live: log.live.iter().map(|(_, trace)| trace).collect(),
        fresh: log.fresh,
        margin: log.margin,
    })
}

/// Lets searches follow the rules. The caller holds the maintenance lock.
fn publish(collection: &CollectionState, calibration: Calibration) {
    let mut writes = collection.writes.lock();
    let version = collection.pin();
    let index = Arc::new(version.index.with_calibration(calibration));
    collection.publish(&mut writes, Version { index, ..(*version).clone() });
}

/// `count` random visible rows, or a few less.
fn sample(collection: &CollectionState, version: &Version, count: usize) -> Vec<Origin> {
    let segments = &version.index.segments;
    let mut rng = clock::rng(collection.components.seed ^ version.seq);
    let mut ends = Vec::with_capacity(segments.len());
    let mut total = 0u64;
    for live in segments {
        total += u64::from(live.segment.rows());
        ends.push(total);
    }
    // More draws than wanted, as dead rows are passed over.
    let drawn = (0..DRAWS_PER_QUERY * count).filter_map(|_| {
        let at = rng.random_range(0..total);
        let place = ends.partition_point(|end| *end <= at);
        let live = &segments[place];
        let row = (at + u64::from(live.segment.rows()) - ends[place]) as u32;
        let visible = live.segment.is_visible(row, version.seq);
        visible.then(|| Origin { segment: place as u32, row, position: version.index.position_of(place as u32, row) })
    });
    drawn.take(count).collect()
}
