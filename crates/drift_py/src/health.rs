//! The health of a collection as a dictionary, with a NumPy array for each figure that buckets have.

use crate::output;
use drift_core::db::{Backlog, Health};
use numpy::IntoPyArray;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// All of it; `drift._health` says what the keys mean.
pub fn to_dict<'py>(py: Python<'py>, health: Health) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let recalls = health.recalls.iter().map(|of| (of.target, of.recall, of.low, of.high, of.queries, of.asked.name()));
    dict.set_item("recalls", recalls.collect::<Vec<_>>())?;
    dict.set_item("rows", health.rows)?;
    dict.set_item("dead_rows", health.dead_rows)?;
    dict.set_item("segment_rows", health.segment_rows)?;
    dict.set_item("segments", health.segments)?;
    dict.set_item("bucket_rows", health.bucket_rows.into_pyarray(py))?;
    dict.set_item("bucket_dead", health.bucket_dead.into_pyarray(py))?;
    dict.set_item("bucket_drift", health.bucket_drift.into_pyarray(py))?;
    let Backlog { split, merge, clear, examine, segments, memtables } = health.backlog;
    let backlog = [
        ("split", split),
        ("merge", merge),
        ("clear", clear),
        ("examine", examine),
        ("segments", segments),
        ("memtables", memtables),
    ];
    dict.set_item("backlog", output::counts(py, &backlog)?)?;
    let jobs: PyResult<Vec<_>> = health.jobs.iter().map(|record| output::job(py, record)).collect();
    dict.set_item("jobs", jobs?)?;
    let timeline = health.timeline.iter().map(|at| (at.time, at.recall, at.codes, at.rows, at.buckets));
    dict.set_item("timeline", timeline.collect::<Vec<_>>())?;
    dict.set_item("bytes_inserted", health.bytes_inserted)?;
    dict.set_item("bytes_moved", health.bytes_moved)?;
    dict.set_item("paused", health.paused)?;
    dict.set_item("degraded", health.degraded)?;
    dict.set_item("poisoned", health.poisoned)?;
    Ok(dict)
}
