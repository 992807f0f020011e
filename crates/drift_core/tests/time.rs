//! The time of rows from outside, against a model and under a clock that the test sets: windows, expiry, ranking by age.

use drift_core::clock::{Clock, Components, SystemClock};
use drift_core::config::{Config, Durability};
use drift_core::db::{Collection, Database, Job};
use drift_core::error::ErrorKind;
use drift_core::ingest::source::{BatchVectors, MemorySource, RowBatch};
use drift_core::search::Page;
use drift_core::types::predicate::{Comparison, Literal, Test};
use drift_core::types::{
    Column, Columns, Decay, EXPIRES_FIELD, FieldType, HitIds, IdRef, IdType, Ids, Include, Lifetime, Metric, Missing,
    Predicate, Schema, SearchOptions, Value, Vectors, never_interrupt,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

const DIM: usize = 64;
const TTL: i64 = 500;

/// A clock whose time of day stands until it is set. What the background waits for passes as ever.
struct Hands {
    wall: AtomicI64,
    running: SystemClock,
}

impl Default for Hands {
    fn default() -> Hands {
        Hands { wall: AtomicI64::new(0), running: SystemClock::start() }
    }
}

impl Hands {
    fn set(&self, now: i64) {
        self.wall.store(now, Ordering::SeqCst);
    }
}

impl Clock for Hands {
    fn monotonic(&self) -> Duration {
        self.running.monotonic()
    }
    fn wall(&self) -> Duration {
        Duration::from_micros(self.wall.load(Ordering::SeqCst) as u64)
    }
}

/// A row of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    time: i64,
    expires: Option<i64>,
}

impl Row {
    fn end(&self, ttl: Option<i64>) -> i64 {
        self.expires.unwrap_or(i64::MAX).min(ttl.map_or(i64::MAX, |ttl| self.time + ttl))
    }
}

type Model = BTreeMap<i64, Row>;

fn vector(id: i64) -> Vec<f32> {
    (0..DIM).map(|at| (id as f32 * 0.37 + at as f32 * (1.0 + id as f32 * 0.01)).sin()).collect()
}

fn vectors(ids: &[i64]) -> Vec<f32> {
    ids.iter().flat_map(|&id| vector(id)).collect()
}

fn timestamps(values: &[Option<i64>]) -> Column {
    let mut column = Column::new(FieldType::Timestamp);
    values.iter().for_each(|value| column.push(value.map_or(Value::Null, Value::Timestamp)));
    column
}

/// Times and expiries of rows; a column without any is left out.
fn payload(rows: &[(Option<i64>, Option<i64>)]) -> Columns {
    let mut columns = Columns::new(rows.len());
    let (times, expiries): (Vec<_>, Vec<_>) = rows.iter().copied().unzip();
    for (name, values) in [("at", times), (EXPIRES_FIELD, expiries)] {
        if values.iter().any(Option::is_some) {
            columns.add(name, timestamps(&values)).expect("a column");
        }
    }
    columns
}

fn open(path: &std::path::Path, ttl: Option<i64>, clock: &Arc<Hands>) -> (Database, Collection) {
    let config =
        Config { memtable_rows_max: 50, durability: Durability::Os, bucket_rows_target: 8, ..Config::default() };
    let components = Components { seed: 7, clock: clock.clone(), ..Components::system() };
    let database = Database::open(path.to_str().expect("a UTF-8 path"), config, components).expect("open");
    let collection = database.create_collection("rows", schema(ttl), true).expect("a collection");
    (database, collection)
}

fn schema(ttl: Option<i64>) -> Schema {
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    schema.with_lifetime(Lifetime { time: Some("at".to_owned()), ttl }).expect("a lifetime")
}

fn within(since: i64, until: i64) -> Predicate {
    let bound = |comparison, at| Predicate::Test("at".to_owned(), Test::Compare(comparison, Literal::Timestamp(at)));
    Predicate::And(vec![bound(Comparison::Ge, since), bound(Comparison::Lt, until)])
}

fn found(ids: &HitIds) -> Vec<i64> {
    let HitIds::Int(ids) = ids else { panic!("int ids") };
    ids.iter().copied().filter(|id| *id >= 0).collect()
}

