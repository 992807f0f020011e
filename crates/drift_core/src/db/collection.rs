//! A handle to an open collection.
//!
//! Layer 7. Every call checks that the handle is open and the process is the one that opened it, then goes to one of
//! the three paths.

use super::health::{self, Health};
use super::{Database, repair, stats, verify};
use crate::config::Durability;
use crate::error::{Error, Result};
use crate::ingest::source::{LoadReport, RowSource};
use crate::ingest::{self, OnProgress};
use crate::maintain;
use crate::search::{self, calibrate};
use crate::state::{Budget, CollectionState, JobRecord};
use crate::types::{
    Hits, IdRef, Ids, Interrupt, Missing, OptimizeReport, Rows, Schema, SearchOptions, Stats, Vectors, VerifyReport,
};
use parking_lot::Mutex;
use std::sync::Arc;
use std::thread::JoinHandle;

const MEASURING: maintain::Measuring =
    maintain::Measuring { refresh: calibrate::refresh, check_shadows: calibrate::check_shadows };

/// An open collection and its background thread.
pub(super) struct OpenCollection {
    pub(super) state: Arc<CollectionState>,
    scheduler: Mutex<Option<JoinHandle<()>>>,
}

impl OpenCollection {
    /// Starts background work, unless the collection is for reading only.
    pub(super) fn start(state: CollectionState) -> Result<OpenCollection> {
        let state = Arc::new(state);
        let scheduler = if state.config.read_only {
            None
        } else {
            let handle = maintain::start(state.clone(), MEASURING);
            Some(handle.map_err(|error| Error::io("cannot start the background thread", error))?)
        };
        Ok(OpenCollection { state, scheduler: Mutex::new(scheduler) })
    }

