//! What is true now: the published version, and everything that the write path, the read path and maintenance share.
//!
//! Layer 5. `ingest`, `search` and `maintain` meet here and nowhere else. Readers pin a [`Version`] (one atomic load)
//! and never wait; it is immutable but for deaths, which carry the seq that caused them, so a pinned reader can tell
//! what happened after it began. State moves forward only by [`CollectionState::publish`], after the durable commit.
//!
//! Locks, in the order in which they may be taken: `job` (one job or load at a time), `recall.measuring` (one measurement at a time),
//! `loading` (a bulk load, or writes that a load must not come between), `maintenance` (commits), `writes` (sequence numbers, log append, memtable insert, publication), `sync` inside the log.
//! `fields`, `recall.log` and the lock of `jobs` are held for a moment, and none of the others is taken meanwhile.

mod assignment;
mod buckets;
mod calibration;
mod centroids;
mod cost;
mod density;
mod expiry;
mod filter;
mod foresight;
mod hold;
mod homes;
mod index;
mod install;
mod jobs;
mod latency;
mod lookup;
mod physical;
mod placement;
mod recall;
mod rotate;
mod router;
mod runs;
mod schedule;
mod segments;
mod signal;
mod summary;
mod temperature;
mod train;
mod unnamed;
mod upkeep;
mod version;
mod waiting;

pub use assignment::{Assignment, NO_BUCKET};
pub use buckets::{BucketTable, Positions, ResidualSums};
pub use calibration::{BLURRED, Calibration, Reached, SCAN_ALL_ROWS, StopRule, USUAL_K, WIDE_KS, gap, widening};
pub use cost::{BUCKET_ENTRIES, ScanCost};
pub use density::{Density, DensityCache, live_rows};
use expiry::Expiry;
pub use filter::{Filter, Layer, Part};
pub use foresight::{Estimate, Forecast, Foresight};
pub use hold::Hold;
pub use homes::{Homes, Residual};
pub use index::{Index, LiveSegment, Reassignment, Run, ScanCodes, locate};
pub use install::Installed;
pub use jobs::{Backlog, Job, JobHistory, JobRecord};
pub use latency::Latencies;
pub use lookup::{Found, Place};
pub use physical::PhysicalRuns;
pub use placement::Placement;
pub use recall::{Changes, Mark, Measured, NEVER_FOUND, ROW_TRACES_MAX, Recall, RecallLog, Trace, Unrest};
pub use router::{Order, RankScratch, Ranked, Router, SPREAD_WEIGHT};
pub use runs::BucketRuns;
pub use schedule::{Budget, Schedule};
pub use segments::Ordered;
pub use signal::{Signal, Work};
pub use temperature::Temperature;
pub use unnamed::Unnamed;
pub use upkeep::Upkeep;
pub use version::Version;
pub use waiting::{Shadow, Taken, Waiting};

use crate::bitstore::Bitstore;
use crate::clock::Components;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Manifest, ManifestStore};
use crate::quant::rotation::Rotation;
use crate::storage::Backend;
use crate::sync::ArcSwap;
use crate::sync::{Condvar, Mutex, Pool, RwLock};
use crate::types::{Fields, Schema, Seq};
use crate::wal::{WalSync, WalWriter};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// The write side: whoever holds its lock assigns seqs, appends to the log, and publishes.
pub struct Writes {
    /// Seq of the next write.
    pub next_seq: Seq,
    /// The log; none under `durability="none"` and in read-only handles.
    pub wal: Option<WalWriter>,
    /// Waits for the log's fsync outside this lock.
    pub wal_sync: Option<Arc<WalSync>>,
}

impl Maintenance {
    /// Fails once the collection has been closed: its files may be another's by then.
    pub fn check_open(&self) -> Result<()> {
        if self.closed {
            let message = "the collection was closed meanwhile, and nothing has been changed since: open it again";
            return Err(Error::new(ErrorKind::Closed, message));
        }
        Ok(())
    }

    /// Commits the manifest after the present one.
    pub fn commit(&mut self, next: Manifest) -> Result<()> {
        self.check_open()?;
        self.store.commit(&next)?;
        self.newest.store(next.number, Ordering::Relaxed);
        self.manifest = next;
        self.unsaved_queries = 0;
        Ok(())
    }
}

/// The durable side: whoever holds its lock commits manifests.
pub struct Maintenance {
    /// The newest committed manifest.
    pub manifest: Manifest,
    /// Reads and commits manifests.
    pub store: ManifestStore,
    /// Number of the newest manifest, for those who must not wait for a job.
    pub newest: Arc<AtomicU64>,
    /// What maintenance remembers between jobs.
    pub upkeep: Upkeep,
    /// Whether a job or a load writes files that no manifest names yet.
    pub has_unnamed: bool,
    /// Whether the collection has been closed. A call that began before may still go on, and must change nothing.
    pub closed: bool,
    /// Live queries measured since the newest manifest, whose recall is in `manifest` and not in its file.
    pub unsaved_queries: u64,
}

