//! Inputs that the corpora begin with: the contents of the files of a database that drift wrote.

use crate::files::{DIM, OWNER, PAGE, schema, store};
use drift_core::clock::Components;
use drift_core::config::{Config, Durability};
use drift_core::db::Database;
use drift_core::storage::{Backend, MemoryBackend, names};
use drift_core::types::{Column, Columns, FieldType, IdRef, IdType, Ids, Metric, Schema, Value, Vectors};
use drift_core::wal::{Record, WalWriter};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Bytes before and behind the body of a sealed file, and before the message of a file of a chain and of a backup.
const BODY: usize = 72;
const CHECKSUM: usize = 4;
const CHAIN: usize = 16;
const RECORD: usize = 8;

/// Bytes before the frames of a log.
const PREAMBLE: usize = 96;

fn values(ids: &[i64]) -> Vec<f32> {
    ids.iter().flat_map(|id| (0..DIM as i64).map(move |at| ((id * 37 + at * 11) % 64) as f32 / 16.0)).collect()
}

fn payload(ids: &[i64]) -> Columns {
    let mut name = Column::new(FieldType::Str);
    let mut tags = Column::new(FieldType::List);
    for id in ids {
        let text = format!("row {id}");
        name.push(if id % 5 == 0 { Value::Null } else { Value::Str(&text) });
        tags.push_list(["a", "bc"].into_iter().take(*id as usize % 3));
    }
    let mut columns = Columns::new(ids.len());
    columns.add("name", name).expect("a column");
    columns.add("tags", tags).expect("a column");
    columns
}

/// Frames of a log with every kind of record.
fn frames(id_type: IdType) -> Vec<u8> {
    let backend = store();
    let mut writer = WalWriter::create(&backend, 1, OWNER, &schema(id_type), 1).expect("a log");
    let ids: Vec<i64> = (0..3).collect();
    let mut given = Ids::empty(id_type);
    for id in &ids {
        match id_type {
            IdType::Int => given.push(IdRef::Int(*id)),
            IdType::Str => given.push(IdRef::Str(&format!("id {id}"))),
        }
    }
    let (vectors, columns) = (values(&ids), payload(&ids));
    let vectors = Vectors::F32(&vectors);
    for payload in [None, Some(&columns)] {
        let first_seq = writer.next_seq();
        writer.append(&Record::Upsert { first_seq, ids: &given, vectors, payload }).expect("append");
    }
    let first_seq = writer.next_seq();
    writer.append(&Record::Delete { first_seq, ids: &given }).expect("append");
    writer.append(&Record::Reserve { first_seq: first_seq + 3, count: 9 }).expect("append");
    writer.seal().expect("seal");
    backend.read(&names::wal(1)).expect("read").split_off(PREAMBLE)
}

/// A segment file as the parts that [`crate::files::build_segment`] puts together.
fn segment_parts(file: &[u8]) -> Vec<u8> {
    let number = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().expect("eight bytes")) as usize;
    let offset = number(file.len() - 32);
    let message = &file[offset + 8..offset + 8 + number(offset)];
    let mut parts = (message.len() as u16).to_le_bytes().to_vec();
    parts.extend_from_slice(message);
    for page in file[PAGE..offset].chunks(PAGE) {
        let used = page.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
        parts.extend_from_slice(&(used as u16).to_le_bytes());
        parts.extend_from_slice(&page[..used]);
    }
    parts
}

/// A database with every kind of file, and a backup of it.
fn write_all() -> (MemoryBackend, MemoryBackend) {
    let (files, backups) = (store(), store());
    let config = Config {
        durability: Durability::Os,
        memtable_rows_max: 16,
        bucket_rows_target: 8,
        frozen_memtables_max: 64,
        ..Config::default()
    };
    let database = Database::open_on(Arc::new(files.clone()), config, Components::simulated(1)).expect("open");
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    let collection = database.create_collection("rows", schema, false).expect("create");
    let upsert = |ids: Vec<i64>| {
        let columns = payload(&ids);
        collection.upsert(&Ids::Int(ids.clone()), Vectors::F32(&values(&ids)), Some(&columns)).expect("upsert");
    };
    upsert((0..30).collect());
    collection.flush().expect("flush");
    collection.delete(&Ids::Int(vec![3, 7])).expect("delete");
    upsert((20..44).collect());
    collection.flush().expect("flush");
    collection.run_maintenance().expect("maintenance");
    upsert(vec![5, 41, 42]);
    let mut go_on = |_| ControlFlow::Continue(());
    database.backup_on(Arc::new(backups.clone()), true, &mut go_on).expect("a backup");
    database.close().expect("close");
    (files, backups)
}

/// Target and input, each a file that drift wrote.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = vec![("operations", vec![0, 0, 0x1f, 10, 0, 0, 5, 3, 0x21, 12, 0, 0, 14, 0, 0, 13, 1, 0])];
    for (kind, id_type) in [(0, IdType::Int), (1, IdType::Str)] {
        seeds.push(("log", [vec![kind], frames(id_type)].concat()));
    }
    let (files, backups) = write_all();
    for backend in [&files, &backups] {
        for name in backend.list("").expect("list") {
            let file = backend.read(&name).expect("read");
            let body = |skip: usize| file[BODY + skip..file.len() - CHECKSUM].to_vec();
            let folder = name.rsplit('/').nth(1).unwrap_or_default();
            seeds.extend(match folder {
                names::MANIFESTS => vec![("manifest", body(CHAIN)), ("header", file.clone())],
                names::CATALOGS => vec![("catalog", body(CHAIN))],
                names::BUCKETS => vec![("buckets", body(0))],
                names::MOVES => vec![("moves", body(0))],
                names::TOMBSTONES => vec![("tombstones", body(0))],
                names::BITSTORES => vec![("bitstore", body(0))],
                names::SEGMENTS => vec![("segment", segment_parts(&file))],
                names::BACKUPS => vec![("backup", body(RECORD))],
                _ => vec![],
            });
        }
    }
    let mut rows = drift_core::format::ByteWriter::new();
    drift_core::format::write_columns(&mut rows, &payload(&(0..6).collect::<Vec<_>>()));
    seeds.push(("payload", [vec![6], rows.into_vec()].concat()));
    seeds
}
