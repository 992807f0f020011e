//! Which rows of a segment satisfy a predicate.
//!
//! Layer 4. Tests that are ranges of values go through the field's index; the others (part of a text, JSON) read the column.
//! The answer depends on nothing that changes, so the last few are kept.

use super::Segment;
use super::payload::StoredColumn;
use crate::error::Result;
use crate::sync::Mutex;
use crate::types::predicate::{Literal, Test, split};
use crate::types::{FieldType, Predicate, Value};
use memchr::memmem::Finder;
use std::ops::Deref;
use std::sync::Arc;

/// A set of rows, a bit each; of one that has all rows, or none, no bits are kept.
#[derive(Clone, Debug)]
pub struct RowSet {
    /// Empty when all rows are as `fill` says.
    words: Vec<u64>,
    rows: usize,
    fill: bool,
}

impl PartialEq for RowSet {
    fn eq(&self, other: &RowSet) -> bool {
        self.rows == other.rows && self.iter().eq(other.iter())
    }
}

impl RowSet {
    /// No row of `rows`.
    pub fn empty(rows: usize) -> RowSet {
        RowSet { words: Vec::new(), rows, fill: false }
    }

    /// All of `rows`.
    pub fn full(rows: usize) -> RowSet {
        RowSet { fill: true, ..RowSet::empty(rows) }
    }

    /// Whether a row is in it.
    #[inline]
    pub fn contains(&self, row: u32) -> bool {
        self.words.get(row as usize / 64).map_or(self.fill, |word| word >> (row % 64) & 1 == 1)
    }

    /// Adds a row.
    #[inline]
    pub fn insert(&mut self, row: u32) {
        if self.words.is_empty() {
            self.spell_out();
        }
        self.words[row as usize / 64] |= 1 << (row % 64);
    }

    /// Number of rows in it.
    pub fn count(&self) -> u64 {
        match self.uniform() {
            Some(all) => {
                if all {
                    self.rows as u64
                } else {
                    0
                }
            }
            None => self.words.iter().map(|word| u64::from(word.count_ones())).sum(),
        }
    }

    /// Whether no row is in it.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0) && self.uniform() != Some(true)
    }

    /// Whether all rows are in it, or none, when that is known without a look at the bits.
    pub fn uniform(&self) -> Option<bool> {
        self.words.is_empty().then_some(self.fill)
    }

    /// The rows in it, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let all = 0..if self.uniform() == Some(true) { self.rows as u32 } else { 0 };
        all.chain(self.words.iter().enumerate().flat_map(|(at, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                rest &= rest.wrapping_sub(1);
                (bit < 64).then_some(at as u32 * 64 + bit)
            })
        }))
    }

    /// Bytes of heap memory in use.
    pub fn bytes(&self) -> usize {
        8 * self.words.capacity()
    }

    /// Keeps the rows that are in `other`, too.
    pub fn intersect(&mut self, other: &RowSet) {
        match (self.uniform(), other.uniform()) {
            (Some(false), _) | (_, Some(true)) => {}
            (Some(true), _) | (_, Some(false)) => self.clone_from(other),
            _ => self.combine(other, |a, b| a & b),
        }
    }

    fn unite(&mut self, other: &RowSet) {
        match (self.uniform(), other.uniform()) {
            (Some(true), _) | (_, Some(false)) => {}
            (Some(false), _) | (_, Some(true)) => self.clone_from(other),
            _ => self.combine(other, |a, b| a | b),
        }
    }

    /// Writes the bits of a set that has none.
    fn spell_out(&mut self) {
        self.words = vec![if self.fill { u64::MAX } else { 0 }; self.rows.div_ceil(64)];
        self.cut();
    }

    /// The rows that are not in it.
    pub fn inverted(&self) -> RowSet {
        let mut set = self.clone();
        set.invert();
        set
    }

    fn invert(&mut self) {
        self.fill = !self.fill;
        self.words.iter_mut().for_each(|word| *word = !*word);
        self.cut();
    }

    /// Clears the bits behind the last row.
    fn cut(&mut self) {
        if let (Some(last), tail @ 1..) = (self.words.last_mut(), self.rows % 64) {
            *last &= (1 << tail) - 1;
        }
    }

    fn combine(&mut self, other: &RowSet, combine: impl Fn(u64, u64) -> u64) {
        self.words.iter_mut().zip(&other.words).for_each(|(own, other)| *own = combine(*own, *other));
    }
}

/// A set of rows that changes no more, with their number: each search asks for it, and counting bits takes it microseconds.
#[derive(Debug)]
pub struct CountedRows {
    rows: RowSet,
    count: u64,
}

impl CountedRows {
    /// Counts the rows of a set.
    pub fn new(rows: RowSet) -> CountedRows {
        CountedRows { count: rows.count(), rows }
    }

