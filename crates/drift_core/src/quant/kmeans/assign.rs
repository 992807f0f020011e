//! The nearest centroid of many rows, exactly for few centroids and through groups of centroids for many.
//!
//! Layer 2. Bulk load, flush and maintenance jobs assign rows with it. Above [`super::FLAT_CLUSTERS_MAX`] centroids
//! these are grouped around about sqrt(n) group centres. A block of rows ranks the groups, then visits group by group:
//! the rows that probe a group are gathered and multiplied with its centroids at once, so all work is matrix products.
//!
//! Agreement with exact assignment depends on how many groups are probed, and how many are needed depends on the data,
//! so a large call measures it: it assigns a sample exactly and probes as many groups as [`AGREEMENT`] of the sample
//! needs. Small calls probe [`PROBED_SHARE`] of the groups. Invariant: the answer for a row is a function of the rows of
//! the call and the centroids, never of threads.

use super::nearest::{BLOCK_ROWS, half_norms, score_block, smallest, squared_distance};
use super::{FLAT_CLUSTERS_MAX, KmeansOptions, train_flat};
use crate::clock::rng;
use crate::kernels::kernels;
use rayon::prelude::*;

/// Share of the sample whose nearest centroid must lie in a probed group. Above the promised 0.995 by three standard
/// errors of a share that is measured on [`SAMPLE_ROWS`] rows.
const AGREEMENT: f64 = 0.9985;

/// Rows of the sample that measures the probes.
const SAMPLE_ROWS: usize = 2_048;

/// Smallest call that measures its probes: from here on the sample costs less than the probes it saves.
const MEASURED_ROWS_MIN: usize = 16_384;

/// Share of the groups that a small call probes. On 200,000 package summaries and 6,250 centroids, 15 of 79 groups reach
/// an agreement of 0.996, so half leaves room for harder data.
const PROBED_SHARE: f64 = 0.5;

/// Rows that one task takes through all groups: each group then multiplies a few hundred rows at once.
const TASK_ROWS: usize = 4_096;

/// Finds the nearest of a fixed set of centroids.
#[derive(Debug)]
pub struct Assigner {
    dim: usize,
    /// The centroids, group by group.
    centroids: Vec<f32>,
    half_norms: Vec<f32>,
    /// The caller's index of each stored centroid.
    indices: Vec<u32>,
    /// Where each group starts in the stored order, and the end of the last.
    starts: Vec<usize>,
    /// The centres of the groups; empty when there is one group.
    centres: Vec<f32>,
    centre_half_norms: Vec<f32>,
}

/// Buffers of one task.
#[derive(Default)]
struct Scratch {
    scores: Vec<f32>,
    gathered: Vec<f32>,
    /// The rows that probe each group, in ascending order.
    visits: Vec<Vec<u32>>,
}

impl Assigner {
    /// Groups centroids that lie one behind the other.
    ///
    /// # Panics
    /// When `dim` is 0, there is no centroid, or `centroids` is not a whole number of vectors.
    pub fn new(centroids: &[f32], dim: usize) -> Assigner {
        assert!(dim > 0 && !centroids.is_empty() && centroids.len().is_multiple_of(dim), "whole centroids");
        let count = centroids.len() / dim;
        if count <= FLAT_CLUSTERS_MAX {
            return Assigner {
                dim,
                half_norms: half_norms(centroids, dim),
                centroids: centroids.to_vec(),
                indices: (0..count as u32).collect(),
                starts: vec![0, count],
                centres: Vec::new(),
                centre_half_norms: Vec::new(),
            };
        }
        let groups = (count as f64).sqrt().round() as usize;
        let options = KmeansOptions::default();
        let centres = train_flat(centroids, dim, groups, options.iterations, &mut rng(options.seed));
        let columns = super::Columns::new(&centres, dim);
        let membership: Vec<u32> = centroids
            .par_chunks(BLOCK_ROWS * dim)
            .flat_map_iter(|block| columns.nearest(block).into_iter().map(|(group, _)| group))
            .collect();
        let mut indices: Vec<u32> = (0..count as u32).collect();
        indices.sort_by_key(|&index| (membership[index as usize], index));
        let mut starts = vec![0; groups + 1];
        for &group in &membership {
            starts[group as usize + 1] += 1;
        }
        for group in 0..groups {
            starts[group + 1] += starts[group];
        }
        let centroids = super::gather(centroids, dim, &indices);
        let (half, centre_half_norms) = (half_norms(&centroids, dim), half_norms(&centres, dim));
        Assigner { dim, half_norms: half, centroids, indices, starts, centres, centre_half_norms }
    }

    /// Number of centroids.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are no centroids; never true.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The nearest centroid of each row and its squared distance, for rows that lie one behind the other.
    ///
    /// # Panics
    /// When `rows` is not a whole number of vectors.
    pub fn assign(&self, rows: &[f32]) -> (Vec<u32>, Vec<f32>) {
        let probes = self.probes_for(rows);
        self.assign_probing(rows, probes)
    }

