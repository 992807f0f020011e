//! Follow: a read-only collection takes up what a writer's flushes have added, without opening everything anew.
//!
//! Layer 7; the commonest refresh. It does what the writer's flush does: new segments join the index, the bitstore points
//! at their rows, their ids' older rows die, and a new memtable holds what the logs still have. All that can fail is
//! read before the first change. Deaths that it finds carry the seq of the new version, so that searches which are under
//! way on the old one miss nothing. Cost grows with what is new.

use super::open::{Opening, learned};
use super::snapshot::Snapshot;
use crate::error::Result;
use crate::ingest;
use crate::manifest::{Manifest, TombstoneFile};
use crate::memtable::Memtable;
use crate::state::{Calibration, CollectionState, Found, Index, Installed, Place, Version, Writes};
use crate::storage::SnapshotBackend;
use crate::types::{Fields, Seq};
use crate::wal::{self, OwnedRecord};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Whether the commits between two manifests have only flushed, and measured stop rules.
fn is_flushed(old: &Manifest, new: &Manifest) -> bool {
    new.segments.starts_with(&old.segments)
        && new.bucket_files == old.bucket_files
        && new.removed_buckets == old.removed_buckets
        && new.move_files == old.move_files
}

/// Brings `state`, and `held`, the files that it has, to `newer`; false, and nothing is changed, when more than flushes lie in between.
pub(super) fn follow(
    state: &CollectionState,
    opening: &Opening<'_>,
    newer: &Snapshot,
    held: &SnapshotBackend,
) -> Result<bool> {
    let manifest = &newer.manifest;
    let mut maintenance = state.maintenance.lock();
    let old = &maintenance.manifest;
    if !is_flushed(old, manifest) {
        return Ok(false);
    }
    let added = manifest.segments[old.segments.len()..]
        .iter()
        .map(|entry| opening.segment(entry, &state.schema, &manifest.fields));
    let added = added.collect::<Result<Vec<_>>>()?;
    // Deletes that were flushed while a load was under way are younger than the load's rows, which come later.
    let settled = manifest.segments[old.segments.len()..].iter().map(|entry| entry.settled).min().unwrap_or(u64::MAX);
    let is_new = |number: &&u64| **number >= settled || !old.tombstone_files.contains(number);
    let tombstones = manifest.tombstone_files.iter().filter(is_new);
    let read = |&number| TombstoneFile::read(&*newer.files, number, state.identity, state.schema.id_type);
    let tombstones = tombstones.map(read).collect::<Result<Vec<_>>>()?;
    let (records, end) = records(state, opening, newer)?;
    let mut fields = Fields { list: manifest.fields.clone(), is_fixed: !state.schema.fields.is_empty() };
    for record in &records {
        fields = learned(&fields, record)?.unwrap_or(fields);
    }
    let seq = end.max(manifest.next_seq) - 1;
    let version = state.pin();
    let first = version.index.segments.len();
    let router = version.index.router.clone();
    let index = state.pool.install(|| version.index.extended(router, added, version.seq))?;
    let index = Arc::new(index.with_calibration(Calibration::of(manifest), manifest.unmeasured_rows));
    let added = Version { index: index.clone(), ..(*version).clone() };
    state.note_expiries(&added, first)?;
    let mut writes = state.writes.lock();
    *state.fields.write() = Arc::new(fields);
    state.commit_moves(&mut writes, |writes| {
        install(state, &index, first, &tombstones, seq);
        let active = Arc::new(Memtable::new(&state.schema, manifest.wal_floor));
        let next = Version { seq, live_rows: 0, active, frozen: Arc::from([]), index: index.clone() };
        records.iter().for_each(|record| apply(state, writes, &next, record));
        writes.next_seq = seq + 1;
        Version { live_rows: live_rows(&next), ..next }
    });
    drop(writes);
    maintenance.newest.store(manifest.number, Ordering::Relaxed);
    maintenance.manifest = manifest.clone();
    // Together, as `verify` looks for the files of the manifest.
    held.replace(&newer.files);
    Ok(true)
}

/// The records of the logs, and the seq after them.
fn records(state: &CollectionState, opening: &Opening<'_>, newer: &Snapshot) -> Result<(Vec<OwnedRecord>, Seq)> {
    let numbers = opening.logs(newer.manifest.wal_floor, newer.manifest.last_log)?;
    let mut records = Vec::new();
    let ends = wal::replay_all(&*newer.files, state.identity, &state.schema, &numbers, &mut |record| {
        records.push(record);
        Ok(())
    })?;
    Ok((records, ends.last().map_or(1, |(_, end)| end.next_seq)))
}

/// Points the bitstore at the rows of the segments from place `first` on, and kills what they and `tombstones` supersede.
fn install(state: &CollectionState, index: &Index, first: usize, tombstones: &[TombstoneFile], seq: Seq) {
    let kill = |found: &Found| {
        if let Place::Segment(place, row) = found.place {
            index.segments[place as usize].segment.mark_dead(row, seq);
        }
    };
    state.install_segments(index, first..index.segments.len(), |place, row, installed| match installed {
        Installed::New => {}
        Installed::Replaced(older) => kill(&older),
        Installed::Superseded(_) => index.segments[place as usize].segment.mark_dead(row, seq),
    });
    for file in tombstones {
        for (id, &deleted) in file.ids.iter().zip(&file.seqs) {
            if let Some(found) = state.find_flushed(index, id).filter(|found| found.seq < deleted) {
                kill(&found);
            }
        }
        state.uninstall(index, &file.ids, &file.seqs);
    }
}

fn apply(state: &CollectionState, writes: &Writes, version: &Version, record: &OwnedRecord) {
    match record {
        OwnedRecord::Upsert { first_seq, ids, vectors, payload } => {
            ingest::apply_upsert(state, writes, version, *first_seq, ids, vectors.as_ref(), payload.as_ref());
        }
        OwnedRecord::Delete { first_seq, ids } => {
            ingest::apply_delete(state, writes, version, *first_seq, ids);
        }
    }
}

fn live_rows(version: &Version) -> u64 {
    let segments = version.index.segments.iter();
    let mut live: u64 = segments.map(|live| u64::from(live.segment.rows()) - live.segment.dead_rows()).sum();
    version.active.for_each_visible(version.seq, |_, _| live += 1);
    live
}
