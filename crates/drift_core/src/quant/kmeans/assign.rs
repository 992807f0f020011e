//! Nearest centroid of many rows, through matrix products.
//!
//! Layer 2. |x - c|² = |x|² + |c|² - 2 <x, c>. Above [`GROUPED_MIN`] centroids these are grouped, and a row is compared
//! with the members of its nearest groups only.

use super::{KmeansOptions, gather, lloyd::Lloyd, members};
use crate::kernels::{kernels, products};
use rayon::prelude::*;

/// Centroids from which groups pay.
const GROUPED_MIN: usize = 1_024;

/// Share of the groups that a row is compared with: 99.7 % of the rows of packages_200k then find their exact nearest
/// centroid among 6,250.
const PROBE_SHARE: f64 = 0.16;

/// Rows of one matrix product: 256 rows of 384 f32 fill half of L2.
const BLOCK_ROWS: usize = 256;

/// Centroids of one matrix product, so that its result (1 MiB) stays in L2.
const BLOCK_CENTROIDS: usize = 1_024;

/// Finds nearest centroids.
pub struct Assigner {
    dim: usize,
    flat: Flat,
    groups: Option<Groups>,
}

/// Centroids that are all compared.
struct Flat {
    centroids: Vec<f32>,
    norms: Vec<f32>,
}

/// Centroids by group.
struct Groups {
    tops: Flat,
    /// Places of each group's centroids.
    places: Vec<Vec<u32>>,
    members: Vec<Flat>,
    probes: usize,
}

impl Assigner {
    /// An assigner that groups many centroids.
    pub fn new(centroids: &[f32], dim: usize) -> Assigner {
        let mut assigner = Assigner::exact(centroids, dim);
        let count = centroids.len() / dim;
        if count >= GROUPED_MIN {
            assigner.groups = Some(Groups::new(centroids, dim, (count as f64).sqrt().round() as usize));
        }
        assigner
    }

    /// An assigner that compares every row with every centroid.
    pub fn exact(centroids: &[f32], dim: usize) -> Assigner {
        Assigner { dim, flat: Flat::new(centroids.to_vec(), dim), groups: None }
    }

    /// Place of the nearest centroid of each row, and the squared distance to it. Runs on the caller's rayon pool.
    pub fn assign(&self, rows: &[f32]) -> (Vec<u32>, Vec<f32>) {
        assert!(!self.flat.norms.is_empty() || rows.is_empty(), "rows are assigned to at least one centroid");
        let blocks: Vec<Vec<(u32, f32)>> = match &self.groups {
            None => rows.par_chunks(BLOCK_ROWS * self.dim).map(|rows| self.flat.nearest(rows, self.dim)).collect(),
            // Larger blocks, so that a group's members meet enough rows for a matrix product.
            Some(groups) => {
                rows.par_chunks(8 * BLOCK_ROWS * self.dim).map(|rows| groups.nearest(rows, self.dim)).collect()
            }
        };
        blocks.into_iter().flatten().unzip()
    }
}

impl Flat {
    fn new(centroids: Vec<f32>, dim: usize) -> Flat {
        let norms = centroids.chunks_exact(dim).map(|centroid| (kernels().dot)(centroid, centroid)).collect();
        Flat { centroids, norms }
    }

    /// Place and squared distance of each row's nearest centroid.
    fn nearest(&self, rows: &[f32], dim: usize) -> Vec<(u32, f32)> {
        let mut best = vec![(0u32, f32::INFINITY); rows.len() / dim];
        let mut out = Vec::new();
        for (block, centroids) in self.centroids.chunks(BLOCK_CENTROIDS * dim).enumerate() {
            let count = centroids.len() / dim;
            let norms = &self.norms[block * BLOCK_CENTROIDS..][..count];
            out.resize(best.len() * count, 0.0);
            products(rows, centroids, dim, &mut out);
            for (best, out) in best.iter_mut().zip(out.chunks_exact(count)) {
                for (place, (product, norm)) in out.iter().zip(norms).enumerate() {
                    let score = norm - 2.0 * product;
                    if score < best.1 {
                        *best = ((block * BLOCK_CENTROIDS + place) as u32, score);
                    }
                }
            }
        }
        for (best, row) in best.iter_mut().zip(rows.chunks_exact(dim)) {
            best.1 = (best.1 + (kernels().dot)(row, row)).max(0.0);
        }
        best
    }

    /// Places of the `probes` nearest centroids of each row, in no order.
    fn nearest_many(&self, rows: &[f32], dim: usize, probes: usize) -> Vec<Vec<u32>> {
        let count = self.norms.len();
        let mut out = vec![0.0; rows.len() / dim * count];
        products(rows, &self.centroids, dim, &mut out);
        let mut order: Vec<u32> = Vec::new();
        out.chunks_exact(count)
            .map(|products| {
                let score = |place: u32| self.norms[place as usize] - 2.0 * products[place as usize];
                order.clear();
                order.extend(0..count as u32);
                if probes < count {
                    order.select_nth_unstable_by(probes, |&a, &b| score(a).total_cmp(&score(b)));
                }
                order[..probes.min(count)].to_vec()
            })
            .collect()
    }
}

impl Groups {
    fn new(centroids: &[f32], dim: usize, groups: usize) -> Groups {
        let options = KmeansOptions { iterations: 5, ..KmeansOptions::default() };
        let tops = Lloyd::new(dim, &options).train(centroids, groups, 0);
        let (group_of, _) = Assigner::exact(&tops, dim).assign(centroids);
        let places = members(&group_of, groups);
        let members = places.iter().map(|places| Flat::new(gather(centroids, dim, places), dim)).collect();
        let probes = (groups as f64 * PROBE_SHARE).ceil() as usize + 1;
        Groups { tops: Flat::new(tops, dim), places, members, probes }
    }

    fn nearest(&self, rows: &[f32], dim: usize) -> Vec<(u32, f32)> {
        let mut best = vec![(0u32, f32::INFINITY); rows.len() / dim];
        let mut visitors = vec![Vec::new(); self.members.len()];
        for (row, groups) in self.tops.nearest_many(rows, dim, self.probes).into_iter().enumerate() {
            groups.into_iter().for_each(|group| visitors[group as usize].push(row as u32));
        }
        for ((group, places), visitors) in self.members.iter().zip(&self.places).zip(&visitors) {
            if places.is_empty() || visitors.is_empty() {
                continue;
            }
            let found = group.nearest(&gather(rows, dim, visitors), dim);
            for (&row, (place, distance)) in visitors.iter().zip(found) {
                let best = &mut best[row as usize];
                if distance < best.1 {
                    *best = (places[place as usize], distance);
                }
            }
        }
        best
    }
}
