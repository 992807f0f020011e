//! Lloyd's iterations over many clusters at once, which even out the clusters' sizes on the way.
//!
//! Layer 2, private to `quant::kmeans`. Clusters far below the mean size give their centroid to ones far above it, which are
//! split in two: an index scans whole clusters, so that the rows of a large one cost more, and a small one is not worth a
//! visit. On 200,000 package summaries in 6,250 clusters that lowers the mean squared distance as well.
//!
//! Invariants: every sum is formed in row order by one thread; the number of clusters stays as it is.

use super::{Assigner, gather, rng, train_flat};
use rayon::prelude::*;

/// A cluster below this share of the mean size gives its centroid away, one above this many times the mean is split.
const SMALL: f64 = 0.45;
const LARGE: f64 = 1.6;

/// A split must leave each part this share of the rows, so that it does not trade one small cluster for another.
const SPLIT_SHARE: f64 = 0.25;

/// Lloyd iterations of a split.
const SPLIT_ITERATIONS: usize = 4;

/// Runs `iterations` over all `rows`; each evens sizes out.
pub(super) fn refine(rows: &[f32], dim: usize, centroids: &mut [f32], iterations: usize) {
    for iteration in 0..iterations {
        let mut members = vec![Vec::new(); centroids.len() / dim];
        let (nearest, _) = Assigner::new(centroids, dim).assign(rows);
        nearest.iter().enumerate().for_each(|(row, &cluster)| members[cluster as usize].push(row as u32));
        let mut next = Clusters { rows, dim, centroids, members };
        next.even_out(iteration as u64);
        next.move_to_means();
    }
}

struct Clusters<'a> {
    rows: &'a [f32],
    dim: usize,
    centroids: &'a mut [f32],
    /// The rows of each cluster, in ascending order.
    members: Vec<Vec<u32>>,
}

impl Clusters<'_> {
    /// Gives the centroids of the smallest clusters to parts of the largest. The rows of a small one are in none until they are
    /// assigned again.
    fn even_out(&mut self, round: u64) {
        let size = |cluster: &u32| self.members[*cluster as usize].len();
        let mut order: Vec<u32> = (0..self.members.len() as u32).collect();
        order.sort_by_key(size);
        let mean = self.rows.len() as f64 / self.centroids.len() as f64;
        let small: Vec<u32> = order.iter().copied().take_while(|c| (size(c) as f64) < SMALL * mean).collect();
        let empty = small.iter().filter(|c| size(c) == 0).count();
        // Beside what is large, as many as there are empty ones: those must go somewhere.
        let large = order.iter().rev().copied().take(small.len()).enumerate();
        let large = large.take_while(|(at, c)| size(c) as f64 > LARGE * mean || (*at < empty && size(c) > 1));
        let large: Vec<u32> = large.map(|(_, cluster)| cluster).collect();
        let parts: Vec<Option<[Vec<u32>; 2]>> =
            large.par_iter().map(|&cluster| self.split(cluster, u64::from(cluster) << 8 | round)).collect();
        let split = large.into_iter().zip(parts).filter_map(|(cluster, parts)| Some((cluster, parts?)));
        for (given, (cluster, [first, second])) in small.into_iter().zip(split) {
            self.members[cluster as usize] = first;
            self.members[given as usize] = second;
        }
    }

    /// The rows of a cluster in two parts; none when these would be too uneven.
    fn split(&self, cluster: u32, seed: u64) -> Option<[Vec<u32>; 2]> {
        let members = &self.members[cluster as usize];
        let rows = gather(self.rows, self.dim, members);
        let (_, found) = train_flat(&rows, self.dim, 2, SPLIT_ITERATIONS, &mut rng(seed));
        let part = |wanted: u32| {
            members.iter().zip(&found).filter(|(_, (part, _))| *part == wanted).map(|(&row, _)| row).collect::<Vec<_>>()
        };
        let parts = [part(0), part(1)];
        let smaller = parts[0].len().min(parts[1].len());
        (smaller as f64 >= SPLIT_SHARE * members.len() as f64).then_some(parts)
    }

    /// Moves each centroid to the mean of its rows; one without rows stays.
    fn move_to_means(&mut self) {
        let (rows, dim) = (self.rows, self.dim);
        let clusters = self.centroids.par_chunks_exact_mut(dim).zip(&self.members);
        clusters.filter(|(_, members)| !members.is_empty()).for_each(|(centroid, members)| {
            centroid.fill(0.0);
            for &row in members {
                let row = &rows[row as usize * dim..][..dim];
                centroid.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            }
            let inverse = 1.0 / members.len() as f32;
            centroid.iter_mut().for_each(|value| *value *= inverse);
        });
    }
}
