//! Stop rules speak of the rows that there are, whoever has flushed and moved them.
#![cfg(feature = "sim")]

mod watched;

use drift_core::clock::Components;
use drift_core::config::Config;
use drift_core::db::{Collection, Database};
use drift_core::maintain::Chore;
use drift_core::state::Job;
use drift_core::storage::MemoryBackend;
use drift_core::types::{HitIds, Hits, IdType, Ids, Metric, Schema, SearchOptions, Vectors, never_interrupt};
use parking_lot::Mutex;
use rand::RngExt;
use std::collections::HashSet;
use std::sync::Arc;
use watched::Watched;

const DIM: usize = 48;
const ROWS: usize = 6_000;
const K: usize = 10;

/// More than a collection of so many rows needs to come to rest.
const JOBS_MAX: usize = 50;

/// Rows around 60 centres.
fn vectors(count: usize, seed: u64) -> Vec<f32> {
    let mut shape = drift_core::clock::rng(7);
    let centres: Vec<f32> = (0..60 * DIM).map(|_| 2.0 * shape.random::<f32>()).collect();
    let mut rng = drift_core::clock::rng(seed);
    let row = |_| {
        let centre = &centres[rng.random_range(0..60) * DIM..][..DIM];
        centre.iter().map(|value| value + 1.6 * (rng.random::<f32>() - 0.5)).collect::<Vec<f32>>()
    };
    (0..count).flat_map(row).collect()
}

/// A collection whose memtable is frozen as soon as it has all rows, without threads of its own.
fn collection() -> Collection {
    let config = Config { memtable_rows_max: ROWS, ..Config::default() };
    collection_of(&Database::open("memory://", config, Components::simulated(3)).expect("a database"))
}

fn collection_of(database: &Database) -> Collection {
    let collection = database.create_collection("rows", schema(), false).expect("a collection");
    upsert(&collection, 0, &vectors(ROWS, 1));
    collection
}

fn schema() -> Schema {
    Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema")
}

fn upsert(collection: &Collection, first: i64, rows: &[f32]) {
    let ids = Ids::Int((first..first + (rows.len() / DIM) as i64).collect());
    collection.upsert(&ids, Vectors::F32(rows), None).expect("rows");
}

/// Share of the exact neighbours that searches at recall .95 find.
fn recall(collection: &Collection) -> f64 {
    let queries = vectors(200, 2);
    let search = |exact| {
        let options = SearchOptions { k: K, exact, recall: (!exact).then_some(0.95), ..SearchOptions::default() };
        collection.search(&queries, &options, &never_interrupt).expect("hits")
    };
    let (found, exact) = (search(false), search(true));
    let ids = |hits: &Hits, query: usize| match &hits.ids {
        HitIds::Int(ids) => ids[query * K..][..K].iter().copied().collect::<HashSet<i64>>(),
        HitIds::Str(_) => unreachable!("ids are integers"),
    };
    let shared = (0..200).map(|query| ids(&found, query).intersection(&ids(&exact, query)).count()).sum::<usize>();
    shared as f64 / (200 * K) as f64
}

/// What a search at recall .95 goes by: its budget in codes, and its difference.
fn rule(collection: &Collection) -> (u64, f32) {
    let options = SearchOptions { recall: Some(0.95), ..SearchOptions::default() };
    let explained = collection.explain(&vectors(1, 3), &options).expect("an explanation");
    (explained.budget, explained.difference)
}

/// The budget in codes that a search at recall .95 has.
fn budget(collection: &Collection) -> u64 {
    rule(collection).0
}

/// Does all jobs that are due, and measures nothing.
fn run_jobs(collection: &Collection) {
    loop {
        let before = collection.jobs().expect("jobs").len();
        collection.run_chore(Chore::Job).expect("a job");
        if collection.jobs().expect("jobs").len() == before {
            break;
        }
    }
}

#[test]
fn regression_rules_measured_while_rows_were_in_memory_are_measured_anew_when_these_are_flushed() {
    let collection = collection();
    collection.optimize().expect("buckets");
    let half = Ids::Int((0..ROWS as i64).step_by(2).collect());
    assert_eq!(collection.delete(&half).expect("deletes"), ROWS as u64 / 2);
    upsert(&collection, 10_000, &vectors(ROWS / 2, 4));
    collection.run_chore(Chore::Measure).expect("rules for what is flushed");
    collection.flush().expect("a flush");
    let recall = recall(&collection);
    assert!(recall >= 0.94, "{recall}");
}

#[test]
fn regression_optimize_leaves_rules_though_others_did_its_work_before() {
    let collection = collection();
    collection.run_chore(Chore::Flush).expect("a flush");
    run_jobs(&collection);
    assert_eq!(budget(&collection), u64::MAX, "nothing is measured yet");
    let report = collection.optimize().expect("nothing to do");
    assert_eq!((report.rows_moved, report.rows_written), (0, 0));
    assert!(budget(&collection) < ROWS as u64);
}

