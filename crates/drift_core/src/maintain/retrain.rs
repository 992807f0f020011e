//! Retraining: the buckets are defined anew on the rows of today, and every row finds its homes among them.
//!
//! Layer 6. Splits and merges keep sizes right where rows come and go, but what they leave is a patchwork: after as many
//! changes as there are rows, a search scans half as much again as in buckets that were trained together. Vectors are read
//! as their SQ8 codes, from memory, and nothing is written but the buckets and the moves. All but that runs without the
//! lock on commits; what was flushed meanwhile is placed when it is taken, in buckets of its own where it would crowd.

use super::define;
use super::remove::after_failure;
use super::restructure::all_moves;
use crate::error::Result;
use crate::quant::sq8;
use crate::state::{
    Assignment, BucketTable, Calibration, CollectionState, Homes, Index, LiveSegment, Reassignment, ResidualSums,
    Router, Version,
};
use crate::storage::failpoint::{Failpoint, reach};
use crate::types::BucketId;
use rand::seq::index;
use rayon::prelude::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Rows that buckets are trained on, at most: 32 for each of 8,192 buckets.
const SAMPLE_ROWS_MAX: usize = 262_144;

/// Rows placed at a time: 24 MiB of f32 at d = 384.
const BLOCK_ROWS: u32 = 16_384;

/// What a retraining did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retrained {
    /// Buckets before.
    pub before: u64,
    /// Buckets now.
    pub buckets: u64,
    /// Rows placed.
    pub rows: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// Defines the buckets anew. Runs on the caller's pool; the caller holds the job lock.
pub fn retrain(collection: &CollectionState) -> Result<Retrained> {
    let outcome = define_anew(collection);
    if outcome.is_err() {
        after_failure(collection);
    }
    outcome
}

fn define_anew(collection: &CollectionState) -> Result<Retrained> {
    let version = collection.pin();
    let table = train(collection, &version);
    let first = reserve(collection, table.len() as u32)?;
    let table = table.renumbered(first);
    let router = Router::new(table, collection.schema.dim, collection.schema.metric);
    let built = rehoused(&version, &router)?;
    let before = version.index.segments.len();
    drop(version);
    let mut maintenance = collection.maintenance.lock();
    maintenance.check_open()?;
    let version = collection.pin();
    let mut done = Retrained { before: version.index.router.len() as u64, ..Default::default() };
    let next = caught_up(collection, &version, built, before, maintenance.manifest.next_bucket)?;
    let mut manifest = maintenance.manifest.next();
    done.buckets = next.router.len() as u64;
    done.rows = next.rows();
    manifest.bucket_files.clear();
    manifest.removed_buckets.clear();
    done.bytes += collection.add_bucket_file(next.router.table(), &mut manifest)?;
    manifest.move_files.clear();
    let moves = all_moves(&next);
    let number = manifest.take_file_number();
    done.bytes += moves.write(&*collection.backend, number, collection.identity)?;
    manifest.move_files.push(number);
    manifest.trained_seq = version.seq;
    // Rules are measured on these buckets right behind; who opens the collection before has none to follow.
    manifest.unmeasured_rows = done.rows;
    reach(Failpoint::RetrainCommit)?;
    maintenance.commit(manifest)?;
    let upkeep = &mut maintenance.upkeep;
    upkeep.examined.clear();
    upkeep.temperature.clear();
    (upkeep.moved_rows, upkeep.defined_buckets) = (moves.rows(), done.buckets);
    let mut writes = collection.writes.lock();
    let version = collection.pin();
    collection.publish(&mut writes, Version { index: Arc::new(next), ..(*version).clone() });
    collection.counters.job_bytes_written.fetch_add(done.bytes, Ordering::Relaxed);
    collection.counters.rows_moved.fetch_add(done.rows, Ordering::Release);
    Ok(done)
}

/// The first of `count` ids of buckets, which no flush takes meanwhile.
fn reserve(collection: &CollectionState, count: u32) -> Result<u32> {
    let mut maintenance = collection.maintenance.lock();
    maintenance.check_open()?;
    let first = maintenance.manifest.next_bucket;
    maintenance.manifest.next_bucket += count;
    Ok(first)
}

/// The index with all rows in the buckets of `router`.
fn rehoused(version: &Version, router: &Router) -> Result<Index> {
    let segments = &version.index.segments;
    let homes: Vec<Vec<Homes>> = segments.iter().map(|live| place(live, router)).collect();
    let (table, assignments) = assigned(segments, &homes, router.table().clone());
    let router = Arc::new(router.with_table(table));
    let change = Reassignment { rebuilt: Vec::new(), added: Vec::new() };
    version.index.reassigned(router, assignments, &change, version.seq)
}

