//! Ranks buckets for a query, and finds the buckets of a row.
//!
//! Layer 5. A bucket's score is the squared distance of the query to its centroid plus half the bucket's spread (its
//! mean squared residual): of two centroids at the same distance the tighter bucket is likelier to hold a neighbour
//! further out (PERFORMANCE.md, section 2, point 2). Under dot the score is the negated best inner product to be expected
//! in the bucket. Centroids are coded like rows: one pass over their 1-bit blocks estimates all scores, and only the best
//! few, chunk after chunk as the search asks for them, are scored by SQ8.

use super::BucketTable;
use crate::kernels::{BLOCK_ENTRIES, kernels, prefetch};
use crate::quant::bits::{self, BitCode, BitQuery, Blocks, Centre};
use crate::quant::sq8::{self, Clip, Factors, QueryCode};
use crate::types::{Lines, Metric};
use std::sync::Arc;

/// Weight of a bucket's spread in its score under l2 and cosine.
pub const SPREAD_WEIGHT: f32 = 0.5;

/// Standard deviations of a residual's inner product with the query that a bucket's best row is expected to reach.
const DOT_DEVIATIONS: f32 = 2.0;

/// Buckets in the first chunk, about; each next chunk doubles what has been ranked.
const FIRST_CHUNK: f32 = 96.0;

/// Share of the blocks of centroids of which at least one may be in a chunk that is cut by block minima: beyond it the
/// minima say too little about how many centroids lie below them, and everything left is one chunk.
const CUT_SHARE: f32 = 0.85;

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

/// The centroids of a table, coded. Centroid `p` is entry `p / blocks` of block `p % blocks`, so that neighbours in the table,
/// which are often neighbours in space, are spread over the blocks.
struct CentroidCodes {
    blocks: Lines,
    count: usize,
    stride: usize,
    codes: Lines,
    factors: Vec<Factors>,
}

impl CentroidCodes {
    fn new(table: &BucketTable, dim: usize, origin: &[f32]) -> CentroidCodes {
        let count = table.len().div_ceil(BLOCK_ENTRIES);
        let stride = sq8::code_stride(dim);
        let mut lines = Lines::zeroed(count * 2 * bits::half_bytes(dim));
        let mut blocks = Blocks::clear(lines.as_mut_slice(), dim);
        let mut codes = Lines::zeroed(table.len() * stride);
        let mut factors = Vec::with_capacity(table.len());
        let mut code = BitCode::default();
        for (position, centroid) in table.centroids.chunks_exact(dim).enumerate() {
            let bytes = &mut codes.as_mut_slice()[position * stride..][..stride];
            factors.push(sq8::encode(centroid, Clip::default(), bytes));
            code.set(Metric::L2, centroid, origin, origin);
            code.write(&mut blocks, entry_of(position, count));
        }
        CentroidCodes { blocks: lines, count, stride, codes, factors }
    }

    fn code(&self, position: usize) -> &[u8] {
        &self.codes.as_slice()[position * self.stride..][..self.stride]
    }
}

/// Memory of a ranking, kept between queries.
#[derive(Default)]
pub struct RankScratch {
    /// Estimated score of every entry of the blocks.
    scores: Vec<f32>,
    /// Smallest score of each block.
    minima: Vec<f32>,
    /// Entries of the chunk under way.
    found: Vec<u32>,
    /// Buckets in chunks; each chunk is in ascending order of score.
    pub ranked: Vec<Ranked>,
    /// Estimates up to here have been ranked.
    reached: f32,
}

