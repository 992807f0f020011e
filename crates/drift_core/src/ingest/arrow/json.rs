//! Nested columns as JSON: structs are objects, maps with text keys objects, lists arrays.
//!
//! Layer 6. What stands in them is what `payload` takes as a column of its own, and becomes what JSON has for it: times are
//! ISO 8601 in UTC, null stays null. A float that is not finite has no JSON and is refused with its row. Texts of the extension type
//! `arrow.json` are JSON already.

use super::Place;
use super::payload::{column, kind};
use crate::error::Result;
use crate::types::{Column, FieldType, Value};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, MapArray};
use arrow_schema::{DataType, Field};
use serde_json::{Map, Value as Json};

/// Whether an array of this type is nested, and every value in it has a form in JSON.
pub(super) fn is_nested(found: &DataType) -> bool {
    let inner = |found: &DataType| is_nested(found) || kind(found).is_ok();
    match found {
        DataType::Struct(fields) => fields.iter().all(|field| inner(field.data_type())),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => inner(item.data_type()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                matches!(pair[0].data_type(), DataType::Utf8 | DataType::LargeUtf8) && inner(pair[1].data_type())
            }
            _ => false,
        },
        _ => false,
    }
}

/// The name by which Arrow's canonical extension type for JSON is known; its values are texts.
pub const EXTENSION: &str = "arrow.json";

/// Whether the texts of a field are said to be JSON.
pub(super) fn is_text(field: &Field) -> bool {
    field.extension_type_name() == Some(EXTENSION)
}

/// Texts as the JSON that they are; what is none is found where rows are checked.
pub(super) fn of_texts(texts: &Column) -> Column {
    let mut out = Column::new(FieldType::Json);
    for row in 0..texts.len() {
        match texts.get(row) {
            Value::Str(text) => out.push(Value::Json(text)),
            _ => out.push(Value::Null),
        }
    }
    out
}

/// Reads a nested array as a column of JSON texts.
pub(super) fn texts(array: &dyn Array, place: &Place<'_>) -> Result<Column> {
    let mut out = Column::new(FieldType::Json);
    for row in 0..array.len() {
        let place = Place { first_row: place.first_row + row as u64, ..*place };
        match values(array.slice(row, 1).as_ref(), &place)?.pop() {
            None | Some(Json::Null) => out.push(Value::Null),
            Some(value) => out.push(Value::Json(&value.to_string())),
        }
    }
    Ok(out)
}

/// The values of an array that stands in the row at `place`. Arrow bounds how deep they are nested.
fn values(array: &dyn Array, place: &Place<'_>) -> Result<Vec<Json>> {
    let lists = |list: &dyn Fn(usize) -> ArrayRef| {
        (0..array.len()).map(|at| values(list(at).as_ref(), place).map(Json::Array)).collect::<Result<Vec<_>>>()
    };
    let mut out = match array.data_type() {
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter().map(|column| values(column.as_ref(), place));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            let object = |at: usize| {
                let entries = fields.iter().zip(&columns);
                Json::Object(entries.map(|(field, column)| (field.name().clone(), column[at].clone())).collect())
            };
            (0..array.len()).map(object).collect()
        }
        DataType::List(_) => lists(&|at| array.as_list::<i32>().value(at))?,
        DataType::LargeList(_) => lists(&|at| array.as_list::<i64>().value(at))?,
        DataType::FixedSizeList(..) => lists(&|at| array.as_fixed_size_list().value(at))?,
        DataType::Map(..) => (0..array.len()).map(|at| object(array.as_map(), at, place)).collect::<Result<_>>()?,
        _ => {
            let inner = column(array, place).map_err(|_| place.error(0, "holds a value that is out of range"))?;
            return plain(&inner, place);
        }
    };
    for (at, value) in out.iter_mut().enumerate() {
        if array.is_null(at) {
            *value = Json::Null;
        }
    }
    Ok(out)
}

fn object(maps: &MapArray, at: usize, place: &Place<'_>) -> Result<Json> {
    let entries = maps.value(at);
    let keys = column(entries.column(0).as_ref(), place)?;
    let mut object = Map::new();
    for (at, value) in values(entries.column(1).as_ref(), place)?.into_iter().enumerate() {
        if let Value::Str(key) = keys.get(at) {
            object.insert(key.to_owned(), value);
        }
    }
    Ok(Json::Object(object))
}

/// The values of a column that is not nested.
fn plain(column: &Column, place: &Place<'_>) -> Result<Vec<Json>> {
    let value = |row: usize| {
        Ok(match column.get(row) {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(value),
            Value::Int(value) => value.into(),
            Value::Float(value) => match serde_json::Number::from_f64(value) {
                Some(number) => Json::Number(number),
                None => return Err(place.error(0, format!("holds {value}, which JSON does not have"))),
            },
            Value::Str(text) | Value::Json(text) => Json::String(text.to_owned()),
            Value::Timestamp(micros) => Json::String(iso(micros)),
            Value::List(lists, at) => Json::Array(lists.get(at).map(|text| Json::String(text.to_owned())).collect()),
        })
    };
    (0..column.len()).map(value).collect()
}

/// A time as ISO 8601 in UTC; the date by Howard Hinnant's `civil_from_days`.
fn iso(micros: i64) -> String {
    let (day, time) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + 400 * era + i64::from(month <= 2);
    let date = of_year - (153 * march_month + 2) / 5 + 1;
    let (seconds, micros) = (time / 1_000_000, time % 1_000_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}{fraction}+00:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_iso_8601() {
        assert_eq!(iso(0), "1970-01-01T00:00:00+00:00");
        assert_eq!(iso(1_709_164_800_000_000 + 1), "2024-02-29T00:00:00.000001+00:00");
        assert_eq!(iso(-1), "1969-12-31T23:59:59.999999+00:00");
        assert_eq!(iso(-62_135_596_800_000_000), "0001-01-01T00:00:00+00:00");
    }
}
