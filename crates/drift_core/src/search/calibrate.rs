//! Measures how far a search must go for each recall target, on sampled rows of the collection itself.
//!
//! Layer 6. Each sampled row is a query that must not find itself. Its buckets are scanned in rank order to the end,
//! once, which tells for every (difference, budget) pair where a search would have stopped and which of the true
//! neighbours it would have had by then. Per target the pair that scans least is kept. Run after a bulk load, after
//! optimize, and when the flushed rows have grown by half; it never sees a user's query.

mod fit;
mod trace;

use crate::clock;
use crate::error::Result;
use crate::state::{Calibration, CollectionState, SCAN_ALL_ROWS, Version};
use rand::RngExt;
use rayon::prelude::*;
use std::sync::Arc;
use trace::{Origin, Trace, trace};

/// Most and fewest sampled queries, and the row reads that all of them together may cost.
const QUERIES_MAX: usize = 2_000;
const QUERIES_MIN: usize = 64;
const ROW_READS_MAX: usize = 400_000_000;

/// Queries that share one pass over the codes: a run of 30 rows stays in L1 while all of them read it.
const GROUP: usize = 16;

/// Growth of the flushed rows after which the rules are measured anew.
const GROWTH: f64 = 1.5;

/// Measures the rules when they are missing or the collection has outgrown them; whether it did.
pub fn refresh(collection: &CollectionState) -> Result<bool> {
    let rows = collection.pin().index.rows();
    let measured = collection.maintenance.lock().manifest.calibrated_rows;
    if rows <= SCAN_ALL_ROWS || (measured > 0 && (rows as f64) < GROWTH * measured as f64) {
        return Ok(false);
    }
    measure(collection)?;
    Ok(true)
}

/// Measures the rules and commits them.
pub fn measure(collection: &CollectionState) -> Result<()> {
    let version = collection.pin();
    let rows = version.index.rows();
    if rows <= SCAN_ALL_ROWS {
        return Ok(());
    }
    let queries = sample(collection, &version);
    let traces: Result<Vec<Vec<Trace>>> =
        collection.pool.install(|| queries.par_chunks(GROUP).map(|rows| trace(collection, &version, rows)).collect());
    let traces: Vec<Trace> = traces?.into_iter().flatten().collect();
    let points = collection.pool.install(|| fit::fit(&traces, version.index.codes()));
    let mut maintenance = collection.maintenance.lock();
    let mut manifest = maintenance.manifest.next();
    manifest.calibration = points.clone();
    manifest.calibrated_rows = rows;
    maintenance.commit(manifest)?;
    let mut writes = collection.writes.lock();
    let version = collection.pin();
    let index = Arc::new(version.index.with_calibration(Calibration::new(points)));
    collection.publish(&mut writes, Version { index, ..(*version).clone() });
    Ok(())
}

/// Keys of random visible rows.
fn sample(collection: &CollectionState, version: &Version) -> Vec<Origin> {
    let rows = version.index.rows() as usize;
    let count = (ROW_READS_MAX / rows).clamp(QUERIES_MIN, QUERIES_MAX);
    let mut rng = clock::rng(collection.components.seed ^ version.seq);
    let runs = version.index.all_runs();
    let mut ends = Vec::with_capacity(runs.len());
    let mut total = 0u64;
    for run in runs {
        total += u64::from(run.rows);
        ends.push(total);
    }
    // Twice as many draws as wanted, as dead rows are passed over.
    let drawn = (0..2 * count).filter_map(|_| {
        let at = rng.random_range(0..total);
        let place = ends.partition_point(|end| *end <= at);
        let run = &runs[place];
        let row = run.start + (at % u64::from(run.rows)) as u32;
        let visible = version.index.segment(run).is_visible(row, version.seq);
        visible.then(|| Origin { segment: run.segment, row, position: version.index.position_of_run(place) })
    });
    drawn.take(count).collect()
}
