//! The commit of a bulk load: its segments join those that there are by then.
//!
//! Layer 6. A load writes its rows without the maintenance lock, so flushes go on meanwhile. They may bring younger rows of the load's
//! ids, which win as always; buckets, which join the load's; and deletes, which nothing in memory knows of any more: their
//! tombstone files are read again. The index is built before the lock is taken, on what was flushed until then, and what
//! was flushed while that took is added under it.

use super::fields::{Inexact, join};
use super::load::{log_end, reserve_locked};
use super::write::kill;
use crate::error::Result;
use crate::manifest::{Manifest, SegmentEntry, TombstoneFile};
use crate::segment::Segment;
use crate::state::{
    BucketTable, Calibration, CollectionState, Found, Index, Installed, LiveSegment, Place, Router, Unnamed, Version,
    Writes,
};
use crate::storage::failpoint::{Failpoint, reach};
use crate::types::{Fields, NEVER, Seq};
use std::ops::Range;
use std::sync::Arc;

/// A load that writes. The caller holds the job lock, and to write that of loads.
pub(super) struct UnderWay<'a> {
    collection: &'a CollectionState,
    /// The first of the ids of buckets that are the load's.
    pub first_bucket: u32,
    /// Tombstone files below it are older than the load's rows.
    pub settled: u64,
    _files: Unnamed<'a>,
}

/// What a load has written.
pub(super) struct Loaded {
    /// Segments, and how the manifest names them.
    pub segments: Vec<(SegmentEntry, LiveSegment)>,
    /// The buckets that it defines.
    pub buckets: BucketTable,
    /// Of its rows.
    pub seqs: Range<Seq>,
    /// Fields that there were, and those that its rows bring.
    pub fields: Fields,
    /// Its fields of ints that are to be no fields of floats.
    pub inexact: Inexact,
}

impl UnderWay<'_> {
    /// Begins to write, with ids for so many `buckets`.
    pub fn begin(collection: &CollectionState, buckets: u32) -> Result<UnderWay<'_>> {
        let mut maintenance = collection.maintenance.lock();
        maintenance.check_open()?;
        let first_bucket = maintenance.manifest.next_bucket;
        // Flushes may define others meanwhile.
        maintenance.manifest.next_bucket += buckets;
        let settled = maintenance.manifest.next_file.peek();
        Ok(UnderWay { collection, first_bucket, settled, _files: collection.keep_unnamed(&mut maintenance) })
    }

    /// Commits and shows what was written.
    pub fn commit(self, loaded: Loaded) -> Result<()> {
        let Loaded { segments, buckets, seqs, fields, inexact } = loaded;
        let collection = self.collection;
        let (entries, segments): (Vec<_>, Vec<_>) = segments.into_iter().unzip();
        let expiries = segments.iter().map(|live| live.segment.earliest_expiry(&collection.schema.lifetime));
        let expiry = expiries.collect::<Result<Vec<_>>>()?.into_iter().min().unwrap_or(NEVER);
        let base = collection.pin();
        let first = base.index.segments.len();
        let places = first..first + segments.len();
        let router = joined(collection, &base.index.router, &buckets);
        let built = collection.pool.install(|| base.index.extended(router, segments, base.seq))?;
        drop(base);
        let mut maintenance = collection.maintenance.lock();
        maintenance.check_open()?;
        let index = caught_up(collection, built, &places, &buckets)?;
        let mut manifest = maintenance.manifest.next();
        manifest.segments.extend(entries);
        if !buckets.is_empty() {
            if buckets.len() == index.router.len() {
                manifest.trained_seq = seqs.end;
            }
            collection.add_bucket_file(&buckets, &mut manifest)?;
        }
        manifest.next_seq = manifest.next_seq.max(seqs.end);
        manifest.unmeasured_rows += index.unmeasured() - collection.pin().index.unmeasured();
        let deletes = self.deletes(&manifest)?;
        let mut writes = collection.writes.lock();
        // Writes may have brought fields meanwhile.
        let fields = join(collection, &collection.pin(), &fields, &inexact)?;
        let commit_seq = reserve_locked(&mut writes, 1)?;
        // What was acknowledged before the load is there must not be lost where the load is kept.
        log_end(&writes).map_or(Ok(()), |(log, end)| log.sync_to(end))?;
        manifest.fields.clone_from(&fields.list);
        reach(Failpoint::LoadCommit)?;
        maintenance.commit(manifest)?;
        *collection.fields.write() = Arc::new(fields);
        collection.note_expiry(expiry);
        publish(collection, &mut writes, Arc::new(index), places, &deletes, commit_seq);
        Ok(())
    }

    /// Deletes that have been flushed since the load took its seqs.
    fn deletes(&self, manifest: &Manifest) -> Result<Vec<TombstoneFile>> {
        let (backend, identity) = (&*self.collection.backend, self.collection.identity);
        let id_type = self.collection.schema.id_type;
        let numbers = manifest.tombstone_files.iter().filter(|number| **number >= self.settled);
        numbers.map(|&number| TombstoneFile::read(backend, number, identity, id_type)).collect()
    }
}

