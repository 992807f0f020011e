//! One Arrow column to ids or to vectors.
//!
//! Layer 6, used by the Arrow and Parquet sources and by the binding for single arrays. f32 and f16 lists share the
//! Arrow buffer; f64 and integers are rounded to f32 once; ids are copied into the engine's columns. Rows are checked before any
//! value is used: nulls, list lengths, the range of ids.

use super::payload;
use crate::error::{Error, Result};
use crate::ingest::source::BatchVectors;
use crate::types::{Column, ID_BYTES_MAX, IdType, Ids, StrIds, Value, Vectors};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, GenericListArray, OffsetSizeTrait};
use arrow_schema::DataType;
use std::fmt::Display;
use std::sync::Arc;

/// Where a column comes from, for messages.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// File name, or what else the user gave.
    pub source: &'a str,
    /// Column name.
    pub column: &'a str,
    /// Row number of the array's first row in the source.
    pub first_row: u64,
}

impl Place<'_> {
    pub(super) fn error(&self, row: usize, what: impl Display) -> Error {
        let row = self.first_row + row as u64;
        Error::invalid(format!("{}, column {:?}, row {row}: {what}", self.source, self.column))
    }

    fn refuse_nulls(&self, array: &dyn Array) -> Result<()> {
        match array.logical_nulls().and_then(|nulls| (0..array.len()).find(|&row| nulls.is_null(row))) {
            Some(row) => Err(self.error(row, "is null: leave the row out, every row has an id and a vector")),
            None => Ok(()),
        }
    }
}

/// Checks that a column of this type can hold ids of `id_type`.
pub(super) fn check_id_type(found: &DataType, id_type: IdType) -> Result<()> {
    let of = match found {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => IdType::Str,
        other if other.is_integer() => IdType::Int,
        DataType::Dictionary(_, values) => return check_id_type(values, id_type),
        other if is_list(other) => {
            let problem = format!("ids are integers or strings, not {other}: were ids and vectors swapped?");
            return Err(Error::invalid(problem));
        }
        other => {
            let cast = match other {
                DataType::FixedSizeBinary(16) => "write UUIDs as strings",
                _ => "cast the column to int64 or to strings",
            };
            return Err(Error::invalid(format!("ids are integers or strings, not {other}: {cast}")));
        }
    };
    if of != id_type {
        let have = id_type.name();
        let hint = id_type.hint();
        return Err(Error::invalid(format!("ids are {found}, but the collection's id_type is {have:?}: {hint}")));
    }
    Ok(())
}

fn is_list(found: &DataType) -> bool {
    matches!(found, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..))
}

/// Checks that a column of this type can hold vectors of `dim` values. Lists tell their lengths row by row only.
pub(super) fn check_vector_type(found: &DataType, dim: usize) -> Result<()> {
    let element = match found {
        DataType::FixedSizeList(element, size) => {
            if usize::try_from(*size) != Ok(dim) {
                return Err(Error::invalid(format!(
                    "vectors have {size} values, but the collection's dim is {dim}: create a collection with dim={size}"
                )));
            }
            element
        }
        DataType::List(element) | DataType::LargeList(element) => element,
        other => {
            let remedy = not_a_list(other);
            return Err(Error::invalid(format!(
                "vectors are lists of float16, float32 or float64, not {other}: {remedy}"
            )));
        }
    };
    match element.data_type() {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Ok(()),
        other if other.is_integer() => Ok(()),
        other => {
            let remedy = if is_list(other) { "flatten each to one list" } else { "cast the column to list<float32>" };
            Err(Error::invalid(format!("vectors hold {other}: they must hold float16, float32 or float64; {remedy}")))
        }
    }
}

/// What makes vectors of a column that holds no lists.
fn not_a_list(found: &DataType) -> &'static str {
    match found {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "decode the bytes, as numpy.frombuffer does, and write lists"
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
            "embed the text, or parse it, and write lists"
        }
        DataType::Struct(_) => "take the field that holds the lists out of the struct",
        other if other.is_numeric() => "a row needs all its values in one list; put the columns of values into one",
        _ => "cast the column to list<float32>",
    }
}

