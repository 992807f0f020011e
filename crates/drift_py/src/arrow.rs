//! Arrow in and out through PyCapsules, without pyarrow.

use crate::error::{OrRaise, to_python};
use crate::payload::{self, FieldOut};
use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{
    ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int64Array, RecordBatch, RecordBatchReader,
    StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow_schema::extension::{EXTENSION_TYPE_METADATA_KEY, EXTENSION_TYPE_NAME_KEY};
use arrow_schema::{DataType, Field, Schema as ArrowSchema};
use drift_core::error::Error;
use drift_core::ingest::arrow::{ColumnNames, JSON_EXTENSION, Place, chunked_ids, chunked_vectors, payload_columns};
use drift_core::ingest::source::BatchVectors;
use drift_core::types::{Columns, Ids, Include, Schema};
use numpy::{PyArray1, PyArray2, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyList, PyTuple};
use pyo3_arrow::error::{PyArrowError, PyArrowResult};
use pyo3_arrow::ffi::{ArrayIterator, to_stream_pycapsule};
use pyo3_arrow::input::{AnyArray, AnyRecordBatch};
use pyo3_arrow::{PyArray, PyArrayReader, PyRecordBatch, PyRecordBatchReader};
use std::collections::HashMap;
use std::sync::Arc;

/// How messages name a single array.
const SOURCE: &str = "Arrow array";

/// What an object gives through the PyCapsule interface.
enum Given<'py> {
    Array(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>),
    Stream(Bound<'py, PyCapsule>),
}

/// Asks an object for its capsules; an exception that it raises itself goes on as it is.
fn given<'py>(value: &Bound<'py, PyAny>) -> PyResult<Given<'py>> {
    let (array, stream) = (intern!(value.py(), "__arrow_c_array__"), intern!(value.py(), "__arrow_c_stream__"));
    let (method, wanted, capsules) = if value.hasattr(array)? {
        let capsules = value.call_method0(array)?;
        if let Ok((schema, array)) = capsules.extract() {
            return Ok(Given::Array(schema, array));
        }
        (array, "two capsules", capsules)
    } else {
        let capsule = value.call_method0(stream)?;
        if let Ok(stream) = capsule.extract() {
            return Ok(Given::Stream(stream));
        }
        (stream, "a capsule", capsule)
    };
    let (of, what) = (value.get_type().name()?, capsules.get_type().name()?);
    let message = format!("{method} of {of} returns {what}: the Arrow PyCapsule interface returns {wanted}");
    Err(Error::invalid(message)).or_raise(value.py())
}

/// An error for what capsules hold, where `wanted` is.
fn misfit(value: &Bound<'_, PyAny>, wanted: &str, error: impl Into<PyErr>) -> PyErr {
    let kind = value.get_type().name().map_or_else(|_| "the object".to_owned(), |name| name.to_string());
    let message = format!("{kind} cannot be read as {wanted}: {}", error.into().value(value.py()));
    to_python(value.py(), &Error::invalid(message))
}

/// The chunks of an array, a chunked array or a table of one column. Its producer may need the GIL, so it is kept.
fn chunks(value: &Bound<'_, PyAny>, what: &str) -> PyResult<Vec<ArrayRef>> {
    let array = match given(value)? {
        Given::Array(schema, array) => PyArray::from_arrow_pycapsule(&schema, &array).map(AnyArray::Array),
        Given::Stream(stream) => PyArrayReader::from_arrow_pycapsule(&stream).map(AnyArray::Stream),
    };
    let chunked = array.map_err(|error| misfit(value, "an Arrow array", error))?.into_chunked_array();
    let (chunks, field) = chunked.map_err(|error| misfit(value, "an Arrow array", error))?.into_inner();
    match field.data_type() {
        DataType::Struct(fields) if fields.len() == 1 => {
            Ok(chunks.iter().map(|chunk| chunk.as_struct().column(0).clone()).collect())
        }
        DataType::Struct(fields) => {
            let message = format!("{what} are a table of {} columns: give one column", fields.len());
            Err(Error::invalid(message)).or_raise(value.py())
        }
        _ => Ok(chunks),
    }
}

/// Ids of an Arrow array.
pub fn ids(value: &Bound<'_, PyAny>, schema: &Schema) -> PyResult<Ids> {
    let chunks = chunks(value, "ids")?;
    let place = Place { source: SOURCE, column: "ids", first_row: 0 };
    value.py().detach(|| chunked_ids(&chunks, schema.id_type, &place)).or_raise(value.py())
}

/// Vectors of an Arrow array; one chunk of f32 or f16 is not copied.
pub fn vectors(value: &Bound<'_, PyAny>, schema: &Schema) -> PyResult<BatchVectors> {
    let chunks = chunks(value, "vectors")?;
    let place = Place { source: SOURCE, column: "vectors", first_row: 0 };
    value.py().detach(|| chunked_vectors(&chunks, schema.dim, &place)).or_raise(value.py())
}

