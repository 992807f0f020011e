//! Defines buckets for rows that have none: k-means on rotated rows.
//!
//! Layer 5. Used by the first flush of an untrained collection, by bulk loads and by splits.

use super::{BucketTable, CollectionState, Router};
use crate::quant::kmeans::{self, KmeansOptions};
use crate::types::BucketId;

impl CollectionState {
    /// Number of buckets for `rows` rows at the target size.
    pub fn bucket_count(&self, rows: usize) -> usize {
        rows.div_ceil(self.config.bucket_rows_target).max(1)
    }

    /// Trains `count` buckets on rotated `sample` rows; ids ascend from `first`. Spread is left at 0 until the rows have
    /// been assigned.
    pub fn train(&self, sample: &[f32], count: usize, first: BucketId) -> BucketTable {
        self.pool.install(|| self.train_here(sample, count, first))
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
        self.pool.install(|| Router::new(table, self.schema.dim, self.schema.metric))
    }

    /// The router after `old`, over a changed table.
    pub fn next_router(&self, old: &Router, table: BucketTable) -> Router {
        self.pool.install(|| old.next(table))
    }
}
