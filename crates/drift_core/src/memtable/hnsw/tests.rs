//! Recall, concurrency and deletes of the graph.

use super::*;
use crate::clock;
use crate::kernels::kernels;
use rand::RngExt;
use rayon::prelude::*;
use std::collections::HashSet;

const DIM: usize = 48;

struct Points(Vec<f32>);

impl Points {
    /// Overlapping clusters of nearly full intrinsic dimension, as hard as short-text embeddings.
    fn draw(count: usize, seed: u64) -> Points {
        let mut rng = clock::rng(seed);
        let mut normal = move || (0..6).map(|_| rng.random_range(-1.0f32..1.0)).sum::<f32>();
        let centres: Vec<f32> = (0..50 * DIM).map(|_| normal()).collect();
        Points((0..count * DIM).map(|at| centres[(at / DIM) % 50 * DIM + at % DIM] * 0.7 + normal()).collect())
    }

    fn row(&self, node: u32) -> &[f32] {
        &self.0[node as usize * DIM..(node as usize + 1) * DIM]
    }

    fn len(&self) -> u32 {
        (self.0.len() / DIM) as u32
    }
}

impl Space for Points {
    fn between(&self, a: u32, b: u32) -> f32 {
        (kernels().l2)(self.row(a), self.row(b))
    }
}

fn recall(graph: &Hnsw, points: &Points, queries: &Points, accept: impl Fn(u32) -> bool + Copy) -> f64 {
    let mut found = 0;
    for query in 0..queries.len() {
        let distance = |node: u32| (kernels().l2)(queries.row(query), points.row(node));
        let mut truth: Vec<u32> = (0..points.len()).filter(|&node| accept(node)).collect();
        truth.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        let truth: HashSet<u32> = truth.into_iter().take(10).collect();
        let hits = graph.search(128, distance, accept);
        assert!(hits.iter().all(|(_, node)| accept(*node)));
        found += hits.iter().take(10).filter(|(_, node)| truth.contains(node)).count();
    }
    found as f64 / f64::from(queries.len() * 10)
}

#[test]
fn concurrent_inserts_give_full_recall_and_deleted_nodes_stay_out() {
    let (points, queries) = (Points::draw(4_000, 1), Points::draw(60, 2));
    let graph = Hnsw::new(HnswOptions::default());
    graph.reserve(4_000);
    (0..4_000u32).into_par_iter().for_each(|node| graph.insert(node, &points));
    let all = recall(&graph, &points, &queries, |_| true);
    assert!(all >= 0.98, "recall {all}");
    let half = recall(&graph, &points, &queries, |node| node % 2 == 0);
    assert!(half >= 0.98, "recall {half} with half of the nodes deleted");
}

#[test]
fn searches_during_inserts_see_whole_nodes_only() {
    let points = Points::draw(1_500, 3);
    let graph = Hnsw::new(HnswOptions::default());
    graph.reserve(1_500);
    rayon::join(
        || (0..1_500u32).for_each(|node| graph.insert(node, &points)),
        || {
            for query in 0..300u32 {
                let hits = graph.search(32, |node| points.between(query, node), |_| true);
                let nodes: HashSet<u32> = hits.iter().map(|(_, node)| *node).collect();
                assert_eq!(nodes.len(), hits.len(), "a node twice in one result");
            }
        },
    );
    let hits = graph.search(32, |node| points.between(7, node), |_| true);
    assert_eq!(hits[0].1, 7);
}

#[test]
fn an_empty_graph_finds_nothing() {
    assert!(Hnsw::new(HnswOptions::default()).search(10, |_| 0.0, |_| true).is_empty());
}
