//! Opens a collection: from its manifest, files and log to the state that was last acknowledged.
//!
//! Layer 7. The manifest alone says what exists. Order: segments and buckets, the bitstore (from its checkpoint, caught
//! up with newer segments, or rebuilt), deaths, then the log in numeric order and by seq. A torn end of the last log
//! is given up, and frames that may not be durable are written anew, as a new log begins.

use crate::bitstore::Bitstore;
use crate::clock::Components;
use crate::config::{Config, Durability, ExactRows};
use crate::error::{Error, ErrorKind, Result};
use crate::format::FileId;
use crate::ingest;
use crate::maintain::remove_unreferenced;
use crate::manifest::{BucketFile, Manifest, ManifestStore, MoveFile, SegmentEntry, TombstoneFile, next_file_number};
use crate::memtable::Memtable;
use crate::quant::rotation::Rotation;
use crate::segment::{Segment, SegmentFile};
use crate::state::{
    BucketTable, Calibration, CollectionState, Index, LiveSegment, Maintenance, NO_BUCKET, Parts, Router, Upkeep,
    Version, Writes,
};
use crate::storage::failpoint::{Failpoint, reach};
use crate::storage::{Backend, names};
use crate::sync::Pool;
use crate::types::{BucketId, Field, Fields, Schema, Seq};
use crate::wal::{self, Expected, OwnedRecord, Tail};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// What is needed to open a collection.
pub(super) struct Opening<'a> {
    pub(super) name: &'a str,
    pub(super) identity: u128,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) config: &'a Config,
    pub(super) components: &'a Components,
    pub(super) pool: &'a Arc<Pool>,
}

