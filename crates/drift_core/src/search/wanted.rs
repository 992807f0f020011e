//! The rows that a search is about: those of each segment that satisfy its predicate.
//!
//! Layer 6. Found once per call, before any row is ranked.

use crate::error::Result;
use crate::segment::RowSet;
use crate::state::Version;
use crate::types::Predicate;
use std::sync::Arc;

/// Wanted rows.
pub struct Wanted {
    predicate: Arc<Predicate>,
    /// Of each segment, by its place.
    sets: Vec<Arc<RowSet>>,
    /// Flushed rows among them, dead ones included.
    pub flushed: u64,
}

impl Wanted {
    /// Finds the rows of a version that satisfy a predicate.
    pub fn find(version: &Version, predicate: &Arc<Predicate>) -> Result<Wanted> {
        let segments = &version.index.segments;
        let sets = segments.iter().map(|live| live.segment.select(predicate)).collect::<Result<Vec<_>>>()?;
        let flushed = sets.iter().map(|set| set.count()).sum();
        Ok(Wanted { predicate: predicate.clone(), sets, flushed })
    }

    /// What rows in memory are asked.
    pub fn predicate(&self) -> &Predicate {
        &self.predicate
    }

    /// Whether a row of a segment is wanted.
    #[inline]
    pub fn has(&self, segment: u32, row: u32) -> bool {
        self.sets[segment as usize].contains(row)
    }

    /// Wanted rows by segment.
    pub fn sets(&self) -> impl Iterator<Item = (u32, &RowSet)> {
        self.sets.iter().enumerate().map(|(place, set)| (place as u32, &**set))
    }
}
