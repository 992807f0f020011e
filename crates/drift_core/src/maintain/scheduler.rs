//! The background threads of a collection: flushes, the memtable's graph and maintenance on one, fsyncs of the interval mode
//! on another.
//!
//! Layer 6. They sleep until the write path raises work, so an idle collection costs nothing. The first has a worker for jobs and
//! measurements, by the budget, so that a flush waits for neither. A failure makes the collection `degraded` and is tried
//! again with growing pauses; nothing spins. The one timer of an idle collection is that of the next row to expire.

use super::expire;
use super::flush::flush_oldest;
use super::step::unrest;
use super::sync;
use super::worker::{Done, OtherPaths, Task, Worker};
use crate::error::{Error, Result};
use crate::state::{CollectionState, Unrest, Work};
use crate::sync::MutexGuard;
use crate::types::NEVER;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

/// Pause after the first failure; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(60);

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
            collection.set_panicked(reason);
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
    worker: Worker,
    /// When to flush again after a failure, and when to go on with the rest.
    flush_retry: Backoff,
    work_retry: Backoff,
    /// Whether a job may be due, and the last one that did something: the budget in force says how long after it the next may begin.
    job_wanted: bool,
    last_job: Option<LastJob>,
    /// In what state of the collection the stop rules are to be looked at.
    refresh: Option<Unrest>,
    /// Whether that was the last thing the worker did: then a job that is due comes first.
    has_refreshed: bool,
    /// Whether live queries wait to be searched again, and when more may be.
    shadows: bool,
    shadow_due: Option<Duration>,
}

impl Scheduler {
    fn new(collection: Arc<CollectionState>, paths: OtherPaths) -> Scheduler {
        Scheduler {
            worker: Worker::new(collection.clone(), paths),
            collection,
            flush_retry: Backoff::default(),
            work_retry: Backoff::default(),
            job_wanted: false,
            last_job: None,
            refresh: None,
            has_refreshed: false,
            shadows: false,
            shadow_due: None,
        }
    }

    fn run(mut self) {
        self.want_shadows();
        if self.collection.pin().is_doubted() {
            // The process before has not come to measuring.
            self.job_wanted = true;
        }
        self.begin_next();
        loop {
            let work = self.wait();
            if work.stop {
                self.worker.finish();
                return;
            }
            self.take_done();
            if work.flush || self.flush_retry.is_due(self.now()) {
                let outcome = self.flush();
                self.note(|own| &mut own.flush_retry, outcome);
            }
            let now = self.now();
            self.job_wanted |= work.maintain || work.flush || self.expiry().is_some_and(|wait| wait.is_zero());
            self.shadows |= work.shadow;
            if self.shadow_due.is_some_and(|due| due <= now) {
                self.shadow_due = None;
                self.want_shadows();
            }
            self.begin_next();
            if work.graph && self.collection.counters.asked.swap(false, Ordering::Relaxed) {
                self.extend_graph();
            }
        }
    }

    fn now(&self) -> Duration {
        self.collection.components.clock.monotonic()
    }

    /// Waits for work, or until something is due. It rests when nothing is.
    fn wait(&mut self) -> Work {
        let now = self.now();
        let idle = !self.worker.is_busy();
        // What the worker has failed at holds up all that it is to do.
        let held = self.work_retry.due();
        let tasks = held.or(self.job_due()).filter(|_| idle);
        let due = [self.flush_retry.due(), tasks, self.shadow_due].into_iter().flatten().min();
        let expiry = self.expiry().filter(|_| idle && held.is_none());
        let wait = due.map(|due| due.saturating_sub(now)).into_iter().chain(expiry).min();
        let rests = idle && due.is_none() && expiry.is_none_or(|wait| !wait.is_zero());
        self.collection.signal.take(wait, rests)
    }

    /// How long until rows are to be deleted because they have expired; none while a job is to come anyway, or none may.
    fn expiry(&self) -> Option<Duration> {
        let may = !self.job_wanted && !self.collection.schedule.is_paused();
        if may && self.collection.earliest_expiry() != NEVER { expire::wait(&self.collection, true) } else { None }
    }

    fn flush(&mut self) -> Result<()> {
        loop {
            let mut maintenance = self.collection.maintenance.lock();
            if !flush_oldest(&self.collection, &mut maintenance)? {
                break;
            }
            MutexGuard::unlock_fair(maintenance);
            if self.collection.signal.stopping() {
                return Ok(());
            }
            self.take_done();
            self.begin_next();
        }
        self.refresh.get_or_insert(unrest(&self.collection));
        Ok(())
    }

    fn want_shadows(&mut self) {
        self.shadows |= self.collection.recall.waiting.want();
    }

