//! Payload: typed columns of what rows carry beside id and vector.
//!
//! Layer 0. A field has one type in a collection; a row may lack any field. [`Columns`] are the payload of some rows in
//! their order: what one write brings, what a segment stores, what a lookup returns.

mod column;
mod text;

pub(crate) use column::Values;
pub use column::{Column, Value};
pub use text::{Lists, Texts};

use super::EXPIRES_FIELD;
use crate::error::{Error, Result};
use std::borrow::Cow;

/// Most fields of a collection: each costs a section in every segment.
pub const FIELDS_MAX: usize = 1_024;

/// Longest name of a field in bytes: names stand in every log record.
pub const FIELD_NAME_BYTES_MAX: usize = 255;

/// Type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// True or false.
    Bool,
    /// 64-bit signed integer.
    Int,
    /// IEEE 754 binary64.
    Float,
    /// UTF-8 text.
    Str,
    /// Microseconds since 1970 UTC, 64-bit signed.
    Timestamp,
    /// List of texts.
    List,
    /// Any JSON value, as text.
    Json,
}

impl FieldType {
    /// All types, in the order of their codes on disk.
    const ALL: [FieldType; 7] = [
        FieldType::Bool,
        FieldType::Int,
        FieldType::Float,
        FieldType::Str,
        FieldType::Timestamp,
        FieldType::List,
        FieldType::Json,
    ];

    /// The name used in the Python API and in files.
    pub fn name(self) -> &'static str {
        match self {
            FieldType::Bool => "bool",
            FieldType::Int => "int",
            FieldType::Float => "float",
            FieldType::Str => "str",
            FieldType::Timestamp => "timestamp",
            FieldType::List => "list",
            FieldType::Json => "json",
        }
    }

    /// Reads a name as [`FieldType::name`] writes it.
    pub fn parse(name: &str) -> Result<FieldType> {
        FieldType::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            Error::invalid(format!("unknown field type {name:?}: use bool, int, float, str, timestamp, list or json"))
        })
    }

    /// Whether a column of this type takes values of another: its own ones, and floats take ints.
    pub fn takes(self, given: FieldType) -> bool {
        self == given || (self, given) == (FieldType::Float, FieldType::Int)
    }

    /// Its code on disk, from 1.
    pub fn code(self) -> u8 {
        1 + FieldType::ALL.iter().position(|kind| *kind == self).expect("invariant: all types are listed") as u8
    }

    /// Reads a code as [`FieldType::code`] gives it.
    pub fn from_code(code: u8) -> Option<FieldType> {
        FieldType::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }
}

/// A field of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: FieldType,
}

/// The fields of a collection, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// The fields.
    pub list: Vec<Field>,
    /// Whether writes may bring no others.
    pub is_fixed: bool,
}

impl Fields {
    /// The type of a field.
    pub fn kind(&self, name: &str) -> Option<FieldType> {
        self.list.iter().find(|field| field.name == name).map(|field| field.kind)
    }

    /// The fields after `columns` came, whose types it follows: an int field that is given floats becomes a float field,
    /// unless fields are fixed. None when nothing changes.
    pub fn grown(&self, columns: &Columns) -> Result<Option<Fields>> {
        let mut grown: Option<Fields> = None;
        for (name, column) in columns.iter() {
            let now = grown.as_ref().unwrap_or(self);
            let place = now.list.iter().position(|field| field.name == name);
            let known = place.map(|place| now.list[place].kind);
            if name == EXPIRES_FIELD && column.kind() != FieldType::Timestamp {
                return Err(Error::invalid(format!(
                    "field {name:?} is the moment at which a row expires: it must be timestamp, not {}",
                    column.kind().name()
                )));
            }
            let next = match (known, column.kind()) {
                (Some(known), given) if known.takes(given) => continue,
                (Some(FieldType::Int), FieldType::Float) if !self.is_fixed => FieldType::Float,
                (Some(known), given) => {
                    let row = (0..column.len()).find(|&row| column.get(row) != Value::Null).unwrap_or_default();
                    return Err(Error::invalid(format!(
                        "field {name:?} is {}, but row {row} has a value of type {}: convert it, or use another field",
                        known.name(),
                        given.name()
                    )));
                }
                (None, _) if self.is_fixed && name != EXPIRES_FIELD => {
                    let names: Vec<&str> = self.list.iter().map(|field| field.name.as_str()).collect();
                    return Err(Error::invalid(format!(
                        "there is no field {name:?}: the collection was created with the fields {names:?}"
                    )));
                }
                (None, given) => given,
            };
            check_name(name)?;
            let fields = grown.get_or_insert_with(|| self.clone());
            match place {
                Some(place) => fields.list[place].kind = next,
                None => fields.list.push(Field { name: name.to_owned(), kind: next }),
            }
            if fields.list.len() > FIELDS_MAX {
                return Err(Error::invalid(format!(
                    "field {name:?} would be one more than {FIELDS_MAX}: put rare ones into one json field"
                )));
            }
        }
        Ok(grown)
    }

