//! Clusters and codes real rows and prints what they cost and how well they fit.
//!
//! Run as `cargo run --release -p drift_core --example clustering -- ROWS.f32 DIM CLUSTERS`, where the file holds f32
//! vectors one behind the other. It rotates the rows, trains, assigns, and compares SQ8 clips by the recall of a ranking
//! by codes. The figures of `docs/decisions/0001-sq8-clip.md` come from it.

use drift_core::kernels::kernels;
use drift_core::quant::kmeans::{Assigner, KmeansOptions, train};
use drift_core::quant::rotation::Rotation;
use drift_core::quant::sq8::{Clip, Factors, QueryCode, code_stride, encode};
use std::time::Instant;

/// Rows whose neighbours are looked up when clips are compared.
const QUERIES: usize = 300;

/// Neighbours that count.
const K: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, dim, clusters] = arguments.as_slice() else {
        return Err("usage: clustering ROWS.f32 DIM CLUSTERS".into());
    };
    let (dim, clusters): (usize, usize) = (dim.parse()?, clusters.parse()?);
    let bytes = std::fs::read(path)?;
    let (values, _) = bytes.as_chunks::<4>();
    let mut rows: Vec<f32> = values.iter().copied().map(f32::from_le_bytes).collect();
    let rotation = Rotation::new(dim, 1);
    let rotated = timed("rotate all rows", || rows.chunks_exact_mut(dim).for_each(|row| rotation.apply(row)));
    println!("  {:.3} us a row on one thread", 1e6 * rotated.1 / (rows.len() / dim) as f64);
    if clusters > 0 {
        cluster(&rows, dim, clusters);
    }
    compare_clips(&rows, dim);
    Ok(())
}

#[allow(clippy::disallowed_methods)] // An example measures time itself.
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f64();
    println!("{what}: {seconds:.3} s");
    (result, seconds)
}

fn cluster(rows: &[f32], dim: usize, clusters: usize) {
    let (centroids, _) = timed("train", || train(rows, dim, clusters, KmeansOptions::default()));
    let (assigner, _) = timed("group the centroids", || Assigner::new(&centroids, dim));
    let ((nearest, distances), _) = timed("assign all rows", || assigner.assign(rows));
    println!(
        "  mean squared distance {:.5}",
        distances.iter().map(|&distance| f64::from(distance)).sum::<f64>() / distances.len() as f64
    );
    let mut sizes = vec![0usize; clusters];
    nearest.iter().for_each(|&index| sizes[index as usize] += 1);
    sizes.sort_unstable();
    let at = |percent: usize| sizes[(clusters - 1) * percent / 100];
    println!("  cluster sizes: p0 {} p5 {} p50 {} p95 {} p100 {}", at(0), at(5), at(50), at(95), at(100));
}

/// Recall@10 of a ranking by SQ8, and the share of the 10 within its first 12 and 24.
fn compare_clips(rows: &[f32], dim: usize) {
    let count = rows.len() / dim;
    let spacing = count / QUERIES;
    let l2 = kernels().l2;
    let exact: Vec<Vec<u32>> = (0..QUERIES)
        .map(|query| {
            let place = query * spacing;
            let row = &rows[place * dim..][..dim];
            first(rows.chunks_exact(dim).map(|other| l2(row, other)), place, K)
        })
        .collect();
    for (low_percent, high_percent) in [(1.0, 99.0), (0.5, 99.5), (0.1, 99.9), (0.0, 100.0)] {
        let clip = Clip { low_percent, high_percent };
        let stride = code_stride(dim);
        let mut codes = vec![0u8; count * stride];
        let (factors, seconds) = timed(&format!("clip {low_percent}/{high_percent}: encode"), || {
            rows.chunks_exact(dim)
                .zip(codes.chunks_exact_mut(stride))
                .map(|(row, codes)| encode(row, clip, codes))
                .collect::<Vec<Factors>>()
        });
        let mut found = [0usize; 3];
        let mut query_code = QueryCode::new(dim);
        let mut raw = vec![0i32; count];
        for (query, exact) in exact.iter().enumerate() {
            let place = query * spacing;
            query_code.set(&rows[place * dim..][..dim]);
            (kernels().sq8_dots)(&codes, query_code.codes(), &mut raw);
            let ranked = first(raw.iter().zip(&factors).map(|(&raw, factors)| query_code.l2(raw, factors)), place, 24);
            for (found, depth) in found.iter_mut().zip([10, 12, 24]) {
                *found += exact.iter().filter(|row| ranked[..depth].contains(row)).count();
            }
        }
        let share = found.map(|found| found as f64 / (QUERIES * K) as f64);
        println!(
            "  {:.3} us a row; recall@10 {:.4}, of the 10 within the first 12 {:.4}, within the first 24 {:.4}",
            1e6 * seconds / count as f64,
            share[0],
            share[1],
            share[2]
        );
    }
}

/// The places of the `count` smallest distances, but for `own`.
fn first(distances: impl Iterator<Item = f32>, own: usize, count: usize) -> Vec<u32> {
    let mut all: Vec<(f32, u32)> = distances
        .enumerate()
        .filter(|&(place, _)| place != own)
        .map(|(place, distance)| (distance, place as u32))
        .collect();
    all.select_nth_unstable_by(count, |a, b| a.0.total_cmp(&b.0));
    all.truncate(count);
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.into_iter().map(|(_, place)| place).collect()
}
