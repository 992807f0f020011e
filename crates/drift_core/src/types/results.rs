//! What calls take and give: search options, hits, rows, reports.
//!
//! Layer 0. Plain values, shared by the engine and its bindings.

use super::{IdRef, IdType, Ids, VectorBuf};
use crate::error::Result;
use std::ops::ControlFlow;

/// Asked at least every few milliseconds of long work: true stops it with `Interrupted`.
pub type Interrupt<'a> = &'a (dyn Fn() -> bool + Sync);

/// How to search.
#[derive(Clone, Debug)]
pub struct SearchOptions {
    /// Neighbours per query, at most `K_MAX`.
    pub k: usize,
    /// Recall to aim at, in (0, 1]; the database's default where there is none.
    pub recall: Option<f32>,
    /// Measure every row exactly.
    pub exact: bool,
    /// Expert: scan just so many buckets, whatever the recall.
    pub nprobe: Option<usize>,
    /// Threads for a batch; all of the database's where there is none.
    pub threads: Option<usize>,
}

impl SearchOptions {
    /// The `k` nearest at the default recall.
    pub fn nearest(k: usize) -> SearchOptions {
        SearchOptions { k, recall: None, exact: false, nprobe: None, threads: None }
    }
}

/// Ids of hits, `k` per query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HitIds {
    /// int64, padded with -1.
    Int(Vec<i64>),
    /// Strings, padded with none.
    Str(Vec<Option<Box<str>>>),
}

/// Results of a search: `queries * k` ids and distances, ascending by distance within a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Hits {
    /// Hits per query.
    pub k: usize,
    /// Ids.
    pub ids: HitIds,
    /// Distances, padded with infinity.
    pub distances: Vec<f32>,
}

impl Hits {
    /// No hits yet, with room for `queries`.
    pub fn with_capacity(id_type: IdType, k: usize, queries: usize) -> Hits {
        let ids = match id_type {
            IdType::Int => HitIds::Int(Vec::with_capacity(k * queries)),
            IdType::Str => HitIds::Str(Vec::with_capacity(k * queries)),
        };
        Hits { k, ids, distances: Vec::with_capacity(k * queries) }
    }

    /// Appends the hits of one query, at most `k`, and pads them.
    pub fn push<'a>(&mut self, hits: impl Iterator<Item = (IdRef<'a>, f32)>) {
        let end = self.distances.len() + self.k;
        for (id, distance) in hits {
            match (&mut self.ids, id) {
                (HitIds::Int(ids), IdRef::Int(id)) => ids.push(id),
                (HitIds::Str(ids), IdRef::Str(id)) => ids.push(Some(id.into())),
                _ => unreachable!("a collection has one id type"),
            }
            self.distances.push(distance);
        }
        self.distances.resize(end, f32::INFINITY);
        match &mut self.ids {
            HitIds::Int(ids) => ids.resize(end, -1),
            HitIds::Str(ids) => ids.resize(end, None),
        }
    }

    /// Appends the hits of further queries.
    pub fn append(&mut self, mut more: Hits) {
        self.distances.append(&mut more.distances);
        match (&mut self.ids, &mut more.ids) {
            (HitIds::Int(ids), HitIds::Int(more)) => ids.append(more),
            (HitIds::Str(ids), HitIds::Str(more)) => ids.append(more),
            _ => unreachable!("a collection has one id type"),
        }
    }
}

/// What `get` does about unknown ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Fail with `NotFound`.
    Error,
    /// Leave them out.
    Skip,
}

/// Rows that were read.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// Their ids.
    pub ids: Ids,
    /// Their vectors as given, as f32, `n * dim`.
    pub vectors: Vec<f32>,
}

/// Rows on their way into a bulk load.
pub struct RowBatch {
    /// Ids.
    pub ids: Ids,
    /// Vectors, one per id.
    pub vectors: VectorBuf,
}

/// Where a bulk load takes its rows from.
pub trait RowSource {
    /// Number of rows, if known.
    fn rows_total(&self) -> Option<u64>;

    /// The next rows; none at the end.
    fn next_batch(&mut self) -> Result<Option<RowBatch>>;
}

/// How far a bulk load is.
#[derive(Clone, Copy, Debug)]
pub struct LoadProgress {
    /// What it does at present: "reading", "training", "writing".
    pub stage: &'static str,
    /// Rows done in this stage.
    pub rows: u64,
    /// Rows of this stage, if known.
    pub rows_total: Option<u64>,
}

/// Told of a bulk load's progress; may stop it.
pub type OnProgress<'a> = &'a mut dyn FnMut(LoadProgress) -> ControlFlow<()>;

/// What a bulk load did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// Rows read, repeated ids among them.
    pub rows: u64,
    /// Buckets that it defined.
    pub buckets: u64,
    /// Segments that it wrote.
    pub segments: u64,
    /// How long it took.
    pub seconds: f64,
}

/// What `optimize` did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OptimizeReport {
    /// Buckets that were split.
    pub buckets_split: u64,
    /// Buckets that were merged into others.
    pub buckets_merged: u64,
    /// Segments before.
    pub segments_before: u64,
    /// Segments after.
    pub segments_after: u64,
    /// Dead rows that were dropped.
    pub rows_dropped: u64,
    /// How long it took.
    pub seconds: f64,
}

/// What `verify` found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Files read in full.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Live rows.
    pub rows: u64,
    /// What is wrong, each naming its file.
    pub problems: Vec<String>,
}

/// Figures of a collection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Live rows.
    pub rows: u64,
    /// Superseded rows that still take space.
    pub dead_rows: u64,
    /// Rows in memtables, dead ones included.
    pub memtable_rows: u64,
    /// Memtables that wait for their flush.
    pub frozen_memtables: u64,
    /// Buckets.
    pub buckets: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of segment files.
    pub disk_bytes: u64,
    /// Bytes of memory for segments, router, bitstore and memtables.
    pub memory_bytes: u64,
    /// Bytes of memory of the bitstore alone.
    pub bitstore_bytes: u64,
    /// Queries answered since open.
    pub queries: u64,
    /// Rows whose code was read since open.
    pub rows_scanned: u64,
    /// Buckets read since open.
    pub buckets_scanned: u64,
    /// Exact rows read from storage since open.
    pub rows_reranked: u64,
    /// Flushes since open.
    pub flushes: u64,
    /// Bytes written into segments since open.
    pub segment_bytes_written: u64,
    /// Newest seq.
    pub last_seq: u64,
    /// Number of the newest manifest.
    pub manifest: u64,
    /// Why background work fails at present.
    pub degraded: Option<String>,
    /// Why writes are refused.
    pub poisoned: Option<String>,
}
