//! Columns of payload.
//!
//! Layer 6. Integers of every width become ints, floats floats, dates and timestamps of every unit microseconds, texts texts,
//! lists of texts lists, structs, maps and other lists JSON; a dictionary is what its values are. Other types are refused by
//! name rather than guessed at, lists of floats too: they are vectors more often than not, and as text ten times as large.

use super::{ColumnNames, Place, json, missing_column};
use crate::error::{Error, Result};
use crate::types::payload::check_name;
use crate::types::{Column, Columns, FieldType, Include, Value};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ListLikeArray, RecordBatch};
use arrow_schema::{DataType, Schema, TimeUnit};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Names of the payload columns of a source.
pub fn names<'a>(arrow: &'a Schema, names: &'a ColumnNames) -> Vec<&'a str> {
    match &names.payload {
        Include::Nothing => Vec::new(),
        Include::Fields(fields) => fields.iter().map(String::as_str).collect(),
        Include::All => {
            let all = arrow.fields().iter().map(|field| field.name().as_str());
            all.filter(|name| *name != names.id && *name != names.vector).collect()
        }
    }
}

/// Checks names and types from the declared types alone.
pub fn check(arrow: &arrow_schema::SchemaRef, columns: &ColumnNames, source: &str) -> Result<()> {
    for name in names(arrow, columns) {
        if *name == columns.vector {
            let problem = format!("{source}, column {name:?}: it holds the vectors: leave it out of metadata");
            return Err(Error::invalid(problem));
        }
        let field = arrow.field_with_name(name).map_err(|_| missing_column(name, arrow, source))?;
        check_name(name).and_then(|()| kind(field.data_type())).map_err(|error| {
            let error = error.context(format!("{source}, column {name:?}"));
            Error::invalid(format!("{}; {}", error.message(), remedy(arrow, columns)))
        })?;
    }
    Ok(())
}

/// How to load the columns that can be metadata, without the others.
fn remedy(arrow: &Schema, columns: &ColumnNames) -> String {
    let able = |name: &&str| {
        arrow.field_with_name(name).is_ok_and(|field| check_name(name).is_ok() && kind(field.data_type()).is_ok())
    };
    let able: Vec<&str> = names(arrow, columns).into_iter().filter(able).collect();
    if able.is_empty() { "or load without metadata=".into() } else { format!("or leave it out with metadata={able:?}") }
}

/// The payload of a batch, whose first row is row `first_row` of `source`; none when none is asked for.
pub fn columns(batch: &RecordBatch, names: &ColumnNames, source: &str, first_row: u64) -> Result<Option<Columns>> {
    let arrow = batch.schema();
    let wanted = self::names(&arrow, names);
    if wanted.is_empty() {
        return Ok(None);
    }
    let mut columns = Columns::new(batch.num_rows());
    for name in wanted {
        let array = batch.column_by_name(name).ok_or_else(|| missing_column(name, &arrow, source))?;
        let read = column(array.as_ref(), &Place { source, column: name, first_row })?;
        let is_json = arrow.field_with_name(name).is_ok_and(json::is_text);
        columns.add(name, if is_json { json::of_texts(&read) } else { read })?;
    }
    Ok(Some(columns))
}

/// The field type of an Arrow type.
pub(super) fn kind(arrow: &DataType) -> Result<FieldType> {
    use DataType::*;
    Ok(match arrow {
        Boolean => FieldType::Bool,
        Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 => FieldType::Int,
        Float16 | Float32 | Float64 => FieldType::Float,
        Utf8 | LargeUtf8 | Utf8View => FieldType::Str,
        Timestamp(..) | Date32 | Date64 => FieldType::Timestamp,
        List(item) | LargeList(item) | FixedSizeList(item, _)
            if matches!(item.data_type(), Utf8 | LargeUtf8 | Utf8View) =>
        {
            FieldType::List
        }
        Dictionary(_, values) => kind(values)?,
        // A column without any value: it adds nothing.
        Null => FieldType::Str,
        List(item) | LargeList(item) | FixedSizeList(item, _) if item.data_type().is_floating() => {
            return Err(Error::invalid(format!("metadata cannot be {arrow}, which looks like vectors: leave it out")));
        }
        nested if json::is_nested(nested) => FieldType::Json,
        other => {
            let cast = match other {
                Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => "cast it to float64, or to text",
                Time32(_) | Time64(_) | Duration(_) | Interval(_) => "cast it to integers, or to text",
                Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => "write it as text, such as hex",
                _ => "use bool, ints, floats, text, timestamps, lists or structs of them",
            };
            return Err(Error::invalid(format!("metadata cannot be {other}: {cast}")));
        }
    })
}

