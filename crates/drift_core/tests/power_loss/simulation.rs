//! The whole engine under a seed: calls, background work in random order, time, writes amid jobs, failing calls of the
//! disk, crashes and recoveries; after each step the database is compared with the model.
//!
//! One thread does everything: the harness does what the background thread would, when the seed says so, and writes
//! rows of its own between two calls of the disk that a job makes. So the same seed makes the same calls in the same
//! order, which their hash shows. `DRIFT_SIMULATIONS` and `DRIFT_SIMULATION_STEPS` make it as long as one likes; from
//! `DRIFT_SEED` on, each seed is one run.

use crate::crash::Remains;
use crate::rows::{COMPARED, NAMES, draw_dim, verify_all};
use crate::script;
use crate::timeline::Crash;
use crate::world::{Step, World, open};
use crate::{Doing, number_of, seed};
use drift_core::clock::{self, Clock, Rng};
use drift_core::config::Durability;
use drift_core::db::Chore;
use drift_core::error::{Error, ErrorKind, Result};
use drift_core::storage::sim::Fault;
use drift_core::sync::model::alone;
use parking_lot::Mutex;
use rand::RngExt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Runs and steps of each in the first tier: some ten seconds.
const RUNS: u64 = 1_000;
const STEPS: u64 = 60;

/// One step in so many crashes, lets calls fail, or reopens.
const CRASH_ONE_IN: u32 = 12;
const FAULT_ONE_IN: u32 = 20;

/// States that a collection may be in before the run goes on from what it is in: each failed write doubles them.
const STATES_MAX: usize = 8;

/// Time that passes when the harness says so.
#[derive(Default)]
struct ManualClock(Mutex<Duration>);

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        *self.0.lock()
    }

    fn wall(&self) -> Duration {
        *self.0.lock()
    }
}

/// What a run did.
#[derive(Debug, Default, PartialEq, Eq)]
struct Trace {
    steps: u64,
    crashes: u64,
    faults: u64,
    amid: u64,
    hash: u64,
}

struct Run {
    world: World,
    rng: Rng,
    clock: Arc<ManualClock>,
    trace: Trace,
    hasher: DefaultHasher,
}

impl Run {
    fn new(seed: u64) -> Run {
        const MODES: [Durability; 4] = [Durability::Always, Durability::Interval, Durability::Os, Durability::None];
        let mut rng = clock::rng(seed);
        let durability = MODES[rng.random_range(0..MODES.len())];
        let clock = Arc::new(ManualClock::default());
        let mut world = World::new(durability, seed);
        world.components.clock = clock.clone();
        world.dim = draw_dim(&mut rng);
        Run { world, rng, clock, trace: Trace::default(), hasher: DefaultHasher::new() }
    }

    fn go(mut self, steps: u64) -> Result<Trace> {
        self.world.run(&Step::Reopen)?;
        self.world.run(&Step::Create("a"))?;
        self.world.run(&Step::Upsert("a", (0..40).collect()))?;
        for number in 0..steps {
            self.step().map_err(|error| error.context(format!("step {number}")))?;
            self.trace.steps += 1;
        }
        self.crash()?;
        for call in (0..self.world.fs.calls()).filter_map(|number| self.world.fs.call(number)) {
            (call.action as u8, call.path).hash(&mut self.hasher);
        }
        self.world.fs.files().hash(&mut self.hasher);
        self.trace.hash = self.hasher.finish();
        Ok(self.trace)
    }

    fn step(&mut self) -> Result<()> {
        *self.clock.0.lock() += Duration::from_millis(self.rng.random_range(0..2_000));
        if self.rng.random_ratio(1, CRASH_ONE_IN) {
            return self.crash();
        }
        let next = self.choose();
        let fault = self.rng.random_ratio(1, FAULT_ONE_IN);
        if fault {
            self.let_calls_fail();
        }
        let amid = !fault && self.rng.random_ratio(1, 2) && next.takes_writes_amid(self.world.uncertainty());
        let outcome = if amid { self.run_amid_writes(&next) } else { self.world.run(&next) };
        self.world.fs.heal();
        match outcome {
            Ok(()) => {}
            Err(error) if fault && matches!(error.kind(), ErrorKind::Io | ErrorKind::Exhausted) => {}
            // A background job that a failed fsync has poisoned, until the next opening.
            Err(error) if error.message().contains("open it again") => {}
            Err(error) => return Err(error.context(format!("{next:?}"))),
        }
        if self.world.is_closed() {
            self.world.run(&Step::Reopen)?;
        }
        self.world.check().map_err(|error| error.context(format!("after {next:?}")))?;
        if self.world.uncertainty() > STATES_MAX || self.is_poisoned() {
            return self.crash();
        }
        Ok(())
    }

