//! Bulk loads: Parquet paths, Arrow streams and Python iterators as row sources, with progress and Ctrl-C.

use crate::arrow::reader;
use crate::error::OrRaise;
use crate::input::{self, VectorsIn};
use crate::output;
use crate::payload::{self, FieldIn};
use crate::signals::Signals;
use drift_core::db::Collection;
use drift_core::error::{Error, Result};
use drift_core::ingest::arrow::{ArrowSource, ColumnNames, ParquetSource};
use drift_core::ingest::source::{LoadProgress, RowBatch, RowSource};
use drift_core::types::Schema;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyTuple};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

/// Names of the columns; `metadata` is None, True or a list of names.
pub fn names(id: String, vector: String, metadata: Option<&Bound<'_, PyAny>>) -> PyResult<ColumnNames> {
    Ok(ColumnNames { id, vector, payload: payload::include(metadata)? })
}

/// Loads Parquet files.
pub fn parquet<'py>(
    py: Python<'py>,
    collection: &Collection,
    paths: &[PathBuf],
    names: ColumnNames,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let source = py.detach(|| ParquetSource::open(paths, names, collection.schema())).or_raise(py)?;
    run(py, collection, source, Arc::new(Signals::new()), progress)
}

/// Loads an Arrow table, batch or stream.
pub fn arrow<'py>(
    py: Python<'py>,
    collection: &Collection,
    source: &Bound<'py, PyAny>,
    names: ColumnNames,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let reader = reader(source)?;
    let source = ArrowSource::new(reader, names, collection.schema()).or_raise(py)?;
    run(py, collection, source, Arc::new(Signals::new()), progress)
}

/// Loads a Python iterator of `(ids, vectors, metadata)` tuples, as [`input`] and [`payload`] read them, and of Arrow objects.
pub fn batches<'py>(
    py: Python<'py>,
    collection: &Collection,
    batches: Py<PyAny>,
    names: ColumnNames,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let signals = Arc::new(Signals::new());
    let iterator = batches.bind(py).try_iter()?.unbind();
    let schema = collection.schema().clone();
    let source = IteratorSource { iterator, names, schema, open: None, rows_read: 0, signals: signals.clone() };
    run(py, collection, source, signals, progress)
}

/// Rows that a Python iterator gives.
struct IteratorSource {
    iterator: Py<PyIterator>,
    names: ColumnNames,
    schema: Schema,
    open: Option<ArrowSource>,
    rows_read: u64,
    signals: Arc<Signals>,
}

/// One item of the iterator.
enum Item {
    Rows(RowBatch),
    Arrow(ArrowSource),
    End,
}

impl IteratorSource {
    fn item(&self, py: Python<'_>) -> PyResult<Item> {
        let Some(item) = self.iterator.bind(py).clone().next() else { return Ok(Item::End) };
        let item = item?;
        if let Ok(tuple) = item.cast::<PyTuple>() {
            type Given<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Option<Vec<FieldIn<'py>>>);
            let (ids, vectors, fields) = tuple.extract::<Given<'_>>()?;
            let ids = input::ids(&ids, &self.schema)?;
            let vectors = VectorsIn::read(&vectors, &self.schema)?.into_buffer()?;
            let payload = payload::columns(py, fields, ids.len())?;
            return Ok(Item::Rows(RowBatch { ids, vectors, payload }));
        }
        let source = ArrowSource::new(reader(&item)?, self.names.clone(), &self.schema).or_raise(py)?;
        Ok(Item::Arrow(source.numbered_from(self.rows_read)))
    }
}

impl RowSource for IteratorSource {
    fn rows_total(&self) -> Option<u64> {
        None
    }

    fn next(&mut self) -> Result<Option<RowBatch>> {
        loop {
            if let Some(batch) = self.open.as_mut().map_or(Ok(None), RowSource::next)? {
                self.rows_read += batch.rows() as u64;
                return Ok(Some(batch));
            }
            // What Python raised is kept in `signals` and raised again in place of this error.
            let item = self.signals.note(Python::attach(|py| self.item(py)));
            match item.ok_or_else(|| Error::invalid("the source of the load raised an exception"))? {
                Item::Rows(batch) => {
                    self.rows_read += batch.rows() as u64;
                    return Ok(Some(batch));
                }
                Item::Arrow(source) => self.open = Some(source),
                Item::End => return Ok(None),
            }
        }
    }
}

/// Runs a load without the GIL; reports progress and asks for signals between batches.
fn run<'py>(
    py: Python<'py>,
    collection: &Collection,
    mut source: impl RowSource,
    signals: Arc<Signals>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let mut stage = "";
    let mut report = |now: LoadProgress| {
        // The start and the end of a stage are always told: a callback can stop the shortest load before its commit.
        let turn = now.stage != stage || now.rows_total == Some(now.rows);
        stage = now.stage;
        if signals.due() || turn {
            signals.note(Python::attach(|py| {
                py.check_signals()?;
                match &progress {
                    Some(call) => call.call1(py, (now.rows, now.rows_total, now.stage)).map(|_| ()),
                    None => Ok(()),
                }
            }));
        }
        if signals.stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let loaded = py.detach(|| collection.load(&mut source, &mut report));
    let loaded = signals.finish(py, loaded)?;
    let entries = [("rows", loaded.rows), ("buckets", loaded.buckets), ("segments", loaded.segments)];
    let dict = output::counts(py, &entries)?;
    dict.set_item("seconds", loaded.seconds)?;
    Ok(dict)
}
