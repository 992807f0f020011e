//! An index over the values of one field: which rows have which value.
//!
//! Layer 4. Distinct values in order, and behind each the rows that have it: a comparison is a range of values, hence one
//! stretch of rows. Memory, built from the column when a predicate first asks for the field.

use super::select::RowSet;
use crate::types::payload::Texts;
use crate::types::predicate::{Bound, compare};
use crate::types::{Column, FieldType, Value};
use std::cmp::Ordering;
use std::ops::Range;

/// Distinct values, ascending.
enum Keys {
    Bools(Vec<bool>),
    Ints(Vec<i64>),
    Timestamps(Vec<i64>),
    Floats(Vec<f64>),
    Texts(Texts),
}

/// Rows by value.
pub struct ValueIndex {
    keys: Keys,
    /// End of the rows of each key.
    ends: Vec<u32>,
    rows: Vec<u32>,
    /// Rows that have a value.
    present: RowSet,
}

/// Orders values of one type; floats in their total order.
fn order(a: Value<'_>, b: Value<'_>) -> Ordering {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(&b),
        (Value::Int(a), Value::Int(b)) | (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(&b),
        // Zeros are one value; a NaN comes last, and passes no test.
        (Value::Float(a), Value::Float(b)) => match a.partial_cmp(&b) {
            Some(order) => order,
            None => a.is_nan().cmp(&b.is_nan()),
        },
        (Value::Str(a), Value::Str(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

impl ValueIndex {
    /// Indexes a column; one of JSON has only its presence.
    pub fn new(column: &Column) -> ValueIndex {
        let mut present = RowSet::empty(column.len());
        let mut entries: Vec<(Value<'_>, u32)> = Vec::with_capacity(column.len());
        for row in 0..column.len() {
            match column.get(row) {
                Value::Null => continue,
                Value::List(lists, at) => entries.extend(lists.get(at).map(|item| (Value::Str(item), row as u32))),
                Value::Json(_) => {}
                value => entries.push((value, row as u32)),
            }
            present.insert(row as u32);
        }
        entries.sort_unstable_by(|a, b| order(a.0, b.0).then(a.1.cmp(&b.1)));
        let mut keys = match column.kind() {
            FieldType::Bool => Keys::Bools(Vec::new()),
            FieldType::Int => Keys::Ints(Vec::new()),
            FieldType::Float => Keys::Floats(Vec::new()),
            FieldType::Timestamp => Keys::Timestamps(Vec::new()),
            FieldType::Str | FieldType::List | FieldType::Json => Keys::Texts(Texts::default()),
        };
        let mut ends = Vec::new();
        let mut rows = Vec::with_capacity(entries.len());
        for same in entries.chunk_by(|a, b| order(a.0, b.0) == Ordering::Equal) {
            keys.push(same[0].0);
            rows.extend(same.iter().map(|(_, row)| *row));
            ends.push(rows.len() as u32);
        }
        ValueIndex { keys, ends, rows, present }
    }

    /// Rows that have a value.
    pub fn present(&self) -> &RowSet {
        &self.present
    }

    /// Adds the rows whose value is within a bound.
    pub fn select(&self, bound: &Bound<'_>, out: &mut RowSet) {
        self.add(self.range(bound), out);
    }

    /// Adds the rows whose text begins with `start`.
    pub fn select_start(&self, start: &str, out: &mut RowSet) {
        if let Keys::Texts(texts) = &self.keys {
            let first = partition(texts.len(), |at| texts.get(at) < start);
            let length = partition(texts.len() - first, |at| texts.get(first + at).starts_with(start));
            self.add(first..first + length, out);
        }
    }

    /// The least value, of those above `after` if there is one, that a row which passes has; of columns of timestamps.
    pub fn least(&self, after: Option<i64>, pass: impl Fn(u32) -> bool) -> Option<i64> {
        let Keys::Timestamps(keys) = &self.keys else { return None };
        let first = after.map_or(0, |after| keys.partition_point(|&key| key <= after));
        let start = |at: usize| if at == 0 { 0 } else { self.ends[at - 1] as usize };
        (first..keys.len())
            .find(|&at| self.rows[start(at)..self.ends[at] as usize].iter().any(|&row| pass(row)))
            .map(|at| keys[at])
    }

    /// Bytes of heap memory in use.
    pub fn bytes(&self) -> usize {
        let keys = match &self.keys {
            Keys::Bools(keys) => keys.capacity(),
            Keys::Ints(keys) | Keys::Timestamps(keys) => 8 * keys.capacity(),
            Keys::Floats(keys) => 8 * keys.capacity(),
            Keys::Texts(keys) => keys.bytes(),
        };
        keys + 4 * (self.ends.capacity() + self.rows.capacity()) + self.present.bytes()
    }

    fn add(&self, keys: Range<usize>, out: &mut RowSet) {
        if keys.is_empty() {
            return;
        }
        let start = if keys.start == 0 { 0 } else { self.ends[keys.start - 1] as usize };
        self.rows[start..self.ends[keys.end - 1] as usize].iter().for_each(|&row| out.insert(row));
    }

    /// Places of the keys within a bound.
    fn range(&self, bound: &Bound<'_>) -> Range<usize> {
        let count = self.ends.len();
        let literals = [bound.low, bound.high].into_iter().flatten();
        let comparable = |literal| count > 0 && compare(self.keys.get(0), literal).is_some();
        if literals.clone().count() == 0 || !literals.into_iter().all(|(literal, _)| comparable(literal)) {
            // NaN stands behind all other floats: a first key of NaN means that there is nothing else.
            return 0..0;
        }
        let numbers = match &self.keys {
            Keys::Floats(keys) if keys.last().is_some_and(|last| last.is_nan()) => count - 1,
            _ => count,
        };
        let start = bound.low.map_or(0, |(literal, itself)| {
            partition(numbers, |at| match compare(self.keys.get(at), literal) {
                Some(Ordering::Less) => true,
                Some(Ordering::Equal) => !itself,
                _ => false,
            })
        });
        let end = bound.high.map_or(numbers, |(literal, itself)| {
            partition(numbers, |at| match compare(self.keys.get(at), literal) {
                Some(Ordering::Less) => true,
                Some(Ordering::Equal) => itself,
                _ => false,
            })
        });
        start..end.max(start)
    }
}

/// The first of `count` places for which `before` is false.
fn partition(count: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

impl Keys {
    fn push(&mut self, value: Value<'_>) {
        match (self, value) {
            (Keys::Bools(keys), Value::Bool(key)) => keys.push(key),
            (Keys::Ints(keys), Value::Int(key)) => keys.push(key),
            (Keys::Timestamps(keys), Value::Timestamp(key)) => keys.push(key),
            (Keys::Floats(keys), Value::Float(key)) => keys.push(key),
            (Keys::Texts(keys), Value::Str(key)) => keys.push(key),
            _ => unreachable!("a column has one type"),
        }
    }

    fn get(&self, at: usize) -> Value<'_> {
        match self {
            Keys::Bools(keys) => Value::Bool(keys[at]),
            Keys::Ints(keys) => Value::Int(keys[at]),
            Keys::Timestamps(keys) => Value::Timestamp(keys[at]),
            Keys::Floats(keys) => Value::Float(keys[at]),
            Keys::Texts(keys) => Value::Str(keys.get(at)),
        }
    }
}
