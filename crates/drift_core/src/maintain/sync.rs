//! The fsyncs of `durability="interval"`, on a thread of their own.
//!
//! Layer 6. What a power loss may cost is bounded by time, whatever else goes on: flushes may take seconds, so the thread that
//! does those cannot be the one that keeps this promise. It sleeps until a write asks for it, and then once more until the interval is over.

use crate::config::{Config, Durability};
use crate::error::Result;
use crate::state::CollectionState;
use std::time::Duration;

/// Whether collections with these settings need the thread.
pub fn is_needed(config: &Config) -> bool {
    config.durability == Durability::Interval && !config.read_only
}

/// What the thread does until the collection closes.
pub fn run(collection: &CollectionState) {
    let (clock, signal) = (&collection.components.clock, &collection.log_signal);
    let interval = Duration::from_millis(collection.config.sync_interval_ms);
    loop {
        let work = signal.take(None, true);
        if work.stop {
            return;
        }
        if !work.sync {
            continue;
        }
        // All writes that come until then share the fsync.
        let due = clock.monotonic() + interval;
        while let Some(rest) = due.checked_sub(clock.monotonic()).filter(|rest| !rest.is_zero()) {
            if signal.take(Some(rest), false).stop {
                return;
            }
        }
        if let Err(error) = sync(collection) {
            // It has poisoned the log: no write comes after it, and nothing is tried again.
            tracing::warn!(collection = %collection.name, %error, "the log cannot be made durable");
            collection.set_degraded(Some(error.message().to_owned()));
        }
    }
}

/// Makes durable what has been written to the log.
pub fn sync(collection: &CollectionState) -> Result<()> {
    let writes = collection.writes.lock();
    let Some((wal_sync, end)) = writes.wal_sync.clone().zip(writes.wal.as_ref().map(|wal| wal.end())) else {
        return Ok(());
    };
    drop(writes);
    wal_sync.sync_to(end)
}
