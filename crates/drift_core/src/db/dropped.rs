//! Dropping a collection: the catalog is committed without it, then nothing writes to its folder any more, then that is deleted.
//!
//! Layer 7. The commit decides. Before it nothing has changed; behind it nothing fails, and nothing of the collection is
//! kept: a disk without room for what is in memory must not keep it from going. What cannot be deleted goes with the next
//! opening.

use super::Database;
use crate::error::{Error, Result};
use crate::manifest::Catalog;
use crate::storage::failpoint::{Failpoint, reach};
use crate::storage::{Backend, names};

impl Database {
    /// Drops a collection with all its rows. Open handles to it are closed. One that fails has changed nothing.
    pub fn drop_collection(&self, name: &str) -> Result<()> {
        self.check()?;
        self.check_writable()?;
        let mut catalog = self.catalog_at_rest(name)?;
        let Some(entry) = catalog.newest.find(name).cloned() else {
            return Err(Error::not_found(format!("there is no collection {name:?} in {}", self.inner.uri)));
        };
        let open = catalog.open.get(name).cloned();
        open.iter().try_for_each(|open| open.state().check_unheld())?;
        let next = catalog.newest.without(entry.folder);
        reach(Failpoint::CatalogCommit)?;
        catalog.store.commit(&next)?;
        catalog.newest = next;
        // From here it is gone, and whoever asks for the name waits until nothing writes to its folder any more.
        open.iter().for_each(|open| open.give_up());
        drop(catalog);
        let folder = names::collection_dir(entry.folder);
        let deleted = self.catalog_at_rest(name).and_then(|_catalog| {
            reach(Failpoint::DropFolder)?;
            self.inner.backend.delete_tree(&folder)
        });
        if let Err(error) = deleted {
            tracing::warn!(collection = name, %error, "files of a dropped collection stay until the next opening");
        }
        Ok(())
    }
}

/// Deletes folders of collections that the catalog does not name: dropped, or never finished, as `salvage::catalog` has made
/// sure. What else is there is not drift's.
pub(super) fn remove_files(backend: &dyn Backend, catalog: &Catalog) {
    let is_known = |folder: u128| catalog.collections.iter().any(|entry| entry.folder == folder);
    let Ok(listed) = backend.list(names::COLLECTIONS) else { return };
    let is_dropped = |name: &&String| names::collection_of(name).is_some_and(|folder| !is_known(folder));
    for name in listed.iter().filter(is_dropped) {
        if let Err(error) = backend.delete(name) {
            tracing::warn!(name, %error, "a file of a dropped collection stays");
        }
    }
}
