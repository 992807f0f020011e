//! Filter codes of all flushed rows: for each bucket the entries of the rows that it holds and of those that have it as
//! their second bucket.
//!
//! Layer 5. Derived from the segments' SQ8 codes, the rows' buckets and the centroids, in memory only. A filter is a few
//! immutable layers: a flush or a structural change adds a small one, which is merged into the one before once it is not
//! much smaller, so that a bucket is a few sequential reads and an entry is copied a logarithmic number of times. Merging
//! leaves out rows that are dead to every reader of the version that it is made for, and rows that have left the bucket;
//! the scan itself never asks: an entry too many costs its scan and nothing else.

mod layer;
mod members;

pub use layer::{Layer, Part};
pub use members::Members;

use super::index::{LiveSegment, locate};
use super::router::Router;
use crate::types::{Metric, Seq};
use std::sync::Arc;

/// A layer is merged into the one before when it has more than this share of its entries.
const MERGE_SHARE: u64 = 16;

/// A layer is written anew when it takes this many times the room of its entries: buckets have been taken out of it.
const STORED_SHARE_MAX: u64 = 2;

/// The layers, largest first.
#[derive(Clone, Default)]
pub struct Filter {
    layers: Vec<Arc<Layer>>,
}

/// What the entries of a filter are about.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// Buckets.
    pub router: &'a Router,
    /// The collection's metric.
    pub metric: Metric,
    /// Rows.
    pub segments: &'a [LiveSegment],
    /// The oldest snapshot that will read the filter: rows that died up to it may be left out.
    pub seq: Seq,
}

impl Scene<'_> {
    /// Whether an entry of a row in the bucket at `position` is of use.
    fn wants(&self, row: u32, position: usize) -> bool {
        let (place, at) = locate(self.segments, row);
        let live = &self.segments[place as usize];
        let death = live.segment.death(at);
        (death == 0 || death > self.seq) && live.assignment.is_in(at, self.router.table().ids[position])
    }
}

impl Filter {
    /// The filter of all rows of `scene`. Runs on the caller's pool.
    pub fn build(scene: Scene<'_>) -> Filter {
        if scene.router.is_empty() || scene.segments.is_empty() {
            return Filter::default();
        }
        let members = Members::of_segments(scene.router.table(), scene.segments);
        Filter { layers: vec![Arc::new(Layer::build(scene.router, scene.metric, scene.segments, &members))] }
    }

    /// This filter with entries of `added` on top, where each bucket was at the position `from` before; buckets that were
    /// nowhere, or are given so, have the added entries only. Runs on the caller's pool.
    pub fn changed(&self, from: &[Option<u32>], added: &Members, scene: Scene<'_>) -> Filter {
        let mut layers: Vec<Arc<Layer>> = self.layers.iter().map(|layer| Arc::new(layer.remapped(from))).collect();
        layers.push(Arc::new(Layer::build(scene.router, scene.metric, scene.segments, added)));
        Filter { layers }.tidied(scene)
    }

    /// All entries in one layer, each for the row number that `rename` gives it; without one it is left out.
    pub fn renamed(&self, rename: impl Fn(u32) -> Option<u32> + Sync, scene: Scene<'_>) -> Filter {
        if self.layers.is_empty() {
            return Filter::default();
        }
        let keep = |row: u32, position: usize| rename(row).filter(|&row| scene.wants(row, position));
        Filter { layers: vec![Arc::new(Layer::merged(&self.layers, keep))] }
    }

    /// Merges layers that are not much smaller than the ones before them.
    fn tidied(mut self, scene: Scene<'_>) -> Filter {
        let keep = |row: u32, position: usize| scene.wants(row, position).then_some(row);
        while let [.., large, small] = &self.layers[..]
            && small.slots() * MERGE_SHARE > large.slots()
        {
            let at = self.layers.len() - 2;
            let merged = Layer::merged(&self.layers[at..], keep);
            self.layers.truncate(at);
            self.layers.push(Arc::new(merged));
        }
        for layer in &mut self.layers {
            if layer.slots_stored() > STORED_SHARE_MAX * layer.slots() {
                *layer = Arc::new(Layer::merged(std::slice::from_ref(layer), keep));
            }
        }
        self
    }

    /// The layers, largest first.
    #[inline]
    pub fn layers(&self) -> &[Arc<Layer>] {
        &self.layers
    }

    /// Rows that the bucket at `position` has entries of, twice where it has two.
    pub fn rows_of(&self, position: usize) -> impl Iterator<Item = u32> {
        self.layers.iter().flat_map(move |layer| layer.rows_of(position))
    }

    /// Entries that the blocks of the bucket at `position` have room for.
    pub fn slots_of(&self, position: usize) -> u64 {
        self.layers.iter().map(|layer| layer.part(position).rows.len() as u64).sum()
    }

    /// Entries that the blocks of all layers have room for.
    pub fn slots(&self) -> u64 {
        self.layers.iter().map(|layer| layer.slots()).sum()
    }

    /// Bytes of heap memory in use.
    pub fn heap_bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.heap_bytes()).sum()
    }
}
