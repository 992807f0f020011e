//! One field of some rows.
//!
//! Layer 0.

use super::{FieldType, Lists, Texts};
use memchr::memmem::Finder;
use std::ops::Range;

/// One value.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// The row lacks the field.
    Null,
    /// See [`FieldType::Bool`].
    Bool(bool),
    /// See [`FieldType::Int`].
    Int(i64),
    /// See [`FieldType::Float`].
    Float(f64),
    /// See [`FieldType::Str`].
    Str(&'a str),
    /// See [`FieldType::Timestamp`].
    Timestamp(i64),
    /// See [`FieldType::List`]: the list at a place.
    List(&'a Lists, usize),
    /// See [`FieldType::Json`].
    Json(&'a str),
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Value<'_>) -> bool {
        match (*self, *other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) | (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Str(a), Value::Str(b)) | (Value::Json(a), Value::Json(b)) => a == b,
            (Value::List(a, at), Value::List(b, bt)) => a.get(at).eq(b.get(bt)),
            _ => false,
        }
    }
}

/// Values of one type.
#[derive(Clone, Debug)]
pub(crate) enum Values {
    Bool(Vec<u8>),
    Int(Vec<i64>),
    Float(Vec<f64>),
    Str(Texts),
    Timestamp(Vec<i64>),
    List(Lists),
    Json(Texts),
}

/// A column of values, some of which may be missing.
#[derive(Clone, Debug)]
pub struct Column {
    present: Vec<bool>,
    values: Values,
}

impl PartialEq for Column {
    fn eq(&self, other: &Column) -> bool {
        self.kind() == other.kind()
            && self.len() == other.len()
            && (0..self.len()).all(|row| self.get(row) == other.get(row))
    }
}

impl Column {
    /// An empty column.
    pub fn new(kind: FieldType) -> Column {
        let values = match kind {
            FieldType::Bool => Values::Bool(Vec::new()),
            FieldType::Int => Values::Int(Vec::new()),
            FieldType::Float => Values::Float(Vec::new()),
            FieldType::Str => Values::Str(Texts::default()),
            FieldType::Timestamp => Values::Timestamp(Vec::new()),
            FieldType::List => Values::List(Lists::default()),
            FieldType::Json => Values::Json(Texts::default()),
        };
        Column { present: Vec::new(), values }
    }

    /// A column of `rows` missing values.
    pub fn missing(kind: FieldType, rows: usize) -> Column {
        let mut column = Column::new(kind);
        column.extend_missing(rows);
        column
    }

    /// From its parts, which are equally long; none otherwise.
    pub(crate) fn from_parts(present: Vec<bool>, values: Values) -> Option<Column> {
        let column = Column { present, values };
        (column.values_len() == column.present.len()).then_some(column)
    }

    /// Whether each row has a value, and the values.
    pub(crate) fn parts(&self) -> (&[bool], &Values) {
        (&self.present, &self.values)
    }

    /// Type of the values.
    pub fn kind(&self) -> FieldType {
        match &self.values {
            Values::Bool(_) => FieldType::Bool,
            Values::Int(_) => FieldType::Int,
            Values::Float(_) => FieldType::Float,
            Values::Str(_) => FieldType::Str,
            Values::Timestamp(_) => FieldType::Timestamp,
            Values::List(_) => FieldType::List,
            Values::Json(_) => FieldType::Json,
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.present.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// Whether no row has a value.
    pub fn is_blank(&self) -> bool {
        !self.present.iter().any(|present| *present)
    }

    /// The first integer that no float is equal to.
    pub fn find_inexact(&self) -> Option<i64> {
        let Values::Int(values) = &self.values else { return None };
        let is_inexact = |value: &i64| {
            value.unsigned_abs() > 1 << f64::MANTISSA_DIGITS && i128::from(*value) != (*value as f64) as i128
        };
        values.iter().copied().find(is_inexact)
    }

    /// The value at `row`. Panics when `row >= len`.
    pub fn get(&self, row: usize) -> Value<'_> {
        if !self.present[row] {
            return Value::Null;
        }
        match &self.values {
            Values::Bool(values) => Value::Bool(values[row] != 0),
            Values::Int(values) => Value::Int(values[row]),
            Values::Float(values) => Value::Float(values[row]),
            Values::Str(values) => Value::Str(values.get(row)),
            Values::Timestamp(values) => Value::Timestamp(values[row]),
            Values::List(values) => Value::List(values, row),
            Values::Json(values) => Value::Json(values.get(row)),
        }
    }

    /// Appends a value. Panics when it is of another type: callers check types at the door. Ints become floats in a column
    /// of floats.
    pub fn push(&mut self, value: Value<'_>) {
        self.present.push(value != Value::Null);
        match (&mut self.values, value) {
            (Values::Bool(values), Value::Bool(value)) => values.push(u8::from(value)),
            (Values::Int(values), Value::Int(value)) => values.push(value),
            (Values::Float(values), Value::Float(value)) => values.push(value),
            (Values::Float(values), Value::Int(value)) => values.push(value as f64),
            (Values::Str(values), Value::Str(value)) => values.push(value),
            (Values::Timestamp(values), Value::Timestamp(value)) => values.push(value),
            (Values::List(values), Value::List(lists, at)) => values.push(lists.get(at)),
            (Values::Json(values), Value::Json(value)) => values.push(value),
            (Values::Bool(values), Value::Null) => values.push(0),
            (Values::Int(values) | Values::Timestamp(values), Value::Null) => values.push(0),
            (Values::Float(values), Value::Null) => values.push(0.0),
            (Values::Str(values) | Values::Json(values), Value::Null) => values.push(""),
            (Values::List(values), Value::Null) => values.push(std::iter::empty()),
            _ => panic!("invariant: the value's type was checked against the column's"),
        }
    }

    /// Appends a list.
    pub fn push_list<'a>(&mut self, list: impl Iterator<Item = &'a str>) {
        let Values::List(values) = &mut self.values else {
            panic!("invariant: the value's type was checked against the column's")
        };
        values.push(list);
        self.present.push(true);
    }

