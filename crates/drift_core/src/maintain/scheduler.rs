//! The background threads of a collection: flushes, the memtable's graph and maintenance on one, fsyncs of the interval mode
//! on another.
//!
//! Layer 6. They sleep until the write path raises work, so an idle collection costs nothing. The first has two workers, one for jobs, by
//! the budget, and one for measurements, so that a flush waits for neither, and no measurement for a job. A failure makes the collection
//! `degraded` and is tried again with growing pauses; nothing spins. The one timer of an idle collection is that of the next row to expire.

use super::expire;
use super::flush::flush_oldest;
use super::step::unrest;
use super::sync;
use super::worker::{Done, OtherPaths, Task, Worker, start_job_pool};
use crate::error::{Error, Result};
use crate::state::{CollectionState, Unrest, Work};
use crate::sync::{MutexGuard, Pool};
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

/// How long after a flush rules are measured as on a collection at rest, which takes about as long: while memtables are flushed faster, it
/// would be overtaken each time, and what is measured on fewer rows would wait for it.
const REST_AFTER: Duration = Duration::from_secs(1);

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
    jobs: Worker,
    measurements: Worker,
    /// The thread of flushes that nobody waits for, once there was one.
    quiet: Option<Pool>,
    /// When to go on with each after a failure.
    flush_retry: Backoff,
    job_retry: Backoff,
    measurement_retry: Backoff,
    /// Whether a job may be due, and the last one that did something: the budget in force says how long after it the next may begin.
    job_wanted: bool,
    last_job: Option<LastJob>,
    /// When a memtable was last flushed.
    last_flush: Option<Duration>,
    /// Whether the stop rules are to be looked at, and whether as those of a collection at rest, once it is.
    refresh: bool,
    settled: bool,
    /// Whether live queries wait to be searched again, and when more may be.
    shadows: bool,
    shadow_due: Option<Duration>,
}

