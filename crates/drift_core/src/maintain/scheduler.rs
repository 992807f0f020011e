//! The background threads of a collection: flushes, the memtable's graph and maintenance on one, fsyncs of the interval mode
//! on another.
//!
//! Layer 6. They sleep until the write path raises work, so an idle collection costs nothing. Jobs run on the first thread
//! and, by the budget, for a share of its time; flushes go first. A failure makes the collection `degraded` and is tried
//! again with growing pauses; nothing spins. The one timer of an idle collection is that of the next row to expire.

use super::expire;
use super::flush::flush_oldest;
use super::step::{Order, Step, step, unrest};
use super::sync;
use crate::clock::JOB_THREAD;
use crate::error::{Error, ErrorKind, Result};
use crate::state::{CollectionState, Unrest};
use crate::sync::{Pool, start_pool};
use crate::types::NEVER;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

/// Pause after the first failure; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How long until background work is tried again for which another thread holds the lock, that of a load for one: nothing tells when it
/// lets go. Flushes go on meanwhile.
const BUSY_PAUSE: Duration = Duration::from_millis(500);

/// What background work asks of the read and the write path.
#[derive(Clone, Copy)]
pub struct OtherPaths {
    /// Measures the stop rules anew if enough has changed, and tells whether it did; none where another thread is about to.
    pub refresh: fn(&CollectionState, &Pool, Unrest) -> Result<Option<bool>>,
    /// Searches live queries again; tells how many.
    pub check_shadows: fn(&CollectionState, &Pool) -> Result<usize>,
    /// Deletes rows that have expired, at most so many; tells how many it met.
    pub expire: fn(&CollectionState, usize) -> Result<u64>,
}

/// Share of one core that searching live queries again may take.
const SHADOW_SHARE: f64 = 0.05;

/// The threads of a collection.
pub struct Background {
    collection: Arc<CollectionState>,
    threads: Vec<JoinHandle<()>>,
}

impl Background {
    /// Starts them.
    pub fn start(collection: Arc<CollectionState>, paths: OtherPaths) -> std::io::Result<Background> {
        let spawner = collection.components.spawner.clone();
        if !spawner.runs_background() {
            return Ok(Background { collection, threads: Vec::new() });
        }
        // The system shows fifteen characters.
        let name = collection.name.chars().take(9).collect::<String>();
        let (scheduled, synced) = (collection.clone(), collection.clone());
        let thread =
            spawner.spawn(&format!("drift-{name}"), guarded(scheduled, move |of| Scheduler::new(of, paths).run()))?;
        let mut background = Background { collection, threads: vec![thread] };
        if sync::is_needed(&background.collection.config) {
            match spawner.spawn(&format!("sync-{name}"), guarded(synced, |of| sync::run(&of))) {
                Ok(thread) => background.threads.push(thread),
                Err(error) => {
                    let _ = background.stop();
                    return Err(error);
                }
            }
        }
        Ok(background)
    }

    /// Ends them.
    pub fn stop(self) -> Result<()> {
        self.collection.signal.raise(|work| work.stop = true);
        self.collection.log_signal.raise(|work| work.stop = true);
        let ended: Vec<_> = self.threads.into_iter().map(JoinHandle::join).collect();
        ended.into_iter().try_for_each(|end| end.map_err(|_| Error::internal("a background thread panicked")))
    }
}

/// The work of a background thread, whose panic does not go unseen until the collection closes.
fn guarded(
    collection: Arc<CollectionState>,
    work: impl FnOnce(Arc<CollectionState>) + Send + 'static,
) -> Box<dyn FnOnce() + Send> {
    Box::new(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| work(collection.clone())));
        if let Err(panic) = outcome {
            let reason = "a background thread has panicked, a bug in drift: close the database and open it again";
            collection.set_degraded(Some(reason.to_owned()));
            collection.set_flush_failure(Some(reason.to_owned()));
            resume_unwind(panic);
        }
    })
}

/// Waits until background work has come to rest, at most for `timeout`; whether it has.
pub fn await_rest(collection: &CollectionState, timeout: Duration) -> bool {
    let clock = &collection.components.clock;
    let start = clock.monotonic();
    // In this order: what is scheduled may write to the log, and an fsync makes no other work.
    collection.signal.await_rest(timeout)
        && (!sync::is_needed(&collection.config)
            || collection.log_signal.await_rest(timeout.saturating_sub(clock.monotonic() - start)))
}

