//! Ctrl-C and Python callbacks inside calls that have released the GIL.
//!
//! Python handles signals on its main thread, when that thread asks. [`Signals::stop`] asks for it, on the caller's
//! thread and at most every [`INTERVAL`]; other threads see the answer through an atomic. What Python raised is kept
//! and takes the place of the engine's error.

use crate::error::to_python;
use drift_core::error::Result;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// A person does not notice 50 ms, and twenty GIL round trips a second cost nothing.
pub const INTERVAL: Duration = Duration::from_millis(50);

/// State of one interruptible call.
pub struct Signals {
    caller: ThreadId,
    start: Instant,
    asked_ms: AtomicU64,
    stopped: AtomicBool,
    raised: Mutex<Option<PyErr>>,
}

impl Signals {
    /// For a call that starts now on this thread.
    #[allow(clippy::disallowed_methods)] // The binding's own pacing; the engine's clock is not involved.
    pub fn new() -> Signals {
        Signals {
            caller: std::thread::current().id(),
            start: Instant::now(),
            asked_ms: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            raised: Mutex::new(None),
        }
    }

    /// Whether [`INTERVAL`] has passed since this last said so.
    pub fn due(&self) -> bool {
        let now = self.start.elapsed().as_millis() as u64;
        let due = now >= self.asked_ms.load(Ordering::Relaxed) + INTERVAL.as_millis() as u64;
        if due {
            self.asked_ms.store(now, Ordering::Relaxed);
        }
        due
    }

    /// Whether the call must stop; asks Python when it is time to.
    pub fn stop(&self) -> bool {
        if !self.stopped.load(Ordering::Relaxed) && std::thread::current().id() == self.caller && self.due() {
            self.note(Python::attach(|py| py.check_signals()));
        }
        self.stopped.load(Ordering::Relaxed)
    }

    /// Keeps what Python raised, if anything, and stops the call for it. Returns the value, if there is one.
    pub fn note<T>(&self, result: PyResult<T>) -> Option<T> {
        result
            .map_err(|raised| {
                self.raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(raised);
                self.stopped.store(true, Ordering::Relaxed);
            })
            .ok()
    }

    /// The call's result: the engine's, or what Python raised while it ran.
    pub fn finish<T>(&self, py: Python<'_>, result: Result<T>) -> PyResult<T> {
        let raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (result, raised) {
            (Err(_), Some(raised)) => Err(raised),
            (Err(error), None) => Err(to_python(py, &error)),
            // The work was done before anyone asked again; the signal must not be lost, nor the result be repeated.
            (Ok(_), Some(raised)) => Err(raised),
            (Ok(value), None) => Ok(value),
        }
    }
}