/// `built` with the segments that have been flushed since there were `before`, in buckets of their own, from `first` on, where they
/// would crowd. The caller holds the maintenance lock.
fn caught_up(
    collection: &CollectionState,
    version: &Version,
    built: Index,
    before: usize,
    first: u32,
) -> Result<Index> {
    let current = &version.index;
    let mut late = current.segments[before..].to_vec();
    let index = if late.is_empty() {
        built
    } else {
        let mut router = built.router.clone();
        let (rows, weight) = living(&late, collection.schema.dim);
        if let Some(new) = define::more(collection, &router, &rows, weight, version.live_rows, BucketId(first)) {
            router = Arc::new(router.next(router.table().merged(&new, &[])));
        }
        let homes: Vec<Vec<Homes>> = late.iter().map(|live| place(live, &router)).collect();
        let (_, assignments) = assigned(&late, &homes, router.table().clone());
        late.iter_mut().zip(assignments).for_each(|(live, assignment)| live.assignment = assignment);
        built.extended(router, late, version.seq)?
    };
    Ok(index.with_calibration(Calibration::clone(current.calibration()), current.unmeasured()))
}

fn train(collection: &CollectionState, version: &Version) -> BucketTable {
    let dim = collection.schema.dim;
    let mut live = Vec::new();
    for (place, segment) in version.index.segments.iter().enumerate() {
        let segment = &segment.segment;
        live.extend((0..segment.rows()).filter(|&row| segment.death(row) == 0).map(|row| (place, row)));
    }
    let count = collection.bucket_count(live.len(), version.live_rows);
    if live.len() > SAMPLE_ROWS_MAX {
        let mut rng = crate::clock::rng(collection.components.seed ^ version.seq);
        let mut picked = index::sample(&mut rng, live.len(), SAMPLE_ROWS_MAX).into_vec();
        picked.sort_unstable();
        live = picked.into_iter().map(|at| live[at]).collect();
    }
    let mut rows = vec![0.0f32; live.len() * dim];
    rows.par_chunks_exact_mut(dim).zip(&live).for_each(|(out, &(place, row))| {
        reconstruct(&version.index.segments[place], row, out);
    });
    collection.train_here(&rows, count, BucketId(0))
}

/// Rows of `segments` that are not dead, rotated, and how many each of them stands for: of very many a sample.
fn living(segments: &[LiveSegment], dim: usize) -> (Vec<f32>, usize) {
    let rows: u64 = segments.iter().map(|live| u64::from(live.segment.rows()) - live.segment.dead_rows()).sum();
    let step = (rows as usize).div_ceil(SAMPLE_ROWS_MAX).max(1);
    let mut vectors = Vec::new();
    let mut vector = vec![0.0; dim];
    for live in segments {
        let living = (0..live.segment.rows()).filter(|&row| live.segment.death(row) == 0);
        for row in living.step_by(step) {
            reconstruct(live, row, &mut vector);
            vectors.extend_from_slice(&vector);
        }
    }
    (vectors, step)
}

fn reconstruct(live: &LiveSegment, row: u32, out: &mut [f32]) {
    sq8::reconstruct(live.segment.codes(row..row + 1), &live.segment.factors()[row as usize], out);
}

/// The homes of all rows of a segment.
fn place(live: &LiveSegment, router: &Router) -> Vec<Homes> {
    let (dim, rows) = (router.origin().len(), live.segment.rows());
    let mut homes = Vec::with_capacity(rows as usize);
    let mut vectors = Vec::new();
    for start in (0..rows).step_by(BLOCK_ROWS as usize) {
        let block = start..rows.min(start + BLOCK_ROWS);
        vectors.resize(block.len() * dim, 0.0);
        vectors.par_chunks_exact_mut(dim).zip(block.into_par_iter()).for_each(|(out, row)| reconstruct(live, row, out));
        homes.extend(router.homes(&vectors));
    }
    homes
}

/// The buckets of `table` with the spread of the rows that have these homes in them, and the rows' assignments.
fn assigned(
    segments: &[LiveSegment],
    homes: &[Vec<Homes>],
    mut table: BucketTable,
) -> (BucketTable, Vec<Arc<Assignment>>) {
    let mut sums = ResidualSums::new(table.len());
    let assign = |(live, homes): (&LiveSegment, &Vec<Homes>)| {
        // The dead may be far from all buckets, which were defined without them.
        let living = homes.iter().enumerate().filter(|(row, _)| live.segment.death(*row as u32) == 0);
        sums.add(living.map(|(_, homes)| homes));
        let mut assignment = Assignment::clone(&live.assignment);
        for (row, homes) in homes.iter().enumerate() {
            let second = homes.second.map(|second| table.ids[second as usize]);
            assignment.set(row as u32, table.ids[homes.first as usize], second);
        }
        Arc::new(assignment)
    };
    let assignments = segments.iter().zip(homes).map(assign).collect();
    table.set_spread(&sums);
    (table, assignments)
}
