//! Ranks buckets for a query, and finds the buckets of a row.
//!
//! Layer 5. A bucket's score is the squared distance of the query to its centroid plus half the bucket's spread (its
//! mean squared residual): of two centroids at the same distance the tighter bucket is likelier to hold a neighbour
//! further out (PERFORMANCE.md, section 2, point 2). Under dot the score is the negated best inner product to be expected
//! in the bucket. Centroids are coded like rows (`centroids`): one pass over their 1-bit blocks estimates all scores, and
//! only the best few, chunk after chunk as the search asks for them, are scored by SQ8. Where there are groups of
//! centroids, the scores of the nearest groups are estimated first, and the rest only when those are used up.

use super::BucketTable;
use super::centroids::{CentroidCodes, NONE};
use crate::kernels::{BLOCK_ENTRIES, kernels, prefetch};
use crate::quant::bits::{self, BitQuery, Centre};
use crate::quant::sq8::QueryCode;
use crate::types::Metric;
use std::sync::Arc;

/// Weight of a bucket's spread in its score under l2 and cosine.
pub const SPREAD_WEIGHT: f32 = 0.5;

/// Standard deviations of a residual's inner product with the query that a bucket's best row is expected to reach.
const DOT_DEVIATIONS: f32 = 2.0;

/// Buckets in a chunk, about, until twice as many have been ranked: a later chunk is half of what is there already.
const CHUNK_MIN: usize = 56;

/// Buckets up to which a chunk is cut by block minima, as a share of the blocks: beyond it most blocks have a centroid
/// below the cut, and minima say too little about how many they have. A sample of the estimates then tells more.
const MINIMA_SHARE: f32 = 1.0;

/// One in so many estimates is in the sample; a prime, so that it meets all places of a block.
const SAMPLE_STEP: usize = 7;

/// Groups of centroids whose buckets are ranked before any other in a search, in square roots of the number of groups: a
/// fifth of 400 groups, a sixteenth of 4,000. At 31,250 centroids that reads an eighth more codes for the same recall than three
/// fifths of the groups do, and takes half the time.
const SEARCH_ROOTS: f32 = 4.0;

/// The same for the nearest few centroids alone, a row's homes. At 31,250 centroids half of it made searches read a third
/// more codes, and more saved nothing.
const HOME_ROOTS: f32 = 2.0;

/// How far the mean of the centroids may go from the origin, as a share of their mean squared distance from it.
const ORIGIN_DRIFT_MAX: f32 = 0.25;

/// Distance of centroids ahead at which their codes are asked for.
const PREFETCH_AHEAD: usize = 8;

/// A bucket as a query sees it.
#[derive(Clone, Copy, Debug)]
pub struct Ranked {
    /// What buckets are ordered by.
    pub score: f32,
    /// Place in the bucket table.
    pub position: u32,
    /// Distance to the centroid and its root.
    pub centre: Centre,
}

/// The buckets of an index and how to rank them.
pub struct Router {
    table: BucketTable,
    metric: Metric,
    dim: usize,
    /// What 1-bit codes, those of rows included, are relative to; shared by routers of the same centroids.
    origin: Arc<[f32]>,
    codes: Arc<CentroidCodes>,
    /// What to add to the distance, or under dot to half of it, in the order of the blocks.
    addends: Vec<f32>,
    /// What to add for each unit of the query's length, in the same order; under dot alone.
    deviations: Vec<f32>,
}

/// Memory of a ranking, kept between queries.
#[derive(Default)]
pub struct RankScratch {
    /// Estimated score of every entry of the groups under way.
    scores: Vec<f32>,
    /// Where the scores of each of these groups begin, and the first of its entries.
    spans: Vec<(u32, u32)>,
    /// Smallest score of each block; empty when there are several groups.
    minima: Vec<f32>,
    /// Some of the scores.
    sample: Vec<f32>,
    /// Score and place of the buckets of a chunk, to be sorted.
    order: Vec<u64>,
    /// Buckets of a chunk in the order in which they were found.
    chunk: Vec<Ranked>,
    /// Entries of the chunk under way.
    found: Vec<u32>,
    /// Distances of the groups' centres.
    groups: Vec<f32>,
    /// Groups whose distance is at least this wait.
    waiting_from: f32,
    /// Buckets that were ranked before the groups under way.
    ranked_before: usize,
    /// Estimates up to here have been ranked.
    reached: f32,
    /// Buckets in chunks; each chunk is in ascending order of score.
    pub ranked: Vec<Ranked>,
}

