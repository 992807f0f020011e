//! Ranks buckets for a query.
//!
//! Layer 5. A bucket's score is the squared distance of the query to its centroid plus half the bucket's spread (its
//! mean squared residual): of two centroids at the same distance the tighter bucket is likelier to hold a neighbour
//! further out (PERFORMANCE.md, section 2, point 2). Centroids are SQ8 rows like any other, so ranking is one pass of
//! the same kernel over them. Under dot the score is the negated best inner product to be expected in the bucket.

use super::BucketTable;
use crate::kernels::kernels;
use crate::quant::kmeans::Assigner;
use crate::quant::sq8::{self, Clip, Factors, QueryCode};
use crate::types::Metric;
use std::sync::Arc;

/// Weight of a bucket's spread in its score under l2 and cosine.
pub const SPREAD_WEIGHT: f32 = 0.5;

/// Standard deviations of a residual's inner product with the query that a bucket's best row is expected to reach.
const DOT_DEVIATIONS: f32 = 2.0;

/// Centroids whose raw products are computed between two passes over their scores; 16 KiB of results stay in L1.
const RANK_BLOCK: usize = 4096;

/// The buckets of an index and how to rank them.
pub struct Router {
    table: BucketTable,
    metric: Metric,
    dim: usize,
    stride: usize,
    codes: Vec<u8>,
    factors: Vec<Factors>,
    /// None while there are no buckets.
    assigner: Option<Arc<Assigner>>,
}

/// Memory of [`Router::rank`], kept between queries.
#[derive(Default)]
pub struct RankScratch {
    products: Vec<i32>,
    /// Scores and table positions; the first `sorted` are in ascending order, the rest are all greater.
    pub ranked: Vec<(f32, u32)>,
    sorted: usize,
}

impl Router {
    /// A router over `table`.
    pub fn new(table: BucketTable, dim: usize, metric: Metric) -> Router {
        let stride = sq8::code_stride(dim);
        let mut codes = vec![128u8; table.len() * stride];
        let factors = table
            .centroids
            .chunks_exact(dim)
            .zip(codes.chunks_exact_mut(stride))
            .map(|(centroid, code)| sq8::encode(centroid, Clip::default(), code))
            .collect();
        let assigner = (!table.is_empty()).then(|| Arc::new(Assigner::new(&table.centroids, dim)));
        Router { table, metric, dim, stride, codes, factors, assigner }
    }

    /// The same centroids with another table's spread.
    pub fn with_table(&self, table: BucketTable) -> Router {
        Router {
            table,
            codes: self.codes.clone(),
            factors: self.factors.clone(),
            assigner: self.assigner.clone(),
            ..*self
        }
    }

    /// The buckets.
    pub fn table(&self) -> &BucketTable {
        &self.table
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
        self.table.len() * (2 * 4 * self.dim + self.stride + size_of::<Factors>() + 8)
    }

    /// Nearest bucket (table position) and squared distance to its centroid for each of the rotated `rows`.
    /// Panics when there are no buckets.
    pub fn assign(&self, rows: &[f32]) -> (Vec<u32>, Vec<f32>) {
        self.assigner.as_ref().expect("invariant: buckets are defined before rows are placed").assign(rows)
    }

    /// Scores all buckets for a rotated query; [`RankScratch::sort_next`] then yields them in order.
    pub fn rank(&self, query: &QueryCode, scratch: &mut RankScratch) {
        scratch.ranked.clear();
        scratch.sorted = 0;
        scratch.products.resize(RANK_BLOCK, 0);
        let query_norm = query.norm2().sqrt();
        for (block, codes) in self.codes.chunks(RANK_BLOCK * self.stride).enumerate() {
            let rows = codes.len() / self.stride;
            let products = &mut scratch.products[..rows];
            (kernels().sq8_dots)(codes, query.codes(), products);
            for (row, &product) in products.iter().enumerate() {
                let position = block * RANK_BLOCK + row;
                let score = self.score(query, query_norm, product, position);
                scratch.ranked.push((score, position as u32));
            }
        }
    }

    fn score(&self, query: &QueryCode, query_norm: f32, product: i32, position: usize) -> f32 {
        let factors = &self.factors[position];
        let spread = self.table.spread[position];
        match self.metric {
            Metric::L2 | Metric::Cosine => query.l2(product, factors) + SPREAD_WEIGHT * spread,
            Metric::Dot => {
                -query.dot(product, factors) - DOT_DEVIATIONS * query_norm * (spread / self.dim as f32).sqrt()
            }
        }
    }
}

impl RankScratch {
    /// Sorts the next `want` buckets into place and returns how many are sorted in all. A search seldom reads more
    /// than a few per cent of the buckets, so the rest is never sorted.
    pub fn sort_next(&mut self, want: usize) -> usize {
        let rest = &mut self.ranked[self.sorted..];
        let want = want.min(rest.len());
        if want < rest.len() {
            rest.select_nth_unstable_by(want, |a, b| a.0.total_cmp(&b.0));
        }
        rest[..want].sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        self.sorted += want;
        self.sorted
    }
}
