//! Filter codes of all flushed rows: for each bucket the entries of the rows that it holds and of those that have it as
//! their second bucket.
//!
//! Layer 5. Derived from the segments' SQ8 codes and the centroids, in memory only. A filter is a few immutable layers:
//! a flush adds a small one, which is merged into the one before once it is not much smaller, so that a bucket is a few
//! sequential reads and an entry is copied a logarithmic number of times. Merging leaves out rows that are dead to every
//! reader of the version that it is made for; the scan itself never asks.

use super::index::LiveSegment;
use super::router::Router;
use crate::kernels::BLOCK_ENTRIES;
use crate::quant::bits::{self, BitCode};
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
    block_bytes: usize,
    /// First block of each bucket, and the end of the last.
    starts: Vec<u32>,
    blocks: Lines,
    /// The row of each entry of each block, see [`LiveSegment::base`]; what stands beside no entry is not read.
    rows: Vec<u32>,
    entries: u64,
}

/// A bucket's part of a layer.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// Whole blocks.
    pub blocks: &'a [u8],
    /// The row of each of their entries.
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
            blocks: &self.blocks.as_slice()[start * self.block_bytes..end * self.block_bytes],
            rows: &self.rows[start * BLOCK_ENTRIES..end * BLOCK_ENTRIES],
        }
    }

    /// Codes the live runs of `segments`. Runs on the caller's pool.
    fn build(router: &Router, metric: Metric, segments: &[LiveSegment]) -> Layer {
        let members = Members::new(router, segments);
        let (dim, stride) = (router.origin().len(), sq8::code_stride(router.origin().len()));
        let mut layer = Layer::empty(dim, router.len(), |position| members.of(position).len());
        let Layer { block_bytes, starts, blocks, rows, .. } = &mut layer;
        let parts = split(blocks.as_mut_slice(), starts, *block_bytes).into_par_iter();
        let rows = split(rows, starts, BLOCK_ENTRIES).into_par_iter();
        let scratch = || (BitCode::default(), vec![0.0f32; dim]);
        parts.zip(rows).enumerate().for_each_init(scratch, |(code, row), (position, (blocks, rows))| {
            blocks.chunks_exact_mut(*block_bytes).for_each(bits::clear);
            for (at, member) in members.of(position).iter().enumerate() {
                let segment = &segments[member.segment as usize];
                let codes = segment.segment.codes(member.row..member.row + 1);
                sq8::reconstruct(&codes[..stride], &segment.segment.factors()[member.row as usize], row);
                code.set(metric, row, router.table().centroid(position), router.origin());
                code.write(&mut blocks[at / BLOCK_ENTRIES * *block_bytes..][..*block_bytes], at % BLOCK_ENTRIES);
                rows[at] = segment.base + member.row;
            }
        });
        layer
    }

    /// Blocks for so many entries of each bucket, not yet cleared.
    fn empty(dim: usize, buckets: usize, entries_of: impl Fn(usize) -> usize) -> Layer {
        let mut starts = vec![0u32; buckets + 1];
        let mut entries = 0;
        for position in 0..buckets {
            let count = entries_of(position);
            entries += count as u64;
            starts[position + 1] = starts[position] + count.div_ceil(BLOCK_ENTRIES) as u32;
        }
        let blocks = starts[buckets] as usize;
        let block_bytes = bits::block_bytes(dim);
        let rows = vec![0; blocks * BLOCK_ENTRIES];
        Layer { block_bytes, starts, blocks: Lines::zeroed(blocks * block_bytes), rows, entries }
    }

    /// The entries of both layers whose rows pass `keep`.
    fn merged(&self, other: &Layer, dim: usize, keep: impl Fn(u32) -> bool + Sync) -> Layer {
        let buckets = self.starts.len() - 1;
        let kept: Vec<Vec<(&Layer, usize)>> = (0..buckets)
            .into_par_iter()
            .map(|position| [self, other].into_iter().flat_map(|layer| layer.kept(position, &keep)).collect())
            .collect();
        let mut layer = Layer::empty(dim, buckets, |position| kept[position].len());
        let Layer { block_bytes, starts, blocks, rows, .. } = &mut layer;
        let parts = split(blocks.as_mut_slice(), starts, *block_bytes).into_par_iter();
        let rows = split(rows, starts, BLOCK_ENTRIES).into_par_iter();
        parts.zip(rows).zip(&kept).for_each(|((blocks, rows), kept)| {
            let blocks = blocks.chunks_exact_mut(*block_bytes).zip(rows.chunks_mut(BLOCK_ENTRIES));
            blocks.zip(kept.chunks(BLOCK_ENTRIES)).for_each(|((block, rows), kept)| copy_entries(block, rows, kept));
        });
        layer
    }

    fn block(&self, block: usize) -> &[u8] {
        &self.blocks.as_slice()[block * self.block_bytes..][..self.block_bytes]
    }

    /// Places of the entries of a bucket whose rows pass.
    fn kept<'a>(&'a self, position: usize, keep: &'a impl Fn(u32) -> bool) -> impl Iterator<Item = (&'a Layer, usize)> {
        let places = self.starts[position] as usize * BLOCK_ENTRIES..self.starts[position + 1] as usize * BLOCK_ENTRIES;
        places.filter(move |&place| self.has(place) && keep(self.rows[place])).map(move |place| (self, place))
    }

    /// Whether there is an entry at a place.
    fn has(&self, place: usize) -> bool {
        !bits::is_clear(self.block(place / BLOCK_ENTRIES), place % BLOCK_ENTRIES)
    }

    fn heap_bytes(&self) -> usize {
        self.blocks.heap_bytes() + 4 * (self.rows.capacity() + self.starts.capacity())
    }
}

/// Fills one block from the places of others.
fn copy_entries(block: &mut [u8], rows: &mut [u32], kept: &[(&Layer, usize)]) {
    let whole = kept.len() == BLOCK_ENTRIES
        && kept[0].1.is_multiple_of(BLOCK_ENTRIES)
        && kept
            .iter()
            .enumerate()
            .all(|(at, (layer, place))| std::ptr::eq(*layer, kept[0].0) && *place == kept[0].1 + at);
    if whole {
        let (layer, place) = kept[0];
        block.copy_from_slice(layer.block(place / BLOCK_ENTRIES));
    } else {
        bits::clear(block);
        for (at, (layer, place)) in kept.iter().enumerate() {
            bits::copy(layer.block(place / BLOCK_ENTRIES), place % BLOCK_ENTRIES, block, at);
        }
    }
    for (row, (layer, place)) in rows.iter_mut().zip(kept) {
        *row = layer.rows[*place];
    }
}

/// Cuts `values`, `unit` for every block, at the starts of the buckets.
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
            let merged = large.merged(small, router.origin().len(), keep);
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
