//! Defines buckets for rows that have none: k-means on rotated rows.
//!
//! Layer 5. Used by the first flush of an untrained collection, by bulk loads and by splits.

use super::{BucketTable, CollectionState, Router};
use crate::quant::kmeans::{self, KmeansOptions};
use crate::sync::install_here;
use crate::types::{BucketId, Precision};

/// Rows of a collection from which its buckets are larger than the configuration says.
const LARGER_BUCKETS_FROM: f64 = 50_000.0;

/// How many times larger they become at most: what has been measured.
const LARGER_BUCKETS_MAX: f64 = 4.0;

impl CollectionState {
    /// Rows that a bucket aims at when the collection has `rows`.
    ///
    /// A query estimates all centroids, `rows / bucket` of them, and reads entries whose number grows with the bucket: the
    /// sum is least where buckets grow with the square root of the rows (decision 14). SQ8 codes cost as much as centroids
    /// do, or more: where they are all that is scanned, buckets stay small.
    pub fn bucket_rows(&self, rows: u64) -> usize {
        let target = self.config.bucket_rows_target;
        if self.schema.precision == Precision::Sq8 {
            return target;
        }
        let factor = (rows as f64 / LARGER_BUCKETS_FROM).sqrt().clamp(1.0, LARGER_BUCKETS_MAX);
        (target as f64 * factor).round() as usize
    }

    /// Number of buckets for `rows` rows of a collection that has `all` with them.
    pub fn bucket_count(&self, rows: usize, all: u64) -> usize {
        rows.div_ceil(self.bucket_rows(all)).max(1)
    }

    /// Trains `count` buckets on rotated `sample` rows; ids ascend from `first`. Spread is left at 0 until the rows have
    /// been assigned.
    pub fn train(&self, sample: &[f32], count: usize, first: BucketId) -> BucketTable {
        install_here(&self.pool, || self.train_here(sample, count, first))
    }

    /// [`CollectionState::train`] on the caller's pool.
    pub fn train_here(&self, sample: &[f32], count: usize, first: BucketId) -> BucketTable {
        let dim = self.schema.dim;
        let options = KmeansOptions { seed: self.components.seed ^ u64::from(first.0), ..KmeansOptions::default() };
        let centroids = kmeans::train(sample, dim, count, options);
        let ids = (0..(centroids.len() / dim) as u32).map(|n| BucketId(first.0 + n)).collect::<Vec<_>>();
        let spread = vec![0.0; ids.len()];
        BucketTable { ids, centroids, spread }
    }

    /// A router over `table` for this collection.
    pub fn router(&self, table: BucketTable) -> Router {
        install_here(&self.pool, || Router::new(table, self.schema.dim, self.schema.metric))
    }

    /// The router after `old`, over a changed table.
    pub fn next_router(&self, old: &Router, table: BucketTable) -> Router {
        install_here(&self.pool, || old.next(table))
    }
}
