//! add, upsert and delete: one critical section assigns seqs, appends to the log, inserts into the memtable and
//! publishes; the fsync is waited for outside it, shared with other writers.
//!
//! Layer 6. What a write supersedes is marked dead with the write's seq, in memory only: replay finds it again. A
//! record is validated in full before its first byte is written, and visible as a whole.

use super::fields::grow;
use super::time::timed;
use super::validate::{BATCH_ROWS_MAX, validate_batch};
use crate::bitstore::SEQ_MAX;
use crate::config::Durability;
use crate::error::{Error, ErrorKind, Result};
use crate::state::{CollectionState, Found, Place, Version, Writes};
use crate::sync::MutexGuard;
use crate::types::{Columns, IdRef, Ids, NEVER, Seq, Vectors};
use crate::wal::Record;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Share of the live rows that a memtable has when it is flushed early: as many as rules hold for. Fewer than so many rows are no flush of
/// their own: a small collection soon measures its rules anew.
const EARLY_SHARE: f64 = 0.1;
const EARLY_ROWS_MIN: f64 = 2_048.0;

/// Inserts rows whose ids must be new; otherwise nothing is written.
pub fn add(collection: &CollectionState, ids: &Ids, vectors: Vectors<'_>, payload: Option<&Columns>) -> Result<()> {
    collection.check_writable()?;
    validate_batch(&collection.schema, ids, &vectors, payload)?;
    check_distinct(ids)?;
    let mut writes = lock_with_room(collection, batch_bytes(ids, &vectors, payload))?;
    let version = collection.pin();
    let now = collection.expired_by(NEVER);
    for (row, id) in ids.iter().enumerate() {
        if live(collection, &writes, &version, id, now)?.is_some() {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("id {id} at row {row} exists already: use upsert() to replace it"),
            ));
        }
    }
    let end = write_upsert(collection, &mut writes, ids, vectors, payload)?;
    finish(collection, writes, end)
}

/// Inserts rows, or replaces them where the id exists; of an id given twice the last row wins.
pub fn upsert(collection: &CollectionState, ids: &Ids, vectors: Vectors<'_>, payload: Option<&Columns>) -> Result<()> {
    collection.check_writable()?;
    validate_batch(&collection.schema, ids, &vectors, payload)?;
    let mut writes = lock_with_room(collection, batch_bytes(ids, &vectors, payload))?;
    let end = write_upsert(collection, &mut writes, ids, vectors, payload)?;
    finish(collection, writes, end)
}

/// Deletes the rows of `ids` and returns how many there were.
pub fn delete(collection: &CollectionState, ids: &Ids) -> Result<u64> {
    collection.check_writable()?;
    ids.validate(collection.schema.id_type)?;
    let writes = lock_with_room(collection, ids.bytes())?;
    let version = collection.pin();
    let now = collection.expired_by(NEVER);
    let mut existing = Ids::empty(collection.schema.id_type);
    let mut seen = HashSet::with_capacity(ids.len());
    for id in ids.iter() {
        if live(collection, &writes, &version, id, now)?.is_some() && seen.insert(id) {
            existing.push(id);
        }
    }
    delete_locked(collection, writes, &version, &existing)?;
    Ok(existing.len() as u64)
}

/// Deletes rows that are there.
fn delete_locked(
    collection: &CollectionState,
    mut writes: MutexGuard<'_, Writes>,
    version: &Version,
    existing: &Ids,
) -> Result<()> {
    if existing.is_empty() {
        return Ok(());
    }
    let first_seq = writes.next_seq;
    let end = log(collection, &mut writes, &Record::Delete { first_seq, ids: existing })?;
    writes.next_seq += existing.len() as Seq;
    let dead = apply_delete(collection, &writes, version, first_seq, existing);
    publish(collection, &mut writes, version, 0, dead);
    finish(collection, writes, end)
}

/// Deletes those rows of `ids` that are still the ones that have `seqs`, and returns how many there were.
pub fn delete_versions(collection: &CollectionState, ids: &Ids, seqs: &[Seq]) -> Result<u64> {
    delete_each_version(collection, ids, seqs, |collection| lock_with_room(collection, ids.bytes()))
}

/// The same for the background, which waits for no room: deletes take little.
pub fn expire_versions(collection: &CollectionState, ids: &Ids, seqs: &[Seq]) -> Result<u64> {
    delete_each_version(collection, ids, seqs, |collection| {
        let writes = collection.writes.lock();
        collection.check_open()?;
        Ok(writes)
    })
}

