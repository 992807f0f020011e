//! Scans buckets, nearest first, by SQ8 estimate.
//!
//! Layer 6. Distances here are the engine's own: squared L2 in rotated space (under cosine between unit vectors, hence
//! twice the reported distance), negated inner product under dot. A bucket's codes are contiguous per run; a row's
//! visibility is only asked once its estimate has beaten the current worst, so dead rows cost their scan and nothing
//! else.

use super::scratch::Scratch;
use crate::kernels::kernels;
use crate::quant::sq8::{Factors, QueryCode};
use crate::segment::Segment;
use crate::state::{CollectionState, Run, StopRule, Version};
use crate::types::{Metric, Seq};
use std::sync::atomic::Ordering;

/// Buckets that are ranked precisely at first; the next step doubles.
const SORTED_FIRST: usize = 128;

/// A row of a segment as one number: segment place, then row.
pub fn key(segment: u32, row: u32) -> u64 {
    u64::from(segment) << 32 | u64::from(row)
}

/// The segment place and row of a [`key`].
pub fn place(key: u64) -> (u32, u32) {
    ((key >> 32) as u32, key as u32)
}

/// Fills `scratch.estimates` with the best rows among the buckets that `stop` (or `nprobe`) admits.
pub fn scan(
    collection: &CollectionState,
    version: &Version,
    stop: StopRule,
    nprobe: Option<usize>,
    scratch: &mut Scratch,
) {
    let index = &version.index;
    index.router.rank(&scratch.code, &mut scratch.rank);
    let buckets_max = nprobe.unwrap_or(usize::MAX).min(index.router.len());
    let (mut sorted, mut done, mut rows) = (0, 0, 0u64);
    while done < buckets_max {
        if done == sorted {
            sorted = scratch.rank.sort_next(SORTED_FIRST.max(sorted));
        }
        let (score, position) = scratch.rank.ranked[done];
        if rows >= stop.rows || score - scratch.estimates.threshold() > stop.difference {
            break;
        }
        for run in index.runs(position as usize) {
            rows += u64::from(run.rows);
            scan_run(collection.schema.metric, index.segment(run), run, version.seq, scratch);
        }
        done += 1;
    }
    collection.counters.rows_scanned.fetch_add(rows, Ordering::Relaxed);
    collection.counters.buckets_scanned.fetch_add(done as u64, Ordering::Relaxed);
}

fn scan_run(metric: Metric, segment: &Segment, run: &Run, snapshot: Seq, scratch: &mut Scratch) {
    let rows = run.rows as usize;
    if scratch.products.len() < rows {
        scratch.products.resize(rows, 0);
    }
    let products = &mut scratch.products[..rows];
    (kernels().sq8_dots)(segment.codes(run.start..run.start + run.rows), scratch.code.codes(), products);
    let factors = &segment.factors()[run.start as usize..][..rows];
    for (row, (&product, factors)) in products.iter().zip(factors).enumerate() {
        let distance = estimate(metric, &scratch.code, product, factors);
        if distance < scratch.estimates.threshold() {
            let row = run.start + row as u32;
            if segment.is_visible(row, snapshot) {
                scratch.estimates.push(distance, key(run.segment, row));
            }
        }
    }
}

/// The engine's distance of a query to a row, from the raw product of their codes.
pub fn estimate(metric: Metric, query: &QueryCode, product: i32, factors: &Factors) -> f32 {
    match metric {
        Metric::L2 | Metric::Cosine => query.l2(product, factors),
        Metric::Dot => -query.dot(product, factors),
    }
}
