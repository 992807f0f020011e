//! Engine errors to Python exceptions: one class for each kind, defined in `drift._errors`.

use drift_core::error::{Error, ErrorKind};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;

/// Name of the class in `drift._errors`.
fn class_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "InvalidArgumentError",
        ErrorKind::NotFound => "NotFoundError",
        ErrorKind::AlreadyExists => "AlreadyExistsError",
        ErrorKind::Locked => "LockedError",
        ErrorKind::Fenced => "FencedError",
        ErrorKind::ReadOnly => "ReadOnlyError",
        ErrorKind::Closed => "ClosedError",
        ErrorKind::Forked => "ForkError",
        ErrorKind::Exhausted => "ResourceExhaustedError",
        ErrorKind::Timeout => "TimeoutError",
        ErrorKind::UnsupportedFormat => "UnsupportedFormatError",
        ErrorKind::Corrupt => "CorruptionError",
        ErrorKind::Interrupted | ErrorKind::Io | ErrorKind::Internal => "DriftError",
    }
}

/// The exception for an engine error, its source as the cause's text.
pub fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    if error.kind() == ErrorKind::Interrupted {
        return PyKeyboardInterrupt::new_err(error.message().to_owned());
    }
    let class = py.import("drift._errors").and_then(|module| module.getattr(class_name(error.kind())));
    match class.and_then(|class| class.call1((error.message(),))) {
        Ok(exception) => PyErr::from_value(exception),
        Err(import) => PyRuntimeError::new_err(format!("{error} ({import})")),
    }
}

/// Turns the engine's result into Python's.
pub trait OrRaise<T> {
    /// The value, or the exception for the error.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for drift_core::error::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| to_python(py, &error))
    }
}
