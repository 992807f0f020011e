//! Scans buckets by their filter entries and refines the rows that pass by SQ8.
//!
//! Layer 6. A block is one pass of a kernel against the current threshold; the rows that pass are asked from memory when
//! they are found and measured one bucket later, when they have arrived. The threshold moves only there. It begins with
//! the best few entries of the first buckets by their estimates, so that the first buckets do not refine everything.

use super::buckets::{self, Limits, Work, key, next_bucket};
use super::reach::{Met, Reach};
use super::scratch::Scratch;
use super::wanted::Wanted;
use crate::kernels::{BLOCK_ENTRIES, kernels, prefetch};
use crate::state::{Filter, Ranked, Reached, Version, locate};
use crate::types::Metric;

/// Rows beyond the `k` wanted that are refined before there is a threshold.
const START_SPARE: usize = 6;

/// Buckets that are scanned between finding a row and measuring it: about as long as memory takes.
pub const REFINE_LAG: usize = 2;

/// Buckets ahead whose blocks are asked for.
const PREFETCH_BUCKETS: usize = 2;

/// Fills `scratch.estimates` with the best rows within the limits.
pub fn scan(
    metric: Metric,
    version: &Version,
    filter: &Filter,
    limits: &mut Limits,
    wanted: Option<&Wanted>,
    mut reach: Option<&mut Reach<'_>>,
    scratch: &mut Scratch,
) -> Work {
    let mut work = Work::default();
    let scan = Scan { metric, version, filter, wanted };
    let mut all = scan.start(limits, scratch, &mut work);
    let budget = limits.stop.rows;
    scratch.survivors.clear();
    let (mut refined, mut asked) = (0, [0; REFINE_LAG]);
    while let Some(bucket) = next_bucket(version, limits, &work, limits.reached(&scratch.estimates), scratch) {
        let at = work.buckets as usize;
        let threshold = scratch.estimates.nth(limits.rule_k());
        let (entries, mut met) = match scan.first_bucket(at, threshold, scratch) {
            Some(known) => {
                work.started -= known.0;
                known
            }
            None => scan.bucket(bucket, at, threshold, scratch),
        };
        work.rows += entries;
        work.buckets += 1;
        met.dead = scan.refine(refined..asked[0], scratch);
        all += met;
        if let Some(reach) = &mut reach {
            reach.meet(met, limits.reached(&scratch.estimates), limits);
            if reach.is_direct() {
                return work;
            }
        } else {
            limits.stop.rows = all.budget(budget);
        }
        refined = asked[0];
        asked.rotate_left(1);
        asked[REFINE_LAG - 1] = scratch.survivors.len();
    }
    scan.refine(refined..scratch.survivors.len(), scratch);
    work.refined += scratch.survivors.len() as u64;
    work
}

/// Puts the rows that a search within `limits` begins with into `scratch.survivors`; `scratch` has the query and the ranked buckets.
pub fn first_rows(metric: Metric, version: &Version, filter: &Filter, limits: &Limits, scratch: &mut Scratch) {
    Scan { metric, version, filter, wanted: None }.find_first(limits, scratch, &mut Work::default());
}

/// What is scanned.
struct Scan<'a> {
    metric: Metric,
    version: &'a Version,
    filter: &'a Filter,
    wanted: Option<&'a Wanted>,
}

