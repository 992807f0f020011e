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

/// Moves the best of `scratch.estimates` for `k` neighbours into `scratch.exact`, measured exactly; how many there were.
pub fn rerank(collection: &CollectionState, version: &Version, k: usize, scratch: &mut Scratch) -> Result<usize> {
    let Scratch { estimates, exact, query, vector, cold, keys, rows, .. } = scratch;
    keys.clear();
    keys.extend(estimates.sorted().iter().take(width(k)).map(|(_, key)| *key));
    keys.sort_unstable();
    for keys in keys.chunk_by(|a, b| place(*a).0 == place(*b).0) {
        rows.clear();
        rows.extend(keys.iter().map(|&key| place(key).1));
        let segment = &version.index.segments[place(keys[0]).0 as usize].segment;
        segment.read_each(rows, vector, cold, |at, vector| {
            exact.push(exact_distance(collection.schema.metric, &query.prepared, vector), keys[at]);
        })?;
    }
    collection.counters.rows_reranked.fetch_add(keys.len() as u64, Ordering::Relaxed);
    Ok(keys.len())
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
