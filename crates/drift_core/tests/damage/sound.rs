//! Small databases with every kind of file, in memory.

use drift_core::clock::Components;
use drift_core::config::{Config, Durability};
use drift_core::db::{Collection, Database, Job};
use drift_core::error::Result;
use drift_core::manifest::MANIFESTS_KEPT;
use drift_core::storage::{Backend, MemoryBackend};
use drift_core::types::{Column, Columns, FieldType, IdType, Ids, Metric, Schema, Value, Vectors};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub const DIM: usize = 4;

/// Names and bytes.
pub type Files = Vec<(String, Vec<u8>)>;

pub fn vector(id: i64) -> [f32; DIM] {
    std::array::from_fn(|at| ((id as u64 * 37 + at as u64 * 11) % 64) as f32 / 16.0 + at as f32)
}

pub fn config() -> Config {
    Config { durability: Durability::Os, memtable_rows_max: 16, frozen_memtables_max: 64, ..Config::default() }
}

pub fn open(backend: &MemoryBackend) -> Result<Collection> {
    let config = Config { read_only: backend.read_only(), ..config() };
    let database = Database::open_on(Arc::new(backend.clone()), config, Components::simulated(2))?;
    database.open_collection("rows")
}

fn upsert(collection: &Collection, ids: &[i64]) {
    let values: Vec<f32> = ids.iter().flat_map(|id| vector(*id)).collect();
    let mut name = Column::new(FieldType::Str);
    for id in ids {
        let text = format!("row {id}");
        name.push(if id % 5 == 0 { Value::Null } else { Value::Str(&text) });
    }
    let mut tags = Column::new(FieldType::List);
    ids.iter().for_each(|id| tags.push_list(["a", "bc"].into_iter().take(*id as usize % 3)));
    let mut payload = Columns::new(ids.len());
    payload.add("name", name).expect("a column");
    payload.add("tags", tags).expect("a column");
    collection.upsert(&Ids::Int(ids.to_vec()), Vectors::F32(&values), Some(&payload)).expect("upsert");
}

/// The files of a database after `fill`, its closing and so many openings; each of `kinds` is among them.
fn build(config: Config, kinds: &[&str], openings: u64, fill: impl FnOnce(&Collection)) -> Files {
    let backend = MemoryBackend::open("", true, false).expect("a store in memory");
    let components = Components::simulated(1);
    let open = || Database::open_on(Arc::new(backend.clone()), config.clone(), components.clone()).expect("open");
    let database = open();
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    fill(&database.create_collection("rows", schema, false).expect("create"));
    database.close().expect("close");
    for _ in 0..openings {
        let database = open();
        database.open_collection("rows").expect("open the collection");
        database.close().expect("close");
    }
    let names = backend.list("").expect("list");
    let files: Files = names.into_iter().map(|name| (name.clone(), backend.read(&name).expect("read"))).collect();
    for kind in kinds {
        assert!(files.iter().any(|(name, _)| name.contains(kind)), "no file of {kind}");
    }
    files
}

/// A closed database with every kind of file but moves: segments, buckets, tombstones, a bitstore, logs, manifests, a catalog.
pub fn sound() -> Files {
    let kinds = ["segments", "buckets", "tombstones", "bitstore", "wal", "manifest", "catalog"];
    build(config(), &kinds, 0, |collection| {
        upsert(collection, &(0..40).collect::<Vec<_>>());
        collection.flush().expect("flush");
        collection.delete(&Ids::Int(vec![3, 7])).expect("delete");
        upsert(collection, &[5, 41, 42]);
        collection.flush().expect("flush");
        upsert(collection, &[50, 51, 9]);
        collection.delete(&Ids::Int(vec![8])).expect("delete");
    })
}

/// A closed database whose buckets were split as they grew: rows have moved between them without being written anew. It was
/// opened until no kept manifest names a file that the newest one does not, as `verify` reads what that one names.
pub fn restructured() -> Files {
    let config = Config { bucket_rows_target: 8, ..config() };
    build(config, &["segments", "buckets", "moves"], MANIFESTS_KEPT as u64, |collection| {
        for rows in [0..8, 8..70] {
            upsert(collection, &rows.collect::<Vec<_>>());
            collection.flush().expect("flush");
        }
        let jobs = collection.run_maintenance().expect("maintenance");
        assert!(jobs.iter().all(|job| job.job == Job::Restructure), "no segment is written anew: {jobs:?}");
        upsert(collection, &[70]);
    })
}

/// A store of these files, to read and to write.
pub fn store(files: &Files) -> (MemoryBackend, MemoryBackend) {
    // Tests run beside each other.
    static STORES: AtomicU64 = AtomicU64::new(0);
    let name = format!("damage-{}", STORES.fetch_add(1, Ordering::Relaxed));
    let writing = MemoryBackend::open(&name, true, false).expect("a store in memory");
    files.iter().for_each(|(name, bytes)| writing.put_if_absent(name, bytes).expect("put"));
    let reading = MemoryBackend::open(&name, false, true).expect("the same store");
    MemoryBackend::forget(&name);
    (reading, writing)
}
