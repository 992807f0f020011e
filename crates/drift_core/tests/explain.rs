//! What `explain` tells is what a search does, and neither knows the unit of the vectors.

use drift_core::clock::Components;
use drift_core::config::Config;
use drift_core::db::{Collection, Database};
use drift_core::types::{
    Confidence, Estimate, Explanation, IdType, Ids, LAMBDA_DEFAULT, Metric, Precision, Schema, SearchOptions, Stop,
    Vectors, never_interrupt,
};
use rand::RngExt;
use std::collections::BTreeSet;

const DIM: usize = 64;
const ROWS: usize = 6_000;
const CLUSTERS: usize = 40;

/// Dimensions that a row's place within its cluster has: few, as neighbours of real rows are told by few.
const LATENT: usize = 6;

/// Rows of a few clusters, and queries among them.
fn vectors(count: usize, seed: u64, scale: f32) -> Vec<f32> {
    let mut shape = drift_core::clock::rng(7);
    let mut drawn = |count: usize| (0..count).map(|_| shape.random::<f32>() - 0.5).collect::<Vec<f32>>();
    let (centres, axes) = (drawn(CLUSTERS * DIM), drawn(CLUSTERS * LATENT * DIM));
    let mut rng = drift_core::clock::rng(seed);
    let mut rows = Vec::with_capacity(count * DIM);
    for at in 0..count {
        let cluster = at % CLUSTERS;
        let mut row = centres[cluster * DIM..][..DIM].to_vec();
        for axis in axes[cluster * LATENT * DIM..][..LATENT * DIM].chunks_exact(DIM) {
            let along = rng.random::<f32>() - 0.5;
            row.iter_mut().zip(axis).for_each(|(value, axis)| *value += along * axis);
        }
        rows.extend(row.iter().map(|value| value * scale));
    }
    rows
}

/// A collection of flushed rows, a thousand of which are deleted, and a few more in memory.
fn filled(metric: Metric, precision: Precision, scale: f32) -> Collection {
    let database = Database::open("memory://", Config::default(), Components::simulated(3)).expect("a database");
    let schema = Schema::new(DIM, metric, IdType::Int).expect("a schema").with_precision(precision);
    let collection = database.create_collection("rows", schema, false).expect("a collection");
    collection
        .upsert(&Ids::Int((0..ROWS as i64).collect()), Vectors::F32(&vectors(ROWS, 1, scale)), None)
        .expect("rows");
    collection.optimize().expect("buckets");
    assert_eq!(collection.delete(&Ids::Int((0..1_000).collect())).expect("a delete"), 1_000);
    let more = Ids::Int((ROWS as i64..ROWS as i64 + 50).collect());
    collection.upsert(&more, Vectors::F32(&vectors(50, 2, scale)), None).expect("more rows");
    collection
}

fn density(target: f32, lambda: f32, tau: Option<f32>) -> SearchOptions {
    let estimate = Estimate::Density { lambda, tau };
    SearchOptions { confidence: Some(Confidence { target, estimate }), ..SearchOptions::default() }
}

fn geometric(target: f32) -> SearchOptions {
    let confidence = Confidence { target, estimate: Estimate::Geometric };
    SearchOptions { confidence: Some(confidence), ..SearchOptions::default() }
}

fn every_kind() -> Vec<SearchOptions> {
    vec![
        SearchOptions::default(),
        SearchOptions { nprobe: Some(1 << 20), ..SearchOptions::default() },
        SearchOptions { recall: Some(0.8), k: 3, ..SearchOptions::default() },
        SearchOptions { nprobe: Some(7), ..SearchOptions::default() },
        density(0.9, LAMBDA_DEFAULT, None),
        density(0.5, 3.0, Some(0.0)),
        density(1.0, 3.0, None),
        SearchOptions { nprobe: Some(2), ..density(0.99, 1.0, None) },
        geometric(0.9),
        geometric(1.0),
    ]
}