impl RankScratch {
    fn set_minima(&mut self) {
        self.minima.clear();
        let (blocks, _) = self.scores.as_chunks::<BLOCK_ENTRIES>();
        self.minima.extend(blocks.iter().map(|scores| {
            let (quarters, _) = scores.as_chunks::<4>();
            let mut least = quarters[0];
            for quarter in &quarters[1..] {
                for (least, &score) in least.iter_mut().zip(quarter) {
                    *least = if score < *least { score } else { *least };
                }
            }
            least[0].min(least[1]).min(least[2].min(least[3]))
        }));
    }
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
        let mut addends = vec![0.0; codes.count * BLOCK_ENTRIES];
        let mut deviations = vec![0.0; if metric == Metric::Dot { addends.len() } else { 0 }];
        for (position, &spread) in table.spread.iter().enumerate() {
            let entry = entry_of(position, codes.count);
            match metric {
                Metric::L2 | Metric::Cosine => addends[entry] = SPREAD_WEIGHT * spread,
                Metric::Dot => {
                    addends[entry] = -0.5 * codes.factors[position].norm2;
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

    /// Whether both routers have the same buckets at the same positions with the same centroids.
    pub fn same_buckets(&self, other: &Router) -> bool {
        Arc::ptr_eq(&self.codes, &other.codes)
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
        let per_bucket = 4 * self.dim + 8 + size_of::<Factors>() + 4;
        self.table.len() * per_bucket + self.codes.blocks.heap_bytes() + self.codes.codes.heap_bytes()
    }

    /// Estimates the scores of all buckets; [`Router::next`] then ranks them, best first.
    pub fn begin(&self, query: &QueryCode, bits: &BitQuery, scratch: &mut RankScratch) {
        self.estimate(bits, scratch);
        let norm2 = (kernels().dot)(bits.shifted(), bits.shifted());
        let (weight, offset) = match self.metric {
            Metric::L2 | Metric::Cosine => (1.0, norm2),
            Metric::Dot => (0.5, 0.5 * (norm2 - query.norm2())),
        };
        let query_norm = query.norm2().sqrt();
        for (score, deviation) in scratch.scores.iter_mut().zip(&self.deviations) {
            *score += 2.0 * query_norm * deviation;
        }
        for (score, addend) in scratch.scores.iter_mut().zip(&self.addends) {
            *score = *score * weight + (offset + addend);
        }
        scratch.set_minima();
    }

    /// Like [`Router::begin`], but orders the chunks by distance to the centroid alone.
    pub fn begin_by_distance(&self, bits: &BitQuery, scratch: &mut RankScratch) {
        self.estimate(bits, scratch);
        scratch.set_minima();
    }

    fn estimate(&self, bits: &BitQuery, scratch: &mut RankScratch) {
        scratch.ranked.clear();
        scratch.reached = f32::NEG_INFINITY;
        scratch.scores.resize(self.addends.len(), 0.0);
        bits.estimates(self.codes.blocks.as_slice(), &mut scratch.scores);
    }

    /// Ranks the next chunk of buckets behind those in `scratch.ranked`; false when all are there. The chunks, and so the
    /// order of buckets, do not depend on how far a search goes.
    pub fn next(&self, query: &QueryCode, scratch: &mut RankScratch) -> bool {
        let first = scratch.ranked.len();
        if first >= self.len() {
            return false;
        }
        let found = self.find_chunk(scratch);
        let query_norm = query.norm2().sqrt();
        let found = &scratch.found[..found];
        for (at, &entry) in found.iter().enumerate() {
            if let Some(&ahead) = found.get(at + PREFETCH_AHEAD) {
                prefetch(self.codes.code(position_of(ahead as usize, self.codes.count)));
            }
            let position = position_of(entry as usize, self.codes.count);
            let product = (kernels().sq8_dot)(self.codes.code(position), query.codes());
            scratch.ranked.push(self.rank(query, query_norm, product, position));
        }
        scratch.ranked[first..].sort_unstable_by(|a, b| a.score.total_cmp(&b.score).then(a.position.cmp(&b.position)));
        true
    }

    /// Puts the entries of the next chunk, those whose estimate lies between two cuts, into `found`, and counts them.
    fn find_chunk(&self, scratch: &mut RankScratch) -> usize {
        let RankScratch { scores, minima, found, ranked, reached } = scratch;
        found.resize(scores.len(), 0);
        let blocks = self.codes.count as f32;
        // n entries thrown into the blocks at random meet this share of them.
        let wanted = (ranked.len() as f32 * 2.0).max(FIRST_CHUNK);
        let met = 1.0 - (-wanted / blocks).exp();
        if met < CUT_SHARE {
            let place = ((met * blocks) as usize).min(minima.len() - 1);
            let cut = *minima.select_nth_unstable_by(place, f32::total_cmp).1;
            let count = (kernels().between)(scores, *reached, cut, found);
            if count > 0 {
                *reached = cut;
                return count;
            }
        }
        let count = (kernels().between)(scores, *reached, f32::INFINITY, found);
        *reached = f32::INFINITY;
        count
    }

    fn rank(&self, query: &QueryCode, query_norm: f32, product: i32, position: usize) -> Ranked {
        let factors = &self.codes.factors[position];
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

/// How much nearer than its centroid a bucket's best row is expected under dot, for a query of length 1.
fn dot_deviation(spread: f32, dim: usize) -> f32 {
    -DOT_DEVIATIONS * (spread / dim as f32).sqrt()
}

fn entry_of(position: usize, blocks: usize) -> usize {
    position % blocks * BLOCK_ENTRIES + position / blocks
}

fn position_of(entry: usize, blocks: usize) -> usize {
    entry % BLOCK_ENTRIES * blocks + entry / BLOCK_ENTRIES
}