    /// The values of some rows. Panics when one of them is `>= len`.
    pub fn slice(&self, rows: Range<usize>) -> Column {
        let mut part = Column::new(self.kind());
        part.append(self, rows);
        part
    }

    /// Appends the values of `more`, which is of the same type, or of ints where this one is of floats.
    pub fn extend(&mut self, more: &Column) {
        self.append(more, 0..more.len());
    }

    /// Appends some values of `more`, runs of those that are there at once. What a row had that was removed is left behind.
    fn append(&mut self, more: &Column, rows: Range<usize>) {
        let mut first = rows.start;
        for run in more.present[rows].chunk_by(|a, b| a == b) {
            let rows = first..first + run.len();
            first = rows.end;
            if !run[0] || !self.append_present(more, rows.clone()) {
                rows.for_each(|row| self.push(more.get(row)));
            }
        }
    }

    /// Appends values that are all there; false where the types differ.
    fn append_present(&mut self, more: &Column, rows: Range<usize>) -> bool {
        let count = rows.len();
        match (&mut self.values, &more.values) {
            (Values::Bool(own), Values::Bool(more)) => own.extend_from_slice(&more[rows]),
            (Values::Int(own), Values::Int(more)) => own.extend_from_slice(&more[rows]),
            (Values::Timestamp(own), Values::Timestamp(more)) => own.extend_from_slice(&more[rows]),
            (Values::Float(own), Values::Float(more)) => own.extend_from_slice(&more[rows]),
            (Values::Str(own), Values::Str(more)) | (Values::Json(own), Values::Json(more)) => own.append(more, rows),
            (Values::List(own), Values::List(more)) => own.append(more, rows),
            _ => return false,
        }
        self.present.resize(self.present.len() + count, true);
        true
    }

    /// The rows, ascending, whose text has a part that is not empty; none of a column of another type.
    pub fn find(&self, part: &Finder<'_>, mut found: impl FnMut(usize)) {
        if let Values::Str(texts) = &self.values {
            texts.find(part, |row| {
                if self.present[row] {
                    found(row)
                }
            });
        }
    }

    /// Makes the value at `row` a missing one. Panics when `row >= len`.
    pub fn remove(&mut self, row: usize) {
        self.present[row] = false;
    }

    /// Appends missing values up to `rows`.
    pub fn extend_missing(&mut self, rows: usize) {
        while self.len() < rows {
            self.push(Value::Null);
        }
    }

    /// Turns a column of ints into one of floats when floats are to come.
    pub fn meet(&mut self, kind: FieldType) {
        if let (Values::Int(values), FieldType::Float) = (&self.values, kind) {
            self.values = Values::Float(values.iter().map(|&value| value as f64).collect());
        }
    }

    /// Bytes of heap memory in use.
    pub fn bytes(&self) -> usize {
        self.present.capacity()
            + match &self.values {
                Values::Bool(values) => values.capacity(),
                Values::Int(values) | Values::Timestamp(values) => 8 * values.capacity(),
                Values::Float(values) => 8 * values.capacity(),
                Values::Str(values) | Values::Json(values) => values.bytes(),
                Values::List(values) => values.bytes(),
            }
    }

    fn values_len(&self) -> usize {
        match &self.values {
            Values::Bool(values) => values.len(),
            Values::Int(values) | Values::Timestamp(values) => values.len(),
            Values::Float(values) => values.len(),
            Values::Str(values) | Values::Json(values) => values.len(),
            Values::List(values) => values.len(),
        }
    }
}
