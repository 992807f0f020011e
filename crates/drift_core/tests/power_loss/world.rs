//! A database on a simulated disk, the calls made on it, and the timeline of what it may hold.

use crate::rows::{Allowed, Contents, DIM, NAMES, check_state, expired, payload, read, search, values, with, without};
use crate::timeline::{Crash, Promise, State, Timeline};
use drift_core::clock::Components;
use drift_core::config::{Config, Durability};
use drift_core::db::{Chore, Collection, Database};
use drift_core::error::Result;
use drift_core::ingest::source::{BatchVectors, MemorySource, RowBatch};
use drift_core::storage::sim::{Action, Fault, SimFs};
use drift_core::storage::{Fs, LocalBackend};
use drift_core::types::{IdType, Ids, Metric, Schema, Vectors};
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

/// One call.
#[derive(Clone, Debug)]
pub enum Step {
    Create(&'static str),
    Drop(&'static str),
    Upsert(&'static str, Vec<i64>),
    Delete(&'static str, Vec<i64>),
    /// Writes rows that have expired already: to readers that is a delete, and maintenance makes it one.
    Lapse(&'static str, Vec<i64>),
    Load(&'static str, Vec<i64>),
    Flush(&'static str),
    Optimize(&'static str),
    Maintain(&'static str),
    /// What the background thread would do.
    Background(&'static str, Chore),
    /// A search for the vector of an id.
    Search(&'static str, i64),
    Reopen,
}

impl Step {
    /// The collection that it writes a row of, if it does.
    pub fn writes(&self) -> Option<&'static str> {
        match self {
            Step::Upsert(name, _) => Some(name),
            _ => None,
        }
    }

    /// The collection whose rows it leaves as they are, though it may write files.
    pub fn kept(&self) -> Option<&'static str> {
        match self {
            Step::Flush(name) | Step::Optimize(name) | Step::Maintain(name) | Step::Background(name, _) => Some(name),
            _ => None,
        }
    }

    /// The collection that it works on for so long that writes come in between.
    pub fn worked_on(&self) -> Option<&'static str> {
        match self {
            Step::Load(name, _) => Some(name),
            _ => self.kept(),
        }
    }

    /// Whether writes can come in between, and the outcome be told, where a collection is in one of `states`.
    pub fn takes_writes_amid(&self, states: usize) -> bool {
        self.kept().is_some() || (self.worked_on().is_some() && states == 1)
    }
}

/// Rows of a batch of a load.
const BATCH_ROWS: usize = 6;

/// Bytes of a load in memory, those of three batches: longer ones go through spool files.
const LOAD_BYTES_MAX: usize = 3 * BATCH_ROWS * DIM * size_of::<f32>();

/// Memtables and buckets so small that every job has work to do, and loads so that some do not fit into memory.
pub fn config(durability: Durability) -> Config {
    Config {
        durability,
        memtable_rows_max: 16,
        bucket_rows_target: 8,
        // Nothing flushes in the background, so no writer may wait for it.
        frozen_memtables_max: 64,
        load_bytes_max: LOAD_BYTES_MAX,
        ..Config::default()
    }
}

/// Opens the database on a disk.
pub fn open(fs: &SimFs, config: &Config, components: &Components) -> Result<Database> {
    let path = Path::new("/data/db");
    let backend = LocalBackend::open(path, Arc::new(fs.clone()), !config.read_only, config.read_only)?;
    Database::open_on(Arc::new(backend), config.clone(), components.clone())
}

/// A database, its disk, and what it may hold.
pub struct World {
    pub fs: SimFs,
    pub config: Config,
    pub components: Components,
    /// Dimension of its collections.
    pub dim: usize,
    pub timelines: BTreeMap<&'static str, Timeline>,
    /// Version of the next write: no two writes have the same.
    pub version: u64,
    /// Operations of the disk before the first call.
    pub born: u64,
    database: Option<Database>,
    /// Calls of the disk before the database was opened.
    opened: u64,
    /// Collections that have been opened since the database was.
    handles: BTreeMap<&'static str, Collection>,
}

impl World {
    /// A database on an empty disk, to be opened by the first [`Step::Reopen`].
    pub fn new(durability: Durability, seed: u64) -> World {
        let fs = SimFs::default();
        let made = fs.create_dir(Path::new("/data")).and_then(|()| fs.sync_dir(Path::new("/")));
        made.expect("a disk that works");
        World {
            born: fs.operations(),
            fs,
            config: config(durability),
            components: Components::simulated(seed),
            dim: DIM,
            timelines: NAMES.map(|name| (name, Timeline::starting(vec![None]))).into(),
            version: 1,
            database: None,
            opened: 0,
            handles: BTreeMap::new(),
        }
    }

    /// Goes on with a database that was just opened on `fs` and holds `contents`.
    pub fn continued(&self, fs: SimFs, database: Database, contents: &Contents) -> World {
        let timelines = NAMES.map(|name| (name, Timeline::starting(vec![contents.get(name).cloned()])));
        World {
            config: self.config.clone(),
            components: self.components.clone(),
            dim: self.dim,
            timelines: timelines.into(),
            version: self.version,
            born: fs.operations(),
            fs,
            database: Some(database),
            opened: 0,
            handles: BTreeMap::new(),
        }
    }

    pub fn database(&self) -> &Database {
        self.database.as_ref().expect("the database is open")
    }

    /// Makes one call and notes what it may have led to. An error is that of the call.
    pub fn run(&mut self, step: &Step) -> Result<()> {
        let version = self.version;
        self.version += 1;
        let write = self.write_promise();
        match step {
            Step::Create(name) => self.create(name),
            Step::Drop(name) => {
                self.call(name, Promise::PowerLoss, |_| None, |of| of.database().drop_collection(of.name()))
            }
            Step::Upsert(name, ids) => {
                let values = values(ids, version, self.dim);
                let upsert = |to: &Collection| {
                    to.upsert(&Ids::Int(ids.clone()), Vectors::F32(&values), Some(&payload(ids, version)))
                };
                self.call(name, write, |rows| with(rows, ids, version), upsert)
            }
            Step::Delete(name, ids) => {
                let delete = |from: &Collection| from.delete(&Ids::Int(ids.clone())).map(|_| ());
                self.call(name, write, |rows| without(rows, ids), delete)
            }
            Step::Lapse(name, ids) => {
                let values = values(ids, version, self.dim);
                let lapse = |to: &Collection| {
                    to.upsert(&Ids::Int(ids.clone()), Vectors::F32(&values), Some(&expired(ids, version)))
                };
                self.call(name, write, |rows| without(rows, ids), lapse)
            }
            Step::Load(name, ids) => {
                self.call(name, Promise::PowerLoss, |rows| with(rows, ids, version), |to| load(to, ids, version))
            }
            Step::Flush(name) => self.call(name, Promise::PowerLoss, Clone::clone, Collection::flush),
            Step::Optimize(name) => self.call(name, Promise::PowerLoss, Clone::clone, |of| of.optimize().map(|_| ())),
            Step::Maintain(name) => {
                self.call(name, Promise::Nothing, Clone::clone, |of| of.run_maintenance().map(|_| ()))
            }
            Step::Background(name, chore) => self.call(name, Promise::Nothing, Clone::clone, |of| of.run_chore(*chore)),
            Step::Search(name, id) => self.call(name, Promise::Nothing, Clone::clone, |of| search(of, *id, version)),
            Step::Reopen => self.reopen(),
        }
    }

    /// What a write promises.
    pub fn write_promise(&self) -> Promise {
        match self.config.durability {
            Durability::Always => Promise::PowerLoss,
            Durability::Interval | Durability::Os => Promise::Kill,
            Durability::None => Promise::Nothing,
        }
    }

    fn create(&mut self, name: &'static str) -> Result<()> {
        // Creating what is there already does nothing: where a drop has failed, what became of that is as unknown as before.
        let exists = self.database().collections()?.iter().any(|known| known == name);
        let promise = if exists { Promise::Nothing } else { Promise::PowerLoss };
        let schema = Schema::new(self.dim, Metric::L2, IdType::Int)?;
        let before = self.fs.operations();
        let outcome = self.database().create_collection(name, schema, true);
        let outcome = outcome.map(|created| _ = self.handles.insert(name, created));
        let created = |rows: &State| if exists { rows.clone() } else { Some(rows.clone().unwrap_or_default()) };
        self.note(name, before, promise, outcome, created)
    }

    /// Calls a collection, if there is one, and notes what may have become of it.
    fn call(
        &mut self,
        name: &'static str,
        promise: Promise,
        change: impl Fn(&State) -> State,
        call: impl FnOnce(&Collection) -> Result<()>,
    ) -> Result<()> {
        let before = self.fs.operations();
        if !self.database().collections()?.iter().any(|known| known == name) {
            return Ok(());
        }
        let outcome = self.database().open_collection(name).and_then(|opened| {
            self.handles.insert(name, opened.clone());
            call(&opened)
        });
        self.note(name, before, promise, outcome, change)
    }

    fn note(
        &mut self,
        name: &str,
        started: u64,
        promise: Promise,
        outcome: Result<()>,
        change: impl Fn(&State) -> State,
    ) -> Result<()> {
        let returned = outcome.is_ok().then(|| self.fs.operations());
        self.timelines.get_mut(name).expect("a known name").push(started, returned, promise, change);
        outcome
    }

    /// Closes the database, if it is open.
    pub fn close(&mut self) -> Result<()> {
        let before = self.fs.operations();
        self.handles.clear();
        let Some(database) = self.database.take() else { return Ok(()) };
        if let Err(error) = database.close() {
            let operations = self.fs.operations();
            self.timelines.values_mut().for_each(|timeline| timeline.forget_memory(operations));
            return Err(error);
        }
        NAMES.into_iter().try_for_each(|name| self.note(name, before, Promise::PowerLoss, Ok(()), Clone::clone))
    }

    /// Closes the database and opens it again.
    fn reopen(&mut self) -> Result<()> {
        let closed = self.close();
        self.opened = self.fs.calls();
        self.database = Some(open(&self.fs, &self.config, &self.components)?);
        closed
    }

    /// Whether a write must be refused: an fsync has failed since the database was opened, or its log says so.
    pub fn refuses(&self, name: &str, failing: &Range<u64>, fault: Fault) -> bool {
        let failed = |number: u64| {
            let action = self.fs.call(number).map(|call| call.action);
            action.is_some_and(|action| matches!(action, Action::Sync | Action::SyncFolder) && fault.fits(action))
        };
        let exists = self.database().collections().is_ok_and(|names| names.iter().any(|known| known == name));
        let stats = self.handles.get(name).and_then(|collection| collection.stats().ok());
        let poisoned = stats.is_some_and(|stats| stats.poisoned.is_some());
        exists && (poisoned || failing.clone().any(|number| number >= self.opened && failed(number)))
    }

    /// Whether the last reopening has failed.
    pub fn is_closed(&self) -> bool {
        self.database.is_none()
    }

    /// Most states that a collection may be in.
    pub fn uncertainty(&self) -> usize {
        self.timelines.values().map(|timeline| timeline.states().len()).max().unwrap_or(0)
    }

    /// Reads all open collections and checks that each is in a state that its calls may have led to.
    pub fn check(&self) -> Result<()> {
        for (name, collection) in self.handles.iter().filter(|(_, collection)| !collection.is_closed()) {
            let found = read(collection)?;
            check_state(name, &Some(found), self.timelines[name].states())?;
        }
        Ok(())
    }

    /// What a crash after `operation` operations may leave of each collection.
    pub fn allowed(&self, crash: Crash, operation: u64) -> Allowed {
        self.timelines.iter().map(|(name, timeline)| (*name, timeline.after(crash, operation))).collect()
    }
}

fn load(collection: &Collection, ids: &[i64], version: u64) -> Result<()> {
    let batch = |ids: &[i64]| {
        let vectors = BatchVectors::F32(values(ids, version, collection.schema().dim));
        RowBatch { ids: Ids::Int(ids.to_vec()), vectors, payload: Some(payload(ids, version)) }
    };
    let batches = ids.chunks(BATCH_ROWS).map(batch).collect();
    collection.load(&mut MemorySource::new(batches), &mut |_| ControlFlow::Continue(())).map(|_| ())
}
