//! Figures of a collection.
//!
//! Layer 7.

use crate::error::Result;
use crate::search;
use crate::state::CollectionState;
use crate::storage::names;
use crate::types::Stats;
use std::sync::atomic::Ordering;

/// Counts what there is.
pub(super) fn stats(collection: &CollectionState) -> Result<Stats> {
    let version = collection.pin();
    let index = &version.index;
    let counters = &collection.counters;
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let memtable_bytes: usize = version.memtables().map(|memtable| memtable.bytes()).sum();
    let segment_bytes: usize = index.segments.iter().map(|live| live.segment.heap_bytes()).sum();
    let bitstore_bytes = collection.bitstore.bytes();
    let wal_bytes = log_bytes(collection)?;
    let segment_file_bytes: u64 = index.segments.iter().map(|live| live.segment.file().length).sum();
    let poisoned = collection.writes.lock().wal_sync.as_ref().and_then(|sync| sync.poisoned());
    Ok(Stats {
        rows: search::live_rows(collection)?,
        memtable_rows: version.memtable_rows() as u64,
        segment_rows: index.rows(),
        dead_rows: index.dead_rows(),
        frozen_memtables: version.frozen.len() as u64,
        buckets: index.router.len() as u64,
        segments: index.segments.len() as u64,
        disk_bytes: segment_file_bytes + wal_bytes,
        wal_bytes,
        memory_bytes: (memtable_bytes + segment_bytes + bitstore_bytes + index.heap_bytes()) as u64,
        bitstore_bytes: bitstore_bytes as u64,
        queries: count(&counters.queries),
        latency: counters.latencies.summary(),
        rows_scanned: count(&counters.rows_scanned),
        buckets_scanned: count(&counters.buckets_scanned),
        rows_reranked: count(&counters.rows_reranked),
        rows_refined: count(&counters.rows_refined),
        flushes: count(&counters.flushes),
        segment_bytes_written: count(&counters.segment_bytes_written),
        last_seq: version.seq,
        manifest: collection.manifest_number.load(Ordering::Relaxed),
        degraded: collection.degraded(),
        poisoned: poisoned.map(|reason| reason.to_string()).or_else(|| collection.backend.poisoned()),
    })
}

fn log_bytes(collection: &CollectionState) -> Result<u64> {
    let mut bytes = 0;
    for name in collection.backend.list(names::LOGS)? {
        // A flush may delete a log while it is counted.
        bytes += collection.backend.open(&name).map_or(0, |file| file.len());
    }
    Ok(bytes)
}