    /// These and others that have grown apart from them.
    pub fn joined(&self, others: &Fields) -> Result<Fields> {
        let mut columns = Columns::new(0);
        for Field { name, kind } in &others.list {
            columns.add(name, Column::new(*kind))?;
        }
        Ok(self.grown(&columns)?.unwrap_or_else(|| self.clone()))
    }

    /// Fields of ints here that are fields of floats in `grown`.
    pub fn widened<'a>(&'a self, grown: &'a Fields) -> impl Iterator<Item = &'a str> {
        let is_wider =
            |field: &&Field| field.kind == FieldType::Int && grown.kind(&field.name) == Some(FieldType::Float);
        self.list.iter().filter(is_wider).map(|field| field.name.as_str())
    }
}

/// Checks the name of a field.
pub fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > FIELD_NAME_BYTES_MAX {
        return Err(Error::invalid(format!(
            "a field name has {} bytes: names have 1 to {FIELD_NAME_BYTES_MAX}",
            name.len()
        )));
    }
    Ok(())
}

/// Timestamps that there may be, in microseconds since 1970: those of the years 1 to 9999, which whoever reads them can represent.
const TIMESTAMPS: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// Payload of some rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    rows: usize,
    columns: Vec<(String, Column)>,
}

impl Columns {
    /// The payload of `rows` rows that have none yet.
    pub fn new(rows: usize) -> Columns {
        Columns { rows, columns: Vec::new() }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The first value that could be stored but not be read again, or not by filters: its row, and what is wrong with it.
    pub fn find_bad_value(&self) -> Option<(usize, String)> {
        let bad = |column: &Column, row: usize| match column.get(row) {
            Value::Timestamp(time) if !TIMESTAMPS.contains(&time) => {
                Some(format!("a moment {time} us from 1970: timestamps are of the years 1 to 9999"))
            }
            Value::Json(text) => serde_json::from_str::<serde_json::Value>(text)
                .err()
                .map(|error| format!("a value that is no JSON as drift reads it ({error})")),
            _ => None,
        };
        let columns = self.iter().filter(|(name, column)| {
            matches!(column.kind(), FieldType::Timestamp | FieldType::Json) && *name != EXPIRES_FIELD
        });
        let mut found = columns.filter_map(|(name, column)| {
            (0..column.len()).find_map(|row| Some((row, format!("field {name:?} has {}", bad(column, row)?))))
        });
        found.next()
    }

    /// These without the columns that have no value and whose field is not there or has another type: what is no value has no type.
    pub fn telling(&self, fields: &Fields) -> Cow<'_, Columns> {
        let is_told = |&(name, column): &(&str, &Column)| {
            let is_unknown = fields.kind(name).map_or(!fields.is_fixed, |known| !known.takes(column.kind()));
            !is_unknown || name == EXPIRES_FIELD || !column.is_blank()
        };
        if self.iter().all(|column| is_told(&column)) {
            return Cow::Borrowed(self);
        }
        let told = self.iter().filter(is_told).map(|(name, column)| (name.to_owned(), column.clone()));
        Cow::Owned(Columns { rows: self.rows, columns: told.collect() })
    }