    /// Number of rows in it.
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl Deref for CountedRows {
    type Target = RowSet;

    #[inline]
    fn deref(&self) -> &RowSet {
        &self.rows
    }
}

/// Answers that are kept: a service asks a few filters again and again.
const KEPT_MAX: usize = 16;

/// Predicates and their rows, the newest last.
#[derive(Default)]
pub(super) struct Selected(Mutex<Vec<(Arc<Predicate>, Arc<CountedRows>)>>);

impl Selected {
    pub(super) fn heap_bytes(&self) -> usize {
        self.0.lock().iter().map(|(_, rows)| rows.bytes()).sum()
    }
}

impl Segment {
    /// The rows, dead ones included, whose payload satisfies `predicate`.
    pub fn select(&self, predicate: &Arc<Predicate>) -> Result<Arc<CountedRows>> {
        {
            let mut kept = self.selected.0.lock();
            let same =
                |(own, _): &(Arc<Predicate>, Arc<CountedRows>)| Arc::ptr_eq(own, predicate) || **own == **predicate;
            if let Some(place) = kept.iter().rposition(same) {
                let found = kept.remove(place);
                kept.push(found.clone());
                return Ok(found.1);
            }
        }
        let rows = Arc::new(CountedRows::new(self.evaluate(predicate)?));
        let mut kept = self.selected.0.lock();
        if kept.len() == KEPT_MAX {
            kept.remove(0);
        }
        kept.push((predicate.clone(), rows.clone()));
        Ok(rows)
    }

    pub(super) fn evaluate(&self, predicate: &Predicate) -> Result<RowSet> {
        let rows = self.rows() as usize;
        Ok(match predicate {
            Predicate::And(parts) => {
                let mut all = RowSet::full(rows);
                for part in parts {
                    if all.uniform() == Some(false) {
                        break;
                    }
                    all.intersect(&self.evaluate(part)?);
                }
                all
            }
            Predicate::Or(parts) => {
                let mut any = RowSet::empty(rows);
                for part in parts {
                    if any.uniform() == Some(true) {
                        break;
                    }
                    any.unite(&self.evaluate(part)?);
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
        if let Some(rows) = self.by_zone(stored, test)? {
            return Ok(rows);
        }
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
            (Test::Contains(Literal::Str(part)), _) if kind == FieldType::Str && !part.is_empty() => {
                let part = Finder::new(part);
                let mut add = |row: usize| out.insert(row as u32);
                self.visit(stored, &mut |first, values| values.find(&part, |row| add(first + row)))?;
            }
            _ => return self.read_and_test(stored, |value| test.holds(value)),
        }
        Ok(out)
    }

    fn read_and_test(&self, stored: &StoredColumn, passes: impl Fn(Value<'_>) -> bool) -> Result<RowSet> {
        let mut out = RowSet::empty(self.rows() as usize);
        self.visit(stored, &mut |first, values| {
            let passing = (0..values.len()).filter(|&row| passes(values.get(row)));
            passing.for_each(|row| out.insert((first + row) as u32));
        })?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// A set of 70 rows, with bits or without, and its model.
    fn set() -> impl Strategy<Value = (RowSet, BTreeSet<u32>)> {
        let spelled = prop::collection::btree_set(0u32..70, 0..70).prop_map(|rows| {
            let mut set = RowSet::empty(70);
            rows.iter().for_each(|&row| set.insert(row));
            (set, rows)
        });
        let none = Just((RowSet::empty(70), BTreeSet::new()));
        prop_oneof![3 => spelled, 1 => none, 1 => Just((RowSet::full(70), (0..70).collect()))]
    }

    fn same(set: &RowSet, rows: &BTreeSet<u32>) -> bool {
        let counts = set.count() == rows.len() as u64 && set.is_empty() == rows.is_empty();
        counts && set.iter().eq(rows.iter().copied()) && (0..70).all(|row| set.contains(row) == rows.contains(&row))
    }

    proptest! {
        #[test]
        fn a_set_of_rows_is_a_set((a, rows_a) in set(), (b, rows_b) in set(), row in 0u32..70) {
            prop_assert!(same(&a, &rows_a));
            let mut both = a.clone();
            both.intersect(&b);
            prop_assert!(same(&both, &(&rows_a & &rows_b)));
            let mut either = a.clone();
            either.unite(&b);
            prop_assert!(same(&either, &(&rows_a | &rows_b)));
            let inverted = a.inverted();
            prop_assert!(same(&inverted, &(0..70).filter(|row| !rows_a.contains(row)).collect()));
            prop_assert_eq!(inverted == b, (0..70).all(|row| rows_a.contains(&row) != rows_b.contains(&row)));
            let (mut more, mut rows) = (inverted, rows_a);
            rows = (0..70).filter(|row| !rows.contains(row)).collect();
            more.insert(row);
            rows.insert(row);
            prop_assert!(same(&more, &rows));
        }
    }
}
