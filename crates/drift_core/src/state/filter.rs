//! Filter codes of all flushed rows: for each bucket the entries of the rows that it holds and of those that have it as
//! their second bucket.
//!
//! Layer 5. Derived from the segments' SQ8 codes and the centroids, in memory only. A filter is a few immutable layers:
//! a flush adds a small one, which is merged into the one before once it is not much smaller, so that a bucket is a few
//! sequential reads and an entry is copied a logarithmic number of times. Merging leaves out rows that are dead to every
//! reader of the version that it is made for; the scan itself never asks.

use super::index::LiveSegment;
use super::router::Router;
use crate::kernels::{BLOCK_ENTRIES, HALF_ENTRIES};
use crate::quant::bits::{self, BitCode, Blocks};
use crate::quant::sq8;
use crate::types::{Lines, Metric, Seq};
use rayon::prelude::*;
use std::sync::Arc;

/// A layer is merged into the one before when it has more than this share of its rows.
const MERGE_SHARE: u64 = 16;

/// No second bucket, in a segment's column of them.
pub const NO_BUCKET: u32 = u32::MAX;

/// Entries of some rows, by bucket.
pub struct Layer {
    dim: usize,
    half_bytes: usize,
    /// First half block of each bucket, and the end of the last.
    starts: Vec<u32>,
    blocks: Lines,
    /// The row of each entry, see [`LiveSegment::base`]; what stands beside no entry is not read.
    rows: Vec<u32>,
    entries: u64,
}

/// A bucket's part of a layer.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// Whole blocks, then at most half a one.
    pub blocks: &'a [u8],
    /// The row of each entry that they have room for.
    pub rows: &'a [u32],
}

/// The layers, largest first.
#[derive(Clone, Default)]
pub struct Filter {
    layers: Vec<Arc<Layer>>,
}

impl Layer {
    /// The part of the bucket at `position`.
    #[inline]
    pub fn part(&self, position: usize) -> Part<'_> {
        let (start, end) = (self.starts[position] as usize, self.starts[position + 1] as usize);
        Part {
            blocks: &self.blocks.as_slice()[start * self.half_bytes..end * self.half_bytes],
            rows: &self.rows[start * HALF_ENTRIES..end * HALF_ENTRIES],
        }
    }

    /// Codes the live runs of `segments`. Runs on the caller's pool.
    fn build(router: &Router, metric: Metric, segments: &[LiveSegment]) -> Layer {
        let members = Members::new(router, segments);
        let dim = router.origin().len();
        let mut layer = Layer::empty(dim, router.len(), |position| members.of(position).len());
        let scratch = || (BitCode::default(), vec![0.0f32; dim]);
        layer.parts_mut().enumerate().for_each_init(scratch, |(code, row), (position, (mut blocks, rows))| {
            let centroid = router.table().centroid(position);
            for (at, member) in members.of(position).iter().enumerate() {
                let segment = &segments[member.segment as usize];
                let codes = segment.segment.codes(member.row..member.row + 1);
                sq8::reconstruct(codes, &segment.segment.factors()[member.row as usize], row);
                code.set(metric, row, centroid, router.origin());
                code.write(&mut blocks, at);
                rows[at] = segment.base + member.row;
            }
        });
        layer
    }

    /// Blocks for so many entries of each bucket.
    fn empty(dim: usize, buckets: usize, entries_of: impl Fn(usize) -> usize) -> Layer {
        let mut starts = vec![0u32; buckets + 1];
        let mut entries = 0;
        for position in 0..buckets {
            let count = entries_of(position);
            entries += count as u64;
            starts[position + 1] = starts[position] + bits::halves(count) as u32;
        }
        let (halves, half_bytes) = (starts[buckets] as usize, bits::half_bytes(dim));
        let (blocks, rows) = (Lines::zeroed(halves * half_bytes), vec![0; halves * HALF_ENTRIES]);
        Layer { dim, half_bytes, starts, blocks, rows, entries }
    }

    /// The part of each bucket, without entries, to be filled.
    fn parts_mut(&mut self) -> impl IndexedParallelIterator<Item = (Blocks<'_>, &mut [u32])> {
        let (dim, half_bytes) = (self.dim, self.half_bytes);
        let blocks = split(self.blocks.as_mut_slice(), &self.starts, half_bytes);
        let rows = split(&mut self.rows, &self.starts, HALF_ENTRIES);
        blocks.into_par_iter().map(move |bytes| Blocks::clear(bytes, dim)).zip(rows)
    }

    /// The entries of both layers whose rows pass `keep`.
    fn merged(&self, other: &Layer, keep: impl Fn(u32) -> bool + Sync) -> Layer {
        let buckets = self.starts.len() - 1;
        let kept: Vec<[Vec<u32>; 2]> = (0..buckets)
            .into_par_iter()
            .map(|position| [self, other].map(|layer| layer.kept(position, &keep)))
            .collect();
        let mut layer = Layer::empty(self.dim, buckets, |position| kept[position].iter().map(Vec::len).sum());
        layer.parts_mut().zip(&kept).enumerate().for_each(|(position, ((mut blocks, rows), kept))| {
            let mut done = 0;
            for (layer, kept) in [self, other].into_iter().zip(kept) {
                let part = layer.part(position);
                copy_entries(&mut blocks, &mut rows[done..], done, part, kept);
                done += kept.len();
            }
        });
        layer
    }

    /// Places of the entries of a bucket whose rows pass.
    fn kept(&self, position: usize, keep: &impl Fn(u32) -> bool) -> Vec<u32> {
        let part = self.part(position);
        let places = 0..part.rows.len();
        let kept = places.filter(|&at| !bits::is_clear(part.blocks, self.dim, at) && keep(part.rows[at]));
        kept.map(|at| at as u32).collect()
    }

    fn heap_bytes(&self) -> usize {
        self.blocks.heap_bytes() + 4 * (self.rows.capacity() + self.starts.capacity())
    }
}

