//! Power loss, kills and failing calls at every operation of the disk, against a model.
//!
//! The database runs on a simulated disk (`storage::sim`). However it ends, it must open again without an error; hold
//! of every collection a state that its calls led through, with all that was acknowledged as durable; verify clean;
//! and take new writes. `DRIFT_SEED` runs the same choices again; `DRIFT_CRASH_IMAGES` says how many disks each test
//! looks at.

mod amid;
mod crash;
mod faults;
mod rows;
mod script;
mod simulation;
mod timeline;
mod world;

/// The seed of this run: `DRIFT_SEED`, or 1.
pub fn seed() -> u64 {
    number_of("DRIFT_SEED", 1)
}

/// Disks that a test looks at: `DRIFT_CRASH_IMAGES`, or what takes a few seconds.
pub fn images(default: u64) -> u64 {
    number_of("DRIFT_CRASH_IMAGES", default)
}

/// A number from the environment, or the default.
#[allow(clippy::disallowed_methods)] // The harness is told by the environment what to run.
pub fn number_of(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => default,
    }
}

/// Says on a panic what was being done, and how to do it again.
pub struct Doing(pub String);

impl Drop for Doing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("DRIFT_SEED={}: {}", seed(), self.0);
        }
    }
}
