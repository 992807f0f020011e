//! How long calls take: a histogram of them since the collection was opened.
//!
//! Layer 5. A time falls into one of eight classes of each power of two of nanoseconds, so a quantile read from it is at most
//! an eighth too high. Counting a call is one addition, which nobody waits for.

use crate::types::Latency;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bits behind the leading one that tell classes of one power of two apart.
const FINE_BITS: u32 = 3;

/// Classes of one power of two.
const FINE: usize = 1 << FINE_BITS;

/// Classes: for every `u64`.
const CLASSES: usize = FINE * (64 - FINE_BITS as usize + 1);

/// Calls by how long they took.
pub struct Latencies([AtomicU64; CLASSES]);

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies([const { AtomicU64::new(0) }; CLASSES])
    }
}

impl Latencies {
    /// Counts a call.
    pub fn add(&self, took: Duration) {
        self.0[class(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX))].fetch_add(1, Ordering::Relaxed);
    }

    /// Quantiles of the calls so far; none before the first.
    pub fn summary(&self) -> Option<Latency> {
        let counts: Vec<u64> = self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let calls: u64 = counts.iter().sum();
        let quantile = |share: f64| {
            let rank = ((calls as f64 * share).ceil() as u64).max(1);
            let mut seen = 0;
            let found = counts.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            Duration::from_nanos(found.map_or(u64::MAX, longest))
        };
        (calls > 0).then(|| Latency { calls, p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99) })
    }
}

/// The class of a time in nanoseconds.
fn class(nanos: u64) -> usize {
    if nanos < FINE as u64 {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - FINE_BITS;
    FINE * shift as usize + (nanos >> shift) as usize
}

/// The longest time of a class.
fn longest(class: usize) -> u64 {
    if class < FINE {
        return class as u64;
    }
    let shift = (class / FINE - 1) as u32;
    let first = (FINE + class % FINE) as u64;
    ((first + 1) << shift).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_its_longest_time_and_not_one_more() {
        let mut last = None;
        for at in 0..CLASSES {
            let longest = longest(at);
            assert_eq!(class(longest), at);
            assert!(last.is_none_or(|last| class(last + 1) == at));
            last = Some(longest);
        }
        assert_eq!(last, Some(u64::MAX));
    }

    #[test]
    fn quantiles_are_at_most_an_eighth_too_high() {
        let latencies = Latencies::default();
        assert_eq!(latencies.summary(), None);
        (1..=1000).for_each(|micros| latencies.add(Duration::from_micros(micros)));
        let Some(Latency { calls, p50, p95, p99 }) = latencies.summary() else { panic!("there are calls") };
        assert_eq!(calls, 1000);
        for (found, micros) in [(p50, 500), (p95, 950), (p99, 990)] {
            let true_one = Duration::from_micros(micros);
            assert!((true_one..=true_one * 9 / 8).contains(&found), "{found:?} for {true_one:?}");
        }
    }
}
