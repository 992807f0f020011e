//! Expiry: rows that have expired are deleted, as a caller would delete them.
//!
//! Layer 6. Readers do not show them any more; this makes them dead, so that compaction takes them off the disk. The deletes are
//! ordinary writes, logged, which the other two paths do ([`OtherPaths`]): a crash loses none, and repeats none. A row that was
//! written anew meanwhile is left alone.

use super::policy;
use super::step::{Step, finished};
use super::worker::OtherPaths;
use crate::error::Result;
use crate::state::{CollectionState, Job};
use std::time::Duration;

/// Rows that one step deletes at most: some hundredths of a second, for which a writer may have to wait.
pub const STEP_ROWS: usize = 16_384;

/// How long from now until expired rows are to be deleted; none when no row expires. When that was last done counts only where
/// `paced`.
pub fn wait(collection: &CollectionState, paced: bool) -> Option<Duration> {
    let since_last = collection.since_recount().filter(|_| paced);
    policy::until_expiry(collection.earliest_expiry(), collection.now(), since_last)
}

/// Deletes rows that have expired, if that is due; none when it is not, or when there was none. The caller holds `job`.
pub fn expire_step(collection: &CollectionState, paths: &OtherPaths, paced: bool) -> Result<Option<Step>> {
    if wait(collection, paced).is_none_or(|wait| !wait.is_zero()) {
        return Ok(None);
    }
    let start = collection.components.clock.monotonic();
    let rows = (paths.expire)(collection, STEP_ROWS)?;
    if rows < STEP_ROWS as u64 {
        collection.recount_expiry(&mut collection.writes.lock())?;
    }
    if rows == 0 {
        return Ok(None);
    }
    let (reason, effect) = (format!("{rows} rows have expired"), format!("{rows} rows deleted"));
    let record = finished(collection, Job::Expire, start, reason, effect, 0);
    collection.jobs.add(record.clone());
    Ok(Some(Step { record, rows }))
}