impl Scheduler {
    fn new(collection: Arc<CollectionState>, paths: OtherPaths) -> Scheduler {
        Scheduler {
            jobs: Worker::new(collection.clone(), paths),
            measurements: Worker::new(collection.clone(), paths),
            collection,
            quiet: None,
            flush_retry: Backoff::default(),
            job_retry: Backoff::default(),
            measurement_retry: Backoff::default(),
            job_wanted: false,
            last_job: None,
            last_flush: None,
            refresh: false,
            settled: false,
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
                self.jobs.finish();
                self.measurements.finish();
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
        let (jobs_idle, measurements_idle) = (!self.jobs.is_busy(), !self.measurements.is_busy());
        // What a worker has failed at holds up all that it is to do.
        let job = self.job_retry.due().or(self.job_due()).filter(|_| jobs_idle);
        let measurement = self.measurement_retry.due().or(self.settled_due()).filter(|_| measurements_idle);
        let due = [self.flush_retry.due(), job, measurement, self.shadow_due].into_iter().flatten().min();
        let expiry = self.expiry().filter(|_| jobs_idle && self.job_retry.due().is_none());
        let wait = due.map(|due| due.saturating_sub(now)).into_iter().chain(expiry).min();
        let rests = jobs_idle && measurements_idle && due.is_none() && expiry.is_none_or(|wait| !wait.is_zero());
        self.collection.signal.take(wait, rests)
    }

    /// How long until rows are to be deleted because they have expired; none while a job is to come anyway, or none may.
    fn expiry(&self) -> Option<Duration> {
        let may = !self.job_wanted && !self.collection.schedule.is_paused();
        if may && self.collection.earliest_expiry() != NEVER { expire::wait(&self.collection, true) } else { None }
    }

    fn flush(&mut self) -> Result<()> {
        loop {
            if !self.flush_next()? {
                break;
            }
            self.last_flush = Some(self.now());
            if self.collection.signal.stopping() {
                return Ok(());
            }
            self.refresh = true;
            self.take_done();
            self.begin_next();
        }
        let state = unrest(&self.collection);
        self.want_refresh(state);
        Ok(())
    }

    /// Flushes the oldest frozen memtable; false if there is none. Where somebody searches and no other memtable waits, on a thread that
    /// stands behind those that search.
    fn flush_next(&mut self) -> Result<bool> {
        let collection = self.collection.clone();
        let is_quiet = collection.pin().frozen.len() == 1 && collection.counters.asked.load(Ordering::Relaxed);
        if is_quiet && self.quiet.is_none() {
            self.quiet = Some(start_job_pool(&collection)?);
        }
        let mut lock = collection.maintenance.lock();
        let maintenance = &mut *lock;
        let flushed = match &self.quiet {
            Some(quiet) if is_quiet => quiet.install(|| flush_oldest(&collection, maintenance)),
            _ => flush_oldest(&collection, maintenance),
        };
        // A job that waits comes before the next.
        MutexGuard::unlock_fair(lock);
        flushed
    }

    /// Has the rules looked at now, and in a collection that jobs are done with again when it is at rest.
    fn want_refresh(&mut self, state: Unrest) {
        self.refresh = true;
        self.settled = state == Unrest::Settled;
    }

    fn want_shadows(&mut self) {
        self.shadows |= self.collection.recall.waiting.want();
    }

    /// Has the workers do what is wanted, where they are idle.
    fn begin_next(&mut self) {
        let now = self.now();
        let may_begin = |worker: &Worker, retry: Backoff| !worker.is_busy() && retry.due().is_none_or(|due| due <= now);
        if may_begin(&self.jobs, self.job_retry) {
            let task = self.take_job();
            self.begin(task, |own| &mut own.jobs, |own| &mut own.job_retry);
        }
        if may_begin(&self.measurements, self.measurement_retry) {
            let task = self.take_measurement();
            self.begin(task, |own| &mut own.measurements, |own| &mut own.measurement_retry);
        }
    }

    fn take_job(&mut self) -> Option<Task> {
        let begins = self.job_may_begin();
        self.job_wanted &= !begins;
        begins.then_some(Task::Job)
    }

    /// What is to be measured first.
    fn take_measurement(&mut self) -> Option<Task> {
        let is_at_rest = self.settled_due().is_some_and(|due| due <= self.now());
        if std::mem::take(&mut self.refresh) {
            Some(Task::Refresh(Unrest::Passing))
        } else if is_at_rest {
            self.settled = false;
            Some(Task::Refresh(Unrest::Settled))
        } else {
            std::mem::take(&mut self.shadows).then_some(Task::Shadows)
        }
    }

    /// Has a worker begin a task; where there is none, nothing is left to be tried again.
    fn begin(&mut self, task: Option<Task>, worker: fn(&mut Scheduler) -> &mut Worker, retry: Retry) {
        let Some(task) = task else {
            if retry(self).due().is_some() {
                self.note(retry, Ok(()));
            }
            return;
        };
        let outcome = worker(self).begin(task);
        if outcome.is_err() {
            self.want(task);
            self.note(retry, outcome);
        }
    }

    /// Has a task done again.
    fn want(&mut self, task: Task) {
        match task {
            Task::Job => self.job_wanted = true,
            Task::Refresh(Unrest::Passing) => self.refresh = true,
            Task::Refresh(Unrest::Settled) => self.settled = true,
            Task::Shadows => self.shadows = true,
        }
    }

    /// When the rules are to be measured as those of a collection at rest, where they are.
    fn settled_due(&self) -> Option<Duration> {
        self.settled.then(|| self.last_flush.map_or(Duration::ZERO, |flushed| flushed + REST_AFTER))
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

    /// Goes by what the workers have done, if they have.
    fn take_done(&mut self) {
        for done in [self.jobs.take_done(), self.measurements.take_done()].into_iter().flatten() {
            self.follow(done);
        }
    }

    fn follow(&mut self, done: Done) {
        let now = self.now();
        match done {
            Done::Job(Ok(step)) => {
                self.note(|own| &mut own.job_retry, Ok(()));
                // Defining buckets anew changes how far searches must go at once.
                let state = if step.is_some() { unrest(&self.collection) } else { Unrest::Settled };
                if let Some(step) = step {
                    let (took, rows, bytes) = (step.record.took, step.rows, step.record.bytes);
                    self.last_job = Some(LastJob { ended: now, took, rows, bytes });
                    self.job_wanted = true;
                    self.refresh = true;
                }
                self.settled = state == Unrest::Settled;
            }
            Done::Job(Err(error)) => {
                self.want(Task::Job);
                self.note(|own| &mut own.job_retry, Err(error));
            }
            Done::Refresh(state, outcome) => {
                if outcome.is_err() {
                    self.want(Task::Refresh(state));
                }
                self.note(|own| &mut own.measurement_retry, outcome);
            }
            Done::Shadows { outcome, took } => {
                self.shadows |= outcome.is_err();
                self.shadow_due = Some(now + took.mul_f64(1.0 / SHADOW_SHARE - 1.0));
                self.note(|own| &mut own.measurement_retry, outcome);
            }
        }
    }

    fn extend_graph(&self) {
        let collection = &*self.collection;
        let active = collection.pin().active.clone();
        let current = || Arc::ptr_eq(&active, &collection.pin().active);
        let stop = || collection.signal.stopping() || !current();
        collection.pool.install(|| active.extend_graph(collection.components.seed, stop));
    }

    fn note(&mut self, retry: Retry, outcome: Result<()>) {
        let now = self.now();
        match outcome {
            Ok(()) => {
                *retry(self) = Backoff::default();
                let retries = [self.flush_retry, self.job_retry, self.measurement_retry];
                if retries.iter().all(|retry| retry.due().is_none()) {
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

/// One of the scheduler's, by which it goes on after a failure.
type Retry = fn(&mut Scheduler) -> &mut Backoff;

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