    fn is_poisoned(&self) -> bool {
        NAMES.iter().any(|name| {
            let stats = self.world.database().open_collection(name).and_then(|opened| opened.stats());
            stats.is_ok_and(|stats| stats.poisoned.is_some())
        })
    }

    fn choose(&mut self) -> Step {
        const CHORES: [Chore; 6] =
            [Chore::Freeze, Chore::Flush, Chore::Sync, Chore::Job, Chore::Measure, Chore::Shadows];
        let name = NAMES[usize::from(self.rng.random_ratio(1, 4))];
        match self.rng.random_range(0..10) {
            0..4 => Step::Background(name, CHORES[self.rng.random_range(0..CHORES.len())]),
            4 => Step::Search(name, self.rng.random_range(0..48)),
            _ => script::random(&mut self.rng, 1).remove(0),
        }
    }

    fn let_calls_fail(&mut self) {
        self.trace.faults += 1;
        let fault = Fault::ALL[self.rng.random_range(0..Fault::ALL.len())];
        let first = self.world.fs.calls() + self.rng.random_range(0..30);
        self.world.fs.fail(first..first + self.rng.random_range(1..4), fault);
    }

    /// Runs a step that keeps all rows, or a load, writing others between its calls of the disk, as another thread may.
    fn run_amid_writes(&mut self, step: &Step) -> Result<()> {
        let every = self.rng.random_range(1..6);
        let seed = self.rng.random();
        self.trace.amid += self.world.run_amid_writes(step, every, seed)?;
        Ok(())
    }

    /// Ends the process or the power, at any operation since the last opening, and recovers.
    fn crash(&mut self) -> Result<()> {
        self.trace.crashes += 1;
        let operation = self.rng.random_range(self.world.born..=self.world.fs.operations());
        let crash = if self.rng.random_ratio(1, 3) { Crash::Kill } else { Crash::PowerLoss };
        let depth = self.rng.random_range(0..2);
        let in_crash = |error: Error| error.context(format!("{crash:?} after operation {operation}, {depth} deep"));
        let remains = Remains::of(&self.world, crash, operation, &mut self.rng);
        for call in (0..self.world.fs.calls()).filter_map(|number| self.world.fs.call(number)) {
            (call.action as u8, call.path).hash(&mut self.hasher);
        }
        let recovered = remains.recover(&self.world, depth, &mut self.rng).map_err(in_crash)?;
        verify_all(&recovered.database).map_err(in_crash)?;
        self.world = self.world.continued(recovered.fs, recovered.database, &recovered.contents);
        Ok(())
    }
}

#[test]
fn the_engine_does_what_the_model_does_under_any_seed() {
    alone(simulate);
}

fn simulate() {
    let (runs, steps) = (number_of("DRIFT_SIMULATIONS", RUNS), number_of("DRIFT_SIMULATION_STEPS", STEPS));
    let mut total = Trace::default();
    for number in 0..runs {
        let again = format!("DRIFT_SEED={} DRIFT_SIMULATIONS=1 DRIFT_SIMULATION_STEPS={steps}", seed() + number);
        let _doing = Doing(format!("simulation {number}: {again}"));
        let trace = Run::new(seed() + number).go(steps).unwrap_or_else(|error| panic!("{error}"));
        total.steps += trace.steps;
        total.crashes += trace.crashes;
        total.faults += trace.faults;
        total.amid += trace.amid;
    }
    let compared = COMPARED.load(Ordering::Relaxed);
    println!("DRIFT_SEED={}: {runs} seeds x {steps} steps: {total:?}; {compared} rows compared by id", seed());
    assert!(runs < 100 || (total.crashes > runs && total.faults > runs / 4 && total.amid > runs), "{total:?}");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    alone(same_traces);
}

fn same_traces() {
    for number in 0..20 {
        let run = || Run::new(seed() + number).go(40).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(run(), run(), "seed {}", seed() + number);
    }
    let hash = |seed| Run::new(seed).go(10).unwrap_or_else(|error| panic!("{error}")).hash;
    assert_ne!(hash(1), hash(2));
}

#[test]
fn a_database_that_was_simulated_opens_with_other_components() {
    let mut run = Run::new(seed());
    run.world.run(&Step::Reopen).expect("open");
    (0..12).for_each(|_| run.step().expect("a step"));
    run.world.close().expect("close");
    let components = drift_core::clock::Components::simulated(99);
    let database = open(&run.world.fs, &run.world.config, &components).expect("open");
    verify_all(&database).expect("verify");
}
