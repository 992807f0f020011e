//! Which jobs have run.
//!
//! Layer 5. Memory only. It has its own lock, held for a moment, so whoever asks does not wait for a job or a load.

use parking_lot::Mutex;
use std::collections::VecDeque;
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

/// The newest finished jobs.
#[derive(Default)]
pub struct JobHistory(Mutex<VecDeque<JobRecord>>);

impl JobHistory {
    /// Adds a record, forgetting the oldest beyond the limit.
    pub fn add(&self, record: JobRecord) {
        let mut records = self.0.lock();
        if records.len() == HISTORY_MAX {
            records.pop_front();
        }
        records.push_back(record);
    }

    /// The kind of the newest.
    pub fn last(&self) -> Option<Job> {
        self.0.lock().back().map(|record| record.job)
    }

    /// All, oldest first.
    pub fn records(&self) -> Vec<JobRecord> {
        self.0.lock().iter().cloned().collect()
    }
}
