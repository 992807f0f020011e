//! Databases and collections: the public surface, and the only place that wires the layers together.
//!
//! Layer 7. A database is a folder (or a store in memory) with a catalog of collections; one process writes to it at a
//! time. Handles are cheap to clone and may be used from any thread of the process that opened them; a forked child
//! gets `Forked` from every call.

mod address;
mod backup;
mod collection;
mod dropped;
mod follow;
mod health;
mod open;
mod refresh;
mod repair;
mod salvage;
mod snapshot;
mod stats;
mod update;
mod verify;

#[cfg(feature = "sim")]
pub use crate::maintain::Chore;
pub use crate::manifest::{Asked, TimelinePoint};
pub use crate::state::{Backlog, Budget, Job, JobRecord};
pub use backup::{BackupInfo, BackupProgress, Moment, OnBackup, backups, restore, restore_on, verify_backups};
pub use collection::Collection;
pub use health::{Health, TargetRecall};

use crate::clock::Components;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels;
use crate::manifest::{Catalog, CatalogEntry, CatalogStore, MANIFESTS_KEPT, Manifest, ManifestStore};
use crate::state::CollectionState;
use crate::storage::failpoint::{Failpoint, reach};
use crate::storage::{Backend, LockGuard, names};
use crate::sync::{Mutex, MutexGuard, Pool};
use crate::types::{EXPIRES_FIELD, Field, Lifetime, Schema};
use collection::OpenCollection;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Longest name of a collection, bytes.
const NAME_BYTES_MAX: usize = 128;

/// Collections of a database: each has a thread and files of its own.
const COLLECTIONS_MAX: usize = 10_000;

/// An open database. Clones share it; it closes with the last of them, or by [`Database::close`].
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    uri: String,
    backend: Arc<dyn Backend>,
    config: Config,
    components: Components,
    pool: Arc<Pool>,
    process: u32,
    closed: AtomicBool,
    /// Held while the database closes.
    closing: Mutex<()>,
    catalog: Mutex<OpenCatalog>,
}

struct OpenCatalog {
    store: CatalogStore,
    newest: Catalog,
    /// In order of name, so that closing does the same each time.
    open: BTreeMap<String, Arc<OpenCollection>>,
    lock: Option<Box<dyn LockGuard>>,
    /// What `recovery="salvage"` gave up, a sentence each.
    given_up: Vec<String>,
}

impl Database {
    /// Opens the database at `uri`: a path, `file://path` or `memory://name`. One that does not exist is created,
    /// unless `config.read_only` is set. Fails with `Locked` while another handle or process writes to it.
    pub fn open(uri: &str, config: Config, components: Components) -> Result<Database> {
        config.validate()?;
        let backend = address::backend(uri, config.read_only)?;
        Database::start(uri, backend, config, components)
    }

    /// Opens the database in `backend`: a store that the caller brings, be it one that no address names or one that
    /// fails on purpose. `config.read_only` must say what the backend does. Otherwise as [`Database::open`].
    pub fn open_on(backend: Arc<dyn Backend>, config: Config, components: Components) -> Result<Database> {
        config.validate()?;
        let uri = backend.describe();
        if backend.read_only() != config.read_only {
            let message = format!("{uri} is opened with read_only={}: open both alike", backend.read_only());
            return Err(Error::invalid(message));
        }
        Database::start(&uri, backend, config, components)
    }

    fn start(uri: &str, backend: Arc<dyn Backend>, config: Config, components: Components) -> Result<Database> {
        kernels::simd()?;
        let lock = if config.read_only { None } else { Some(backend.lock(names::LOCK)?) };
        check_whole(&*backend)?;
        let mut store = CatalogStore::new(backend.clone());
        let (known, given_up) = salvage::catalog(&mut store, &*backend, &config, &components)?;
        let newest = match known {
            Some(newest) => newest,
            None if config.read_only => {
                return Err(Error::not_found(format!(
                    "there is no database at {uri}: open it for writing to create it"
                )));
            }
            None => {
                check_free(&*backend)?;
                let first = Catalog::first(components.identities.draw());
                reach(Failpoint::CatalogFirst)?;
                store.commit(&first)?;
                first
            }
        };
        if lock.is_some() {
            dropped::remove_files(&*backend, &newest);
        }
        let pool = Arc::new(components.start_pool()?);
        let catalog = Mutex::new(OpenCatalog { store, newest, open: BTreeMap::new(), lock, given_up });
        let inner = Inner {
            uri: uri.to_owned(),
            backend,
            config,
            components,
            pool,
            process: std::process::id(),
            closed: AtomicBool::new(false),
            closing: Mutex::new(()),
            catalog,
        };
        Ok(Database { inner: Arc::new(inner) })
    }

