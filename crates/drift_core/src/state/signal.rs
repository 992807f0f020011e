//! A wake-up call for a background thread: which kinds of work have come up since it last looked.
//!
//! Layer 5. Written by the write and read paths, read by the one thread that waits for it. Work that comes twice is done
//! once.

use crate::sync::{Condvar, Mutex};
use std::time::Duration;

/// Kinds of background work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// A memtable is frozen.
    pub flush: bool,
    /// The log has bytes that were never fsynced.
    pub sync: bool,
    /// Live queries wait to be searched again.
    pub shadow: bool,
    /// Maintenance may have become due.
    pub maintain: bool,
    /// A row expires before all others.
    pub expiry: bool,
    /// The active memtable is large enough for a graph.
    pub graph: bool,
    /// The worker has done its task.
    pub done: bool,
    /// The collection closes: end the thread.
    pub stop: bool,
}

/// Set by many, awaited by one.
#[derive(Default)]
pub struct Signal {
    state: Mutex<State>,
    changed: Condvar,
    rested: Condvar,
}

#[derive(Default)]
struct State {
    pending: Work,
    /// The scheduler waits, and for nothing but more work or the next row to expire: no other time is set at which it goes on
    /// by itself.
    resting: bool,
}

impl Signal {
    /// Adds work and wakes the scheduler.
    pub fn raise(&self, add: impl FnOnce(&mut Work)) {
        add(&mut self.state.lock().pending);
        self.changed.notify_all();
    }

    /// Whether the collection closes.
    pub fn stopping(&self) -> bool {
        self.state.lock().pending.stop
    }

    /// Waits until there is work, or until `timeout`, and takes it; `stop` stays set for ever. Whoever `rests` waits for
    /// nothing that is due.
    pub fn take(&self, timeout: Option<Duration>, rests: bool) -> Work {
        let mut state = self.state.lock();
        if state.pending == Work::default() {
            state.resting = rests;
            if rests {
                self.rested.notify_all();
            }
            match timeout {
                Some(timeout) => drop(self.changed.wait_for(&mut state, timeout)),
                None => self.changed.wait(&mut state),
            }
            state.resting = false;
        }
        let stop = state.pending.stop;
        std::mem::replace(&mut state.pending, Work { stop, ..Work::default() })
    }

    /// Waits until the scheduler rests, at most for `timeout`; whether it does.
    pub fn await_rest(&self, timeout: Duration) -> bool {
        let mut state = self.state.lock();
        let is_busy = |state: &mut State| !state.resting || state.pending != Work::default();
        !self.rested.wait_while_for(&mut state, is_busy, timeout).timed_out()
    }
}