fn delete_each_version<'a>(
    collection: &'a CollectionState,
    ids: &Ids,
    seqs: &[Seq],
    lock: impl Fn(&'a CollectionState) -> Result<MutexGuard<'a, Writes>>,
) -> Result<u64> {
    collection.check_writable()?;
    collection.check_unheld()?;
    let mut deleted = 0;
    for start in (0..ids.len()).step_by(BATCH_ROWS_MAX) {
        let _loading = collection.loading.read();
        let writes = lock(collection)?;
        let version = collection.pin();
        let mut existing = Ids::empty(collection.schema.id_type);
        for (row, &seq) in seqs.iter().enumerate().skip(start).take(BATCH_ROWS_MAX) {
            if is_version(collection, &writes, &version, ids.get(row), seq) {
                existing.push(ids.get(row));
            }
        }
        deleted += existing.len() as u64;
        delete_locked(collection, writes, &version, &existing)?;
    }
    Ok(deleted)
}

/// Replaces the rows of `ids`, all of them, if they are still the ones that have `seqs`; whether they were.
pub fn replace_versions(
    collection: &CollectionState,
    ids: &Ids,
    seqs: &[Seq],
    vectors: Vectors<'_>,
    payload: &Columns,
) -> Result<bool> {
    collection.check_writable()?;
    collection.check_unheld()?;
    validate_batch(&collection.schema, ids, &vectors, Some(payload))?;
    let _loading = collection.loading.read();
    let mut writes = lock_with_room(collection, batch_bytes(ids, &vectors, Some(payload)))?;
    let version = collection.pin();
    if !(0..ids.len()).all(|row| is_version(collection, &writes, &version, ids.get(row), seqs[row])) {
        return Ok(false);
    }
    let end = write_upsert(collection, &mut writes, ids, vectors, Some(payload))?;
    finish(collection, writes, end)?;
    Ok(true)
}

/// The row of an id that is there, and has not expired by `now`.
fn live(
    collection: &CollectionState,
    writes: &Writes,
    version: &Version,
    id: IdRef<'_>,
    now: Option<i64>,
) -> Result<Option<Found>> {
    let Some(found) = collection.find_locked(writes, version, id).filter(|found| found.death == 0) else {
        return Ok(None);
    };
    let expired = now.map_or(Ok(false), |now| collection.is_expired(version, found.place, now))?;
    Ok((!expired).then_some(found))
}

/// Whether the live row of an id is the one that has `seq`.
fn is_version(collection: &CollectionState, writes: &Writes, version: &Version, id: IdRef<'_>, seq: Seq) -> bool {
    collection.find_locked(writes, version, id).is_some_and(|found| found.death == 0 && found.seq == seq)
}

/// Makes the log durable, says so in it and lets go of it, for a clean close: a call that began before may go on after it.
pub fn seal(collection: &CollectionState) -> Result<()> {
    collection.writes.lock().wal.take().map_or(Ok(()), |mut wal| wal.seal())
}

/// Lets go of the log of a collection that was dropped.
pub fn abandon(collection: &CollectionState) {
    collection.writes.lock().wal = None;
}

/// Inserts logged rows into the active memtable and returns how many live rows they superseded. An id whose newest row
/// is younger than the record (a bulk load committed it in between) keeps that row.
pub fn apply_upsert(
    collection: &CollectionState,
    writes: &Writes,
    version: &Version,
    first_seq: Seq,
    ids: &Ids,
    vectors: Vectors<'_>,
    payload: Option<&Columns>,
) -> u64 {
    let mut superseded = 0;
    let mut younger = Vec::new();
    for (row, id) in ids.iter().enumerate() {
        let seq = first_seq + row as Seq;
        match collection.find_locked(writes, version, id) {
            Some(found) if found.seq > seq => younger.push((row, found.seq)),
            Some(found) if found.death == 0 => {
                kill(version, &found, seq);
                superseded += 1;
            }
            _ => {}
        }
    }
    let before = version.active.len();
    superseded += version.active.append_upserts(first_seq, ids, vectors, payload);
    collection.note_expiry(version.active.earliest_expiry());
    for (row, seq) in younger {
        superseded += u64::from(version.active.mark_dead(before + row, seq));
    }
    superseded
}

