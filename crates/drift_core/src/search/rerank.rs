//! Exact distances of the few best rows, from their cold vectors.
//!
//! Layer 6. The only reads from storage on the search path; each is checked against its page checksums. Rows are read
//! in file order, so neighbours of one bucket come in one read.

use super::buckets::place;
use super::scratch::Scratch;
use crate::error::Result;
use crate::kernels::kernels;
use crate::state::{CollectionState, Version};
use crate::types::Metric;
use std::sync::atomic::Ordering;

/// Rows re-ranked beside the `k` wanted: SQ8 confuses neighbours of nearly equal distance, seldom by more than two
/// ranks among ten (PERFORMANCE.md, section 2, point 5: twelve rows for ten).
const SPARE_MIN: usize = 2;

/// How many rows to re-rank for the `k` nearest.
pub fn width(k: usize) -> usize {
    k + SPARE_MIN.max(k / 8)
}

/// Standard deviations of an estimate, and of its difference to another, that a row beyond the `k` best may be too far by
/// and is still read.
const DOUBT_DEVIATIONS: f32 = 3.0;

/// Moves the best of `scratch.estimates` for `k` neighbours into `scratch.exact`, measured exactly; how many were read.
///
/// The `k` best are read in any case. By their exact distances most of the others are out of reach of what rounding does
/// to an estimate.
pub fn rerank(collection: &CollectionState, version: &Version, k: usize, scratch: &mut Scratch) -> Result<usize> {
    let metric = collection.schema.metric;
    let certain = k.min(scratch.estimates.len());
    scratch.keys.clear();
    scratch.keys.extend(scratch.estimates.sorted()[..certain].iter().map(|(_, key)| *key));
    read(collection, version, scratch)?;
    let worst = scratch.exact.threshold();
    let Scratch { estimates, keys, code, .. } = &mut *scratch;
    let within_reach = |&&(estimate, key): &&(f32, u64)| {
        let (segment, row) = place(key);
        let factors = &version.index.segments[segment as usize].segment.factors()[row as usize];
        let (reported, deviation) = match metric {
            Metric::L2 => (estimate, code.deviation(factors, estimate)),
            Metric::Cosine => (0.5 * estimate, 0.5 * code.deviation(factors, estimate)),
            Metric::Dot => (estimate, 0.5 * code.deviation(factors, code.norm2())),
        };
        reported - DOUBT_DEVIATIONS * deviation < worst
    };
    keys.clear();
    let others = estimates.sorted().iter().take(width(k)).skip(certain);
    keys.extend(others.filter(within_reach).map(|(_, key)| *key));
    let doubtful = keys.len();
    read(collection, version, scratch)?;
    let count = certain + doubtful;
    collection.counters.rows_reranked.fetch_add(count as u64, Ordering::Relaxed);
    Ok(count)
}

/// Moves the rows of `scratch.keys` into `scratch.exact`.
fn read(collection: &CollectionState, version: &Version, scratch: &mut Scratch) -> Result<()> {
    let Scratch { exact, query, vector, cold, keys, rows, .. } = scratch;
    keys.sort_unstable();
    for keys in keys.chunk_by(|a, b| place(*a).0 == place(*b).0) {
        rows.clear();
        rows.extend(keys.iter().map(|&key| place(key).1));
        let segment = &version.index.segments[place(keys[0]).0 as usize].segment;
        // The best of them are reported when all have been read: their ids are there by then.
        rows.iter().for_each(|&row| segment.ask_for_id(row));
        segment.read_each(rows, vector, cold, |at, vector| {
            exact.push(exact_distance(collection.schema.metric, &query.prepared, vector), keys[at]);
        })?;
    }
    Ok(())
}

/// The reported distance between a prepared query and a raw vector.
pub fn exact_distance(metric: Metric, query: &[f32], vector: &[f32]) -> f32 {
    let kernels = kernels();
    match metric {
        Metric::L2 => (kernels.l2)(query, vector),
        Metric::Dot => -(kernels.dot)(query, vector),
        Metric::Cosine => {
            let norm2 = (kernels.dot)(vector, vector);
            1.0 - (kernels.dot)(query, vector) / norm2.sqrt()
        }
    }
}
