//! Payload and predicates from outside, against a model: writes, updates, deletes by filter, jobs, reopens.

use drift_core::clock::Components;
use drift_core::config::{Config, Durability};
use drift_core::db::{Collection, Database};
use drift_core::ingest::source::{BatchVectors, MemorySource, RowBatch};
use drift_core::search::Page;
use drift_core::types::predicate::{Comparison, Literal, Test};
use drift_core::types::{
    Column, Columns, FieldType, HitIds, IdRef, IdType, Ids, Include, Metric, Missing, Predicate, Schema, SearchOptions,
    Value, Vectors, never_interrupt,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const DIM: usize = 64;

/// What a row carries in the model.
#[derive(Clone, Debug, Default, PartialEq)]
struct Row {
    year: Option<i64>,
    price: Option<f64>,
    name: Option<String>,
    fresh: Option<bool>,
    time: Option<i64>,
    tags: Option<Vec<String>>,
    meta: Option<String>,
}

/// The row that an id is written with at a step.
fn row(id: i64, step: u64) -> Row {
    let n = id.wrapping_mul(31).wrapping_add(step as i64 * 17);
    let tag = |at: i64| format!("t{}", (n + at).rem_euclid(5));
    Row {
        year: (n % 7 != 0).then_some(2000 + n % 20),
        // Whole numbers at first: the field begins as one of ints.
        price: (n % 5 != 1).then_some(if step < 6 { (n % 10) as f64 } else { (n % 10) as f64 + 0.5 }),
        name: (n % 3 != 0).then(|| format!("name {}", n % 11)),
        fresh: (n % 4 != 0).then_some(n % 2 == 0),
        time: (n % 6 != 0).then_some(n * 1_000_000),
        tags: (n % 5 != 2).then(|| (0..n.rem_euclid(3)).map(tag).collect()),
        meta: (n % 4 != 3).then(|| format!(r#"{{"a":{{"b":[{},"x{}"]}},"c":{}}}"#, n % 6, n % 4, n % 2 == 0)),
    }
}

fn columns(rows: &[Row], as_ints: bool) -> Columns {
    let mut columns = Columns::new(rows.len());
    let mut add = |name: &str, kind: FieldType, push: &dyn Fn(&Row, &mut Column)| {
        let mut column = Column::new(kind);
        rows.iter().for_each(|row| push(row, &mut column));
        columns.add(name, column).expect("a new column");
    };
    let price = if as_ints { FieldType::Int } else { FieldType::Float };
    add("year", FieldType::Int, &|row, out| out.push(row.year.map_or(Value::Null, Value::Int)));
    add("price", price, &|row, out| match row.price {
        Some(price) if as_ints => out.push(Value::Int(price as i64)),
        price => out.push(price.map_or(Value::Null, Value::Float)),
    });
    add("name", FieldType::Str, &|row, out| out.push(row.name.as_deref().map_or(Value::Null, Value::Str)));
    add("fresh", FieldType::Bool, &|row, out| out.push(row.fresh.map_or(Value::Null, Value::Bool)));
    add("time", FieldType::Timestamp, &|row, out| out.push(row.time.map_or(Value::Null, Value::Timestamp)));
    add("tags", FieldType::List, &|row, out| match &row.tags {
        Some(tags) => out.push_list(tags.iter().map(String::as_str)),
        None => out.push(Value::Null),
    });
    add("meta", FieldType::Json, &|row, out| out.push(row.meta.as_deref().map_or(Value::Null, Value::Json)));
    columns
}

/// The rows of an answer.
fn rows(columns: &Columns) -> Vec<Row> {
    let value = |name: &str, row: usize| columns.get(name).map_or(Value::Null, |column| column.get(row));
    let read = |row: usize| {
        let mut out = Row::default();
        for name in ["year", "price", "name", "fresh", "time", "tags", "meta"] {
            match (name, value(name, row)) {
                (_, Value::Null) => {}
                ("year", Value::Int(year)) => out.year = Some(year),
                ("price", Value::Int(price)) => out.price = Some(price as f64),
                ("price", Value::Float(price)) => out.price = Some(price),
                ("name", Value::Str(name)) => out.name = Some(name.to_owned()),
                ("fresh", Value::Bool(fresh)) => out.fresh = Some(fresh),
                ("time", Value::Timestamp(time)) => out.time = Some(time),
                ("tags", Value::List(lists, at)) => out.tags = Some(lists.get(at).map(str::to_owned).collect()),
                ("meta", Value::Json(meta)) => out.meta = Some(meta.to_owned()),
                (name, value) => panic!("{name} is {value:?}"),
            }
        }
        out
    };
    (0..columns.rows()).map(read).collect()
}

/// Changes of the field `year`.
fn years(values: &[Option<i64>]) -> Columns {
    let mut years = Column::new(FieldType::Int);
    values.iter().for_each(|year| years.push(year.map_or(Value::Null, Value::Int)));
    let mut columns = Columns::new(values.len());
    columns.add("year", years).expect("a column");
    columns
}

fn vector(id: i64) -> Vec<f32> {
    (0..DIM).map(|at| (id as f32 * 0.37 + at as f32 * (1.0 + id as f32 * 0.01)).sin()).collect()
}

fn vectors(ids: &[i64]) -> Vec<f32> {
    ids.iter().flat_map(|&id| vector(id)).collect()
}

type Model = BTreeMap<i64, Row>;

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        (-2i64..12).prop_map(Literal::Int),
        (1998i64..2022).prop_map(Literal::Int),
        (-4i64..30).prop_map(|n| Literal::Float(n as f64 / 2.0)),
        (0i64..12).prop_map(|n| Literal::Str(format!("name {n}"))),
        (0i64..6).prop_map(|n| Literal::Str(format!("t{n}"))),
        (0i64..5).prop_map(|n| Literal::Str(format!("x{n}"))),
        any::<bool>().prop_map(Literal::Bool),
        (-10i64..2000).prop_map(|n| Literal::Timestamp(n * 1_000_000)),
    ]
}

fn predicate() -> impl Strategy<Value = Predicate> {
    let names = ["year", "price", "name", "fresh", "time", "tags", "meta", "meta.a.b", "meta.c", "nowhere"];
    let comparison =
        prop::sample::select(vec![Comparison::Eq, Comparison::Lt, Comparison::Le, Comparison::Gt, Comparison::Ge]);
    let test = prop_oneof![
        5 => (comparison, literal()).prop_map(|(comparison, literal)| Test::Compare(comparison, literal)),
        2 => prop::collection::vec(literal(), 0..4).prop_map(Test::In),
        2 => (literal(), literal()).prop_map(|(low, high)| Test::Between(low, high)),
        1 => literal().prop_map(Test::Contains),
        1 => prop::sample::select(vec!["na", "name 1", "t", ""]).prop_map(|text| Test::Contains(Literal::Str(text.into()))),
        1 => prop::sample::select(vec!["na", "name 1", "t2", "x", ""]).prop_map(|text| Test::StartsWith(text.into())),
        1 => Just(Test::Exists),
    ];
    let leaf = (prop::sample::select(names.to_vec()), test).prop_map(|(name, test)| Predicate::Test(name.into(), test));
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Predicate::And),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Predicate::Or),
            inner.prop_map(|part| Predicate::Not(Box::new(part))),
        ]
    })
}

