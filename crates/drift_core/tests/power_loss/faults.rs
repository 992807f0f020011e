//! Calls of the disk that fail: each of a script once, in every way that it can.
//!
//! The error has a kind that tells what failed, reads go on, what was acknowledged is there when the database is opened
//! again, and a write that failed is there whole or not at all. An error after the disk works again says that the
//! database must be opened again. After a lost sync (`Fault::Lost`) the database is opened again without a restart of
//! the machine: it reads what will never be durable in the file that it is in, whatever later fsyncs report.

use crate::crash::{Remains, go_on, place};
use crate::script;
use crate::timeline::Crash;
use crate::world::{Step, World};
use crate::{Doing, images, seed};
use drift_core::clock::{self, Rng};
use drift_core::config::Durability;
use drift_core::error::{Error, ErrorKind, Result};
use drift_core::storage::sim::Fault;
use drift_core::sync::model::alone;
use rand::RngExt;
use std::ops::Range;

/// States from which a script is not gone on with: each failed write doubles them.
const STATES_MAX: usize = 16;

/// Calls that a full disk lasts, at most.
const FULL_CALLS_MAX: u64 = 60;

fn script() -> Vec<Step> {
    [vec![Step::Reopen], script::every_job()].concat()
}

/// What a failed call may say: that the disk failed or is full.
fn check_error(error: &Error, passed: bool) -> Result<()> {
    let says_what_to_do = !passed || error.message().contains("open it again");
    if matches!(error.kind(), ErrorKind::Io | ErrorKind::Exhausted) && says_what_to_do {
        return Ok(());
    }
    Err(Error::internal(format!("the error is {:?}: {error}", error.kind())))
}

/// Runs the script while `calls` fail.
fn run(world: &mut World, calls: &Range<u64>, fault: Fault) -> Result<()> {
    for step in &script() {
        if world.is_closed() && !matches!(step, Step::Reopen) {
            // The opening has failed before.
            let passed = world.fs.calls() >= calls.end;
            if let Err(error) = world.run(&Step::Reopen) {
                check_error(&error, passed)?;
                continue;
            }
        }
        let passed = world.fs.calls() >= calls.end;
        let refused = passed && step.writes().is_some_and(|name| world.refuses(name, calls, fault));
        let before = world.timelines.clone();
        let in_step = |error: Error| error.context(format!("{step:?}"));
        match world.run(step) {
            Ok(()) if refused => return Err(Error::internal(format!("{step:?} is taken after a failed fsync"))),
            Ok(()) => {}
            Err(error) => check_error(&error, passed).map_err(in_step)?,
        }
        if refused {
            world.timelines = before;
        }
        if world.fs.calls() >= calls.end && !world.is_closed() {
            world.check().map_err(|error| error.context(format!("reading after {step:?}")))?;
        }
        if world.uncertainty() > STATES_MAX {
            return Ok(());
        }
    }
    Ok(())
}

fn check(world: &World, rng: &mut Rng) -> Result<()> {
    for crash in [Crash::Kill, Crash::PowerLoss] {
        let depth = rng.random_range(0..3);
        let remains = Remains::of(world, crash, world.fs.operations(), rng);
        let in_crash = |error: Error| error.context(format!("{crash:?}, {depth} deep"));
        let recovered = remains.recover(world, depth, rng).map_err(in_crash)?;
        let steps = [Step::Create("a"), Step::Upsert("a", (0..20).collect()), Step::Flush("a")];
        go_on(world, recovered, &steps, rng).map_err(in_crash)?;
    }
    Ok(())
}

fn every_call_of_the_script(durability: Durability, default: u64) {
    let mut clean = World::new(durability, seed());
    script().iter().for_each(|step| clean.run(step).expect("a disk that works"));
    let mut cases = Vec::new();
    for number in 0..clean.fs.calls() {
        let call = clean.fs.call(number).expect("a call that was made");
        cases.extend(Fault::ALL.into_iter().filter(|fault| fault.fits(call.action)).map(|fault| (number, fault)));
    }
    let spooled = |number| clean.fs.call(number).is_some_and(|call| call.is_in("spool"));
    assert!((0..clean.fs.calls()).any(spooled), "the longest load of the script does not fit into memory");
    let (count, images) = (cases.len() as u64, images(default).min(2 * cases.len() as u64));
    for image in 0..images {
        let (number, fault) = cases[place(image, images, count) as usize];
        let mut rng = clock::rng(seed() ^ image << 8);
        let lasting = fault == Fault::Full && rng.random_ratio(1, 4);
        let calls = number..number + if lasting { rng.random_range(2..=FULL_CALLS_MAX) } else { 1 };
        let call = clean.fs.call(number);
        let _doing = Doing(format!("{durability:?}, image {image}: {fault:?} at calls {calls:?}, {call:?}"));
        let mut world = World::new(durability, seed());
        world.fs.fail(calls.clone(), fault);
        let outcome = run(&mut world, &calls, fault).and_then(|()| check(&world, &mut rng));
        outcome.unwrap_or_else(|error| panic!("{error}"));
    }
    println!("DRIFT_SEED={}: {durability:?}: {images} faults of {count}", seed());
}

#[test]
fn any_call_may_fail_under_always() {
    alone(|| every_call_of_the_script(Durability::Always, 600));
}

#[test]
fn any_call_may_fail_under_os() {
    alone(|| every_call_of_the_script(Durability::Os, 300));
}

#[test]
fn any_call_may_fail_under_interval() {
    alone(|| every_call_of_the_script(Durability::Interval, 300));
}

#[test]
fn any_call_may_fail_under_none() {
    alone(|| every_call_of_the_script(Durability::None, 300));
}

#[test]
fn regression_a_drop_that_fails_leaves_every_row_in_memory() {
    alone(|| {
        let mut failed = 0;
        for call in 0.. {
            let mut world = World::new(Durability::None, seed());
            for step in [Step::Reopen, Step::Create("a"), Step::Upsert("a", vec![1, 2])] {
                world.run(&step).expect("the disk works");
            }
            let failing = world.fs.calls() + call;
            world.fs.fail(failing..failing + 1, Fault::Full);
            let outcome = world.run(&Step::Drop("a"));
            if world.fs.calls() <= failing {
                break;
            }
            world.fs.heal();
            failed += u64::from(outcome.is_err());
            world.run(&Step::Search("a", 1)).expect("the disk works again");
            world.check().unwrap_or_else(|error| panic!("call {call} of the drop failed: {error}"));
        }
        assert!(failed > 0, "no call of a drop fails on a full disk");
    });
}

#[test]
fn regression_a_write_without_a_log_is_refused_after_a_failed_fsync() {
    alone(|| {
        let mut world = World::new(Durability::None, seed());
        for step in [Step::Reopen, Step::Create("a"), Step::Upsert("a", vec![1, 2])] {
            world.run(&step).expect("the disk works");
        }
        // Every sync of the flush.
        world.fs.fail(world.fs.calls()..world.fs.calls() + 60, Fault::Lost);
        world.run(&Step::Flush("a")).expect_err("the disk fails");
        let error = world.run(&Step::Upsert("a", vec![3])).expect_err("it could never be flushed");
        assert!(error.message().contains("open it again"), "{error}");
        world.check().expect("reads go on");
    });
}
