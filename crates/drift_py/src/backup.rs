//! Backups and restores, with progress and Ctrl-C.

use crate::error::OrRaise;
use crate::signals::Signals;
use drift_core::db::{self, BackupInfo, BackupProgress, Moment};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::ops::ControlFlow;
use std::time::Duration;

/// Runs `call` without the GIL; reports progress and asks for signals between pieces.
pub fn run<'py>(
    py: Python<'py>,
    progress: Option<Py<PyAny>>,
    call: impl FnOnce(&mut dyn FnMut(BackupProgress) -> ControlFlow<()>) -> drift_core::error::Result<BackupInfo> + Send,
) -> PyResult<Bound<'py, PyDict>> {
    let signals = Signals::new();
    let mut report = |now: BackupProgress| {
        // Start and end of a collection are always told: a callback can stop the shortest call before its commit.
        if signals.due() || now.bytes == 0 || now.bytes == now.bytes_total {
            signals.note(Python::attach(|py| {
                py.check_signals()?;
                match &progress {
                    Some(call) => call.call1(py, (now.bytes, now.bytes_total, now.collection)).map(|_| ()),
                    None => Ok(()),
                }
            }));
        }
        if signals.stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let done = py.detach(|| call(&mut report));
    to_dict(py, signals.finish(py, done)?)
}

fn to_dict(py: Python<'_>, info: BackupInfo) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("number", info.number)?;
    dict.set_item("time_us", info.time.as_micros())?;
    dict.set_item("incremental", info.incremental)?;
    dict.set_item("collections", info.collections)?;
    dict.set_item("files", info.files)?;
    dict.set_item("bytes", info.bytes)?;
    dict.set_item("files_copied", info.files_copied)?;
    dict.set_item("bytes_copied", info.bytes_copied)?;
    Ok(dict)
}

/// The backups in a folder.
#[pyfunction]
pub fn backups<'py>(py: Python<'py>, uri: &str) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let found = py.detach(|| db::backups(uri)).or_raise(py)?;
    found.into_iter().map(|info| to_dict(py, info)).collect()
}

/// Problems of the backups in a folder.
#[pyfunction]
pub fn verify_backups(py: Python<'_>, uri: &str) -> PyResult<Vec<String>> {
    py.detach(|| db::verify_backups(uri)).or_raise(py)
}

/// Restores the backup of a number, or of a time in microseconds since 1970, or the newest.
#[pyfunction]
#[pyo3(signature = (backup, target, number, time_us, progress))]
pub fn restore<'py>(
    py: Python<'py>,
    backup: &str,
    target: &str,
    number: Option<u64>,
    time_us: Option<u64>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let moment = match (number, time_us) {
        (Some(number), _) => Moment::Number(number),
        (None, Some(time)) => Moment::Time(Duration::from_micros(time)),
        (None, None) => Moment::Newest,
    };
    run(py, progress, |report| db::restore(backup, target, moment, report))
}
