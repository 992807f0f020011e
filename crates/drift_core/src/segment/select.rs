//! Which rows of a segment satisfy a predicate.
//!
//! Layer 4. Tests that are ranges of values go through the field's index; the others (part of a text, JSON) read the column.
//! The answer depends on nothing that changes, so the last few are kept.

use super::Segment;
use super::payload::StoredColumn;
use crate::error::Result;
use crate::sync::Mutex;
use crate::types::predicate::{Test, split};
use crate::types::{FieldType, Predicate, Value};
use std::sync::Arc;

/// A set of rows, a bit each.
#[derive(Clone, Debug, PartialEq)]
pub struct RowSet {
    words: Vec<u64>,
    rows: usize,
}

impl RowSet {
    /// No row of `rows`.
    pub fn empty(rows: usize) -> RowSet {
        RowSet { words: vec![0; rows.div_ceil(64)], rows }
    }

    /// All of `rows`.
    pub fn full(rows: usize) -> RowSet {
        let mut set = RowSet::empty(rows);
        set.invert();
        set
    }

    /// Whether a row is in it.
    #[inline]
    pub fn contains(&self, row: u32) -> bool {
        self.words[row as usize / 64] >> (row % 64) & 1 == 1
    }

    /// Adds a row.
    #[inline]
    pub fn insert(&mut self, row: u32) {
        self.words[row as usize / 64] |= 1 << (row % 64);
    }

    /// Number of rows in it.
    pub fn count(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The rows in it, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                rest &= rest.wrapping_sub(1);
                (bit < 64).then_some(at as u32 * 64 + bit)
            })
        })
    }

    /// Bytes of heap memory in use.
    pub fn bytes(&self) -> usize {
        8 * self.words.capacity()
    }

    fn invert(&mut self) {
        self.words.iter_mut().for_each(|word| *word = !*word);
        if let (Some(last), tail @ 1..) = (self.words.last_mut(), self.rows % 64) {
            *last &= (1 << tail) - 1;
        }
    }

    fn combine(&mut self, other: &RowSet, combine: impl Fn(u64, u64) -> u64) {
        self.words.iter_mut().zip(&other.words).for_each(|(own, other)| *own = combine(*own, *other));
    }
}

/// Answers that are kept: a service asks a few filters again and again.
const KEPT_MAX: usize = 16;

/// Predicates and their rows, the newest last.
#[derive(Default)]
pub(super) struct Selected(Mutex<Vec<(Arc<Predicate>, Arc<RowSet>)>>);

impl Selected {
    pub(super) fn heap_bytes(&self) -> usize {
        self.0.lock().iter().map(|(_, rows)| rows.bytes()).sum()
    }
}

impl Segment {
    /// The rows, dead ones included, whose payload satisfies `predicate`.
    pub fn select(&self, predicate: &Arc<Predicate>) -> Result<Arc<RowSet>> {
        {
            let mut kept = self.selected.0.lock();
            let same = |(own, _): &(Arc<Predicate>, Arc<RowSet>)| Arc::ptr_eq(own, predicate) || **own == **predicate;
            if let Some(place) = kept.iter().rposition(same) {
                let found = kept.remove(place);
                kept.push(found.clone());
                return Ok(found.1);
            }
        }
        let rows = Arc::new(self.evaluate(predicate)?);
        let mut kept = self.selected.0.lock();
        if kept.len() == KEPT_MAX {
            kept.remove(0);
        }
        kept.push((predicate.clone(), rows.clone()));
        Ok(rows)
    }

    fn evaluate(&self, predicate: &Predicate) -> Result<RowSet> {
        let rows = self.rows() as usize;
        Ok(match predicate {
            Predicate::And(parts) => {
                let mut all = RowSet::full(rows);
                for part in parts {
                    all.combine(&self.evaluate(part)?, |a, b| a & b);
                }
                all
            }
            Predicate::Or(parts) => {
                let mut any = RowSet::empty(rows);
                for part in parts {
                    any.combine(&self.evaluate(part)?, |a, b| a | b);
                }
                any
            }
            Predicate::Not(part) => {
                let mut set = self.evaluate(part)?;
                set.invert();
                set
            }
            Predicate::Test(name, test) => match self.stored(name) {
                Some(stored) => self.test(stored, test)?,
                None => match split(name, |name| self.stored(name).filter(|own| self.kind(own) == FieldType::Json)) {
                    Some((stored, path)) => self.read_and_test(stored, |value| test.holds_within(value, path))?,
                    None => RowSet::empty(rows),
                },
            },
        })
    }

    fn test(&self, stored: &StoredColumn, test: &Test) -> Result<RowSet> {
        let kind = self.kind(stored);
        let mut out = RowSet::empty(self.rows() as usize);
        match (test, test.bounds()) {
            (Test::Exists, _) => return Ok(self.index(stored)?.present().clone()),
            (_, Some(bounds)) if kind != FieldType::Json => {
                let index = self.index(stored)?;
                // A list passes a range when one of its items does, and bounds on both sides are of one item.
                bounds.iter().for_each(|bound| index.select(bound, &mut out));
            }
            (Test::StartsWith(start), _) if kind != FieldType::Json => {
                self.index(stored)?.select_start(start, &mut out)
            }
            (Test::Contains(literal), _) if kind == FieldType::List => {
                let within = crate::types::predicate::Bound { low: Some((literal, true)), high: Some((literal, true)) };
                self.index(stored)?.select(&within, &mut out);
            }
            _ => return self.read_and_test(stored, |value| test.holds(value)),
        }
        Ok(out)
    }

    fn read_and_test(&self, stored: &StoredColumn, passes: impl Fn(Value<'_>) -> bool) -> Result<RowSet> {
        let column = self.load(stored)?;
        let mut out = RowSet::empty(column.len());
        (0..column.len()).filter(|&row| passes(column.get(row))).for_each(|row| out.insert(row as u32));
        Ok(out)
    }
}