impl Opening<'_> {
    /// Recovers the collection.
    pub(super) fn recover(&self) -> Result<CollectionState> {
        let in_collection = |error: Error| error.context(format!("collection {:?}", self.name));
        self.try_recover().map_err(in_collection)
    }

    fn try_recover(&self) -> Result<CollectionState> {
        let mut store = ManifestStore::new(self.backend.clone(), self.identity);
        let mut manifest = store.load_newest()?.ok_or_else(|| {
            Error::corrupt(format!("{} has no manifest, but the catalog names it", self.backend.describe()))
        })?;
        let schema = manifest.schema.clone();
        if !self.config.read_only {
            // Orphans of a crashed commit may hold the next numbers.
            manifest.next_file = next_file_number(&*self.backend, &manifest)?.into();
        }
        let mut upkeep = Upkeep::default();
        let index = Arc::new(self.pool.install(|| self.index(&manifest, &schema, &mut upkeep))?);
        let (bitstore, missing) = self.bitstore(&manifest)?;
        let memtable = Arc::new(Memtable::new(&schema, manifest.wal_floor));
        let version =
            Version { seq: manifest.next_seq - 1, live_rows: 0, active: memtable, frozen: Arc::from([]), index };
        let rotation = Arc::new(Rotation::new(schema.dim, manifest.rotation_seed));
        let state = CollectionState::new(Parts {
            name: self.name.to_owned(),
            schema,
            config: self.config.clone(),
            components: self.components.clone(),
            backend: self.backend.clone(),
            identity: self.identity,
            rotation,
            bitstore,
            pool: self.pool.clone(),
            writes: Writes { next_seq: manifest.next_seq, wal: None, wal_sync: None },
            maintenance: Maintenance {
                newest: Arc::new(AtomicU64::new(manifest.number)),
                manifest,
                store,
                upkeep,
                closed: false,
                has_unnamed: false,
                unsaved_queries: 0,
            },
            version,
        });
        state.recall.log.lock().resume(&state.maintenance.lock().manifest.recall);
        self.fill(&state, missing)?;
        self.replay(&state)?;
        state.note_expiries(&state.pin(), 0)?;
        state.pin().memtables().for_each(|memtable| memtable.extend_codes(&state.rotation));
        if !self.config.read_only {
            self.clean(&state)?;
        }
        Ok(state)
    }

    fn index(&self, manifest: &Manifest, schema: &Schema, upkeep: &mut Upkeep) -> Result<Index> {
        let mut table = BucketTable::default();
        let removed: Vec<BucketId> = manifest.removed_buckets.iter().map(|&id| BucketId(id)).collect();
        for &number in &manifest.bucket_files {
            let file =
                BucketFile::read(&*self.backend, number, self.identity, schema.dim).map_err(named_but_missing)?;
            if let Some(last) = file.ids.last().filter(|last| last.0 >= manifest.next_bucket) {
                let (name, next) = (names::buckets(number), manifest.next_bucket);
                return Err(Error::corrupt(format!(
                    "{name}: bucket {} is not below {next}, the manifest's next",
                    last.0
                )));
            }
            let newer = BucketTable { ids: file.ids, centroids: file.centroids, spread: file.spread };
            upkeep.defined_buckets += newer.len() as u64;
            table = table.merged(&newer, &removed);
        }
        let router = Arc::new(Router::new(table, schema.dim, schema.metric));
        let mut segments = Vec::with_capacity(manifest.segments.len());
        for entry in &manifest.segments {
            segments.push(self.segment(entry, schema, &manifest.fields)?);
        }
        upkeep.moved_rows = self.apply_moves(manifest, &mut segments)?;
        // Deaths are not known yet; none may be left out.
        let index = Index::empty(router.clone(), schema).extended(router, segments, 0)?;
        Ok(index.with_calibration(Calibration::of(manifest), manifest.unmeasured_rows))
    }

    /// Opens a segment that the manifest names.
    pub(super) fn segment(&self, entry: &SegmentEntry, schema: &Schema, fields: &[Field]) -> Result<LiveSegment> {
        let file = SegmentFile { id: entry.file, length: entry.length, digest: entry.digest, rows: entry.rows };
        let mut segment = Segment::open(&*self.backend, self.identity, file, schema).map_err(named_but_missing)?;
        segment.check_fields(fields)?;
        if self.config.exact_rows == ExactRows::Memory {
            segment.keep_rows()?;
        }
        Ok(LiveSegment::new(segment))
    }

    /// Puts rows into the buckets that they have moved to; tells how many moves there were.
    fn apply_moves(&self, manifest: &Manifest, segments: &mut [LiveSegment]) -> Result<u64> {
        let mut moved = 0;
        let places: HashMap<FileId, usize> =
            segments.iter().enumerate().map(|(place, live)| (live.segment.file().id, place)).collect();
        for &number in &manifest.move_files {
            let file = MoveFile::read(&*self.backend, number, self.identity).map_err(named_but_missing)?;
            moved += file.rows();
            for moves in file.segments {
                // A segment that is gone took its rows along.
                let Some(&place) = places.get(&moves.segment) else { continue };
                let live = &mut segments[place];
                if moves.rows.last().is_some_and(|row| *row >= live.segment.rows()) {
                    let problem =
                        format!("{}: move file {number} names a row that it does not have", live.segment.name());
                    return Err(Error::corrupt(problem));
                }
                let assignment = Arc::make_mut(&mut live.assignment);
                for (at, &row) in moves.rows.iter().enumerate() {
                    let second = moves.seconds.get(at).filter(|second| **second != NO_BUCKET);
                    assignment.set(row, BucketId(moves.firsts[at]), second.map(|&second| BucketId(second)));
                }
            }
        }
        Ok(moved)
    }

    /// The bitstore's checkpoint and the place from which segments are missing in it; an empty one, and 0, where there
    /// is none or it is damaged: it is derived data.
    fn bitstore(&self, manifest: &Manifest) -> Result<(Bitstore, usize)> {
        let Some(number) = manifest.bitstore_file else { return Ok((Bitstore::default(), 0)) };
        match Bitstore::read(&*self.backend, number, self.identity) {
            Ok(bitstore) => {
                let covered = |at: &usize| !manifest.bitstore_segments.contains(&manifest.segments[*at].file);
                let missing = (0..manifest.segments.len()).find(covered).unwrap_or(manifest.segments.len());
                Ok((bitstore, missing))
            }
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                tracing::warn!(collection = self.name, %error, "the bitstore is rebuilt from the segments");
                Ok((Bitstore::default(), 0))
            }
            Err(error) => Err(error),
        }
    }

    /// Catches the bitstore up, and finds out which flushed rows are dead.
    fn fill(&self, state: &CollectionState, missing: usize) -> Result<()> {
        let version = state.pin();
        let manifest = state.maintenance.lock().manifest.clone();
        let segments = missing..version.index.segments.len();
        state.install_segments(&version.index, segments, |_, _, _| ());
        for &number in &manifest.tombstone_files {
            let file = TombstoneFile::read(&*self.backend, number, self.identity, state.schema.id_type)
                .map_err(named_but_missing)?;
            state.uninstall(&version.index, &file.ids, &file.seqs);
        }
        let live_rows = state.mark_superseded(&version.index);
        state.publish(&mut state.writes.lock(), Version { live_rows, ..(*version).clone() });
        Ok(())
    }

    /// Replays the log into the active memtable, and begins the next log file.
    fn replay(&self, state: &CollectionState) -> Result<()> {
        let (floor, last_log) = {
            let maintenance = state.maintenance.lock();
            (maintenance.manifest.wal_floor, maintenance.manifest.last_log)
        };
        let numbers = self.logs(floor, last_log)?;
        let (mut next_seq, mut last) = (None, None);
        // Where each log ends that another one follows and that has more behind it.
        let mut excess = Vec::new();
        for (at, &number) in numbers.iter().enumerate() {
            let mut expected = Expected { identity: self.identity, schema: &state.schema, next_seq, end: Tail::Torn };
            if let Some(&follower) = numbers.get(at + 1) {
                expected.end = Tail::Before(wal::beginning(&*self.backend, follower, &expected)?);
            }
            let end = wal::replay(&*self.backend, number, &expected, &mut |record| apply(state, record))?;
            if end.mark_damaged {
                state.add_damage_note(format!(
                    "{}/{}: offset {}: {} damaged bytes behind the mark of a clean close; no write is lost",
                    self.backend.describe(),
                    names::wal(number),
                    end.end_offset,
                    end.torn_bytes
                ));
            }
            if end.excess && at + 1 < numbers.len() {
                excess.push((number, end.end_offset));
            }
            next_seq = Some(end.next_seq);
            last = Some((number, end));
        }
        let mut writes = state.writes.lock();
        writes.next_seq = writes.next_seq.max(next_seq.unwrap_or(1));
        let version = state.pin();
        let seq = writes.next_seq - 1;
        state.publish(&mut writes, Version { seq, ..(*version).clone() });
        if self.config.read_only {
            return Ok(());
        }
        // A killed process may have left the newest log without a durable name; the next one must not outlive it.
        self.backend.settle(names::LOGS)?;
        for (number, end_offset) in excess {
            wal::cut(&*self.backend, number, end_offset)?;
        }
        let without_log = self.config.durability == Durability::None;
        let (number, log) = match last {
            Some((last, end)) => {
                let expected =
                    Expected { identity: self.identity, schema: &state.schema, next_seq: None, end: Tail::Torn };
                (last + 1, wal::succeed(&*self.backend, last, &expected, &end, writes.next_seq)?)
            }
            None if without_log => return Ok(()),
            None => (floor, state.create_log(floor, writes.next_seq)?),
        };
        version.active.continue_in(number);
        if !without_log {
            writes.wal_sync = Some(log.syncer());
            writes.wal = Some(log);
        }
        let next_seq = writes.next_seq;
        drop(writes);
        self.note_log(state, number, next_seq)
    }

    /// Commits that log `number` exists, so that its absence would be noticed, and that older ones without rows are
    /// done with.
    fn note_log(&self, state: &CollectionState, number: u64, next_seq: Seq) -> Result<()> {
        let mut maintenance = state.maintenance.lock();
        let mut manifest = maintenance.manifest.next();
        manifest.last_log = number;
        manifest.next_seq = next_seq;
        let mut writes = state.writes.lock();
        let version = state.pin();
        if version.active.is_empty() {
            manifest.wal_floor = number;
            let active = Arc::new(Memtable::new(&state.schema, number));
            state.publish(&mut writes, Version { active, ..(*version).clone() });
        }
        reach(Failpoint::RecoverCommit)?;
        maintenance.commit(manifest)
    }

    /// Numbers of the logs from `floor`, ascending; none up to `last_log`, nor between others, may be missing.
    pub(super) fn logs(&self, floor: u64, last_log: u64) -> Result<Vec<u64>> {
        let mut numbers = names::numbers(names::LOGS, &self.backend.list(names::LOGS)?);
        numbers.retain(|number| *number >= floor);
        let last = last_log.max(numbers.last().copied().unwrap_or(0));
        match (floor..=last).find(|number| numbers.binary_search(number).is_err()) {
            None => Ok(numbers),
            Some(missing) => {
                Err(Error::corrupt(format!("{}/{} is missing", self.backend.describe(), names::wal(missing))))
            }
        }
    }

    /// Removes what crashed jobs left behind.
    fn clean(&self, state: &CollectionState) -> Result<()> {
        self.backend.delete_tree(names::SPOOL)?;
        let maintenance = state.maintenance.lock();
        for number in names::numbers(names::LOGS, &self.backend.list(names::LOGS)?) {
            if number < maintenance.manifest.wal_floor {
                self.backend.delete(&names::wal(number))?;
            }
        }
        remove_unreferenced(state, &maintenance)
    }
}

