//! What maintenance remembers between jobs: how buckets were when last looked at, and which jobs have run.
//!
//! Layer 5. Memory only, under the maintenance lock: after a restart every bucket counts as just looked at.

use super::{ScanCost, Temperature};
use crate::types::{BucketId, Seq};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Job records kept.
const HISTORY_MAX: usize = 256;

/// Kinds of maintenance work that a record tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Buckets were split, merged, recentred or cleared of dead entries.
    Restructure,
    /// All buckets were defined anew.
    Retrain,
    /// Segments were merged into one, or removed.
    Compact,
    /// Rows that had expired were deleted.
    Expire,
}

impl Job {
    /// The name that people read.
    pub fn name(self) -> &'static str {
        match self {
            Job::Restructure => "restructure",
            Job::Retrain => "retrain",
            Job::Compact => "compact",
            Job::Expire => "expire",
        }
    }
}

/// One finished job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRecord {
    /// What it was.
    pub job: Job,
    /// Why it was due.
    pub reason: String,
    /// What it did.
    pub effect: String,
    /// Wall-clock time when it ended, since 1970.
    pub ended: Duration,
    /// Time taken.
    pub took: Duration,
    /// Bytes written.
    pub bytes: u64,
}

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
    /// Oldest first.
    pub history: VecDeque<JobRecord>,
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
    /// Adds a record, forgetting the oldest beyond the limit.
    pub fn note(&mut self, record: JobRecord) {
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(record);
    }

    /// Forgets a bucket that is gone.
    pub fn forget(&mut self, bucket: BucketId) {
        self.examined.remove(&bucket.0);
        self.temperature.forget(bucket);
    }
}
