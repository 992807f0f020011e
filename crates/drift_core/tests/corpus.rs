//! Every target of the fuzzer (`fuzz/`) on files as drift writes them, on the corpus, and on changes of both, so that the
//! first tier has a sample of what `cargo fuzz` does at length. `DRIFT_FUZZ` says how many changes of each input are
//! tried, `DRIFT_SEED` which ones.

#[path = "../fuzz/src/files.rs"]
mod files;
#[path = "../fuzz/src/operations.rs"]
mod operations;
#[path = "../fuzz/src/seeds.rs"]
mod seeds;
#[path = "../fuzz/src/targets.rs"]
mod targets;

use drift_core::clock::{Rng, rng};
use rand::RngExt;
use std::path::Path;
use targets::TARGETS;

#[allow(clippy::disallowed_methods)] // The harness is told by the environment what to run.
fn number_of(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => default,
    }
}

/// Inputs of a target: files that drift wrote, then those of the corpus, with a name for each.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let written = seeds::all().into_iter().filter(|(of, _)| *of == target);
    let mut found: Vec<_> = written.enumerate().map(|(at, (_, bytes))| (format!("seed {at}"), bytes)).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut kept: Vec<_> =
        folder.read_dir().into_iter().flatten().map(|entry| entry.expect("an entry").path()).collect();
    kept.sort();
    found.extend(kept.into_iter().map(|path| (path.display().to_string(), std::fs::read(&path).expect("an input"))));
    found
}

/// Changes a few bytes: flips, numbers that tell, and pieces cut out or put in.
fn change(bytes: &mut Vec<u8>, rng: &mut Rng) {
    const TELLING: [u64; 8] = [0, 1, 2, 0x7fff_ffff, 0xffff_ffff, u64::MAX, 1 << 40, i64::MIN as u64];
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..=bytes.len());
        let end = (at + rng.random_range(1..9)).min(bytes.len());
        match rng.random_range(0..4) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => {
                let value = TELLING[rng.random_range(0..TELLING.len())].to_le_bytes();
                bytes[at..end].copy_from_slice(&value[..end - at]);
            }
            2 => drop(bytes.drain(at..end)),
            _ => drop(bytes.splice(at..at, (0..rng.random_range(1..9)).map(|_| rng.random()).collect::<Vec<u8>>())),
        }
    }
}

#[test]
fn no_file_that_drift_writes_and_no_change_of_it_makes_a_target_panic() {
    let (changes, seed) = (number_of("DRIFT_FUZZ", 60), number_of("DRIFT_SEED", 1));
    for (at, (name, target)) in TARGETS.into_iter().enumerate() {
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "no file for {name}");
        let mut run = 0;
        for (place, (input, bytes)) in inputs.iter().enumerate() {
            target(bytes);
            let mut rng = rng(seed << 32 | (at as u64) << 16 | place as u64);
            for number in 0..changes {
                let mut changed = bytes.clone();
                change(&mut changed, &mut rng);
                let outcome = std::panic::catch_unwind(|| target(&changed));
                assert!(outcome.is_ok(), "{name}: change {number} of {input}, DRIFT_SEED={seed}: {changed:?}");
                run += 1;
            }
        }
        println!("DRIFT_SEED={seed} {name}: {} inputs, {run} changes of them", inputs.len());
    }
}