    /// The address that it was opened with.
    pub fn uri(&self) -> &str {
        &self.inner.uri
    }

    /// Creates a collection. With `exist_ok` an existing one of the same schema is opened instead.
    pub fn create_collection(&self, name: &str, schema: Schema, exist_ok: bool) -> Result<Collection> {
        self.check()?;
        check_collection_name(name)?;
        let mut catalog = self.catalog_at_rest(name)?;
        if catalog.newest.find(name).is_some() {
            if !exist_ok {
                let message = format!("collection {name:?} exists already: open it, or pass exist_ok=True");
                return Err(Error::new(ErrorKind::AlreadyExists, message));
            }
            let collection = self.open_locked(&mut catalog, name)?;
            check_same_schema(name, collection.schema(), &schema)?;
            return Ok(collection);
        }
        self.check_writable()?;
        if catalog.newest.collections.len() >= COLLECTIONS_MAX {
            let message = format!("the database has {COLLECTIONS_MAX} collections, which is the limit: drop one");
            return Err(Error::new(ErrorKind::Exhausted, message));
        }
        // The folder is filled before the catalog names it: a crash in between leaves an orphan.
        let folder = self.inner.components.identities.draw();
        let backend = self.inner.backend.scoped(&names::collection_dir(folder));
        let rotation_seed = folder as u64;
        reach(Failpoint::CreateFolder)?;
        ManifestStore::new(backend, folder).commit(&Manifest::first(folder, schema, rotation_seed))?;
        let mut next = catalog.newest.clone();
        next.number += 1;
        next.collections.push(CatalogEntry { name: name.to_owned(), folder });
        reach(Failpoint::CatalogCommit)?;
        catalog.store.commit(&next)?;
        catalog.newest = next;
        self.open_locked(&mut catalog, name)
    }

    /// Opens a collection; a second call gives another handle to the same one.
    pub fn open_collection(&self, name: &str) -> Result<Collection> {
        self.check()?;
        self.open_locked(&mut *self.catalog_at_rest(name)?, name)
    }

    fn open_locked(&self, catalog: &mut OpenCatalog, name: &str) -> Result<Collection> {
        if let Some(open) = catalog.open.get(name) {
            return Ok(Collection::new(self.clone(), open.clone()));
        }
        let Some(entry) = catalog.newest.find(name) else {
            let known: Vec<&str> = catalog.newest.collections.iter().map(|entry| entry.name.as_str()).take(8).collect();
            let known =
                if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
            return Err(Error::not_found(format!("there is no collection {name:?} in {}: {known}", self.inner.uri)));
        };
        let inner = &self.inner;
        let identity = entry.folder;
        let backend = inner.backend.scoped(&names::collection_dir(identity));
        let opening = |backend| open::Opening {
            name,
            identity,
            backend,
            config: &inner.config,
            components: &inner.components,
            pool: &inner.pool,
        };
        let (state, seen) = if inner.config.read_only {
            // A writer beside it must not take files away.
            let recover = |snapshot: snapshot::Snapshot| {
                let seen = refresh::Seen { manifest: snapshot.manifest.number, files: snapshot.files.clone() };
                Ok((opening(snapshot.files).recover()?, Some(seen)))
            };
            snapshot::read(&backend, identity, recover)?
        } else {
            let parts = opening(backend);
            let state = match salvage::open(&parts)? {
                Some(state) => state,
                None => self.salvage(catalog, name, salvage::Remains::gather(&parts)?, identity)?,
            };
            (state, None)
        };
        let open = Arc::new(OpenCollection::start(state, seen)?);
        catalog.open.insert(name.to_owned(), open.clone());
        Ok(Collection::new(self.clone(), open))
    }