/// Counts since the collection was opened.
#[derive(Default)]
pub struct Counters {
    /// Queries answered.
    pub queries: AtomicU64,
    /// Searches by how long they took.
    pub latencies: Latencies,
    /// Rows whose code a search read.
    pub rows_scanned: AtomicU64,
    /// Buckets that a search read.
    pub buckets_scanned: AtomicU64,
    /// Rows whose SQ8 code was read because their filter code passed.
    pub rows_refined: AtomicU64,
    /// Exact rows read from disk.
    pub rows_reranked: AtomicU64,
    /// Flushes committed.
    pub flushes: AtomicU64,
    /// Bytes written into segments.
    pub segment_bytes_written: AtomicU64,
    /// Bytes written by structural changes and compaction, segments included.
    pub job_bytes_written: AtomicU64,
    /// Bytes of segments written by compaction.
    pub compacted_bytes_written: AtomicU64,
    /// Rows that went to another bucket.
    pub rows_moved: AtomicU64,
    /// Buckets that were given up, and whose rows went to their neighbours.
    pub buckets_merged: AtomicU64,
    /// Dead flushed rows when maintenance was last asked to look.
    pub deaths_seen: AtomicU64,
    /// Whether a query has come since the memtable was last looked at: a graph only pays when somebody asks.
    pub asked: AtomicBool,
}

/// An open collection.
pub struct CollectionState {
    /// Its name within the database.
    pub name: String,
    /// Dimension, metric and id type.
    pub schema: Schema,
    /// Settings.
    pub config: Config,
    /// Clock, threads and seed.
    pub components: Components,
    /// Storage of this collection alone.
    pub backend: Arc<dyn Backend>,
    /// Identity that every file of the collection carries.
    pub identity: u128,
    /// The one rotation of this collection's vectors.
    pub rotation: Arc<Rotation>,
    /// Where flushed ids are.
    pub bitstore: Bitstore,
    /// Fields of the payload; replaced under the write lock.
    pub fields: RwLock<Arc<Fields>>,
    /// Threads for bulk work.
    pub pool: Arc<Pool>,
    /// The write side.
    pub writes: Mutex<Writes>,
    /// The durable side.
    pub maintenance: Mutex<Maintenance>,
    /// Held for the length of a job or a bulk load, also while it works without the maintenance lock.
    pub job: Mutex<()>,
    /// Held to write by a bulk load from the reservation of its seqs to its commit, to read by writes that replace or delete
    /// particular versions of rows: in between they would be younger than the row that the load brings in their place.
    pub loading: RwLock<()>,
    /// Signalled when a frozen memtable has been flushed: writers wait here for room.
    pub room: Condvar,
    /// What is known of the recall of searches.
    pub recall: Recall,
    /// What the density model knows of the index.
    pub density: DensityCache,
    /// When background jobs may run.
    pub schedule: Schedule,
    /// Wakes the scheduler.
    pub signal: Signal,
    /// Wakes the thread that fsyncs the log under `durability="interval"`.
    pub log_signal: Signal,
    /// Counts since open.
    pub counters: Counters,
    /// Finished background jobs.
    pub jobs: JobHistory,
    expiry: Expiry,
    holders: hold::Holders,
    /// Number of the newest manifest.
    pub manifest_number: Arc<AtomicU64>,
    version: ArcSwap<Version>,
    commits: crate::sync::AtomicU64,
    closed: AtomicBool,
    degraded: Mutex<Option<String>>,
    panicked: OnceLock<String>,
    flush_failure: Mutex<Option<String>>,
    damage_notes: Mutex<Vec<String>>,
}

/// What [`CollectionState::new`] is given.
pub struct Parts {
    /// See [`CollectionState::name`].
    pub name: String,
    /// See [`CollectionState::schema`].
    pub schema: Schema,
    /// See [`CollectionState::config`].
    pub config: Config,
    /// See [`CollectionState::components`].
    pub components: Components,
    /// See [`CollectionState::backend`].
    pub backend: Arc<dyn Backend>,
    /// See [`CollectionState::identity`].
    pub identity: u128,
    /// See [`CollectionState::rotation`].
    pub rotation: Arc<Rotation>,
    /// See [`CollectionState::bitstore`].
    pub bitstore: Bitstore,
    /// See [`CollectionState::pool`].
    pub pool: Arc<Pool>,
    /// The first writer.
    pub writes: Writes,
    /// The manifest in force.
    pub maintenance: Maintenance,
    /// The first version.
    pub version: Version,
}