#[test]
fn an_explained_search_is_the_search() {
    for (metric, precision) in
        [(Metric::L2, Precision::OneBit), (Metric::Cosine, Precision::Sq8), (Metric::Dot, Precision::OneBit)]
    {
        let collection = filled(metric, precision, 1.0);
        for query in vectors(5, 9, 1.0).chunks_exact(DIM) {
            for options in every_kind() {
                let is_geometric = options.confidence.is_some_and(|one| one.estimate == Estimate::Geometric);
                if metric == Metric::Dot && is_geometric {
                    let error = collection.explain(query, &options).expect_err("no boundaries");
                    assert!(error.message().contains("use \"density\""), "{error:?}");
                    continue;
                }
                let before = collection.stats().expect("stats");
                let hits = collection.search(query, &options, &never_interrupt).expect("hits");
                let after = collection.stats().expect("stats");
                let explained = collection.explain(query, &options).expect("an explanation");
                assert_eq!(explained.hits, hits, "{options:?}");
                let work = explained.work;
                assert_eq!(work.codes + work.first_codes, after.rows_scanned - before.rows_scanned, "{options:?}");
                assert_eq!(work.buckets, after.buckets_scanned - before.buckets_scanned);
                assert_eq!(work.rows_exact, after.rows_reranked - before.rows_reranked);
                assert_eq!(work.rows_memory, 50);
                check(&explained, &options);
            }
        }
    }
}

/// The parts of an explanation agree with each other.
fn check(explained: &Explanation, options: &SearchOptions) {
    let scanned: Vec<_> = explained.buckets.iter().filter(|bucket| bucket.scanned).collect();
    assert_eq!(scanned.len() as u64, explained.work.buckets, "{options:?}");
    assert!(explained.buckets[scanned.len()..].iter().all(|bucket| !bucket.scanned), "those in front are scanned");
    let sum: f64 = scanned.iter().map(|bucket| bucket.likelihood).sum();
    assert!((sum - explained.confidence).abs() < 1e-9);
    if explained.stop != Stop::All {
        assert_eq!(scanned.iter().map(|bucket| bucket.codes).sum::<u64>(), explained.work.codes);
    }
    let mut first = explained.work.first_codes;
    for bucket in &explained.buckets[scanned.len()..] {
        if first == 0 {
            break;
        }
        first = first.checked_sub(bucket.codes).expect("entries of whole buckets, none of which counts as scanned");
    }
    assert_eq!(first, 0, "entries that count as scanned");
    let next = explained.buckets.get(scanned.len());
    match explained.stop {
        Stop::All => assert_eq!(explained.work.buckets, explained.buckets_total),
        Stop::Budget => assert!(explained.work.codes >= explained.budget),
        Stop::Difference => {
            let next = next.expect("a bucket that was refused");
            assert!(next.score - explained.threshold > explained.difference);
        }
        Stop::BucketsMax => assert_eq!(Some(explained.work.buckets as usize), options.nprobe),
        Stop::Confidence => {
            let confidence = options.confidence.expect("a confidence");
            let reached = match confidence.estimate {
                Estimate::Density { .. } => explained.confidence,
                Estimate::Geometric => explained.geometric.expect("a k-th row"),
            };
            // The ball shrinks a little when the last rows are refined, and its shares are not computed anew for that.
            assert!(reached >= f64::from(confidence.target) - 0.02 || options.nprobe.is_some(), "{reached}");
        }
    }
}