/// The collection shows the rows of the model that have not expired, whichever way it is asked.
fn check(collection: &Collection, model: &Model, now: i64, ttl: Option<i64>) {
    let alive: Model = model.iter().filter(|(_, row)| row.end(ttl) > now).map(|(id, row)| (*id, *row)).collect();
    let ids: Vec<i64> = alive.keys().copied().collect();
    assert_eq!(collection.len().expect("len"), ids.len() as u64);
    assert_eq!(collection.stats().expect("stats").rows, ids.len() as u64);
    let Ids::Int(mut listed) = collection.ids().expect("ids") else { panic!("int ids") };
    listed.sort_unstable();
    assert_eq!(listed, ids);
    let every = Ids::Int(model.keys().copied().collect());
    let got = collection.get(&every, Missing::Skip, &Include::All).expect("get");
    assert_eq!(got.ids, Ids::Int(ids.clone()));
    for (row, (_, expected)) in alive.iter().enumerate() {
        let value = |name: &str| got.payload.get(name).map_or(Value::Null, |column| column.get(row));
        assert_eq!(value("at"), Value::Timestamp(expected.time));
        assert_eq!(value(EXPIRES_FIELD), expected.expires.map_or(Value::Null, Value::Timestamp));
    }
    for id in model.keys() {
        assert_eq!(collection.contains(IdRef::Int(*id)).expect("contains"), alive.contains_key(id));
    }
    let page = Page { limit: 1_000, ..Page::default() };
    assert_eq!(collection.page(&page).expect("a page").ids, Ids::Int(ids.clone()));
    for exact in [true, false] {
        let options = SearchOptions { exact, k: ids.len() + 1, ..SearchOptions::default() };
        let hits = collection.search(&vector(3), &options, &never_interrupt).expect("search");
        let mut hits = found(&hits.ids);
        hits.sort_unstable();
        assert_eq!(hits, ids, "exact: {exact}");
    }
}

/// Windows of time hold the rows whose time is in them.
fn check_window(collection: &Collection, model: &Model, now: i64, ttl: Option<i64>, since: i64, until: i64) {
    let is_in = |row: &Row| row.end(ttl) > now && (since..until).contains(&row.time);
    let expected: Vec<i64> = model.iter().filter(|(_, row)| is_in(row)).map(|(id, _)| *id).collect();
    let filter = Arc::new(within(since, until));
    assert_eq!(collection.count(&filter).expect("count"), expected.len() as u64);
    let page = Page { filter: Some(&filter), limit: 1_000, ..Page::default() };
    assert_eq!(collection.page(&page).expect("a page").ids, Ids::Int(expected.clone()));
    for exact in [true, false] {
        let options = SearchOptions { exact, k: 200, filter: Some(filter.clone()), ..SearchOptions::default() };
        let mut hits = found(&collection.search(&vector(5), &options, &never_interrupt).expect("search").ids);
        hits.sort_unstable();
        assert_eq!(hits, expected, "exact: {exact}");
    }
}

