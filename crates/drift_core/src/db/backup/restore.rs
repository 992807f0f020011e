//! Restoring a backup: its files become a new database.
//!
//! Layer 7. A marker is written first and removed last; a database that has it does not open, and only a restore may
//! write there again. The catalog, which makes a database of the files, comes after all of them. Nothing that exists is
//! overwritten: the folder must be missing or empty.

use super::record::{Moment, Record, Records};
use super::{BackupInfo, BackupProgress, OnBackup, copy};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Catalog, CatalogEntry, CatalogStore};
use crate::storage::{Backend, names};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Makes a database at `target`, where none may be, of the backup of `moment` in the folder of backups `backup`.
pub fn restore(backup: &str, target: &str, moment: Moment, progress: OnBackup<'_>) -> Result<BackupInfo> {
    super::check_named(target)?;
    let from = super::source(backup)?;
    // A wrong moment is found out before a folder is made.
    Records::read(&*from)?.find(moment)?;
    restore_on(&*from, crate::db::address::backend(target, false)?, moment, progress)
}

/// As [`restore`], between stores that the caller brings.
pub fn restore_on(
    from: &dyn Backend,
    to: Arc<dyn Backend>,
    moment: Moment,
    progress: OnBackup<'_>,
) -> Result<BackupInfo> {
    let records = Records::read(from)?;
    let record = records.find(moment)?;
    let is_foreign = |name: &String| name != names::LOCK;
    let refuse = |name: &String| {
        let message = format!("{} is not empty, it has {name}: restore to a new folder", to.describe());
        Err(Error::new(ErrorKind::AlreadyExists, message))
    };
    let is_unfinished = |found: &[String]| found.iter().any(|name| name == names::RESTORING);
    // Before the lock, which leaves a file: a folder that is refused stays as it is.
    let found = to.list("")?;
    if let Some(name) = found.iter().find(|name| is_foreign(name)).filter(|_| !is_unfinished(&found)) {
        return refuse(name);
    }
    let _lock = to.lock(names::LOCK)?;
    let found = to.list("")?;
    if is_unfinished(&found) {
        clear(&*to)?;
    } else if let Some(name) = found.iter().find(|name| is_foreign(name)) {
        return refuse(name);
    } else {
        let note = format!("backup {} of {} is being restored here\n", record.number, from.describe());
        to.put_if_absent(names::RESTORING, note.as_bytes())?;
    }
    match fill(from, &to, record, progress) {
        Ok(()) => {
            unmark(&*to)?;
            Ok(record.info())
        }
        Err(error) => {
            // Should this fail too, the marker stays and says so.
            let _ = clear(&*to).and_then(|()| unmark(&*to));
            Err(error)
        }
    }
}

/// Removes what a restore that did not finish has left. Without a catalog, files are orphans that no power loss makes
/// a database of again.
fn clear(to: &dyn Backend) -> Result<()> {
    for name in to.list(names::CATALOGS)? {
        to.delete(&name)?;
    }
    to.settle(names::CATALOGS)?;
    to.delete_tree(names::COLLECTIONS)
}

/// Removes the marker for good.
fn unmark(to: &dyn Backend) -> Result<()> {
    to.delete(names::RESTORING)?;
    to.settle(names::RESTORES)?;
    to.delete_tree(names::RESTORES)
}

fn fill(from: &dyn Backend, to: &Arc<dyn Backend>, record: &Record, progress: OnBackup<'_>) -> Result<()> {
    let mut catalog = Catalog::first(record.database);
    for collection in &record.content.collections {
        let bytes_total = collection.files.iter().map(|file| file.length).sum();
        let mut now = BackupProgress { collection: collection.name.clone(), bytes: 0, bytes_total };
        for file in &collection.files {
            tell(progress, &now)?;
            let object = file.object();
            let source = copy::open(from, &object)?;
            let source_name = format!("{}/{object}", from.describe());
            if source.len() != file.length {
                let message = format!("{source_name}: the file has {} bytes, not {}", source.len(), file.length);
                return Err(Error::corrupt(message));
            }
            copy::copy((&*source, &source_name), (&**to, &file.name), file.length, Some(file.digest), &mut |bytes| {
                now.bytes += bytes;
                progress(now.clone())
            })
            .map_err(|error| match error.kind() {
                ErrorKind::Interrupted => super::interrupted("restore"),
                _ => error,
            })?;
        }
        tell(progress, &now)?;
        let folder =
            collection.identity().ok_or_else(|| Error::internal("a record was read without its identities"))?;
        catalog.collections.push(CatalogEntry { name: collection.name.clone(), folder });
    }
    CatalogStore::new(to.clone()).commit(&catalog)
}

fn tell(progress: OnBackup<'_>, now: &BackupProgress) -> Result<()> {
    match progress(now.clone()) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(super::interrupted("restore")),
    }
}
