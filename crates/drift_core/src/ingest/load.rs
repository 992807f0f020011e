//! Bulk load: rows go straight into buckets, past the log, and appear in one commit.
//!
//! Layer 6. Read all rows (into memory, or beyond the memory limit into spool files); train buckets on a sample of
//! them; then assign, encode and write segment after segment; commit once. Before the commit nothing is visible, and an
//! error or an interrupt leaves only orphans. Ids that exist are replaced; of an id given twice the last row wins.
//!
//! Seqs are taken when writing begins and reserved in the log before the manifest names them. From there to the commit
//! the load holds the maintenance lock: were a delete flushed in between, its tombstone could pass the rows by.

use super::source::{LoadProgress, LoadReport, RowSource};
use super::spool::{Chunk, Spool};
use super::time::timed;
use super::write::kill;
use crate::error::{Error, ErrorKind, Result};
use crate::state::{BucketTable, CollectionState, Index, Installed, Ordered, ResidualSums, Router, Version, Writes};
use crate::storage::failpoint::{Failpoint, reach};
use crate::types::{BucketId, Columns, Fields, NEVER, Seq};
use crate::wal::{Record, WalSync};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Told of progress; may stop the load.
pub type OnProgress<'a> = &'a mut dyn FnMut(LoadProgress) -> ControlFlow<()>;

/// Loads of fewer rows than this many buckets' worth use the buckets there are.
const NEW_BUCKETS_MIN: usize = 8;

/// Loads every row of `source`.
pub fn load(collection: &CollectionState, source: &mut dyn RowSource, progress: OnProgress<'_>) -> Result<LoadReport> {
    collection.check_writable()?;
    let clock = collection.components.clock.clone();
    let start = clock.monotonic();
    let spool = read(collection, source, progress)?;
    let mut report = LoadReport { rows: spool.rows() as u64, ..LoadReport::default() };
    if spool.rows() > 0 {
        write(collection, spool, &mut report, progress)?;
    }
    report.seconds = (clock.monotonic() - start).as_secs_f64();
    Ok(report)
}

fn tell(progress: OnProgress<'_>, stage: &'static str, rows: usize, rows_total: Option<u64>) -> Result<()> {
    match progress(LoadProgress { rows: rows as u64, rows_total, stage }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => {
            Err(Error::new(ErrorKind::Interrupted, "the load was interrupted: nothing has been changed"))
        }
    }
}

fn read<'a>(
    collection: &'a CollectionState,
    source: &mut dyn RowSource,
    progress: OnProgress<'_>,
) -> Result<Spool<'a>> {
    let mut spool = Spool::new(collection);
    let mut fields = Fields::clone(&collection.fields.read());
    let now = collection.now();
    while let Some(batch) = source.next()? {
        batch.validate(&collection.schema)?;
        let vectors = batch.vectors.as_vectors();
        if let Some((row, problem)) = collection.schema.find_bad_row(&vectors) {
            let place = source.locate((spool.rows() + row) as u64);
            return Err(Error::invalid(format!("{place}: the vector {problem}")));
        }
        if let Some((row, problem)) = batch.payload.as_ref().and_then(Columns::find_bad_value) {
            return Err(Error::invalid(format!("{}: {problem}", source.locate((spool.rows() + row) as u64))));
        }
        let payload = timed(collection, batch.rows(), batch.payload.as_ref(), now);
        if let Some(payload) = payload.as_deref() {
            let grown = fields.grown(payload).map_err(|error| error.context(source.locate(spool.rows() as u64)))?;
            fields = grown.unwrap_or(fields);
        }
        spool.push(&batch.ids, &vectors, payload.as_deref())?;
        tell(progress, "read", spool.rows(), source.rows_total())?;
    }
    spool.finish()?;
    Ok(spool)
}

