//! Scans buckets by their filter entries and refines the rows that pass by SQ8.
//!
//! Layer 6. A block is one pass of a kernel against the current threshold; the rows that pass are asked from memory when
//! they are found and measured one bucket later, when they have arrived. The threshold moves only there. It begins with
//! the best few entries of the first buckets by their estimates, so that the first buckets do not refine everything.

use super::buckets::{self, Limits, Work, key, next_bucket};
use super::scratch::Scratch;
use crate::kernels::{BLOCK_ENTRIES, kernels, prefetch};
use crate::state::{Filter, LiveSegment, Ranked, Version, locate};
use crate::types::Metric;

/// Rows beyond the `k` wanted that are refined before there is a threshold.
const START_SPARE: usize = 6;

/// Buckets that are scanned between finding a row and measuring it: about as long as memory takes.
const REFINE_LAG: usize = 2;

/// Buckets ahead whose blocks are asked for.
const PREFETCH_BUCKETS: usize = 2;

/// Fills `scratch.estimates` with the best rows within the limits.
pub fn scan(metric: Metric, version: &Version, filter: &Filter, limits: &Limits, scratch: &mut Scratch) -> Work {
    let mut work = Work::default();
    start(metric, version, filter, limits, scratch, &mut work);
    scratch.survivors.clear();
    let (mut refined, mut asked) = (0, [0; REFINE_LAG]);
    while let Some(bucket) = next_bucket(version, limits, &work, scratch.estimates.nth(limits.k), scratch) {
        let at = work.buckets as usize;
        work.rows += scan_bucket(version, filter, bucket, at, scratch.estimates.nth(limits.k), scratch);
        work.buckets += 1;
        refine(metric, version, refined..asked[0], scratch);
        refined = asked[0];
        asked.rotate_left(1);
        asked[REFINE_LAG - 1] = scratch.survivors.len();
    }
    refine(metric, version, refined..scratch.survivors.len(), scratch);
    work.refined += scratch.survivors.len() as u64;
    work
}

/// Finds a first threshold: the best entries of the first buckets by estimate, refined.
fn start(metric: Metric, version: &Version, filter: &Filter, limits: &Limits, scratch: &mut Scratch, work: &mut Work) {
    let wanted = limits.k + START_SPARE;
    scratch.first.clear();
    let mut seen = Work::default();
    while scratch.first.len() < wanted {
        let Some(bucket) = next_bucket(version, limits, &seen, f32::INFINITY, scratch) else { break };
        ask_for_bucket(filter, seen.buckets as usize + 1, scratch);
        for layer in filter.layers() {
            let part = layer.part(bucket.position as usize);
            work.started += part.rows.len() as u64;
            scratch.blocks.resize(part.rows.len(), 0.0);
            scratch.bits.estimates(part.blocks, &mut scratch.blocks);
            let estimates = scratch.blocks.iter().zip(part.rows).filter(|(estimate, _)| **estimate < f32::INFINITY);
            scratch.first.extend(estimates.map(|(estimate, &row)| (estimate + bucket.centre.distance, row)));
        }
        seen.buckets += 1;
    }
    if scratch.first.len() > wanted {
        scratch.first.select_nth_unstable_by(wanted, |a, b| a.0.total_cmp(&b.0));
        scratch.first.truncate(wanted);
    }
    scratch.survivors.clear();
    for at in 0..scratch.first.len() {
        let row = scratch.first[at].1;
        ask_for_row(&version.index.segments, row);
        scratch.survivors.push(row);
    }
    refine(metric, version, 0..scratch.survivors.len(), scratch);
    work.refined += scratch.survivors.len() as u64;
}

/// Scans the blocks of a bucket; returns how many entries they have room for.
fn scan_bucket(
    version: &Version,
    filter: &Filter,
    bucket: Ranked,
    at: usize,
    threshold: f32,
    scratch: &mut Scratch,
) -> u64 {
    let mut entries = 0;
    let ahead = scratch.rank.ranked.get(at + PREFETCH_BUCKETS).map(|ranked| ranked.position as usize);
    for layer in filter.layers() {
        let part = layer.part(bucket.position as usize);
        let blocks = part.rows.len().div_ceil(BLOCK_ENTRIES);
        if blocks == 0 {
            continue;
        }
        if scratch.masks.len() < blocks {
            scratch.masks.resize(blocks, 0);
        }
        let masks = &mut scratch.masks[..blocks];
        let ahead = ahead.map_or(&[][..], |position| layer.part(position).blocks);
        scratch.bits.scan(part.blocks, bucket.centre, threshold, ahead, masks);
        for (mask, rows) in masks.iter().zip(part.rows.chunks(BLOCK_ENTRIES)) {
            let mut mask = *mask;
            while mask != 0 {
                let row = rows[mask.trailing_zeros() as usize];
                ask_for_row(&version.index.segments, row);
                scratch.survivors.push(row);
                mask &= mask - 1;
            }
        }
        entries += part.rows.len() as u64;
    }
    entries
}

fn ask_for_bucket(filter: &Filter, at: usize, scratch: &Scratch) {
    if let Some(ahead) = scratch.rank.ranked.get(at) {
        for layer in filter.layers() {
            prefetch(layer.part(ahead.position as usize).blocks);
        }
    }
}

#[inline]
fn ask_for_row(segments: &[LiveSegment], row: u32) {
    let (segment, row) = locate(segments, row);
    let segment = &segments[segment as usize].segment;
    prefetch(segment.codes(row..row + 1));
    prefetch(bytemuck::bytes_of(&segment.factors()[row as usize]));
}

/// Measures survivors by SQ8.
fn refine(metric: Metric, version: &Version, range: std::ops::Range<usize>, scratch: &mut Scratch) {
    let Scratch { survivors, estimates, code, .. } = scratch;
    let segments = &version.index.segments;
    for &row in &survivors[range] {
        let (place, row) = locate(segments, row);
        let segment = &segments[place as usize].segment;
        let product = (kernels().sq8_dot)(segment.codes(row..row + 1), code.codes());
        let distance = buckets::estimate(metric, code, product, &segment.factors()[row as usize]);
        if distance < estimates.threshold() && segment.is_visible(row, version.seq) {
            estimates.push(distance, key(place, row));
        }
    }
}