#[test]
fn rules_that_most_rows_came_after_are_not_followed_until_these_are_measured() {
    let collection = collection();
    collection.optimize().expect("buckets and rules");
    assert!(budget(&collection) < ROWS as u64);
    upsert(&collection, 10_000, &vectors(3 * ROWS, 4));
    while collection.stats().expect("figures").memtable_rows > 0 {
        collection.run_chore(Chore::Flush).expect("a flush");
    }
    assert_eq!(budget(&collection), u64::MAX, "three of four rows are new");
    collection.run_chore(Chore::Measure).expect("rules");
    assert!(budget(&collection) < ROWS as u64);
}

#[test]
fn what_is_measured_while_all_buckets_are_defined_anew_is_not_followed() {
    let amid: Arc<Mutex<Option<Collection>>> = Arc::default();
    let shared = amid.clone();
    let watch = Arc::new(move || {
        let collection = shared.lock().take();
        if let Some(collection) = collection {
            (0..JOBS_MAX).for_each(|_| collection.run_chore(Chore::Job).expect("a job"));
        }
    });
    let backend = Watched::new(Arc::new(MemoryBackend::open("", true, false).expect("a store")), watch);
    let config = Config { memtable_rows_max: ROWS, ..Config::default() };
    let database = Database::open_on(Arc::new(backend), config, Components::simulated(3)).expect("a database");
    let collection = collection_of(&database);
    collection.optimize().expect("buckets and rules");
    upsert(&collection, 10_000, &vectors(ROWS, 4));
    collection.run_chore(Chore::Flush).expect("a flush");
    assert_eq!(budget(&collection), u64::MAX, "half of the rows are new");
    *amid.lock() = Some(collection.clone());
    collection.run_chore(Chore::Measure).expect("rules for buckets that are no more");
    assert!(amid.lock().is_none(), "it reads vectors");
    assert!(collection.jobs().expect("jobs").iter().any(|job| job.job == Job::Retrain));
    assert_eq!(budget(&collection), u64::MAX);
    collection.run_chore(Chore::Measure).expect("rules");
    assert!(budget(&collection) < 2 * ROWS as u64);
}

#[test]
fn where_somebody_searches_a_memtable_is_flushed_before_its_rows_make_rules_doubtful() {
    let database = Database::open("memory://", Config::default(), Components::simulated(3)).expect("a database");
    let collection = database.create_collection("rows", schema(), false).expect("a collection");
    upsert(&collection, 0, &vectors(22_000, 1));
    let in_memory = || {
        collection.run_chore(Chore::Flush).expect("a flush, where a memtable is frozen");
        collection.stats().expect("figures").memtable_rows
    };
    assert_eq!(in_memory(), 0, "it was full");
    upsert(&collection, 30_000, &vectors(2_600, 2));
    assert_eq!(in_memory(), 2_600, "nobody searches");
    let search = || collection.search(&vectors(1, 3), &SearchOptions::default(), &never_interrupt).expect("hits");
    search();
    upsert(&collection, 40_000, &vectors(1, 4));
    assert_eq!(in_memory(), 0, "a tenth of the rows");
    search();
    upsert(&collection, 50_000, &vectors(2_000, 5));
    assert_eq!(in_memory(), 2_000, "less than a tenth");
}

#[test]
fn rules_that_were_not_measured_before_a_collection_was_closed_are_doubted_when_it_is_opened() {
    let config = Config { memtable_rows_max: ROWS, ..Config::default() };
    let database = Database::open("memory://", config, Components::simulated(3)).expect("a database");
    let collection = collection_of(&database);
    collection.optimize().expect("buckets and rules");
    // About as many rows as there were when the rules were measured.
    upsert(&collection, 0, &vectors(ROWS, 4));
    collection.run_chore(Chore::Flush).expect("a flush");
    run_jobs(&collection);
    collection.close().expect("closed");
    let collection = database.open_collection("rows").expect("opened again");
    assert_eq!(budget(&collection), u64::MAX, "all rows came after the rules");
    collection.run_chore(Chore::Measure).expect("rules");
    assert!(budget(&collection) < ROWS as u64, "measured at the first opportunity");
}

#[test]
fn rules_are_measured_anew_when_buckets_of_a_region_that_is_gone_were_merged() {
    let collection = collection();
    collection.optimize().expect("buckets and rules");
    let rows = vectors(ROWS, 1);
    let region = (0..ROWS).filter(|row| rows[row * DIM] < 0.4);
    // Few are left there.
    let gone: Vec<i64> = region.enumerate().filter(|(n, _)| n % 20 > 0).map(|(_, row)| row as i64).collect();
    collection.delete(&Ids::Int(gone)).expect("deletes");
    collection.run_chore(Chore::Freeze).expect("a memtable");
    collection.run_chore(Chore::Flush).expect("a flush");
    collection.run_chore(Chore::Measure).expect("rules for what is left, in its old buckets");
    let buckets = || collection.stats().expect("figures").buckets;
    let (before, known) = (buckets(), rule(&collection));
    run_jobs(&collection);
    let merged = before - buckets();
    assert!(10 * merged > before, "{merged} of {before}");
    assert_eq!(rule(&collection), known, "not measured yet");
    collection.run_chore(Chore::Measure).expect("rules for the new buckets");
    assert_ne!(rule(&collection), known, "a few rows in a hundred were moved, but those that are hard to find");
}