impl Scan<'_> {
    /// Finds a first threshold: the best entries of the first buckets by estimate, refined.
    fn start(&self, limits: &Limits, scratch: &mut Scratch, work: &mut Work) -> Met {
        self.find_first(limits, scratch, work);
        let near = scratch.survivors.len();
        let dead = self.refine(0..near, scratch);
        work.refined += near as u64;
        Met { near: near as u32, wanted: near as u32, dead, again: 0 }
    }

    /// Puts the best entries of the first buckets by estimate into `scratch.survivors`.
    fn find_first(&self, limits: &Limits, scratch: &mut Scratch, work: &mut Work) {
        let count = limits.rule_k() + START_SPARE;
        scratch.first.clear();
        let mut seen = Work::default();
        let nothing = Reached { threshold: f32::INFINITY, near: f32::INFINITY };
        while scratch.first.wanted() < count && seen.rows < limits.stop.rows {
            let Some(bucket) = next_bucket(self.version, limits, &seen, nothing, scratch) else { break };
            self.ask_for_bucket(seen.buckets as usize + 1, scratch);
            let slots = self.estimate(bucket, scratch);
            scratch.first.end_bucket(slots);
            work.started += slots;
            seen.rows += slots;
            seen.buckets += 1;
        }
        scratch.survivors.clear();
        let Scratch { first, survivors, .. } = scratch;
        first.take(count, |row| {
            self.ask_for_row(row);
            survivors.push(row);
        });
    }

    /// Adds the entries of a bucket to the first ones; how many its blocks have room for.
    fn estimate(&self, bucket: Ranked, scratch: &mut Scratch) -> u64 {
        let Scratch { first, blocks, bounds, bits, .. } = scratch;
        let mut slots = 0;
        for layer in self.filter.layers() {
            let part = layer.part(bucket.position as usize);
            slots += part.rows.len() as u64;
            blocks.resize(part.rows.len(), 0.0);
            bits.estimates(part.blocks, blocks);
            bounds.clear();
            bounds.extend_from_slice(blocks);
            bits.lower(part.blocks, bucket.centre, bounds);
            let entries = blocks.iter().zip(&*bounds).zip(part.rows);
            for ((&estimate, &bound), &row) in entries.filter(|((estimate, _), _)| **estimate < f32::INFINITY) {
                let added = bucket.centre.distance;
                first.push(estimate + added, bound + added, row, self.is_wanted(row));
            }
        }
        slots
    }

    /// What a scan of the bucket ranked `at` lets pass, where that is known from the first threshold.
    fn first_bucket(&self, at: usize, threshold: f32, scratch: &mut Scratch) -> Option<(u64, Met)> {
        let Scratch { first, survivors, .. } = scratch;
        let known = first.meet(at, threshold, |row| {
            self.ask_for_row(row);
            survivors.push(row);
        })?;
        self.ask_for_bucket(at + PREFETCH_BUCKETS, scratch);
        Some(known)
    }

    /// Scans the blocks of a bucket; returns how many entries they have room for, and which passed.
    fn bucket(&self, bucket: Ranked, at: usize, threshold: f32, scratch: &mut Scratch) -> (u64, Met) {
        let (mut entries, mut met) = (0, Met::default());
        let ahead = scratch.rank.ranked.get(at + PREFETCH_BUCKETS).map(|ranked| ranked.position as usize);
        let further = scratch.rank.ranked.get(at + 2 * PREFETCH_BUCKETS).map(|ranked| ranked.position as usize);
        for layer in self.filter.layers() {
            if let Some(position) = further {
                layer.ask_for_range(position);
            }
            let part = layer.part(bucket.position as usize);
            let blocks = part.rows.len().div_ceil(BLOCK_ENTRIES);
            if blocks == 0 {
                continue;
            }
            if scratch.masks.len() < blocks {
                scratch.masks.resize(blocks, 0);
            }
            let masks = &mut scratch.masks[..blocks];
            let ahead = ahead.map_or(&[][..], |position| {
                let part = layer.part(position);
                prefetch(bytemuck::cast_slice(part.rows));
                part.blocks
            });
            scratch.bits.scan(part.blocks, bucket.centre, threshold, ahead, masks);
            for (mask, rows) in masks.iter().zip(part.rows.chunks(BLOCK_ENTRIES)) {
                let mut mask = *mask;
                met.near += mask.count_ones();
                while mask != 0 {
                    let row = rows[mask.trailing_zeros() as usize];
                    if self.is_wanted(row) {
                        met.wanted += 1;
                        self.ask_for_row(row);
                        scratch.survivors.push(row);
                    }
                    mask &= mask - 1;
                }
            }
            entries += part.rows.len() as u64;
        }
        (entries, met)
    }

    #[inline]
    fn is_wanted(&self, row: u32) -> bool {
        self.wanted.is_none_or(|wanted| {
            let (segment, row) = locate(&self.version.index.segments, row);
            wanted.has(segment, row)
        })
    }

    fn ask_for_bucket(&self, at: usize, scratch: &Scratch) {
        if let Some(ahead) = scratch.rank.ranked.get(at) {
            for layer in self.filter.layers() {
                prefetch(layer.part(ahead.position as usize).blocks);
            }
        }
    }

    #[inline]
    fn ask_for_row(&self, row: u32) {
        let segments = &self.version.index.segments;
        let (segment, row) = locate(segments, row);
        let segment = &segments[segment as usize].segment;
        prefetch(segment.codes(row..row + 1));
        prefetch(bytemuck::bytes_of(&segment.factors()[row as usize]));
    }

    /// Measures survivors by SQ8; how many near ones are dead.
    fn refine(&self, range: std::ops::Range<usize>, scratch: &mut Scratch) -> u32 {
        let mut dead = 0;
        let Scratch { survivors, estimates, code, .. } = scratch;
        let segments = &self.version.index.segments;
        for &row in &survivors[range] {
            let (place, row) = locate(segments, row);
            let segment = &segments[place as usize].segment;
            let product = (kernels().sq8_dot)(segment.codes(row..row + 1), code.codes());
            let distance = buckets::estimate(self.metric, code, product, &segment.factors()[row as usize]);
            if distance < estimates.threshold() {
                if segment.is_visible(row, self.version.seq) {
                    estimates.push(distance, key(place, row));
                } else {
                    dead += 1;
                }
            }
        }
        dead
    }
}
