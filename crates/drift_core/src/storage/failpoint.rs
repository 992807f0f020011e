//! Names of the steps that change what is durable, each reached just before it is taken.
//!
//! Layer 3. Behind the feature `sim` a test counts how often each is reached, and lets one fail; without it nothing is
//! compiled in. `SimFs` lets any call of the disk fail; a failpoint says which step of the engine that call is, so that
//! a step which no test takes is seen.

use crate::error::Result;

/// A step that changes what is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failpoint {
    /// A record is appended to the log.
    LogAppend,
    /// The log is fsynced.
    LogSync,
    /// A log file is created.
    LogCreate,
    /// The log file after the one that a crash left is created, with copies of what may not be durable.
    LogSucceed,
    /// What does not count of a log file is cut off.
    LogCut,
    /// The mark of a clean close is written.
    LogSeal,
    /// A flush writes its segment.
    FlushSegment,
    /// A flush writes its tombstones.
    FlushTombstones,
    /// A flush commits.
    FlushCommit,
    /// The bitstore is saved.
    Checkpoint,
    /// Compaction commits.
    CompactCommit,
    /// A change of buckets commits.
    RestructureCommit,
    /// Buckets defined anew are committed.
    RetrainCommit,
    /// Measured stop rules are committed.
    CalibrationCommit,
    /// Recall that was measured of live queries, and rules that followed them, are committed.
    RecallCommit,
    /// A bulk load reserves its seqs.
    LoadReserve,
    /// A bulk load commits.
    LoadCommit,
    /// Recovery commits that a new log exists.
    RecoverCommit,
    /// Logs that are flushed are deleted.
    RemoveLogs,
    /// Files that no manifest names are deleted.
    RemoveFiles,
    /// The folder of a new collection gets its first manifest.
    CreateFolder,
    /// A catalog is committed.
    CatalogCommit,
    /// The folder of a dropped collection is deleted.
    DropFolder,
    /// A repair commits.
    RepairCommit,
    /// A salvaged copy takes the place of a damaged collection.
    SalvageCommit,
    /// A new database gets its first catalog.
    CatalogFirst,
    /// A catalog is committed in the place of a damaged one that is kept.
    CatalogRepair,
    /// A catalog of what a damaged one may have named is committed.
    SalvageCatalog,
    /// The folder of a salvaged copy gets its first manifest.
    SalvageFolder,
}

impl Failpoint {
    /// Each of them.
    pub const ALL: [Failpoint; 29] = [
        Failpoint::LogAppend,
        Failpoint::LogSync,
        Failpoint::LogCreate,
        Failpoint::LogSucceed,
        Failpoint::LogCut,
        Failpoint::LogSeal,
        Failpoint::FlushSegment,
        Failpoint::FlushTombstones,
        Failpoint::FlushCommit,
        Failpoint::Checkpoint,
        Failpoint::CompactCommit,
        Failpoint::RestructureCommit,
        Failpoint::RetrainCommit,
        Failpoint::CalibrationCommit,
        Failpoint::RecallCommit,
        Failpoint::LoadReserve,
        Failpoint::LoadCommit,
        Failpoint::RecoverCommit,
        Failpoint::RemoveLogs,
        Failpoint::RemoveFiles,
        Failpoint::CreateFolder,
        Failpoint::CatalogCommit,
        Failpoint::DropFolder,
        Failpoint::RepairCommit,
        Failpoint::SalvageCommit,
        Failpoint::CatalogFirst,
        Failpoint::CatalogRepair,
        Failpoint::SalvageCatalog,
        Failpoint::SalvageFolder,
    ];
}

/// Passes a failpoint; an error only where a test asked for one.
#[cfg(not(feature = "sim"))]
#[inline]
pub fn reach(_: Failpoint) -> Result<()> {
    Ok(())
}

#[cfg(feature = "sim")]
pub use counted::{arm, hits, reach, reset};

#[cfg(feature = "sim")]
mod counted {
    use super::{Failpoint, Result};
    use crate::error::{Error, ErrorKind};
    use parking_lot::Mutex;
    use std::collections::BTreeMap;

    struct State {
        hits: BTreeMap<Failpoint, u64>,
        /// The one that fails, and how often it is passed before.
        armed: Option<(Failpoint, u64)>,
    }

    /// Of the whole process: tests that arm failpoints run one after another.
    static STATE: Mutex<State> = Mutex::new(State { hits: BTreeMap::new(), armed: None });

    /// Passes a failpoint; an error when it was armed for this time.
    pub fn reach(point: Failpoint) -> Result<()> {
        crate::sync::step();
        let mut state = STATE.lock();
        let hits = state.hits.entry(point).or_default();
        let passed = *hits;
        *hits += 1;
        if state.armed == Some((point, passed)) {
            state.armed = None;
            return Err(Error::new(ErrorKind::Io, format!("failpoint {point:?}")));
        }
        Ok(())
    }

    /// Lets `point` fail once, after it was passed `after` times since [`reset`].
    pub fn arm(point: Failpoint, after: u64) {
        STATE.lock().armed = Some((point, after));
    }

    /// How often each was reached since [`reset`].
    pub fn hits() -> BTreeMap<Failpoint, u64> {
        STATE.lock().hits.clone()
    }

    /// Counts from zero, and lets nothing fail.
    pub fn reset() {
        *STATE.lock() = State { hits: BTreeMap::new(), armed: None };
    }
}
