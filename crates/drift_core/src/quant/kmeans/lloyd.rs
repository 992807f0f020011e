//! One level of k-means: seeding, iterations, rescue.
//!
//! Layer 2.

use super::{Assigner, KmeansOptions, gather};
use crate::clock;
use crate::kernels::kernels;
use rand::RngExt;
use rayon::prelude::*;

/// Rows per cluster that the seeding looks at: k-means++ is sequential in the clusters.
const SEED_ROWS_PER_CLUSTER: usize = 16;

/// Trains one level.
pub struct Lloyd<'a> {
    dim: usize,
    options: &'a KmeansOptions,
}

impl<'a> Lloyd<'a> {
    /// A trainer for `dim` dimensions.
    pub fn new(dim: usize, options: &'a KmeansOptions) -> Lloyd<'a> {
        Lloyd { dim, options }
    }

    /// Trains `clusters` centroids, at most as many as there are rows.
    pub fn train(&self, rows: &[f32], clusters: usize, seed: u64) -> Vec<f32> {
        let mut rng = clock::rng(seed);
        let sample = self.sample(rows, clusters * self.options.rows_per_cluster_max, &mut rng);
        let rows: &[f32] = sample.as_deref().unwrap_or(rows);
        let mut centroids = self.seed(rows, clusters, &mut rng);
        for _ in 0..self.options.iterations {
            let (nearest, distances) = Assigner::exact(&centroids, self.dim).assign(rows);
            if !update(rows, self.dim, &nearest, &distances, &mut centroids) {
                break;
            }
        }
        centroids
    }

    /// A random choice of `max` rows, or none when there are no more than that.
    fn sample(&self, rows: &[f32], max: usize, rng: &mut clock::Rng) -> Option<Vec<f32>> {
        let count = rows.len() / self.dim;
        (count > max).then(|| {
            let mut places: Vec<u32> = rand::seq::index::sample(rng, count, max).iter().map(|n| n as u32).collect();
            places.sort_unstable();
            gather(rows, self.dim, &places)
        })
    }

    /// k-means++: each next centroid is a row drawn in proportion to its squared distance to the nearest so far.
    fn seed(&self, rows: &[f32], clusters: usize, rng: &mut clock::Rng) -> Vec<f32> {
        let sample = self.sample(rows, clusters * SEED_ROWS_PER_CLUSTER, rng);
        let rows: &[f32] = sample.as_deref().unwrap_or(rows);
        let count = rows.len() / self.dim;
        let row = |at: usize| &rows[at * self.dim..(at + 1) * self.dim];
        let l2 = kernels().l2;
        let mut centroids = Vec::with_capacity(clusters * self.dim);
        centroids.extend_from_slice(row(rng.random_range(0..count)));
        let mut nearest = vec![f32::INFINITY; count];
        while centroids.len() < clusters * self.dim {
            let last = &centroids[centroids.len() - self.dim..];
            let mut total = 0.0f64;
            for (at, nearest) in nearest.iter_mut().enumerate() {
                *nearest = nearest.min(l2(row(at), last));
                total += f64::from(*nearest);
            }
            let mut left = rng.random::<f64>() * total;
            let drawn = nearest.iter().position(|&distance| {
                left -= f64::from(distance);
                left < 0.0
            });
            // Without spread (all duplicates) any row is as good.
            let drawn = drawn.unwrap_or_else(|| rng.random_range(0..count));
            centroids.extend_from_slice(row(drawn));
        }
        centroids
    }
}

/// Moves each centroid to the mean of its rows; a centroid without rows moves to the row that is furthest from its own
/// (each such row serves once). Returns whether anything moved.
pub fn update(rows: &[f32], dim: usize, nearest: &[u32], distances: &[f32], centroids: &mut [f32]) -> bool {
    let clusters = centroids.len() / dim;
    let members = super::members(nearest, clusters);
    let empty = members.iter().filter(|members| members.is_empty()).count();
    let mut furthest: Vec<u32> = Vec::new();
    if empty > 0 {
        furthest = (0..distances.len() as u32).filter(|&row| distances[row as usize] > 0.0).collect();
        furthest.sort_by(|&a, &b| distances[b as usize].total_cmp(&distances[a as usize]).then(a.cmp(&b)));
    }
    let ranks = rescue_ranks(&members);
    centroids
        .par_chunks_exact_mut(dim)
        .zip(&members)
        .zip(&ranks)
        .map(|((centroid, members), &rank)| {
            let mut mean = vec![0.0f32; dim];
            if members.is_empty() {
                let Some(&row) = furthest.get(rank) else { return false };
                mean.copy_from_slice(&rows[row as usize * dim..(row as usize + 1) * dim]);
            }
            for &row in members {
                let row = &rows[row as usize * dim..(row as usize + 1) * dim];
                mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            let scale = 1.0 / members.len().max(1) as f32;
            mean.iter_mut().for_each(|sum| *sum *= scale);
            let moved = mean != centroid;
            centroid.copy_from_slice(&mean);
            moved
        })
        .reduce(|| false, |a, b| a | b)
}

/// For each empty cluster, how many empty ones come before it.
fn rescue_ranks(members: &[Vec<u32>]) -> Vec<usize> {
    let mut rank = 0;
    members
        .iter()
        .map(|members| {
            let own = rank;
            rank += usize::from(members.is_empty());
            own
        })
        .collect()
}