    /// The exact answer of [`Assigner::assign`]: every group is probed.
    ///
    /// # Panics
    /// When `rows` is not a whole number of vectors.
    pub fn assign_exact(&self, rows: &[f32]) -> (Vec<u32>, Vec<f32>) {
        self.assign_probing(rows, self.groups())
    }

    fn groups(&self) -> usize {
        self.starts.len() - 1
    }

    fn assign_probing(&self, rows: &[f32], probes: usize) -> (Vec<u32>, Vec<f32>) {
        assert!(rows.len().is_multiple_of(self.dim), "whole vectors");
        // The size of a task follows from the rows alone: a product's last bit may depend on the rows it shares a block with.
        let count = rows.len() / self.dim;
        let task = (count / 16).clamp(BLOCK_ROWS, TASK_ROWS);
        rows.par_chunks(task * self.dim)
            .map_init(Scratch::default, |scratch, block| self.assign_block(block, probes, scratch))
            .flat_map_iter(|found| found)
            .unzip()
    }

    /// The nearest centroid of each row of a block among the `probes` nearest groups.
    fn assign_block(&self, rows: &[f32], probes: usize, scratch: &mut Scratch) -> Vec<(u32, f32)> {
        let count = rows.len() / self.dim;
        self.plan_visits(rows, probes, scratch);
        let mut best = vec![(0u32, f32::INFINITY); count];
        for group in 0..self.groups() {
            let range = self.starts[group]..self.starts[group + 1];
            if range.is_empty() {
                continue;
            }
            let centroids = &self.centroids[range.start * self.dim..range.end * self.dim];
            let half_norms = &self.half_norms[range.clone()];
            for visitors in scratch.visits[group].chunks(BLOCK_ROWS) {
                scratch.gathered.clear();
                for &row in visitors {
                    scratch.gathered.extend_from_slice(&rows[row as usize * self.dim..][..self.dim]);
                }
                score_block(&scratch.gathered, centroids, half_norms, self.dim, &mut scratch.scores);
                for (&row, scores) in visitors.iter().zip(scratch.scores.chunks_exact(half_norms.len())) {
                    let (place, score) = smallest(scores);
                    let index = self.indices[range.start + place];
                    let best = &mut best[row as usize];
                    if score < best.1 || (score == best.1 && index < best.0) {
                        *best = (index, score);
                    }
                }
            }
        }
        for (row, best) in rows.chunks_exact(self.dim).zip(&mut best) {
            best.1 = squared_distance((kernels().dot)(row, row), best.1);
        }
        best
    }

    /// Lists for each group the rows that have it among their `probes` nearest.
    fn plan_visits(&self, rows: &[f32], probes: usize, scratch: &mut Scratch) {
        let groups = self.groups();
        scratch.visits.resize(groups, Vec::new());
        scratch.visits.iter_mut().for_each(Vec::clear);
        if probes >= groups {
            let all = 0..(rows.len() / self.dim) as u32;
            scratch.visits.iter_mut().for_each(|visits| visits.extend(all.clone()));
            return;
        }
        let mut order: Vec<u32> = (0..groups as u32).collect();
        for (block, rows) in rows.chunks(BLOCK_ROWS * self.dim).enumerate() {
            score_block(rows, &self.centres, &self.centre_half_norms, self.dim, &mut scratch.scores);
            for (row, scores) in scratch.scores.chunks_exact(groups).enumerate() {
                order.select_nth_unstable_by(probes - 1, |&a, &b| {
                    scores[a as usize].total_cmp(&scores[b as usize]).then(a.cmp(&b))
                });
                for &group in &order[..probes] {
                    scratch.visits[group as usize].push((block * BLOCK_ROWS + row) as u32);
                }
            }
        }
    }

    /// Groups to probe for a call with these rows: measured on a sample where the call is large.
    fn probes_for(&self, rows: &[f32]) -> usize {
        let groups = self.groups();
        let count = rows.len() / self.dim;
        if groups == 1 {
            return 1;
        }
        if count < MEASURED_ROWS_MIN {
            return (groups as f64 * PROBED_SHARE).ceil() as usize;
        }
        let spacing = count / SAMPLE_ROWS;
        let picked: Vec<u32> = (0..SAMPLE_ROWS).map(|place| (place * spacing) as u32).collect();
        let sample = super::gather(rows, self.dim, &picked);
        let (nearest, _) = self.assign_exact(&sample);
        let mut group_of = vec![0u32; self.len()];
        for group in 0..groups {
            for &index in &self.indices[self.starts[group]..self.starts[group + 1]] {
                group_of[index as usize] = group as u32;
            }
        }
        let mut scores = Vec::new();
        score_block(&sample, &self.centres, &self.centre_half_norms, self.dim, &mut scores);
        let mut ranks: Vec<usize> = scores
            .chunks_exact(groups)
            .zip(&nearest)
            .map(|(scores, &index)| {
                let own = scores[group_of[index as usize] as usize];
                scores.iter().filter(|&&score| score <= own).count()
            })
            .collect();
        ranks.sort_unstable();
        ranks[((SAMPLE_ROWS as f64 * AGREEMENT).ceil() as usize).min(SAMPLE_ROWS) - 1].min(groups)
    }
}
