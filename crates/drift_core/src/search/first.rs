//! The entries of the first buckets, whose estimates give a search its first threshold.
//!
//! Layer 6. They are read once: when the search comes to one of these buckets, what a scan would let pass there is known.

use super::reach::Met;

/// Estimate of an entry whose row was taken for the first threshold.
const TAKEN: f32 = f32::NEG_INFINITY;

/// Estimate of an entry whose row does not satisfy the filter of the search.
const UNWANTED: f32 = f32::INFINITY;

#[derive(Clone, Copy)]
struct Entry {
    estimate: f32,
    /// Lowest distance that a scan takes it for.
    bound: f32,
    row: u32,
}

struct Bucket {
    /// Its entries end here.
    end: usize,
    /// How many entries its blocks have room for.
    slots: u64,
}

/// See the module.
#[derive(Default)]
pub struct FirstEntries {
    entries: Vec<Entry>,
    buckets: Vec<Bucket>,
    wanted: usize,
    order: Vec<f32>,
}

impl FirstEntries {
    /// Without any.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.buckets.clear();
        self.wanted = 0;
    }

    /// Adds the entry of a row to the next bucket.
    #[inline]
    pub fn push(&mut self, estimate: f32, bound: f32, row: u32, is_wanted: bool) {
        self.wanted += usize::from(is_wanted);
        self.entries.push(Entry { estimate: if is_wanted { estimate } else { UNWANTED }, bound, row });
    }

    /// Ends a bucket whose blocks have room for `slots` entries.
    pub fn end_bucket(&mut self, slots: u64) {
        self.buckets.push(Bucket { end: self.entries.len(), slots });
    }

    /// Entries of wanted rows.
    pub fn wanted(&self) -> usize {
        self.wanted
    }

    /// Takes the `count` best wanted entries by estimate, or all there are.
    pub fn take(&mut self, count: usize, mut taken: impl FnMut(u32)) {
        let FirstEntries { entries, order, .. } = self;
        order.clear();
        order.extend(entries.iter().filter(|entry| entry.estimate < UNWANTED).map(|entry| entry.estimate));
        let last = match order.len() {
            0 => return,
            len if len <= count => f32::MAX,
            _ => *order.select_nth_unstable_by(count - 1, f32::total_cmp).1,
        };
        let mut ties = count - order.iter().take(count).filter(|estimate| **estimate < last).count().min(count);
        for entry in entries {
            let is_tie = entry.estimate == last && ties > 0;
            if entry.estimate < last || is_tie {
                ties -= usize::from(is_tie);
                entry.estimate = TAKEN;
                taken(entry.row);
            }
        }
    }

    /// What a scan of bucket `at` against `threshold` would meet, and how many entries it would read; `passed` gets the rows that
    /// are wanted and were not taken. None when that bucket is not one of the first.
    pub fn meet(&self, at: usize, threshold: f32, mut passed: impl FnMut(u32)) -> Option<(u64, Met)> {
        let bucket = self.buckets.get(at)?;
        let start = at.checked_sub(1).map_or(0, |before| self.buckets[before].end);
        let mut met = Met::default();
        for entry in &self.entries[start..bucket.end] {
            let is_taken = entry.estimate == TAKEN;
            if entry.bound < threshold || is_taken {
                let is_wanted = entry.estimate < UNWANTED;
                met.near += 1;
                met.wanted += u32::from(is_wanted);
                met.again += u32::from(is_taken);
                if is_wanted && !is_taken {
                    passed(entry.row);
                }
            }
        }
        Some((bucket.slots, met))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(first: &mut FirstEntries, count: usize) -> Vec<u32> {
        let mut rows = Vec::new();
        first.take(count, |row| rows.push(row));
        rows
    }

    fn met(first: &FirstEntries, at: usize, threshold: f32) -> Option<(u64, [u32; 3], Vec<u32>)> {
        let mut rows = Vec::new();
        let (slots, met) = first.meet(at, threshold, |row| rows.push(row))?;
        Some((slots, [met.near, met.wanted, met.again], rows))
    }

    #[test]
    fn the_best_wanted_entries_are_taken_and_the_rest_is_met_once() {
        let mut first = FirstEntries::default();
        let entries = [(5.0, true), (1.0, false), (3.0, true), (3.0, true), (2.0, true), (9.0, true)];
        for (row, (estimate, is_wanted)) in entries.into_iter().enumerate() {
            first.push(estimate, estimate - 1.0, row as u32, is_wanted);
            if row == 2 {
                first.end_bucket(16);
            }
        }
        first.end_bucket(32);
        assert_eq!(first.wanted(), 5);
        assert_eq!(taken(&mut first, 2), [2, 4], "one of two that are as near");
        assert_eq!(met(&first, 0, 4.0), Some((16, [2, 1, 1], vec![])), "4 is not below the threshold");
        assert_eq!(met(&first, 0, 4.5), Some((16, [3, 2, 1], vec![0])));
        assert_eq!(met(&first, 1, 0.0), Some((32, [1, 1, 1], vec![])), "what was taken is near");
        assert_eq!(met(&first, 1, f32::INFINITY), Some((32, [3, 3, 1], vec![3, 5])));
        assert_eq!(met(&first, 2, f32::INFINITY), None);
        first.clear();
        assert_eq!((first.wanted(), met(&first, 0, 1.0)), (0, None));
    }

    #[test]
    fn where_there_are_few_all_wanted_ones_are_taken() {
        let mut first = FirstEntries::default();
        assert_eq!(taken(&mut first, 3), [0; 0]);
        first.push(1.0, 0.0, 7, false);
        assert_eq!(taken(&mut first, 3), [0; 0]);
        first.push(2.0, 0.0, 8, true);
        first.push(2.0, 0.0, 9, true);
        assert_eq!(taken(&mut first, 2), [8, 9]);
    }
}
