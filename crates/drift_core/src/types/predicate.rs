//! Predicates: which rows a search, a count or a delete is about, by their payload.
//!
//! Layer 0. Two-valued: a test of a field that a row lacks is false, and what negates it is true. A test of a list holds
//! when it holds for one of its items. Ints and floats compare by value; values of other types never equal each other.

mod fields;
mod json;
mod values;

use super::payload::{Columns, FieldType, Value};
use crate::error::{Error, Result};

pub use fields::{resolve, split};
pub use values::{Bound, compare};

/// Deepest nesting of a predicate: it is walked by recursion.
pub const DEPTH_MAX: usize = 64;

/// Most tests of a predicate, and most values of an `In`: each is looked up on its own.
pub const TESTS_MAX: usize = 65_536;

/// A value to compare with.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A bool.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A text.
    Str(String),
    /// Microseconds since 1970 UTC.
    Timestamp(i64),
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

/// What is asked of one field.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Compares as said with the literal.
    Compare(Comparison, Literal),
    /// Equals one of these.
    In(Vec<Literal>),
    /// Is not below the first and not above the second.
    Between(Literal, Literal),
    /// A text with this part, or a list with this item.
    Contains(Literal),
    /// A text that begins so.
    StartsWith(String),
    /// The row has the field.
    Exists,
}

/// Which rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// All of these hold.
    And(Vec<Predicate>),
    /// One of these holds.
    Or(Vec<Predicate>),
    /// This does not hold.
    Not(Box<Predicate>),
    /// A field, by name or by a path into a JSON field, passes a test.
    Test(String, Test),
}

impl Predicate {
    /// Checks depth and size.
    pub fn validate(&self) -> Result<()> {
        let mut tests = 0;
        self.count(1, &mut tests)
    }

    fn count(&self, depth: usize, tests: &mut usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(Error::invalid(format!("the filter is nested deeper than {DEPTH_MAX}: flatten it")));
        }
        match self {
            Predicate::And(parts) | Predicate::Or(parts) => {
                parts.iter().try_for_each(|part| part.count(depth + 1, tests))?;
            }
            Predicate::Not(part) => part.count(depth + 1, tests)?,
            Predicate::Test(_, Test::In(values)) => *tests += values.len(),
            Predicate::Test(..) => *tests += 1,
        }
        if *tests > TESTS_MAX {
            return Err(Error::invalid(format!("the filter has more than {TESTS_MAX} tests: ask several times")));
        }
        Ok(())
    }

    /// Whether a row of `columns` satisfies it.
    pub fn holds(&self, columns: Option<&Columns>, row: usize) -> bool {
        match self {
            Predicate::And(parts) => parts.iter().all(|part| part.holds(columns, row)),
            Predicate::Or(parts) => parts.iter().any(|part| part.holds(columns, row)),
            Predicate::Not(part) => !part.holds(columns, row),
            Predicate::Test(name, test) => columns.is_some_and(|columns| match columns.get(name) {
                Some(column) => test.holds(column.get(row)),
                None => split(name, |name| columns.get(name).filter(|column| column.kind() == FieldType::Json))
                    .is_some_and(|(column, path)| test.holds_within(column.get(row), path)),
            }),
        }
    }
}

impl Test {
    /// Whether a value passes.
    pub fn holds(&self, value: Value<'_>) -> bool {
        match value {
            Value::Null => false,
            Value::Json(text) => *self == Test::Exists || json::holds(self, text, None),
            Value::List(lists, at) => match self {
                Test::Exists => true,
                Test::Contains(Literal::Str(wanted)) => lists.get(at).any(|item| item == wanted),
                test => lists.get(at).any(|item| test.holds(Value::Str(item))),
            },
            value => self.holds_for_one(value),
        }
    }

    /// Whether what stands at a path of a JSON value passes.
    pub fn holds_within(&self, value: Value<'_>, path: &str) -> bool {
        match value {
            Value::Json(text) => json::holds(self, text, Some(path)),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