#[derive(Clone, Debug)]
enum Step {
    Upsert(Vec<i64>),
    Bare(Vec<i64>),
    Load(Vec<i64>),
    Update(Vec<i64>),
    UpdateWhere(Predicate, Option<i64>),
    DeleteWhere(Predicate),
    Ask(Predicate),
    Flush,
    Optimize,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ids = || prop::collection::vec(0i64..90, 1..40);
    let step = prop_oneof![
        4 => ids().prop_map(Step::Upsert),
        1 => ids().prop_map(Step::Bare),
        1 => ids().prop_map(Step::Load),
        2 => ids().prop_map(Step::Update),
        2 => (predicate(), prop::option::of(1998i64..2022)).prop_map(|(rows, year)| Step::UpdateWhere(rows, year)),
        1 => predicate().prop_map(Step::DeleteWhere),
        6 => predicate().prop_map(Step::Ask),
        2 => Just(Step::Flush),
        1 => Just(Step::Optimize),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..25)
}

fn open(path: &std::path::Path) -> (Database, Collection) {
    let config =
        Config { memtable_rows_max: 50, durability: Durability::Os, bucket_rows_target: 8, ..Config::default() };
    let components = Components { seed: 7, ..Components::system() };
    let database = Database::open(path.to_str().expect("a UTF-8 path"), config, components).expect("open");
    let schema = Schema::new(DIM, Metric::L2, IdType::Int).expect("a schema");
    let collection = database.create_collection("rows", schema, true).expect("a collection");
    (database, collection)
}

