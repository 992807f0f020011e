//! How many rows must be measured exactly for the nearest to be among them.
//!
//! Layer 6. SQ8 spans what a row's values span, from the origin on, so it tells near rows apart where they differ by no less
//! than a 255th of that, and a query has seven bits. Of embeddings it confuses the ten nearest with two others. Where
//! all rows lie far from the origin (an offset), in tight clusters, or densely in two or three dimensions, it confuses them with
//! tens, or with all of a cluster. Nothing else would notice: traces and live queries find their true neighbours among the best
//! by SQ8. So some rows are compared exactly with all of their candidates.

use super::candidates::{CANDIDATES, Sampled};
use super::trace::{K, Scanned};
use crate::error::Result;
use crate::search::buckets;
use crate::search::rerank::{self, exact_distance};
use crate::search::scratch::{self, Scratch};
use crate::state::{BLURRED, CollectionState, Version};
use crate::types::Metric;
use rayon::prelude::*;

/// Rows that are compared with their candidates: 640 neighbours tell a loss of a hundredth from one of a two-hundredth.
const SAMPLES: usize = 64;

/// Share of the neighbours that the usual width may miss, and that a larger one is chosen to miss at most: where .01 of them cannot be
/// found, no rule reaches .99. Of embeddings the usual width misses .001.
const LOSS_MAX: f64 = 0.004;
const LOSS_WANTED: f64 = 0.002;

/// Candidates among which all of these must be for a width to do: beyond half of those that there are, some of the true
/// neighbours were none.
const WIDTH_MAX: usize = CANDIDATES / 2;

/// Distances that differ by less than this share are the same.
const SAME_SHARE: f32 = 1e-6;

/// Rows to be measured beside the ten nearest, as [`crate::state::Calibration::spare`] has them. Runs on the caller's pool.
pub fn spare(collection: &CollectionState, version: &Version, scanned: &[Scanned]) -> Result<u32> {
    let samples: Vec<&Sampled> = scanned.iter().flat_map(Scanned::samples).collect();
    let step = samples.len().div_ceil(SAMPLES).max(1);
    let ranks: Result<Vec<Vec<u32>>> = samples
        .par_iter()
        .step_by(step)
        .map(|sample| ranks(collection, version, sample, &mut scratch::take(collection)))
        .collect();
    let mut ranks = ranks?.concat();
    ranks.sort_unstable();
    Ok(spare_of(&ranks))
}

/// What follows from the ranks by SQ8 of true neighbours, ascending.
fn spare_of(ranks: &[u32]) -> u32 {
    let width_for = |loss: f64| {
        let place = ((1.0 - loss) * ranks.len() as f64).ceil() as usize;
        ranks.get(place.saturating_sub(1)).map_or(0, |rank| *rank as usize)
    };
    if width_for(LOSS_MAX) <= rerank::width(K, 0) {
        return 0;
    }
    match width_for(LOSS_WANTED) {
        // The sample may have missed the worst.
        width if width <= WIDTH_MAX => (width + width / 2 - K) as u32,
        _ => BLURRED,
    }
}

/// Ranks by SQ8, from 1, of the nearest candidates of a query.
fn ranks(collection: &CollectionState, version: &Version, sample: &Sampled, scratch: &mut Scratch) -> Result<Vec<u32>> {
    let Scratch { vector, cold, .. } = scratch;
    let metric = collection.schema.metric;
    let mut distances = Vec::with_capacity(CANDIDATES);
    for (_, key) in sample.best.clone().sorted().into_iter().take(CANDIDATES) {
        let (segment, row) = buckets::place(key);
        version.index.segments[segment as usize].segment.read_row(row, vector, cold)?;
        distances.push(exact_distance(metric, &sample.query, vector));
    }
    Ok(ranks_of(metric, &distances))
}

/// The same, of the exact distances in the order of the estimates.
fn ranks_of(metric: Metric, distances: &[f32]) -> Vec<u32> {
    let mut sorted = distances.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let Some(&last) = sorted.get(K.min(sorted.len()).wrapping_sub(1)) else { return Vec::new() };
    // Copies of one row are all as near; sums in another order are as good as equal.
    let limit = match metric {
        Metric::L2 | Metric::Dot => last + SAME_SHARE * last.abs(),
        Metric::Cosine => last + SAME_SHARE * last.abs().max(f32::EPSILON),
    };
    let near = distances.iter().enumerate().filter(|(_, distance)| **distance <= limit);
    near.map(|(rank, _)| rank as u32 + 1).take(K).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_rank_as_distances_do_need_nothing_more() {
        let ascending: Vec<f32> = (0..CANDIDATES).map(|at| at as f32).collect();
        let ranks = ranks_of(Metric::L2, &ascending);
        assert_eq!(ranks, (1..=K as u32).collect::<Vec<_>>());
        assert_eq!(spare_of(&ranks), 0);
    }

    #[test]
    fn copies_are_as_near_as_each_other() {
        assert_eq!(ranks_of(Metric::L2, &[2.0; CANDIDATES]), (1..=K as u32).collect::<Vec<_>>());
        assert_eq!(spare_of(&[]), 0);
    }

    #[test]
    fn what_is_missed_decides_how_many_more_are_read() {
        let confused = |reach: usize| {
            let distances: Vec<f32> =
                (0..CANDIDATES).map(|at| if at < reach { (reach - at) as f32 } else { 1e3 }).collect();
            spare_of(&ranks_of(Metric::L2, &distances))
        };
        assert_eq!([10, 12].map(confused), [0, 0]);
        assert_eq!([20, 40, 64].map(confused), [20, 50, 86]);
        assert_eq!([65, 128].map(confused), [BLURRED, BLURRED], "the nearest may be among none of the candidates");
    }
}
