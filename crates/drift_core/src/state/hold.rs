//! Which threads are in a call that holds locks while it calls its caller back.
//!
//! Layer 5. A bulk load, `optimize` and `verify` tell of their progress, and whoever is told, or a signal's handler that runs
//! meanwhile, may call the collection again. What would wait for a lock that this very thread holds must fail instead: it
//! would wait for ever. Other threads wait, as ever.

use super::CollectionState;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{ThreadId, thread_id};
use parking_lot::Mutex;

/// The threads.
#[derive(Default)]
pub(super) struct Holders(Mutex<Vec<ThreadId>>);

/// Says, until it is dropped, that its thread holds locks.
pub struct Hold<'a> {
    holders: &'a Holders,
    thread: ThreadId,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut holders = self.holders.0.lock();
        if let Some(place) = holders.iter().position(|holder| *holder == self.thread) {
            holders.swap_remove(place);
        }
    }
}

impl CollectionState {
    /// Says that this thread holds locks, or is about to wait for them, and may call its caller back.
    pub fn hold(&self) -> Hold<'_> {
        let thread = thread_id();
        self.holders.0.lock().push(thread);
        Hold { holders: &self.holders, thread }
    }

    /// Fails when this thread is in a call that holds what the caller is about to wait for.
    pub fn check_unheld(&self) -> Result<()> {
        if self.holders.0.lock().contains(&thread_id()) {
            return Err(Error::new(
                ErrorKind::Locked,
                format!(
                    "collection {:?}: this thread is in the middle of a load(), optimize() or verify() of it, for which \
                     this call would have to wait: call it when that has returned",
                    self.name
                ),
            ));
        }
        Ok(())
    }
}
