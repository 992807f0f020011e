//! The k smallest of many distances.
//!
//! Layer 0. A sorted list: few of many offers get in, so that keeping it sorted costs less than a heap does at the end.
//! Memory is kept between uses, so that a search allocates none.

use std::cmp::Ordering;

/// A bounded list of (distance, key), ascending by distance, then key, without duplicates.
#[derive(Clone, Debug, Default)]
pub struct TopK {
    k: usize,
    sorted: Vec<(f32, u64)>,
}

fn compare(a: &(f32, u64), b: &(f32, u64)) -> Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

impl TopK {
    /// A list for the `k` smallest.
    pub fn new(k: usize) -> TopK {
        TopK { k, ..TopK::default() }
    }

    /// Empties the list, for the `k` smallest from now on.
    pub fn reset(&mut self, k: usize) {
        self.sorted.clear();
        self.k = k;
    }

    /// What a distance must be below to get in; infinity while there is room.
    #[inline]
    pub fn threshold(&self) -> f32 {
        if self.k == 0 { f32::NEG_INFINITY } else { self.nth(self.k) }
    }

    /// The `n`-th smallest distance, from 1; infinity while there are fewer.
    #[inline]
    pub fn nth(&self, n: usize) -> f32 {
        self.sorted.get(n - 1).map_or(f32::INFINITY, |entry| entry.0)
    }

    /// Offers a distance; a second offer of the same distance and key changes nothing.
    #[inline]
    pub fn push(&mut self, distance: f32, key: u64) {
        let entry = (distance, key);
        if self.sorted.len() == self.k {
            match self.sorted.last() {
                Some(worst) if compare(&entry, worst) == Ordering::Less => {}
                _ => return,
            }
        }
        if let Err(place) = self.sorted.binary_search_by(|other| compare(other, &entry)) {
            self.sorted.truncate(self.k - 1);
            self.sorted.insert(place, entry);
        }
    }

    /// Offers everything in `other`.
    pub fn merge(&mut self, other: &TopK) {
        other.sorted.iter().for_each(|entry| self.push(entry.0, entry.1));
    }

    /// How many are kept.
    pub fn k(&self) -> usize {
        self.k
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The list in ascending order of distance.
    pub fn sorted(&self) -> &[(f32, u64)] {
        &self.sorted
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
            // Every offer comes twice: a row can be met in two buckets.
            distances.iter().enumerate().for_each(|(key, &distance)| best.push(distance, key as u64));
            distances.iter().enumerate().for_each(|(key, &distance)| best.push(distance, key as u64));
            let mut all: Vec<_> = distances.iter().enumerate().map(|(key, &distance)| (distance, key as u64)).collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            all.truncate(k);
            prop_assert_eq!(best.sorted(), &all[..]);
        }
    }
}
