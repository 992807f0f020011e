//! Which rows of a segment have expired.
//!
//! Layer 4. The zones of the columns that say when rows expire tell whether any has; then the indexes over their values give the
//! rows. The answer holds until the next row expires, and is kept until then.

use super::Segment;
use super::select::CountedRows;
use crate::error::Result;
use crate::types::{EXPIRES_FIELD, FieldType, Lifetime, NEVER};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;

/// The rows that are alive within a stretch of time.
#[derive(Default)]
pub(super) struct Alive(Mutex<Option<(Range<i64>, Arc<CountedRows>)>>);

impl Alive {
    pub(super) fn heap_bytes(&self) -> usize {
        self.0.lock().as_ref().map_or(0, |(_, rows)| rows.bytes())
    }
}

/// The columns that say when rows expire, and what is to be added to their values.
fn sources(lifetime: &Lifetime) -> impl Iterator<Item = (&str, i64)> {
    std::iter::once((EXPIRES_FIELD, 0)).chain(lifetime.ttl())
}

impl Segment {
    /// When the first row expires, be it dead or not; [`NEVER`] for never.
    pub fn earliest_expiry(&self, lifetime: &Lifetime) -> Result<i64> {
        let mut earliest = NEVER;
        for (name, ttl) in sources(lifetime) {
            if let Some(zone) = self.time_zone(name)? {
                earliest = earliest.min(zone.min.saturating_add(ttl));
            }
        }
        Ok(earliest)
    }

    /// When the first of the rows that `pass` expires, of those that do so after the moment `after`; [`NEVER`] for never.
    pub fn next_expiry(&self, lifetime: &Lifetime, after: Option<i64>, pass: impl Fn(u32) -> bool) -> Result<i64> {
        let mut next = NEVER;
        for (name, ttl) in sources(lifetime) {
            if let Some(stored) = self.stored(name).filter(|stored| self.kind(stored) == FieldType::Timestamp) {
                let after = after.map(|after| after.saturating_sub(ttl));
                let found = self.index(stored)?.least(after, &pass);
                next = next.min(found.map_or(NEVER, |moment| moment.saturating_add(ttl)));
            }
        }
        Ok(next)
    }

    /// The rows that have not expired at `now`, dead ones included; none: all of them.
    pub fn alive(&self, lifetime: &Lifetime, now: i64) -> Result<Option<Arc<CountedRows>>> {
        if now < self.earliest_expiry(lifetime)? {
            return Ok(None);
        }
        let mut kept = self.alive.0.lock();
        if let Some((_, rows)) = kept.as_ref().filter(|(while_, _)| while_.contains(&now)) {
            return Ok(Some(rows.clone()));
        }
        let rows = Arc::new(CountedRows::new(self.evaluate(&lifetime.alive_at(now))?));
        let until = if rows.is_empty() { NEVER } else { self.next_expiry(lifetime, Some(now), |_| true)? };
        *kept = Some((now..until, rows.clone()));
        Ok(Some(rows))
    }
}
