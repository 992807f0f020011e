//! Deletes files that nothing needs any more.
//!
//! Layer 6. Last and optional: a failure leaves a file behind, which the next try removes. A file is needed while one
//! of the kept manifests names it; readers of an older version hold it open, and an open file outlives its name.

use super::checkpoint::checkpoint_if_stale;
use crate::error::Result;
use crate::state::{CollectionState, Maintenance};
use crate::storage::failpoint::{Failpoint, reach};
use crate::storage::names;

/// Deletes what a bulk load left unneeded and writes a fresh checkpoint.
pub fn after_load(collection: &CollectionState) -> Result<()> {
    collection.signal.raise(|work| work.maintain = true);
    let mut maintenance = collection.maintenance.lock();
    if maintenance.closed {
        // The load has committed; the next owner of the files sees to the rest.
        return Ok(());
    }
    checkpoint_if_stale(collection, &mut maintenance)?;
    remove_unreferenced(collection, &maintenance)
}

/// Deletes what a load or a job that has failed left.
pub fn after_failure(collection: &CollectionState) {
    let maintenance = collection.maintenance.lock();
    if !maintenance.closed {
        remove_leftovers(collection, &maintenance);
    }
}

/// Deletes what a change that was not committed has written: on a disk that is nearly full each try would leave less room for
/// the next. Where the manifest of the change may be there after all, its files stay.
pub fn remove_leftovers(collection: &CollectionState, maintenance: &Maintenance) {
    if let Err(error) = remove_unreferenced(collection, maintenance) {
        tracing::warn!(collection = %collection.name, %error, "files of a change that failed stay");
    }
}

/// Deletes log files below `floor`.
pub fn remove_logs_below(collection: &CollectionState, floor: u64) {
    let Ok(listed) = collection.backend.list(names::LOGS) else { return };
    for number in names::numbers(names::LOGS, &listed).into_iter().filter(|number| *number < floor) {
        let deleted = reach(Failpoint::RemoveLogs).and_then(|()| collection.backend.delete(&names::wal(number)));
        if let Err(error) = deleted {
            tracing::warn!(collection = %collection.name, number, %error, "an old log stays");
        }
    }
}

/// Deletes segments, bucket, move, tombstone and bitstore files that no kept manifest names. While a job or a load writes
/// some that the next one is to name, or one of the kept ones is damaged, it does nothing: the end of either, and the repair, come here again.
pub fn remove_unreferenced(collection: &CollectionState, maintenance: &Maintenance) -> Result<()> {
    if maintenance.has_unnamed {
        return Ok(());
    }
    let Some(mut kept) = maintenance.store.named()? else { return Ok(()) };
    kept.extend(maintenance.manifest.files());
    for folder in [names::SEGMENTS, names::BUCKETS, names::MOVES, names::TOMBSTONES, names::BITSTORES] {
        for name in collection.backend.list(folder)? {
            // What drift did not name is somebody's, and stays.
            if !kept.contains(&name) && names::Object::parse(&name).is_some() {
                reach(Failpoint::RemoveFiles)?;
                collection.backend.delete(&name)?;
            }
        }
    }
    Ok(())
}
