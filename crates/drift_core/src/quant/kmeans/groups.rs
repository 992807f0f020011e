//! Many centroids in groups, coded, and the nearest of them to each of many rows.
//!
//! Layer 2, private to `quant::kmeans`. Centroids are grouped around about sqrt(n) group centres. A block of rows ranks the
//! groups, then visits group by group: the codes of the rows that probe a group are gathered and multiplied with those of its
//! centroids at once, so all work is products of bytes. Rows are coded as SQ8 and centroids as its queries, whose error is a
//! fraction of what the nearest centroids are apart: on 200,000 package summaries and 6,250 centroids, the mean squared
//! distance to the centroid found is within 0.2 % of the least.
//!
//! Agreement with exact assignment depends on how many groups are probed, and how many are needed depends on the data,
//! so a large call measures it: it assigns a sample through all groups, and probes as many as [`AGREEMENT`] of the sample
//! needs. Small calls probe [`PROBED_SHARE`] of the groups.

use super::nearest::{BLOCK_ROWS, Columns, half_norms, score_block};
use super::{KmeansOptions, gather, nearest_of_all, train_flat};
use crate::clock::rng;
use crate::kernels::kernels;
use crate::quant::sq8::{Clip, Factors, QueryCode, Terms, code_stride, encode};
use rayon::prelude::*;

/// Share of the sample whose nearest centroid must lie in a probed group.
const AGREEMENT: f64 = 0.995;

/// Rows of the sample that measures the probes.
const SAMPLE_ROWS: usize = 2_048;

/// Smallest call that measures its probes: from here on the sample costs less than the probes it saves.
const MEASURED_ROWS_MIN: usize = 16_384;

/// Share of the groups that a small call probes. On 200,000 package summaries and 6,250 centroids, 15 of 79 groups reach
/// an agreement of 0.996, so half leaves room for harder data.
const PROBED_SHARE: f64 = 0.5;

/// Rows that one task takes through all groups: each group then multiplies a few hundred rows at once.
const TASK_ROWS: usize = 4_096;

/// Rows multiplied with a group at once: their products stay in L2.
const VISITORS: usize = 256;

/// Coded centroids, group by group.
pub(super) struct Groups<'a> {
    dim: usize,
    /// As given.
    centroids: &'a [f32],
    /// The caller's index of each stored centroid.
    indices: Vec<u32>,
    codes: Vec<i8>,
    numbers: Vec<Numbers>,
    /// Where each group starts in the stored order, and the end of the last.
    starts: Vec<usize>,
    /// The centres of the groups.
    centres: Vec<f32>,
    centre_half_norms: Vec<f32>,
}

/// What a product with a centroid's code becomes a score by.
#[derive(Clone, Copy)]
struct Numbers {
    half_norm: f32,
    terms: Terms,
}

/// Buffers of one task.
#[derive(Default)]
struct Scratch {
    scores: Vec<f32>,
    /// Rows as SQ8: codes one behind the other, `mid` and `delta`.
    codes: Vec<u8>,
    factors: Vec<(f32, f32)>,
    /// The rows that probe each group, in ascending order.
    visits: Vec<Vec<u32>>,
    visitors: Visitors,
}

/// The rows that visit a group.
#[derive(Default)]
struct Visitors {
    codes: Vec<u8>,
    mids: Vec<f32>,
    deltas: Vec<f32>,
    products: Vec<i32>,
    /// Score and stored place of the best centroid.
    scores: Vec<f32>,
    places: Vec<u32>,
}