#[test]
fn live_rows_are_counted_and_dead_ones_are_not() {
    let collection = filled(Metric::L2, Precision::OneBit, 1.0);
    let query = &vectors(1, 9, 1.0)[..];
    let all = SearchOptions { nprobe: Some(1 << 20), ..SearchOptions::default() };
    let explained = collection.explain(query, &all).expect("an explanation");
    assert_eq!(explained.stop, Stop::All);
    assert_eq!(explained.buckets.iter().map(|bucket| u64::from(bucket.live)).sum::<u64>(), 5_000);
    assert!((explained.confidence - 1.0).abs() < 1e-6);
    // A bucket whose rows are all dead is never likely, however near.
    let live = |explained: &Explanation| explained.buckets[0].live;
    let nearest = collection.explain(query, &density(0.9, 3.0, None)).expect("an explanation");
    assert!(live(&nearest) > 0);
    let ids: Vec<i64> = (1_000..ROWS as i64).filter(|id| (*id as usize).is_multiple_of(CLUSTERS)).collect();
    collection.delete(&Ids::Int(ids)).expect("a delete");
    let emptied = collection.explain(query, &all).expect("an explanation");
    assert_eq!(live(&emptied), 0, "the query's own cluster is gone");
    let routed = collection.explain(query, &density(0.9, 3.0, None)).expect("an explanation");
    assert!(live(&routed) > 0);
    assert!(routed.buckets.iter().filter(|bucket| bucket.scanned).all(|bucket| bucket.live > 0));
    let blind = collection.explain(query, &density(0.9, 3.0, Some(0.0))).expect("an explanation");
    assert_eq!(live(&blind), 0, "without the density term the dead cluster is searched first");
}

#[test]
fn more_confidence_scans_more() {
    let collection = filled(Metric::L2, Precision::OneBit, 1.0);
    let query = &vectors(1, 9, 1.0)[..];
    let scanned = |options: SearchOptions| collection.explain(query, &options).expect("an explanation").work.buckets;
    for scanned in [
        [0.3, 0.9, 0.999].map(|target| scanned(density(target, 6.0, None))),
        [24.0, 6.0, 1.0].map(|lambda| scanned(density(0.9, lambda, None))),
        [0.1, 0.9, 1.0].map(|target| scanned(geometric(target))),
    ] {
        assert!(scanned[0] <= scanned[1] && scanned[1] <= scanned[2] && scanned[0] < scanned[2], "{scanned:?}");
    }
}

#[test]
fn rescaled_vectors_scan_the_same_buckets() {
    let scanned = |scale: f32| {
        let collection = filled(Metric::L2, Precision::OneBit, scale);
        let mut all = Vec::new();
        for query in vectors(40, 9, scale).chunks_exact(DIM) {
            for options in every_kind() {
                let explained = collection.explain(query, &options).expect("an explanation");
                let buckets = explained.buckets.iter().filter(|bucket| bucket.scanned).map(|bucket| bucket.id);
                all.push((explained.stop, buckets.collect::<BTreeSet<_>>()));
            }
        }
        all
    };
    let wanted = scanned(1.0);
    assert!(wanted.iter().filter(|(stop, _)| *stop == Stop::All).count() < wanted.len() / 2, "rules are in force");
    // Powers of two change no digit, so nothing at all may differ.
    assert_eq!(scanned(1.0 / 1024.0), wanted);
    assert_eq!(scanned(1024.0), wanted);
    // Other scales round every number, so that a search which all but stopped may go on, and the other way round; and where two
    // limits stop a search at the same bucket, either may be the one that is named.
    for scale in [1e-3, 1e3] {
        let different = scanned(scale).iter().zip(&wanted).filter(|(found, wanted)| found.1 != wanted.1).count();
        assert!(100 * different <= wanted.len(), "{different} of {} searches differ at scale {scale}", wanted.len());
    }
}

#[test]
fn an_empty_collection_explains_itself() {
    let database = Database::open("memory://", Config::default(), Components::simulated(3)).expect("a database");
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    let collection = database.create_collection("rows", schema, false).expect("a collection");
    let query = vec![0.5; DIM];
    for options in every_kind() {
        let explained = collection.explain(&query, &options).expect("an explanation");
        assert_eq!((explained.stop, explained.buckets.len(), explained.work.codes), (Stop::All, 0, 0));
    }
    let two = collection.explain(&[0.5; 2 * DIM], &SearchOptions::default()).expect_err("two queries");
    assert!(two.message().contains("one query"), "{two:?}");
    let exact = SearchOptions { exact: true, ..SearchOptions::default() };
    let as_good = SearchOptions { recall: Some(1.0), ..SearchOptions::default() };
    assert!(collection.explain(&query, &exact).is_err() && collection.explain(&query, &as_good).is_err());
}
