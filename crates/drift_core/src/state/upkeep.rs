//! What maintenance remembers of buckets between jobs: how they were when last looked at.
//!
//! Layer 5. Memory only, under the maintenance lock: after a restart every bucket counts as just looked at.

use super::{ScanCost, Temperature};
use crate::types::{BucketId, Seq};
use std::collections::HashMap;

/// A bucket as it was when it was last examined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// Its live rows.
    pub live: u32,
    /// Newest write then.
    pub seq: Seq,
    /// Its live rows when a split of it was last tried, or it was made by one; 0 for never.
    pub tried: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Upkeep {
    /// By bucket id.
    pub examined: HashMap<u32, Examined>,
    /// Rows in the move files of the manifest.
    pub moved_rows: u64,
    /// Buckets in the bucket files of the manifest.
    pub defined_buckets: u64,
    /// Restructuring that no written row accounts for, in turnovers of the buckets.
    pub unrest: f64,
    /// Newest write when that was last counted.
    pub counted_seq: Seq,
    /// How much is asked of each bucket.
    pub temperature: Temperature,
    /// What scans cost.
    pub cost: ScanCost,
}

impl Upkeep {
    /// Forgets a bucket that is gone.
    pub fn forget(&mut self, bucket: BucketId) {
        self.examined.remove(&bucket.0);
        self.temperature.forget(bucket);
    }
}
