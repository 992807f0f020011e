//! Searches a database with one thread and prints what a query costs, for profilers.
//!
//! `cargo run --profile ci --example search -- DATABASE COLLECTION QUERIES.f32 RECALL SECONDS`, where QUERIES.f32 is
//! raw little-endian f32.

use drift_core::clock::Components;
use drift_core::config::Config;
use drift_core::db::Database;
use drift_core::types::{SearchOptions, never_interrupt};
use std::time::{Duration, Instant};

#[allow(clippy::disallowed_methods)] // A measurement.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, name, queries, recall, seconds] = &arguments[..] else {
        return Err("usage: search DATABASE COLLECTION QUERIES.f32 RECALL SECONDS".into());
    };
    let database = Database::open(path, Config { read_only: true, ..Config::default() }, Components::system())?;
    let collection = database.open_collection(name)?;
    let bytes = std::fs::read(queries)?;
    let queries: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let options = SearchOptions { recall: Some(recall.parse()?), threads: Some(1), ..SearchOptions::default() };
    let (end, mut times) = (Duration::from_secs_f64(seconds.parse()?), Vec::new());
    let start = Instant::now();
    while start.elapsed() < end {
        for query in queries.chunks_exact(collection.schema().dim) {
            let begun = Instant::now();
            collection.search(query, &options, &never_interrupt)?;
            times.push(begun.elapsed());
        }
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    println!("{} queries: p50 {:.1} us, p99 {:.1} us, p99.9 {:.1} us", times.len(), at(0.5), at(0.99), at(0.999));
    Ok(())
}