/// Ids of the model's rows that satisfy a predicate, evaluated row by row.
fn matching(model: &Model, predicate: &Predicate) -> Vec<i64> {
    let (ids, rows): (Vec<i64>, Vec<Row>) = model.iter().map(|(id, row)| (*id, row.clone())).unzip();
    let columns = columns(&rows, false);
    (0..ids.len()).filter(|&at| predicate.holds(Some(&columns), at)).map(|at| ids[at]).collect()
}

fn check(collection: &Collection, model: &Model) {
    let ids: Vec<i64> = model.keys().copied().collect();
    let found = collection.get(&Ids::Int(ids.clone()), Missing::Error, &Include::All).expect("get");
    assert_eq!(rows(&found.payload), model.values().cloned().collect::<Vec<_>>());
}

fn ask(collection: &Collection, model: &Model, predicate: Predicate) {
    let expected = matching(model, &predicate);
    let filter = Arc::new(predicate);
    assert_eq!(collection.count(&filter).expect("count"), expected.len() as u64, "{filter:?}");
    let mut paged = Vec::new();
    loop {
        let after = paged.last().map(|&id| IdRef::Int(id));
        let page = Page { filter: Some(&filter), after, limit: 7, vectors: true, include: Include::All };
        let page = collection.page(&page).expect("a page");
        let Ids::Int(ids) = &page.ids else { panic!("int ids") };
        assert_eq!(page.vectors, vectors(ids));
        assert_eq!(rows(&page.payload), ids.iter().map(|id| model[id].clone()).collect::<Vec<_>>());
        paged.extend(ids);
        if ids.len() < 7 {
            break;
        }
    }
    assert_eq!(paged, expected, "{filter:?}");
    for exact in [true, false] {
        let include = Include::All;
        let options = SearchOptions { exact, k: 10, filter: Some(filter.clone()), include, ..SearchOptions::default() };
        let hits = collection.search(&vector(3), &options, &never_interrupt).expect("search");
        let HitIds::Int(found) = &hits.ids else { panic!("int ids") };
        let found: Vec<i64> = found.iter().copied().filter(|id| *id >= 0).collect();
        assert_eq!(found.len(), expected.len().min(10), "{filter:?}");
        assert!(found.iter().all(|id| expected.contains(id)), "{filter:?}: {found:?}");
        let payload = if hits.payload.iter().len() == 0 { Vec::new() } else { rows(&hits.payload) };
        for (id, row) in found.iter().zip(&payload) {
            assert_eq!(row, &model[id]);
        }
    }
}