/// Applies a logged delete and returns how many live rows it removed.
pub fn apply_delete(
    collection: &CollectionState,
    writes: &Writes,
    version: &Version,
    first_seq: Seq,
    ids: &Ids,
) -> u64 {
    let mut dead = 0;
    for (row, id) in ids.iter().enumerate() {
        let seq = first_seq + row as Seq;
        if let Some(found) = collection.find_locked(writes, version, id)
            && found.seq < seq
            && found.death == 0
        {
            kill(version, &found, seq);
            dead += 1;
        }
        version.active.add_tombstone(id, seq);
    }
    dead
}

/// Notes that `seq` supersedes a found row.
pub(super) fn kill(version: &Version, found: &Found, seq: Seq) {
    match found.place {
        Place::Memtable(place, row) => {
            let memtable = version.memtables().nth(place).expect("invariant: a place is within its version");
            memtable.mark_dead(row, seq);
        }
        Place::Segment(segment, row) => version.index.segments[segment as usize].segment.mark_dead(row, seq),
    }
}

/// Flushed rows that must die before maintenance is asked to look, and their share of all.
const DEATHS_MIN: u64 = 256;
const DEATHS_SHARE: u64 = 50;

/// Has maintenance look when rows enough have died since it last did.
fn tell_deaths(collection: &CollectionState, version: &Version) {
    let dead = version.index.dead_rows();
    let seen = dead.min(collection.counters.deaths_seen.load(Ordering::Relaxed));
    let due = dead - seen > DEATHS_MIN.max(version.index.rows() / DEATHS_SHARE);
    // Compaction makes the count smaller.
    collection.counters.deaths_seen.store(if due { dead } else { seen }, Ordering::Relaxed);
    if due {
        collection.signal.raise(|work| work.maintain = true);
    }
}

fn write_upsert(
    collection: &CollectionState,
    writes: &mut Writes,
    ids: &Ids,
    vectors: Vectors<'_>,
    payload: Option<&Columns>,
) -> Result<u64> {
    if ids.is_empty() {
        return Ok(0);
    }
    let version = collection.pin();
    let first_seq = writes.next_seq;
    let timed = timed(collection, ids.len(), payload, collection.now());
    let told = timed.as_deref().map(|payload| payload.telling(&collection.fields.read()));
    let payload = told.as_deref();
    let fields = payload.map_or(Ok(None), |payload| grow(collection, &version, payload))?;
    let end = log(collection, writes, &Record::Upsert { first_seq, ids, vectors, payload })?;
    writes.next_seq += ids.len() as Seq;
    if let Some(fields) = fields {
        *collection.fields.write() = Arc::new(fields);
    }
    let superseded = apply_upsert(collection, writes, &version, first_seq, ids, vectors, payload);
    publish(collection, writes, &version, ids.len() as u64, superseded);
    Ok(end)
}

fn log(collection: &CollectionState, writes: &mut Writes, record: &Record<'_>) -> Result<u64> {
    if writes.next_seq + BATCH_ROWS_MAX as Seq > SEQ_MAX {
        return Err(Error::new(
            ErrorKind::Exhausted,
            format!("the collection has taken all of its {SEQ_MAX} sequence numbers: copy it into a new one"),
        ));
    }
    if let Some(wal) = &mut writes.wal {
        return wal.append(record);
    }
    // Without a log nothing of a write meets the disk before its flush, which could not succeed.
    collection.backend.poisoned().map_or(Ok(0), |reason| {
        let message =
            format!("an earlier fsync failed ({reason}) and writes are refused: close the database and open it again");
        Err(Error::new(ErrorKind::Io, message))
    })
}

fn publish(collection: &CollectionState, writes: &mut Writes, version: &Version, added: u64, removed: u64) {
    let seq = writes.next_seq - 1;
    let live_rows = version.live_rows + added - removed;
    collection.publish(writes, Version { seq, live_rows, ..version.clone() });
}

