//! The memtable against a model, with snapshots and concurrent readers.

use super::*;
use crate::quant::rotation::Rotation;
use crate::types::{IdType, TopK, Vectors};
use proptest::prelude::*;
use rand::RngExt;
use std::collections::BTreeMap;

fn schema() -> Schema {
    Schema::new(2, Metric::L2, IdType::Int).expect("a schema")
}

fn vector(seq: Seq) -> [f32; 2] {
    [seq as f32, 1.0]
}

fn visible(memtable: &Memtable, snapshot: Seq) -> BTreeMap<i64, Seq> {
    let mut rows = BTreeMap::new();
    memtable.for_each_visible(snapshot, |row, seq| {
        let IdRef::Int(id) = memtable.id(row) else { panic!("int ids") };
        assert!(rows.insert(id, seq).is_none(), "id {id} twice");
        assert_eq!(memtable.vector(row), vector(seq));
    });
    rows
}

#[test]
fn regression_tombstones_count_the_bytes_of_their_ids() {
    let memtable = Memtable::new(&Schema::new(2, Metric::L2, IdType::Str).expect("a schema"), 1);
    let id = "x".repeat(1_024);
    let before = memtable.bytes();
    (1..=100).for_each(|seq| memtable.add_tombstone(IdRef::Str(&id), seq));
    assert!(memtable.bytes() - before >= 100 * (1_024 + 8), "{} bytes", memtable.bytes() - before);
}

proptest! {
    #[test]
    fn every_snapshot_sees_what_was_true_then(
        steps in prop::collection::vec((prop::collection::vec(0i64..12, 1..5), any::<bool>()), 1..60)
    ) {
        let memtable = Memtable::new(&schema(), 1);
        let mut model: BTreeMap<i64, Seq> = BTreeMap::new();
        let mut history = Vec::new();
        let mut next: Seq = 1;
        for (ids, delete) in steps {
            for (at, id) in ids.iter().enumerate() {
                let seq = next + at as Seq;
                if delete {
                    if let Some(found) = memtable.find(IdRef::Int(*id)) {
                        memtable.mark_dead(found.row, seq);
                    }
                    memtable.add_tombstone(IdRef::Int(*id), seq);
                    model.remove(id);
                }
            }
            if !delete {
                let values: Vec<f32> = (0..ids.len()).flat_map(|at| vector(next + at as Seq)).collect();
                let before = model.len();
                for (at, id) in ids.iter().enumerate() {
                    model.insert(*id, next + at as Seq);
                }
                let superseded = memtable.append_upserts(next, &Ids::Int(ids.clone()), Vectors::F32(&values), None);
                prop_assert_eq!(superseded as usize, before + ids.len() - model.len());
            }
            next += ids.len() as Seq;
            history.push((next - 1, model.clone()));
        }
        for (snapshot, model) in history {
            prop_assert_eq!(visible(&memtable, snapshot), model);
        }
        let extract = memtable.extract(next);
        prop_assert_eq!(extract.ids.len(), model.len());
        prop_assert!(extract.seqs.windows(2).all(|pair| pair[0] < pair[1]));
    }
}

#[test]
fn readers_during_writes_see_whole_snapshots() {
    let memtable = Memtable::new(&schema(), 1);
    let published = AtomicU64::new(0);
    rayon::join(
        || {
            for batch in 0..400u64 {
                let first = batch * 5 + 1;
                let ids = Ids::Int((0..5).collect());
                let values: Vec<f32> = (first..first + 5).flat_map(vector).collect();
                memtable.append_upserts(first, &ids, Vectors::F32(&values), None);
                published.store(first + 4, Ordering::Release);
            }
        },
        || {
            loop {
                let snapshot = published.load(Ordering::Acquire);
                let rows = visible(&memtable, snapshot);
                assert_eq!(rows.len(), if snapshot == 0 { 0 } else { 5 });
                assert!(rows.values().all(|seq| snapshot - seq < 5));
                if snapshot == 2_000 {
                    break;
                }
            }
        },
    );
}

#[test]
fn graph_and_flat_search_agree_on_what_is_visible() {
    let memtable = Memtable::new(&schema(), 1);
    let count = 3_000;
    let values: Vec<f32> = (1..=count).flat_map(vector).collect();
    memtable.append_upserts(1, &Ids::Int((0..count as i64).collect()), Vectors::F32(&values), None);
    memtable.extend_graph(1, || false);
    assert_eq!(memtable.indexed(), 3_000);
    memtable.mark_dead(1_499, count + 1);
    for mode in [SearchMode::Fast, SearchMode::Flat] {
        let mut best = TopK::new(3);
        let mut query = MemtableQuery::new(2);
        query.prepared.copy_from_slice(&[1500.2, 1.0]);
        memtable.search(&mut query, count + 1, None, mode, |row| row as u64, &mut best);
        let rows: Vec<u64> = best.sorted().iter().map(|(_, key)| *key).collect();
        assert_eq!(rows, [1_500, 1_498, 1_501], "{mode:?}");
    }
}

#[test]
fn a_scan_of_codes_finds_nearly_what_a_flat_scan_finds_and_nothing_dead() {
    let (dim, count, k) = (96, 2_000, 10);
    let mut rng = crate::clock::rng(5);
    let mut random = |n: usize| (0..n).map(|_| rng.random_range(-1.0f32..1.0)).collect::<Vec<f32>>();
    for metric in [Metric::L2, Metric::Cosine, Metric::Dot] {
        let memtable = Memtable::new(&Schema::new(dim, metric, IdType::Int).expect("a schema"), 1);
        let rotation = Rotation::new(dim, 3);
        memtable.append_upserts(1, &Ids::Int((0..count).collect()), Vectors::F32(&random(dim * count as usize)), None);
        memtable.extend_codes(&rotation);
        (0..count as usize).step_by(3).for_each(|row| assert!(memtable.mark_dead(row, 5_000)));
        let mut query = MemtableQuery::new(dim);
        let (mut found, mut wanted) = (0, 0);
        for _ in 0..50 {
            let values = random(dim);
            let norm = (crate::kernels::kernels().dot)(&values, &values).sqrt();
            let scale = if metric == Metric::Cosine { 1.0 / norm } else { 1.0 };
            query.prepared.iter_mut().zip(&values).for_each(|(to, value)| *to = value * scale);
            query.rotated.copy_from_slice(&query.prepared);
            rotation.apply(&mut query.rotated);
            let mut exact = TopK::new(k);
            memtable.search(&mut query, 5_000, None, SearchMode::Flat, |row| row as u64, &mut exact);
            let mut best = TopK::new(k);
            memtable.search(&mut query, 5_000, None, SearchMode::Fast, |row| row as u64, &mut best);
            assert!(best.sorted().iter().all(|(_, row)| row % 3 != 0));
            wanted += k;
            found += exact.sorted().iter().filter(|entry| best.sorted().contains(entry)).count();
        }
        assert!(found * 100 >= wanted * 95, "{metric:?}: {found} of {wanted}");
    }
}
