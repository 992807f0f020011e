//! One layer of a filter: entries of some rows, by bucket.
//!
//! Layer 5. The blocks of all buckets stand in one allocation that never changes; which part of it is a bucket's is in
//! `ranges`, so that a bucket can be taken out of a layer without copying the others.

use super::members::Members;
use crate::kernels::{BLOCK_ENTRIES, HALF_ENTRIES, prefetch};
use crate::quant::bits::{self, BitCode, Blocks};
use crate::quant::sq8;
use crate::state::Router;
use crate::state::index::{LiveSegment, locate};
use crate::types::{Lines, Metric};
use rayon::prelude::*;
use std::sync::Arc;

/// Entries of some rows, by bucket.
pub struct Layer {
    store: Arc<Store>,
    /// First half block of each bucket, and the one behind its last.
    ranges: Vec<[u32; 2]>,
}

/// What a layer's entries are made of.
struct Store {
    dim: usize,
    half_bytes: usize,
    blocks: Lines,
    /// The row of each entry, see [`LiveSegment::base`]; what stands beside no entry is not read.
    rows: Vec<u32>,
}

/// A bucket's part of a layer.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// Whole blocks, then at most half a one.
    pub blocks: &'a [u8],
    /// The row of each entry that they have room for.
    pub rows: &'a [u32],
}

