//! Every named step that changes what is durable is taken by a script, and may fail there: the error has a kind, reads
//! go on, and the database opens again with all that was acknowledged.

#[allow(dead_code)] // Shared with the power-loss tests, which use the rest.
#[path = "power_loss/rows.rs"]
mod rows;
#[allow(dead_code)]
#[path = "power_loss/timeline.rs"]
mod timeline;
#[allow(dead_code)]
#[path = "power_loss/world.rs"]
mod world;

use drift_core::clock::Components;
use drift_core::config::{Config, Durability, Recovery};
use drift_core::db::{Chore, Database};
use drift_core::error::ErrorKind;
use drift_core::storage::failpoint::{self, Failpoint};
use drift_core::storage::{Backend, MemoryBackend};
use drift_core::types::{IdType, Ids, Metric, Schema, Vectors};
use rows::{check_allowed, read_all, verify_all};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use timeline::Crash;
use world::{Step, World, open};

/// Failpoints that only repair and salvage take; they have a test of their own.
const OF_REPAIR: [Failpoint; 5] = [
    Failpoint::RepairCommit,
    Failpoint::SalvageCommit,
    Failpoint::CatalogRepair,
    Failpoint::SalvageCatalog,
    Failpoint::SalvageFolder,
];

/// Rows above what is searched without buckets, so that these are defined anew after as many writes.
const MANY_ROWS: i64 = 4_200;

/// Rows of the other runs.
const FEW_ROWS: i64 = 90;

fn script(rows: i64) -> Vec<Step> {
    use Step::{Background, Create, Delete, Drop, Flush, Load, Maintain, Optimize, Reopen, Search, Upsert};
    vec![
        Reopen,
        Create("b"),
        Upsert("b", (0..30).collect()),
        Drop("b"),
        Create("a"),
        Load("a", (0..rows).collect()),
        Upsert("a", (0..rows).rev().collect()),
        Delete("a", (0..rows / 5).collect()),
        Background("a", Chore::Flush),
        Maintain("a"),
        Upsert("a", (0..60).collect()),
        Flush("a"),
        Delete("a", (3..rows / 2).collect()),
        Flush("a"),
        Maintain("a"),
        Optimize("a"),
        Upsert("a", vec![1]),
        // Its recall is measured, and saved by the close.
        Search("a", 7),
        Background("a", Chore::Shadows),
        Reopen,
        Upsert("a", vec![2, 3]),
    ]
}

fn world(rows: i64) -> World {
    let mut world = World::new(Durability::Always, 1);
    if rows == MANY_ROWS {
        world.config.bucket_rows_target = 64;
        world.config.load_bytes_max = usize::MAX;
    }
    world
}

/// How often a run without failures reaches each failpoint.
fn hits_of(rows: i64) -> BTreeMap<Failpoint, u64> {
    failpoint::reset();
    let mut clean = world(rows);
    for step in &script(rows) {
        clean.run(step).unwrap_or_else(|error| panic!("{step:?}: {error}"));
    }
    clean.close().expect("close");
    failpoint::hits()
}

/// One test, so that no other one passes failpoints meanwhile.
#[test]
fn every_durable_step_is_taken_and_may_fail() {
    let (few, many) = (hits_of(FEW_ROWS), hits_of(MANY_ROWS));
    for point in Failpoint::ALL.into_iter().filter(|point| !OF_REPAIR.contains(point)) {
        let (rows, hits) = match (few.get(&point), many.get(&point)) {
            (Some(hits), _) => (FEW_ROWS, *hits),
            (None, Some(hits)) => (MANY_ROWS, *hits),
            (None, None) => panic!("{point:?} is never reached"),
        };
        for after in BTreeSet::from([0, hits / 2, hits - 1]) {
            fail_at(rows, point, after);
        }
    }
    repair_and_salvage_pass_theirs();
}

