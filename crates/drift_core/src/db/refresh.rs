//! Refresh: a read-only handle moves on to what a writer has committed and logged since.
//!
//! Layer 7. A refresh takes a new snapshot of the collection's files. Where the manifest is the same, only the records
//! that the logs have gained are applied, as a writer applies them; where rows were flushed, and no more, only these
//! segments are read (`follow`). Otherwise the collection is opened anew beside the old state, which goes on answering
//! until it is replaced as a whole; calls that are under way end on the state that they began with.

use super::collection::OpenCollection;
use super::{Collection, Database, follow, open, snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Catalog;
use crate::state::CollectionState;
use crate::storage::{Backend, SnapshotBackend, names};
use crate::types::Seq;
use crate::wal::{self, OwnedRecord};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which files a read-only collection was last read from.
pub(super) struct Seen {
    pub(super) manifest: u64,
    pub(super) files: Arc<SnapshotBackend>,
}

impl Database {
    /// Takes up what was written since the database was opened or last refreshed: collections that came, went or
    /// changed. Tells whether there was anything. A handle for writing is never behind.
    pub fn refresh(&self) -> Result<bool> {
        self.check()?;
        if !self.inner.config.read_only {
            return Ok(false);
        }
        let mut changed = self.reload()?;
        let open: Vec<_> = {
            let mut catalog = self.inner.catalog.lock();
            let newest = catalog.newest.clone();
            let open = std::mem::take(&mut catalog.open);
            let (kept, gone) = open.into_iter().partition(|(name, open)| is_of(&newest, name, open));
            catalog.open = kept;
            let gone: BTreeMap<String, Arc<OpenCollection>> = gone;
            gone.into_values().try_for_each(|open| open.close())?;
            catalog.open.values().filter(|open| !open.is_closed()).cloned().collect()
        };
        for open in open {
            changed |= self.refresh_collection(&open)?;
        }
        Ok(changed)
    }

    /// Reads the newest catalog; tells whether it is another one.
    pub(super) fn reload(&self) -> Result<bool> {
        let mut catalog = self.inner.catalog.lock();
        let before = catalog.newest.number;
        for _ in 0..RELOADS_MAX {
            match catalog.store.load_newest() {
                Ok(Some(newest)) => {
                    catalog.newest = newest;
                    return Ok(catalog.newest.number != before);
                }
                // It was deleted between listing and reading, because newer ones were committed.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(None) => break,
            }
        }
        Err(Error::not_found(format!("there is no database at {} any more: was it moved or removed?", self.inner.uri)))
    }

    fn refresh_collection(&self, open: &OpenCollection) -> Result<bool> {
        let mut seen = open.seen.lock();
        let Some(seen) = &mut *seen else { return Ok(false) };
        let state = open.state();
        state.check_open()?;
        let inner = &self.inner;
        let backend = inner.backend.scoped(&names::collection_dir(state.identity));
        snapshot::read(&backend, state.identity, |newer| self.take_up(open, &state, seen, newer))
    }

    /// Brings a collection to what a newer snapshot has; whether that is anything new.
    fn take_up(
        &self,
        open: &OpenCollection,
        state: &Arc<CollectionState>,
        seen: &mut Seen,
        newer: snapshot::Snapshot,
    ) -> Result<bool> {
        let inner = &self.inner;
        let same_manifest = newer.manifest.number == seen.manifest;
        if same_manifest && snapshot::logs_of(&newer.files).eq(snapshot::logs_of(&seen.files)) {
            return Ok(false);
        }
        let opening = open::Opening {
            name: &state.name,
            identity: state.identity,
            backend: newer.files.clone(),
            config: &inner.config,
            components: &inner.components,
            pool: &inner.pool,
        };
        if same_manifest {
            let numbers = opening.logs(newer.manifest.wal_floor, newer.manifest.last_log)?;
            advance(state, &*newer.files, &numbers)?;
            seen.files.replace(&newer.files);
        } else if follow::follow(state, &opening, &newer, &seen.files)? {
            seen.manifest = newer.manifest.number;
        } else {
            open.replace(opening.recover()?);
            *seen = Seen { manifest: newer.manifest.number, files: newer.files };
            return Ok(true);
        }
        state.recount_expiry(&mut state.writes.lock())?;
        state.pin().memtables().for_each(|memtable| memtable.extend_codes(&state.rotation));
        Ok(true)
    }
}

/// Catalogs that may be committed while one is read: each commit is an fsync at least, and three older ones are kept.
const RELOADS_MAX: usize = 100;

impl Collection {
    /// Takes up what was written since the collection was opened or last refreshed, and tells whether there was
    /// anything. A handle for writing is never behind. NotFound when the collection was dropped; it then stays as it is.
    pub fn refresh(&self) -> Result<bool> {
        let database = self.database();
        let open = self.open()?;
        if !database.inner.config.read_only {
            return Ok(false);
        }
        database.reload()?;
        if !is_of(&database.inner.catalog.lock().newest, self.name(), open) {
            return Err(Error::not_found(format!(
                "collection {:?} was dropped: what this handle shows is its last state",
                self.name()
            )));
        }
        database.refresh_collection(open)
    }
}

fn is_of(catalog: &Catalog, name: &str, open: &OpenCollection) -> bool {
    catalog.find(name).is_some_and(|entry| entry.folder == open.state().identity)
}

/// Applies the records of logs that are newer than all that `state` has, in order.
fn advance(state: &CollectionState, backend: &dyn Backend, numbers: &[u64]) -> Result<()> {
    wal::replay_all(backend, state.identity, &state.schema, numbers, &mut |record| {
        if first_seq(&record) >= state.writes.lock().next_seq {
            open::apply(state, record)?;
        }
        Ok(())
    })
    .map(|_| ())
}

fn first_seq(record: &OwnedRecord) -> Seq {
    match record {
        OwnedRecord::Upsert { first_seq, .. } | OwnedRecord::Delete { first_seq, .. } => *first_seq,
    }
}
