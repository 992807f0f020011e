//! A database on a simulated disk, the calls made on it, and the timeline of what it may hold.

use crate::timeline::{Crash, Promise, Rows, State, Timeline};
use drift_core::clock::{self, Components, Rng};
use drift_core::config::{Config, Durability};
use drift_core::db::{Chore, Collection, Database};
use drift_core::error::{Error, Result};
use drift_core::ingest::source::{BatchVectors, MemorySource, RowBatch};
use drift_core::storage::sim::{Action, Fault, SimFs};
use drift_core::storage::{Fs, LocalBackend};
use drift_core::types::{
    Column, Columns, EXPIRES_FIELD, FieldType, HitIds, IdType, Ids, Include, Metric, Missing, Schema, SearchOptions,
    Value, Vectors, never_interrupt,
};
use parking_lot::Mutex;
use rand::RngExt;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub const DIM: usize = 8;

/// Everything that is found or allowed in a database, by collection.
pub type Contents = BTreeMap<&'static str, Rows>;

/// Rows whose vector and metadata were compared with those of their id and version, in the whole process.
pub static COMPARED: AtomicU64 = AtomicU64::new(0);

/// Names that collections have; what has another name was not made by a test.
pub const NAMES: [&str; 2] = ["a", "b"];

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
    fn kept(&self) -> Option<&'static str> {
        match self {
            Step::Flush(name) | Step::Optimize(name) | Step::Maintain(name) | Step::Background(name, _) => Some(name),
            _ => None,
        }
    }

    /// The collection that it works on for so long that writes come in between.
    fn worked_on(&self) -> Option<&'static str> {
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

/// The vector of an id's version; both can be read off it, and the rest shows any mixture of rows.
pub fn vector(id: i64, version: u64) -> [f32; DIM] {
    std::array::from_fn(|at| match at {
        0 => id as f32,
        1 => version as f32,
        _ => ((id as u64 * 37 + version * 101 + at as u64 * 11) % 64) as f32 / 16.0,
    })
}

fn values(ids: &[i64], version: u64) -> Vec<f32> {
    ids.iter().flat_map(|id| vector(*id, version)).collect()
}

