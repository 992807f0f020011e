//! Expert routing: how far a search goes when it is given a confidence instead of a recall.
//!
//! Layer 6. The density model ranks all buckets by their likelihood (`types::confidence` has the formula) and scans as many
//! as sum up to the target; the geometric one leaves the order alone and decides after each bucket (`super::geometry`).
//! Both are overrides for comparison and experiments: the rules that are calibrated on the collection's own rows and queries
//! reach a recall with less work.

use super::buckets::Limits;
use super::geometry;
use super::scratch::Scratch;
use crate::state::{CollectionState, Density, Order, RankScratch, Ranked, Version};
use crate::types::{Confidence, Estimate, Metric, TAU_SHARE};

/// Ranks the first buckets of a search, or all of them where the confidence needs that; the limits that follow.
pub fn begin(collection: &CollectionState, version: &Version, limits: &Limits, scratch: &mut Scratch) -> Limits {
    let router = &version.index.router;
    router.begin(Order::Score, &scratch.code, &scratch.bits, &mut scratch.rank);
    let Some(Confidence { target, estimate }) = limits.confidence else { return *limits };
    match estimate {
        Estimate::Density { lambda, tau } => {
            rank_all(version, scratch);
            let metric = collection.schema.metric;
            let density = collection.density.of(metric, &version.index);
            let total =
                weigh(metric, &density, lambda, tau_of(collection, version, tau), &scratch.rank, &mut scratch.weighted);
            let buckets = by_weight(target, total, scratch);
            Limits { buckets_max: limits.buckets_max.min(buckets), ..*limits }
        }
        Estimate::Geometric => {
            geometry::begin(version, target, scratch);
            *limits
        }
    }
}

/// Ranks every bucket behind those that are.
pub fn rank_all(version: &Version, scratch: &mut Scratch) {
    let router = &version.index.router;
    while router.rank_more(Order::Score, &scratch.code, &scratch.bits, &mut scratch.rank) {}
}

/// `tau`, or what it is when none is given.
pub fn tau_of(collection: &CollectionState, version: &Version, tau: Option<f32>) -> f32 {
    tau.unwrap_or_else(|| TAU_SHARE * collection.bucket_rows(version.live_rows) as f32)
}

/// Weights of the ranked buckets, in their order; returns the sum.
pub fn weigh(
    metric: Metric,
    density: &Density,
    lambda: f32,
    tau: f32,
    rank: &RankScratch,
    weighted: &mut Vec<(f64, Ranked)>,
) -> f64 {
    let distance = |ranked: &Ranked| match metric {
        Metric::L2 | Metric::Cosine => ranked.centre.reach,
        Metric::Dot => ranked.centre.distance,
    };
    // Likelihoods do not change when all distances shrink alike, and from the nearest on they do not vanish all together.
    let nearest = rank.ranked.iter().map(distance).fold(f32::INFINITY, f32::min);
    weighted.clear();
    weighted.extend(rank.ranked.iter().map(|ranked| {
        let further = if density.spread > 0.0 { (distance(ranked) - nearest) / density.spread } else { 0.0 };
        let live = density.live[ranked.position as usize];
        (weight(further, live, lambda, tau), *ranked)
    }));
    weighted.iter().map(|(weight, _)| weight).sum()
}

/// Weight of a bucket `further` spreads beyond the nearest.
fn weight(further: f32, live: u32, lambda: f32, tau: f32) -> f64 {
    let density = if tau > 0.0 { -(-f64::from(live) / f64::from(tau)).exp_m1() } else { 1.0 };
    (-f64::from(lambda) * f64::from(further)).exp() * density
}

/// Puts the ranked buckets into the order of their weights, heaviest first; how many of them have the target share.
fn by_weight(target: f32, total: f64, scratch: &mut Scratch) -> usize {
    let Scratch { weighted, rank, .. } = scratch;
    // Equal weights, such as those of buckets without rows and those that rounding makes equal, stay nearest first.
    weighted.sort_unstable_by(|(weight, a), (other, b)| {
        let nearer = a.centre.distance.total_cmp(&b.centre.distance);
        other.total_cmp(weight).then(nearer).then(a.score.total_cmp(&b.score))
    });
    rank.ranked.clear();
    rank.ranked.extend(weighted.iter().map(|(_, ranked)| *ranked));
    // At 1 the sum would end where what is left is too small to change it, and without weights it says nothing.
    if target >= 1.0 || total <= 0.0 {
        return rank.ranked.len();
    }
    let mut sum = 0.0;
    let enough = weighted.iter().position(|(weight, _)| {
        sum += weight;
        sum >= f64::from(target) * total
    });
    enough.map_or(rank.ranked.len(), |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likelihood_falls_with_distance_and_saturates_with_live_rows() {
        assert!(weight(0.5, 30, 3.0, 3.0) > weight(1.0, 30, 3.0, 3.0));
        assert!(weight(0.5, 30, 3.0, 3.0) > weight(0.5, 3, 3.0, 3.0));
        assert!(weight(0.5, 300, 3.0, 3.0) - weight(0.5, 30, 3.0, 3.0) < 1e-4, "a full bucket is full");
        assert_eq!(weight(0.5, 0, 3.0, 3.0), 0.0, "a bucket without live rows has nothing to find");
        assert_eq!(weight(0.5, 0, 3.0, 0.0), weight(0.5, 30, 3.0, 0.0), "tau = 0 leaves the density out");
        assert_eq!(weight(7.0, 30, 0.0, 3.0), weight(0.0, 30, 0.0, 3.0), "lambda = 0 leaves the distance out");
    }
}