/// Reads a column of ids and checks type, nulls, range and length of each.
pub fn ids(array: &dyn Array, id_type: IdType, place: &Place<'_>) -> Result<Ids> {
    check_id_type(array.data_type(), id_type).map_err(|e| in_column(e, place))?;
    place.refuse_nulls(array)?;
    match array.data_type() {
        DataType::Int8 => int_ids::<Int8Type>(array, place),
        DataType::Int16 => int_ids::<Int16Type>(array, place),
        DataType::Int32 => int_ids::<Int32Type>(array, place),
        DataType::Int64 => int_ids::<Int64Type>(array, place),
        DataType::UInt8 => int_ids::<UInt8Type>(array, place),
        DataType::UInt16 => int_ids::<UInt16Type>(array, place),
        DataType::UInt32 => int_ids::<UInt32Type>(array, place),
        DataType::UInt64 => int_ids::<UInt64Type>(array, place),
        DataType::Utf8 => str_ids(array.as_string::<i32>().iter(), place),
        DataType::LargeUtf8 => str_ids(array.as_string::<i64>().iter(), place),
        DataType::Dictionary(..) => dictionary_ids(&payload::column(array, place)?, id_type, place),
        _ => str_ids(array.as_string_view().iter(), place),
    }
}

fn int_ids<T>(array: &dyn Array, place: &Place<'_>) -> Result<Ids>
where
    T: ArrowPrimitiveType,
    T::Native: TryInto<i64> + Display,
{
    let values = array.as_primitive::<T>().values();
    let mut out = Vec::with_capacity(values.len());
    for (row, &value) in values.iter().enumerate() {
        match value.try_into() {
            Ok(id) if id >= 0 => out.push(id),
            _ => return Err(place.error(row, format!("id {value} is out of range: ids are int64 >= 0"))),
        }
    }
    Ok(Ids::Int(out))
}

fn dictionary_ids(column: &Column, id_type: IdType, place: &Place<'_>) -> Result<Ids> {
    let rows = 0..column.len();
    if id_type == IdType::Str {
        let text = |row| if let Value::Str(text) = column.get(row) { Some(text) } else { None };
        return str_ids(rows.map(text), place);
    }
    let id = |row| match column.get(row) {
        Value::Int(id) if id >= 0 => Ok(id),
        Value::Int(id) => Err(place.error(row, format!("id {id} is out of range: ids are int64 >= 0"))),
        _ => Err(place.error(row, "is no integer")),
    };
    rows.map(id).collect::<Result<Vec<i64>>>().map(Ids::Int)
}

fn str_ids<'a>(values: impl Iterator<Item = Option<&'a str>>, place: &Place<'_>) -> Result<Ids> {
    let mut out = StrIds::default();
    let mut bytes = 0;
    for (row, value) in values.enumerate() {
        let value = value.unwrap_or_default();
        if !(1..=ID_BYTES_MAX).contains(&value.len()) {
            let what = format!("id has {} bytes: string ids have 1 to {ID_BYTES_MAX}", value.len());
            return Err(place.error(row, what));
        }
        bytes += value.len();
        if bytes > u32::MAX as usize {
            return Err(place.error(row, "the ids of one batch take more than 4 GiB: give smaller batches"));
        }
        out.push(value);
    }
    Ok(Ids::Str(out))
}

/// Reads a column of vectors of `dim` values and checks type, nulls and length of each.
pub fn vectors(array: &dyn Array, dim: usize, place: &Place<'_>) -> Result<BatchVectors> {
    check_vector_type(array.data_type(), dim).map_err(|e| in_column(e, place))?;
    place.refuse_nulls(array)?;
    match array.data_type() {
        DataType::FixedSizeList(_, _) => {
            let lists = array.as_fixed_size_list();
            values(lists.values().as_ref(), 0, array.len() * dim, dim, place)
        }
        DataType::List(_) => list_values(array.as_list::<i32>(), dim, place),
        _ => list_values(array.as_list::<i64>(), dim, place),
    }
}

fn list_values<O: OffsetSizeTrait>(lists: &GenericListArray<O>, dim: usize, place: &Place<'_>) -> Result<BatchVectors> {
    let offsets = lists.value_offsets();
    for (row, pair) in offsets.windows(2).enumerate() {
        let length = pair[1].as_usize() - pair[0].as_usize();
        if length != dim {
            return Err(place.error(row, format!("the vector has {length} values, but the collection's dim is {dim}")));
        }
    }
    let start = offsets.first().map_or(0, |offset| offset.as_usize());
    values(lists.values().as_ref(), start, lists.len() * dim, dim, place)
}

