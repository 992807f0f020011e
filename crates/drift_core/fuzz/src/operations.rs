//! A sequence of calls on a database in memory, against a map.
//!
//! Bytes are read as calls: what to do, on which ids. After each call but reads the database is compared with the map,
//! by its ids; after the last one, and after each opening, in every way.

use drift_core::clock::Components;
use drift_core::config::{Config, Durability};
use drift_core::db::{Collection, Database};
use drift_core::ingest::source::{BatchVectors, MemorySource, RowBatch};
use drift_core::storage::MemoryBackend;
use drift_core::types::{
    Column, Columns, FieldType, HitIds, IdType, Ids, Include, Metric, Missing, Schema, SearchOptions, Value, Vectors,
    never_interrupt,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

const DIM: usize = 4;

/// Ids that calls are on.
const IDS: i64 = 48;

/// Calls of a sequence: each fills a memtable at most, and there is room for 64 that wait.
const CALLS_MAX: usize = 60;

fn config() -> Config {
    Config {
        durability: Durability::Os,
        memtable_rows_max: 16,
        bucket_rows_target: 8,
        // Nothing flushes in the background, so no writer may wait for it.
        frozen_memtables_max: 64,
        ..Config::default()
    }
}

/// The vector of an id's version.
fn vector(id: i64, version: u64) -> [f32; DIM] {
    let rest = (id as u64 * 37 + version * 101) % 64;
    [id as f32, version as f32, rest as f32 / 16.0, 1.0]
}

fn values(ids: &[i64], version: u64) -> Vec<f32> {
    ids.iter().flat_map(|id| vector(*id, version)).collect()
}

fn payload(ids: &[i64], version: u64) -> Columns {
    let mut number = Column::new(FieldType::Int);
    ids.iter().for_each(|_| number.push(Value::Int(version as i64)));
    let mut columns = Columns::new(ids.len());
    columns.add("version", number).expect("a column");
    columns
}

struct Run {
    backend: MemoryBackend,
    /// The same for every opening, so that no identity is drawn twice.
    components: Components,
    database: Database,
    collection: Collection,
    model: BTreeMap<i64, u64>,
    version: u64,
}

fn open(backend: &MemoryBackend, components: &Components) -> Database {
    Database::open_on(Arc::new(backend.clone()), config(), components.clone()).expect("open")
}

impl Run {
    fn new() -> Run {
        let backend = MemoryBackend::open("", true, false).expect("a store in memory");
        let components = Components::simulated(2);
        let database = open(&backend, &components);
        let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
        let collection = database.create_collection("rows", schema, true).expect("create");
        Run { backend, components, database, collection, model: BTreeMap::new(), version: 1 }
    }

    fn call(&mut self, code: u8, ids: &[i64]) {
        self.version += 1;
        let (version, given) = (self.version, Ids::Int(ids.to_vec()));
        match code % 16 {
            0..5 => {
                let columns = code.is_multiple_of(2).then(|| payload(ids, version));
                let vectors = values(ids, version);
                self.collection.upsert(&given, Vectors::F32(&vectors), columns.as_ref()).expect("upsert");
                self.model.extend(ids.iter().map(|id| (*id, version)));
            }
            5..8 => {
                let there = ids.iter().filter(|id| self.model.remove(*id).is_some()).count();
                assert_eq!(self.collection.delete(&given).expect("delete"), there as u64);
            }
            8 => {
                let batch = RowBatch {
                    ids: given,
                    vectors: BatchVectors::F32(values(ids, version)),
                    payload: Some(payload(ids, version)),
                };
                let source = &mut MemorySource::new(vec![batch]);
                self.collection.load(source, &mut |_| ControlFlow::Continue(())).expect("load");
                self.model.extend(ids.iter().map(|id| (*id, version)));
            }
            9 => {
                let taken = ids.iter().any(|id| self.model.contains_key(id));
                let twice = (1..ids.len()).any(|at| ids[..at].contains(&ids[at]));
                let outcome = self.collection.add(&given, Vectors::F32(&values(ids, version)), None);
                assert_eq!(outcome.is_err(), taken || twice, "add() takes ids that are new: {outcome:?}");
                if outcome.is_ok() {
                    self.model.extend(ids.iter().map(|id| (*id, version)));
                }
            }
            10 => self.collection.flush().expect("flush"),
            11 => drop(self.collection.run_maintenance().expect("maintenance")),
            12 => drop(self.collection.optimize().expect("optimize")),
            13 => self.search(ids[0]),
            14 => self.reopen(),
            _ => assert!(self.collection.verify().expect("verify").problems.is_empty()),
        }
        assert_eq!(self.collection.len().expect("len"), self.model.len() as u64);
    }

    fn reopen(&mut self) {
        self.database.close().expect("close");
        self.database = open(&self.backend, &self.components);
        self.collection = self.database.open_collection("rows").expect("open");
        self.check();
    }

    /// Exact search agrees with the map: as many rows as there are, each once, at its distance, in order.
    fn search(&self, id: i64) {
        let query = vector(id, self.version);
        let options = SearchOptions { k: IDS as usize, exact: true, ..SearchOptions::default() };
        let hits = self.collection.search(&query, &options, &never_interrupt).expect("search");
        let HitIds::Int(found) = &hits.ids else { panic!("int ids") };
        let found: Vec<i64> = found.iter().copied().filter(|id| *id >= 0).collect();
        let mut sorted = found.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, self.model.keys().copied().collect::<Vec<_>>());
        let distance = |id: &i64| -> f32 {
            let other = vector(*id, self.model[id]);
            query.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum()
        };
        assert!(found.windows(2).all(|pair| distance(&pair[0]) <= distance(&pair[1])), "nearest first: {found:?}");
    }

    /// Every id has the vector of its version.
    fn check(&self) {
        let Ids::Int(mut ids) = self.collection.ids().expect("ids") else { panic!("int ids") };
        ids.sort_unstable();
        assert_eq!(ids, self.model.keys().copied().collect::<Vec<_>>());
        let rows = self.collection.get(&Ids::Int(ids.clone()), Missing::Error, &Include::Nothing).expect("get");
        for (id, found) in ids.iter().zip(rows.vectors.chunks_exact(DIM)) {
            assert_eq!(found, vector(*id, self.model[id]), "id {id}");
        }
    }
}

/// Runs the calls that `bytes` say: a code, a first id, how many, and the step between ids.
pub fn run(bytes: &[u8]) {
    let mut run = Run::new();
    for call in bytes.chunks_exact(3).take(CALLS_MAX) {
        let (first, count, step) = (i64::from(call[1]) % IDS, i64::from(call[2] & 15) + 1, i64::from(call[2] >> 4));
        let ids: Vec<i64> = (0..count).map(|at| (first + at * step) % IDS).collect();
        run.call(call[0], &ids);
    }
    run.check();
    run.search(5);
    run.reopen();
    assert!(run.collection.verify().expect("verify").problems.is_empty());
}