impl Layer {
    /// The part of the bucket at `position`.
    #[inline]
    pub fn part(&self, position: usize) -> Part<'_> {
        let store = &*self.store;
        let [start, end] = self.ranges[position].map(|half| half as usize);
        Part {
            blocks: &store.blocks.as_slice()[start * store.half_bytes..end * store.half_bytes],
            rows: &store.rows[start * HALF_ENTRIES..end * HALF_ENTRIES],
        }
    }

    /// Asks for what [`Layer::part`] reads first.
    #[inline]
    pub fn ask_for_range(&self, position: usize) {
        prefetch(bytemuck::bytes_of(&self.ranges[position]));
    }

    /// Codes the rows that `members` lists for each bucket. Runs on the caller's pool.
    pub fn build(router: &Router, metric: Metric, segments: &[LiveSegment], members: &Members) -> Layer {
        let dim = router.origin().len();
        Layer::filled(
            dim,
            router.len(),
            |position| members.of(position).len(),
            |position, mut blocks, rows| {
                let centroid = router.table().centroid(position);
                let (mut code, mut row) = (BitCode::default(), vec![0.0f32; dim]);
                for (at, &member) in members.of(position).iter().enumerate() {
                    let (place, source) = locate(segments, member);
                    let segment = &segments[place as usize].segment;
                    sq8::reconstruct(segment.codes(source..source + 1), &segment.factors()[source as usize], &mut row);
                    code.set(metric, &row, centroid, router.origin());
                    code.write(&mut blocks, at);
                    rows[at] = member;
                }
            },
        )
    }

    /// A layer with room for so many entries of each bucket, which `fill` writes.
    fn filled(
        dim: usize,
        buckets: usize,
        entries_of: impl Fn(usize) -> usize,
        fill: impl Fn(usize, Blocks<'_>, &mut [u32]) + Sync,
    ) -> Layer {
        let mut starts = vec![0u32; buckets + 1];
        for position in 0..buckets {
            starts[position + 1] = starts[position] + bits::halves(entries_of(position)) as u32;
        }
        let (halves, half_bytes) = (starts[buckets] as usize, bits::half_bytes(dim));
        let (mut blocks, mut rows) = (Lines::zeroed(halves * half_bytes), vec![0; halves * HALF_ENTRIES]);
        let parts = split(blocks.as_mut_slice(), &starts, half_bytes).into_par_iter();
        parts.zip(split(&mut rows, &starts, HALF_ENTRIES)).enumerate().for_each(|(position, (bytes, rows))| {
            if !bytes.is_empty() {
                fill(position, Blocks::clear(bytes, dim), rows);
            }
        });
        let ranges = starts.windows(2).map(|pair| [pair[0], pair[1]]).collect();
        Layer { store: Arc::new(Store { dim, half_bytes, blocks, rows }), ranges }
    }

    /// The same entries, where the bucket at each position was at `from` before; those of buckets that were nowhere, or
    /// that are given so, are left out.
    pub fn remapped(&self, from: &[Option<u32>]) -> Layer {
        let ranges = from.iter().map(|from| from.map_or([0, 0], |from| self.ranges[from as usize])).collect();
        Layer { store: self.store.clone(), ranges }
    }

    /// The entries of all `layers` for whose row and bucket `keep` gives the row's number, under that number.
    pub fn merged(layers: &[Arc<Layer>], keep: impl Fn(u32, usize) -> Option<u32> + Sync) -> Layer {
        let (dim, buckets) = (layers[0].store.dim, layers[0].ranges.len());
        let kept: Vec<Vec<Vec<Kept>>> = (0..buckets)
            .into_par_iter()
            .map(|position| layers.iter().map(|layer| layer.kept(position, &keep)).collect())
            .collect();
        let count = |position: usize| kept[position].iter().map(Vec::len).sum();
        Layer::filled(dim, buckets, count, |position, mut blocks, rows| {
            let mut done = 0;
            for (layer, kept) in layers.iter().zip(&kept[position]) {
                copy_entries(&mut blocks, &mut rows[done..], done, layer.part(position), kept);
                done += kept.len();
            }
        })
    }

    /// The entries of a bucket that stay.
    fn kept(&self, position: usize, keep: &impl Fn(u32, usize) -> Option<u32>) -> Vec<Kept> {
        let part = self.part(position);
        let entry = |at: usize| {
            let row = (!bits::is_clear(part.blocks, self.store.dim, at)).then(|| keep(part.rows[at], position))??;
            Some(Kept { place: at as u32, row })
        };
        (0..part.rows.len()).filter_map(entry).collect()
    }

    /// Rows that the bucket at `position` has entries of.
    pub fn rows_of(&self, position: usize) -> impl Iterator<Item = u32> {
        let part = self.part(position);
        let there = move |at: &usize| !bits::is_clear(part.blocks, self.store.dim, *at);
        (0..part.rows.len()).filter(there).map(move |at| part.rows[at])
    }

    /// Entries that the layer's parts have room for.
    pub fn slots(&self) -> u64 {
        self.ranges.iter().map(|[start, end]| u64::from(end - start) * HALF_ENTRIES as u64).sum()
    }

    /// Entries that the allocation has room for, those of buckets that were taken out included.
    pub fn slots_stored(&self) -> u64 {
        self.store.rows.len() as u64
    }

    /// Bytes of heap memory in use.
    pub fn heap_bytes(&self) -> usize {
        self.store.blocks.heap_bytes() + 4 * self.store.rows.capacity() + 8 * self.ranges.capacity()
    }
}

/// An entry that stays: its place in its part, and the number of its row from now on.
#[derive(Clone, Copy)]
struct Kept {
    place: u32,
    row: u32,
}

/// Copies the entries of `part` that are `kept` to the places from `first` on: block by block where both have the same
/// whole blocks, else one by one.
fn copy_entries(blocks: &mut Blocks<'_>, rows: &mut [u32], first: usize, part: Part<'_>, kept: &[Kept]) {
    rows.iter_mut().zip(kept).for_each(|(row, kept)| *row = kept.row);
    let mut at = 0;
    while at < kept.len() {
        let source = kept[at].place as usize;
        let aligned = (first + at).is_multiple_of(BLOCK_ENTRIES) && source.is_multiple_of(BLOCK_ENTRIES);
        let whole =
            kept.get(at + BLOCK_ENTRIES - 1).is_some_and(|last| last.place as usize == source + BLOCK_ENTRIES - 1);
        // 32 entries of half a block and a whole one would not be 32 places in a row from a whole block's beginning.
        if aligned && whole {
            blocks.copy_whole((first + at) / BLOCK_ENTRIES, part.blocks, source / BLOCK_ENTRIES);
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