struct Scheduler {
    collection: Arc<CollectionState>,
    paths: OtherPaths,
    /// When to try again, and the pause after that.
    retry: Option<(Duration, Duration)>,
    /// When the next job may begin; none while none is due.
    job_due: Option<Duration>,
    /// When more live queries may be searched again; none while there are some to come.
    shadow_due: Option<Duration>,
    /// One thread for jobs, started with the first.
    job_pool: Option<Pool>,
}

impl Scheduler {
    fn new(collection: Arc<CollectionState>, paths: OtherPaths) -> Scheduler {
        Scheduler { collection, paths, retry: None, job_due: None, job_pool: None, shadow_due: None }
    }

    fn run(mut self) {
        self.want_shadows();
        if self.collection.pin().is_doubted() {
            // The process before has not come to measuring.
            self.job_due = Some(self.collection.components.clock.monotonic());
        }
        loop {
            let now = self.collection.components.clock.monotonic();
            let job_due = self.job_due.filter(|_| !self.collection.schedule.is_paused());
            let due = [self.retry.map(|(at, _)| at), job_due, self.shadow_due].into_iter().flatten().min();
            let expiry = self.expiry();
            let wait = due.map(|due| due.saturating_sub(now)).into_iter().chain(expiry).min();
            let work = self.collection.signal.take(wait, due.is_none() && expiry.is_none_or(|wait| !wait.is_zero()));
            if work.stop {
                return;
            }
            let now = self.collection.components.clock.monotonic();
            if work.flush || self.retry.is_some_and(|(at, _)| at <= now) {
                let outcome = self.flush();
                self.note(now, outcome);
            }
            if work.maintain || work.flush || self.expiry().is_some_and(|wait| wait.is_zero()) {
                self.job_due.get_or_insert(now);
            }
            self.run_job();
            if work.shadow {
                self.check_shadows();
            } else if self.shadow_due.is_some_and(|due| due <= now) {
                self.shadow_due = None;
                self.want_shadows();
            }
            if work.graph && self.collection.counters.asked.swap(false, Ordering::Relaxed) {
                self.extend_graph();
            }
        }
    }

    /// How long until rows are to be deleted because they have expired; none while a job is to come anyway, or none may.
    fn expiry(&self) -> Option<Duration> {
        let may = self.job_due.is_none() && !self.collection.schedule.is_paused();
        if may && self.collection.earliest_expiry() != NEVER { expire::wait(&self.collection, true) } else { None }
    }

    fn flush(&mut self) -> Result<()> {
        loop {
            let mut maintenance = self.collection.maintenance.lock();
            if !flush_oldest(&self.collection, &mut maintenance)? {
                break;
            }
            drop(maintenance);
            if self.collection.signal.stopping() {
                return Ok(());
            }
        }
        self.refresh(unrest(&self.collection))
    }

    fn want_shadows(&self) {
        if self.collection.recall.want_shadows() {
            self.collection.signal.raise(|work| work.shadow = true);
        }
    }

    fn check_shadows(&mut self) {
        let clock = self.collection.components.clock.clone();
        let start = clock.monotonic();
        let (collection, check) = (self.collection.clone(), self.paths.check_shadows);
        let outcome = self.pool().and_then(|pool| check(&collection, pool));
        let took = clock.monotonic() - start;
        self.shadow_due = Some(clock.monotonic() + took.mul_f64(1.0 / SHADOW_SHARE - 1.0));
        self.note(start, outcome.map(|_| ()));
    }

    /// Runs the next job if it may begin, and says when the one after it may.
    fn run_job(&mut self) {
        let collection = self.collection.clone();
        let (clock, schedule) = (&collection.components.clock, &collection.schedule);
        let now = clock.monotonic();
        if schedule.is_paused() || self.job_due.is_none_or(|due| due > now) {
            return;
        }
        let quiet = schedule.budget().quiet_for(clock.wall());
        if !quiet.is_zero() {
            self.job_due = Some(now + quiet);
            return;
        }
        let Some(job) = collection.job.try_lock() else {
            self.job_due = Some(now + BUSY_PAUSE);
            return;
        };
        let outcome = self.job();
        drop(job);
        match outcome {
            Ok(Some(step)) => {
                let pause = schedule.budget().pause_after(step.record.took, step.rows, step.record.bytes);
                self.job_due = Some(clock.monotonic().saturating_add(pause));
                // Defining buckets anew changes how far searches must go at once.
                let outcome = self.refresh(unrest(&collection));
                self.note(now, outcome);
            }
            Ok(None) => {
                self.job_due = None;
                let outcome = self.refresh(Unrest::Settled);
                self.note(now, outcome);
            }
            Err(error) => {
                self.note(now, Err(error));
                self.job_due = self.retry.map(|(at, _)| at);
            }
        }
    }

