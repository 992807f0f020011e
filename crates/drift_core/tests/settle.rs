//! Maintenance comes to rest: once data stops changing, the jobs that are due become none, whatever the data.

use drift_core::clock::Components;
use drift_core::config::{Config, Durability};
use drift_core::db::{Collection, Database};
use drift_core::types::{IdType, Ids, Metric, Schema, Vectors};
use proptest::prelude::*;

const DIM: usize = 12;

/// Jobs after the last write that bring any data to rest: restructuring ends by itself within some hundred steps
/// (`maintain::policy`), and segments and retraining add a few.
const JOBS_MAX: usize = 120;

/// Cases: each takes seconds.
#[allow(clippy::disallowed_methods)] // Tests are asked by the environment.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(6)
}

/// Rows that are copies of few points, but for a little: the borders of small buckets run through crowds of them.
fn rows(ids: std::ops::Range<i64>, grain: f32, phase: f32) -> Vec<f32> {
    ids.flat_map(|id| {
        (0..DIM).map(move |at| {
            let value = (id as f32 * 0.37 + phase + at as f32 * 0.11).sin() * grain;
            value.round() / grain + 0.01 + id as f32 * 1e-6
        })
    })
    .collect()
}

fn collection(target: usize, seed: u64) -> (Database, Collection) {
    let config = Config {
        memtable_rows_max: 600,
        durability: Durability::None,
        bucket_rows_target: target,
        ..Config::default()
    };
    let components = Components { seed, ..Components::system() };
    let database = Database::open(&format!("memory://settle-{seed}-{target}"), config, components).expect("open");
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    let collection = database.create_collection("rows", schema, false).expect("a collection");
    collection.pause_maintenance().expect("a pause");
    (database, collection)
}

/// Does what is due until nothing is, and tells how many jobs that took.
fn settle(collection: &Collection) -> usize {
    collection.flush().expect("a flush");
    let jobs = collection.run_maintenance().expect("jobs").len();
    assert!(collection.run_maintenance().expect("jobs").is_empty(), "work after work");
    let due = collection.health().expect("health").backlog;
    assert_eq!((due.split, due.merge, due.examine), (0, 0, 0), "{due:?}");
    jobs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 8, ..ProptestConfig::default() })]

    #[test]
    fn jobs_come_to_rest_after_the_data(
        target in prop::sample::select(vec![8usize, 16, 32]),
        grain in prop::sample::select(vec![1.0f32, 4.0, 8.0, 1e4]),
        count in 500i64..4_300,
        kept in 0.05f64..1.0,
        seed in any::<u32>(),
    ) {
        let (database, collection) = collection(target, u64::from(seed));
        let ids = |range: std::ops::Range<i64>| Ids::Int(range.collect());
        collection.upsert(&ids(0..count), Vectors::F32(&rows(0..count, grain, 0.0)), None).expect("rows");
        let grown = settle(&collection);
        collection.upsert(&ids(0..count / 2), Vectors::F32(&rows(0..count / 2, grain, 0.5)), None).expect("rows");
        let replaced = settle(&collection);
        let gone = ((1.0 - kept) * count as f64) as i64;
        collection.delete(&ids(0..gone)).expect("a delete");
        let shrunk = settle(&collection);
        for jobs in [grown, replaced, shrunk] {
            prop_assert!(jobs <= JOBS_MAX, "{grown}, {replaced}, {shrunk} jobs");
        }
        database.close().expect("a close");
    }
}
