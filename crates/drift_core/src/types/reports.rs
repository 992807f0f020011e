//! What long jobs and questions about a collection answer: counts that people and programs read.
//!
//! Layer 0: plain data. Every report lists itself as named counts (`entries`), so that the binding and the command
//! line show a new count without a change.

use crate::error::{Error, ErrorKind, Result};
use std::ops::ControlFlow;
use std::time::Duration;

/// How far a verify or an optimize is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkProgress {
    /// Bytes read, or steps done, of the stage.
    pub done: u64,
    /// All of them.
    pub total: u64,
    /// Name of the stage, one word for people.
    pub stage: &'static str,
}

impl WorkProgress {
    /// Tells how far the work is; an error when it is to stop.
    pub fn tell(self, progress: OnWork<'_>) -> Result<()> {
        match progress(self) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::new(
                ErrorKind::Interrupted,
                "interrupted: no row has been changed; what is done of it stays",
            )),
        }
    }
}

/// Told of progress; may stop the call.
pub type OnWork<'a> = &'a mut dyn FnMut(WorkProgress) -> ControlFlow<()>;

/// Goes on to the end, and tells nobody.
pub fn unwatched(_: WorkProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// How long calls took, since the collection was opened; quantiles are at most an eighth too high.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Calls.
    pub calls: u64,
    /// Half of them took no longer.
    pub p50: Duration,
    /// 95 % of them took no longer.
    pub p95: Duration,
    /// 99 % of them took no longer.
    pub p99: Duration,
}

/// State of a collection at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Live rows.
    pub rows: u64,
    /// Rows in memtables, not yet in segments.
    pub memtable_rows: u64,
    /// Rows stored in segments, dead ones included.
    pub segment_rows: u64,
    /// Superseded rows that still take room in segments.
    pub dead_rows: u64,
    /// Memtables that wait for their flush.
    pub frozen_memtables: u64,
    /// Buckets that hold rows.
    pub buckets: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes on disk: segments, logs, manifests and side files.
    pub disk_bytes: u64,
    /// Bytes of the write-ahead log, part of `disk_bytes`.
    pub wal_bytes: u64,
    /// Bytes that the collection holds in memory.
    pub memory_bytes: u64,
    /// Bytes of the bitstore, part of `memory_bytes`.
    pub bitstore_bytes: u64,
    /// Queries answered since the collection was opened.
    pub queries: u64,
    /// How long calls of `search` took; none before the first.
    pub latency: Option<Latency>,
    /// Rows whose code they read.
    pub rows_scanned: u64,
    /// Buckets that they read.
    pub buckets_scanned: u64,
    /// Exact vectors that they read from storage.
    pub rows_reranked: u64,
    /// Rows whose SQ8 code was read because their filter code passed, since open.
    pub rows_refined: u64,
    /// Flushes since the collection was opened.
    pub flushes: u64,
    /// Bytes written into segments since the collection was opened.
    pub segment_bytes_written: u64,
    /// Number of the newest write.
    pub last_seq: u64,
    /// Number of the newest manifest.
    pub manifest: u64,
    /// Why background work fails at present; it is tried again.
    pub degraded: Option<String>,
    /// Why writes are refused, when a failed fsync or a damaged file has poisoned the handle.
    pub poisoned: Option<String>,
}

impl Stats {
    /// The counts by name, in the order in which they are shown.
    pub fn entries(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("rows", self.rows),
            ("memtable_rows", self.memtable_rows),
            ("segment_rows", self.segment_rows),
            ("dead_rows", self.dead_rows),
            ("frozen_memtables", self.frozen_memtables),
            ("buckets", self.buckets),
            ("segments", self.segments),
            ("disk_bytes", self.disk_bytes),
            ("wal_bytes", self.wal_bytes),
            ("memory_bytes", self.memory_bytes),
            ("bitstore_bytes", self.bitstore_bytes),
            ("queries", self.queries),
            ("rows_scanned", self.rows_scanned),
            ("buckets_scanned", self.buckets_scanned),
            ("rows_reranked", self.rows_reranked),
            ("rows_refined", self.rows_refined),
            ("flushes", self.flushes),
            ("segment_bytes_written", self.segment_bytes_written),
            ("last_seq", self.last_seq),
            ("manifest", self.manifest),
        ]
    }
}

/// What `optimize` did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OptimizeReport {
    /// Buckets that were split.
    pub buckets_split: u64,
    /// Buckets that were merged into others.
    pub buckets_merged: u64,
    /// Buckets that there were when all had been defined anew; 0 when they were not.
    pub buckets_retrained: u64,
    /// Buckets whose centre was moved to the mean of their rows.
    pub buckets_recentred: u64,
    /// Rows that went to another bucket.
    pub rows_moved: u64,
    /// Segments that were rewritten into new ones.
    pub segments_merged: u64,
    /// Live rows that were written anew.
    pub rows_written: u64,
    /// Dead rows that were dropped.
    pub rows_dropped: u64,
    /// Time taken, seconds.
    pub seconds: f64,
}

impl OptimizeReport {
    /// Whether anything was done.
    pub fn is_change(&self) -> bool {
        self.entries().iter().any(|(_, count)| *count > 0)
    }

    /// The counts by name, in the order in which they are shown; `seconds` apart.
    pub fn entries(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("buckets_split", self.buckets_split),
            ("buckets_merged", self.buckets_merged),
            ("buckets_retrained", self.buckets_retrained),
            ("buckets_recentred", self.buckets_recentred),
            ("rows_moved", self.rows_moved),
            ("segments_merged", self.segments_merged),
            ("rows_written", self.rows_written),
            ("rows_dropped", self.rows_dropped),
        ]
    }
}

/// What `verify` read and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Files read.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Live rows counted.
    pub rows: u64,
    /// One sentence for each problem, naming the file and the offset; empty when all is well.
    pub problems: Vec<String>,
    /// Problems that were there and that `repair` has mended.
    pub repaired: Vec<String>,
}
