//! Which jobs have run, and what is due.
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

/// What is due, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Buckets to be split.
    pub split: u64,
    /// Buckets to be merged into others.
    pub merge: u64,
    /// Buckets to be cleared of dead entries.
    pub clear: u64,
    /// Buckets whose centre is to be looked at.
    pub examine: u64,
    /// Segments to be written anew or removed.
    pub segments: u64,
    /// Memtables to be flushed.
    pub memtables: u64,
}

/// The newest finished jobs, and what was due when it was last counted.
#[derive(Default)]
pub struct JobHistory {
    records: Mutex<VecDeque<JobRecord>>,
    backlog: Mutex<Backlog>,
}

impl JobHistory {
    /// Adds a record, forgetting the oldest beyond the limit.
    pub fn add(&self, record: JobRecord) {
        let mut records = self.records.lock();
        if records.len() == HISTORY_MAX {
            records.pop_front();
        }
        records.push_back(record);
    }

    /// The kind of the newest.
    pub fn last(&self) -> Option<Job> {
        self.records.lock().back().map(|record| record.job)
    }

    /// What was due when it was last counted.
    pub fn backlog(&self) -> Backlog {
        *self.backlog.lock()
    }

    /// Notes what is due.
    pub fn note_backlog(&self, backlog: Backlog) {
        *self.backlog.lock() = backlog;
    }

    /// All, oldest first.
    pub fn records(&self) -> Vec<JobRecord> {
        self.records.lock().iter().cloned().collect()
    }
}
