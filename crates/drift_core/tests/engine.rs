//! The engine from outside, against a model: writes, reads, flush, optimize, load, reopen, exact search.

use drift_core::clock::Components;
use drift_core::config::{Config, Durability};
use drift_core::db::{Collection, Database};
use drift_core::error::ErrorKind;
use drift_core::ingest::source::{BatchVectors, MemorySource, RowBatch};
use drift_core::types::{
    HitIds, IdRef, IdType, Ids, Include, Metric, Missing, Schema, SearchOptions, Vectors, never_interrupt,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

const DIM: usize = 12;

/// The vector of an id's version: any mix-up of rows shows.
fn vector(id: i64, version: u64) -> Vec<f32> {
    (0..DIM)
        .map(|at| ((id as f32 * 0.37 + version as f32 * 1.3 + at as f32 * 0.11).sin() * 8.0).round() / 8.0 + 0.01)
        .collect()
}

fn config() -> Config {
    Config { memtable_rows_max: 40, durability: Durability::Os, bucket_rows_target: 8, ..Config::default() }
}

fn open(path: &std::path::Path) -> (Database, Collection) {
    let components = Components { seed: 7, ..Components::system() };
    let database = Database::open(path.to_str().expect("a UTF-8 path"), config(), components).expect("open");
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    let collection = database.create_collection("rows", schema, true).expect("a collection");
    (database, collection)
}

type Model = BTreeMap<i64, u64>;

fn check(collection: &Collection, model: &Model) {
    assert_eq!(collection.len().expect("len"), model.len() as u64);
    let Ids::Int(mut ids) = collection.ids().expect("ids") else { panic!("int ids") };
    ids.sort_unstable();
    assert_eq!(ids, model.keys().copied().collect::<Vec<_>>());
    let rows = collection.get(&Ids::Int(ids.clone()), Missing::Error, &Include::Nothing).expect("get");
    for (id, found) in ids.iter().zip(rows.vectors.chunks_exact(DIM)) {
        assert_eq!(found, vector(*id, model[id]), "id {id}");
    }
    let gone: Vec<i64> = (0..60).filter(|id| !model.contains_key(id)).collect();
    assert!(collection.get(&Ids::Int(gone), Missing::Skip, &Include::Nothing).expect("get").ids.is_empty());
    let query = vector(5, 3);
    let distance = |id: i64| vector(id, model[&id]).iter().zip(&query).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    let mut truth: Vec<f32> = model.keys().map(|id| distance(*id)).collect();
    truth.sort_by(f32::total_cmp);
    truth.truncate(10);
    for exact in [true, false] {
        let options = SearchOptions { exact, ..SearchOptions::default() };
        let hits = collection.search(&query, &options, &never_interrupt).expect("search");
        let HitIds::Int(found) = &hits.ids else { panic!("int ids") };
        for (at, id) in found.iter().enumerate() {
            if at < truth.len() {
                assert!((hits.distances[at] - distance(*id)).abs() < 1e-4, "distance of {id}");
                // SQ8 may take a row for another that is as near to within its rounding.
                let tolerance = if exact { 1e-4 } else { 1e-4 + 0.02 * truth[at] };
                let off = (hits.distances[at] - truth[at]).abs();
                assert!(off < tolerance, "rank {at}, exact {exact}: {hits:?} {truth:?}");
            } else {
                assert_eq!((*id, hits.distances[at]), (-1, f32::INFINITY));
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Upsert(Vec<i64>),
    Add(Vec<i64>),
    Delete(Vec<i64>),
    Load(Vec<i64>),
    Flush,
    Maintain,
    Optimize,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ids = || prop::collection::vec(0i64..60, 1..30);
    let step = prop_oneof![
        4 => ids().prop_map(Step::Upsert),
        2 => ids().prop_map(Step::Add),
        3 => ids().prop_map(Step::Delete),
        1 => ids().prop_map(Step::Load),
        1 => Just(Step::Flush),
        2 => Just(Step::Maintain),
        1 => Just(Step::Optimize),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..25)
}

fn values(ids: &[i64], version: u64) -> Vec<f32> {
    ids.iter().flat_map(|id| vector(*id, version)).collect()
}

/// Sequences that are tried: a few, or what `PROPTEST_CASES` says.
#[allow(clippy::disallowed_methods)] // Tests are asked by the environment.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]
    #[test]
    fn it_agrees_with_a_model_through_any_sequence_of_jobs_and_reopens(steps in steps()) {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut database, mut collection) = open(folder.path());
        let mut model = Model::new();
        for (version, step) in steps.into_iter().enumerate() {
            let version = version as u64;
            match step {
                Step::Upsert(ids) => {
                    collection.upsert(&Ids::Int(ids.clone()), Vectors::F32(&values(&ids, version)), None).expect("upsert");
                    model.extend(ids.iter().map(|id| (*id, version)));
                }
                Step::Add(ids) => {
                    let outcome = collection.add(&Ids::Int(ids.clone()), Vectors::F32(&values(&ids, version)), None);
                    let distinct: std::collections::HashSet<_> = ids.iter().collect();
                    if distinct.len() < ids.len() || ids.iter().any(|id| model.contains_key(id)) {
                        prop_assert_eq!(outcome.expect_err("an id exists").kind(), ErrorKind::AlreadyExists);
                    } else {
                        outcome.expect("new ids");
                        model.extend(ids.iter().map(|id| (*id, version)));
                    }
                }
                Step::Delete(ids) => {
                    let before = model.len();
                    ids.iter().for_each(|id| { model.remove(id); });
                    let count = collection.delete(&Ids::Int(ids)).expect("delete");
                    prop_assert_eq!(count as usize, before - model.len());
                }
                Step::Load(ids) => {
                    let batch = RowBatch { ids: Ids::Int(ids.clone()), vectors: BatchVectors::F32(values(&ids, version)), payload: None };
                    let mut source = MemorySource::new(vec![batch]);
                    collection.load(&mut source, &mut |_| ControlFlow::Continue(())).expect("load");
                    model.extend(ids.iter().map(|id| (*id, version)));
                }
                Step::Flush => collection.flush().expect("flush"),
                Step::Maintain => drop(collection.run_maintenance().expect("maintenance")),
                Step::Optimize => { collection.optimize().expect("optimize"); }
                Step::Reopen => {
                    database.close().expect("close");
                    (database, collection) = open(folder.path());
                }
            }
            check(&collection, &model);
        }
        let report = collection.verify().expect("verify");
        prop_assert!(report.problems.is_empty(), "{:?}", report.problems);
        drop(database);
    }
}

#[test]
fn a_second_handle_is_refused_until_the_first_is_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (database, collection) = open(folder.path());
    let path = folder.path().to_str().expect("a UTF-8 path");
    let error = Database::open(path, config(), Components::system()).err().expect("locked");
    assert_eq!(error.kind(), ErrorKind::Locked);
    database.close().expect("close");
    assert_eq!(collection.len().expect_err("closed").kind(), ErrorKind::Closed);
    Database::open(path, config(), Components::system()).expect("free again");
}

#[test]
fn string_ids_cosine_and_f16_survive_a_reopen() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a UTF-8 path").to_owned();
    let schema = Schema::new(2, Metric::Cosine, IdType::Str).expect("a schema");
    let mut ids = drift_core::types::StrIds::default();
    ["a", "b", "ü"].iter().for_each(|id| ids.push(id));
    let half: Vec<half::f16> = [3.0, 0.0, 0.0, 2.0, 1.0, 1.0].map(half::f16::from_f32).to_vec();
    for _ in 0..2 {
        let database = Database::open(&path, config(), Components::system()).expect("open");
        let collection = database.create_collection("s", schema.clone(), true).expect("a collection");
        collection.upsert(&Ids::Str(ids.clone()), Vectors::F16(&half), None).expect("upsert");
        collection.flush().expect("flush");
        let options = SearchOptions { k: 2, ..SearchOptions::default() };
        let hits = collection.search(&[0.5, 0.5], &options, &never_interrupt).expect("search");
        let HitIds::Str(found) = &hits.ids else { panic!("string ids") };
        assert_eq!(found[0].as_deref(), Some("ü"));
        assert!(hits.distances[0].abs() < 1e-6);
        assert!(collection.contains(IdRef::Str("a")).expect("contains"));
        assert_eq!(collection.len().expect("len"), 3);
    }
}
