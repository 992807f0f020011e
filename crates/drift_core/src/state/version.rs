//! One immutable view of a collection: the memtables and the index, up to a sequence number.
//!
//! Layer 5. Written by whoever holds the write lock, pinned by readers. A row is visible in a version iff its seq is
//! at most the version's and no write up to it superseded it; every id has at most one visible row.

use super::calibration::{DOUBTED_SHARE, doubted};
use super::{Index, SCAN_ALL_ROWS, StopRule};
use crate::memtable::Memtable;
use crate::types::Seq;
use std::sync::Arc;

/// A view of a collection. Cloning copies pointers.
#[derive(Clone)]
pub struct Version {
    /// Newest write that the view contains.
    pub seq: Seq,
    /// Live rows in the view.
    pub live_rows: u64,
    /// Memtable that writes go to.
    pub active: Arc<Memtable>,
    /// Memtables that wait for their flush, oldest first.
    pub frozen: Arc<[Arc<Memtable>]>,
    /// Flushed rows.
    pub index: Arc<Index>,
}

impl Version {
    /// Memtables, newest first.
    pub fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        std::iter::once(&self.active).chain(self.frozen.iter().rev())
    }

    /// When a search for the `k` nearest with recall at `recall` stops. Doubt of the rules is one of where neighbours are: where codes told
    /// them apart well enough for a rule, every bucket is scanned by them, which reads an eighth of what the rows' own codes are.
    pub fn rule(&self, recall: f32, k: usize) -> StopRule {
        let raised = doubted(recall, self.unmeasured_share());
        let rule = self.index.rule(raised, k);
        let is_told = || self.index.filter().is_some() && self.index.rule(recall, k) != StopRule::ALL;
        if rule == StopRule::ALL && raised > recall && is_told() { StopRule::ALL_BUCKETS } else { rule }
    }

    /// Rows that came after the stop rules were measured, as a share of those there are.
    pub fn unmeasured_share(&self) -> f64 {
        self.index.unmeasured() as f64 / self.live_rows.max(1) as f64
    }

    /// Whether rules are to be measured, whatever else is due, because too many rows came after them.
    pub fn is_doubted(&self) -> bool {
        self.index.rows() > SCAN_ALL_ROWS && self.unmeasured_share() >= DOUBTED_SHARE
    }

    /// The same of what was measured on a version before.
    pub fn is_doubted_since(&self, before: &Version) -> bool {
        let rows = self.index.unmeasured().saturating_sub(before.index.unmeasured());
        rows as f64 >= DOUBTED_SHARE * self.live_rows.max(1) as f64
    }

    /// Rows in memtables, visible or not.
    pub fn memtable_rows(&self) -> usize {
        self.memtables().map(|memtable| memtable.len()).sum()
    }
}