impl RankScratch {
    /// An estimate below which lie about as many buckets more as the next chunk has.
    fn cut(&mut self, buckets: usize) -> f32 {
        let done = self.ranked.len() - self.ranked_before;
        let wanted = done + CHUNK_MIN.max(self.ranked.len() / 2);
        let blocks = self.scores.len() / BLOCK_ENTRIES;
        if wanted + CHUNK_MIN >= buckets.min(self.scores.len()) {
            return f32::INFINITY;
        }
        let (wanted, blocks) = (wanted as f32, blocks as f32);
        if !self.minima.is_empty() && wanted < MINIMA_SHARE * blocks {
            // So many entries thrown into the blocks at random meet this share of them.
            let place = (blocks * (1.0 - (-wanted / blocks).exp())) as usize;
            return *self.minima.select_nth_unstable_by(place, f32::total_cmp).1;
        }
        self.sample.clear();
        self.sample.extend(self.scores.iter().step_by(SAMPLE_STEP));
        let place = (wanted / SAMPLE_STEP as f32) as usize;
        *self.sample.select_nth_unstable_by(place, f32::total_cmp).1
    }
}

/// What estimates are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The buckets' scores.
    Score,
    /// The distance to their centroids alone.
    Distance,
}

impl Router {
    /// A router over `table`.
    pub fn new(table: BucketTable, dim: usize, metric: Metric) -> Router {
        let origin: Arc<[f32]> = match metric {
            Metric::L2 | Metric::Cosine => table.mean(dim).into(),
            Metric::Dot => vec![0.0; dim].into(),
        };
        let codes = Arc::new(CentroidCodes::new(&table, dim, &origin));
        Router::assemble(table, dim, metric, origin, codes)
    }

    /// The router after this one, over a changed table. The origin stays, and with it the codes of rows, until the mean of
    /// the centroids has gone far from it.
    pub fn next(&self, table: BucketTable) -> Router {
        let stays = match self.metric {
            Metric::Dot => !self.is_empty(),
            Metric::L2 | Metric::Cosine => !self.is_empty() && !table.is_empty() && !self.is_far(&table),
        };
        if !stays {
            return Router::new(table, self.dim, self.metric);
        }
        let codes = Arc::new(CentroidCodes::new(&table, self.dim, &self.origin));
        Router::assemble(table, self.dim, self.metric, self.origin.clone(), codes)
    }

    fn is_far(&self, table: &BucketTable) -> bool {
        let mean = table.mean(self.dim);
        let l2 = kernels().l2;
        let spread: f32 = table.centroids.chunks_exact(self.dim).map(|centroid| l2(centroid, &mean)).sum();
        l2(&mean, &self.origin) > ORIGIN_DRIFT_MAX * spread / table.len() as f32
    }

    /// The same centroids with another table's spread.
    pub fn with_table(&self, table: BucketTable) -> Router {
        Router::assemble(table, self.dim, self.metric, self.origin.clone(), self.codes.clone())
    }

    fn assemble(
        table: BucketTable,
        dim: usize,
        metric: Metric,
        origin: Arc<[f32]>,
        codes: Arc<CentroidCodes>,
    ) -> Router {
        let mut addends = vec![0.0; codes.positions().len()];
        let mut deviations = vec![0.0; if metric == Metric::Dot { addends.len() } else { 0 }];
        for (entry, &position) in codes.positions().iter().enumerate().filter(|(_, position)| **position != NONE) {
            let spread = table.spread[position as usize];
            match metric {
                Metric::L2 | Metric::Cosine => addends[entry] = SPREAD_WEIGHT * spread,
                Metric::Dot => {
                    addends[entry] = -0.5 * codes.factors(position as usize).norm2;
                    deviations[entry] = dot_deviation(spread, dim);
                }
            }
        }
        Router { table, metric, dim, origin, codes, addends, deviations }
    }

    /// The buckets.
    pub fn table(&self) -> &BucketTable {
        &self.table
    }

    /// What 1-bit codes of this collection's rows are relative to.
    pub fn origin(&self) -> &[f32] {
        &self.origin
    }

    /// Whether codes of rows serve both routers.
    pub fn same_origin(&self, other: &Router) -> bool {
        Arc::ptr_eq(&self.origin, &other.origin)
    }

    /// Number of buckets; 0 before the first flush.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are no buckets yet.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes of heap memory in use.
    pub fn heap_bytes(&self) -> usize {
        self.table.len() * (4 * self.dim + 8)
            + 4 * (self.addends.len() + self.deviations.len())
            + self.codes.heap_bytes()
    }

