//! How much is asked of each bucket of late: its temperature, 1 on average.
//!
//! Layer 5, pure. Live queries that are searched again (a uniform sample of all) warm the buckets that they begin with; all cool as
//! queries come and as time passes. Temperature orders jobs and makes none due.

use crate::types::BucketId;
use std::collections::HashMap;
use std::time::Duration;

/// What is left of the heat after a group of live queries.
const KEPT_PER_GROUP: f64 = 0.9;

/// Time in which half of it is lost.
const HALF_LIFE: Duration = Duration::from_secs(3600);

/// Heat below which a bucket is cold.
const COLD: f64 = 1e-3;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Temperature {
    /// By bucket id.
    heat: HashMap<u32, f64>,
    total: f64,
    /// Monotonic time of the last group.
    last: Duration,
}

impl Temperature {
    /// Warms the buckets that a group of live queries began with; `now` is monotonic.
    pub fn warm(&mut self, buckets: impl Iterator<Item = BucketId>, now: Duration) {
        let passed = now.saturating_sub(self.last).as_secs_f64() / HALF_LIFE.as_secs_f64();
        let kept = KEPT_PER_GROUP * 0.5f64.powf(passed);
        self.last = now;
        self.heat.retain(|_, heat| {
            *heat *= kept;
            *heat > COLD
        });
        buckets.for_each(|bucket| *self.heat.entry(bucket.0).or_default() += 1.0);
        self.total = self.heat.values().sum();
    }

    /// The temperature of one of `buckets` buckets; 1 for all while nothing was asked.
    pub fn of(&self, bucket: BucketId, buckets: usize) -> f64 {
        if self.total <= 0.0 {
            return 1.0;
        }
        self.heat.get(&bucket.0).copied().unwrap_or(0.0) * buckets as f64 / self.total
    }

    /// Forgets a bucket that is gone.
    pub fn forget(&mut self, bucket: BucketId) {
        self.total -= self.heat.remove(&bucket.0).unwrap_or(0.0);
    }

    /// Forgets all buckets.
    pub fn clear(&mut self) {
        self.heat.clear();
        self.total = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_warm_and_cools_with_queries_and_with_time() {
        let mut temperature = Temperature::default();
        assert_eq!(temperature.of(BucketId(3), 100), 1.0);
        let ask = |temperature: &mut Temperature, bucket: u32, hours: u64| {
            let buckets = std::iter::repeat_n(BucketId(bucket), 8).chain([BucketId(99)]);
            temperature.warm(buckets, Duration::from_secs(3600 * hours));
        };
        ask(&mut temperature, 3, 0);
        assert!(temperature.of(BucketId(3), 100) > 50.0 && temperature.of(BucketId(4), 100) == 0.0);
        (0..10).for_each(|_| ask(&mut temperature, 4, 0));
        assert!(temperature.of(BucketId(4), 100) > temperature.of(BucketId(3), 100));
        ask(&mut temperature, 5, 24);
        assert!(temperature.of(BucketId(5), 100) > 80.0 && temperature.of(BucketId(4), 100) < 0.1);
        temperature.forget(BucketId(5));
        assert_eq!(temperature.of(BucketId(5), 100), 0.0);
        temperature.clear();
        assert_eq!(temperature.of(BucketId(5), 100), 1.0);
    }
}