    /// Has the worker do what is wanted most, if it is idle.
    fn begin_next(&mut self) {
        let now = self.now();
        if self.worker.is_busy() || self.work_retry.due().is_some_and(|due| due > now) {
            return;
        }
        let job = (self.refresh.is_none() || self.has_refreshed) && self.job_may_begin();
        let task = if job {
            self.job_wanted = false;
            Task::Job
        } else if let Some(state) = self.refresh.take() {
            Task::Refresh(state)
        } else if std::mem::take(&mut self.shadows) {
            Task::Shadows
        } else {
            if self.work_retry.due().is_some() {
                // Nothing is left to be tried again.
                self.note(|own| &mut own.work_retry, Ok(()));
            }
            return;
        };
        self.has_refreshed = matches!(task, Task::Refresh(_));
        let outcome = self.worker.begin(task);
        if outcome.is_err() {
            self.want(task);
            self.note(|own| &mut own.work_retry, outcome);
        }
    }

    /// Has the worker do a task again.
    fn want(&mut self, task: Task) {
        match task {
            Task::Job => self.job_wanted = true,
            Task::Refresh(state) => _ = self.refresh.get_or_insert(state),
            Task::Shadows => self.shadows = true,
        }
    }

    /// When the next job may begin, by the budget in force; none while none is wanted, or none may.
    fn job_due(&self) -> Option<Duration> {
        let schedule = &self.collection.schedule;
        if !self.job_wanted || schedule.is_paused() {
            return None;
        }
        let (now, budget) = (self.now(), schedule.budget());
        let after = |last: &LastJob| last.ended.saturating_add(budget.pause_after(last.took, last.rows, last.bytes));
        let due = self.last_job.as_ref().map_or(Duration::ZERO, after);
        let quiet = budget.quiet_for(self.collection.components.clock.wall());
        Some(if quiet.is_zero() { due } else { due.max(now + quiet) })
    }

    fn job_may_begin(&self) -> bool {
        let now = self.now();
        self.job_due().is_some_and(|due| due <= now)
    }

    /// Goes by what the worker has done, if it has.
    fn take_done(&mut self) {
        let Some(done) = self.worker.take_done() else { return };
        let now = self.now();
        let outcome = match done {
            Done::Job(Ok(step)) => {
                if let Some(step) = &step {
                    let (took, rows, bytes) = (step.record.took, step.rows, step.record.bytes);
                    self.last_job = Some(LastJob { ended: now, took, rows, bytes });
                    self.job_wanted = true;
                }
                // Defining buckets anew changes how far searches must go at once.
                let state = if step.is_some() { unrest(&self.collection) } else { Unrest::Settled };
                self.refresh = Some(state);
                return;
            }
            Done::Job(Err(error)) => {
                self.want(Task::Job);
                Err(error)
            }
            Done::Refresh(state, outcome) => {
                if outcome.is_err() {
                    self.want(Task::Refresh(state));
                }
                outcome
            }
            Done::Shadows { outcome, took } => {
                self.shadows |= outcome.is_err();
                self.shadow_due = Some(now + took.mul_f64(1.0 / SHADOW_SHARE - 1.0));
                outcome
            }
        };
        self.note(|own| &mut own.work_retry, outcome);
    }

    fn extend_graph(&self) {
        let collection = &*self.collection;
        let active = collection.pin().active.clone();
        let current = || Arc::ptr_eq(&active, &collection.pin().active);
        let stop = || collection.signal.stopping() || !current();
        collection.pool.install(|| active.extend_graph(collection.components.seed, stop));
    }

    fn note(&mut self, retry: fn(&mut Scheduler) -> &mut Backoff, outcome: Result<()>) {
        let now = self.now();
        match outcome {
            Ok(()) => {
                *retry(self) = Backoff::default();
                if self.flush_retry.due().is_none() && self.work_retry.due().is_none() {
                    self.collection.set_degraded(None);
                }
            }
            Err(error) => {
                tracing::warn!(collection = %self.collection.name, %error, "background work failed");
                retry(self).fail(now);
                self.collection.set_degraded(Some(error.message().to_owned()));
            }
        }
    }
}

/// What a job has taken.
struct LastJob {
    ended: Duration,
    took: Duration,
    rows: u64,
    bytes: u64,
}

/// When to try again what has failed.
#[derive(Clone, Copy, Debug, Default)]
struct Backoff(Option<(Duration, Duration)>);

impl Backoff {
    fn fail(&mut self, now: Duration) {
        let pause = self.0.map_or(RETRY_MIN, |(_, pause)| (2 * pause).min(RETRY_MAX));
        self.0 = Some((now + pause, pause));
    }

    fn due(&self) -> Option<Duration> {
        self.0.map(|(at, _)| at)
    }

    fn is_due(&self, now: Duration) -> bool {
        self.due().is_some_and(|at| at <= now)
    }
}
