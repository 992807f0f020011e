//! Crashes after any operation, also of the recovery from an earlier crash.

use crate::rows::{Allowed, Contents, check_allowed, draw_dim, payload, read_all, vector, verify_all};
use crate::script;
use crate::timeline::{Crash, Rows};
use crate::world::{Step, World, open};
use crate::{Doing, images, seed};
use drift_core::clock::{self, Components, Rng};
use drift_core::config::{Config, Durability};
use drift_core::db::{Chore, Database, Job};
use drift_core::error::{ErrorKind, Result};
use drift_core::storage::sim::{Fault, SimFs};
use drift_core::sync::model::alone;
use drift_core::types::{IdRef, Ids, Vectors};
use parking_lot::Mutex;
use rand::RngExt;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Crashes of one recovery after another.
const DEPTH_MAX: usize = 5;

/// Steps of a random script: enough for two flushes, and few enough to lose the next crash within them.
const STEPS: usize = 14;

/// Crashes that a database lives through.
const CRASHES: usize = 5;

fn after(fs: &SimFs, crash: Crash, operation: u64, rng: &mut Rng) -> SimFs {
    match crash {
        Crash::Kill => fs.after_kill(operation),
        Crash::PowerLoss => fs.after_power_loss(operation, rng.random()),
    }
}

fn draw_crash(rng: &mut Rng) -> Crash {
    if rng.random_ratio(1, 5) { Crash::Kill } else { Crash::PowerLoss }
}

/// A database that has recovered.
pub struct Recovered {
    pub fs: SimFs,
    pub database: Database,
    pub contents: Contents,
    /// Operations of the disk when each collection was open.
    opened: BTreeMap<&'static str, u64>,
}

/// Opens the database on `fs`, checks that it holds what is allowed, and that a reader sees the same.
pub fn recover(fs: SimFs, config: &Config, components: &Components, allowed: &Allowed) -> Result<Recovered> {
    let operations = fs.operations();
    let reader = Config { read_only: true, ..config.clone() };
    let seen = match open(&fs, &reader, components) {
        Ok(database) => read_all(&database, |_| ())?,
        Err(error) if error.kind() == ErrorKind::NotFound => Contents::new(),
        Err(error) => return Err(error),
    };
    assert_eq!(fs.operations(), operations, "a reader changes nothing");
    let database = open(&fs, config, components)?;
    let mut opened = BTreeMap::new();
    let contents = read_all(&database, |name| {
        opened.insert(name, fs.operations());
    })?;
    // Folders end in a slash: those of a dropped collection may stay, without files.
    let is_left = |path: &str| path.ends_with(".tmp") || path.contains("/spool/") && !path.ends_with('/');
    let leftover = fs.files().into_iter().find(|(path, _)| is_left(path));
    assert_eq!(leftover.map(|(path, _)| path), None, "a writer removes what crashed writers left unfinished");
    assert_eq!(seen, contents, "a reader sees what a writer recovers");
    check_allowed(&contents, allowed)?;
    Ok(Recovered { fs, database, contents, opened })
}

/// What is left of a world after a crash, and what it may hold.
pub struct Remains {
    pub fs: SimFs,
    allowed: Allowed,
    /// What it may hold after a power loss before it is opened.
    allowed_at_least: Allowed,
}

impl Remains {
    /// What a crash after `operation` operations leaves.
    pub fn of(world: &World, crash: Crash, operation: u64, rng: &mut Rng) -> Remains {
        Remains {
            fs: after(&world.fs, crash, operation, rng),
            allowed: world.allowed(crash, operation),
            allowed_at_least: world.allowed(Crash::PowerLoss, operation),
        }
    }

    /// Recovers, crashing the recovery itself up to `depth` times. What a recovery has shown must still be there after
    /// the next.
    pub fn recover(mut self, world: &World, depth: usize, rng: &mut Rng) -> Result<Recovered> {
        for _ in 0..depth {
            let recovered = recover(self.fs, &world.config, &world.components, &self.allowed)?;
            let operation = rng.random_range(0..=recovered.fs.operations());
            let crash = draw_crash(rng);
            if crash == Crash::PowerLoss {
                self.allowed = self.allowed_at_least.clone();
            }
            for (name, _) in recovered.opened.iter().filter(|(_, opened)| **opened <= operation) {
                let shown = vec![recovered.contents.get(name).cloned()];
                self.allowed.insert(name, shown.clone());
                self.allowed_at_least.insert(name, shown);
            }
            self.fs = after(&recovered.fs, crash, operation, rng);
        }
        recover(self.fs, &world.config, &world.components, &self.allowed)
    }
}