    /// Puts a copy of what remains of a damaged collection in its place.
    fn salvage(
        &self,
        catalog: &mut OpenCatalog,
        name: &str,
        remains: salvage::Remains,
        damaged: u128,
    ) -> Result<CollectionState> {
        let inner = &self.inner;
        let folder = inner.components.identities.draw();
        let backend = inner.backend.scoped(&names::collection_dir(folder));
        // Until it is whole, the copy is one that is to go.
        let next = catalog.newest.without(folder);
        catalog.store.commit(&next)?;
        catalog.newest = next;
        let first = Manifest::first(folder, remains.schema.clone(), folder as u64);
        reach(Failpoint::SalvageFolder)?;
        ManifestStore::new(backend.clone(), folder).commit(&first)?;
        let (config, components, pool) = (&inner.config, &inner.components, &inner.pool);
        let parts = open::Opening { name, identity: folder, backend, config, components, pool };
        let salvaged = remains.copy_into(parts.recover()?)?;
        let next = catalog.newest.replaced(damaged, folder);
        reach(Failpoint::SalvageCommit)?;
        catalog.store.commit(&next)?;
        catalog.newest = next;
        catalog.given_up.extend(salvaged.given_up.into_iter().map(|what| format!("collection {name:?}: {what}")));
        Ok(salvaged.state)
    }

    /// Every damage and gap among the kept catalogs.
    fn catalog_problems(&self) -> Result<Vec<String>> {
        self.inner.catalog.lock().store.problems()
    }

    /// Commits the catalog until no damaged one is kept; returns the problems that there were.
    fn repair_catalog(&self) -> Result<Vec<String>> {
        let mut catalog = self.catalog()?;
        let problems = catalog.store.problems()?;
        for _ in 0..if problems.is_empty() { 0 } else { MANIFESTS_KEPT } {
            let mut next = catalog.newest.clone();
            next.number += 1;
            reach(Failpoint::CatalogRepair)?;
            catalog.store.commit(&next)?;
            catalog.newest = next;
        }
        Ok(problems)
    }

    /// What `recovery="salvage"` gave up since the database was opened, a sentence each.
    pub fn given_up(&self) -> Result<Vec<String>> {
        self.check()?;
        Ok(self.inner.catalog.lock().given_up.clone())
    }

    /// Names of the collections, in order of creation.
    pub fn collections(&self) -> Result<Vec<String>> {
        self.check()?;
        Ok(self.inner.catalog.lock().newest.collections.iter().map(|entry| entry.name.clone()).collect())
    }

    /// Closes the database and its collections; waits for running jobs. Everything acknowledged stays in the log.
    /// Closing twice is no error.
    pub fn close(&self) -> Result<()> {
        self.check_process()?;
        self.inner.close()
    }

    fn identity(&self) -> u128 {
        self.inner.catalog.lock().newest.database
    }

    fn catalog_entries(&self) -> Vec<CatalogEntry> {
        self.inner.catalog.lock().newest.collections.clone()
    }

    fn open_states(&self) -> Vec<Arc<CollectionState>> {
        let open = &self.inner.catalog.lock().open;
        open.values().filter(|open| !open.is_closed()).map(|open| open.state()).collect()
    }

    fn check(&self) -> Result<()> {
        self.check_process()?;
        if self.inner.closed.load(Ordering::Acquire) {
            let message = format!("the database {} is closed: open it again", self.inner.uri);
            return Err(Error::new(ErrorKind::Closed, message));
        }
        Ok(())
    }

    /// The catalog of a database that is open, and is not closed while it is held.
    fn catalog(&self) -> Result<MutexGuard<'_, OpenCatalog>> {
        let catalog = self.inner.catalog.lock();
        self.check()?;
        Ok(catalog)
    }

    /// The catalog, once the collection is closed for good if some thread is closing it. Meanwhile the catalog is free: what
    /// the closing waits for may ask for it.
    fn catalog_at_rest(&self, name: &str) -> Result<MutexGuard<'_, OpenCatalog>> {
        let mut ended: Option<Arc<OpenCollection>> = None;
        loop {
            let mut catalog = self.catalog()?;
            if let Some(ended) = ended.take()
                && catalog.open.get(name).is_some_and(|open| Arc::ptr_eq(open, &ended))
            {
                catalog.open.remove(name);
            }
            let Some(open) = catalog.open.get(name).filter(|open| open.is_closed()).cloned() else {
                return Ok(catalog);
            };
            drop(catalog);
            open.close()?;
            ended = Some(open);
        }
    }

    fn check_process(&self) -> Result<()> {
        if std::process::id() != self.inner.process {
            let message = "the process was forked after the database was opened: open it anew in the child, or start \
                           workers with the \"spawn\" method";
            return Err(Error::new(ErrorKind::Forked, message));
        }
        Ok(())
    }

    fn check_writable(&self) -> Result<()> {
        if self.inner.config.read_only {
            let message = format!("{} was opened with read_only=True: open it for writing", self.inner.uri);
            return Err(Error::new(ErrorKind::ReadOnly, message));
        }
        Ok(())
    }
}