    /// Ends background work and makes the log durable. Closing twice is no error.
    pub(super) fn close(&self) -> Result<()> {
        // Without a log, what is in memory is durable only by a flush.
        let flushed = match self.state.config.durability {
            Durability::None if !self.state.is_closed() && !self.state.config.read_only => {
                maintain::flush_all(&self.state)
            }
            _ => Ok(()),
        };
        self.state.mark_closed();
        self.state.signal.raise(|work| work.stop = true);
        self.state.room.notify_all();
        let Some(scheduler) = self.scheduler.lock().take() else { return Ok(()) };
        scheduler.join().map_err(|_| Error::internal("the background thread panicked"))?;
        flushed.and(ingest::seal(&self.state))
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

    fn state(&self) -> Result<&CollectionState> {
        self.database.check_process()?;
        self.open.state.check_open()?;
        Ok(&self.open.state)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.open.state.name
    }

    /// Dimension, metric and id type.
    pub fn schema(&self) -> &Schema {
        &self.open.state.schema
    }

    /// The database that it is in.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Inserts rows whose ids must be new: `AlreadyExists` names the first that is not, and nothing is written.
    pub fn add(&self, ids: &Ids, vectors: Vectors<'_>) -> Result<()> {
        ingest::add(self.state()?, ids, vectors)
    }

    /// Inserts rows, or replaces those whose ids exist; of an id given twice the last row wins.
    pub fn upsert(&self, ids: &Ids, vectors: Vectors<'_>) -> Result<()> {
        ingest::upsert(self.state()?, ids, vectors)
    }

    /// Deletes rows and returns how many existed.
    pub fn delete(&self, ids: &Ids) -> Result<u64> {
        ingest::delete(self.state()?, ids)
    }

    /// Rows by id, in the order of `ids`.
    pub fn get(&self, ids: &Ids, missing: Missing) -> Result<Rows> {
        search::get(self.state()?, ids, missing)
    }

    /// Whether there is a row with this id.
    pub fn contains(&self, id: IdRef<'_>) -> Result<bool> {
        search::contains(self.state()?, id)
    }

    /// Number of rows.
    pub fn len(&self) -> Result<u64> {
        Ok(self.state()?.pin().live_rows)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// All ids, in order of their last write.
    pub fn ids(&self) -> Result<Ids> {
        search::ids(self.state()?)
    }

    /// Searches row-major `queries` (`n * dim`); rows acknowledged before are found.
    pub fn search(&self, queries: &[f32], options: &SearchOptions, interrupt: Interrupt<'_>) -> Result<Hits> {
        search::search(self.state()?, queries, options, interrupt)
    }

    /// Loads all rows of a source in one commit; ids that exist are replaced.
    pub fn load(&self, source: &mut dyn RowSource, progress: OnProgress<'_>) -> Result<LoadReport> {
        let state = self.state()?;
        let report = ingest::load(state, source, progress)?;
        state.pool.install(|| calibrate::refresh(state, true))?;
        maintain::after_load(state)?;
        Ok(report)
    }

    /// Moves everything that is in memory and logs into segments.
    pub fn flush(&self) -> Result<()> {
        let state = self.state()?;
        maintain::flush_all(state)?;
        state.pool.install(|| calibrate::refresh(state, true)).map(|_| ())
    }

    /// Rewrites the collection where that helps: one segment, no dead rows, buckets near their target size.
    pub fn optimize(&self) -> Result<OptimizeReport> {
        let state = self.state()?;
        let report = maintain::optimize(state)?;
        if report.is_change() {
            state.pool.install(|| calibrate::measure(state))?;
        }
        Ok(report)
    }

    /// The recall that queries have, and the state of buckets and segments.
    pub fn health(&self) -> Result<Health> {
        health::health(self.state()?)
    }

    /// Does all maintenance that is due, now and on all cores, whatever the budget; searches the waiting live queries again
    /// and measures the stop rules if enough has changed. Tells what was done.
    pub fn run_maintenance(&self) -> Result<Vec<JobRecord>> {
        let state = self.state()?;
        let records = maintain::run_once(state)?;
        state.pool.install(|| {
            calibrate::check_shadows(state)?;
            calibrate::refresh(state, true)
        })?;
        state.recall.want_shadows();
        Ok(records)
    }

    /// Does one thing that the background thread does; simulations have no such thread.
    #[cfg(feature = "sim")]
    pub fn run_chore(&self, chore: maintain::Chore) -> Result<()> {
        maintain::run_chore(self.state()?, MEASURING, chore)
    }

    /// Lets no further background job begin. Flushes go on.
    pub fn pause_maintenance(&self) -> Result<()> {
        self.state()?.schedule.set_paused(true);
        Ok(())
    }

    /// Lets background jobs begin again.
    pub fn resume_maintenance(&self) -> Result<()> {
        let state = self.state()?;
        state.schedule.set_paused(false);
        state.signal.raise(|work| work.maintain = true);
        Ok(())
    }

    /// Whether background jobs are paused.
    pub fn is_maintenance_paused(&self) -> Result<bool> {
        Ok(self.state()?.schedule.is_paused())
    }

    /// What background jobs may take.
    pub fn budget(&self) -> Result<Budget> {
        Ok(self.state()?.schedule.budget())
    }

    /// Changes what background jobs may take, until the collection is closed.
    pub fn set_budget(&self, budget: Budget) -> Result<()> {
        let state = self.state()?;
        state.schedule.set_budget(budget)?;
        state.signal.raise(|work| work.maintain = true);
        Ok(())
    }

    /// Reads every byte of every file, and checks that files and memory agree.
    pub fn verify(&self) -> Result<VerifyReport> {
        let mut report = verify::verify(self.state()?)?;
        report.problems.extend(self.database.catalog_problems()?);
        Ok(report)
    }

    /// Writes anew what [`Collection::verify`] finds damaged and what follows from sound bytes: logs, the bitstore,
    /// manifests before the newest. What the report still lists cannot be repaired.
    pub fn repair(&self) -> Result<VerifyReport> {
        let mut report = repair::repair(self.state()?)?;
        report.repaired.extend(self.database.repair_catalog()?);
        report.problems.extend(self.database.catalog_problems()?);
        Ok(report)
    }

    /// Figures of the collection.
    pub fn stats(&self) -> Result<Stats> {
        stats::stats(self.state()?)
    }

    /// Closes this and every other handle to the collection. Closing twice is no error.
    pub fn close(&self) -> Result<()> {
        self.database.check_process()?;
        self.open.close()
    }

    /// Whether the handle was closed, alone or with its database.
    pub fn is_closed(&self) -> bool {
        self.open.state.is_closed()
    }
}
