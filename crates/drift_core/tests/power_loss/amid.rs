//! Writes that come in between while a job or a load runs, as of another thread.

use crate::rows::{payload, values, with, without};
use crate::timeline::{Promise, Rows, State};
use crate::world::{Step, World};
use drift_core::clock::{self, Rng};
use drift_core::db::Collection;
use drift_core::error::Result;
use drift_core::storage::sim::SimFs;
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

impl World {
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
}
