//! What a scan costs on this machine: the time of a bucket and of an entry, from timed scans of live queries.
//!
//! Layer 5, pure but for what it is given. A scan takes `fixed + buckets * bucket + entries * entry`; the three are found by least
//! squares over the newest timed scans, without the slowest fifth, which the system has interrupted. Policy only uses the ratio of
//! the two: how many entries a bucket costs besides its own. Where no time passes, as under a simulated clock, it stays as assumed.

use std::collections::VecDeque;
use std::time::Duration;

/// Entries that a bucket costs, where nothing was measured: about what was measured on AVX-512 at 64 and 384 dimensions.
pub const BUCKET_ENTRIES: f64 = 16.0;

/// Bounds of what is believed of a measurement.
const BUCKET_ENTRIES_MIN: f64 = 1.0;
const BUCKET_ENTRIES_MAX: f64 = 256.0;

/// Timed scans kept, and the fewest that tell anything.
const SCANS_MAX: usize = 512;
const SCANS_MIN: usize = 64;

/// Share of the scans, the fastest for their work, that count.
const UNDISTURBED: f64 = 0.8;

/// Timed scans, oldest first: buckets, entries, nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct ScanCost {
    scans: VecDeque<[f64; 3]>,
}

impl ScanCost {
    /// Adds a timed scan.
    pub fn add(&mut self, buckets: u64, entries: u64, took: Duration) {
        if self.scans.len() == SCANS_MAX {
            self.scans.pop_front();
        }
        self.scans.push_back([buckets as f64, entries as f64, took.as_nanos() as f64]);
    }

    /// How many entries a bucket costs besides its own.
    pub fn bucket_entries(&self) -> f64 {
        let Some([_, bucket, entry]) = self.nanoseconds() else { return BUCKET_ENTRIES };
        if entry <= 0.0 {
            return BUCKET_ENTRIES;
        }
        (bucket / entry).clamp(BUCKET_ENTRIES_MIN, BUCKET_ENTRIES_MAX)
    }

    /// Nanoseconds of a scan, of a bucket and of an entry; none where too little was timed to tell them apart.
    pub fn nanoseconds(&self) -> Option<[f64; 3]> {
        if self.scans.len() < SCANS_MIN {
            return None;
        }
        let slowness = |scan: &[f64; 3]| scan[2] / (1.0 + scan[1] + BUCKET_ENTRIES * scan[0]);
        let mut scans: Vec<[f64; 3]> = self.scans.iter().copied().collect();
        scans.sort_by(|a, b| slowness(a).total_cmp(&slowness(b)));
        scans.truncate((UNDISTURBED * scans.len() as f64) as usize);
        least_squares(&scans)
    }
}

/// The fit of `y = a + b x1 + c x2` to points `[x1, x2, y]`; none where the points do not tell.
fn least_squares(points: &[[f64; 3]]) -> Option<[f64; 3]> {
    let mut rows = [[0.0f64; 4]; 3];
    for &[x1, x2, y] in points {
        let x = [1.0, x1, x2];
        for (row, xi) in rows.iter_mut().zip(x) {
            row.iter_mut().zip([1.0, x1, x2, y]).for_each(|(sum, value)| *sum += xi * value);
        }
    }
    for at in 0..3 {
        let best = (at..3).max_by(|a, b| rows[*a][at].abs().total_cmp(&rows[*b][at].abs()))?;
        rows.swap(at, best);
        let pivot = rows[at];
        if pivot[at].abs() <= 1e-9 * points.len() as f64 {
            return None;
        }
        for (other, row) in rows.iter_mut().enumerate() {
            if other != at {
                let factor = row[at] / pivot[at];
                row.iter_mut().zip(pivot).for_each(|(value, of)| *value -= factor * of);
            }
        }
    }
    Some(std::array::from_fn(|at| rows[at][3] / rows[at][at]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    fn timed(bucket: f64, entry: f64, count: usize) -> ScanCost {
        let mut rng = crate::clock::rng(3);
        let mut cost = ScanCost::default();
        for number in 0..count {
            let buckets = rng.random_range(1..60u64);
            let entries = (0..buckets).map(|_| rng.random_range(16..160u64)).sum();
            let mut nanoseconds = 900.0 + bucket * buckets as f64 + entry * entries as f64;
            nanoseconds *= 0.95 + 0.1 * rng.random::<f64>();
            // Now and then another thread has the core.
            nanoseconds += if number % 10 == 0 { 2e6 } else { 0.0 };
            cost.add(buckets, entries, Duration::from_nanos(nanoseconds as u64));
        }
        cost
    }

    #[test]
    fn what_a_bucket_costs_is_told_from_what_entries_cost() {
        for (bucket, entry) in [(10.0, 1.0), (60.0, 1.5), (400.0, 4.0)] {
            let found = timed(bucket, entry, 400).bucket_entries();
            assert!((found / (bucket / entry)).ln().abs() < 0.35, "{bucket} / {entry} came out as {found}");
        }
    }

    #[test]
    fn nothing_is_told_from_too_little_or_from_a_clock_that_stands() {
        assert_eq!(timed(60.0, 1.5, SCANS_MIN - 1).bucket_entries(), BUCKET_ENTRIES);
        let mut stands = ScanCost::default();
        (0..200).for_each(|number| stands.add(number % 7, 50 * (number % 11), Duration::ZERO));
        assert_eq!(stands.bucket_entries(), BUCKET_ENTRIES);
        let mut alike = ScanCost::default();
        (0..200).for_each(|_| alike.add(5, 300, Duration::from_micros(3)));
        assert_eq!(alike.bucket_entries(), BUCKET_ENTRIES);
    }
}