fn write(
    collection: &CollectionState,
    mut spool: Spool<'_>,
    report: &mut LoadReport,
    progress: OnProgress<'_>,
) -> Result<()> {
    let rows = spool.rows();
    tell(progress, "train", 0, Some(rows as u64))?;
    let old = collection.pin().index.router.clone();
    let first = collection.maintenance.lock().manifest.next_bucket;
    let sampled = train(collection, &mut spool, &old, first);
    let _hold = collection.hold();
    let _loading = collection.loading.write();
    let mut maintenance = collection.maintenance.lock();
    maintenance.check_open()?;
    let mut manifest = maintenance.manifest.next();
    // A flush or another load may have defined buckets since.
    let first_bucket = BucketId(manifest.next_bucket);
    let new = sampled.renumbered(first_bucket.0);
    let old = collection.pin().index.router.clone();
    let mut router =
        if new.is_empty() { old } else { Arc::new(collection.next_router(&old, old.table().merged(&new, &[]))) };
    let mut sums = ResidualSums::new(router.len());
    reach(Failpoint::LoadReserve)?;
    let first_seq = reserve(collection, rows as u64)?;
    let (mut segments, mut done) = (Vec::new(), 0);
    for chunk in spool.chunks() {
        let Chunk { ids, vectors, payload } = chunk?;
        let count = ids.len();
        let seqs = (0..count).map(|row| first_seq + (done + row) as Seq).collect();
        tell(progress, "assign", done, Some(rows as u64))?;
        let placement = collection.place(ids, seqs, vectors, &router, &mut sums);
        tell(progress, "write", done, Some(rows as u64))?;
        let order = placement.order();
        let mut writer = collection.begin_segment(placement.vectors.element_type(), count)?;
        placement.write(&order, collection.schema.dim, &mut writer)?;
        grow(collection, &payload)?;
        segments.push(collection.end_segment(writer, &Ordered { columns: &payload, order: &order }, &mut manifest)?);
        done += count;
        tell(progress, "write", done, Some(rows as u64))?;
    }
    if !new.is_empty() {
        let mut table = router.table().clone();
        table.set_spread(&sums);
        if new.len() == table.len() {
            manifest.trained_seq = first_seq + rows as Seq;
        }
        collection.add_bucket_file(&table.split_off(first_bucket), &mut manifest)?;
        router = Arc::new(router.with_table(table));
    }
    report.buckets = new.len() as u64;
    report.segments = segments.len() as u64;
    manifest.next_seq = manifest.next_seq.max(first_seq + rows as Seq);
    let version = collection.pin();
    let first = version.index.segments.len();
    let index = collection.pool.install(|| version.index.extended(router, segments, version.seq))?;
    manifest.unmeasured_rows = index.unmeasured();
    let expiries = index.segments[first..].iter().map(|live| live.segment.earliest_expiry(&collection.schema.lifetime));
    let expiry = expiries.collect::<Result<Vec<_>>>()?.into_iter().min().unwrap_or(NEVER);
    let mut writes = collection.writes.lock();
    let commit_seq = reserve_locked(&mut writes, 1)?;
    // What was acknowledged before the load is there must not be lost where the load is kept.
    log_end(&writes).map_or(Ok(()), |(log, end)| log.sync_to(end))?;
    manifest.fields.clone_from(&collection.fields.read().list);
    reach(Failpoint::LoadCommit)?;
    maintenance.commit(manifest)?;
    collection.note_expiry(expiry);
    publish(collection, &mut writes, Arc::new(index), first, commit_seq);
    Ok(())
}

/// Defines buckets on a sample of the rows, unless these are few and there are buckets already.
fn train(collection: &CollectionState, spool: &mut Spool<'_>, old: &Router, first: u32) -> BucketTable {
    let all = collection.pin().live_rows + spool.rows() as u64;
    let few = NEW_BUCKETS_MIN * collection.bucket_rows(all);
    if spool.rows() < few && !old.is_empty() {
        return BucketTable::default();
    }
    let rotated = collection.rotate_rows(&spool.take_sample().as_ref());
    collection.train(&rotated, collection.bucket_count(spool.rows(), all), BucketId(first))
}

/// Adds the fields of a chunk to the collection's, as a write does. They stay when the load fails: a field that no row has
/// changes nothing.
fn grow(collection: &CollectionState, payload: &Columns) -> Result<()> {
    let _writes = collection.writes.lock();
    let grown = collection.fields.read().grown(payload)?;
    if let Some(grown) = grown {
        *collection.fields.write() = Arc::new(grown);
    }
    Ok(())
}

/// Takes `count` seqs and makes sure that replay steps over them.
fn reserve(collection: &CollectionState, count: u64) -> Result<Seq> {
    let mut writes = collection.writes.lock();
    let first = reserve_locked(&mut writes, count)?;
    let log = log_end(&writes);
    drop(writes);
    log.map_or(Ok(()), |(log, end)| log.sync_to(end))?;
    Ok(first)
}

/// The log, if there is one, and where it ends.
fn log_end(writes: &Writes) -> Option<(Arc<WalSync>, u64)> {
    writes.wal_sync.clone().zip(writes.wal.as_ref().map(|wal| wal.end()))
}

fn reserve_locked(writes: &mut Writes, count: u64) -> Result<Seq> {
    let first_seq = writes.next_seq;
    if let Some(wal) = &mut writes.wal {
        wal.append(&Record::Reserve { first_seq, count })?;
    }
    writes.next_seq += count;
    Ok(first_seq)
}

/// Shows the rows of the segments from place `first` on. What they supersede dies at `commit_seq`, which is newer than any snapshot that cannot see them.
fn publish(collection: &CollectionState, writes: &mut Writes, index: Arc<Index>, first: usize, commit_seq: Seq) {
    let version = collection.pin();
    collection.commit_moves(writes, |_| {
        let mut live_rows = version.live_rows as i64;
        collection.install_segments(&index, first, |place, row, installed| {
            let segment = &index.segments[place as usize].segment;
            live_rows += settle(&version, &index, segment, row, installed, commit_seq);
        });
        Version { seq: commit_seq, live_rows: live_rows as u64, index: index.clone(), ..(*version).clone() }
    });
}

/// Settles one new row against the other rows of its id; returns the change in live rows.
fn settle(
    version: &Version,
    index: &Index,
    segment: &crate::segment::Segment,
    row: u32,
    installed: Installed,
    commit_seq: Seq,
) -> i64 {
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
        if let crate::state::Place::Segment(place, old) = found.place {
            index.segments[place as usize].segment.mark_dead(old, commit_seq);
        }
        change -= 1;
    }
    change
}
