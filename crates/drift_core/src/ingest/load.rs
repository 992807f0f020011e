//! Bulk load: rows go straight into buckets, past the log, and appear in one commit.
//!
//! Layer 6. Read all rows (into memory, or beyond the memory limit into spool files); train buckets on a sample of
//! them; then assign, encode and write segment after segment; commit once. Before the commit nothing is visible, and an
//! error or an interrupt leaves only orphans. Ids that exist are replaced; of an id given twice the last row wins.
//!
//! Seqs are taken when writing begins and reserved in the log before the manifest names them. Other jobs wait from there to the
//! commit; writers and their flushes do not (`commit`).

use super::commit::{Loaded, UnderWay, joined};
use super::fields::{Inexact, join};
use super::source::{LoadProgress, LoadReport, RowSource};
use super::spool::{Chunk, Spool};
use super::time::timed;
use crate::error::{Error, ErrorKind, Result};
use crate::state::{BucketTable, CollectionState, Ordered, ResidualSums, Writes};
use crate::storage::failpoint::{Failpoint, reach};
use crate::types::{BucketId, Columns, Fields, Seq};
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
    let read = read(collection, source, progress)?;
    // Once more at the commit: rather here than behind all the work.
    check_fields(collection, &read)?;
    let mut report = LoadReport { rows: read.spool.rows() as u64, ..LoadReport::default() };
    if report.rows > 0 {
        write(collection, read, &mut report, progress)?;
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

/// What a source had.
struct Read<'a> {
    spool: Spool<'a>,
    /// The collection's fields as they were, and those that the rows bring.
    fields: Fields,
    inexact: Inexact,
}

fn read<'a>(collection: &'a CollectionState, source: &mut dyn RowSource, progress: OnProgress<'_>) -> Result<Read<'a>> {
    let (mut spool, mut inexact) = (Spool::new(collection), Inexact::default());
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
        let timed = timed(collection, batch.rows(), batch.payload.as_ref(), now);
        let payload = timed.as_deref().map(|payload| payload.telling(&fields));
        if let Some(payload) = payload.as_deref() {
            let here = |error: Error| error.context(source.locate(spool.rows() as u64));
            let grown = fields.grown(payload).map_err(here)?;
            inexact.note(payload);
            inexact.check(grown.as_ref().unwrap_or(&fields)).map_err(here)?;
            fields = grown.unwrap_or(fields);
        }
        spool.push(&batch.ids, &vectors, payload.as_deref())?;
        tell(progress, "read", spool.rows(), source.rows_total())?;
    }
    spool.finish()?;
    Ok(Read { spool, fields, inexact })
}

/// Fails when the collection cannot have the fields of what was read beside its own.
fn check_fields(collection: &CollectionState, read: &Read<'_>) -> Result<()> {
    let _writes = collection.writes.lock();
    join(collection, &collection.pin(), &read.fields, &read.inexact).map(|_| ())
}

fn write(
    collection: &CollectionState,
    read: Read<'_>,
    report: &mut LoadReport,
    progress: OnProgress<'_>,
) -> Result<()> {
    let Read { mut spool, fields, inexact } = read;
    let rows = spool.rows();
    tell(progress, "train", 0, Some(rows as u64))?;
    let sampled = train(collection, &mut spool);
    let _hold = collection.hold();
    let _job = collection.job.lock();
    let _loading = collection.loading.write();
    let under_way = UnderWay::begin(collection, sampled.len() as u32)?;
    let new = sampled.renumbered(under_way.first_bucket);
    let router = joined(collection, &collection.pin().index.router, &new);
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
        let payload = Ordered { columns: &payload, order: &order };
        segments.push(collection.end_segment(writer, &payload, under_way.settled)?);
        done += count;
        tell(progress, "write", done, Some(rows as u64))?;
    }
    report.buckets = new.len() as u64;
    report.segments = segments.len() as u64;
    let mut table = router.table().clone();
    table.set_spread(&sums);
    let buckets = table.filtered(|id| new.position(id).is_some());
    under_way.commit(Loaded { segments, buckets, seqs: first_seq..first_seq + rows as Seq, fields, inexact })
}

/// Defines buckets on a sample of the rows, unless these are few and there are buckets already.
fn train(collection: &CollectionState, spool: &mut Spool<'_>) -> BucketTable {
    let version = collection.pin();
    let all = version.live_rows + spool.rows() as u64;
    let few = NEW_BUCKETS_MIN * collection.bucket_rows(all);
    if spool.rows() < few && !version.index.router.is_empty() {
        return BucketTable::default();
    }
    let rotated = collection.rotate_rows(&spool.take_sample().as_ref());
    collection.train(&rotated, collection.bucket_count(spool.rows(), all), BucketId(0))
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
pub(super) fn log_end(writes: &Writes) -> Option<(Arc<WalSync>, u64)> {
    writes.wal_sync.clone().zip(writes.wal.as_ref().map(|wal| wal.end()))
}

/// Takes `count` seqs; replay steps over them once the log is durable.
pub(super) fn reserve_locked(writes: &mut Writes, count: u64) -> Result<Seq> {
    let first_seq = writes.next_seq;
    if let Some(wal) = &mut writes.wal {
        wal.append(&Record::Reserve { first_seq, count })?;
    }
    writes.next_seq += count;
    Ok(first_seq)
}
