//! The memtable: rows that have been logged and not yet flushed.
//!
//! Layer 4. Rows are appended by one writer at a time (the holder of the collection's write lock) and read by anyone
//! without locks: an append-only vector whose rows never move or change but for their death. A batch's vectors and ids
//! are one allocation each. Rows are coded by the writer, a chunk at a time, and searched by a scan of the codes; a memtable
//! beyond 65,536 rows gets an HNSW graph as well, in the background, over a prefix of the rows.

mod arena;
mod codes;
mod extract;
pub mod hnsw;
mod search;

pub use codes::MemtableQuery;
pub use extract::Extract;
pub use search::SearchMode;

use crate::sync::{Mutex, RwLock};
use crate::types::{Column, Columns, IdRef, Ids, Lifetime, Metric, NEVER, Predicate, Schema, Seq, VectorBuf};
use arena::{Batch, Row};
use codes::Codes;
use hashbrown::HashTable;
use hnsw::Hnsw;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};

/// A row of a memtable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundRow {
    /// Its place.
    pub row: usize,
    /// Its seq.
    pub seq: Seq,
    /// The write that superseded it, or 0.
    pub death: Seq,
}

/// Deletes that the flush must persist.
struct Tombstones {
    ids: Ids,
    seqs: Vec<Seq>,
}

/// Rows in memory.
pub struct Memtable {
    dim: usize,
    metric: Metric,
    lifetime: Lifetime,
    wal_first: u64,
    wal_last: AtomicU64,
    rows: boxcar::Vec<Row>,
    /// Newest row of each id, by the id's hash.
    newest: RwLock<HashTable<u32>>,
    tombstones: Mutex<Tombstones>,
    bytes: AtomicUsize,
    first_seq: AtomicU64,
    last_seq: AtomicU64,
    earliest_expiry: AtomicI64,
    codes: Codes,
    graph: OnceLock<Hnsw>,
    indexed: AtomicUsize,
}

impl Memtable {
    /// An empty memtable whose writes go to log `wal_number`.
    pub fn new(schema: &Schema, wal_number: u64) -> Memtable {
        Memtable {
            dim: schema.dim,
            metric: schema.metric,
            lifetime: schema.lifetime.clone(),
            wal_first: wal_number,
            wal_last: AtomicU64::new(wal_number),
            rows: boxcar::Vec::new(),
            newest: RwLock::new(HashTable::new()),
            tombstones: Mutex::new(Tombstones { ids: Ids::empty(schema.id_type), seqs: Vec::new() }),
            bytes: AtomicUsize::new(0),
            first_seq: AtomicU64::new(Seq::MAX),
            last_seq: AtomicU64::new(0),
            earliest_expiry: AtomicI64::new(NEVER),
            codes: Codes::default(),
            graph: OnceLock::new(),
            indexed: AtomicUsize::new(0),
        }
    }

    /// Appends rows with consecutive seqs and returns how many live rows of this memtable they superseded, those of the
    /// same batch among them.
    pub fn append_upserts(
        &self,
        first_seq: Seq,
        ids: &Ids,
        vectors: crate::types::Vectors<'_>,
        payload: Option<&Columns>,
    ) -> u64 {
        let batch = Batch::new(self.dim, self.metric, ids, vectors, payload);
        if let Some(columns) = payload {
            // Before a row is there, so that none is seen that has expired unnoticed.
            let earliest = (0..columns.rows()).map(|row| self.lifetime.end(columns, row)).min().unwrap_or(NEVER);
            self.earliest_expiry.fetch_min(earliest, Ordering::Release);
        }
        self.bytes.fetch_add(batch.bytes(), Ordering::Relaxed);
        let mut superseded = 0;
        let mut newest = self.newest.write();
        for (at, id) in ids.iter().enumerate() {
            let seq = first_seq + at as Seq;
            let row = self.rows.push(Row::new(&batch, at, seq));
            let hash = id.hash64();
            let same = |other: &u32| self.rows[*other as usize].id() == id;
            match newest.find_mut(hash, same) {
                Some(place) => {
                    superseded += u64::from(self.rows[*place as usize].die(seq));
                    *place = row as u32;
                }
                None => {
                    newest.insert_unique(hash, row as u32, |row| self.rows[*row as usize].id().hash64());
                }
            }
        }
        self.first_seq.fetch_min(first_seq, Ordering::Relaxed);
        self.last_seq.fetch_max(first_seq + ids.len() as Seq - 1, Ordering::Relaxed);
        superseded
    }

    /// The newest row of `id`.
    pub fn find(&self, id: IdRef<'_>) -> Option<FoundRow> {
        let newest = self.newest.read();
        let row = *newest.find(id.hash64(), |row| self.rows[*row as usize].id() == id)? as usize;
        let found = &self.rows[row];
        Some(FoundRow { row, seq: found.seq(), death: found.death() })
    }

