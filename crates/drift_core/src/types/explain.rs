//! Why a search went as far as it did: what `explain` answers.
//!
//! Layer 0: plain data. Scores and centroid distances are in the engine's own units: squared L2 (under cosine between unit
//! vectors, hence twice the reported distance), negated inner product under dot.

use super::Hits;
use std::time::Duration;

/// What ended a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The next bucket's score exceeded the k-th distance by more than the rule's difference.
    Difference,
    /// The rule's budget of codes was spent.
    Budget,
    /// The confidence asked for was reached.
    Confidence,
    /// As many buckets as `nprobe` allows were scanned.
    BucketsMax,
    /// Everything was scanned.
    All,
}

impl Stop {
    /// The name used in the Python API.
    pub fn name(self) -> &'static str {
        match self {
            Stop::Difference => "difference",
            Stop::Budget => "budget",
            Stop::Confidence => "confidence",
            Stop::BucketsMax => "nprobe",
            Stop::All => "all",
        }
    }
}

/// A bucket that the search ranked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExplainedBucket {
    /// Its id.
    pub id: u32,
    /// What buckets are ranked by: distance plus half the bucket's spread.
    pub score: f32,
    /// Distance of the query to its centroid.
    pub distance: f32,
    /// Live rows that are in it.
    pub live: u32,
    /// Codes that a scan of it reads: with a filter those of rows that have their second entry here, too.
    pub codes: u64,
    /// Its likelihood by the density model; those of all buckets sum up to 1.
    pub likelihood: f64,
    /// Whether it was scanned.
    pub scanned: bool,
}

/// Work of one search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExplainedWork {
    /// Buckets scanned.
    pub buckets: u64,
    /// Codes scanned.
    pub codes: u64,
    /// Entries estimated to find a first threshold, of buckets that were not scanned then: beside `codes`.
    pub first_codes: u64,
    /// Rows whose 8-bit codes were read after their entry had passed.
    pub rows_refined: u64,
    /// Rows whose exact vectors were read.
    pub rows_exact: u64,
    /// Rows in memtables, all of which were looked at.
    pub rows_memory: u64,
}

/// Where the time of one search went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExplainedTimes {
    /// Rotating and coding the query.
    pub prepare: Duration,
    /// Ranking and scanning buckets, and refining what passed.
    pub scan: Duration,
    /// Reading and measuring exact vectors.
    pub exact: Duration,
    /// Memtables.
    pub memory: Duration,
}

/// One search, explained.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What it found: the same as a search with these options.
    pub hits: Hits,
    /// Recall aimed at; none when `nprobe` or a confidence took its place.
    pub recall: Option<f32>,
    /// Largest (score - k-th distance) that was still scanned; infinite when it did not limit.
    pub difference: f32,
    /// Codes after which the search stops; `u64::MAX` when they did not limit.
    pub budget: u64,
    /// What ended it.
    pub stop: Stop,
    /// Distance of the k-th row by estimate when it ended; infinite while there are fewer rows.
    pub threshold: f32,
    /// Sum of the likelihoods of the scanned buckets by the density model.
    pub confidence: f64,
    /// Share of the k-th neighbour's ball within the scanned buckets by geometry; none under dot and while there is no k-th.
    pub geometric: Option<f64>,
    /// Standard deviation of the distances between centroids, the unit of `lambda`.
    pub spread: f32,
    /// Buckets that were ranked, in that order; those of later chunks were never looked at.
    pub buckets: Vec<ExplainedBucket>,
    /// Buckets of the collection.
    pub buckets_total: u64,
    /// Results that come from memtables.
    pub hits_memory: u64,
    /// Work done.
    pub work: ExplainedWork,
    /// Time taken.
    pub times: ExplainedTimes,
}