/// The router with the buckets that a load defines.
pub(super) fn joined(collection: &CollectionState, router: &Arc<Router>, buckets: &BucketTable) -> Arc<Router> {
    if buckets.is_empty() {
        return router.clone();
    }
    Arc::new(collection.next_router(router, router.table().merged(buckets, &[])))
}

/// `built`, which has the load's segments at `places` behind all others of its time, with what was flushed and measured since. The caller holds
/// the maintenance lock, and has held the job lock: nothing else has changed.
fn caught_up(
    collection: &CollectionState,
    built: Index,
    places: &Range<usize>,
    buckets: &BucketTable,
) -> Result<Index> {
    let version = collection.pin();
    let current = &version.index;
    let loaded: u64 = built.segments[places.clone()].iter().map(|live| u64::from(live.segment.rows())).sum();
    let late = current.segments[places.start..].to_vec();
    let index = if late.is_empty() {
        built
    } else {
        let router = joined(collection, &current.router, buckets);
        collection.pool.install(|| built.extended(router, late, version.seq))?
    };
    Ok(index.with_calibration(Calibration::clone(current.calibration()), current.unmeasured() + loaded))
}

/// Shows the rows of the segments at `places`, less those that `deletes` have. What they supersede dies at `commit_seq`, which is newer
/// than any snapshot that cannot see them.
fn publish(
    collection: &CollectionState,
    writes: &mut Writes,
    index: Arc<Index>,
    places: Range<usize>,
    deletes: &[TombstoneFile],
    commit_seq: Seq,
) {
    let version = collection.pin();
    collection.commit_moves(writes, |_| {
        let mut live_rows = version.live_rows as i64;
        collection.install_segments(&index, places, |place, row, installed| {
            let segment = &index.segments[place as usize].segment;
            live_rows += settle(&version, &index, segment, row, installed, commit_seq);
        });
        for TombstoneFile { ids, seqs } in deletes {
            for (id, &deleted) in ids.iter().zip(seqs) {
                let found = collection.find_flushed(&index, id).filter(|found| found.seq < deleted);
                if let Some(Found { place: Place::Segment(place, row), death: 0, .. }) = found {
                    index.segments[place as usize].segment.mark_dead(row, deleted);
                    live_rows -= 1;
                }
            }
            collection.uninstall(&index, ids, seqs);
        }
        Version { seq: commit_seq, live_rows: live_rows as u64, index: index.clone(), ..(*version).clone() }
    });
}

/// Settles one new row against the other rows of its id; returns the change in live rows.
fn settle(version: &Version, index: &Index, segment: &Segment, row: u32, installed: Installed, commit_seq: Seq) -> i64 {
    let seq = segment.seq(row);
    let in_memory = version.find_in_memory(segment.id(row));
    let flushed = match installed {
        Installed::New => None,
        Installed::Replaced(found) | Installed::Superseded(found) => Some((index, found)),
    };
    // A younger write of the id, be it a row or a delete, wins over the load. Its seq stays known: of an id given twice, the
    // second row finds nothing but the first one.
    let younger = [in_memory, flushed.map(|(_, found)| found)].into_iter().flatten();
    let younger = younger.flat_map(|found| [found.seq, if found.death == commit_seq { 0 } else { found.death }]);
    if let Some(younger) = younger.filter(|younger| *younger > seq).max() {
        segment.mark_dead(row, younger);
        return 0;
    }
    let mut change = 1;
    if let Some(found) = in_memory.filter(|found| found.death == 0) {
        kill(version, &found, commit_seq);
        change -= 1;
    }
    if let Some((index, found)) = flushed.filter(|(_, found)| found.death == 0) {
        if let Place::Segment(place, old) = found.place {
            index.segments[place as usize].segment.mark_dead(old, commit_seq);
        }
        change -= 1;
    }
    change
}
