//! The handle of a database.

use crate::backup;
use crate::collection::Collection;
use crate::error::OrRaise;
use drift_core::clock::Components;
use drift_core::config::{Config, Durability, ExactRows, Recovery};
use drift_core::types::{Field, FieldType, IdType, Lifetime, Metric, Precision, Schema};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// An open database.
#[pyclass(frozen, module = "drift._core")]
pub struct Database {
    inner: drift_core::db::Database,
}

#[pymethods]
impl Database {
    #[new]
    fn open(
        py: Python<'_>,
        uri: &str,
        read_only: bool,
        durability: &str,
        recovery: &str,
        exact_rows: &str,
        memory_limit: Option<usize>,
    ) -> PyResult<Database> {
        let mut config =
            Config { read_only, durability: Durability::parse(durability).or_raise(py)?, ..Config::default() };
        config.recovery = Recovery::parse(recovery).or_raise(py)?;
        config.exact_rows = ExactRows::parse(exact_rows).or_raise(py)?;
        config.memory_limit_bytes = memory_limit.unwrap_or(config.memory_limit_bytes);
        let opened = py.detach(|| drift_core::db::Database::open(uri, config, Components::system()));
        Ok(Database { inner: opened.or_raise(py)? })
    }

    #[getter]
    fn uri(&self) -> &str {
        self.inner.uri()
    }

    #[allow(clippy::too_many_arguments)] // The Python signature; only drift._database calls it.
    fn create_collection(
        &self,
        py: Python<'_>,
        name: &str,
        dim: usize,
        metric: &str,
        id_type: &str,
        precision: &str,
        fields: Vec<(String, String)>,
        time: Option<String>,
        ttl: Option<i64>,
        exist_ok: bool,
    ) -> PyResult<Collection> {
        let metric = Metric::parse(metric).or_raise(py)?;
        let id_type = IdType::parse(id_type).or_raise(py)?;
        let precision = Precision::parse(precision).or_raise(py)?;
        let schema = Schema::new(dim, metric, id_type).or_raise(py)?.with_precision(precision);
        let field = |(name, kind): (String, String)| FieldType::parse(&kind).map(|kind| Field { name, kind });
        let fields = fields.into_iter().map(field).collect::<Result<Vec<_>, _>>().or_raise(py)?;
        let schema = schema.with_fields(fields).or_raise(py)?;
        let schema = schema.with_lifetime(Lifetime { time, ttl }).or_raise(py)?;
        let created = py.detach(|| self.inner.create_collection(name, schema, exist_ok));
        Ok(Collection::new(created.or_raise(py)?))
    }

    fn open_collection(&self, py: Python<'_>, name: &str) -> PyResult<Collection> {
        Ok(Collection::new(py.detach(|| self.inner.open_collection(name)).or_raise(py)?))
    }

    fn list_collections(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        py.detach(|| self.inner.collections()).or_raise(py)
    }

    fn drop_collection(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        py.detach(|| self.inner.drop_collection(name)).or_raise(py)
    }

    fn refresh(&self, py: Python<'_>) -> PyResult<bool> {
        py.detach(|| self.inner.refresh()).or_raise(py)
    }

    fn backup<'py>(
        &self,
        py: Python<'py>,
        uri: &str,
        incremental: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        backup::run(py, progress, |report| self.inner.backup(uri, incremental, report))
    }

    fn given_up(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        py.detach(|| self.inner.given_up()).or_raise(py)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.inner.close()).or_raise(py)
    }
}
