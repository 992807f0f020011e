//! Writes that come in between while a job or a load runs, as of another thread.

use crate::rows::{payload, values, with, without};
use crate::timeline::{Promise, Rows, State};
use crate::world::{Step, World};
use drift_core::clock::{self, Rng};
use drift_core::config::Durability;
use drift_core::db::{Chore, Collection};
use drift_core::error::Result;
use drift_core::storage::sim::{Fault, SimFs};
use drift_core::types::{Ids, Vectors};
use parking_lot::Mutex;
use rand::RngExt;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Folders that jobs write to without holding up writers.
const JOB_FOLDERS: [&str; 5] = ["segments", "buckets", "moves", "tombstones", "bitstore"];

/// Writes that come in between during one step, at most: maintenance may take a thousand turns.
const AMID_MAX: usize = 6;

/// What came in between while a step ran.
struct Amid {
    events: Vec<Event>,
    version: u64,
    calls: u64,
    /// The newest manifest before the step commits.
    manifest: u64,
    /// Whether flushes come in between as well.
    flushes: bool,
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

/// When a load ran, and the version of its rows.
struct Span {
    started: u64,
    returned: Option<u64>,
    version: u64,
}

/// Takes out of the deletes amid a load, which began with `rows`, what was not there: they delete nothing, not even what the
/// load brings. Tells what was written or deleted: that is younger than the load's rows.
fn settle(rows: &Rows, amid: &mut [Event]) -> BTreeSet<i64> {
    let (mut rows, mut touched) = (rows.clone(), BTreeSet::new());
    for event in amid.iter_mut().filter(|event| event.returned.is_some()) {
        if event.deletes {
            event.ids.retain(|id| rows.remove(id).is_some());
        } else {
            rows.extend(event.ids.iter().map(|id| (*id, event.version)));
        }
        touched.extend(&event.ids);
    }
    touched
}

impl Amid {
    fn write(&mut self, collection: &Collection, fs: &SimFs, rng: &mut Rng) {
        let ids: Vec<i64> = (0..rng.random_range(1..4)).map(|_| rng.random_range(0..48)).collect();
        let committed = self.newest(collection) != self.manifest;
        let (started, version, deletes) = (fs.operations(), self.version, rng.random_ratio(1, 3));
        self.version += 1;
        let outcome = if deletes {
            collection.delete(&Ids::Int(ids.clone())).map(|_| ())
        } else {
            collection.upsert(
                &Ids::Int(ids.clone()),
                Vectors::F32(&values(&ids, version, collection.schema().dim)),
                Some(&payload(&ids, version)),
            )
        };
        let returned = outcome.is_ok().then(|| fs.operations());
        self.events.push(Event { started, returned, ids, version, deletes, committed });
        if self.flushes && rng.random_ratio(1, 3) {
            self.flush(collection, fs, rng, committed);
        }
    }

    /// Flushes what has been written so far; now and then the disk is full for a moment.
    fn flush(&mut self, collection: &Collection, fs: &SimFs, rng: &mut Rng, committed: bool) {
        if collection.run_chore(Chore::Freeze).is_ok() {
            if rng.random_ratio(1, 4) {
                let call = fs.calls() + rng.random_range(0..12);
                fs.fail(call..call + 1, Fault::Short);
            }
            // What fails stays in memory.
            let _ = collection.run_chore(Chore::Flush);
            fs.heal();
        }
        if !committed {
            self.manifest = self.newest(collection);
        }
    }

    fn newest(&self, collection: &Collection) -> u64 {
        collection.stats().map_or(self.manifest, |stats| stats.manifest)
    }
}

impl World {
    /// Runs a step that keeps all rows, or a load; before every `every`-th call that it makes to write files of jobs, a
    /// write comes in between, as of another thread. Returns how many did.
    pub fn run_amid_writes(&mut self, step: &Step, every: u64, seed: u64) -> Result<u64> {
        let known = |name: &&str| self.database().collections().is_ok_and(|names| names.iter().any(|own| own == name));
        let Some(name) = step.worked_on().filter(known) else { return self.run(step).map(|()| 0) };
        let collection = self.database().open_collection(name)?;
        if self.config.durability == Durability::None && step.kept().is_none() {
            // The load would begin with it, and what came in between then would be older than its rows.
            self.run(&Step::Flush(name))?;
        }
        let amid = Arc::new(Mutex::new(Amid {
            events: Vec::new(),
            version: self.version + 1,
            calls: 0,
            manifest: collection.stats()?.manifest,
            // Without a log they would make durable, before the load is, what is noted as written behind it.
            flushes: self.config.durability != Durability::None || step.kept().is_some(),
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
        let (before, started, version) = (self.timelines.clone(), self.fs.operations(), self.version);
        let outcome = self.run(step);
        self.fs.observe(None);
        let mut amid = std::mem::take(&mut amid.lock().events);
        self.version += amid.len() as u64 + 1;
        match step {
            Step::Load(_, ids) if !amid.is_empty() => {
                // It has noted itself without these writes.
                self.timelines = before;
                let returned = outcome.is_ok().then(|| self.fs.operations());
                self.note_load(name, ids, Span { started, returned, version }, &mut amid);
            }
            // What it promises is what came before it.
            _ => self.note_writes(name, &amid),
        }
        outcome.map(|()| amid.len() as u64)
    }

    /// Notes a load and the writes amid it. With a log, those before its commit are durable before it is; without one it alone
    /// is durable, and they may be lost behind it.
    fn note_load(&mut self, name: &str, ids: &[i64], load: Span, amid: &mut [Event]) {
        let base = self.timelines[name].states()[0].clone().unwrap_or_default();
        let committed = amid.iter().take_while(|event| !event.committed).count();
        let touched = settle(&base, &mut amid[..committed]);
        let (first, loaded) = match self.config.durability {
            Durability::None => (0, ids.to_vec()),
            _ => (committed, ids.iter().copied().filter(|id| !touched.contains(id)).collect()),
        };
        self.note_writes(name, &amid[..first]);
        let started = amid[..first].last().map_or(load.started, |event| event.started);
        let timeline = self.timelines.get_mut(name).expect("a known name");
        timeline.push(started, load.returned, Promise::PowerLoss, |rows| with(rows, &loaded, load.version));
        self.note_writes(name, &amid[first..]);
    }

    fn note_writes(&mut self, name: &str, events: &[Event]) {
        let write = self.write_promise();
        let timeline = self.timelines.get_mut(name).expect("a known name");
        for Event { started, returned, ids, version, deletes, .. } in events {
            let change = |rows: &State| if *deletes { without(rows, ids) } else { with(rows, ids, *version) };
            timeline.push(*started, *returned, write, change);
        }
    }
}
