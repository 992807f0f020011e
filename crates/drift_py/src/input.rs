//! Ids and vectors as `drift._input` hands them over: NumPy arrays, lists of strings, Arrow objects.
//!
//! C-contiguous f32 and f16 arrays and Arrow lists are borrowed; every other form was converted once in Python.

use crate::arrow;
use crate::error::OrRaise;
use drift_core::error::Error;
use drift_core::ingest::source::BatchVectors;
use drift_core::types::{Ids, Schema, StrIds, Vectors};
use half::f16;
use numpy::{PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

/// Reads an int64 array, a list of `str` or an Arrow array.
pub fn ids(value: &Bound<'_, PyAny>, schema: &Schema) -> PyResult<Ids> {
    if let Ok(array) = value.cast::<PyArray1<i64>>() {
        return Ok(Ids::Int(array.to_vec()?));
    }
    if let Ok(list) = value.cast::<PyList>() {
        return str_ids(list);
    }
    arrow::ids(value, schema)
}

fn str_ids(list: &Bound<'_, PyList>) -> PyResult<Ids> {
    let mut out = StrIds::default();
    let mut bytes = 0;
    for (row, item) in list.iter().enumerate() {
        let text = item.cast::<PyString>().map_err(|_| PyTypeError::new_err("ids must be str"))?;
        let text = text.to_str().map_err(|_| Error::invalid(format!("id at row {row} is not valid Unicode")));
        let text = text.or_raise(list.py())?;
        bytes += text.len();
        if bytes > u32::MAX as usize {
            return Err(Error::invalid("the ids of one call take more than 4 GiB: make smaller calls"))
                .or_raise(list.py());
        }
        out.push(text);
    }
    Ok(Ids::Str(out))
}

/// Vectors that are borrowed from Python for the length of a call.
pub enum VectorsIn<'py> {
    /// A C-contiguous f32 array.
    F32(PyReadonlyArrayDyn<'py, f32>),
    /// A C-contiguous f16 array.
    F16(PyReadonlyArrayDyn<'py, f16>),
    /// An Arrow array.
    Arrow(BatchVectors),
}

impl<'py> VectorsIn<'py> {
    /// Reads an f32 or f16 array or an Arrow array of vectors.
    pub fn read(value: &Bound<'py, PyAny>, schema: &Schema) -> PyResult<VectorsIn<'py>> {
        if let Ok(array) = value.cast::<PyArrayDyn<f32>>() {
            return Ok(VectorsIn::F32(array.try_readonly()?));
        }
        if let Ok(array) = value.cast::<PyArrayDyn<f16>>() {
            return Ok(VectorsIn::F16(array.try_readonly()?));
        }
        Ok(VectorsIn::Arrow(arrow::vectors(value, schema)?))
    }

    /// The values, row-major.
    pub fn view(&self) -> PyResult<Vectors<'_>> {
        Ok(match self {
            VectorsIn::F32(array) => Vectors::F32(array.as_slice()?),
            VectorsIn::F16(array) => Vectors::F16(array.as_slice()?),
            VectorsIn::Arrow(buffer) => buffer.as_vectors(),
        })
    }

    /// The values, copied from NumPy or shared with Arrow, for use beyond the call.
    pub fn into_buffer(self) -> PyResult<BatchVectors> {
        Ok(match self {
            VectorsIn::F32(array) => BatchVectors::F32(array.as_slice()?.to_vec()),
            VectorsIn::F16(array) => BatchVectors::F16(array.as_slice()?.to_vec()),
            VectorsIn::Arrow(buffer) => buffer,
        })
    }
}
