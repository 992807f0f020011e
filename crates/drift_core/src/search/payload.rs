//! Payload of rows that an answer has.
//!
//! Layer 6. Values are read one by one from where their rows are; a column of the answer has the field's type of today.

use crate::error::{Error, Result};
use crate::segment::Scratch;
use crate::state::{CollectionState, Place, Version};
use crate::types::{Column, Columns, Field, FieldType, Include, Value};

/// The fields that an answer has.
pub fn fields(collection: &CollectionState, include: &Include) -> Result<Vec<Field>> {
    // The common case, and the one that takes no lock.
    if *include == Include::Nothing {
        return Ok(Vec::new());
    }
    let known = collection.fields.read().clone();
    let Include::Fields(names) = include else { return Ok(known.list.clone()) };
    names
        .iter()
        .map(|name| {
            let field = known.list.iter().find(|field| field.name == *name).cloned();
            field.ok_or_else(|| {
                let names: Vec<&str> = known.list.iter().map(|field| field.name.as_str()).collect();
                Error::not_found(format!("there is no field {name:?}: the collection has {names:?}"))
            })
        })
        .collect()
}

/// Payload under way.
pub struct Payload<'a> {
    fields: &'a [Field],
    columns: Vec<Column>,
    rows: usize,
    /// One for each field: rows that are near each other are in one block of it.
    scratches: Vec<Scratch>,
}

impl<'a> Payload<'a> {
    /// The `fields` of no rows yet.
    pub fn new(fields: &'a [Field]) -> Payload<'a> {
        let columns = fields.iter().map(|field| Column::new(field.kind)).collect();
        let scratches = fields.iter().map(|_| Scratch::default()).collect();
        Payload { fields, columns, rows: 0, scratches }
    }

    /// Appends a row's.
    pub fn push(&mut self, version: &Version, place: Place) -> Result<()> {
        self.rows += 1;
        for ((field, out), scratch) in self.fields.iter().zip(&mut self.columns).zip(&mut self.scratches) {
            match place {
                Place::Memtable(place, row) => {
                    let memtable = version.memtables().nth(place).expect("invariant: the place came from this version");
                    let column = memtable.payload(row).and_then(|(columns, at)| Some((columns.get(&field.name)?, at)));
                    let value = column.map_or(Value::Null, |(column, at)| column.get(at));
                    // Floats may have come into a field that was one of ints when the fields were looked up.
                    if let Value::Float(_) = value {
                        out.meet(FieldType::Float);
                    }
                    out.push(value);
                }
                Place::Segment(place, row) => {
                    let segment = &version.index.segments[place as usize].segment;
                    segment.read_value(row, &field.name, out, scratch)?;
                }
            }
        }
        Ok(())
    }

    /// Appends rows without any field.
    pub fn pad(&mut self, rows: usize) {
        self.rows = rows;
        self.columns.iter_mut().for_each(|column| column.extend_missing(rows));
    }

    /// What was appended.
    pub fn finish(self) -> Result<Columns> {
        let mut columns = Columns::new(self.rows);
        for (field, column) in self.fields.iter().zip(self.columns) {
            columns.add(&field.name, column)?;
        }
        Ok(columns)
    }
}