/// Reads one array.
pub fn column(array: &dyn Array, place: &Place<'_>) -> Result<Column> {
    use DataType::*;
    let kind = kind(array.data_type());
    let kind = kind.map_err(|error| error.context(format!("{}, column {:?}", place.source, place.column)))?;
    let mut out = Column::new(kind);
    match array.data_type() {
        Boolean => {
            array.as_boolean().iter().for_each(|value| out.push(value.map_or(Value::Null, Value::Bool)));
        }
        Int8 => ints::<Int8Type>(array, place, &mut out)?,
        Int16 => ints::<Int16Type>(array, place, &mut out)?,
        Int32 => ints::<Int32Type>(array, place, &mut out)?,
        Int64 => ints::<Int64Type>(array, place, &mut out)?,
        UInt8 => ints::<UInt8Type>(array, place, &mut out)?,
        UInt16 => ints::<UInt16Type>(array, place, &mut out)?,
        UInt32 => ints::<UInt32Type>(array, place, &mut out)?,
        UInt64 => ints::<UInt64Type>(array, place, &mut out)?,
        Float16 => floats(array.as_primitive::<Float16Type>().iter().map(|value| value.map(f64::from)), &mut out),
        Float32 => floats(array.as_primitive::<Float32Type>().iter().map(|value| value.map(f64::from)), &mut out),
        Float64 => floats(array.as_primitive::<Float64Type>().iter(), &mut out),
        Utf8 => texts(array.as_string::<i32>().iter(), &mut out),
        LargeUtf8 => texts(array.as_string::<i64>().iter(), &mut out),
        Utf8View => texts(array.as_string_view().iter(), &mut out),
        Timestamp(TimeUnit::Second, _) => times::<TimestampSecondType>(array, 1_000_000, 1, place, &mut out)?,
        Timestamp(TimeUnit::Millisecond, _) => times::<TimestampMillisecondType>(array, 1_000, 1, place, &mut out)?,
        Timestamp(TimeUnit::Microsecond, _) => times::<TimestampMicrosecondType>(array, 1, 1, place, &mut out)?,
        Timestamp(TimeUnit::Nanosecond, _) => times::<TimestampNanosecondType>(array, 1, 1_000, place, &mut out)?,
        Date32 => times::<Date32Type>(array, MICROS_PER_DAY, 1, place, &mut out)?,
        Date64 => times::<Date64Type>(array, 1_000, 1, place, &mut out)?,
        nested if kind == FieldType::Json && json::is_nested(nested) => return json::texts(array, place),
        List(_) => lists(array.as_list::<i32>(), place, &mut out)?,
        LargeList(_) => lists(array.as_list::<i64>(), place, &mut out)?,
        FixedSizeList(..) => lists(array.as_fixed_size_list(), place, &mut out)?,
        Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let values = column(dictionary.values().as_ref(), place)?;
            if values.is_empty() {
                // All rows are null, and have no keys to ask for.
                out.extend_missing(array.len());
                return Ok(out);
            }
            for (row, &key) in dictionary.normalized_keys().iter().enumerate() {
                out.push(if dictionary.keys().is_null(row) { Value::Null } else { values.get(key) });
            }
        }
        _ => out.extend_missing(array.len()),
    }
    Ok(out)
}

fn ints<T>(array: &dyn Array, place: &Place<'_>, out: &mut Column) -> Result<()>
where
    T: ArrowPrimitiveType,
    T::Native: TryInto<i64> + std::fmt::Display,
{
    for (row, value) in array.as_primitive::<T>().iter().enumerate() {
        match value.map(|value| value.try_into().map_err(|_| value)) {
            None => out.push(Value::Null),
            Some(Ok(value)) => out.push(Value::Int(value)),
            Some(Err(value)) => return Err(place.error(row, format!("{value} is out of range: ints are int64"))),
        }
    }
    Ok(())
}

fn floats(values: impl Iterator<Item = Option<f64>>, out: &mut Column) {
    values.for_each(|value| out.push(value.map_or(Value::Null, Value::Float)));
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>, out: &mut Column) {
    values.for_each(|value| out.push(value.map_or(Value::Null, Value::Str)));
}

/// Reads times of a unit that is `factor / divisor` microseconds.
fn times<T>(array: &dyn Array, factor: i64, divisor: i64, place: &Place<'_>, out: &mut Column) -> Result<()>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64>,
{
    for (row, value) in array.as_primitive::<T>().iter().enumerate() {
        let Some(value) = value else {
            out.push(Value::Null);
            continue;
        };
        let micros = value.into().checked_mul(factor).map(|value| value.div_euclid(divisor));
        let micros = micros.ok_or_else(|| place.error(row, "the time is out of range: microseconds are int64"))?;
        out.push(Value::Timestamp(micros));
    }
    Ok(())
}

fn lists(lists: &impl ListLikeArray, place: &Place<'_>, out: &mut Column) -> Result<()> {
    for row in 0..lists.len() {
        if lists.is_null(row) {
            out.push(Value::Null);
            continue;
        }
        let range = lists.element_range(row);
        let items = column(lists.values().slice(range.start, range.len()).as_ref(), place)?;
        let item = |at| match items.get(at) {
            Value::Str(text) => Ok(text),
            _ => Err(place.error(row, format!("item {at} of the list is null"))),
        };
        let items = (0..items.len()).map(item).collect::<Result<Vec<&str>>>()?;
        out.push_list(items.into_iter());
    }
    Ok(())
}