/// Rows come in the order of distance and penalty, whichever way they are searched for.
fn check_decay(collection: &Collection, model: &Model, now: i64, ttl: Option<i64>, k: usize, weight: f32) {
    let decay = Decay { field: "at".to_owned(), half_life: 200.0, weight, at: now };
    let query = vector(11);
    let distance = |id: i64| -> f32 { vector(id).iter().zip(&query).map(|(a, b)| (a - b) * (a - b)).sum() };
    let mut expected: Vec<f32> = model
        .iter()
        .filter(|(_, row)| row.end(ttl) > now)
        .map(|(id, row)| distance(*id) + decay.penalty(Some(row.time)))
        .collect();
    expected.sort_by(f32::total_cmp);
    expected.truncate(k);
    let options = SearchOptions { exact: true, k, decay: Some(decay), ..SearchOptions::default() };
    // A recall of 1 scans everything: the deepening must then lose nothing either.
    let full = SearchOptions { exact: false, recall: Some(1.0), ..options.clone() };
    for options in [options, full] {
        let both: Vec<f32> = [&query[..], &query[..]].concat();
        let hits = collection.search(&both, &options, &never_interrupt).expect("search");
        for values in hits.distances.chunks(k.max(1)) {
            let values: Vec<f32> = values.iter().copied().filter(|value| value.is_finite()).collect();
            assert_eq!(values.len(), expected.len());
            let same = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-3 * b.abs().max(1.0);
            assert!(values.iter().zip(&expected).all(same), "{values:?} is not {expected:?}");
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Upsert(Vec<(i64, Option<i64>, Option<i64>)>),
    Load(Vec<(i64, Option<i64>, Option<i64>)>),
    Bare(Vec<i64>),
    Update(Vec<i64>, Option<i64>, Option<i64>),
    Delete(Vec<i64>),
    DeleteWindow(i64, i64),
    Advance(i64),
    Flush,
    Optimize,
    Maintain,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let moment = || prop::option::of(0i64..3_000);
    let expires = || prop::option::weighted(0.3, 0i64..3_000);
    let rows = || prop::collection::vec((0i64..90, moment(), expires()), 1..40);
    let ids = || prop::collection::vec(0i64..90, 1..20);
    let step = prop_oneof![
        5 => rows().prop_map(Step::Upsert),
        1 => rows().prop_map(Step::Load),
        1 => ids().prop_map(Step::Bare),
        2 => (ids(), moment(), expires()).prop_map(|(ids, time, expires)| Step::Update(ids, time, expires)),
        1 => ids().prop_map(Step::Delete),
        1 => (0i64..3_000, 0i64..600).prop_map(|(since, length)| Step::DeleteWindow(since, since + length)),
        4 => (1i64..400).prop_map(Step::Advance),
        2 => Just(Step::Flush),
        1 => Just(Step::Optimize),
        2 => Just(Step::Maintain),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..20)
}

/// Rows of one call: of an id given twice the last counts, in the collection as in the model.
fn write(model: &mut Model, rows: &[(i64, Option<i64>, Option<i64>)], now: i64) {
    for &(id, time, expires) in rows {
        model.insert(id, Row { time: time.unwrap_or(now), expires });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn windows_expiry_and_decay_agree_with_a_model(steps in steps(), has_ttl in any::<bool>()) {
        let ttl = has_ttl.then_some(TTL);
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(Hands::default());
        let mut now = 1_000;
        clock.set(now);
        let (mut database, mut collection) = open(folder.path(), ttl, &clock);
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Upsert(rows) => {
                    let ids: Vec<i64> = rows.iter().map(|row| row.0).collect();
                    let payload = payload(&rows.iter().map(|row| (row.1, row.2)).collect::<Vec<_>>());
                    let given = Ids::Int(ids.clone());
                    collection.upsert(&given, Vectors::F32(&vectors(&ids)), Some(&payload)).expect("upsert");
                    write(&mut model, &rows, now);
                }
                Step::Load(rows) => {
                    let ids: Vec<i64> = rows.iter().map(|row| row.0).collect();
                    let payload = Some(payload(&rows.iter().map(|row| (row.1, row.2)).collect::<Vec<_>>()));
                    let batch = RowBatch { vectors: BatchVectors::F32(vectors(&ids)), ids: Ids::Int(ids), payload };
                    let mut source = MemorySource::new(vec![batch]);
                    collection.load(&mut source, &mut |_| ControlFlow::Continue(())).expect("load");
                    write(&mut model, &rows, now);
                }
                Step::Bare(ids) => {
                    collection.upsert(&Ids::Int(ids.clone()), Vectors::F32(&vectors(&ids)), None).expect("upsert");
                    write(&mut model, &ids.iter().map(|id| (*id, None, None)).collect::<Vec<_>>(), now);
                }
                Step::Update(ids, time, expires) => {
                    let is_alive = |id: &i64| model.get(id).is_some_and(|row| row.end(ttl) > now);
                    let mut ids: Vec<i64> = ids.into_iter().filter(is_alive).collect();
                    ids.sort_unstable();
                    ids.dedup();
                    let changes = payload(&vec![(time, expires); ids.len()]);
                    let removed = |name: &str| (0..ids.len()).map(|row| (row, name.to_owned())).collect::<Vec<_>>();
                    let mut gone = if time.is_none() { removed("at") } else { Vec::new() };
                    gone.extend(if expires.is_none() { removed(EXPIRES_FIELD) } else { Vec::new() });
                    collection.update_payload(&Ids::Int(ids.clone()), &changes, &gone).expect("update");
                    write(&mut model, &ids.iter().map(|id| (*id, time, expires)).collect::<Vec<_>>(), now);
                }
                Step::Delete(ids) => {
                    let mut alive: Vec<i64> = ids.clone();
                    alive.sort_unstable();
                    alive.dedup();
                    alive.retain(|id| model.get(id).is_some_and(|row| row.end(ttl) > now));
                    prop_assert_eq!(collection.delete(&Ids::Int(ids)).expect("delete"), alive.len() as u64);
                    alive.iter().for_each(|id| { model.remove(id); });
                }
                Step::DeleteWindow(since, until) => {
                    let is_in = |row: &Row| row.end(ttl) > now && (since..until).contains(&row.time);
                    let gone: Vec<i64> = model.iter().filter(|(_, row)| is_in(row)).map(|(id, _)| *id).collect();
                    let deleted = collection.delete_where(&Arc::new(within(since, until))).expect("delete");
                    prop_assert_eq!(deleted, gone.len() as u64);
                    gone.iter().for_each(|id| { model.remove(id); });
                }
                Step::Advance(by) => {
                    now += by;
                    clock.set(now);
                }
                Step::Flush => collection.flush().expect("flush"),
                Step::Optimize => { collection.optimize().expect("optimize"); }
                Step::Maintain => {
                    collection.run_maintenance().expect("maintenance");
                    // What has expired is gone for good.
                    model.retain(|_, row| row.end(ttl) > now);
                }
                Step::Reopen => {
                    database.close().expect("close");
                    (database, collection) = open(folder.path(), ttl, &clock);
                }
            }
            check(&collection, &model, now, ttl);
            for (since, until) in [(0, 700), (700, 1_500), (1_200, 1_200), (now - 100, now + 1), (2_900, 9_000)] {
                check_window(&collection, &model, now, ttl, since, until);
            }
            for (k, weight) in [(1, 0.5), (5, 40.0), (200, 1.0)] {
                check_decay(&collection, &model, now, ttl, k, weight);
            }
        }
        let report = collection.verify().expect("verify");
        prop_assert!(report.problems.is_empty(), "{:?}", report.problems);
        drop(database);
    }
}

/// Rows 0 to `count`, row n of moment n.
fn fill(collection: &Collection, count: i64) {
    let ids: Vec<i64> = (0..count).collect();
    for ids in ids.chunks(1_000) {
        let times: Vec<(Option<i64>, Option<i64>)> = ids.iter().map(|id| (Some(*id), None)).collect();
        let given = Ids::Int(ids.to_vec());
        collection.upsert(&given, Vectors::F32(&vectors(ids)), Some(&payload(&times))).expect("upsert");
    }
    collection.flush().expect("flush");
}

#[test]
fn a_window_that_misses_a_segment_or_holds_it_needs_no_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(Hands::default());
    let (_database, collection) = open(folder.path(), None, &clock);
    collection.pause_maintenance().expect("pause");
    fill(&collection, 2_000);
    assert!(collection.wait_for_rest(Duration::from_secs(300)).expect("an open collection"));
    let memory = || collection.stats().expect("stats").memory_bytes;
    let count = |since, until| collection.count(&Arc::new(within(since, until))).expect("count");
    let before = memory();
    assert_eq!((count(0, 2_000), count(2_000, 3_000), count(-5, 0)), (2_000, 0, 0));
    assert_eq!(memory(), before);
    assert_eq!(count(700, 730), 30);
    assert!(memory() > before);
}

