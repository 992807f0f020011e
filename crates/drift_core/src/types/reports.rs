//! What long jobs and questions about a collection answer: counts that people and programs read.
//!
//! Layer 0: plain data. Every report lists itself as named counts (`entries`), so that the binding and the command
//! line show a new count without a change.

/// State of a collection at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Live rows.
    pub rows: u64,
    /// Rows in memtables, not yet in segments.
    pub memtable_rows: u64,
    /// Rows stored in segments, dead ones included.
    pub segment_rows: u64,
    /// Deletions that segments have not absorbed.
    pub tombstones: u64,
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
    /// Number of the newest write.
    pub last_seq: u64,
    /// Number of the newest manifest.
    pub manifest: u64,
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
            ("tombstones", self.tombstones),
            ("buckets", self.buckets),
            ("segments", self.segments),
            ("disk_bytes", self.disk_bytes),
            ("wal_bytes", self.wal_bytes),
            ("memory_bytes", self.memory_bytes),
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
    /// The counts by name, in the order in which they are shown; `seconds` apart.
    pub fn entries(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("buckets_split", self.buckets_split),
            ("buckets_merged", self.buckets_merged),
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
}
