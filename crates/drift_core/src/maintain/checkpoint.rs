//! Checkpoint: the bitstore as it is goes to a file, so that the next open reads it instead of rebuilding it.
//!
//! Layer 6. The bitstore changes only under the maintenance lock, which the caller holds, so the file fits the manifest
//! that it is committed with.

use crate::error::Result;
use crate::state::{CollectionState, Maintenance};
use crate::storage::failpoint::{Failpoint, reach};

/// Share of the flushed rows that may be missing from the last checkpoint before a flush writes a new one: replaying a
/// quarter of the rows costs less than reading the rest.
const STALE_SHARE_MAX: f64 = 0.25;

/// Writes the bitstore and commits it.
pub fn checkpoint(collection: &CollectionState, maintenance: &mut Maintenance) -> Result<()> {
    let mut manifest = maintenance.manifest.next();
    reach(Failpoint::Checkpoint)?;
    let number = manifest.take_file_number();
    collection.bitstore.write(&*collection.backend, number, collection.identity)?;
    manifest.bitstore_file = Some(number);
    manifest.bitstore_segments = manifest.segments.iter().map(|segment| segment.file).collect();
    maintenance.commit(manifest)
}

/// Writes the bitstore when too many rows are newer than its last checkpoint.
pub fn checkpoint_if_stale(collection: &CollectionState, maintenance: &mut Maintenance) -> Result<()> {
    let manifest = &maintenance.manifest;
    let rows: u64 = manifest.segments.iter().map(|segment| segment.rows).sum();
    let covered = manifest.segments.iter().filter(|segment| manifest.bitstore_segments.contains(&segment.file));
    let covered: u64 = covered.map(|segment| segment.rows).sum();
    if (rows - covered) as f64 > STALE_SHARE_MAX * rows as f64 {
        checkpoint(collection, maintenance)?;
    }
    Ok(())
}
