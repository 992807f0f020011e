//! k-means: centroids for buckets, and the nearest centroid of many rows.
//!
//! Layer 2. k-means++ seeding (Arthur and Vassilvitskii 2007), Lloyd iterations through matrix products, rescue of
//! empty clusters. Above a few hundred clusters it works in two levels, sqrt(k) groups and then their children, which
//! costs n sqrt(k) instead of n k distances; one pass over all rows with the final centroids repairs the group borders.
//! Seeded, and deterministic whatever the number of threads: sums are taken in row order.

mod assign;
mod lloyd;

pub use assign::Assigner;

use lloyd::Lloyd;
use rayon::prelude::*;

/// Clusters up to which one level is used: 400 x 400 distances per row cost less than two levels' bookkeeping.
const FLAT_CLUSTERS_MAX: usize = 400;

/// How centroids are trained.
#[derive(Clone, Debug)]
pub struct KmeansOptions {
    /// Seed of the random choices.
    pub seed: u64,
    /// Lloyd iterations of each level: beyond eight the mean distance changes by less than 1 %.
    pub iterations: usize,
    /// Rows per cluster that a level trains on at most (Faiss uses 256).
    pub rows_per_cluster_max: usize,
    /// Passes over all rows with all centroids after the two levels.
    pub polish: usize,
}

impl Default for KmeansOptions {
    fn default() -> KmeansOptions {
        KmeansOptions { seed: 0, iterations: 8, rows_per_cluster_max: 128, polish: 1 }
    }
}

/// Trains `clusters` centroids (fewer only when there are fewer rows) on row-major `rows`; returns `clusters * dim`
/// values. Runs on the caller's rayon pool.
pub fn train(rows: &[f32], dim: usize, clusters: usize, options: &KmeansOptions) -> Vec<f32> {
    let count = rows.len() / dim;
    let clusters = clusters.min(count);
    if clusters == 0 {
        return Vec::new();
    }
    if clusters <= FLAT_CLUSTERS_MAX {
        return Lloyd::new(dim, options).train(rows, clusters, options.seed);
    }
    let groups = (clusters as f64).sqrt().round() as usize;
    let tops = Lloyd::new(dim, options).train(rows, groups, options.seed);
    let (group_of, _) = Assigner::new(&tops, dim).assign(rows);
    let members = members(&group_of, groups);
    let shares = shares(&members, clusters);
    let children: Vec<Vec<f32>> = members
        .par_iter()
        .zip(&shares)
        .enumerate()
        .map(|(group, (members, &share))| {
            let rows = gather(rows, dim, members);
            Lloyd::new(dim, options).train(&rows, share, options.seed ^ (group as u64 + 1))
        })
        .collect();
    let mut centroids = children.concat();
    for _ in 0..options.polish {
        let (nearest, distances) = Assigner::new(&centroids, dim).assign(rows);
        lloyd::update(rows, dim, &nearest, &distances, &mut centroids);
    }
    centroids
}

/// Rows of each group, in row order.
fn members(group_of: &[u32], groups: usize) -> Vec<Vec<u32>> {
    let mut members = vec![Vec::new(); groups];
    for (row, &group) in group_of.iter().enumerate() {
        members[group as usize].push(row as u32);
    }
    members
}

/// Children of each group: in proportion to its rows, at least one where it has rows, `clusters` in all.
fn shares(members: &[Vec<u32>], clusters: usize) -> Vec<usize> {
    let rows: usize = members.iter().map(Vec::len).sum();
    let mut shares: Vec<usize> =
        members.iter().map(|members| (members.len() * clusters / rows).max(1).min(members.len())).collect();
    let mut by_need: Vec<usize> = (0..members.len()).collect();
    let mut given: usize = shares.iter().sum();
    while given != clusters {
        // Rows per child decide who gets one more, or gives one up.
        let need = |group: &usize| members[*group].len() as f64 / shares[*group].max(1) as f64;
        by_need.sort_by(|a, b| need(b).total_cmp(&need(a)).then(a.cmp(b)));
        if given < clusters {
            let Some(&group) = by_need.iter().find(|&&group| shares[group] < members[group].len()) else { break };
            shares[group] += 1;
            given += 1;
        } else {
            let Some(&group) = by_need.iter().rev().find(|&&group| shares[group] > 1) else { break };
            shares[group] -= 1;
            given -= 1;
        }
    }
    shares
}

/// The rows at `places`.
fn gather(rows: &[f32], dim: usize, places: &[u32]) -> Vec<f32> {
    let mut out = Vec::with_capacity(places.len() * dim);
    for &place in places {
        out.extend_from_slice(&rows[place as usize * dim..(place as usize + 1) * dim]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use rand::RngExt;

    fn blobs(rows: usize, dim: usize, centres: usize, seed: u64) -> Vec<f32> {
        let mut rng = clock::rng(seed);
        let places: Vec<f32> = (0..centres * dim).map(|_| rng.random_range(-10.0f32..10.0)).collect();
        (0..rows)
            .flat_map(|row| {
                let centre = row % centres;
                (0..dim).map(|at| places[centre * dim + at] + rng.random_range(-0.1f32..0.1)).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn separate_blobs_get_a_centroid_each() {
        let rows = blobs(600, 8, 12, 1);
        let centroids = train(&rows, 8, 12, &KmeansOptions::default());
        let (_, distances) = Assigner::new(&centroids, 8).assign(&rows);
        let worst = distances.iter().fold(0.0f32, |worst, &distance| worst.max(distance));
        assert!(worst < 1.0, "a blob without a centroid of its own: {worst}");
    }

    #[test]
    fn two_levels_leave_no_cluster_empty_and_are_deterministic() {
        let rows = blobs(6_000, 16, 900, 2);
        let options = KmeansOptions { seed: 7, ..KmeansOptions::default() };
        let centroids = train(&rows, 16, 600, &options);
        assert_eq!(centroids.len(), 600 * 16);
        let (nearest, _) = Assigner::new(&centroids, 16).assign(&rows);
        let used: std::collections::HashSet<_> = nearest.iter().collect();
        assert!(used.len() > 580, "{} of 600 clusters are used", used.len());
        assert_eq!(centroids, train(&rows, 16, 600, &options));
    }

    #[test]
    fn all_duplicates_and_fewer_rows_than_clusters_are_fine() {
        let rows = vec![1.0; 40 * 4];
        assert_eq!(train(&rows, 4, 10, &KmeansOptions::default()), vec![1.0; 40]);
        assert_eq!(train(&rows[..8], 4, 10, &KmeansOptions::default()).len(), 8);
        assert!(train(&[], 4, 10, &KmeansOptions::default()).is_empty());
    }

    #[test]
    fn two_level_assignment_agrees_with_the_exact_one() {
        let mut rng = clock::rng(3);
        let mut draw = |n: usize| (0..n * 32).map(|_| rng.random_range(-1.0f32..1.0)).collect::<Vec<_>>();
        let (centroids, rows) = (draw(2_000), draw(500));
        let (nearest, _) = Assigner::new(&centroids, 32).assign(&rows);
        let (exact, _) = Assigner::exact(&centroids, 32).assign(&rows);
        let same = nearest.iter().zip(&exact).filter(|(a, b)| a == b).count();
        // Uniform noise is the worst case, as it has no groups to find; chance alone would give one row in six.
        assert!(same >= 300, "{same} of 500");
    }
}
