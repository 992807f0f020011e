//! The nearest of a set of centroids, for blocks of rows, by matrix products.
//!
//! Layer 2, private to `quant::kmeans`: training uses it directly, [`super::Assigner`] once for the groups and once for
//! the centroids within each group. With `s = |c|^2 / 2 - <x, c>` the squared distance is `|x|^2 + 2 s`, so the smallest
//! `s` is the nearest centroid and |x|^2 is needed once a row. Ties go to the lower index.

use crate::kernels::{dots, kernels};

/// Rows of one matrix product: enough to pay for packing the centroids, few enough for the products to stay in L2.
pub(super) const BLOCK_ROWS: usize = 512;

/// Centroids with what scoring needs.
pub(super) struct Columns<'a> {
    centroids: &'a [f32],
    half_norms: Vec<f32>,
    dim: usize,
}

impl<'a> Columns<'a> {
    /// Takes centroids that lie one behind the other.
    pub(super) fn new(centroids: &'a [f32], dim: usize) -> Columns<'a> {
        Columns { centroids, half_norms: half_norms(centroids, dim), dim }
    }

    /// Index and squared distance of the nearest centroid of each row.
    pub(super) fn nearest(&self, rows: &[f32]) -> Vec<(u32, f32)> {
        let mut found = Vec::with_capacity(rows.len() / self.dim);
        let mut scores = Vec::new();
        for block in rows.chunks(BLOCK_ROWS * self.dim) {
            score_block(block, self.centroids, &self.half_norms, self.dim, &mut scores);
            for (row, scores) in block.chunks_exact(self.dim).zip(scores.chunks_exact(self.half_norms.len())) {
                let (index, score) = smallest(scores);
                found.push((index as u32, squared_distance((kernels().dot)(row, row), score)));
            }
        }
        found
    }
}

/// `|c|^2 / 2` of each centroid.
pub(super) fn half_norms(centroids: &[f32], dim: usize) -> Vec<f32> {
    centroids.chunks_exact(dim).map(|centroid| 0.5 * (kernels().dot)(centroid, centroid)).collect()
}

/// Writes the scores of every row with every centroid, row by row, into `scores`, which is sized to fit.
pub(super) fn score_block(rows: &[f32], centroids: &[f32], half_norms: &[f32], dim: usize, scores: &mut Vec<f32>) {
    scores.resize(rows.len() / dim * half_norms.len(), 0.0);
    dots(rows, centroids, dim, scores);
    for scores in scores.chunks_exact_mut(half_norms.len()) {
        for (score, half_norm) in scores.iter_mut().zip(half_norms) {
            *score = half_norm - *score;
        }
    }
}

/// Position and value of the smallest score: a vector pass for the value, then a search for its place.
pub(super) fn smallest(scores: &[f32]) -> (usize, f32) {
    let (low, _) = (kernels().min_max)(scores);
    (scores.iter().position(|&score| score == low).unwrap_or(0), low)
}

/// Squared distance from |x|^2 and the score; rounding never makes it negative.
pub(super) fn squared_distance(norm2: f32, score: f32) -> f32 {
    (norm2 + 2.0 * score).max(0.0)
}