/// Sequences that are tried: a few, or what `PROPTEST_CASES` says.
#[allow(clippy::disallowed_methods)] // Tests are asked by the environment.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]
    #[test]
    fn payload_and_predicates_agree_with_a_model(steps in steps()) {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut database, mut collection) = open(folder.path());
        let mut model = Model::new();
        for (at, step) in steps.into_iter().enumerate() {
            let (at, as_ints) = (at as u64, at < 6);
            let brought = |ids: &[i64]| ids.iter().map(|&id| row(id, at)).collect::<Vec<_>>();
            match step {
                Step::Upsert(ids) => {
                    let payload = columns(&brought(&ids), as_ints);
                    let given = Ids::Int(ids.clone());
                    collection.upsert(&given, Vectors::F32(&vectors(&ids)), Some(&payload)).expect("upsert");
                    model.extend(ids.iter().map(|&id| (id, row(id, at))));
                }
                Step::Bare(ids) => {
                    collection.upsert(&Ids::Int(ids.clone()), Vectors::F32(&vectors(&ids)), None).expect("upsert");
                    model.extend(ids.iter().map(|&id| (id, Row::default())));
                }
                Step::Load(ids) => {
                    let payload = Some(columns(&brought(&ids), as_ints));
                    let batch = RowBatch { vectors: BatchVectors::F32(vectors(&ids)), ids: Ids::Int(ids.clone()), payload };
                    let mut source = MemorySource::new(vec![batch]);
                    collection.load(&mut source, &mut |_| ControlFlow::Continue(())).expect("load");
                    model.extend(ids.iter().map(|&id| (id, row(id, at))));
                }
                Step::Update(ids) => {
                    let ids: Vec<i64> = model.keys().copied().filter(|id| ids.contains(id)).collect();
                    let changes = years(&ids.iter().map(|id| (id % 3 != 0).then_some(1000 + id)).collect::<Vec<_>>());
                    let removed: Vec<(usize, String)> =
                        (0..ids.len()).filter(|at| ids[*at] % 2 == 0).map(|at| (at, "name".to_owned())).collect();
                    collection.update_payload(&Ids::Int(ids.clone()), &changes, &removed).expect("update");
                    for id in ids {
                        let row = model.get_mut(&id).expect("it is there");
                        if id % 3 != 0 { row.year = Some(1000 + id); }
                        if id % 2 == 0 { row.name = None; }
                    }
                }
                Step::UpdateWhere(predicate, year) => {
                    let ids = matching(&model, &predicate);
                    let changes = years(&[year]);
                    let updated = collection.update_payload_where(&Arc::new(predicate), &changes, &["name".to_owned()]);
                    prop_assert_eq!(updated.expect("update"), ids.len() as u64);
                    for id in ids {
                        let row = model.get_mut(&id).expect("it is there");
                        row.year = year.or(row.year);
                        row.name = None;
                    }
                }
                Step::DeleteWhere(predicate) => {
                    let gone = matching(&model, &predicate);
                    gone.iter().for_each(|id| { model.remove(id); });
                    prop_assert_eq!(collection.delete_where(&Arc::new(predicate)).expect("delete"), gone.len() as u64);
                }
                Step::Ask(predicate) => ask(&collection, &model, predicate),
                Step::Flush => collection.flush().expect("flush"),
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
fn an_update_by_filter_beside_writers_mixes_no_two_versions_of_a_row() {
    const IDS: i64 = 3_000;
    let folder = tempfile::tempdir().expect("a folder");
    let (_database, collection) = open(folder.path());
    let vectors_of = |round: i64| (0..IDS).flat_map(|id| vector(id + IDS * round)).collect::<Vec<f32>>();
    let write = |round: i64| {
        let payload = years(&vec![Some(round); IDS as usize]);
        let given = Ids::Int((0..IDS).collect());
        collection.upsert(&given, Vectors::F32(&vectors_of(round)), Some(&payload)).expect("upsert");
    };
    write(0);
    let all = Arc::new(Predicate::Test("year".into(), Test::Exists));
    let mut seen = Column::new(FieldType::Bool);
    seen.push(Value::Bool(true));
    let mut changes = Columns::new(1);
    changes.add("seen", seen).expect("a column");
    let is_over = AtomicBool::new(false);
    let last = std::thread::scope(|scope| {
        let rounds =
            || (1..).inspect(|round| write(*round)).find(|_| is_over.load(Ordering::Relaxed)).expect("it ends");
        let writer = scope.spawn(rounds);
        // Until some rows were replaced between being found and being changed.
        while collection.update_payload_where(&all, &changes, &[]).expect("an update") == IDS as u64 {}
        is_over.store(true, Ordering::Relaxed);
        writer.join().expect("the writer ends")
    });
    let ids: Vec<i64> = (0..IDS).collect();
    let found = collection.get(&Ids::Int(ids.clone()), Missing::Error, &Include::All).expect("get");
    let newest = found.payload.get("year").expect("years");
    assert!(ids.iter().all(|&id| newest.get(id as usize) == Value::Int(last)), "no older row comes back");
    assert_eq!(found.vectors, vectors_of(last));
    assert_eq!(collection.update_payload_where(&all, &changes, &[]).expect("an update"), IDS as u64);
    let seen = collection.get(&Ids::Int(ids), Missing::Error, &Include::All).expect("get");
    let seen = seen.payload.get("seen").expect("it is new").clone();
    assert!((0..IDS as usize).all(|row| seen.get(row) == Value::Bool(true)));
    assert!(collection.verify().expect("verify").problems.is_empty());
}

#[test]
fn an_update_by_filter_takes_one_row_of_changes_and_fields_of_their_types() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_database, collection) = open(folder.path());
    let two = Ids::Int(vec![1, 2]);
    collection.upsert(&two, Vectors::F32(&vectors(&[1, 2])), Some(&years(&[Some(1), Some(2)]))).expect("upsert");
    let all = Arc::new(Predicate::Test("year".into(), Test::Exists));
    let error = collection.update_payload_where(&all, &years(&[Some(1), Some(1)]), &[]).expect_err("two rows");
    assert!(error.message().contains("2 rows"), "{error}");
    let mut column = Column::new(FieldType::Str);
    column.push(Value::Str("x"));
    let mut text = Columns::new(1);
    text.add("year", column).expect("a column");
    let error = collection.update_payload_where(&all, &text, &[]).expect_err("a text as a year");
    assert!(error.message().contains("\"year\" is int"), "{error}");
    let found = collection.get(&two, Missing::Error, &Include::All).expect("get");
    assert_eq!(found.payload.get("year").expect("years").get(1), Value::Int(2));
}

