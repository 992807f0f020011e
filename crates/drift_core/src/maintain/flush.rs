//! Flush: the oldest frozen memtable becomes a segment of runs sorted by bucket.
//!
//! Layer 6. Order (RELIABILITY.md, rule 3): segment, bucket and tombstone files, then the manifest with its log floor,
//! then memory, and last the deletion of log files below the floor. Rows that the
//! buckets there are do not suit define their own (`define`).

use super::checkpoint::checkpoint_if_stale;
use super::define;
use super::remove::{remove_leftovers, remove_logs_below};
use crate::config::Durability;
use crate::error::Result;
use crate::manifest::{Manifest, TombstoneFile};
use crate::memtable::{Extract, Memtable};
use crate::state::{CollectionState, Index, LiveSegment, Maintenance, Ordered, Placement, Version};
use crate::storage::failpoint::{Failpoint, reach};
use crate::sync::install_here;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Freezes the active memtable and flushes until none is left.
pub fn flush_all(collection: &CollectionState) -> Result<()> {
    collection.check_writable()?;
    collection.check_unheld()?;
    collection.rotate(&mut collection.writes.lock())?;
    let mut maintenance = collection.maintenance.lock();
    maintenance.check_open()?;
    while flush_oldest(collection, &mut maintenance)? {}
    Ok(())
}

/// The same for a collection that is closing and takes no more writes.
pub fn flush_last(collection: &CollectionState, maintenance: &mut Maintenance) -> Result<()> {
    collection.rotate(&mut collection.writes.lock())?;
    while flush_oldest(collection, maintenance)? {}
    Ok(())
}

/// Flushes the oldest frozen memtable; false if there is none. Writers that wait for room are told how it ends.
pub fn flush_oldest(collection: &CollectionState, maintenance: &mut Maintenance) -> Result<bool> {
    let outcome = write_oldest(collection, maintenance);
    if outcome.is_err() && !maintenance.closed {
        remove_leftovers(collection, maintenance);
    }
    collection.set_flush_failure(outcome.as_ref().err().map(|error| error.message().to_owned()));
    outcome
}

fn write_oldest(collection: &CollectionState, maintenance: &mut Maintenance) -> Result<bool> {
    let version = collection.pin();
    let Some(memtable) = version.frozen.first() else { return Ok(false) };
    let mut extract = memtable.extract(memtable.last_seq());
    let mut manifest = maintenance.manifest.next();
    let mut router = version.index.router.clone();
    let mut written = None;
    if !extract.ids.is_empty() {
        let placement;
        (placement, router) = define::place(collection, &mut extract, &router, &mut manifest)?;
        reach(Failpoint::FlushSegment)?;
        written = Some(write_segment(collection, &mut extract, &placement, &mut manifest)?);
    }
    if !extract.tombstone_seqs.is_empty() {
        reach(Failpoint::FlushTombstones)?;
        let number = manifest.take_file_number();
        let file = TombstoneFile { ids: extract.tombstone_ids.clone(), seqs: extract.tombstone_seqs.clone() };
        file.write(&*collection.backend, number, collection.identity)?;
        manifest.tombstone_files.push(number);
    }
    let floor = version.frozen.get(1).unwrap_or(&version.active).wal_first();
    manifest.wal_floor = floor;
    if collection.config.durability != Durability::None {
        manifest.last_log = manifest.last_log.max(version.active.wal_last());
    }
    manifest.next_seq = manifest.next_seq.max(memtable.last_seq() + 1);
    // Only maintenance, whose lock the caller holds, replaces the index; after the commit nothing may fail.
    let added = written.iter().map(|written| written.segment.clone()).collect();
    let index = install_here(&collection.pool, || version.index.extended(router, added, version.seq))?;
    // Not all that are unmeasured here: of buckets that have just been defined anew the manifest says that nothing is measured.
    manifest.unmeasured_rows += index.unmeasured() - version.index.unmeasured();
    reach(Failpoint::FlushCommit)?;
    maintenance.commit(manifest)?;
    publish(collection, memtable, &extract, Arc::new(index), written);
    collection.counters.flushes.fetch_add(1, Ordering::Relaxed);
    collection.signal.raise(|work| work.maintain = true);
    remove_logs_below(collection, floor);
    checkpoint_if_stale(collection, maintenance)?;
    Ok(true)
}

/// A new segment and, for each of its rows, the memtable row that it came from.
struct Written {
    segment: LiveSegment,
    rows: Vec<u32>,
}

fn write_segment(
    collection: &CollectionState,
    extract: &mut Extract,
    placement: &Placement,
    manifest: &mut Manifest,
) -> Result<Written> {
    let order = placement.order();
    let mut writer = collection.begin_segment(placement.vectors.element_type(), order.len())?;
    placement.write(&order, collection.schema.dim, &mut writer)?;
    let payload = std::mem::take(&mut extract.payload);
    let payload = Ordered { columns: &payload, order: &order };
    let (entry, segment) = collection.end_segment(writer, &payload, manifest.next_file.peek())?;
    manifest.segments.push(entry);
    manifest.fields.clone_from(&collection.fields.read().list);
    let rows = order.iter().map(|&row| extract.rows[row as usize]).collect();
    Ok(Written { segment, rows })
}

/// Shows the flushed rows, the last ones of `index`, in place of the memtable.
fn publish(
    collection: &CollectionState,
    memtable: &Memtable,
    extract: &Extract,
    index: Arc<Index>,
    written: Option<Written>,
) {
    let first = collection.pin().index.segments.len();
    let mut writes = collection.writes.lock();
    let version = collection.pin();
    collection.commit_moves(&mut writes, |_| {
        if let Some(written) = &written {
            for (row, &source) in written.rows.iter().enumerate() {
                // A write that came after the extract.
                match memtable.death(source as usize) {
                    0 => {}
                    seq => written.segment.segment.mark_dead(row as u32, seq),
                }
            }
        }
        collection.install_segments(&index, first..index.segments.len(), |_, _, _| ());
        collection.uninstall(&index, &extract.tombstone_ids, &extract.tombstone_seqs);
        let frozen = version.frozen[1..].to_vec().into();
        Version { index, frozen, ..(*version).clone() }
    });
}