    /// Estimates the scores of the buckets; [`Router::rank_more`] then ranks them, best first.
    pub fn begin(&self, order: Order, query: &QueryCode, bits: &BitQuery, scratch: &mut RankScratch) {
        scratch.ranked.clear();
        scratch.waiting_from = f32::INFINITY;
        let groups = self.codes.groups();
        if groups > 1 {
            self.codes.estimate_groups(bits, &mut scratch.groups);
            scratch.sample.clone_from(&scratch.groups);
            let roots = if order == Order::Score { SEARCH_ROOTS } else { HOME_ROOTS };
            let place = (roots * (groups as f32).sqrt()) as usize;
            scratch.waiting_from = *scratch.sample.select_nth_unstable_by(place, f32::total_cmp).1;
        }
        self.estimate(order, query, bits, scratch, |distance, limit| distance < limit);
    }

    /// Estimates the scores of the entries of the groups that pass.
    fn estimate(
        &self,
        order: Order,
        query: &QueryCode,
        bits: &BitQuery,
        scratch: &mut RankScratch,
        pass: impl Fn(f32, f32) -> bool,
    ) {
        scratch.ranked_before = scratch.ranked.len();
        scratch.reached = f32::NEG_INFINITY;
        scratch.spans.clear();
        scratch.minima.clear();
        let groups = self.codes.groups();
        if groups == 1 {
            scratch.spans.push((0, 0));
            scratch.scores.resize(self.addends.len(), 0.0);
            scratch.minima.resize(self.addends.len() / BLOCK_ENTRIES, 0.0);
            self.estimate_group(order, query, bits, 0, &mut scratch.scores, &mut scratch.minima);
            return;
        }
        scratch.scores.clear();
        for group in (0..groups).filter(|&group| pass(scratch.groups[group], scratch.waiting_from)) {
            let (start, entries) = (scratch.scores.len(), self.codes.entries(group));
            scratch.spans.push((start as u32, entries.start as u32));
            scratch.scores.resize(start + entries.len(), 0.0);
            scratch.minima.resize(entries.len() / BLOCK_ENTRIES, 0.0);
            self.estimate_group(order, query, bits, group, &mut scratch.scores[start..], &mut scratch.minima);
        }
        // Blocks of several groups are no random samples of all centroids.
        scratch.minima.clear();
    }

    /// Estimates the scores of the entries of one group, and the least of each block.
    fn estimate_group(
        &self,
        order: Order,
        query: &QueryCode,
        bits: &BitQuery,
        group: usize,
        scores: &mut [f32],
        minima: &mut [f32],
    ) {
        if self.dim < bits::DIM_MIN {
            self.estimate_by_sq8(query, bits, group, scores);
        } else {
            self.codes.estimate(group, bits, scores);
        }
        let entries = self.codes.entries(group);
        let norm2 = (kernels().dot)(bits.shifted(), bits.shifted());
        let (weight, offset, addends) = match (order, self.metric) {
            (Order::Distance, _) => (1.0, 0.0, &[][..]),
            (Order::Score, Metric::L2 | Metric::Cosine) => (1.0, norm2, &self.addends[entries]),
            (Order::Score, Metric::Dot) => {
                let query_norm = query.norm2().sqrt();
                let deviations = &self.deviations[entries.clone()];
                scores.iter_mut().zip(deviations).for_each(|(score, deviation)| *score += 2.0 * query_norm * deviation);
                (0.5, 0.5 * (norm2 - query.norm2()), &self.addends[entries])
            }
        };
        (kernels().block_scores)(scores, weight, offset, addends, minima);
    }

    /// What 1-bit codes would estimate, by SQ8: of few dimensions one bit each says too little, and eight are quickly read.
    fn estimate_by_sq8(&self, query: &QueryCode, bits: &BitQuery, group: usize, scores: &mut [f32]) {
        let norm2 = (kernels().dot)(bits.shifted(), bits.shifted());
        for (score, &position) in scores.iter_mut().zip(&self.codes.positions()[self.codes.entries(group)]) {
            *score = f32::INFINITY;
            if position != NONE {
                let product = (kernels().sq8_dot)(self.codes.code(position as usize), query.codes());
                *score = query.l2(product, self.codes.factors(position as usize)) - norm2;
            }
        }
    }

