//! A handle to an open collection.
//!
//! Layer 7. Every call checks that the handle is open and the process is the one that opened it, then goes to one of
//! the three paths.

use super::health::{self, Health};
use super::refresh::Seen;
use super::{Database, repair, stats, update, verify};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::ingest::source::{LoadReport, RowSource};
use crate::ingest::{self, OnProgress};
use crate::maintain::{self, Background};
use crate::search::{self, Page, calibrate};
use crate::state::{Budget, CollectionState, JobRecord, Unrest};
use crate::sync::ArcSwap;
use crate::sync::Mutex;
use crate::types::{
    Columns, Explanation, Field, Hits, IdRef, Ids, Include, Interrupt, Missing, OnWork, OptimizeReport, Predicate,
    Rows, Schema, SearchOptions, Stats, Vectors, VerifyReport, unwatched,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const OTHER_PATHS: maintain::OtherPaths =
    maintain::OtherPaths { refresh: calibrate::refresh, check_shadows: calibrate::check_shadows, expire };

/// Deletes rows that have expired, at most `limit`, unless they are written anew meanwhile; tells how many it met.
fn expire(collection: &CollectionState, limit: usize) -> Result<u64> {
    let (ids, seqs) = search::expired(collection, limit)?;
    ingest::expire_versions(collection, &ids, &seqs)?;
    Ok(seqs.len() as u64)
}

/// An open collection and its background threads.
pub(super) struct OpenCollection {
    name: String,
    schema: Schema,
    /// Replaced by a refresh, which only read-only collections have.
    state: ArcSwap<CollectionState>,
    /// What a read-only collection was read from; held while it is refreshed or closed.
    pub(super) seen: Mutex<Option<Seen>>,
    background: Mutex<Option<Background>>,
    /// Whether it was dropped: its closing keeps nothing.
    dropped: AtomicBool,
}

impl OpenCollection {
    /// Starts background work, unless the collection is for reading only.
    pub(super) fn start(state: CollectionState, seen: Option<Seen>) -> Result<OpenCollection> {
        let state = Arc::new(state);
        let background = if state.config.read_only {
            None
        } else {
            let started = Background::start(state.clone(), OTHER_PATHS);
            Some(started.map_err(|error| Error::io("cannot start a background thread", error))?)
        };
        Ok(OpenCollection {
            name: state.name.clone(),
            schema: state.schema.clone(),
            state: ArcSwap::new(state),
            seen: Mutex::new(seen),
            background: Mutex::new(background),
            dropped: AtomicBool::new(false),
        })
    }

    pub(super) fn state(&self) -> Arc<CollectionState> {
        self.state.load_full()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.load().is_closed()
    }

    /// Shows `state` from now on. The caller holds `seen`.
    pub(super) fn replace(&self, state: CollectionState) {
        self.state.store(Arc::new(state));
    }

    /// Marks it dropped and closed. [`OpenCollection::close`] waits for what is under way.
    pub(super) fn give_up(&self) {
        self.dropped.store(true, Ordering::Release);
        self.state().mark_closed();
    }

    /// Ends background work and makes the log durable; waits for a call that commits. Closing twice is no error.
    pub(super) fn close(&self) -> Result<()> {
        self.state().check_unheld()?;
        let _seen = self.seen.lock();
        let state = &self.state();
        state.mark_closed();
        state.wake_writers();
        let Some(background) = self.background.lock().take() else { return Ok(()) };
        let stopped = background.stop();
        // A load and a job write files without the lock on commits: the folder is not another's before they are done.
        let _job = state.job.lock();
        // Waits for calls that are about to commit; those that come to it later must not: the lock on the folder goes next.
        let mut maintenance = state.maintenance.lock();
        if self.dropped.load(Ordering::Acquire) {
            // A disk without room for what is in memory must not keep it from going.
            maintenance.closed = true;
            ingest::abandon(state);
            return stopped;
        }
        // Without a log, what is in memory is durable only by a flush.
        let flushed = match state.config.durability {
            Durability::None => maintain::flush_last(state, &mut maintenance),
            _ => Ok(()),
        };
        let sealed = ingest::seal(state);
        // What was measured is worth a commit, but not without a sound log.
        let saved = flushed.and(stopped).and(sealed).and_then(|()| calibrate::save(&mut maintenance));
        maintenance.closed = true;
        saved
    }
}

/// A handle to an open collection. Clones share it.
#[derive(Clone)]
pub struct Collection {
    database: Database,
    open: Arc<OpenCollection>,
}

impl Collection {
    pub(super) fn new(database: Database, open: Arc<OpenCollection>) -> Collection {
        Collection { database, open }
    }

    fn state(&self) -> Result<Arc<CollectionState>> {
        self.database.check_process()?;
        let state = self.open.state();
        state.check_open()?;
        Ok(state)
    }

    /// The state for calls that wait for a load, a job or a check of this collection.
    fn unheld(&self) -> Result<Arc<CollectionState>> {
        let state = self.state()?;
        state.check_unheld()?;
        Ok(state)
    }

    pub(super) fn open(&self) -> Result<&OpenCollection> {
        self.state().map(|_| &*self.open)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.open.name
    }

    /// Dimension, metric and id type.
    pub fn schema(&self) -> &Schema {
        &self.open.schema
    }

    /// The database that it is in.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Inserts rows whose ids must be new: `AlreadyExists` names the first that is not, and nothing is written.
    pub fn add(&self, ids: &Ids, vectors: Vectors<'_>, payload: Option<&Columns>) -> Result<()> {
        ingest::add(&*self.state()?, ids, vectors, payload)
    }

    /// Inserts rows, or replaces those whose ids exist; of an id given twice the last row wins.
    /// A row that is replaced loses its payload.
    pub fn upsert(&self, ids: &Ids, vectors: Vectors<'_>, payload: Option<&Columns>) -> Result<()> {
        ingest::upsert(&*self.state()?, ids, vectors, payload)
    }

    /// Deletes rows and returns how many existed.
    pub fn delete(&self, ids: &Ids) -> Result<u64> {
        ingest::delete(&*self.state()?, ids)
    }

    /// Rows by id, in the order of `ids`.
    pub fn get(&self, ids: &Ids, missing: Missing, include: &Include) -> Result<Rows> {
        search::get(&*self.state()?, ids, missing, include)
    }

    /// Fields of the payload, in the order in which they came.
    pub fn fields(&self) -> Result<Vec<Field>> {
        Ok(self.state()?.fields.read().list.clone())
    }

    /// Number of rows that satisfy a predicate.
    pub fn count(&self, filter: &Arc<Predicate>) -> Result<u64> {
        filter.validate()?;
        search::count(&*self.state()?, filter)
    }

    /// Deletes the rows that satisfy a predicate now, and returns how many there were. One that is written while this runs is
    /// left alone.
    pub fn delete_where(&self, filter: &Arc<Predicate>) -> Result<u64> {
        filter.validate()?;
        let state = self.unheld()?;
        state.check_writable()?;
        let (ids, seqs) = search::matching(&state, filter)?;
        ingest::delete_versions(&state, &ids, &seqs)
    }

    /// The next rows in ascending order of id.
    pub fn page(&self, page: &Page<'_>) -> Result<Rows> {
        page.filter.map_or(Ok(()), |filter| filter.validate())?;
        search::page(&*self.state()?, page)
    }

    /// Changes fields of rows, which must exist: the values of `changes` replace what is there, those `removed` (row and field)
    /// go, and all others stay. All or nothing.
    pub fn update_payload(&self, ids: &Ids, changes: &Columns, removed: &[(usize, String)]) -> Result<()> {
        update::rows(&*self.unheld()?, ids, changes, removed)
    }

    /// The same for the rows that satisfy a predicate now: each gets the one row of `changes` and loses the fields `removed`.
    /// Returns how many there were. One that is written while this runs is left alone; what a crash interrupts is done for some
    /// rows, each of them whole.
    pub fn update_payload_where(&self, filter: &Arc<Predicate>, changes: &Columns, removed: &[String]) -> Result<u64> {
        filter.validate()?;
        update::matching(&*self.unheld()?, filter, changes, removed)
    }

    /// Whether there is a row with this id.
    pub fn contains(&self, id: IdRef<'_>) -> Result<bool> {
        search::contains(&*self.state()?, id)
    }

    /// Number of rows.
    pub fn len(&self) -> Result<u64> {
        search::live_rows(&*self.state()?)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// All ids, in order of their last write.
    pub fn ids(&self) -> Result<Ids> {
        search::ids(&*self.state()?)
    }

    /// Searches row-major `queries` (`n * dim`); rows acknowledged before are found.
    pub fn search(&self, queries: &[f32], options: &SearchOptions, interrupt: Interrupt<'_>) -> Result<Hits> {
        let state = self.state()?;
        let begun = state.components.clock.monotonic();
        let hits = search::search(&state, queries, options, interrupt)?;
        state.counters.latencies.add(state.components.clock.monotonic().saturating_sub(begun));
        Ok(hits)
    }

    /// Finished background jobs, oldest first; the newest 256.
    pub fn jobs(&self) -> Result<Vec<JobRecord>> {
        Ok(self.state()?.jobs.records())
    }

    /// Searches one query and explains how far the search went, and why.
    pub fn explain(&self, query: &[f32], options: &SearchOptions) -> Result<Explanation> {
        search::explain(&*self.state()?, query, options)
    }

    /// Loads all rows of a source in one commit; ids that exist are replaced.
    pub fn load(&self, source: &mut dyn RowSource, progress: OnProgress<'_>) -> Result<LoadReport> {
        let state = &self.unheld()?;
        if state.config.durability == Durability::None {
            // Without a log, what is in memory would be lost in a crash that the load survives.
            maintain::flush_all(state)?;
        }
        let report = ingest::load(state, source, progress).inspect_err(|_| maintain::after_failure(state))?;
        // The rows are there, whatever becomes of this: maintenance sees to it later, or the next owner of the files.
        let settled = state.components.start_pool().and_then(|pool| {
            let ordered = maintain::settle_buckets(state, &pool);
            ordered.and(calibrate::refresh(state, &pool, Unrest::Settled).map(|_| ()))
        });
        let followed = settled.and(maintain::after_load(state));
        if let Err(error) = followed.or_else(|error| if state.is_closed() { Ok(()) } else { Err(error) }) {
            tracing::warn!(collection = self.name(), %error, "what follows a load has failed");
            state.set_degraded(Some(error.message().to_owned()));
        }
        Ok(report)
    }

    /// Moves everything that is in memory and logs into segments.
    pub fn flush(&self) -> Result<()> {
        let state = &self.unheld()?;
        state.check_writable()?;
        let pool = state.components.start_pool()?;
        calibrate::check_shadows(state, &pool)?;
        maintain::flush_all(state)?;
        calibrate::refresh(state, &pool, Unrest::Settled).map(|_| ())
    }

    /// Rewrites the collection where that helps: one segment, no dead rows, buckets near their target size.
    pub fn optimize(&self) -> Result<OptimizeReport> {
        self.optimize_watched(&mut unwatched)
    }

    /// As [`Collection::optimize`]. When `progress` stops it, the steps that are done stay.
    pub fn optimize_watched(&self, progress: OnWork<'_>) -> Result<OptimizeReport> {
        let state = &self.unheld()?;
        maintain::expire_all(state, &OTHER_PATHS)?;
        let pool = state.components.start_pool()?;
        let report = maintain::optimize(state, &pool, progress)?;
        if report.is_change() {
            calibrate::measure(state, &pool)?;
        } else {
            // The background has done it all, and may not have come to this yet.
            calibrate::refresh(state, &pool, Unrest::Settled)?;
        }
        Ok(report)
    }

    /// The recall that queries have, and the state of buckets and segments.
    pub fn health(&self) -> Result<Health> {
        health::health(&*self.unheld()?)
    }

    /// Does all maintenance that is due, now and on all cores, whatever the budget; searches the waiting live queries again
    /// and measures the stop rules if enough has changed. Tells what was done.
    pub fn run_maintenance(&self) -> Result<Vec<JobRecord>> {
        let state = &self.unheld()?;
        state.check_writable()?;
        // Before jobs remove what the answers are judged by.
        let pool = state.components.start_pool()?;
        calibrate::check_shadows(state, &pool)?;
        let records = maintain::run_once(state, &pool, &OTHER_PATHS)?;
        calibrate::refresh(state, &pool, Unrest::Settled)?;
        Ok(records)
    }

    /// Does one thing that the background thread does; simulations have no such thread. Flushes may come amid a job or a load.
    #[cfg(feature = "sim")]
    pub fn run_chore(&self, chore: maintain::Chore) -> Result<()> {
        use maintain::Chore;
        let state = if matches!(chore, Chore::Freeze | Chore::Flush) { self.state()? } else { self.unheld()? };
        maintain::run_chore(&state, OTHER_PATHS, chore)
    }

    /// Lets no further background job begin. Flushes go on.
    pub fn pause_maintenance(&self) -> Result<()> {
        self.state()?.schedule.set_paused(true);
        Ok(())
    }

    /// Lets background jobs begin again.
    pub fn resume_maintenance(&self) -> Result<()> {
        let state = &self.state()?;
        state.schedule.set_paused(false);
        state.signal.raise(|work| work.maintain = true);
        Ok(())
    }

    /// Whether background jobs are paused.
    pub fn is_maintenance_paused(&self) -> Result<bool> {
        Ok(self.state()?.schedule.is_paused())
    }

    /// Waits until background work has come to rest, at most for `timeout`; whether it has. At rest nothing is due, no time is
    /// set at which anything will be, but for the rows that expire next, and no file is touched until the next call of a method.
    pub fn wait_for_rest(&self, timeout: Duration) -> Result<bool> {
        Ok(maintain::await_rest(&*self.unheld()?, timeout))
    }

    /// What background jobs may take.
    pub fn budget(&self) -> Result<Budget> {
        Ok(self.state()?.schedule.budget())
    }

    /// Changes what background jobs may take, until the collection is closed.
    pub fn set_budget(&self, budget: Budget) -> Result<()> {
        let state = &self.state()?;
        state.schedule.set_budget(budget)?;
        state.signal.raise(|work| work.maintain = true);
        Ok(())
    }

    /// Reads every byte of every file, and checks that files and memory agree.
    pub fn verify(&self) -> Result<VerifyReport> {
        self.verify_watched(&mut unwatched)
    }

    /// As [`Collection::verify`], unless `progress` stops it.
    pub fn verify_watched(&self, progress: OnWork<'_>) -> Result<VerifyReport> {
        let mut report = verify::verify(&*self.unheld()?, progress)?;
        report.problems.extend(self.database.catalog_problems()?);
        Ok(report)
    }

    /// Writes anew what [`Collection::verify`] finds damaged and what follows from sound bytes: logs, the bitstore,
    /// manifests before the newest. What the report still lists cannot be repaired.
    pub fn repair(&self) -> Result<VerifyReport> {
        self.repair_watched(&mut unwatched)
    }

    /// As [`Collection::repair`], unless `progress` stops it.
    pub fn repair_watched(&self, progress: OnWork<'_>) -> Result<VerifyReport> {
        let mut report = repair::repair(&*self.unheld()?, progress)?;
        report.repaired.extend(self.database.repair_catalog()?);
        report.problems.extend(self.database.catalog_problems()?);
        Ok(report)
    }

    /// Figures of the collection.
    pub fn stats(&self) -> Result<Stats> {
        stats::stats(&*self.state()?)
    }

    /// Closes this and every other handle to the collection. Closing twice is no error.
    pub fn close(&self) -> Result<()> {
        self.database.check_process()?;
        self.open.close()
    }

    /// Whether the handle was closed, alone or with its database.
    pub fn is_closed(&self) -> bool {
        self.open.is_closed()
    }
}