    fn job(&mut self) -> Result<Option<Step>> {
        let (collection, paths) = (self.collection.clone(), self.paths);
        self.pool()?.install(|| step(&collection, &paths, Order::ByUrgency))
    }

    fn refresh(&mut self, state: Unrest) -> Result<()> {
        let (collection, refresh) = (self.collection.clone(), self.paths.refresh);
        if refresh(&collection, self.pool()?, state)?.is_none() {
            let due = collection.components.clock.monotonic() + BUSY_PAUSE;
            self.job_due = Some(self.job_due.map_or(due, |known| known.max(due)));
        }
        Ok(())
    }

    fn pool(&mut self) -> Result<&Pool> {
        match &mut self.job_pool {
            Some(pool) => Ok(pool),
            none => Ok(none.insert(start_job_pool(&self.collection)?)),
        }
    }

    fn extend_graph(&self) {
        let active = self.collection.pin().active.clone();
        let current = || Arc::ptr_eq(&active, &self.collection.pin().active);
        let stop = || self.collection.signal.stopping() || !current();
        self.collection.pool.install(|| active.extend_graph(self.collection.components.seed, stop));
    }

    fn note(&mut self, now: Duration, outcome: Result<()>) {
        match outcome {
            Ok(()) => {
                self.retry = None;
                self.collection.set_degraded(None);
            }
            Err(error) => {
                tracing::warn!(collection = %self.collection.name, %error, "background work failed");
                let pause = self.retry.map_or(RETRY_MIN, |(_, pause)| (2 * pause).min(RETRY_MAX));
                self.retry = Some((now + pause, pause));
                self.collection.set_degraded(Some(error.message().to_owned()));
            }
        }
    }
}

/// A pool of one thread.
fn start_job_pool(collection: &CollectionState) -> Result<Pool> {
    let spawner = collection.components.spawner.clone();
    let spawn =
        move |thread: rayon::ThreadBuilder| spawner.spawn(JOB_THREAD, Box::new(move || thread.run())).map(|_| ());
    start_pool(1, spawn)
        .map_err(|error| Error::new(ErrorKind::Exhausted, format!("cannot start a thread: {error}")).with_source(error))
}

/// What the background thread does at a time, for simulations, which choose the order themselves.
#[cfg(feature = "sim")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chore {
    /// Freezes the active memtable, as the write does that fills it.
    Freeze,
    /// Flushes the oldest frozen memtable, unless a job that this runs amid is about to commit.
    Flush,
    /// Fsyncs the log, as under `durability="interval"`.
    Sync,
    /// Does the most urgent job that is due.
    Job,
    /// Measures the stop rules, if enough has changed.
    Measure,
    /// Searches live queries again.
    Shadows,
}

/// Does one chore, on the caller's thread.
#[cfg(feature = "sim")]
pub fn run_chore(collection: &CollectionState, paths: OtherPaths, chore: Chore) -> Result<()> {
    match chore {
        Chore::Freeze => collection.rotate(&mut collection.writes.lock()).map(|_| ()),
        // Within a job, which may be committing.
        Chore::Flush => {
            collection.maintenance.try_lock().map_or(Ok(()), |mut lock| flush_oldest(collection, &mut lock).map(|_| ()))
        }
        Chore::Sync => sync::sync(collection),
        Chore::Job => {
            let _job = collection.job.lock();
            collection.pool.install(|| step(collection, &paths, Order::ByUrgency)).map(|_| ())
        }
        Chore::Measure => (paths.refresh)(collection, &collection.pool, Unrest::Settled).map(|_| ()),
        Chore::Shadows => (paths.check_shadows)(collection, &collection.pool).map(|_| ()),
    }
}
