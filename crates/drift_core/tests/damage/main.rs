//! Damaged and forged files: bytes flipped everywhere, and files that are wrong though their checksums are right.

mod flips;
mod forged;
mod sound;

/// A number from the environment, or the default.
#[allow(clippy::disallowed_methods)] // The harness is told by the environment what to run.
fn number_of(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => default,
    }
}

/// The seed of this run: `DRIFT_SEED`, or 1.
fn seed() -> u64 {
    number_of("DRIFT_SEED", 1)
}