#[test]
fn types_that_disagree_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_database, collection) = open(folder.path());
    let write = |value: Value<'_>, kind: FieldType| {
        let mut column = Column::new(kind);
        column.push(value);
        let mut payload = Columns::new(1);
        payload.add("a", column).expect("a column");
        collection.upsert(&Ids::Int(vec![1]), Vectors::F32(&vector(1)), Some(&payload))
    };
    write(Value::Int(1), FieldType::Int).expect("ints");
    let error = write(Value::Str("x"), FieldType::Str).expect_err("text");
    assert!(error.message().contains("\"a\" is int"), "{error}");
    let found = collection.get(&Ids::Int(vec![1]), Missing::Error, &Include::All).expect("get");
    assert_eq!(found.payload.get("a").expect("a").get(0), Value::Int(1));
    write(Value::Float(0.5), FieldType::Float).expect("ints become floats");
    let error = collection.get(&Ids::Int(vec![1]), Missing::Error, &Include::Fields(vec!["b".into()])).expect_err("b");
    assert!(error.message().contains("\"b\""), "{error}");
}

#[test]
fn fixed_fields_refuse_others() {
    let database = Database::open("memory://fixed", Config::default(), Components::system()).expect("open");
    let field = |name: &str, kind| drift_core::types::Field { name: name.into(), kind };
    let schema = Schema::new(2, Metric::L2, IdType::Int).expect("a schema");
    let schema = schema.with_fields(vec![field("year", FieldType::Int)]).expect("fields");
    let collection = database.create_collection("c", schema, false).expect("a collection");
    let mut payload = Columns::new(1);
    payload.add("yaer", Column::missing(FieldType::Int, 1)).expect("a column");
    let error = collection.upsert(&Ids::Int(vec![1]), Vectors::F32(&[0.0, 1.0]), Some(&payload)).expect_err("yaer");
    assert!(error.message().contains("no field \"yaer\""), "{error}");
    let filter = Arc::new(Predicate::Test("yaer".into(), Test::Exists));
    assert!(collection.count(&filter).expect_err("yaer").message().contains("\"year\""));
}

/// A column of one type, with missing values.
fn column(kind: FieldType, values: &[Option<i64>]) -> Column {
    let mut column = Column::new(kind);
    for value in values {
        let text = value.map_or(String::new(), |value| "ä".repeat(value as usize % 4));
        match (value, kind) {
            (None, _) => column.push(Value::Null),
            (Some(value), FieldType::Bool) => column.push(Value::Bool(value % 2 == 0)),
            (Some(value), FieldType::Int) => column.push(Value::Int(*value)),
            (Some(value), FieldType::Float) => column.push(Value::Float(*value as f64)),
            (Some(value), FieldType::Timestamp) => column.push(Value::Timestamp(*value)),
            (Some(_), FieldType::Str) => column.push(Value::Str(&text)),
            (Some(_), FieldType::Json) => column.push(Value::Json(&text)),
            (Some(value), FieldType::List) => column.push_list((0..value % 3).map(|_| text.as_str())),
        }
    }
    column
}

proptest! {
    #[test]
    fn columns_put_together_from_parts_are_those_of_all_values(
        values in prop::collection::vec(prop::option::weighted(0.7, 0i64..50), 0..40),
        cuts in any::<[prop::sample::Index; 2]>(),
    ) {
        let mut cuts = cuts.map(|cut| cut.index(values.len() + 1));
        cuts.sort_unstable();
        let parts = [0..cuts[0], cuts[0]..cuts[1], cuts[1]..values.len()];
        for code in 1..8 {
            let kind = FieldType::from_code(code).expect("a type");
            let whole = column(kind, &values);
            let mut together = Column::new(kind);
            for part in parts.clone() {
                let slice = whole.slice(part.clone());
                prop_assert_eq!(&slice, &column(kind, &values[part]));
                together.extend(&slice);
            }
            prop_assert_eq!(&together, &whole);
        }
        // Ints meet floats.
        let mut floats = column(FieldType::Float, &values);
        floats.extend(&column(FieldType::Int, &values));
        let twice: Vec<_> = values.iter().chain(&values).copied().collect();
        prop_assert_eq!(floats, column(FieldType::Float, &twice));
    }
}