    /// Ranks the next chunk of buckets behind those in `scratch.ranked`; false when all are there. The chunks, and so the
    /// order of buckets, do not depend on how far a search goes.
    pub fn rank_more(&self, order: Order, query: &QueryCode, bits: &BitQuery, scratch: &mut RankScratch) -> bool {
        if scratch.ranked.len() >= self.len() {
            return false;
        }
        let mut found = self.find_chunk(scratch);
        if found == 0 && scratch.waiting_from < f32::INFINITY {
            self.estimate(order, query, bits, scratch, |distance, limit| distance >= limit);
            scratch.waiting_from = f32::INFINITY;
            found = self.find_chunk(scratch);
        }
        if found == 0 {
            self.rank_rest(scratch);
            return true;
        }
        scratch.order.clear();
        scratch.chunk.clear();
        let query_norm = query.norm2().sqrt();
        let RankScratch { spans, found: entries, order, chunk, ranked, .. } = scratch;
        let (entries, positions) = (&mut entries[..found], self.codes.positions());
        name_entries(spans, entries);
        for (at, &entry) in entries.iter().enumerate() {
            if let Some(&ahead) = entries.get(at + PREFETCH_AHEAD) {
                let ahead = positions[ahead as usize] as usize;
                prefetch(self.codes.code(ahead));
                prefetch(bytemuck::bytes_of(self.codes.factors(ahead)));
                prefetch(bytemuck::bytes_of(&self.table.spread[ahead]));
            }
            let position = positions[entry as usize] as usize;
            let product = (kernels().sq8_dot)(self.codes.code(position), query.codes());
            let ranked = self.rank(query, query_norm, product, position);
            order.push(u64::from(ascending(ranked.score)) << 32 | at as u64);
            chunk.push(ranked);
        }
        order.sort_unstable();
        ranked.extend(order.iter().map(|&order| chunk[order as u32 as usize]));
        true
    }

    /// Puts the entries of the next chunk, those whose estimate lies between two cuts, into `found`, and counts them.
    fn find_chunk(&self, scratch: &mut RankScratch) -> usize {
        scratch.found.resize(scratch.scores.len(), 0);
        let cut = scratch.cut(self.len());
        let RankScratch { scores, found, reached, .. } = scratch;
        let found = &mut found[..scores.len()];
        let mut end = cut;
        let mut count = (kernels().between)(scores, *reached, end, found);
        if count == 0 {
            // Equal estimates up to the cut: take all that is left rather than nothing.
            end = f32::INFINITY;
            count = (kernels().between)(scores, *reached, end, found);
        }
        *reached = end;
        count
    }

    /// Appends the buckets whose scores are beyond the range of f32: they come last, but they come.
    fn rank_rest(&self, scratch: &mut RankScratch) {
        let mut is_ranked = vec![false; self.len()];
        scratch.ranked.iter().for_each(|ranked| is_ranked[ranked.position as usize] = true);
        let centre = Centre { distance: f32::MAX, reach: f32::MAX };
        let rest = (0..self.len() as u32).filter(|&position| !is_ranked[position as usize]);
        scratch.ranked.extend(rest.map(|position| Ranked { score: f32::MAX, position, centre }));
    }

    fn rank(&self, query: &QueryCode, query_norm: f32, product: i32, position: usize) -> Ranked {
        let factors = self.codes.factors(position);
        let spread = self.table.spread[position];
        let distance2 = query.l2(product, factors).max(0.0);
        let reach = distance2.sqrt();
        let (score, distance) = match self.metric {
            Metric::L2 | Metric::Cosine => (distance2 + SPREAD_WEIGHT * spread, distance2),
            Metric::Dot => {
                let distance = -query.dot(product, factors);
                (distance + query_norm * dot_deviation(spread, self.dim), distance)
            }
        };
        Ranked { score, position: position as u32, centre: Centre { distance, reach } }
    }
}

/// Turns places among the scores, which ascend, into entries.
fn name_entries(spans: &[(u32, u32)], places: &mut [u32]) {
    let mut span = 0;
    for place in places {
        while spans.get(span + 1).is_some_and(|(start, _)| start <= place) {
            span += 1;
        }
        *place = *place - spans[span].0 + spans[span].1;
    }
}

/// How much nearer than its centroid a bucket's best row is expected under dot, for a query of length 1.
fn dot_deviation(spread: f32, dim: usize) -> f32 {
    -DOT_DEVIATIONS * (spread / dim as f32).sqrt()
}

/// The bits of a number, so that they ascend as the numbers do.
fn ascending(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

#[cfg(test)]
mod tests;
