//! How the fields of a collection grow by what is written.
//!
//! Layer 6. A new field has the type of its first value. A field of ints becomes one of floats when it is given floats, unless it has
//! ints that no float is equal to: these would be other numbers from then on, and a filter would find them or not as jobs
//! rewrite them.

use crate::error::{Error, Result};
use crate::state::{CollectionState, Version};
use crate::types::{Column, Columns, FieldType, Fields};
use std::collections::HashMap;

/// Fields of ints that no float is equal to, and the first of these ints of each.
#[derive(Default)]
pub struct Inexact(HashMap<String, i64>);

impl Inexact {
    /// Notes what `payload` has.
    pub fn note(&mut self, payload: &Columns) {
        for (name, column) in payload.iter() {
            if !self.0.contains_key(name)
                && let Some(value) = column.find_inexact()
            {
                self.0.insert(name.to_owned(), value);
            }
        }
    }

    /// Fails where one of them is to be a field of floats.
    pub fn check(&self, fields: &Fields) -> Result<()> {
        let is_float = |name: &str| fields.kind(name) == Some(FieldType::Float);
        self.0.iter().find(|(name, _)| is_float(name)).map_or(Ok(()), |(name, value)| Err(refused(name, *value)))
    }
}

/// The fields after `payload` is written, when it changes them. The caller holds the lock on writes.
pub fn grow(collection: &CollectionState, version: &Version, payload: &Columns) -> Result<Option<Fields>> {
    let known = collection.fields.read().clone();
    let grown = known.grown(payload)?;
    let mut given = Inexact::default();
    given.note(payload);
    given.check(grown.as_ref().unwrap_or(&known))?;
    grown.iter().try_for_each(|grown| check_widened(version, &known, grown))?;
    Ok(grown)
}

/// The fields with those of a load, whose rows have `inexact` ones. The caller holds the lock on writes.
pub fn join(collection: &CollectionState, version: &Version, loaded: &Fields, inexact: &Inexact) -> Result<Fields> {
    let known = collection.fields.read().clone();
    let joined = known.joined(loaded)?;
    inexact.check(&joined)?;
    check_widened(version, &known, &joined)?;
    Ok(joined)
}

/// Fails where a field of ints that is about to be one of floats has an int that no float is equal to.
fn check_widened(version: &Version, known: &Fields, grown: &Fields) -> Result<()> {
    for name in known.widened(grown) {
        let mut found = version.memtables().find_map(|memtable| memtable.find_in(name, Column::find_inexact));
        for live in &version.index.segments {
            if found.is_none() && live.segment.has_large(name)? {
                found = live.segment.read_column(name)?.and_then(|column| column.find_inexact());
            }
        }
        if let Some(value) = found {
            return Err(refused(name, value));
        }
    }
    Ok(())
}

fn refused(name: &str, value: i64) -> Error {
    Error::invalid(format!(
        "field {name:?} would be float and has the integer {value}, to which no float64 is equal: give it integers alone, \
         or another field"
    ))
}
