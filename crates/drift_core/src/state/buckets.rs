//! The table of buckets: id, centroid and spread of each, in id order.
//!
//! Layer 5. It is the union of the bucket files that the manifest names, less the removed ones; the router and the
//! index are built from it. Centroids live in rotated space; spread is the mean squared distance of a bucket's rows to
//! its centroid when the bucket was defined.

use super::homes::Homes;
use crate::types::BucketId;

/// Sum and count of squared residuals, by position in a bucket table.
#[derive(Clone, Debug, Default)]
pub struct ResidualSums(Vec<(f64, u32)>);

impl ResidualSums {
    /// No residuals of `buckets` buckets.
    pub fn new(buckets: usize) -> ResidualSums {
        ResidualSums(vec![(0.0, 0); buckets])
    }

    /// Adds assigned rows.
    pub fn add<'a>(&mut self, homes: impl IntoIterator<Item = &'a Homes>) {
        for home in homes {
            let sum = &mut self.0[home.first as usize];
            *sum = (sum.0 + f64::from(home.residual), sum.1 + 1);
        }
    }
}

/// Buckets in ascending order of id.
#[derive(Clone, Debug, Default)]
pub struct BucketTable {
    /// Ids, ascending.
    pub ids: Vec<BucketId>,
    /// Rotated centroids, `ids.len() * dim`.
    pub centroids: Vec<f32>,
    /// Mean squared residual of each.
    pub spread: Vec<f32>,
}

/// Positions in a table by bucket id, for whoever looks at every row. Ids grow with each retraining, and those of a table lie close
/// together.
pub struct Positions {
    first: u32,
    positions: Vec<u32>,
}

impl Positions {
    /// Of a table.
    pub fn of(table: &BucketTable) -> Positions {
        let (Some(first), Some(last)) = (table.ids.first(), table.ids.last()) else {
            return Positions { first: 0, positions: Vec::new() };
        };
        let mut positions = vec![u32::MAX; (last.0 - first.0) as usize + 1];
        for (position, id) in table.ids.iter().enumerate() {
            positions[(id.0 - first.0) as usize] = position as u32;
        }
        Positions { first: first.0, positions }
    }

    /// Position of bucket `id`, if it is in the table.
    #[inline]
    pub fn get(&self, id: BucketId) -> Option<usize> {
        let place = id.0.checked_sub(self.first)? as usize;
        self.positions.get(place).filter(|position| **position != u32::MAX).map(|position| *position as usize)
    }
}

impl BucketTable {
    /// Number of buckets.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none: the collection is untrained.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Place of bucket `id` in the table.
    pub fn position(&self, id: BucketId) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }

    /// Appends a bucket; ids must ascend.
    pub fn push(&mut self, id: BucketId, centroid: &[f32], spread: f32) {
        debug_assert!(self.ids.last().is_none_or(|last| *last < id));
        self.ids.push(id);
        self.centroids.extend_from_slice(centroid);
        self.spread.push(spread);
    }

    /// The centroid of the bucket at `position`.
    pub fn centroid(&self, position: usize) -> &[f32] {
        let dim = self.centroids.len() / self.ids.len();
        &self.centroids[position * dim..(position + 1) * dim]
    }

    /// Mean of the centroids; zero when there are none.
    pub fn mean(&self, dim: usize) -> Vec<f32> {
        let mut sums = vec![0.0f64; dim];
        for centroid in self.centroids.chunks_exact(dim) {
            sums.iter_mut().zip(centroid).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        sums.iter().map(|sum| (sum / self.len().max(1) as f64) as f32).collect()
    }

    /// The same buckets with ids from `first`.
    pub fn renumbered(mut self, first: u32) -> BucketTable {
        self.ids.iter_mut().enumerate().for_each(|(at, id)| *id = BucketId(first + at as u32));
        self
    }

    /// Sets each bucket's spread to its mean squared residual; buckets without rows keep theirs.
    pub fn set_spread(&mut self, sums: &ResidualSums) {
        for (spread, (sum, rows)) in self.spread.iter_mut().zip(&sums.0) {
            if *rows > 0 {
                *spread = (sum / f64::from(*rows)) as f32;
            }
        }
    }

    /// The buckets whose ids pass.
    pub fn filtered(&self, pass: impl Fn(BucketId) -> bool) -> BucketTable {
        let mut filtered = BucketTable::default();
        for (position, &id) in self.ids.iter().enumerate().filter(|(_, id)| pass(**id)) {
            filtered.push(id, self.centroid(position), self.spread[position]);
        }
        filtered
    }

    /// The buckets from `first` on.
    pub fn split_off(&self, first: BucketId) -> BucketTable {
        let at = self.ids.partition_point(|id| *id < first);
        let dim = if self.is_empty() { 0 } else { self.centroids.len() / self.len() };
        BucketTable {
            ids: self.ids[at..].to_vec(),
            centroids: self.centroids[at * dim..].to_vec(),
            spread: self.spread[at..].to_vec(),
        }
    }

    /// The buckets of both tables; where both have one, `newer` counts.
    pub fn merged(&self, newer: &BucketTable, removed: &[BucketId]) -> BucketTable {
        let mut merged = BucketTable::default();
        let mut sources: Vec<(BucketId, &BucketTable, usize)> = Vec::with_capacity(self.len() + newer.len());
        for table in [self, newer] {
            sources.extend(table.ids.iter().enumerate().map(|(position, &id)| (id, table, position)));
        }
        // Stable, so that the newer one of two comes second.
        sources.sort_by_key(|(id, ..)| *id);
        for (at, &(id, table, position)) in sources.iter().enumerate() {
            let superseded = sources.get(at + 1).is_some_and(|(next, ..)| *next == id);
            if !superseded && !removed.contains(&id) {
                merged.push(id, table.centroid(position), table.spread[position]);
            }
        }
        merged
    }
}
