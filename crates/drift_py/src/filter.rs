//! Filters as `drift._filter` hands them over: nested tuples, the first member of which says what they are.

use crate::error::OrRaise;
use drift_core::error::Error;
use drift_core::types::Predicate;
use drift_core::types::predicate::{Comparison, DEPTH_MAX, Literal, Test};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString, PyTuple};
use std::sync::Arc;

/// Reads a filter; none when there is none.
pub fn filter(value: Option<&Bound<'_, PyTuple>>) -> PyResult<Option<Arc<Predicate>>> {
    value.map(|value| Ok(Arc::new(predicate(value, 1)?))).transpose()
}

fn invalid<T>(py: Python<'_>, message: impl Into<String>) -> PyResult<T> {
    Err(Error::invalid(message.into())).or_raise(py)
}

fn predicate(tuple: &Bound<'_, PyTuple>, depth: usize) -> PyResult<Predicate> {
    if depth > DEPTH_MAX {
        return invalid(tuple.py(), format!("the filter is nested deeper than {DEPTH_MAX}: flatten it"));
    }
    let kind: String = tuple.get_item(0)?.extract()?;
    let parts = || -> PyResult<Vec<Predicate>> {
        let parts = tuple.get_item(1)?;
        parts.try_iter()?.map(|part| predicate(part?.cast::<PyTuple>()?, depth + 1)).collect()
    };
    match kind.as_str() {
        "and" => return Ok(Predicate::And(parts()?)),
        "or" => return Ok(Predicate::Or(parts()?)),
        "not" => {
            let part = predicate(tuple.get_item(1)?.cast::<PyTuple>()?, depth + 1)?;
            return Ok(Predicate::Not(Box::new(part)));
        }
        _ => {}
    }
    let field: String = tuple.get_item(1)?.extract()?;
    let operand = |at: usize| literal(&tuple.get_item(at)?);
    let compare = |comparison| Ok::<_, PyErr>(Test::Compare(comparison, operand(2)?));
    let test = match kind.as_str() {
        "eq" => compare(Comparison::Eq)?,
        "lt" => compare(Comparison::Lt)?,
        "le" => compare(Comparison::Le)?,
        "gt" => compare(Comparison::Gt)?,
        "ge" => compare(Comparison::Ge)?,
        "ne" => return Ok(Predicate::Not(Box::new(Predicate::Test(field, compare(Comparison::Eq)?)))),
        "in" => Test::In(tuple.get_item(2)?.try_iter()?.map(|value| literal(&value?)).collect::<PyResult<_>>()?),
        "between" => Test::Between(operand(2)?, operand(3)?),
        "contains" => Test::Contains(operand(2)?),
        "startswith" => Test::StartsWith(tuple.get_item(2)?.extract()?),
        "exists" => Test::Exists,
        "null" => return Ok(Predicate::Not(Box::new(Predicate::Test(field, Test::Exists)))),
        other => return invalid(tuple.py(), format!("unknown filter operation {other:?}")),
    };
    Ok(Predicate::Test(field, test))
}

fn literal(value: &Bound<'_, PyAny>) -> PyResult<Literal> {
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(Literal::Bool(value.is_true()));
    }
    if let Ok(int) = value.cast::<PyInt>() {
        // Beyond int64 nothing is equal, and all ints are on one side: as floats have it.
        return int.extract().map(Literal::Int).or_else(|_| value.extract().map(Literal::Float));
    }
    if let Ok(value) = value.cast::<PyFloat>() {
        return Ok(Literal::Float(value.value()));
    }
    if let Ok(value) = value.cast::<PyString>() {
        return Ok(Literal::Str(value.to_str()?.to_owned()));
    }
    if let Ok((kind, micros)) = value.extract::<(String, i64)>()
        && kind == "timestamp"
    {
        return Ok(Literal::Timestamp(micros));
    }
    invalid(value.py(), format!("a filter compares with bool, int, float, str or a timestamp, not {}", value.repr()?))
}
