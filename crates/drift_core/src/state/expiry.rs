//! When the next row expires, and whether rows have.
//!
//! Layer 5. One number per collection: no live row expires before it. A reader compares it with the clock and does no more while
//! nothing has expired. It falls before a row that expires earlier is published, and rises only when the rows that had expired
//! were deleted, after that was published; so a reader that asks before and after it pins a version misses no row of it.

use super::{CollectionState, Place, Version, Writes};
use crate::error::Result;
use crate::types::NEVER;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// See the module.
pub(super) struct Expiry {
    earliest: AtomicI64,
    /// Monotonic time of the last recount, [`NEVER`] before the first.
    recounted_us: AtomicI64,
}

impl Default for Expiry {
    fn default() -> Expiry {
        Expiry { earliest: AtomicI64::new(NEVER), recounted_us: AtomicI64::new(NEVER) }
    }
}

impl CollectionState {
    /// The clock's time, microseconds since 1970 UTC.
    pub fn now(&self) -> i64 {
        i64::try_from(self.components.clock.wall().as_micros()).unwrap_or(NEVER - 1)
    }

    /// No live row expires before this moment; [`NEVER`] when none does.
    pub fn earliest_expiry(&self) -> i64 {
        self.expiry.earliest.load(Ordering::Acquire)
    }

    /// How long ago [`CollectionState::recount_expiry`] was called.
    pub fn since_recount(&self) -> Option<Duration> {
        let last = Some(self.expiry.recounted_us.load(Ordering::Relaxed)).filter(|last| *last != NEVER)?;
        Some(Duration::from_micros(self.monotonic_us().saturating_sub(last).max(0) as u64))
    }

    fn monotonic_us(&self) -> i64 {
        i64::try_from(self.components.clock.monotonic().as_micros()).unwrap_or(NEVER - 1)
    }

    /// The present moment, if a row may have expired by then. `before` is what [`CollectionState::earliest_expiry`] was before the
    /// version was pinned.
    pub fn expired_by(&self, before: i64) -> Option<i64> {
        let earliest = before.min(self.earliest_expiry());
        if earliest == NEVER {
            return None;
        }
        Some(self.now()).filter(|now| *now >= earliest)
    }

    /// The newest version and, if a row of it may have expired, the present moment.
    pub fn pin_now(&self) -> (Arc<Version>, Option<i64>) {
        let before = self.earliest_expiry();
        let version = self.pin();
        let now = self.expired_by(before);
        (version, now)
    }

    /// Whether a row of `version` has expired at `now`.
    pub fn is_expired(&self, version: &Version, place: Place, now: i64) -> Result<bool> {
        Ok(match place {
            Place::Memtable(place, row) => {
                let memtable = version.memtables().nth(place).expect("invariant: the place came from this version");
                memtable.expiry(row) <= now
            }
            Place::Segment(place, row) => {
                let segment = &version.index.segments[place as usize].segment;
                segment.alive(&self.schema.lifetime, now)?.is_some_and(|alive| !alive.contains(row))
            }
        })
    }

    /// Says that a row which is about to be published expires at `moment`.
    pub fn note_expiry(&self, moment: i64) {
        if self.expiry.earliest.fetch_min(moment, Ordering::AcqRel) > moment {
            self.signal.raise(|work| work.expiry = true);
        }
    }

    /// Says when the rows of the segments of `version` from place `first` on expire, and those of its memtables.
    pub fn note_expiries(&self, version: &Version, first: usize) -> Result<()> {
        for live in &version.index.segments[first..] {
            self.note_expiry(live.segment.earliest_expiry(&self.schema.lifetime)?);
        }
        version.memtables().for_each(|memtable| self.note_expiry(memtable.earliest_expiry()));
        Ok(())
    }

    /// Finds out anew when the next live row expires, now that those that had were deleted. The caller holds `writes`.
    pub fn recount_expiry(&self, _writes: &mut Writes) -> Result<()> {
        let (version, now) = (self.pin(), self.now());
        let mut next = NEVER;
        for live in &version.index.segments {
            let segment = &live.segment;
            let mut earliest = segment.earliest_expiry(&self.schema.lifetime)?;
            if earliest <= now {
                earliest = segment.next_expiry(&self.schema.lifetime, None, |row| segment.death(row) == 0)?;
            }
            next = next.min(earliest);
        }
        for memtable in version.memtables() {
            if memtable.earliest_expiry() < next {
                memtable.for_each_visible(version.seq, |row, _| next = next.min(memtable.expiry(row)));
            }
        }
        self.expiry.earliest.store(next, Ordering::Release);
        self.expiry.recounted_us.store(self.monotonic_us(), Ordering::Relaxed);
        Ok(())
    }
}
