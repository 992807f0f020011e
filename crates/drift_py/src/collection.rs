//! The handle of a collection.

use crate::error::OrRaise;
use crate::explain;
use crate::filter;
use crate::health;
use crate::input::{self, VectorsIn};
use crate::load;
use crate::output;
use crate::payload::{self, FieldIn, FieldOut};
use crate::signals::Signals;
use crate::work;
use drift_core::db::Budget;
use drift_core::search::Page;
use drift_core::types::{Confidence, Decay, IdRef, Missing, SearchOptions, Vectors};
use numpy::{PyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use std::path::PathBuf;

/// An open collection.
#[pyclass(frozen, module = "drift._core")]
pub struct Collection {
    inner: drift_core::db::Collection,
}

/// Ids and distances of a search, or ids and vectors of a lookup, and the payload that was asked for.
type Triple<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Vec<FieldOut<'py>>);

/// What a [`Budget`] consists of.
type BudgetTuple = (f64, Option<u64>, Option<u64>, Option<(u8, u8)>);

/// `target_confidence`, `routing`, `lambda_` and `tau`.
type ConfidenceTuple = (Option<f32>, Option<String>, Option<f32>, Option<f32>);

/// `field`, `half_life` in microseconds, `weight` and `at` in microseconds since 1970 UTC.
type DecayTuple = (String, f64, f32, i64);

fn read_confidence(py: Python<'_>, options: Option<ConfidenceTuple>) -> PyResult<Option<Confidence>> {
    let Some((target, routing, lambda, tau)) = options else { return Ok(None) };
    Confidence::from_options(target, routing.as_deref(), lambda, tau).or_raise(py)
}

/// The values, widened into `room` when they are f16.
fn as_f32<'a>(values: Vectors<'a>, room: &'a mut Vec<f32>) -> &'a [f32] {
    match values {
        Vectors::F32(values) => values,
        halves => {
            room.resize(halves.values(), 0.0);
            halves.copy_to_f32(room);
            room
        }
    }
}

impl Collection {
    /// The handle around the engine's.
    pub fn new(inner: drift_core::db::Collection) -> Collection {
        Collection { inner }
    }
}

#[pymethods]
impl Collection {
    #[getter]
    fn name(&self) -> &str {
        self.inner.name()
    }

    #[getter]
    fn dim(&self) -> usize {
        self.inner.schema().dim
    }

    #[getter]
    fn precision(&self) -> &'static str {
        self.inner.schema().precision.name()
    }

    #[getter]
    fn metric(&self) -> &'static str {
        self.inner.schema().metric.name()
    }

    #[getter]
    fn id_type(&self) -> &'static str {
        self.inner.schema().id_type.name()
    }

    /// The field that is each row's time.
    #[getter]
    fn time(&self) -> Option<&str> {
        self.inner.schema().lifetime.time.as_deref()
    }

    /// Microseconds after its time at which a row expires.
    #[getter]
    fn ttl(&self) -> Option<i64> {
        self.inner.schema().lifetime.ttl
    }

    fn add(
        &self,
        py: Python<'_>,
        ids: &Bound<'_, PyAny>,
        vectors: &Bound<'_, PyAny>,
        payload: Option<Vec<FieldIn<'_>>>,
    ) -> PyResult<()> {
        let ids = input::ids(ids, self.inner.schema())?;
        let vectors = VectorsIn::read(vectors, self.inner.schema())?;
        let view = vectors.view()?;
        let payload = payload::columns(py, payload, ids.len())?;
        py.detach(|| self.inner.add(&ids, view, payload.as_ref())).or_raise(py)
    }

    fn upsert(
        &self,
        py: Python<'_>,
        ids: &Bound<'_, PyAny>,
        vectors: &Bound<'_, PyAny>,
        payload: Option<Vec<FieldIn<'_>>>,
    ) -> PyResult<()> {
        let ids = input::ids(ids, self.inner.schema())?;
        let vectors = VectorsIn::read(vectors, self.inner.schema())?;
        let view = vectors.view()?;
        let payload = payload::columns(py, payload, ids.len())?;
        py.detach(|| self.inner.upsert(&ids, view, payload.as_ref())).or_raise(py)
    }

    fn delete(&self, py: Python<'_>, ids: &Bound<'_, PyAny>) -> PyResult<u64> {
        let ids = input::ids(ids, self.inner.schema())?;
        py.detach(|| self.inner.delete(&ids)).or_raise(py)
    }

    fn update_metadata(
        &self,
        py: Python<'_>,
        ids: &Bound<'_, PyAny>,
        payload: Vec<FieldIn<'_>>,
        removed: Vec<(usize, String)>,
    ) -> PyResult<u64> {
        let ids = input::ids(ids, self.inner.schema())?;
        let changes = payload::columns(py, Some(payload), ids.len())?.unwrap_or_default();
        py.detach(|| self.inner.update_payload(&ids, &changes, &removed)).or_raise(py)?;
        Ok(ids.len() as u64)
    }

    /// Changes all rows that match in the same way; how many there were.
    fn update_where(
        &self,
        py: Python<'_>,
        filter: &Bound<'_, PyTuple>,
        payload: Vec<FieldIn<'_>>,
        removed: Vec<String>,
    ) -> PyResult<u64> {
        let Some(filter) = filter::filter(Some(filter))? else { return Ok(0) };
        let changes = payload::columns(py, Some(payload), 1)?.unwrap_or_default();
        py.detach(|| self.inner.update_payload_where(&filter, &changes, &removed)).or_raise(py)
    }

    /// Names and types of the fields.
    fn fields(&self, py: Python<'_>) -> PyResult<Vec<(String, &'static str)>> {
        let fields = self.inner.fields().or_raise(py)?;
        Ok(fields.into_iter().map(|field| (field.name, field.kind.name())).collect())
    }

    fn count(&self, py: Python<'_>, filter: &Bound<'_, PyTuple>) -> PyResult<u64> {
        let Some(filter) = filter::filter(Some(filter))? else { return Ok(0) };
        py.detach(|| self.inner.count(&filter)).or_raise(py)
    }

    fn delete_where(&self, py: Python<'_>, filter: &Bound<'_, PyTuple>) -> PyResult<u64> {
        let Some(filter) = filter::filter(Some(filter))? else { return Ok(0) };
        py.detach(|| self.inner.delete_where(&filter)).or_raise(py)
    }

    /// The next `limit` rows in order of id: ids, vectors and payload.
    fn page<'py>(
        &self,
        py: Python<'py>,
        filter: Option<&Bound<'py, PyTuple>>,
        after: Option<&Bound<'py, PyAny>>,
        limit: usize,
        vectors: bool,
        include: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Triple<'py>> {
        let filter = filter::filter(filter)?;
        let include = payload::include(include)?;
        let text = after.and_then(|after| after.cast::<PyString>().ok()).map(|text| text.to_str()).transpose()?;
        let after = match (text, after) {
            (Some(text), _) => Some(IdRef::Str(text)),
            (None, Some(after)) => Some(IdRef::Int(after.extract()?)),
            (None, None) => None,
        };
        let page = Page { filter: filter.as_ref(), after, limit, vectors, include };
        let rows = py.detach(|| self.inner.page(&page)).or_raise(py)?;
        let shape = (rows.ids.len(), if vectors { self.inner.schema().dim } else { 0 });
        let payload = payload::fields(py, &rows.payload)?;
        Ok((output::ids(py, rows.ids), output::matrix(py, rows.vectors, shape, false)?, payload))
    }

    fn get<'py>(
        &self,
        py: Python<'py>,
        ids: &Bound<'py, PyAny>,
        missing: &str,
        include: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Triple<'py>> {
        let ids = input::ids(ids, self.inner.schema())?;
        let missing = Missing::parse(missing).or_raise(py)?;
        let include = payload::include(include)?;
        let rows = py.detach(|| self.inner.get(&ids, missing, &include)).or_raise(py)?;
        let shape = (rows.ids.len(), self.inner.schema().dim);
        let payload = payload::fields(py, &rows.payload)?;
        Ok((output::ids(py, rows.ids), output::matrix(py, rows.vectors, shape, false)?, payload))
    }

    fn contains(&self, py: Python<'_>, id: &Bound<'_, PyAny>) -> PyResult<bool> {
        if let Ok(text) = id.cast::<PyString>() {
            let text = text.to_str()?;
            return py.detach(|| self.inner.contains(IdRef::Str(text))).or_raise(py);
        }
        let number: i64 = id.extract()?;
        py.detach(|| self.inner.contains(IdRef::Int(number))).or_raise(py)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(py.detach(|| self.inner.len()).or_raise(py)? as usize)
    }

    fn ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(output::ids(py, py.detach(|| self.inner.ids()).or_raise(py)?))
    }

    #[allow(clippy::too_many_arguments)] // Positional on purpose: this is the hot call, and only drift._collection makes it.
    fn search<'py>(
        &self,
        py: Python<'py>,
        queries: &Bound<'py, PyAny>,
        k: usize,
        recall: Option<f32>,
        exact: bool,
        nprobe: Option<usize>,
        threads: Option<usize>,
        filter: Option<&Bound<'py, PyTuple>>,
        include: Option<&Bound<'py, PyAny>>,
        confidence: Option<ConfidenceTuple>,
        decay: Option<DecayTuple>,
    ) -> PyResult<Triple<'py>> {
        let flat = queries.cast::<PyArrayDyn<f32>>().is_ok_and(|array| array.ndim() == 1);
        let queries = VectorsIn::read(queries, self.inner.schema())?;
        let mut widened = Vec::new();
        let values = as_f32(queries.view()?, &mut widened);
        let confidence = read_confidence(py, confidence)?;
        let (filter, include) = (filter::filter(filter)?, payload::include(include)?);
        let decay = decay.map(|(field, half_life, weight, at)| Decay { field, half_life, weight, at });
        let options = SearchOptions { k, recall, exact, nprobe, threads, filter, include, confidence, decay };
        let signals = Signals::new();
        let found = py.detach(|| self.inner.search(values, &options, &|| signals.stop()));
        let hits = signals.finish(py, found)?;
        let shape = (hits.queries, hits.k);
        let payload = payload::fields(py, &hits.payload)?;
        Ok((output::hit_ids(py, hits.ids, shape, flat)?, output::matrix(py, hits.distances, shape, flat)?, payload))
    }

    #[allow(clippy::too_many_arguments)] // Positional, as `search`: only drift._collection makes it.
    fn explain<'py>(
        &self,
        py: Python<'py>,
        query: &Bound<'py, PyAny>,
        k: usize,
        recall: Option<f32>,
        nprobe: Option<usize>,
        filter: Option<&Bound<'py, PyTuple>>,
        confidence: Option<ConfidenceTuple>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let query = VectorsIn::read(query, self.inner.schema())?;
        let mut widened = Vec::new();
        let values = as_f32(query.view()?, &mut widened);
        let confidence = read_confidence(py, confidence)?;
        let options = SearchOptions {
            k,
            recall,
            nprobe,
            filter: filter::filter(filter)?,
            confidence,
            ..SearchOptions::default()
        };
        explain::to_dict(py, py.detach(|| self.inner.explain(values, &options)).or_raise(py)?)
    }

    fn load_parquet<'py>(
        &self,
        py: Python<'py>,
        paths: Vec<PathBuf>,
        id: String,
        vector: String,
        metadata: Option<&Bound<'py, PyAny>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        load::parquet(py, &self.inner, &paths, load::names(id, vector, metadata)?, progress)
    }

    fn load_arrow<'py>(
        &self,
        py: Python<'py>,
        source: &Bound<'py, PyAny>,
        id: String,
        vector: String,
        metadata: Option<&Bound<'py, PyAny>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        load::arrow(py, &self.inner, source, load::names(id, vector, metadata)?, progress)
    }

    fn load_batches<'py>(
        &self,
        py: Python<'py>,
        batches: Py<PyAny>,
        id: String,
        vector: String,
        metadata: Option<&Bound<'py, PyAny>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        load::batches(py, &self.inner, batches, load::names(id, vector, metadata)?, progress)
    }

    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.inner.flush()).or_raise(py)
    }

    fn refresh(&self, py: Python<'_>) -> PyResult<bool> {
        py.detach(|| self.inner.refresh()).or_raise(py)
    }

    fn optimize<'py>(&self, py: Python<'py>, progress: Option<Py<PyAny>>) -> PyResult<Bound<'py, PyDict>> {
        let report = work::run(py, progress, |watch| self.inner.optimize_watched(watch))?;
        let dict = output::counts(py, &report.entries())?;
        dict.set_item("seconds", report.seconds)?;
        Ok(dict)
    }

    fn health<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let health = py.detach(|| self.inner.health()).or_raise(py)?;
        health::to_dict(py, health)
    }

    fn run_maintenance<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let records = py.detach(|| self.inner.run_maintenance()).or_raise(py)?;
        records.iter().map(|record| output::job(py, record)).collect()
    }

    fn pause_maintenance(&self, py: Python<'_>) -> PyResult<()> {
        self.inner.pause_maintenance().or_raise(py)
    }

    fn resume_maintenance(&self, py: Python<'_>) -> PyResult<()> {
        self.inner.resume_maintenance().or_raise(py)
    }

    fn is_maintenance_paused(&self, py: Python<'_>) -> PyResult<bool> {
        self.inner.is_maintenance_paused().or_raise(py)
    }

    /// Share, rows and bytes per second, quiet hours.
    fn budget(&self, py: Python<'_>) -> PyResult<BudgetTuple> {
        let Budget { share, rows_per_second, bytes_per_second, quiet_hours } = self.inner.budget().or_raise(py)?;
        Ok((share, rows_per_second, bytes_per_second, quiet_hours))
    }

    fn set_budget(
        &self,
        py: Python<'_>,
        share: f64,
        rows_per_second: Option<u64>,
        bytes_per_second: Option<u64>,
        quiet_hours: Option<(u8, u8)>,
    ) -> PyResult<()> {
        let budget = Budget { share, rows_per_second, bytes_per_second, quiet_hours };
        self.inner.set_budget(budget).or_raise(py)
    }

    fn verify<'py>(&self, py: Python<'py>, repair: bool, progress: Option<Py<PyAny>>) -> PyResult<Bound<'py, PyDict>> {
        let report = work::run(py, progress, |watch| match repair {
            true => self.inner.repair_watched(watch),
            false => self.inner.verify_watched(watch),
        })?;
        let dict = output::counts(py, &[("files", report.files), ("bytes", report.bytes), ("rows", report.rows)])?;
        dict.set_item("problems", report.problems)?;
        dict.set_item("repaired", report.repaired)?;
        Ok(dict)
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (stats, jobs) = py.detach(|| Ok((self.inner.stats()?, self.inner.jobs()?))).or_raise(py)?;
        let dict = output::counts(py, &stats.entries())?;
        let latency = stats.latency.map(|found| output::latency(py, &found)).transpose()?;
        dict.set_item("search_ms", latency)?;
        let jobs: PyResult<Vec<_>> = jobs.iter().map(|record| output::job(py, record)).collect();
        dict.set_item("jobs", jobs?)?;
        dict.set_item("degraded", stats.degraded)?;
        dict.set_item("poisoned", stats.poisoned)?;
        Ok(dict)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.inner.close()).or_raise(py)
    }
}