/// Checks that a recovered database is sound, goes on writing, can be closed and opened again, and keeps what it took
/// through another power loss.
pub fn go_on(world: &World, recovered: Recovered, steps: &[Step], rng: &mut Rng) -> Result<()> {
    verify_all(&recovered.database)?;
    let mut world = world.continued(recovered.fs, recovered.database, &recovered.contents);
    for step in steps {
        world.run(step)?;
    }
    world.run(&Step::Reopen)?;
    let contents = read_all(world.database(), |_| ())?;
    check_allowed(&contents, &world.allowed(Crash::Kill, world.fs.operations()))?;
    verify_all(world.database())?;
    let recovered = Remains::of(&world, Crash::PowerLoss, world.fs.operations(), rng).recover(&world, 0, rng)?;
    verify_all(&recovered.database)
}

/// A few writes that rotate, flush and delete.
fn usual_steps(rng: &mut Rng) -> Vec<Step> {
    use Step::{Create, Delete, Flush, Optimize, Reopen, Upsert};
    let mut steps = vec![Create("a"), Upsert("a", (30..47).collect()), Delete("a", vec![3, 40])];
    match rng.random_range(0..4) {
        0 => steps.push(Flush("a")),
        1 => steps.push(Optimize("a")),
        2 => steps.push(Reopen),
        _ => {}
    }
    steps.push(Upsert("a", vec![3]));
    steps
}

fn run(durability: Durability, steps: &[Step]) -> World {
    let mut world = World::new(durability, seed());
    run_steps(&mut world, &[&[Step::Reopen], steps].concat());
    world
}

fn run_steps(world: &mut World, steps: &[Step]) {
    for step in steps {
        world.run(step).unwrap_or_else(|error| panic!("{step:?}: {error}"));
    }
}

/// Where case `number` of `cases` falls among `places`: evenly over all of them, again and again when there are more
/// cases than places.
pub fn place(number: u64, cases: u64, places: u64) -> u64 {
    if cases < places { number * places / cases } else { number % places }
}

/// Crashes of a script, spread evenly over its operations.
fn every_operation_of(world: &World, default: u64) {
    let durability = world.config.durability;
    let (operations, images) = (world.fs.operations() + 1 - world.born, images(default));
    for image in 0..images {
        let operation = world.born + place(image, images, operations);
        let mut rng = clock::rng(seed() ^ image << 8);
        let crash = draw_crash(&mut rng);
        let depth = if rng.random_ratio(1, 4) { rng.random_range(1..=DEPTH_MAX) } else { 0 };
        let _doing =
            Doing(format!("{durability:?}, image {image}: {crash:?} after operation {operation}, {depth} deep"));
        let recovered = Remains::of(world, crash, operation, &mut rng).recover(world, depth, &mut rng);
        let steps = usual_steps(&mut rng);
        let outcome = recovered.and_then(|recovered| go_on(world, recovered, &steps, &mut rng));
        outcome.unwrap_or_else(|error| panic!("{error}"));
    }
    println!("DRIFT_SEED={}: {durability:?}: {images} images of {operations} operations", seed());
}

#[test]
fn the_same_seed_does_the_same_to_the_disk() {
    let trace = |world: &World| (0..world.fs.calls()).map(|call| world.fs.call(call)).collect::<Vec<_>>();
    let (one, other) = (run(Durability::Always, &script::every_job()), run(Durability::Always, &script::every_job()));
    assert_eq!(trace(&one), trace(&other));
    assert!(one.fs.files() == other.fs.files(), "the same calls leave the same bytes");
}

#[test]
fn a_database_lives_through_one_crash_after_another() {
    alone(lives);
}

fn lives() {
    const MODES: [Durability; 4] = [Durability::Always, Durability::Interval, Durability::Os, Durability::None];
    let lives = images(300).div_ceil(CRASHES as u64);
    for life in 0..lives {
        let mut rng = clock::rng(seed() ^ life << 8);
        let durability = MODES[rng.random_range(0..MODES.len())];
        let mut world = World::new(durability, seed() ^ life << 8);
        world.dim = draw_dim(&mut rng);
        run_steps(&mut world, &[Step::Reopen]);
        for number in 0..CRASHES {
            let steps = script::random(&mut rng, STEPS);
            run_steps(&mut world, &steps);
            let operation = rng.random_range(world.born..=world.fs.operations());
            let (crash, depth) = (draw_crash(&mut rng), rng.random_range(0..3));
            let _doing = Doing(format!(
                "{durability:?}, life {life}: crash {number}: {crash:?} after operation {operation}, {depth} deep"
            ));
            let recovered = Remains::of(&world, crash, operation, &mut rng).recover(&world, depth, &mut rng);
            let recovered = recovered.unwrap_or_else(|error| panic!("{error}"));
            verify_all(&recovered.database).unwrap_or_else(|error| panic!("{error}"));
            world = world.continued(recovered.fs, recovered.database, &recovered.contents);
        }
    }
    println!("DRIFT_SEED={}: {lives} databases, {CRASHES} crashes each", seed());
}