/// Copies the entries of `part` at the places `kept` to the places from `first` on: block by block where both have the
/// same whole blocks, else one by one.
fn copy_entries(blocks: &mut Blocks<'_>, rows: &mut [u32], first: usize, part: Part<'_>, kept: &[u32]) {
    let mut at = 0;
    while at < kept.len() {
        let source = kept[at] as usize;
        rows[at] = part.rows[source];
        let aligned = (first + at).is_multiple_of(BLOCK_ENTRIES) && source.is_multiple_of(BLOCK_ENTRIES);
        let last = kept.get(at + BLOCK_ENTRIES - 1).is_some_and(|last| *last as usize == source + BLOCK_ENTRIES - 1);
        // 32 entries of half a block and a whole one would not be 32 places in a row from a whole block's beginning.
        if aligned && last {
            blocks.copy_whole((first + at) / BLOCK_ENTRIES, part.blocks, source / BLOCK_ENTRIES);
            rows[at..at + BLOCK_ENTRIES].copy_from_slice(&part.rows[source..source + BLOCK_ENTRIES]);
            at += BLOCK_ENTRIES;
        } else {
            blocks.copy(first + at, part.blocks, source);
            at += 1;
        }
    }
}

/// Cuts `values`, `unit` for every half block, at the starts of the buckets.
fn split<'a, T>(mut values: &'a mut [T], starts: &[u32], unit: usize) -> Vec<&'a mut [T]> {
    let mut parts = Vec::with_capacity(starts.len() - 1);
    for pair in starts.windows(2) {
        let (part, rest) = values.split_at_mut((pair[1] - pair[0]) as usize * unit);
        parts.push(part);
        values = rest;
    }
    parts
}

/// A row of some segments.
#[derive(Clone, Copy)]
struct Member {
    segment: u32,
    row: u32,
}

/// Rows by the buckets that have an entry of them.
struct Members {
    starts: Vec<usize>,
    members: Vec<Member>,
}

impl Members {
    fn new(router: &Router, segments: &[LiveSegment]) -> Members {
        let buckets = router.table();
        let mut placed: Vec<(u32, Member)> = Vec::new();
        for (at, live) in segments.iter().enumerate() {
            let seconds = live.segment.second_buckets();
            for (bucket, rows) in live.segment.runs().filter(|(bucket, _)| !live.dropped.contains(bucket)) {
                let first = buckets.position(bucket).map(|position| position as u32);
                for row in rows {
                    let second = seconds[row as usize];
                    let second = (second != NO_BUCKET).then(|| buckets.position(crate::types::BucketId(second)));
                    // A second bucket that has been split or merged since has no entry until the row is rewritten.
                    let second = second.flatten().map(|position| position as u32);
                    let member = Member { segment: at as u32, row };
                    placed.extend(first.into_iter().chain(second).map(|position| (position, member)));
                }
            }
        }
        let mut starts = vec![0usize; buckets.len() + 1];
        for (position, _) in &placed {
            starts[*position as usize + 1] += 1;
        }
        for position in 0..buckets.len() {
            starts[position + 1] += starts[position];
        }
        let mut next = starts.clone();
        let mut members = vec![Member { segment: 0, row: 0 }; placed.len()];
        for (position, member) in placed {
            members[next[position as usize]] = member;
            next[position as usize] += 1;
        }
        Members { starts, members }
    }

    fn of(&self, position: usize) -> &[Member] {
        &self.members[self.starts[position]..self.starts[position + 1]]
    }
}

impl Filter {
    /// The filter of `segments`, of which `known` begins with the same ones under the same buckets. Rows that died up to
    /// `seq`, the oldest snapshot that will read it, may be left out. Runs on the caller's pool.
    pub fn extended(
        known: Option<(&Filter, usize)>,
        router: &Router,
        metric: Metric,
        segments: &[LiveSegment],
        seq: Seq,
    ) -> Filter {
        let (mut filter, done) = known.map_or((Filter::default(), 0), |(filter, done)| (filter.clone(), done));
        if done < segments.len() && !router.is_empty() {
            filter.layers.push(Arc::new(Layer::build(router, metric, &segments[done..])));
        }
        let keep = |row: u32| {
            let (segment, row) = super::index::locate(segments, row);
            let death = segments[segment as usize].segment.death(row);
            death == 0 || death > seq
        };
        while let [.., large, small] = &filter.layers[..]
            && small.entries * MERGE_SHARE > large.entries
        {
            let merged = large.merged(small, keep);
            filter.layers.truncate(filter.layers.len() - 2);
            filter.layers.push(Arc::new(merged));
        }
        filter
    }

    /// The layers, largest first.
    #[inline]
    pub fn layers(&self) -> &[Arc<Layer>] {
        &self.layers
    }

    /// Entries that the blocks of the bucket at `position` have room for.
    pub fn slots_of(&self, position: usize) -> u64 {
        self.layers.iter().map(|layer| layer.part(position).rows.len() as u64).sum()
    }

    /// Entries that the blocks of all layers have room for.
    pub fn slots(&self) -> u64 {
        self.layers.iter().map(|layer| layer.rows.len() as u64).sum()
    }

    /// Bytes of heap memory in use.
    pub fn heap_bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.heap_bytes()).sum()
    }
}
