//! Payload as `drift._metadata` hands it over and takes it: a list of (name, type, values) per call.

use crate::error::OrRaise;
use drift_core::error::Error;
use drift_core::types::{Column, Columns, FieldType, Include, Value};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

/// Name, type and values of a field.
pub type FieldIn<'py> = (String, String, Bound<'py, PyList>);

/// Name, type and values of a field, None where they are missing.
pub type FieldOut<'py> = (String, &'static str, Vec<Bound<'py, PyAny>>);

/// Reads the payload of `rows` rows; none when there is none.
pub fn columns(py: Python<'_>, fields: Option<Vec<FieldIn<'_>>>, rows: usize) -> PyResult<Option<Columns>> {
    let Some(fields) = fields else { return Ok(None) };
    let mut columns = Columns::new(rows);
    for (name, kind, values) in fields {
        let kind = FieldType::parse(&kind).or_raise(py)?;
        columns.add(&name, column(&name, kind, &values)?).or_raise(py)?;
    }
    Ok(Some(columns))
}

fn column(name: &str, kind: FieldType, values: &Bound<'_, PyList>) -> PyResult<Column> {
    let mut out = Column::new(kind);
    for (row, value) in values.iter().enumerate() {
        if value.is_none() {
            out.push(Value::Null);
            continue;
        }
        let pushed = match kind {
            FieldType::Bool => value.extract().map(|value| out.push(Value::Bool(value))),
            FieldType::Int => value.extract().map(|value| out.push(Value::Int(value))),
            FieldType::Float => value.extract().map(|value| out.push(Value::Float(value))),
            FieldType::Timestamp => value.extract().map(|value| out.push(Value::Timestamp(value))),
            FieldType::Str => text(&value).map(|value| out.push(Value::Str(&value))),
            FieldType::Json => text(&value).map(|value| out.push(Value::Json(&value))),
            FieldType::List => {
                let items = value.try_iter()?.map(|item| text(&item?)).collect::<PyResult<Vec<String>>>();
                items.map(|items| out.push_list(items.iter().map(String::as_str)))
            }
        };
        if pushed.is_err() {
            let shown = value.repr()?.to_string_lossy().chars().take(60).collect::<String>();
            let hint = if kind == FieldType::Int { ": ints are int64" } else { "" };
            let message = format!("metadata {name:?} at row {row} is {shown}, not {}{hint}", kind.name());
            return Err(Error::invalid(message)).or_raise(value.py());
        }
    }
    Ok(out)
}

fn text(value: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(value.cast::<PyString>()?.to_str()?.to_owned())
}

/// Which fields an answer has: None, True, or a list of names.
pub fn include(value: Option<&Bound<'_, PyAny>>) -> PyResult<Include> {
    Ok(match value {
        None => Include::Nothing,
        Some(value) => match value.cast::<PyList>() {
            Ok(names) => Include::Fields(names.extract()?),
            Err(_) => Include::All,
        },
    })
}

/// The columns of an answer.
pub fn fields<'py>(py: Python<'py>, columns: &Columns) -> PyResult<Vec<FieldOut<'py>>> {
    columns
        .iter()
        .map(|(name, column)| {
            let values = (0..column.len()).map(|row| value(py, column.get(row))).collect::<PyResult<Vec<_>>>()?;
            Ok((name.to_owned(), column.kind().name(), values))
        })
        .collect()
}

fn value<'py>(py: Python<'py>, value: Value<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Value::Int(value) | Value::Timestamp(value) => value.into_pyobject(py)?.into_any(),
        Value::Float(value) => value.into_pyobject(py)?.into_any(),
        Value::Str(text) | Value::Json(text) => PyString::new(py, text).into_any(),
        Value::List(lists, at) => PyList::new(py, lists.get(at))?.into_any(),
    })
}
