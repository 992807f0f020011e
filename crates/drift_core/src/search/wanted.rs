//! The rows that a search is about: those of each segment that satisfy its predicate and have not expired.
//!
//! Layer 6. Found once per call, before any row is ranked.

use crate::error::Result;
use crate::segment::{CountedRows, RowSet};
use crate::state::{CollectionState, Version};
use crate::types::Predicate;
use std::sync::Arc;

/// Wanted rows.
pub struct Wanted {
    /// None: all rows in memory are wanted.
    predicate: Option<Arc<Predicate>>,
    /// Of each segment, by its place.
    sets: Vec<Arc<CountedRows>>,
    /// Flushed rows among them, dead ones included.
    pub flushed: u64,
}

impl Wanted {
    /// Finds the rows of a version that satisfy a predicate, if there is one, and have not expired at `now`, if some may have;
    /// none when that is all of them.
    pub fn find(
        collection: &CollectionState,
        version: &Version,
        predicate: Option<&Arc<Predicate>>,
        now: Option<i64>,
    ) -> Result<Option<Wanted>> {
        let lifetime = &collection.schema.lifetime;
        let mut restricts = predicate.is_some();
        let mut sets = Vec::with_capacity(version.index.segments.len());
        for live in &version.index.segments {
            let segment = &live.segment;
            let alive = now.map_or(Ok(None), |now| segment.alive(lifetime, now))?;
            restricts |= alive.is_some();
            let matching = predicate.map(|predicate| segment.select(predicate)).transpose()?;
            sets.push(match (matching, alive) {
                (Some(set), None) | (None, Some(set)) => set,
                (None, None) => Arc::new(CountedRows::new(RowSet::full(segment.rows() as usize))),
                (Some(matching), Some(alive)) => {
                    let mut both = (**matching).clone();
                    both.intersect(&alive);
                    Arc::new(CountedRows::new(both))
                }
            });
        }
        let mut predicate = predicate.cloned();
        if let Some(now) = now.filter(|now| version.memtables().any(|memtable| memtable.earliest_expiry() <= *now)) {
            let alive = lifetime.alive_at(now);
            predicate = Some(Arc::new(match predicate {
                Some(predicate) => Predicate::And(vec![(*predicate).clone(), alive]),
                None => alive,
            }));
            restricts = true;
        }
        let flushed = sets.iter().map(|set| set.count()).sum();
        Ok(restricts.then_some(Wanted { predicate, sets, flushed }))
    }

    /// What rows in memory are asked.
    pub fn predicate(&self) -> Option<&Predicate> {
        self.predicate.as_deref()
    }

    /// Whether a row of a segment is wanted.
    #[inline]
    pub fn has(&self, segment: u32, row: u32) -> bool {
        self.sets[segment as usize].contains(row)
    }

    /// Wanted rows of the segment at a place.
    pub fn set(&self, segment: usize) -> &RowSet {
        &self.sets[segment]
    }

    /// Wanted rows by segment.
    pub fn sets(&self) -> impl Iterator<Item = (u32, &RowSet)> {
        self.sets.iter().enumerate().map(|(place, set)| (place as u32, &***set))
    }
}
