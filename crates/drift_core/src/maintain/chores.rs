//! What the background does, a bit at a time: for simulations, which choose the order themselves.
//!
//! Layer 6. It runs on the caller's thread.

use super::flush::flush_oldest;
use super::step::{Order, step};
use super::sync;
use super::worker::OtherPaths;
use crate::error::Result;
use crate::state::{CollectionState, Unrest};

/// One thing that the background does.
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
