//! Searches read little where nearly all rows have just been written, too.
#![cfg(feature = "sim")]

use drift_core::clock::Components;
use drift_core::config::Config;
use drift_core::db::{Collection, Database};
use drift_core::maintain::Chore;
use drift_core::types::{
    Explanation, Hits, IdType, Ids, Metric, Schema, SearchOptions, Stop, Vectors, never_interrupt,
};
use rand::RngExt;
use std::collections::HashSet;

/// Enough for buckets to have entries of one bit a dimension.
const DIM: usize = 96;
const ROWS: usize = 4_000;
const QUERIES: usize = 60;
const K: usize = 10;

/// Rows around 40 centres.
fn vectors(count: usize, seed: u64) -> Vec<f32> {
    let mut shape = drift_core::clock::rng(7);
    let centres: Vec<f32> = (0..40 * DIM).map(|_| shape.random::<f32>()).collect();
    let mut rng = drift_core::clock::rng(seed);
    let row = |_| {
        let centre = &centres[rng.random_range(0..40) * DIM..][..DIM];
        centre.iter().map(|value| value + 1.2 * (rng.random::<f32>() - 0.5)).collect::<Vec<f32>>()
    };
    (0..count).flat_map(row).collect()
}

/// A collection of `ROWS` flushed rows with buckets and rules, without threads of its own; memtables hold twice as many.
fn collection() -> Collection {
    let config = Config { memtable_rows_max: 2 * ROWS, ..Config::default() };
    let database = Database::open("memory://", config, Components::simulated(3)).expect("a database");
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    let collection = database.create_collection("rows", schema, false).expect("a collection");
    upsert(&collection, 0, &vectors(ROWS, 1));
    collection.optimize().expect("buckets and rules");
    let explained = explain(&collection, &vectors(1, 2));
    assert!(explained.budget < ROWS as u64, "rules are followed");
    collection
}

fn upsert(collection: &Collection, first: i64, rows: &[f32]) {
    let ids = Ids::Int((first..first + (rows.len() / DIM) as i64).collect());
    collection.upsert(&ids, Vectors::F32(rows), None).expect("rows");
}

fn explain(collection: &Collection, query: &[f32]) -> Explanation {
    let options = SearchOptions { k: K, recall: Some(0.95), ..SearchOptions::default() };
    collection.explain(query, &options).expect("an explanation")
}

/// What searches for the nearest of some queries read, and the share of those that they found.
fn searched(collection: &Collection) -> (Vec<Explanation>, f64) {
    let queries = vectors(QUERIES, 2);
    let explained: Vec<Explanation> = queries.chunks_exact(DIM).map(|query| explain(collection, query)).collect();
    let options = SearchOptions { k: K, exact: true, ..SearchOptions::default() };
    let exact = collection.search(&queries, &options, &never_interrupt).expect("hits");
    let distances = |hits: &Hits, query: usize| -> HashSet<u32> {
        hits.distances[query * K..][..K].iter().map(|distance| distance.to_bits()).collect()
    };
    let shared = explained
        .iter()
        .enumerate()
        .map(|(query, explained)| distances(&explained.hits, 0).intersection(&distances(&exact, query)).count());
    let share = shared.sum::<usize>() as f64 / (QUERIES * K) as f64;
    (explained, share)
}

#[test]
fn where_rules_are_doubted_the_entries_of_all_buckets_are_scanned() {
    let collection = collection();
    upsert(&collection, 10_000, &vectors(ROWS, 4));
    collection.run_chore(Chore::Freeze).expect("a memtable");
    collection.run_chore(Chore::Flush).expect("a flush");
    let (explained, found) = searched(&collection);
    assert!(explained.iter().all(|one| one.stop == Stop::All && one.work.buckets == one.buckets_total));
    let refined = explained.iter().map(|one| one.work.rows_refined);
    assert!(refined.clone().all(|rows| rows > 0 && rows < ROWS as u64), "of {}: {refined:?}", 2 * ROWS);
    assert!(found >= 0.95, "{found}");
}

#[test]
fn where_flushed_rows_are_dead_searches_begin_with_the_memtables() {
    let collection = collection();
    upsert(&collection, 0, &vectors(ROWS, 4));
    assert_eq!(collection.stats().expect("figures").memtable_rows, ROWS as u64, "all that live");
    let (explained, found) = searched(&collection);
    let refined = explained.iter().map(|one| one.work.rows_refined).sum::<u64>() / QUERIES as u64;
    assert!(refined < ROWS as u64 / 10, "{refined} of {ROWS} dead rows");
    assert!(explained.iter().all(|one| one.threshold.is_finite() && one.hits_memory == K as u64));
    assert!(found >= 0.95, "{found}");
}

#[test]
fn rows_of_memtables_and_buckets_are_found_together_whichever_comes_first() {
    let collection = collection();
    // One flushed row in five stays.
    upsert(&collection, 0, &vectors(4 * ROWS / 5, 4));
    let (explained, found) = searched(&collection);
    let from_memory = explained.iter().map(|one| one.hits_memory).sum::<u64>();
    assert!(from_memory > 0 && from_memory < (QUERIES * K) as u64, "{from_memory}");
    assert!(found >= 0.95, "{found}");
}
