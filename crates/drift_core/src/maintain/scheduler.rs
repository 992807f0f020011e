//! The background thread of a collection: flushes, fsyncs of the interval mode, the memtable's graph.
//!
//! Layer 6. It sleeps until the write path raises work, so an idle collection costs nothing. A failure makes the
//! collection `degraded` and is tried again with growing pauses; nothing spins.

use super::flush::flush_oldest;
use crate::error::Result;
use crate::state::CollectionState;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

/// Pause after the first failure; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What else is to be done after flushes (measuring the stop rules anew, which is the read path's business).
pub type AfterFlush = fn(&CollectionState) -> Result<bool>;

/// Starts the thread.
pub fn start(collection: Arc<CollectionState>, after_flush: AfterFlush) -> std::io::Result<JoinHandle<()>> {
    let name = format!("drift-{}", collection.name.chars().take(9).collect::<String>());
    let spawner = collection.components.spawner.clone();
    spawner.spawn(&name, Box::new(move || Scheduler { collection, after_flush, sync_due: None, retry: None }.run()))
}

struct Scheduler {
    collection: Arc<CollectionState>,
    after_flush: AfterFlush,
    sync_due: Option<Duration>,
    /// When to try again, and the pause after that.
    retry: Option<(Duration, Duration)>,
}

impl Scheduler {
    fn run(mut self) {
        loop {
            let now = self.collection.components.clock.monotonic();
            let due = [self.sync_due, self.retry.map(|(at, _)| at)].into_iter().flatten().min();
            let work = self.collection.signal.take(due.map(|due| due.saturating_sub(now)));
            if work.stop {
                return;
            }
            let now = self.collection.components.clock.monotonic();
            if work.sync && self.sync_due.is_none() {
                let interval = Duration::from_millis(self.collection.config.sync_interval_ms);
                self.sync_due = Some(now + interval);
            }
            if self.sync_due.is_some_and(|due| due <= now) {
                self.sync_due = None;
                self.note(now, sync(&self.collection));
            }
            if work.flush || self.retry.is_some_and(|(at, _)| at <= now) {
                let outcome = self.flush();
                self.note(now, outcome);
            }
            if work.graph && self.collection.counters.asked.swap(false, Ordering::Relaxed) {
                self.extend_graph();
            }
        }
    }

    fn flush(&self) -> Result<()> {
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
        (self.after_flush)(&self.collection).map(|_| ())
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

fn sync(collection: &CollectionState) -> Result<()> {
    let writes = collection.writes.lock();
    let Some((wal_sync, end)) = writes.wal_sync.clone().zip(writes.wal.as_ref().map(|wal| wal.end())) else {
        return Ok(());
    };
    drop(writes);
    wal_sync.sync_to(end)
}