    /// Notes that the write `seq` superseded a row; false if another did before.
    pub fn mark_dead(&self, row: usize, seq: Seq) -> bool {
        self.rows[row].die(seq)
    }

    /// Notes a delete for the flush to persist.
    pub fn add_tombstone(&self, id: IdRef<'_>, seq: Seq) {
        let mut tombstones = self.tombstones.lock();
        tombstones.ids.push(id);
        tombstones.seqs.push(seq);
        // Id and seq where they are kept until the flush, and their copies in it; a text stands behind its id.
        let text = match id {
            IdRef::Int(_) => 0,
            IdRef::Str(text) => text.len(),
        };
        self.bytes.fetch_add(32 + text, Ordering::Relaxed);
        self.first_seq.fetch_min(seq, Ordering::Relaxed);
        self.last_seq.fetch_max(seq, Ordering::Relaxed);
    }

    /// Rows appended, dead ones included.
    pub fn len(&self) -> usize {
        self.rows.count()
    }

    /// Whether there is nothing to flush.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.tombstones.lock().seqs.is_empty()
    }

    /// Bytes of heap memory in use, about.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
            + self.rows.count() * (size_of::<Row>() + 8)
            + self.codes.bytes()
            + self.graph.get().map_or(0, Hnsw::bytes)
    }

    /// Newest seq written here; 0 when there is none.
    pub fn last_seq(&self) -> Seq {
        self.last_seq.load(Ordering::Relaxed)
    }

    /// Oldest seq written here; `Seq::MAX` when there is none.
    pub fn first_seq(&self) -> Seq {
        self.first_seq.load(Ordering::Relaxed)
    }

    /// Number of the first log file that holds rows of this memtable.
    pub fn wal_first(&self) -> u64 {
        self.wal_first
    }

    /// Number of the last log file that holds rows of this memtable.
    pub fn wal_last(&self) -> u64 {
        self.wal_last.load(Ordering::Relaxed)
    }

    /// Says that further writes go to log `number`.
    pub fn continue_in(&self, number: u64) {
        self.wal_last.fetch_max(number, Ordering::Relaxed);
    }

    /// Id of a row.
    pub fn id(&self, row: usize) -> IdRef<'_> {
        self.rows[row].id()
    }

    /// Raw vector of a row.
    pub fn vector(&self, row: usize) -> &[f32] {
        self.rows[row].vector()
    }

    /// Payload of a row: columns, and its place in them.
    pub fn payload(&self, row: usize) -> Option<(&Columns, usize)> {
        self.rows[row].payload()
    }

    /// When the first row expires, be it dead or not; [`NEVER`] for never.
    pub fn earliest_expiry(&self) -> i64 {
        self.earliest_expiry.load(Ordering::Acquire)
    }

    /// When a row expires; [`NEVER`] for never.
    pub fn expiry(&self, row: usize) -> i64 {
        self.payload(row).map_or(NEVER, |(columns, at)| self.lifetime.end(columns, at))
    }

    /// Whether the payload of a row satisfies a predicate.
    pub fn satisfies(&self, row: usize, predicate: &Predicate) -> bool {
        self.rows[row].satisfies(predicate)
    }

    /// The write that superseded a row, or 0.
    pub fn death(&self, row: usize) -> Seq {
        self.rows[row].death()
    }

    /// Hands over place and seq of each row that a reader at `snapshot` sees.
    pub fn for_each_visible(&self, snapshot: Seq, mut f: impl FnMut(usize, Seq)) {
        for (place, row) in self.rows.iter() {
            if row.is_visible(snapshot) {
                f(place, row.seq());
            }
        }
    }

    /// The first that `find` finds in the columns of a field, of rows that are there or not.
    pub fn find_in<T>(&self, field: &str, find: impl Fn(&Column) -> Option<T>) -> Option<T> {
        let mut last: *const Columns = std::ptr::null();
        // Rows of a batch share its columns, and come one after the other.
        let is_next = |columns: &&Columns| !std::ptr::eq(std::mem::replace(&mut last, *columns), *columns);
        let batches = self.rows.iter().filter_map(|(_, row)| row.payload().map(|(columns, _)| columns)).filter(is_next);
        batches.filter_map(|columns| columns.get(field)).find_map(find)
    }

    /// Live rows at `snapshot` and all tombstones, for the flush.
    pub fn extract(&self, snapshot: Seq) -> Extract {
        let tombstones = self.tombstones.lock();
        let mut extract = Extract {
            rows: Vec::new(),
            ids: Ids::empty(tombstones.ids.id_type()),
            seqs: Vec::new(),
            vectors: VectorBuf::F16(Vec::new()),
            payload: Columns::default(),
            tombstone_ids: tombstones.ids.clone(),
            tombstone_seqs: tombstones.seqs.clone(),
        };
        drop(tombstones);
        extract.fill(&self.rows, snapshot);
        extract
    }
}

#[cfg(test)]
mod tests;
