//! Engine results to NumPy arrays and dictionaries.

use drift_core::db::JobRecord;
use drift_core::types::{HitIds, Ids, Latency};
use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// `queries * k` values as an array of shape `(queries, k)`, or `(k,)` for the one query of a flat search.
pub fn matrix<'py, T: numpy::Element>(
    py: Python<'py>,
    values: Vec<T>,
    shape: (usize, usize),
    flat: bool,
) -> PyResult<Bound<'py, PyAny>> {
    if flat {
        return Ok(values.into_pyarray(py).into_any());
    }
    let array = Array2::from_shape_vec(shape, values).map_err(|e| PyRuntimeError::new_err(e.to_string()))?;
    Ok(array.into_pyarray(py).into_any())
}

/// Ids of hits as int64 (padding -1) or as objects (padding None).
pub fn hit_ids<'py>(py: Python<'py>, ids: HitIds, shape: (usize, usize), flat: bool) -> PyResult<Bound<'py, PyAny>> {
    match ids {
        HitIds::Int(ids) => matrix(py, ids, shape, flat),
        HitIds::Str(ids) => {
            let text =
                |id: Option<Box<str>>| id.map_or_else(|| py.None(), |id| PyString::new(py, &id).into_any().unbind());
            matrix(py, ids.into_iter().map(text).collect::<Vec<Py<PyAny>>>(), shape, flat)
        }
    }
}

/// A column of ids as int64 or as objects.
pub fn ids(py: Python<'_>, ids: Ids) -> Bound<'_, PyAny> {
    match ids {
        Ids::Int(ids) => ids.into_pyarray(py).into_any(),
        Ids::Str(ids) => {
            let text = |row| PyString::new(py, ids.get(row)).into_any().unbind();
            let objects: Vec<Py<PyAny>> = (0..ids.len()).map(text).collect();
            PyArray1::from_vec(py, objects).into_any()
        }
    }
}

/// Named counts as a dictionary, in their order.
pub fn counts<'py>(py: Python<'py>, entries: &[(&'static str, u64)]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in entries {
        dict.set_item(name, value)?;
    }
    Ok(dict)
}

/// Quantiles of calls as a dictionary, in milliseconds.
pub fn latency<'py>(py: Python<'py>, found: &Latency) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("calls", found.calls)?;
    for (name, quantile) in [("p50", found.p50), ("p95", found.p95), ("p99", found.p99)] {
        dict.set_item(name, quantile.as_secs_f64() * 1e3)?;
    }
    Ok(dict)
}

/// A finished job as a dictionary: times in seconds, `ended` since 1970.
pub fn job<'py>(py: Python<'py>, record: &JobRecord) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("job", record.job.name())?;
    dict.set_item("reason", &record.reason)?;
    dict.set_item("effect", &record.effect)?;
    dict.set_item("ended", record.ended.as_secs_f64())?;
    dict.set_item("seconds", record.took.as_secs_f64())?;
    dict.set_item("bytes", record.bytes)?;
    Ok(dict)
}