#[test]
fn a_crash_after_any_operation_loses_nothing_that_was_acknowledged_under_always() {
    alone(|| every_operation_of(&run(Durability::Always, &script::every_job()), 2_000));
}

#[test]
fn a_crash_after_any_operation_leaves_a_prefix_under_os() {
    alone(|| every_operation_of(&run(Durability::Os, &script::every_job()), 900));
}

#[test]
fn a_crash_after_any_operation_leaves_a_prefix_under_interval() {
    alone(|| every_operation_of(&run(Durability::Interval, &script::every_job()), 900));
}

#[test]
fn a_crash_after_any_operation_leaves_the_last_flush_under_none() {
    alone(|| every_operation_of(&run(Durability::None, &script::every_job()), 900));
}

#[test]
fn a_crash_while_buckets_are_defined_anew_loses_nothing() {
    let mut world = World::new(Durability::Always, seed());
    world.config.bucket_rows_target = 64;
    world.config.load_bytes_max = usize::MAX;
    run_steps(&mut world, &[&[Step::Reopen][..], &script::retraining()].concat());
    let health = world.database().open_collection("a").and_then(|opened| opened.health()).expect("health");
    assert!(health.jobs.iter().any(|job| job.job == Job::Retrain), "the script retrains");
    world.close().expect("close");
    every_operation_of(&world, 24);
}

#[test]
fn regression_a_collection_seen_after_a_kill_survives_a_power_loss() {
    let mut world = run(Durability::Always, &[Step::Create("a")]);
    let before = world.fs.operations();
    world.run(&Step::Create("b")).expect("a new collection");
    for operation in before..=world.fs.operations() {
        let killed = world.fs.after_kill(operation);
        let database = open(&killed, &world.config, &world.components).expect("open after the kill");
        let Ok(collection) = database.open_collection("b") else { continue };
        let _doing = Doing(format!("kill after operation {operation}"));
        collection
            .upsert(&Ids::Int(vec![1]), Vectors::F32(&vector(1, 1, world.dim)), Some(&payload(&[1], 1)))
            .expect("a write");
        for seed in 0..64 {
            let left = killed.after_power_loss(killed.operations(), seed);
            let database = open(&left, &world.config, &world.components).expect("open after the power loss");
            let contents = read_all(&database, |_| ()).expect("read");
            assert_eq!(contents["b"], Rows::from([(1, 1)]));
        }
    }
}

#[test]
fn regression_a_log_seen_after_a_kill_survives_the_next_power_loss() {
    let world = run(Durability::Always, &[Step::Create("a"), Step::Upsert("a", vec![1])]);
    let reopened = |fs: &SimFs, seen: &str| {
        let database = open(fs, &world.config, &world.components).expect("open the database");
        read_all(&database, |_| ()).unwrap_or_else(|error| panic!("{seen}: {error}"));
    };
    let first = world.fs.after_kill(world.fs.operations());
    reopened(&first, "the first");
    // The new log has its name, and its folder is not synced yet.
    let named = |fs: &SimFs| fs.files().iter().any(|(path, _)| path.ends_with("wal/00000000000000000002.wal"));
    let killed = (0..first.operations()).find(|operation| named(&first.after_kill(*operation))).expect("a new log");
    let second = first.after_kill(killed);
    reopened(&second, "the second");
    for operation in 0..=second.operations() {
        for seed in 0..200 {
            let seen = format!("power lost after operation {operation}, seed {seed}");
            reopened(&second.after_power_loss(operation, seed), &seen);
        }
    }
}

