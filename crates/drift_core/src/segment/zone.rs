//! Zone maps: the least and the greatest value that a column of integers or timestamps has in a segment.
//!
//! Layer 4. The footer has them since they cost nothing there; of a file without them they are found by reading the column,
//! once. A range that misses the zone needs no index and no row set, nor does one that holds all of it.

use super::Segment;
use super::payload::StoredColumn;
use super::select::RowSet;
use crate::error::Result;
use crate::types::predicate::Test;
use crate::types::{Column, FieldType, Value};

/// What the values of a column are within.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Zone {
    /// The least.
    #[prost(sint64, tag = "1")]
    pub min: i64,
    /// The greatest.
    #[prost(sint64, tag = "2")]
    pub max: i64,
    /// Rows that have a value, 1 or more.
    #[prost(uint64, tag = "3")]
    pub present: u64,
}

impl Zone {
    /// The zone of a column; none where no row has a value, or values are no whole numbers.
    pub fn of(column: &Column) -> Option<Zone> {
        let mut zone: Option<Zone> = None;
        for row in 0..column.len() {
            if let Value::Int(value) | Value::Timestamp(value) = column.get(row) {
                let own = zone.get_or_insert(Zone { min: value, max: value, present: 0 });
                *own = Zone { min: own.min.min(value), max: own.max.max(value), present: own.present + 1 };
            }
        }
        zone
    }

    /// Whether it can be that of a column of `rows`.
    pub fn is_sound(&self, kind: FieldType, rows: u64) -> bool {
        matches!(kind, FieldType::Int | FieldType::Timestamp) && self.min <= self.max && self.present <= rows
    }
}

impl Segment {
    /// The zone of a field of timestamps; none where no row has one.
    pub fn time_zone(&self, name: &str) -> Result<Option<Zone>> {
        match self.stored(name).filter(|stored| self.kind(stored) == FieldType::Timestamp) {
            Some(stored) => self.zone(stored),
            None => Ok(None),
        }
    }

    /// Whether a field of ints has some beyond those that floats count by one.
    pub fn has_large(&self, name: &str) -> Result<bool> {
        let Some(stored) = self.stored(name).filter(|stored| self.kind(stored) == FieldType::Int) else {
            return Ok(false);
        };
        let is_large = |value: i64| value.unsigned_abs() > 1 << f64::MANTISSA_DIGITS;
        Ok(self.zone(stored)?.is_some_and(|zone| is_large(zone.min) || is_large(zone.max)))
    }

    /// The zone of a column.
    pub(super) fn zone(&self, stored: &StoredColumn) -> Result<Option<Zone>> {
        if !matches!(self.kind(stored), FieldType::Int | FieldType::Timestamp) {
            return Ok(None);
        }
        if let Some(zone) = stored.known_zone() {
            return Ok(zone);
        }
        let zone = Zone::of(&self.load(stored)?);
        stored.set_zone(zone);
        Ok(zone)
    }

    /// The rows that pass, where the zone alone tells.
    pub(super) fn by_zone(&self, stored: &StoredColumn, test: &Test) -> Result<Option<RowSet>> {
        let Some(zone) = self.zone(stored)? else { return Ok(None) };
        let rows = self.rows() as usize;
        let everywhere = zone.present == rows as u64;
        let Some(bounds) = test.bounds() else {
            return Ok((everywhere && *test == Test::Exists).then(|| RowSet::full(rows)));
        };
        let [low, high] = [zone.min, zone.max].map(|value| match self.kind(stored) {
            FieldType::Int => Value::Int(value),
            _ => Value::Timestamp(value),
        });
        if bounds.iter().all(|bound| bound.excludes(low, high)) {
            return Ok(Some(RowSet::empty(rows)));
        }
        let holds = everywhere && bounds.iter().any(|bound| bound.holds(low) && bound.holds(high));
        Ok(holds.then(|| RowSet::full(rows)))
    }
}
