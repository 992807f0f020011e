//! Exact distances of the few best rows, from their cold vectors.
//!
//! Layer 6. The only reads from storage on the search path; each is checked against its page checksums. Rows are read
//! in file order, so neighbours of one bucket come in one read.

use super::buckets::{self, Limits, Work, place};
use super::memory;
use super::scratch::Scratch;
use super::wanted::Wanted;
use crate::error::Result;
use crate::kernels::kernels;
use crate::quant::cosine;
use crate::quant::sq8::QueryCode;
use crate::state::{CollectionState, Index, SCAN_ALL_ROWS, USUAL_K, Version};
use crate::types::Metric;
use std::sync::atomic::Ordering;

/// Rows re-ranked beside the `k` wanted: SQ8 confuses neighbours of nearly equal distance, seldom by more than two
/// ranks among ten (PERFORMANCE.md, section 2, point 5: twelve rows for ten).
const SPARE_MIN: usize = 2;

/// Most rows re-ranked beside those wanted because codes tell near rows apart badly: lists of the best are kept sorted.
const SPARE_MAX: usize = 1_024;

/// Rows beside those wanted whose estimates are kept in a collection that is scanned whole: so many that the last of them is
/// out of reach where codes tell rows apart.
const SPARE_SMALL: usize = 118;

/// How many rows to re-rank for the `k` nearest, where `spare` beside ten have proved to be needed (0: no more than usual).
pub fn width(k: usize, spare: u32) -> usize {
    // As many for fewer than ten, which codes confuse with as many: what is out of reach of the k-th is not read.
    let usual = (k + SPARE_MIN.max(k / 8)).max(USUAL_K + SPARE_MIN);
    if spare == 0 {
        return usual;
    }
    let all = k.max(USUAL_K) + (spare as usize).saturating_mul(k.max(USUAL_K)) / USUAL_K;
    usual.max(all.min(k + SPARE_MAX))
}

/// How many rows to re-rank for the `k` nearest among those of `index`.
pub fn width_in(index: &Index, k: usize) -> usize {
    if index.rows() <= SCAN_ALL_ROWS { k + SPARE_SMALL } else { width(k, index.calibration().spare()) }
}

/// Re-ranks what a scan within `limits` has found; how many rows were read. In a collection that is scanned whole, and that
/// nothing was measured of, all rows are re-ranked where the estimates that were kept do not tell which come first.
pub fn finish(
    collection: &CollectionState,
    version: &Version,
    limits: &Limits,
    wanted: Option<&Wanted>,
    scratch: &mut Scratch,
) -> Result<(usize, Work)> {
    let width = width_in(&version.index, limits.k);
    let mut read = rerank(collection, version, limits.k, width, scratch)?;
    let mut again = Work::default();
    if version.index.rows() <= SCAN_ALL_ROWS && is_in_doubt(collection, version, scratch) {
        let all = version.index.rows() as usize;
        scratch.estimates.reset(all);
        memory::offer(collection.schema.metric, scratch);
        (again, _) = buckets::scan(collection, version, limits, wanted, scratch);
        read += rerank(collection, version, limits.k, all, scratch)?;
    }
    collection.counters.rows_reranked.fetch_add(read as u64, Ordering::Relaxed);
    Ok((read, again))
}

/// Whether a row whose estimate was not kept may be among the nearest.
fn is_in_doubt(collection: &CollectionState, version: &Version, scratch: &Scratch) -> bool {
    let Scratch { estimates, exact, code, .. } = scratch;
    let last = estimates.sorted().iter().rfind(is_flushed).filter(|_| estimates.len() == estimates.k());
    last.is_some_and(|last| is_within_reach(collection.schema.metric, version, code, last, exact.threshold()))
}

/// Whether an estimated row may be nearer than `worst`, a reported distance.
fn is_within_reach(
    metric: Metric,
    version: &Version,
    code: &QueryCode,
    &(estimate, key): &(f32, u64),
    worst: f32,
) -> bool {
    let (segment, row) = place(key);
    let factors = &version.index.segments[segment as usize].segment.factors()[row as usize];
    let (reported, deviation) = match metric {
        Metric::L2 => (estimate, code.deviation(factors, estimate)),
        Metric::Cosine => (0.5 * estimate, 0.5 * code.deviation(factors, estimate)),
        Metric::Dot => (estimate, 0.5 * code.deviation(factors, code.norm2())),
    };
    reported - DOUBT_DEVIATIONS * deviation < worst
}

/// Standard deviations of an estimate, and of its difference to another, that a row beyond the `k` best may be too far by
/// and is still read.
const DOUBT_DEVIATIONS: f32 = 3.0;

/// Whether an estimated row is one of a segment; rows of memtables are among them with their exact distances.
fn is_flushed((_, key): &&(f32, u64)) -> bool {
    memory::place(*key).is_none()
}

/// Moves the best of `scratch.estimates` for `k` neighbours, `width` at most, into `scratch.exact`, measured exactly; how many
/// were read.
///
/// The `k` best are read in any case. By their exact distances most of the others are out of reach of what rounding does
/// to an estimate.
pub fn rerank(
    collection: &CollectionState,
    version: &Version,
    k: usize,
    width: usize,
    scratch: &mut Scratch,
) -> Result<usize> {
    let metric = collection.schema.metric;
    let best = k.min(scratch.estimates.len());
    scratch.keys.clear();
    scratch.keys.extend(scratch.estimates.sorted()[..best].iter().filter(is_flushed).map(|(_, key)| *key));
    let certain = scratch.keys.len();
    read(collection, version, scratch)?;
    let worst = scratch.exact.threshold();
    let Scratch { estimates, keys, code, .. } = &mut *scratch;
    keys.clear();
    let others = estimates.sorted().iter().take(width).skip(best).filter(is_flushed);
    keys.extend(others.filter(|row| is_within_reach(metric, version, code, row, worst)).map(|(_, key)| *key));
    let doubtful = keys.len();
    read(collection, version, scratch)?;
    Ok(certain + doubtful)
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
        Metric::Cosine => cosine::distance(query, vector, cosine::scale(vector)),
    }
}