#[test]
fn regression_rows_seen_after_a_lost_fsync_survive_the_next_power_loss() {
    for durability in [Durability::Always, Durability::Os] {
        let mut world = run(durability, &[Step::Create("a"), Step::Upsert("a", vec![1])]);
        let call = world.fs.calls();
        world.fs.fail(call..call + 9, Fault::Lost);
        // Under `os` the sync comes with the flush.
        let lost = world.run(&Step::Upsert("a", vec![2])).and_then(|()| world.run(&Step::Flush("a")));
        assert!(lost.is_err(), "{durability:?}: the sync is lost");
        world.fs.heal();
        let _ = world.run(&Step::Reopen);
        let seen = read_all(world.database(), |_| ()).expect("read");
        world.run(&Step::Upsert("a", vec![3])).expect("a new log takes writes");
        for seed in 0..200 {
            let left = world.fs.after_power_loss(world.fs.operations(), seed);
            let database = open(&left, &world.config, &world.components).expect("open after the power loss");
            let contents = read_all(&database, |_| ()).expect("read");
            for (id, version) in &seen["a"] {
                assert_eq!(contents["a"].get(id), Some(version), "{durability:?}, seed {seed}");
            }
        }
    }
}

#[test]
fn regression_a_crash_during_the_close_is_no_damage() {
    let mut world = run(Durability::Always, &[Step::Create("a"), Step::Upsert("a", vec![1])]);
    let before = world.fs.operations();
    world.close().expect("close");
    for operation in before..=world.fs.operations() {
        for seed in 0..200 {
            let left = world.fs.after_power_loss(operation, seed);
            let database = open(&left, &world.config, &world.components).expect("open after the power loss");
            let collection = database.open_collection("a").expect("open the collection");
            assert_eq!(collection.verify().expect("verify").problems, Vec::<String>::new(), "seed {seed}");
        }
    }
}

#[test]
fn a_crash_amid_jobs_and_loads_keeps_what_was_flushed_between() {
    alone(|| {
        let steps = [Step::Optimize("a"), Step::Maintain("a"), Step::Load("a", (8..30).collect())];
        for number in 0..images(12) {
            let seed = seed() + number;
            let _doing = Doing(format!("DRIFT_SEED={seed}"));
            let mut rng = clock::rng(seed);
            let mut world = World::new(Durability::Always, seed);
            let rows = |ids: std::ops::Range<i64>| ids.collect::<Vec<i64>>();
            let before = [Step::Reopen, Step::Create("a"), Step::Upsert("a", rows(0..40)), Step::Flush("a")];
            let after = [Step::Upsert("a", rows(20..48)), Step::Delete("a", rows(0..20)), Step::Flush("a")];
            before.iter().chain(&after).try_for_each(|step| world.run(step)).expect("a script");
            let begun = world.fs.operations();
            world.run_amid_writes(&steps[number as usize % steps.len()], 1, seed).expect("a step");
            world.check().expect("what the step and the writes amid it left");
            for operation in begun..=world.fs.operations() {
                let remains = Remains::of(&world, Crash::Kill, operation, &mut rng);
                let recovered = remains.recover(&world, 0, &mut rng);
                let recovered = recovered.unwrap_or_else(|error| panic!("operation {operation}: {error}"));
                verify_all(&recovered.database).expect("a sound database");
            }
        }
    });
}

#[test]
fn a_delete_flushed_amid_a_compaction_outlives_a_crash_before_the_next_checkpoint() {
    alone(|| {
        let mut world = World::new(Durability::Always, seed());
        let rows = |ids: std::ops::Range<i64>| ids.collect::<Vec<i64>>();
        let steps =
            [Step::Upsert("a", rows(0..20)), Step::Flush("a"), Step::Upsert("a", rows(10..30)), Step::Flush("a")];
        let before = [Step::Reopen, Step::Create("a")];
        before.iter().chain(&steps).try_for_each(|step| world.run(step)).expect("a script");
        let collection = world.database().open_collection("a").expect("the collection");
        let (amid, deleted) = (collection.clone(), Arc::new(Mutex::new(None)));
        let (fs, noted) = (world.fs.clone(), deleted.clone());
        world.fs.observe(Some(Arc::new(move |_, path| {
            let is_segment = path.components().any(|part| part.as_os_str() == "segments");
            if is_segment && noted.lock().is_none() {
                assert_eq!(amid.delete(&Ids::Int(vec![7])).expect("a delete"), 1);
                // Nothing but a tombstone.
                amid.run_chore(Chore::Freeze).and_then(|()| amid.run_chore(Chore::Flush)).expect("a flush");
                *noted.lock() = Some(fs.operations());
            }
        })));
        assert_eq!(collection.optimize().expect("optimize").segments_merged, 2);
        world.fs.observe(None);
        let deleted = deleted.lock().expect("a delete amid the compaction");
        for operation in deleted..=world.fs.operations() {
            let database = open(&world.fs.after_kill(operation), &world.config, &world.components).expect("a database");
            let collection = database.open_collection("a").expect("the collection");
            assert!(!collection.contains(IdRef::Int(7)).expect("contains"), "operation {operation}");
            verify_all(&database).expect("a sound database");
        }
    });
}
