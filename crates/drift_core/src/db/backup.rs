//! Backups: copies of a database in a folder of their own, each of which can be restored.
//!
//! Layer 7. A backup is a record (`backups/<n>`) that names every file of every collection, and the folder
//! (`files/<n>`) of those that it copied; the others are in the folders of earlier ones, because segments and the
//! small files beside them never change. Of the newest log, the bytes up to the last whole frame are copied. Invariants:
//! * the record is written last: a backup that did not finish is not listed, and its files are removed by the next one;
//! * each file is read back after it was copied, and its digest compared;
//! * the database is only read, from a snapshot of each collection, so writes and jobs go on; a collection is as it was
//!   at one moment after the call began, so every write that was acknowledged before the call is in it;
//! * one process writes backups into a folder at a time.
//!
//! `docs/format.md` has the byte map of a record.

mod copy;
mod record;
mod restore;
mod take;

pub use record::{BackupInfo, Moment};
pub use restore::{restore, restore_on};

use super::Database;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::Backend;
use record::Records;
use std::ops::ControlFlow;
use std::sync::Arc;

/// How far a backup or a restore is.
#[derive(Clone, Debug)]
pub struct BackupProgress {
    /// The collection that is copied.
    pub collection: String,
    /// Bytes of it that are done, those that need not be copied included.
    pub bytes: u64,
    /// Bytes of it.
    pub bytes_total: u64,
}

/// Told of progress; may stop the call.
pub type OnBackup<'a> = &'a mut dyn FnMut(BackupProgress) -> ControlFlow<()>;

impl Database {
    /// Copies the database into the folder of backups `uri`, which is created when it is missing. With `incremental`
    /// files that earlier backups have copied are not copied again. Returns when the backup is whole and durable.
    pub fn backup(&self, uri: &str, incremental: bool, progress: OnBackup<'_>) -> Result<BackupInfo> {
        self.check()?;
        check_named(uri)?;
        let within = |outer: &str, inner: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
        if uri == self.inner.uri || within(&self.inner.uri, uri) {
            let problem =
                format!("{uri} is in the database itself: back up to a folder of its own, best on another disk");
            return Err(Error::invalid(problem));
        }
        self.backup_on(crate::db::address::backend(uri, false)?, incremental, progress)
    }

    /// As [`Database::backup`], into a store that the caller brings.
    pub fn backup_on(&self, to: Arc<dyn Backend>, incremental: bool, progress: OnBackup<'_>) -> Result<BackupInfo> {
        self.check()?;
        take::backup(self, &to, incremental, progress)
    }
}

/// The backups in the folder `uri`, oldest first.
pub fn backups(uri: &str) -> Result<Vec<BackupInfo>> {
    Records::read(&*source(uri)?)?.infos()
}

/// Reads every byte of the backups in the folder `uri`: one sentence for each problem, naming the file.
pub fn verify_backups(uri: &str) -> Result<Vec<String>> {
    let from = source(uri)?;
    let records = Records::read(&*from)?;
    let mut problems = Vec::new();
    for file in records.distinct_files() {
        match copy::check(&*from, &file.object(), file) {
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt) => problems.push(error.message().to_owned()),
            outcome => outcome?,
        }
    }
    Ok(problems)
}

/// Whether `backend` is a folder of backups.
pub(super) fn has_backups(backend: &dyn Backend) -> Result<bool> {
    Ok(!record::numbers(backend)?.is_empty())
}

/// The folder of backups `uri`, for reading.
fn source(uri: &str) -> Result<Arc<dyn Backend>> {
    check_named(uri)?;
    crate::db::address::backend(uri, true).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::not_found(format!("there is no folder of backups {uri}")),
        _ => error,
    })
}

fn check_named(uri: &str) -> Result<()> {
    match uri {
        "memory://" => Err(Error::invalid("memory:// has no name, so nothing could be found in it again: name it")),
        _ => Ok(()),
    }
}

fn interrupted(what: &str) -> Error {
    Error::new(ErrorKind::Interrupted, format!("the {what} was interrupted: nothing has been changed"))
}
