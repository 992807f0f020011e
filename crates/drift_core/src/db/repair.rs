//! Repair: what can be written anew from what is sound.
//!
//! Layer 7. An open collection holds its buckets, assignments, deaths and unflushed rows in memory, checked when they
//! were read; so logs, the bitstore, and damaged manifests before the newest can be replaced. Vectors, ids and the newest
//! manifest stand in one place only: what is damaged there stays a problem of the report.

use super::verify::verify;
use crate::error::Result;
use crate::maintain;
use crate::manifest::MANIFESTS_KEPT;
use crate::state::CollectionState;
use crate::storage::failpoint::{Failpoint, reach};
use crate::types::{OnWork, VerifyReport};

/// Verifies, replaces what can be replaced, and verifies again. Changes nothing when all is well.
pub(super) fn repair(collection: &CollectionState, progress: OnWork<'_>) -> Result<VerifyReport> {
    collection.check_writable()?;
    let before = verify(collection, progress)?;
    if before.problems.is_empty() {
        return Ok(before);
    }
    // Rows of the log go into a segment, and the log floor above every damaged file but the one that is written.
    maintain::flush_all(collection)?;
    let mut maintenance = collection.maintenance.lock();
    maintenance.check_open()?;
    maintain::checkpoint(collection, &mut maintenance)?;
    // Damaged manifests leave the chain when enough have followed them.
    for _ in 0..MANIFESTS_KEPT {
        let next = maintenance.manifest.next();
        reach(Failpoint::RepairCommit)?;
        maintenance.commit(next)?;
    }
    maintain::remove_unreferenced(collection, &maintenance)?;
    drop(maintenance);
    collection.clear_damage_notes();
    let mut after = verify(collection, progress)?;
    after.repaired = before.problems.into_iter().filter(|problem| !after.problems.contains(problem)).collect();
    Ok(after)
}
