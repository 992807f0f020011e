//! Recall and build rate of the memtable's graph on real rows.
//!
//! `cargo run --release --example graph -- rows.f32 384`: `rows.f32` holds row-major little-endian f32. Every 20th row
//! is a query and is not inserted; distances are cosine; the beam of a search is 128.

use drift_core::kernels::kernels;
use drift_core::memtable::hnsw::{Hnsw, HnswOptions, Space};
use rayon::prelude::*;
use std::collections::HashSet;

struct Rows(Vec<Vec<f32>>);

impl Space for Rows {
    fn between(&self, a: u32, b: u32) -> f32 {
        1.0 - (kernels().dot)(&self.0[a as usize], &self.0[b as usize])
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(dim)) = (arguments.next(), arguments.next().and_then(|dim| dim.parse::<usize>().ok())) else {
        eprintln!("usage: graph ROWS.f32 DIM");
        std::process::exit(2);
    };
    let bytes = std::fs::read(&path).expect("the file of rows");
    let values: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let unit = |row: &[f32]| {
        let norm = (kernels().dot)(row, row).sqrt();
        row.iter().map(|value| value / norm).collect::<Vec<f32>>()
    };
    let (mut rows, mut queries) = (Vec::new(), Vec::new());
    for (at, row) in values.chunks_exact(dim).enumerate() {
        if at % 20 == 0 { queries.push(unit(row)) } else { rows.push(unit(row)) }
    }
    let (rows, count) = (Rows(rows.clone()), rows.len() as u32);
    let graph = Hnsw::new(HnswOptions::default());
    graph.reserve(count as usize);
    #[allow(clippy::disallowed_methods)] // A measurement.
    let start = std::time::Instant::now();
    (0..count).into_par_iter().for_each(|node| graph.insert(node, &rows));
    let seconds = start.elapsed().as_secs_f64();
    let found: usize = queries
        .iter()
        .map(|query| {
            let distance = |node: u32| 1.0 - (kernels().dot)(query, &rows.0[node as usize]);
            let mut all: Vec<(f32, u32)> = (0..count).map(|node| (distance(node), node)).collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            let truth: HashSet<u32> = all[..10].iter().map(|(_, node)| *node).collect();
            graph.search(128, distance, |_| true).iter().take(10).filter(|(_, node)| truth.contains(node)).count()
        })
        .sum();
    let recall = found as f64 / (10 * queries.len()) as f64;
    println!(
        "{count} rows, {} queries: recall@10 {recall:.4} at ef 128, {:.0} rows/s",
        queries.len(),
        f64::from(count) / seconds
    );
}