impl CollectionState {
    /// An open collection from what recovery found.
    pub fn new(parts: Parts) -> CollectionState {
        let fields = &parts.maintenance.manifest.fields;
        let fields = Fields { list: fields.clone(), is_fixed: !parts.schema.fields.is_empty() };
        CollectionState {
            name: parts.name,
            fields: RwLock::new(Arc::new(fields)),
            schema: parts.schema,
            config: parts.config,
            components: parts.components,
            backend: parts.backend,
            identity: parts.identity,
            rotation: parts.rotation,
            bitstore: parts.bitstore,
            pool: parts.pool,
            writes: Mutex::new(parts.writes),
            manifest_number: parts.maintenance.newest.clone(),
            maintenance: Mutex::new(parts.maintenance),
            job: Mutex::new(()),
            loading: RwLock::new(()),
            room: Condvar::new(),
            recall: Recall::default(),
            density: DensityCache::default(),
            schedule: Schedule::default(),
            signal: Signal::default(),
            log_signal: Signal::default(),
            counters: Counters::default(),
            jobs: JobHistory::default(),
            expiry: Expiry::default(),
            holders: hold::Holders::default(),
            version: ArcSwap::from_pointee(parts.version),
            commits: crate::sync::AtomicU64::new(0),
            closed: AtomicBool::new(false),
            degraded: Mutex::new(None),
            panicked: OnceLock::new(),
            flush_failure: Mutex::new(None),
            damage_notes: Mutex::default(),
        }
    }

    /// The newest version; it stays whole for as long as the caller holds it.
    pub fn pin(&self) -> Arc<Version> {
        self.version.load_full()
    }

    /// Replaces the version. The caller holds `writes`, and what the version promises is committed.
    pub fn publish(&self, _writes: &mut Writes, version: Version) {
        self.version.store(Arc::new(version));
    }

    /// Runs `change` on the bitstore and publishes its version, so that a lookup can tell that it met the change half
    /// done ([`lookup`]).
    pub fn commit_moves(&self, writes: &mut Writes, change: impl FnOnce(&mut Writes) -> Version) {
        self.commits.fetch_add(1, Ordering::AcqRel);
        let version = change(writes);
        self.publish(writes, version);
        self.commits.fetch_add(1, Ordering::AcqRel);
    }

    /// Number of begun and ended [`CollectionState::commit_moves`]; odd while one is under way.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// Fails when the handle was closed.
    pub fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, format!("collection {:?} is closed: open it again", self.name)));
        }
        Ok(())
    }

    /// Fails when the handle was closed or is for reading only.
    pub fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        if self.config.read_only {
            return Err(Error::new(
                ErrorKind::ReadOnly,
                format!("collection {:?} was opened with read_only=True: open it for writing", self.name),
            ));
        }
        Ok(())
    }

    /// Marks the handle closed; true the first time.
    pub fn mark_closed(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }

    /// Whether the handle was closed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Notes damage that recovery met and that costs no data, for `verify` to tell.
    pub fn add_damage_note(&self, note: String) {
        self.damage_notes.lock().push(note);
    }

    /// Forgets what recovery met, when it is repaired.
    pub fn clear_damage_notes(&self) {
        self.damage_notes.lock().clear();
    }

    /// Damage that recovery met and that costs no data.
    pub fn damage_notes(&self) -> Vec<String> {
        self.damage_notes.lock().clone()
    }

    /// Says why background work fails at present, or that it does not.
    pub fn set_degraded(&self, reason: Option<String>) {
        *self.degraded.lock() = reason;
    }

    /// Why background work fails at present.
    pub fn degraded(&self) -> Option<String> {
        self.panicked.get().cloned().or_else(|| self.degraded.lock().clone())
    }

    /// Says that background work has ended for good, and why, whatever succeeds from now on.
    pub fn set_panicked(&self, reason: &str) {
        let _ = self.panicked.set(reason.to_owned());
        self.wake_writers();
    }

    /// Says why the last flush failed, or that it did not, to the writers that wait for room.
    pub fn set_flush_failure(&self, reason: Option<String>) {
        *self.flush_failure.lock() = reason;
        self.wake_writers();
    }

    /// Has writers that wait for room look again.
    pub fn wake_writers(&self) {
        // Under the lock that they wait with, so that none looked just before this and waits just after.
        let _writes = self.writes.lock();
        self.room.notify_all();
    }

    /// Why the last flush failed.
    pub fn flush_failure(&self) -> Option<String> {
        self.panicked.get().cloned().or_else(|| self.flush_failure.lock().clone())
    }

    /// Scales `vector` to unit length when the metric is cosine; what the engine works on from there.
    pub fn prepare(&self, vector: &mut [f32]) {
        if self.schema.metric == crate::types::Metric::Cosine {
            let norm2 = (crate::kernels::kernels().dot)(vector, vector);
            let scale = if norm2 > 0.0 { norm2.sqrt().recip() } else { 0.0 };
            vector.iter_mut().for_each(|value| *value *= scale);
        }
    }
}