impl Inner {
    fn close(&self) -> Result<()> {
        let states: Vec<_> = self.catalog.lock().open.values().map(|open| open.state()).collect();
        states.iter().try_for_each(|state| state.check_unheld())?;
        let _closing = self.closing.lock();
        self.closed.store(true, Ordering::Release);
        // The catalog is free meanwhile: what a closing collection waits for may ask for it.
        let open = std::mem::take(&mut self.catalog.lock().open);
        let outcomes: Vec<Result<()>> = open.into_values().map(|open| open.close()).collect();
        self.catalog.lock().lock = None;
        outcomes.into_iter().collect()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A forked child has the handle but not the threads, and must not write into the parent's log.
        if std::process::id() != self.process {
            return;
        }
        if let Err(error) = self.close() {
            tracing::error!(uri = %self.uri, %error, "closing failed");
        }
    }
}

/// Refuses what a restore has not finished.
fn check_whole(backend: &dyn Backend) -> Result<()> {
    match backend.open(names::RESTORING) {
        Ok(_) => Err(Error::corrupt(format!(
            "{} is a restore that did not finish: restore there again, or delete the folder",
            backend.describe()
        ))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Refuses to make a database among backups.
fn check_free(backend: &dyn Backend) -> Result<()> {
    if !backup::has_backups(backend)? {
        return Ok(());
    }
    let store = backend.describe();
    Err(Error::invalid(format!("{store} is a folder of backups, not a database: drift.restore makes one of it")))
}

fn check_collection_name(name: &str) -> Result<()> {
    let allowed = |letter: char| !letter.is_control() && !"/\\\"'`<>|*?:".contains(letter);
    let bounded = (1..=NAME_BYTES_MAX).contains(&name.len());
    if !bounded || name.starts_with('.') || name.trim() != name || !name.chars().all(allowed) {
        return Err(Error::invalid(format!(
            "{name:?} cannot name a collection: use 1 to {NAME_BYTES_MAX} bytes without control characters, quotes, \
             / \\ < > | * ? : and without a leading dot or spaces at the ends"
        )));
    }
    Ok(())
}

/// The fields that a collection was created with; the moments of expiry may have come later.
fn declared(schema: &Schema) -> Vec<&Field> {
    schema.fields.iter().filter(|field| field.name != EXPIRES_FIELD).collect()
}

fn check_same_schema(name: &str, have: &Schema, want: &Schema) -> Result<()> {
    let differences = [
        ("dim", have.dim.to_string(), want.dim.to_string()),
        ("metric", have.metric.name().to_owned(), want.metric.name().to_owned()),
        ("id_type", have.id_type.name().to_owned(), want.id_type.name().to_owned()),
        ("precision", have.precision.name().to_owned(), want.precision.name().to_owned()),
    ];
    match differences.iter().find(|(_, have, want)| have != want) {
        None if !want.fields.is_empty() && declared(want) != declared(have) => {
            Err(Error::invalid(format!("collection {name:?} exists with other metadata fields: use another name")))
        }
        None if want.lifetime.time.is_some() && want.lifetime != have.lifetime => {
            let Lifetime { time, ttl } = &have.lifetime;
            Err(Error::invalid(format!(
                "collection {name:?} exists with time field {time:?} and ttl {ttl:?} microseconds: use another name"
            )))
        }
        None => Ok(()),
        Some((what, have, want)) => {
            Err(Error::invalid(format!("collection {name:?} exists with {what} {have}, not {want}: use another name")))
        }
    }
}
