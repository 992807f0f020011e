//! An index over the values of one field: which rows have which value.
//!
//! Layer 4. Distinct values in order, and behind each the rows that have it: a comparison is a range of values, hence one
//! stretch of rows. Memory, built from the column when a predicate first asks for the field.

use super::select::RowSet;
use crate::types::payload::{Texts, Values};
use crate::types::predicate::{Bound, compare};
use crate::types::{Column, Value};
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

/// Distinct keys, ascending, and the rows of each.
#[derive(Default)]
struct Groups {
    firsts: Vec<u64>,
    ends: Vec<u32>,
    rows: Vec<u32>,
}

/// Groups keys with their rows by key.
fn group(mut entries: Vec<(u64, u32)>) -> Groups {
    entries.sort_unstable();
    let mut groups = Groups { rows: entries.iter().map(|entry| entry.1).collect(), ..Groups::default() };
    for same in entries.chunk_by(|a, b| a.0 == b.0) {
        groups.firsts.push(same[0].0);
        let start = groups.ends.last().copied().unwrap_or_default();
        groups.ends.push(start + same.len() as u32);
    }
    groups
}

/// Groups texts, each by its place among `texts` and its row. Their first eight bytes, as a number, decide most comparisons.
fn group_texts(texts: &Texts, places: impl Iterator<Item = (usize, u32)>) -> (Keys, Groups) {
    let mut entries: Vec<(u64, usize, u32)> = places.map(|(at, row)| (beginning(texts.get(at)), at, row)).collect();
    let order = |a: &(u64, usize, u32), b: &(u64, usize, u32)| {
        a.0.cmp(&b.0).then_with(|| texts.get(a.1).cmp(texts.get(b.1))).then(a.2.cmp(&b.2))
    };
    entries.sort_unstable_by(order);
    let mut keys = Texts::default();
    let mut groups = Groups { rows: entries.iter().map(|entry| entry.2).collect(), ..Groups::default() };
    for same in entries.chunk_by(|a, b| a.0 == b.0 && texts.get(a.1) == texts.get(b.1)) {
        keys.push(texts.get(same[0].1));
        let start = groups.ends.last().copied().unwrap_or_default();
        groups.ends.push(start + same.len() as u32);
    }
    (Keys::Texts(keys), groups)
}

/// The first eight bytes of a text, zeros behind its end: in no other order than texts.
fn beginning(text: &str) -> u64 {
    let mut bytes = [0; 8];
    let length = text.len().min(8);
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    u64::from_be_bytes(bytes)
}

const SIGN: u64 = 1 << 63;

/// An integer as one without a sign, in the same order.
fn in_order(value: i64) -> u64 {
    value as u64 ^ SIGN
}

fn from_order(key: u64) -> i64 {
    (key ^ SIGN) as i64
}

/// A float as a number in the same order. Zeros are one value; so are NaNs, which come last, and pass no test.
fn float_in_order(value: f64) -> u64 {
    if value.is_nan() {
        return u64::MAX;
    }
    // Adding a zero makes the negative one positive.
    let bits = (value + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn float_from_order(key: u64) -> f64 {
    if key == u64::MAX {
        return f64::NAN;
    }
    f64::from_bits(if key & SIGN == 0 { !key } else { key ^ SIGN })
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

impl ValueIndex {
    /// Indexes a column; one of JSON has only its presence.
    pub fn new(column: &Column) -> ValueIndex {
        let (there, values) = column.parts();
        let mut present = RowSet::empty(there.len());
        let rows = || (0..there.len()).filter(|&row| there[row]);
        rows().for_each(|row| present.insert(row as u32));
        let with = |key: &dyn Fn(usize) -> u64| rows().map(|row| (key(row), row as u32)).collect::<Vec<_>>();
        let (keys, Groups { ends, rows, .. }) = match values {
            Values::Bool(values) => {
                let groups = group(with(&|row| u64::from(values[row] != 0)));
                (Keys::Bools(groups.firsts.iter().map(|&key| key != 0).collect()), groups)
            }
            Values::Int(values) => {
                let groups = group(with(&|row| in_order(values[row])));
                (Keys::Ints(groups.firsts.iter().map(|&key| from_order(key)).collect()), groups)
            }
            Values::Timestamp(values) => {
                let groups = group(with(&|row| in_order(values[row])));
                (Keys::Timestamps(groups.firsts.iter().map(|&key| from_order(key)).collect()), groups)
            }
            Values::Float(values) => {
                let groups = group(with(&|row| float_in_order(values[row])));
                (Keys::Floats(groups.firsts.iter().map(|&key| float_from_order(key)).collect()), groups)
            }
            Values::Str(texts) => group_texts(texts, rows().map(|row| (row, row as u32))),
            Values::List(lists) => {
                let items = rows().flat_map(|row| lists.places(row).map(move |item| (item, row as u32)));
                group_texts(lists.items(), items)
            }
            Values::Json(_) => (Keys::Texts(Texts::default()), Groups::default()),
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FieldType;
    use crate::types::predicate::Literal;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_keep_their_order_as_keys(a in any::<i64>(), b in any::<i64>(), x in any::<f64>(), y in any::<f64>()) {
            prop_assert_eq!(a.cmp(&b), in_order(a).cmp(&in_order(b)));
            prop_assert_eq!(from_order(in_order(a)), a);
            if let Some(order) = x.partial_cmp(&y) {
                prop_assert_eq!(order, float_in_order(x).cmp(&float_in_order(y)));
                prop_assert_eq!(float_from_order(float_in_order(x)), x);
            }
        }

        #[test]
        fn a_range_selects_what_a_scan_does(
            texts in prop::collection::vec(prop::option::of("[a\\x00ä]{0,10}"), 0..20),
            floats in prop::collection::vec(prop::sample::select(vec![f64::NAN, -0.0, 0.0, -1.5, 2.0, f64::INFINITY]), 0..20),
            (low, high) in ("[a\\x00ä]{0,10}", "[a\\x00ä]{0,10}"),
            start in "[aä]{0,2}",
            number in prop::sample::select(vec![-2.0, -0.0, 0.0, 2.0]),
        ) {
            let mut column = Column::new(FieldType::Str);
            texts.iter().for_each(|text| column.push(text.as_deref().map_or(Value::Null, Value::Str)));
            let [low, high] = [low, high].map(Literal::Str);
            let bound = Bound { low: Some((&low, true)), high: Some((&high, false)) };
            check(&column, &bound);
            let (index, mut found) = (ValueIndex::new(&column), RowSet::empty(column.len()));
            index.select_start(&start, &mut found);
            let wanted: Vec<u32> = (0..texts.len())
                .filter(|&row| texts[row].as_deref().is_some_and(|text| text.starts_with(&start)))
                .map(|row| row as u32)
                .collect();
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), wanted);

            let mut column = Column::new(FieldType::Float);
            floats.iter().for_each(|&value| column.push(Value::Float(value)));
            let number = Literal::Float(number);
            check(&column, &Bound { low: Some((&number, true)), high: None });
            check(&column, &Bound { low: None, high: Some((&number, false)) });
            check(&column, &Bound { low: Some((&number, true)), high: Some((&number, true)) });
        }
    }

    /// Compares the rows within a bound with those that a scan finds.
    fn check(column: &Column, bound: &Bound<'_>) {
        let mut found = RowSet::empty(column.len());
        ValueIndex::new(column).select(bound, &mut found);
        let holds = |row: &usize| column.get(*row) != Value::Null && bound.holds(column.get(*row));
        let wanted: Vec<u32> = (0..column.len()).filter(holds).map(|row| row as u32).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{bound:?} in {column:?}");
    }
}