/// The values `start..start + count` of a list's child, shared when their type is stored as it is.
fn values(child: &dyn Array, start: usize, count: usize, dim: usize, place: &Place<'_>) -> Result<BatchVectors> {
    let child = child.slice(start, count);
    if let Some(at) = child.logical_nulls().and_then(|nulls| (0..count).find(|&at| nulls.is_null(at))) {
        return Err(place.error(at / dim, format!("value {} of the vector is null: every value is a number", at % dim)));
    }
    Ok(match child.data_type() {
        DataType::Float16 => BatchVectors::SharedF16(Arc::new(child.as_primitive::<Float16Type>().values().clone())),
        DataType::Float32 => BatchVectors::SharedF32(Arc::new(child.as_primitive::<Float32Type>().values().clone())),
        DataType::Float64 => {
            let wide = child.as_primitive::<Float64Type>().values();
            let narrow: Vec<f32> = wide.iter().map(|&value| value as f32).collect();
            // What is infinite itself is refused with its place by the engine.
            let beyond = |(narrow, wide): (&f32, &f64)| narrow.is_infinite() && wide.is_finite();
            if let Some(at) = narrow.iter().zip(wide.iter()).position(beyond) {
                let (column, value) = (at % dim, wide[at]);
                let problem = format!(
                    "value {column} of the vector is {value:e}, beyond float32 (up to 3.4e38): scale the vectors"
                );
                return Err(place.error(at / dim, problem));
            }
            BatchVectors::F32(narrow)
        }
        _ => BatchVectors::F32(integers(&child)),
    })
}

/// Integers of any width as f32, which all of them are within.
fn integers(values: &dyn Array) -> Vec<f32> {
    match values.data_type() {
        DataType::Int8 => values.as_primitive::<Int8Type>().values().iter().map(|&value| f32::from(value)).collect(),
        DataType::Int16 => values.as_primitive::<Int16Type>().values().iter().map(|&value| f32::from(value)).collect(),
        DataType::Int32 => values.as_primitive::<Int32Type>().values().iter().map(|&value| value as f32).collect(),
        DataType::Int64 => values.as_primitive::<Int64Type>().values().iter().map(|&value| value as f32).collect(),
        DataType::UInt8 => values.as_primitive::<UInt8Type>().values().iter().map(|&value| f32::from(value)).collect(),
        DataType::UInt16 => {
            values.as_primitive::<UInt16Type>().values().iter().map(|&value| f32::from(value)).collect()
        }
        DataType::UInt32 => values.as_primitive::<UInt32Type>().values().iter().map(|&value| value as f32).collect(),
        _ => values.as_primitive::<UInt64Type>().values().iter().map(|&value| value as f32).collect(),
    }
}

/// Reads the chunks of one column of ids, as [`ids`] reads one array.
pub fn chunked_ids(chunks: &[ArrayRef], id_type: IdType, place: &Place<'_>) -> Result<Ids> {
    let mut out = Ids::empty(id_type);
    let mut place = *place;
    for chunk in chunks {
        let mut part = ids(chunk.as_ref(), id_type, &place)?;
        match (&mut out, &mut part) {
            (Ids::Int(out), Ids::Int(part)) => out.append(part),
            (out, part) => part.iter().for_each(|id| out.push(id)),
        }
        place.first_row += chunk.len() as u64;
    }
    Ok(out)
}

/// Reads the chunks of one column of vectors, as [`vectors`] reads one array; several chunks are copied together.
pub fn chunked_vectors(chunks: &[ArrayRef], dim: usize, place: &Place<'_>) -> Result<BatchVectors> {
    if let [chunk] = chunks {
        return vectors(chunk.as_ref(), dim, place);
    }
    let mut place = *place;
    let (mut halves, mut singles) = (Vec::new(), Vec::new());
    for chunk in chunks {
        match vectors(chunk.as_ref(), dim, &place)?.as_vectors() {
            Vectors::F16(values) => halves.extend_from_slice(values),
            Vectors::F32(values) => singles.extend_from_slice(values),
        }
        place.first_row += chunk.len() as u64;
    }
    // All chunks of a column have one type, so one of the two is empty.
    Ok(if halves.is_empty() { BatchVectors::F32(singles) } else { BatchVectors::F16(halves) })
}

fn in_column(error: Error, place: &Place<'_>) -> Error {
    error.context(format!("{}, column {:?}", place.source, place.column))
}

#[cfg(test)]
#[path = "columns_test.rs"]
mod tests;
