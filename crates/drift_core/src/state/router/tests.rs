//! Ranking against exact distances, with one group of centroids and with many.

use super::*;
use crate::clock::rng;
use crate::state::centroids::FLAT_MAX;
use crate::types::BucketId;
use rand::RngExt;

/// Buckets around random centres, as data has them.
fn table(dim: usize, count: usize, seed: u64, scale: f32) -> BucketTable {
    let mut rng = rng(seed);
    let mut table = BucketTable::default();
    let mut centre = vec![0.0f32; dim];
    for id in 0..count {
        if id % 50 == 0 {
            centre.iter_mut().for_each(|value| *value = rng.random_range(-1.0f32..1.0));
        }
        let centroid: Vec<f32> =
            centre.iter().map(|value| scale * (value + 0.4 * rng.random_range(-1.0f32..1.0))).collect();
        table.push(BucketId(id as u32), &centroid, scale * scale * rng.random_range(0.0f32..0.1));
    }
    table
}

fn rank_all(router: &Router, query: &[f32], order: Order) -> Vec<Ranked> {
    let (mut code, mut bits) = (QueryCode::new(query.len()), BitQuery::new(query.len()));
    code.set(query);
    bits.set(query, router.origin());
    let mut scratch = RankScratch::default();
    router.begin(order, &code, &bits, &mut scratch);
    while router.rank_more(order, &code, &bits, &mut scratch) {}
    scratch.ranked
}

#[test]
fn every_bucket_is_ranked_once_and_the_best_come_first() {
    for (dim, count) in [(20, 1), (20, 700), (96, 40), (96, 700), (96, FLAT_MAX + 500)] {
        for metric in [Metric::L2, Metric::Dot] {
            let router = Router::new(table(dim, count, 3, 1.0), dim, metric);
            let queries = table(dim, 30, 4, 1.0);
            let mut best_first = 0;
            for query in queries.centroids.chunks_exact(dim) {
                let ranked = rank_all(&router, query, Order::Score);
                let mut positions: Vec<u32> = ranked.iter().map(|ranked| ranked.position).collect();
                positions.sort_unstable();
                assert!(positions.iter().copied().eq(0..count as u32), "{metric:?} {dim} {count}");
                let least = ranked.iter().map(|ranked| ranked.score).fold(f32::INFINITY, f32::min);
                best_first += usize::from(ranked.iter().take(count.min(5)).any(|ranked| ranked.score == least));
            }
            assert!(best_first >= 24, "{metric:?} {dim} {count}: {best_first} of 30");
        }
    }
}

#[test]
fn scores_follow_the_exact_distances() {
    let router = Router::new(table(96, 700, 5, 1.0), 96, Metric::L2);
    let query = router.table().centroid(11).iter().map(|value| value + 0.2).collect::<Vec<f32>>();
    for ranked in rank_all(&router, &query, Order::Score) {
        let position = ranked.position as usize;
        let exact = (kernels().l2)(&query, router.table().centroid(position));
        let score = exact + SPREAD_WEIGHT * router.table().spread[position];
        assert!((ranked.score - score).abs() < 0.03 * score + 0.15, "{position}: {} for {score}", ranked.score);
        assert!((ranked.centre.distance - ranked.centre.reach.powi(2)).abs() < 1e-3);
    }
}

#[test]
fn buckets_beyond_the_range_of_numbers_are_ranked_too() {
    let router = Router::new(table(96, 200, 6, 1e25), 96, Metric::L2);
    let ranked = rank_all(&router, &[1e25; 96], Order::Score);
    let mut positions: Vec<u32> = ranked.iter().map(|ranked| ranked.position).collect();
    positions.sort_unstable();
    assert!(positions.into_iter().eq(0..200));
}
