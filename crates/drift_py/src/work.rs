//! Verify and optimize, with progress and Ctrl-C.

use crate::signals::Signals;
use drift_core::error::Result;
use drift_core::types::{OnWork, WorkProgress};
use pyo3::prelude::*;
use std::ops::ControlFlow;

/// Runs `call` without the GIL; reports progress and asks for signals between its pieces.
pub fn run<T: Send>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    call: impl FnOnce(OnWork<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    let signals = Signals::new();
    let mut stage = "";
    let mut report = |now: WorkProgress| {
        // Start and end of a stage are always told.
        let turn = now.stage != stage || now.done == now.total;
        stage = now.stage;
        if signals.due() || turn {
            signals.note(Python::attach(|py| {
                py.check_signals()?;
                match &progress {
                    Some(call) => call.call1(py, (now.done, now.total, now.stage)).map(|_| ()),
                    None => Ok(()),
                }
            }));
        }
        if signals.stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let done = py.detach(|| call(&mut report));
    signals.finish(py, done)
}