/// A file that the manifest names and that is not there is damage.
fn named_but_missing(error: Error) -> Error {
    if error.kind() != ErrorKind::NotFound {
        return error;
    }
    Error::corrupt(format!("a file that the manifest names is missing: {}", error.message())).with_source(error)
}

/// The fields after a record, when it brings any.
pub(super) fn learned(fields: &Fields, record: &OwnedRecord) -> Result<Option<Fields>> {
    let OwnedRecord::Upsert { payload: Some(payload), .. } = record else { return Ok(None) };
    fields.grown(payload).map_err(|error| Error::corrupt(format!("the log: {}", error.message())))
}

/// Does again what a record of the log says.
pub(super) fn apply(state: &CollectionState, record: OwnedRecord) -> Result<()> {
    let learned = learned(&state.fields.read(), &record)?;
    if let Some(fields) = learned {
        *state.fields.write() = Arc::new(fields);
    }
    let mut writes = state.writes.lock();
    let version = state.pin();
    let (added, removed, end): (u64, u64, Seq) = match &record {
        OwnedRecord::Upsert { first_seq, ids, vectors, payload } => {
            let payload = payload.as_ref();
            let removed = ingest::apply_upsert(state, &writes, &version, *first_seq, ids, vectors.as_ref(), payload);
            (ids.len() as u64, removed, first_seq + ids.len() as Seq)
        }
        OwnedRecord::Delete { first_seq, ids } => {
            let removed = ingest::apply_delete(state, &writes, &version, *first_seq, ids);
            (0, removed, first_seq + ids.len() as Seq)
        }
    };
    writes.next_seq = writes.next_seq.max(end);
    let live_rows = version.live_rows + added - removed;
    let seq = version.seq.max(end - 1);
    state.publish(&mut writes, Version { seq, live_rows, ..(*version).clone() });
    Ok(())
}