/// Rotates when the memtable is full, then waits for durability as far as the mode promises it.
fn finish(collection: &CollectionState, mut writes: MutexGuard<'_, Writes>, end: u64) -> Result<()> {
    let version = collection.pin();
    let config = &collection.config;
    let wal_sync = writes.wal_sync.clone();
    if is_full(collection, &version) || is_full_enough(collection, &version) {
        match rotate(collection, &mut writes) {
            // The write is whole without it. The next one tries again before it writes anything, and fails for it.
            Err(error) if wal_sync.as_ref().is_none_or(|log| log.poisoned().is_none()) => {
                tracing::warn!(collection = %collection.name, %error, "the memtable stays full");
            }
            outcome => outcome?,
        }
    } else if version.active.len() - version.active.indexed() >= config.hnsw_rows_min {
        collection.signal.raise(|work| work.graph = true);
    }
    drop(writes);
    tell_deaths(collection, &version);
    version.active.extend_codes(&collection.rotation);
    match (config.durability, wal_sync) {
        (Durability::Always, Some(wal_sync)) => wal_sync.sync_to(end),
        (Durability::Interval, Some(_)) => {
            collection.log_signal.raise(|work| work.sync = true);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether the active memtable is to be frozen.
fn is_full(collection: &CollectionState, version: &Version) -> bool {
    let (config, active) = (&collection.config, &version.active);
    !active.is_empty() && (active.len() >= config.memtable_rows_max || active.bytes() >= config.memtable_bytes())
}

/// Whether it is to be frozen before it is full, as somebody searches and no flush is under way: the rows of one that is full would be so
/// many of all that rules are doubted until others have been measured (`Version::rule`).
fn is_full_enough(collection: &CollectionState, version: &Version) -> bool {
    let rows = EARLY_SHARE * version.live_rows as f64;
    version.frozen.is_empty()
        && rows >= EARLY_ROWS_MIN
        && version.active.len() as f64 >= rows
        && collection.counters.asked.swap(false, Ordering::Relaxed)
}

/// Freezes the active memtable, and asks for its flush.
fn rotate(collection: &CollectionState, writes: &mut Writes) -> Result<()> {
    if collection.rotate(writes)? {
        collection.signal.raise(|work| work.flush = true);
    }
    Ok(())
}

/// Takes the write lock, waiting while too many memtables, or too many bytes in them besides the `bytes` to come, wait for
/// their flush. When nothing can be flushed, it does not wait.
fn lock_with_room(collection: &CollectionState, bytes: usize) -> Result<MutexGuard<'_, Writes>> {
    let mut writes = collection.writes.lock();
    let config = &collection.config;
    let deadline = collection.components.clock.monotonic() + Duration::from_millis(config.write_timeout_ms);
    loop {
        collection.check_open()?;
        let version = collection.pin();
        let held: usize = version.memtables().map(|memtable| memtable.bytes()).sum();
        // What is larger than all room gets in alone.
        let is_over = held > 0 && held.saturating_add(bytes) > config.memtables_bytes_max();
        if is_full(collection, &version) || (is_over && version.frozen.is_empty() && !version.active.is_empty()) {
            rotate(collection, &mut writes)?;
            continue;
        }
        if !is_over && version.frozen.len() < config.frozen_memtables_max {
            return Ok(writes);
        }
        if is_over && let Some(reason) = collection.flush_failure() {
            return Err(Error::new(
                ErrorKind::Exhausted,
                format!(
                    "{held} bytes wait in memory for a flush, which fails ({reason}); with memory_limit={} there is no \
                     room for {bytes} more",
                    config.memory_limit_bytes
                ),
            ));
        }
        let now = collection.components.clock.monotonic();
        if now >= deadline {
            let reason = collection.degraded().unwrap_or_else(|| "the flush is slower than the writes".to_owned());
            let waiting = version.frozen.len();
            return Err(Error::new(
                if is_over { ErrorKind::Exhausted } else { ErrorKind::Timeout },
                format!(
                    "{waiting} memtables of {held} bytes wait to be flushed ({reason}): write slower, or see stats()"
                ),
            ));
        }
        // A flush would wait for what this thread holds.
        collection.check_unheld()?;
        collection.room.wait_for(&mut writes, deadline - now);
    }
}

/// Bytes that a batch takes in a memtable, about.
fn batch_bytes(ids: &Ids, vectors: &Vectors<'_>, payload: Option<&Columns>) -> usize {
    ids.bytes() + 4 * vectors.values() + payload.map_or(0, Columns::bytes)
}

fn check_distinct(ids: &Ids) -> Result<()> {
    ids.repeated().map_or(Ok(()), |(id, first, row)| {
        let message = format!("id {id} is given twice, at rows {first} and {row}: add() takes each id once");
        Err(Error::new(ErrorKind::AlreadyExists, message))
    })
}
