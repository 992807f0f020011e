//! The k smallest of many distances.
//!
//! Layer 0. Memory is kept between uses, so that a search allocates none.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A distance and what it belongs to; ordered by distance, then key.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry(f32, u64);

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Ordering {
        self.0.total_cmp(&other.0).then(self.1.cmp(&other.1))
    }
}

/// A bounded set of (distance, key), the largest of which is always known.
#[derive(Clone, Debug, Default)]
pub struct TopK {
    heap: BinaryHeap<Entry>,
    k: usize,
    sorted: Vec<(f32, u64)>,
}

impl TopK {
    /// A set for the `k` smallest.
    pub fn new(k: usize) -> TopK {
        TopK { k, ..TopK::default() }
    }

    /// Empties the set, for the `k` smallest from now on.
    pub fn reset(&mut self, k: usize) {
        self.heap.clear();
        self.k = k;
    }

    /// What a distance must be below to get in; infinity while there is room.
    #[inline]
    pub fn threshold(&self) -> f32 {
        match self.heap.peek() {
            Some(worst) if self.heap.len() == self.k => worst.0,
            _ if self.k == 0 => f32::NEG_INFINITY,
            _ => f32::INFINITY,
        }
    }

    /// Offers a distance.
    #[inline]
    pub fn push(&mut self, distance: f32, key: u64) {
        let entry = Entry(distance, key);
        if self.heap.len() < self.k {
            self.heap.push(entry);
        } else if let Some(mut worst) = self.heap.peek_mut()
            && entry < *worst
        {
            *worst = entry;
        }
    }

    /// Offers everything in `other`.
    pub fn merge(&mut self, other: &TopK) {
        other.heap.iter().for_each(|entry| self.push(entry.0, entry.1));
    }

    /// How many are kept.
    pub fn k(&self) -> usize {
        self.k
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// The set in ascending order of distance.
    pub fn sorted(&mut self) -> &[(f32, u64)] {
        self.fill();
        self.sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        &self.sorted
    }

    /// The set in ascending order of key.
    pub fn sorted_by_key(&mut self) -> &[(f32, u64)] {
        self.fill();
        self.sorted.sort_unstable_by_key(|entry| entry.1);
        &self.sorted
    }

    fn fill(&mut self) {
        self.sorted.clear();
        self.sorted.extend(self.heap.iter().map(|entry| (entry.0, entry.1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_keeps_the_smallest(distances in prop::collection::vec(-100.0f32..100.0, 0..60), k in 0usize..12) {
            let mut best = TopK::new(k);
            distances.iter().enumerate().for_each(|(key, &distance)| best.push(distance, key as u64));
            let mut all: Vec<_> = distances.iter().enumerate().map(|(key, &distance)| (distance, key as u64)).collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            all.truncate(k);
            prop_assert_eq!(best.sorted(), &all[..]);
        }
    }
}
