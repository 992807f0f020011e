//! What the fuzzer runs: every parser of bytes on disk, and sequences of calls against a model.
//!
//! A parser's target takes what stands behind the checksums, and makes them right: a flipped bit is found by a checksum,
//! so only contents that pass it reach the parser. Errors are answers; a panic, an overflow, a hang or memory out of all
//! proportion is a finding. `../tests/corpus.rs` replays the corpus of every target in the first tier.

pub mod files;
pub mod operations;
pub mod seeds;
pub mod targets;

pub use targets::{TARGETS, Target};
