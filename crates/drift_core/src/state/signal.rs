//! A wake-up call for the scheduler: which kinds of work have come up since it last looked.
//!
//! Layer 5. Written by the write and read paths, read by the scheduler's one thread. Work that comes twice is done
//! once.

use parking_lot::{Condvar, Mutex};
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
    /// The active memtable is large enough for a graph.
    pub graph: bool,
    /// The collection closes: end the thread.
    pub stop: bool,
}

/// Set by many, awaited by one.
#[derive(Default)]
pub struct Signal {
    pending: Mutex<Work>,
    changed: Condvar,
}

impl Signal {
    /// Adds work and wakes the scheduler.
    pub fn raise(&self, add: impl FnOnce(&mut Work)) {
        add(&mut self.pending.lock());
        self.changed.notify_all();
    }

    /// Whether the collection closes.
    pub fn stopping(&self) -> bool {
        self.pending.lock().stop
    }

    /// Waits until there is work, or until `timeout`, and takes it; `stop` stays set for ever.
    pub fn take(&self, timeout: Option<Duration>) -> Work {
        let mut pending = self.pending.lock();
        if *pending == Work::default() {
            match timeout {
                Some(timeout) => drop(self.changed.wait_for(&mut pending, timeout)),
                None => self.changed.wait(&mut pending),
            }
        }
        let stop = pending.stop;
        std::mem::replace(&mut *pending, Work { stop, ..Work::default() })
    }
}