    /// Adds a column, which must be as long as the others and of a new name.
    pub fn add(&mut self, name: &str, column: Column) -> Result<()> {
        check_name(name)?;
        if column.len() != self.rows {
            let (given, rows) = (column.len(), self.rows);
            return Err(Error::invalid(format!("field {name:?} has {given} values for {rows} rows: give one each")));
        }
        if self.get(name).is_some() {
            return Err(Error::invalid(format!("field {name:?} is given twice")));
        }
        self.columns.push((name.to_owned(), column));
        Ok(())
    }

    /// A column by name.
    pub fn get(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(own, _)| own == name).map(|(_, column)| column)
    }

    /// Names and columns.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Column)> {
        self.columns.iter().map(|(name, column)| (name.as_str(), column))
    }

    /// Bytes of heap memory in use, about.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(|(name, column)| name.len() + column.bytes()).sum()
    }

    /// Appends the rows of `more`, whose columns need not be the same: what one of the two lacks is missing there. An int
    /// column meets floats as a float column.
    pub fn append(&mut self, more: &Columns) {
        for (name, column) in more.iter() {
            let place = self.columns.iter().position(|(own, _)| own == name).unwrap_or_else(|| {
                self.columns.push((name.to_owned(), Column::missing(column.kind(), self.rows)));
                self.columns.len() - 1
            });
            let own = &mut self.columns[place].1;
            own.meet(column.kind());
            own.extend(column);
        }
        self.rows += more.rows;
        self.columns.iter_mut().for_each(|(_, column)| column.extend_missing(self.rows));
    }

    /// The same rows with the values of `changes`, of the same rows, in place of their own, and without those `removed` (row and
    /// field). Types are the same in both, but for ints that meet floats.
    pub fn updated(&self, changes: &Columns, removed: &[(usize, String)]) -> Result<Columns> {
        let mut updated = Columns::new(self.rows);
        for (name, own) in self.iter() {
            let change = changes.get(name);
            let mut column = Column::new(own.kind());
            column.meet(change.map_or(own.kind(), Column::kind));
            for row in 0..self.rows {
                match change.map_or(Value::Null, |change| change.get(row)) {
                    Value::Null => column.push(own.get(row)),
                    value => column.push(value),
                }
            }
            updated.add(name, column)?;
        }
        for (name, change) in changes.iter().filter(|(name, _)| self.get(name).is_none()) {
            updated.add(name, change.clone())?;
        }
        for (row, name) in removed {
            if let Some((_, column)) = updated.columns.iter_mut().find(|(own, _)| own == name) {
                column.remove(*row);
            }
        }
        Ok(updated)
    }

    /// The same rows, those that lack the field `name` with `value`; the same when none lacks it, or its values are of another
    /// type, which is for [`Fields::grown`] to refuse.
    pub fn filled(&self, name: &str, value: Value<'_>, kind: FieldType) -> Option<Columns> {
        let given = self.get(name);
        let fits = |own: &Column| own.kind() == kind && (0..self.rows).any(|row| own.get(row) == Value::Null);
        if !given.is_none_or(fits) {
            return None;
        }
        let mut column = Column::new(kind);
        for row in 0..self.rows {
            match given.map_or(Value::Null, |own| own.get(row)) {
                Value::Null => column.push(value),
                own => column.push(own),
            }
        }
        let mut filled = self.clone();
        filled.columns.retain(|(own, _)| own != name);
        filled.columns.push((name.to_owned(), column));
        Some(filled)
    }

    /// Appends one row of `more`; none: a row without any field.
    pub fn push_row(&mut self, more: Option<(&Columns, usize)>) {
        if let Some((more, row)) = more {
            for (name, column) in more.iter() {
                let value = column.get(row);
                if value == Value::Null {
                    continue;
                }
                let place = self.columns.iter().position(|(own, _)| own == name).unwrap_or_else(|| {
                    self.columns.push((name.to_owned(), Column::missing(column.kind(), self.rows)));
                    self.columns.len() - 1
                });
                let own = &mut self.columns[place].1;
                own.meet(column.kind());
                own.extend_missing(self.rows);
                own.push(value);
            }
        }
        self.rows += 1;
    }

    /// Makes every column as long as there are rows, after [`Columns::push_row`].
    pub fn level(&mut self) {
        self.columns.iter_mut().for_each(|(_, column)| column.extend_missing(self.rows));
    }
}