impl<'a> Groups<'a> {
    /// Groups centroids that lie one behind the other.
    pub(super) fn new(centroids: &'a [f32], dim: usize) -> Groups<'a> {
        let count = centroids.len() / dim;
        let groups = (count as f64).sqrt().round() as usize;
        let options = KmeansOptions::default();
        let (centres, _) = train_flat(centroids, dim, groups, options.iterations, &mut rng(options.seed));
        let membership = nearest_of_all(centroids, dim, &Columns::new(&centres, dim));
        let mut indices: Vec<u32> = (0..count as u32).collect();
        indices.sort_by_key(|&index| (membership[index as usize].0, index));
        let mut starts = vec![0; groups + 1];
        membership.iter().for_each(|&(group, _)| starts[group as usize + 1] += 1);
        for group in 0..groups {
            starts[group + 1] += starts[group];
        }
        let stride = code_stride(dim);
        let mut codes = vec![0i8; count * stride];
        let coded = codes.par_chunks_exact_mut(stride).zip(&indices).map_init(
            || QueryCode::new(dim),
            |code, (out, &index)| {
                code.set(&centroids[index as usize * dim..][..dim]);
                out.copy_from_slice(code.codes());
                Numbers { half_norm: 0.5 * code.norm2(), terms: code.terms() }
            },
        );
        let numbers = coded.collect();
        let centre_half_norms = half_norms(&centres, dim);
        Groups { dim, centroids, indices, codes, numbers, starts, centres, centre_half_norms }
    }

    /// The nearest centroid of each row and its squared distance.
    pub(super) fn assign(&self, rows: &[f32]) -> (Vec<u32>, Vec<f32>) {
        self.assign_probing(rows, self.probes_for(rows))
    }

    fn groups(&self) -> usize {
        self.starts.len() - 1
    }

    fn is_empty(&self, group: usize) -> bool {
        self.starts[group] == self.starts[group + 1]
    }

    fn assign_probing(&self, rows: &[f32], probes: usize) -> (Vec<u32>, Vec<f32>) {
        // The size of a task follows from the rows alone: a product's last bit may depend on the rows it shares a block with.
        let task = (rows.len() / self.dim / 16).clamp(BLOCK_ROWS, TASK_ROWS);
        rows.par_chunks(task * self.dim)
            .map_init(Scratch::default, |scratch, block| self.assign_block(block, probes, scratch))
            .flat_map_iter(|found| found)
            .unzip()
    }

    /// The nearest centroid of each row of a block among the `probes` nearest groups.
    fn assign_block(&self, rows: &[f32], probes: usize, scratch: &mut Scratch) -> Vec<(u32, f32)> {
        self.plan_visits(rows, probes, scratch);
        let stride = code_stride(self.dim);
        let count = rows.len() / self.dim;
        scratch.codes.resize(count * stride, 0);
        scratch.factors.clear();
        for (row, codes) in rows.chunks_exact(self.dim).zip(scratch.codes.chunks_exact_mut(stride)) {
            let Factors { mid, delta, .. } = encode(row, Clip::default(), codes);
            scratch.factors.push((mid, delta));
        }
        let mut best = vec![(f32::INFINITY, 0u32); count];
        for (group, visits) in scratch.visits.iter().enumerate().filter(|(group, _)| !self.is_empty(*group)) {
            for visits in visits.chunks(VISITORS) {
                let visitors = &mut scratch.visitors;
                visitors.gather(visits, &scratch.codes, &scratch.factors, stride);
                self.visit(group, visitors);
                for (&row, (&score, &place)) in visits.iter().zip(visitors.scores.iter().zip(&visitors.places)) {
                    let found = (score, self.indices[place as usize]);
                    let best = &mut best[row as usize];
                    if found < *best {
                        *best = found;
                    }
                }
            }
        }
        let distance = |(row, (_, index)): (&[f32], (f32, u32))| {
            (index, (kernels().l2)(row, &self.centroids[index as usize * self.dim..][..self.dim]))
        };
        rows.chunks_exact(self.dim).zip(best).map(distance).collect()
    }

    /// Finds the best centroid of a group for each visitor. As |x|^2 is the same for all, `|c|^2 / 2 - <x, c>` ranks them.
    fn visit(&self, group: usize, visitors: &mut Visitors) {
        let Visitors { codes, mids, deltas, products, scores, places } = visitors;
        let (places_of_group, stride) = (self.starts[group]..self.starts[group + 1], code_stride(self.dim));
        let rows = mids.len();
        products.resize(rows * places_of_group.len(), 0);
        let centroids = &self.codes[places_of_group.start * stride..places_of_group.end * stride];
        (kernels().sq8_products)(codes, centroids, stride, products);
        scores.clear();
        scores.resize(rows, f32::INFINITY);
        places.clear();
        places.resize(rows, places_of_group.start as u32);
        for (place, products) in places_of_group.zip(products.chunks_exact(rows)) {
            let Numbers { half_norm, terms } = self.numbers[place];
            let rows = products.iter().zip(mids.iter().zip(deltas.iter()));
            for ((&product, (&mid, &delta)), (best, at)) in rows.zip(scores.iter_mut().zip(places.iter_mut())) {
                let score = half_norm - terms.dot(product, mid, delta);
                let is_better = score < *best;
                *best = if is_better { score } else { *best };
                *at = if is_better { place as u32 } else { *at };
            }
        }
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
        if count < MEASURED_ROWS_MIN {
            return (groups as f64 * PROBED_SHARE).ceil() as usize;
        }
        let spacing = count / SAMPLE_ROWS;
        let picked: Vec<u32> = (0..SAMPLE_ROWS).map(|place| (place * spacing) as u32).collect();
        let sample = gather(rows, self.dim, &picked);
        let (nearest, _) = self.assign_probing(&sample, groups);
        let mut group_of = vec![0u32; self.indices.len()];
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

impl Visitors {
    fn gather(&mut self, rows: &[u32], codes: &[u8], factors: &[(f32, f32)], stride: usize) {
        self.codes.clear();
        rows.iter().for_each(|&row| self.codes.extend_from_slice(&codes[row as usize * stride..][..stride]));
        self.mids.clear();
        self.mids.extend(rows.iter().map(|&row| factors[row as usize].0));
        self.deltas.clear();
        self.deltas.extend(rows.iter().map(|&row| factors[row as usize].1));
    }
}
