//! The worker: jobs and measurements, one at a time on a thread of its own, which starts with the first.
//!
//! Layer 6. The scheduler gives it a task, goes on, and is told when it is done; so flushes, which are the scheduler's own, wait for
//! no job but where this holds the maintenance lock.

use super::step::{Order, Step, step};
use crate::clock::JOB_THREAD;
use crate::error::{Error, ErrorKind, Result};
use crate::state::{CollectionState, Unrest};
use crate::sync::{Pool, start_pool};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// What background work asks of the read and the write path.
#[derive(Clone, Copy)]
pub struct OtherPaths {
    /// Measures the stop rules anew if enough has changed; tells whether it did.
    pub refresh: fn(&CollectionState, &Pool, Unrest) -> Result<bool>,
    /// Searches live queries again; tells how many.
    pub check_shadows: fn(&CollectionState, &Pool) -> Result<usize>,
    /// Deletes rows that have expired, at most so many; tells how many it met.
    pub expire: fn(&CollectionState, usize) -> Result<u64>,
}

/// What a worker is to do.
#[derive(Clone, Copy, Debug)]
pub enum Task {
    /// The most urgent job that is due.
    Job,
    /// To measure the stop rules, if enough has changed.
    Refresh(Unrest),
    /// To search live queries again.
    Shadows,
}

/// What has become of a task.
pub enum Done {
    /// A job, if any was due.
    Job(Result<Option<Step>>),
    /// The stop rules are as good as they can be.
    Refresh(Unrest, Result<()>),
    /// Live queries have been searched again.
    Shadows {
        /// Whether that worked.
        outcome: Result<()>,
        /// How long it took.
        took: Duration,
    },
}

/// The worker of a collection.
pub struct Worker {
    collection: Arc<CollectionState>,
    paths: OtherPaths,
    pool: Option<Arc<Pool>>,
    /// Has what becomes of the task under way, a panic for one.
    under_way: Option<Receiver<std::thread::Result<Done>>>,
}

impl Worker {
    /// A worker with nothing to do.
    pub fn new(collection: Arc<CollectionState>, paths: OtherPaths) -> Worker {
        Worker { collection, paths, pool: None, under_way: None }
    }

    /// Whether a task is under way, or done and not taken yet.
    pub fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// Begins a task; the scheduler is woken when it is done.
    pub fn begin(&mut self, task: Task) -> Result<()> {
        let pool = match &self.pool {
            Some(pool) => pool.clone(),
            None => self.pool.insert(Arc::new(start_job_pool(&self.collection)?)).clone(),
        };
        let (sender, receiver) = sync_channel(1);
        let (collection, paths, own) = (self.collection.clone(), self.paths, pool.clone());
        pool.spawn(move || {
            let done = catch_unwind(AssertUnwindSafe(|| run(&collection, &paths, &own, task)));
            // The pool must not end on its own thread.
            drop(own);
            // Whoever has given the task waits for it before it ends.
            let _ = sender.send(done);
            collection.signal.raise(|work| work.done = true);
        });
        self.under_way = Some(receiver);
        Ok(())
    }

    /// What has become of the task, once it is done. A panic goes on here.
    pub fn take_done(&mut self) -> Option<Done> {
        let done = self.under_way.as_ref()?.try_recv().ok()?;
        self.under_way = None;
        Some(done.unwrap_or_else(|panic| resume_unwind(panic)))
    }

    /// Waits for the task under way.
    pub fn finish(&mut self) {
        if let Some(Err(panic)) = self.under_way.take().and_then(|under_way| under_way.recv().ok()) {
            resume_unwind(panic);
        }
    }
}

/// Does a task. On `pool`.
fn run(collection: &CollectionState, paths: &OtherPaths, pool: &Pool, task: Task) -> Done {
    let clock = &collection.components.clock;
    let start = clock.monotonic();
    match task {
        Task::Job => {
            // A load has it, or a caller's job.
            let _job = collection.job.lock();
            Done::Job(step(collection, paths, Order::ByUrgency))
        }
        Task::Refresh(state) => Done::Refresh(state, (paths.refresh)(collection, pool, state).map(|_| ())),
        Task::Shadows => {
            let outcome = (paths.check_shadows)(collection, pool).map(|_| ());
            Done::Shadows { outcome, took: clock.monotonic() - start }
        }
    }
}

/// A pool of one thread, which stands behind others.
pub fn start_job_pool(collection: &CollectionState) -> Result<Pool> {
    let spawner = collection.components.spawner.clone();
    let spawn =
        move |thread: rayon::ThreadBuilder| spawner.spawn(JOB_THREAD, Box::new(move || thread.run())).map(|_| ());
    start_pool(1, spawn)
        .map_err(|error| Error::new(ErrorKind::Exhausted, format!("cannot start a thread: {error}")).with_source(error))
}