/// A reader of an Arrow table, batch or stream.
pub fn reader(value: &Bound<'_, PyAny>) -> PyResult<Box<dyn RecordBatchReader + Send>> {
    let rows = match given(value)? {
        Given::Array(schema, batch) => {
            PyRecordBatch::from_arrow_pycapsule(&schema, &batch).map(AnyRecordBatch::RecordBatch)
        }
        Given::Stream(stream) => PyRecordBatchReader::from_arrow_pycapsule(&stream).map(AnyRecordBatch::Stream),
    };
    rows.and_then(AnyRecordBatch::into_reader).map_err(|error| misfit(value, "an Arrow table", error))
}

/// Names, types and values of a table's columns, as `drift._metadata` hands them over.
#[pyfunction]
pub fn arrow_fields<'py>(py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Vec<FieldOut<'py>>> {
    let names = ColumnNames { id: String::new(), vector: String::new(), payload: Include::All };
    let mut all = Columns::default();
    for batch in reader(value)? {
        let row = all.rows() as u64;
        let batch = batch.map_err(|error| Error::invalid(format!("metadata, row {row}: {error}"))).or_raise(py)?;
        if let Some(columns) = payload_columns(&batch, &names, "metadata", row).or_raise(py)? {
            all.append(&columns);
        }
    }
    payload::fields(py, &all)
}

/// A column of metadata by its type: timestamps in microseconds of UTC, JSON as text.
fn field(kind: &str, values: &Bound<'_, PyList>) -> PyResult<ArrayRef> {
    Ok(match kind {
        "bool" => Arc::new(BooleanArray::from(values.extract::<Vec<Option<bool>>>()?)),
        "int" => Arc::new(Int64Array::from(values.extract::<Vec<Option<i64>>>()?)),
        "float" => Arc::new(Float64Array::from(values.extract::<Vec<Option<f64>>>()?)),
        "timestamp" => {
            Arc::new(TimestampMicrosecondArray::from(values.extract::<Vec<Option<i64>>>()?).with_timezone("UTC"))
        }
        "list" => {
            let mut lists = ListBuilder::new(StringBuilder::new());
            for list in values.extract::<Vec<Option<Vec<String>>>>()? {
                lists.append_option(list.map(|list| list.into_iter().map(Some)));
            }
            Arc::new(lists.finish())
        }
        _ => Arc::new(StringArray::from(values.extract::<Vec<Option<String>>>()?)),
    })
}

/// One column of a result: int64 or f32 arrays, an f32 matrix of one vector a row, a list of strings, or type and values of metadata.
fn column(value: &Bound<'_, PyAny>) -> PyResult<ArrayRef> {
    if let Ok(pair) = value.cast::<PyTuple>() {
        let kind: String = pair.get_item(0)?.extract()?;
        return field(&kind, pair.get_item(1)?.cast::<PyList>()?);
    }
    if let Ok(rows) = value.cast::<PyArray2<f32>>() {
        let field = Arc::new(Field::new("item", DataType::Float32, false));
        let values = Arc::new(Float32Array::from(rows.to_vec()?));
        let lists = FixedSizeListArray::try_new(field, rows.shape()[1] as i32, values, None);
        return Ok(Arc::new(lists.map_err(PyArrowError::from)?));
    }
    if let Ok(values) = value.cast::<PyArray1<i64>>() {
        return Ok(Arc::new(Int64Array::from(values.to_vec()?)));
    }
    if let Ok(values) = value.cast::<PyArray1<f32>>() {
        return Ok(Arc::new(Float32Array::from(values.to_vec()?)));
    }
    let texts = value.cast::<PyList>()?.extract::<Vec<String>>()?;
    Ok(Arc::new(StringArray::from(texts)))
}

/// Whether `value` is type and values of metadata that is JSON.
fn is_json(value: &Bound<'_, PyAny>) -> bool {
    let kind = value.cast::<PyTuple>().ok().and_then(|pair| pair.get_item(0).ok());
    kind.is_some_and(|kind| kind.extract::<String>().is_ok_and(|kind| kind == "json"))
}

/// What says that texts are JSON, to `load` and to other programs.
fn json_metadata() -> HashMap<String, String> {
    let texts = [(EXTENSION_TYPE_NAME_KEY, JSON_EXTENSION), (EXTENSION_TYPE_METADATA_KEY, "")];
    texts.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// An `arrow_array_stream` capsule of one record batch with these columns.
#[pyfunction]
pub fn stream<'py>(
    py: Python<'py>,
    columns: Vec<(String, Bound<'py, PyAny>)>,
    requested_schema: Option<Bound<'py, PyCapsule>>,
) -> PyResult<Bound<'py, PyCapsule>> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for (name, values) in columns {
        let array = column(&values)?;
        let field = Field::new(name, array.data_type().clone(), array.null_count() > 0);
        fields.push(if is_json(&values) { field.with_metadata(json_metadata()) } else { field });
        arrays.push(array);
    }
    let capsule = || -> PyArrowResult<Bound<'py, PyCapsule>> {
        let batch = RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), arrays)?;
        let field = Arc::new(Field::new_struct("", batch.schema().fields().clone(), false));
        let array: ArrayRef = Arc::new(StructArray::from(batch));
        to_stream_pycapsule(py, Box::new(ArrayIterator::new([Ok(array)].into_iter(), field)), requested_schema)
    };
    Ok(capsule()?)
}
