//! Ranking against exact distances, with one group of centroids and with many.

use super::*;
use crate::clock::rng;
use crate::state::centroids::FLAT_MAX;
use crate::types::BucketId;
use rand::RngExt;

const DIM: usize = 32;

/// Buckets around random centres, as data has them.
fn table(count: usize, seed: u64, scale: f32) -> BucketTable {
    let mut rng = rng(seed);
    let mut table = BucketTable::default();
    let mut centre = [0.0f32; DIM];
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
    let (mut code, mut bits) = (QueryCode::new(DIM), BitQuery::new(DIM));
    code.set(query);
    bits.set(query, router.origin());
    let mut scratch = RankScratch::default();
    router.begin(order, &code, &bits, &mut scratch);
    while router.next(order, &code, &bits, &mut scratch) {}
    scratch.ranked
}

#[test]
fn every_bucket_is_ranked_once_and_the_best_come_first() {
    for metric in [Metric::L2, Metric::Dot] {
        for count in [1, 40, 700, FLAT_MAX + 500] {
            let router = Router::new(table(count, 3, 1.0), DIM, metric);
            let queries = table(30, 4, 1.0);
            let mut best_first = 0;
            for query in queries.centroids.chunks_exact(DIM) {
                let ranked = rank_all(&router, query, Order::Score);
                let mut positions: Vec<u32> = ranked.iter().map(|ranked| ranked.position).collect();
                positions.sort_unstable();
                assert!(positions.iter().copied().eq(0..count as u32), "{metric:?} {count}");
                let least = ranked.iter().map(|ranked| ranked.score).fold(f32::INFINITY, f32::min);
                best_first += usize::from(ranked.iter().take(count.min(5)).any(|ranked| ranked.score == least));
            }
            assert!(best_first >= 24, "{metric:?} {count}: {best_first} of 30");
        }
    }
}

#[test]
fn scores_follow_the_exact_distances() {
    let router = Router::new(table(700, 5, 1.0), DIM, Metric::L2);
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
    let router = Router::new(table(200, 6, 1e25), DIM, Metric::L2);
    let ranked = rank_all(&router, &[1e25; DIM], Order::Score);
    let mut positions: Vec<u32> = ranked.iter().map(|ranked| ranked.position).collect();
    positions.sort_unstable();
    assert!(positions.into_iter().eq(0..200));
}