/// Buckets, codes and rows that twenty searches read.
fn work(collection: &Collection, options: &SearchOptions) -> [u64; 3] {
    let before = collection.stats().expect("stats");
    for id in 0..20 {
        collection.search(&vector(id), options, &never_interrupt).expect("search");
    }
    let after = collection.stats().expect("stats");
    let buckets = after.buckets_scanned - before.buckets_scanned;
    [buckets, after.rows_scanned - before.rows_scanned, after.rows_refined - before.rows_refined]
}

#[test]
fn a_narrow_window_scans_fewer_buckets_and_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(Hands::default());
    let (_database, collection) = open(folder.path(), None, &clock);
    fill(&collection, 6_000);
    let options = SearchOptions { recall: Some(0.95), ..SearchOptions::default() };
    let window = |since, until| SearchOptions { filter: Some(Arc::new(within(since, until))), ..options.clone() };
    let all = work(&collection, &options);
    let narrow = work(&collection, &window(3_000, 3_030));
    assert!(all[0] > 0 && all[1] > 0, "{all:?}");
    assert_eq!(narrow, [0, 0, 20 * 30], "the rows of the window alone are read");
    assert_eq!(work(&collection, &window(7_000, 8_000)), [0, 0, 0]);
}

#[test]
fn expired_rows_leave_the_disk_and_their_ids_are_free() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(Hands::default());
    clock.set(1);
    let (database, collection) = open(folder.path(), Some(TTL), &clock);
    collection.pause_maintenance().expect("pause");
    fill(&collection, 200);
    clock.set(TTL + 149);
    assert_eq!(collection.len().expect("len"), 50);
    let error = collection.add(&Ids::Int(vec![150]), Vectors::F32(&vector(150)), None).expect_err("it is there");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    collection.add(&Ids::Int(vec![149]), Vectors::F32(&vector(149)), None).expect("its row has expired");
    assert_eq!(collection.len().expect("len"), 51);
    let error = collection.get(&Ids::Int(vec![7]), Missing::Error, &Include::Nothing).expect_err("it has expired");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(collection.delete(&Ids::Int(vec![7, 8])).expect("delete"), 0);
    let records = collection.run_maintenance().expect("maintenance");
    let expired: Vec<&str> = records.iter().filter(|of| of.job == Job::Expire).map(|of| of.effect.as_str()).collect();
    assert_eq!(expired, ["149 rows deleted"]);
    let stats = collection.stats().expect("stats");
    assert_eq!((stats.rows, stats.segment_rows + stats.memtable_rows, stats.dead_rows), (51, 51, 0));
    assert!(collection.health().expect("health").jobs.iter().any(|of| of.reason == "149 rows have expired"));
    assert!(!collection.run_maintenance().expect("maintenance").iter().any(|of| of.job == Job::Expire));
    drop(database);
}

