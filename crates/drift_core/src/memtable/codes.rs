//! 1-bit codes of a memtable's rows, chunk by chunk, so that thousands of rows are one short scan.
//!
//! Layer 4. A chunk is coded once all its rows are there and never changes, so readers need no lock; the rows behind the
//! last chunk are few and measured exactly. All chunks are relative to the mean of the first one: a memtable has no buckets.

use super::Memtable;
use super::arena::Row;
use crate::kernels::{BLOCK_ENTRIES, kernels};
use crate::quant::bits::{self, BitCode, BitQuery, Blocks, Centre};
use crate::quant::rotation::Rotation;
use crate::sync::Mutex;
use crate::types::{Lines, Metric, TopK};
use std::sync::OnceLock;

/// Rows of a chunk: what is measured exactly until it is full takes some 15 microseconds at d = 384.
const CHUNK_ROWS: usize = 512;

/// Rows beyond the `k` wanted that are measured before there is a threshold.
const START_SPARE: usize = 6;

/// Coded rows of a memtable.
#[derive(Default)]
pub struct Codes {
    /// What all codes are relative to: zero under dot.
    centre: OnceLock<Vec<f32>>,
    chunks: boxcar::Vec<Lines>,
    /// Held by the thread that codes.
    coder: Mutex<()>,
}

/// A query as the scan of a memtable needs it, and memory that it works in, kept between queries.
pub struct MemtableQuery {
    /// The query as the metric uses it.
    pub prepared: Vec<f32>,
    /// The same, rotated.
    pub rotated: Vec<f32>,
    bits: BitQuery,
    masks: Vec<u32>,
    estimates: Vec<f32>,
    first: Vec<(f32, u32)>,
}

impl MemtableQuery {
    /// Room for a query of `dim` dimensions.
    pub fn new(dim: usize) -> MemtableQuery {
        MemtableQuery {
            prepared: vec![0.0; dim],
            rotated: vec![0.0; dim],
            bits: BitQuery::new(dim),
            masks: vec![0; CHUNK_ROWS / BLOCK_ENTRIES],
            estimates: vec![0.0; CHUNK_ROWS],
            first: Vec::with_capacity(CHUNK_ROWS),
        }
    }
}

impl Codes {
    /// Bytes of heap memory in use.
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(|(_, chunk)| chunk.heap_bytes()).sum()
    }
}

impl Memtable {
    /// Codes the chunks that have become full, unless another thread is at it or rows are too short to gain by it.
    pub fn extend_codes(&self, rotation: &Rotation) {
        if self.dim < bits::DIM_MIN {
            return;
        }
        let Some(_coder) = self.codes.coder.try_lock() else { return };
        while (self.codes.chunks.count() + 1) * CHUNK_ROWS <= self.rows.count() {
            let first = self.codes.chunks.count() * CHUNK_ROWS;
            // Rows are published one by one: a place that is counted may still be empty for a moment.
            let Some(rows) = self.rotated(first, rotation) else { return };
            let centre = self.codes.centre.get_or_init(|| match self.metric {
                Metric::L2 | Metric::Cosine => mean(&rows, self.dim),
                Metric::Dot => vec![0.0; self.dim],
            });
            let mut lines = Lines::zeroed(bits::halves(CHUNK_ROWS) * bits::half_bytes(self.dim));
            let mut blocks = Blocks::clear(lines.as_mut_slice(), self.dim);
            let mut code = BitCode::default();
            for (at, row) in rows.chunks_exact(self.dim).enumerate() {
                code.set(self.metric, row, centre, centre);
                code.write(&mut blocks, at);
            }
            self.codes.chunks.push(lines);
        }
    }

    /// The prepared and rotated rows of the chunk from row `first` on.
    fn rotated(&self, first: usize, rotation: &Rotation) -> Option<Vec<f32>> {
        let mut rows = Vec::with_capacity(CHUNK_ROWS * self.dim);
        for place in first..first + CHUNK_ROWS {
            let start = rows.len();
            let row = self.rows.get(place)?;
            rows.extend_from_slice(row.vector());
            let scale = row.scale();
            rows[start..].iter_mut().for_each(|value| *value *= scale);
            rotation.apply(&mut rows[start..]);
        }
        Some(rows)
    }

    /// Offers the coded rows that may be among the nearest; returns how many rows are coded.
    pub(super) fn search_codes(
        &self,
        query: &mut MemtableQuery,
        admits: &impl Fn(&Row) -> bool,
        key: &impl Fn(usize) -> u64,
        best: &mut TopK,
    ) -> usize {
        let chunks = self.codes.chunks.count();
        let (Some(centre), true) = (self.codes.centre.get(), chunks > 0) else { return 0 };
        let MemtableQuery { prepared, rotated, bits, masks, estimates, first } = query;
        bits.set(rotated, centre);
        let reach = (kernels().dot)(bits.shifted(), bits.shifted()).sqrt();
        let distance = if self.metric == Metric::Dot { 0.0 } else { reach * reach };
        let centre = Centre { distance, reach };
        let offer = |place: usize, best: &mut TopK| {
            let row = &self.rows[place];
            let distance = row.distance(self.metric, prepared);
            if distance <= best.threshold() && admits(row) {
                best.push(distance, key(place));
            }
        };
        let mut scan = |at: usize, chunk: &Lines, best: &mut TopK| {
            if at == 0 && best.threshold() == f32::INFINITY {
                bits.estimates(chunk.as_slice(), estimates);
                first.clear();
                first.extend(estimates.iter().zip(0..).map(|(&estimate, place)| (estimate, place)));
                let wanted = (best.k() + START_SPARE).min(first.len() - 1);
                first.select_nth_unstable_by(wanted, |a, b| a.0.total_cmp(&b.0));
                first[..wanted].iter().for_each(|(_, place)| offer(*place as usize, best));
            }
            // Reported distances under cosine are half the engine's.
            let threshold = if self.metric == Metric::Cosine { 2.0 * best.threshold() } else { best.threshold() };
            bits.scan(chunk.as_slice(), centre, threshold, &[], masks);
            for (block, &mask) in masks.iter().enumerate() {
                let mut mask = mask;
                while mask != 0 {
                    let place = at * CHUNK_ROWS + block * BLOCK_ENTRIES + mask.trailing_zeros() as usize;
                    offer(place, best);
                    mask &= mask - 1;
                }
            }
        };
        let mut coded = 0;
        while let Some(chunk) = self.codes.chunks.get(coded) {
            scan(coded, chunk, best);
            coded += 1;
        }
        coded * CHUNK_ROWS
    }
}

fn mean(rows: &[f32], dim: usize) -> Vec<f32> {
    let mut mean = vec![0.0; dim];
    for row in rows.chunks_exact(dim) {
        mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += value / CHUNK_ROWS as f32);
    }
    mean
}
