//! Tests of single values.
//!
//! Layer 0.

use super::{Comparison, Literal, Test, Value};
use std::cmp::Ordering;

/// Compares a value with a literal of its type; none when they are of different types, or one is not a number.
pub fn compare(value: Value<'_>, literal: &Literal) -> Option<Ordering> {
    match (value, literal) {
        (Value::Bool(a), Literal::Bool(b)) => Some(a.cmp(b)),
        (Value::Int(a), Literal::Int(b)) | (Value::Timestamp(a), Literal::Timestamp(b)) => Some(a.cmp(b)),
        (Value::Int(a), Literal::Float(b)) => compare_int(a, *b),
        (Value::Float(a), Literal::Int(b)) => compare_int(*b, a).map(Ordering::reverse),
        (Value::Float(a), Literal::Float(b)) => a.partial_cmp(b),
        (Value::Str(a), Literal::Str(b)) => Some(a.cmp(b.as_str())),
        _ => None,
    }
}

/// Compares by value, beyond 2^53 too.
fn compare_int(int: i64, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // Between -2^63 and 2^63 the whole part fits an i64.
    if float >= 9_223_372_036_854_775_808.0 {
        return Some(Ordering::Less);
    }
    if float < -9_223_372_036_854_775_808.0 {
        return Some(Ordering::Greater);
    }
    let whole = float.floor();
    Some(int.cmp(&(whole as i64)).then(if float > whole { Ordering::Less } else { Ordering::Equal }))
}

/// Values from one literal, or behind it, up to another, or before it.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    /// The least: the literal, and whether it is itself within.
    pub low: Option<(&'a Literal, bool)>,
    /// The greatest.
    pub high: Option<(&'a Literal, bool)>,
}

impl Test {
    /// The values that pass, as ranges; none where they are no ranges.
    pub fn bounds(&self) -> Option<Vec<Bound<'_>>> {
        let within = |literal| Bound { low: Some((literal, true)), high: Some((literal, true)) };
        Some(match self {
            Test::Compare(Comparison::Eq, literal) => vec![within(literal)],
            Test::Compare(Comparison::Lt, literal) => vec![Bound { low: None, high: Some((literal, false)) }],
            Test::Compare(Comparison::Le, literal) => vec![Bound { low: None, high: Some((literal, true)) }],
            Test::Compare(Comparison::Gt, literal) => vec![Bound { low: Some((literal, false)), high: None }],
            Test::Compare(Comparison::Ge, literal) => vec![Bound { low: Some((literal, true)), high: None }],
            Test::In(literals) => literals.iter().map(within).collect(),
            Test::Between(low, high) => vec![Bound { low: Some((low, true)), high: Some((high, true)) }],
            Test::Contains(_) | Test::StartsWith(_) | Test::Exists => return None,
        })
    }

    /// Whether one value, which is there and no list, passes.
    pub(super) fn holds_for_one(&self, value: Value<'_>) -> bool {
        match self {
            Test::Exists => true,
            Test::Contains(Literal::Str(part)) => matches!(value, Value::Str(text) if text.contains(part)),
            Test::Contains(_) => false,
            Test::StartsWith(start) => matches!(value, Value::Str(text) if text.starts_with(start)),
            test => test.bounds().is_some_and(|bounds| bounds.iter().any(|bound| bound.holds(value))),
        }
    }
}

impl Bound<'_> {
    /// Whether no value from `low` to `high` is within; values that cannot be compared with the bound are not known to be.
    pub fn excludes(&self, low: Value<'_>, high: Value<'_>) -> bool {
        let below = |(literal, itself): (&Literal, bool)| match compare(high, literal) {
            Some(Ordering::Less) => true,
            Some(Ordering::Equal) => !itself,
            _ => false,
        };
        let above = |(literal, itself): (&Literal, bool)| match compare(low, literal) {
            Some(Ordering::Greater) => true,
            Some(Ordering::Equal) => !itself,
            _ => false,
        };
        self.low.is_some_and(below) || self.high.is_some_and(above)
    }

    /// Whether a value is within.
    pub fn holds(&self, value: Value<'_>) -> bool {
        let above = |(literal, itself): (&Literal, bool)| match compare(value, literal) {
            Some(Ordering::Greater) => true,
            Some(Ordering::Equal) => itself,
            _ => false,
        };
        let below = |(literal, itself): (&Literal, bool)| match compare(value, literal) {
            Some(Ordering::Less) => true,
            Some(Ordering::Equal) => itself,
            _ => false,
        };
        self.low.is_none_or(above) && self.high.is_none_or(below)
    }
}