/// Runs the script while one failpoint fails, then opens what is left after a kill and after a power loss.
fn fail_at(rows: i64, point: Failpoint, after: u64) {
    failpoint::reset();
    let mut world = world(rows);
    failpoint::arm(point, after);
    for step in &script(rows) {
        if world.is_closed() && !matches!(step, Step::Reopen) {
            world.run(&Step::Reopen).unwrap_or_else(|error| panic!("{point:?} {after}: opening again: {error}"));
        }
        if let Err(error) = world.run(step) {
            let kind = error.kind();
            assert!(matches!(kind, ErrorKind::Io | ErrorKind::NotFound), "{point:?} {after}: {step:?}: {error}");
        }
        if !world.is_closed() {
            world.check().unwrap_or_else(|error| panic!("{point:?} {after}: reading after {step:?}: {error}"));
        }
        if world.uncertainty() > 4 {
            break;
        }
    }
    let operations = world.fs.operations();
    for crash in [Crash::Kill, Crash::PowerLoss] {
        let left = match crash {
            Crash::Kill => world.fs.after_kill(operations),
            Crash::PowerLoss => world.fs.after_power_loss(operations, after),
        };
        let database = open(&left, &world.config, &world.components)
            .unwrap_or_else(|error| panic!("{point:?} {after}: open after {crash:?}: {error}"));
        let outcome = read_all(&database, |_| ())
            .and_then(|contents| check_allowed(&contents, &world.allowed(crash, operations)))
            .and_then(|()| verify_all(&database));
        outcome.unwrap_or_else(|error| panic!("{point:?} {after}: after {crash:?}: {error}"));
    }
}

/// Those of repair and of salvage: what fails there changes nothing that the next try needs.
fn repair_and_salvage_pass_theirs() {
    failpoint::reset();
    let backend = MemoryBackend::open("failpoints", true, false).expect("a store in memory");
    let open = |recovery| {
        let config = Config { recovery, ..Config::default() };
        Database::open_on(Arc::new(backend.clone()), config, Components::simulated(1)).expect("open")
    };
    let schema = Schema::new(2, Metric::L2, IdType::Int).expect("a schema");
    let database = open(Recovery::Strict);
    let collection = database.create_collection("rows", schema, false).expect("create");
    collection.upsert(&Ids::Int(vec![1, 2]), Vectors::F32(&[1.0, 2.0, 3.0, 4.0]), None).expect("upsert");
    collection.flush().expect("flush");
    let named = |part: &str| {
        let names = backend.list("").expect("list");
        names.into_iter().rfind(|name| name.contains(part)).expect("a file")
    };
    let damage = |name: &str| {
        backend.delete(name).expect("delete");
        backend.put_if_absent(name, b"damaged").expect("put");
    };
    // What fails is done by the next call.
    let first_catalog = backend.list("catalog").expect("list").remove(0);
    for point in [Failpoint::RepairCommit, Failpoint::CatalogRepair] {
        backend.delete(&named("bitstore")).expect("delete");
        if point == Failpoint::CatalogRepair {
            damage(&first_catalog);
        }
        failpoint::reset();
        failpoint::arm(point, 0);
        assert_eq!(collection.repair().err().map(|error| error.kind()), Some(ErrorKind::Io), "{point:?}");
        assert!(collection.repair().expect("a report").problems.is_empty(), "{point:?}");
    }
    database.close().expect("close");
    drop((collection, database));
    damage(&backend.list("catalog").expect("list").pop().expect("a catalog"));
    backend.delete(&named("segments")).expect("delete");
    for point in [Failpoint::SalvageCatalog, Failpoint::SalvageFolder, Failpoint::SalvageCommit] {
        failpoint::reset();
        failpoint::arm(point, 0);
        let config = Config { recovery: Recovery::Salvage, ..Config::default() };
        let failed = Database::open_on(Arc::new(backend.clone()), config, Components::simulated(1))
            .and_then(|database| database.open_collection("rows").map(|_| ()));
        assert_eq!(failed.err().map(|error| error.kind()), Some(ErrorKind::Io), "{point:?}");
    }
    let database = open(Recovery::Salvage);
    assert_eq!(database.open_collection("rows").and_then(|rows| rows.len()).expect("salvage"), 0);
    assert!(!database.given_up().expect("a report").is_empty());
}