/// Memtables and buckets so small that every job has work to do.
pub fn config(durability: Durability) -> Config {
    Config {
        durability,
        memtable_rows_max: 16,
        bucket_rows_target: 8,
        // Nothing flushes in the background, so no writer may wait for it.
        frozen_memtables_max: 64,
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
                let values = values(ids, version);
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
                let values = values(ids, version);
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

    /// Runs a step that keeps all rows, or a load; before every `every`-th call that it makes to write files of jobs, a
    /// write comes in between, as of another thread. Returns how many did.
    pub fn run_amid_writes(&mut self, step: &Step, every: u64, seed: u64) -> Result<u64> {
        let known = |name: &&str| self.database().collections().is_ok_and(|names| names.iter().any(|own| own == name));
        let Some(name) = step.worked_on().filter(known) else { return self.run(step).map(|()| 0) };
        let collection = self.database().open_collection(name)?;
        let amid = Arc::new(Mutex::new(Amid {
            events: Vec::new(),
            version: self.version + 1,
            calls: 0,
            manifest: collection.stats()?.manifest,
        }));
        let (shared, fs) = (amid.clone(), self.fs.clone());
        let rng = Mutex::new(clock::rng(seed));
        self.fs.observe(Some(Arc::new(move |_, path| {
            // The log and commits are written under locks that a writer takes, too.
            let of_job = JOB_FOLDERS.iter().any(|folder| path.components().any(|part| part.as_os_str() == *folder));
            let mut amid = shared.lock();
            amid.calls += u64::from(of_job);
            if of_job && amid.calls.is_multiple_of(every) && amid.events.len() < AMID_MAX {
                amid.write(&collection, &fs, &mut rng.lock());
            }
        })));
        let (before, started) = (self.timelines.clone(), self.fs.operations());
        let loaded = (step.kept().is_none()).then_some(self.version);
        let outcome = self.run(step);
        self.fs.observe(None);
        let amid = std::mem::take(&mut amid.lock().events);
        self.version += amid.len() as u64 + 1;
        if !amid.is_empty() {
            // The step has noted itself without these writes. One that keeps all rows promises nothing of them.
            self.timelines = before;
            let base = self.timelines[name].states()[0].clone().unwrap_or_default();
            let committed = loaded.map_or(amid.len(), |_| amid.iter().take_while(|event| !event.committed).count());
            self.note_writes(name, &amid[..committed]);
            if let (Some(version), Step::Load(_, ids)) = (loaded, step) {
                let kept = untouched(&base, &amid[..committed], ids);
                let started = amid[..committed].last().map_or(started, |event| event.started);
                let returned = outcome.is_ok().then(|| self.fs.operations());
                let timeline = self.timelines.get_mut(name).expect("a known name");
                timeline.push(started, returned, Promise::PowerLoss, |rows| with(rows, &kept, version));
            }
            self.note_writes(name, &amid[committed..]);
        }
        outcome.map(|()| amid.len() as u64)
    }

    fn note_writes(&mut self, name: &str, events: &[Event]) {
        let write = self.write_promise();
        let timeline = self.timelines.get_mut(name).expect("a known name");
        for Event { started, returned, ids, version, deletes, .. } in events {
            let change = |rows: &State| if *deletes { without(rows, ids) } else { with(rows, ids, *version) };
            timeline.push(*started, *returned, write, change);
        }
    }

    /// What a write promises.
    fn write_promise(&self) -> Promise {
        match self.config.durability {
            Durability::Always => Promise::PowerLoss,
            Durability::Interval | Durability::Os => Promise::Kill,
            Durability::None => Promise::Nothing,
        }
    }

    fn create(&mut self, name: &'static str) -> Result<()> {
        // Creating what exists already does nothing, and so promises nothing.
        let exists = self.timelines[name].states().iter().any(Option::is_some);
        let promise = if exists { Promise::Nothing } else { Promise::PowerLoss };
        let schema = Schema::new(DIM, Metric::L2, IdType::Int)?;
        let before = self.fs.operations();
        let outcome = self.database().create_collection(name, schema, true);
        let outcome = outcome.map(|created| _ = self.handles.insert(name, created));
        self.note(name, before, promise, outcome, |rows| Some(rows.clone().unwrap_or_default()))
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
        database.close()?;
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

/// Folders that jobs write to without holding up writers.
const JOB_FOLDERS: [&str; 5] = ["segments", "buckets", "moves", "tombstones", "bitstore"];

/// Writes that come in between during one step, at most: maintenance may take a thousand turns.
const AMID_MAX: usize = 6;

/// What came in between while a step ran.
struct Amid {
    events: Vec<Event>,
    version: u64,
    calls: u64,
    /// The newest manifest before the step.
    manifest: u64,
}

/// A write that came in between.
struct Event {
    started: u64,
    /// Operations when it returned; none when it failed.
    returned: Option<u64>,
    ids: Vec<i64>,
    version: u64,
    deletes: bool,
    /// Whether the step had committed by then.
    committed: bool,
}

/// The ids of a load, which began with `rows`, that no write amid it has replaced or deleted: all these are younger than its
/// rows. A delete of what is not there does nothing.
fn untouched(rows: &Rows, amid: &[Event], ids: &[i64]) -> Vec<i64> {
    let (mut rows, mut touched) = (rows.clone(), BTreeSet::new());
    for event in amid.iter().filter(|event| event.returned.is_some()) {
        for id in &event.ids {
            if !event.deletes {
                rows.insert(*id, event.version);
                touched.insert(*id);
            } else if rows.remove(id).is_some() {
                touched.insert(*id);
            }
        }
    }
    ids.iter().copied().filter(|id| !touched.contains(id)).collect()
}

impl Amid {
    fn write(&mut self, collection: &Collection, fs: &SimFs, rng: &mut Rng) {
        let ids: Vec<i64> = (0..rng.random_range(1..4)).map(|_| rng.random_range(0..48)).collect();
        let committed = collection.stats().is_ok_and(|stats| stats.manifest != self.manifest);
        let (started, version, deletes) = (fs.operations(), self.version, rng.random_ratio(1, 3));
        self.version += 1;
        let outcome = if deletes {
            collection.delete(&Ids::Int(ids.clone())).map(|_| ())
        } else {
            collection.upsert(
                &Ids::Int(ids.clone()),
                Vectors::F32(&values(&ids, version)),
                Some(&payload(&ids, version)),
            )
        };
        let returned = outcome.is_ok().then(|| fs.operations());
        self.events.push(Event { started, returned, ids, version, deletes, committed });
    }
}

/// A search as users make it: ids are there and distinct, the nearest row of all is found where it is asked for.
fn search(collection: &Collection, id: i64, version: u64) -> Result<()> {
    let options = SearchOptions { k: 5, ..SearchOptions::default() };
    let hits = collection.search(&vector(id, version), &options, &never_interrupt)?;
    let HitIds::Int(found) = hits.ids else { return Err(Error::internal("hits are no integers")) };
    let mut found: Vec<i64> = found.into_iter().filter(|id| *id >= 0).collect();
    let count = found.len();
    if count as u64 != collection.len()?.min(5) {
        return Err(Error::internal(format!("a search for 5 rows finds {count} of {}", collection.len()?)));
    }
    collection.get(&Ids::Int(found.clone()), Missing::Error, &Include::Nothing)?;
    found.sort_unstable();
    found.dedup();
    if found.len() == count { Ok(()) } else { Err(Error::internal("a search finds an id twice")) }
}

/// The states that each collection may be in.
pub type Allowed = BTreeMap<&'static str, Vec<State>>;

fn with(rows: &State, ids: &[i64], version: u64) -> State {
    let mut rows = rows.clone()?;
    rows.extend(ids.iter().map(|id| (*id, version)));
    Some(rows)
}

fn without(rows: &State, ids: &[i64]) -> State {
    let mut rows = rows.clone()?;
    rows.retain(|id, _| !ids.contains(id));
    Some(rows)
}

/// Metadata that tell id and version, the latter under a name that not every row has.
pub fn payload(ids: &[i64], version: u64) -> Columns {
    let (mut name, mut number) = (Column::new(FieldType::Str), Column::new(FieldType::Int));
    ids.iter().for_each(|id| name.push(Value::Str(&format!("{id} at {version}"))));
    ids.iter().for_each(|_| number.push(Value::Int(version as i64)));
    let mut columns = Columns::new(ids.len());
    columns.add("name", name).expect("a column");
    columns.add(if version.is_multiple_of(3) { "third" } else { "number" }, number).expect("a column");
    columns
}

/// The same of rows that expired before the simulation's one moment.
fn expired(ids: &[i64], version: u64) -> Columns {
    let mut expires = Column::new(FieldType::Timestamp);
    ids.iter().for_each(|id| expires.push(Value::Timestamp(-1 - *id)));
    let mut columns = payload(ids, version);
    columns.add(EXPIRES_FIELD, expires).expect("a column");
    columns
}

fn load(collection: &Collection, ids: &[i64], version: u64) -> Result<()> {
    let vectors = BatchVectors::F32(values(ids, version));
    let batch = RowBatch { ids: Ids::Int(ids.to_vec()), vectors, payload: Some(payload(ids, version)) };
    collection.load(&mut MemorySource::new(vec![batch]), &mut |_| ControlFlow::Continue(())).map(|_| ())
}

/// Reads a collection in every way and checks that all agree.
pub fn read(collection: &Collection) -> Result<Rows> {
    let wrong = |what: String| Error::internal(format!("collection {:?}: {what}", collection.name()));
    let Ids::Int(ids) = collection.ids()? else { return Err(wrong("its ids are no integers".to_owned())) };
    let found = collection.get(&Ids::Int(ids.clone()), Missing::Error, &Include::All)?;
    let value = |name: &str, row: usize| found.payload.get(name).map_or(Value::Null, |column| column.get(row));
    let mut rows = Rows::new();
    for (row, (id, values)) in ids.iter().zip(found.vectors.chunks_exact(DIM)).enumerate() {
        let version = values[1] as u64;
        let field = if version.is_multiple_of(3) { "third" } else { "number" };
        let name = format!("{id} at {version}");
        if value("name", row) != Value::Str(&name) || value(field, row) != Value::Int(version as i64) {
            return Err(wrong(format!("id {id} at {version} has the metadata {:?}", value("name", row))));
        }
        if values != vector(*id, version) {
            return Err(wrong(format!("id {id} has the vector {values:?}")));
        }
        if rows.insert(*id, version).is_some() {
            return Err(wrong(format!("id {id} is there twice")));
        }
    }
    COMPARED.fetch_add(rows.len() as u64, Ordering::Relaxed);
    if collection.len()? != rows.len() as u64 {
        return Err(wrong(format!("it has {} ids, but len() is {}", rows.len(), collection.len()?)));
    }
    // One row beyond all there are: the search must return each of them, and nothing else.
    let options = SearchOptions { k: rows.len() + 1, exact: true, ..SearchOptions::default() };
    let hits = collection.search(&vector(3, 3), &options, &never_interrupt)?;
    let HitIds::Int(mut hits) = hits.ids else { return Err(wrong("hits are no integers".to_owned())) };
    hits.retain(|id| *id >= 0);
    hits.sort_unstable();
    if !hits.iter().eq(rows.keys()) {
        return Err(wrong(format!("exact search finds {hits:?}, ids() has {:?}", rows.keys())));
    }
    Ok(rows)
}

/// Reads all collections, calling `opened` after each was opened.
pub fn read_all(database: &Database, mut opened: impl FnMut(&'static str)) -> Result<Contents> {
    let mut contents = Contents::new();
    for name in database.collections()? {
        let known = NAMES.into_iter().find(|known| *known == name);
        let known = known.ok_or_else(|| Error::internal(format!("nobody made collection {name:?}")))?;
        let collection = database.open_collection(known)?;
        opened(known);
        contents.insert(known, read(&collection)?);
    }
    Ok(contents)
}

/// Verifies all collections: an error names the first problem.
pub fn verify_all(database: &Database) -> Result<()> {
    for name in database.collections()? {
        let report = database.open_collection(&name)?.verify()?;
        if let Some(problem) = report.problems.first() {
            return Err(Error::internal(format!("verify: {problem}")));
        }
    }
    Ok(())
}

/// Checks that every collection is in a state that is allowed.
pub fn check_allowed(contents: &Contents, allowed: &Allowed) -> Result<()> {
    allowed.iter().try_for_each(|(name, states)| check_state(name, &contents.get(name).cloned(), states))
}

fn check_state(name: &str, state: &State, allowed: &[State]) -> Result<()> {
    if allowed.contains(state) {
        return Ok(());
    }
    Err(Error::internal(format!("collection {name:?} is {state:?}, allowed is one of {allowed:?}")))
}