#[test]
fn a_reader_of_another_handle_hides_what_has_expired_since() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(Hands::default());
    clock.set(1);
    let (_database, collection) = open(folder.path(), Some(TTL), &clock);
    fill(&collection, 100);
    let config = Config { read_only: true, ..Config::default() };
    let components = Components { clock: clock.clone(), ..Components::system() };
    let path = folder.path().to_str().expect("a UTF-8 path");
    let reader = Database::open(path, config, components).expect("a reader");
    let rows = reader.open_collection("rows").expect("the collection");
    assert_eq!(rows.schema(), &schema(Some(TTL)));
    clock.set(TTL + 39);
    assert_eq!(rows.len().expect("len"), 60);
    collection.upsert(&Ids::Int(vec![500]), Vectors::F32(&vector(500)), None).expect("upsert");
    collection.run_maintenance().expect("maintenance");
    assert!(rows.refresh().expect("refresh"));
    assert_eq!(rows.len().expect("len"), 61);
    clock.set(TTL + 99);
    assert_eq!(rows.len().expect("len"), 1);
}

#[test]
fn a_row_without_a_time_gets_the_clock_s_and_one_call_one_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(Hands::default());
    clock.set(77);
    let (_database, collection) = open(folder.path(), None, &clock);
    let ids = vec![1, 2, 3];
    let some = payload(&[(Some(5), None), (None, None), (None, None)]);
    collection.add(&Ids::Int(ids.clone()), Vectors::F32(&vectors(&ids)), Some(&some)).expect("add");
    let got = collection.get(&Ids::Int(ids), Missing::Error, &Include::All).expect("get");
    assert_eq!(got.payload.get("at").expect("times"), &timestamps(&[Some(5), Some(77), Some(77)]));
    let mut wrong = Columns::new(1);
    let mut years = Column::new(FieldType::Int);
    years.push(Value::Int(2024));
    wrong.add("at", years).expect("a column");
    let error = collection.add(&Ids::Int(vec![9]), Vectors::F32(&vector(9)), Some(&wrong)).expect_err("an int");
    assert!(error.message().contains("\"at\" is timestamp"), "{error}");
    let options = SearchOptions {
        decay: Some(Decay { field: "written".to_owned(), half_life: 1.0, weight: 1.0, at: 0 }),
        ..SearchOptions::default()
    };
    let error = collection.search(&vector(1), &options, &never_interrupt).expect_err("no such field");
    assert!(error.message().contains("\"written\""), "{error}");
}
