//! Group commit: one fsync for all writers that wait at the time.
//!
//! Layer 4. The first waiter becomes the leader and syncs up to what has been appended by then; the others wait for
//! it. A failed fsync poisons the log for ever and is never retried: the kernel may have dropped the pages, and a second
//! fsync would report success for data that is gone.

use crate::error::{Error, ErrorKind, Result};
use crate::storage::LogFile;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
struct State {
    synced: u64,
    syncing: bool,
    poison: Option<String>,
}

/// Makes a log durable up to an offset.
pub struct WalSync {
    log: Arc<dyn LogFile>,
    name: String,
    appended: AtomicU64,
    state: Mutex<State>,
    done: Condvar,
}

impl WalSync {
    /// For `log`, of which nothing is known to be durable.
    pub fn new(log: Arc<dyn LogFile>, name: String) -> WalSync {
        WalSync { log, name, appended: AtomicU64::new(0), state: Mutex::default(), done: Condvar::new() }
    }

    /// Notes that the log has been appended to up to `end`.
    pub fn appended(&self, end: u64) {
        self.appended.store(end, Ordering::Release);
    }

    /// Waits until everything below `end` is durable.
    pub fn sync_to(&self, end: u64) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            if let Some(reason) = &state.poison {
                return Err(poisoned(reason));
            }
            if state.synced >= end {
                return Ok(());
            }
            if !state.syncing {
                break;
            }
            self.done.wait(&mut state);
        }
        state.syncing = true;
        drop(state);
        let covered = self.appended.load(Ordering::Acquire);
        let outcome = self.log.sync();
        let mut state = self.state.lock();
        state.syncing = false;
        match outcome {
            Ok(()) => state.synced = state.synced.max(covered),
            Err(error) => state.poison = Some(format!("{}: {error}", self.name)),
        }
        self.done.notify_all();
        state.poison.as_deref().map_or(Ok(()), |reason| Err(poisoned(reason)))
    }

    /// Whether everything appended is durable.
    pub fn is_clean(&self) -> bool {
        self.state.lock().synced >= self.appended.load(Ordering::Acquire)
    }

    /// Refuses every further write.
    pub fn poison(&self, reason: String) {
        self.state.lock().poison.get_or_insert(reason);
        self.done.notify_all();
    }

    /// Why the log refuses writes, if it does.
    pub fn poisoned(&self) -> Option<String> {
        self.state.lock().poison.clone()
    }

    /// Fails when the log is poisoned.
    pub fn check(&self) -> Result<()> {
        self.poisoned().map_or(Ok(()), |reason| Err(poisoned(&reason)))
    }
}

fn poisoned(reason: &str) -> Error {
    Error::new(
        ErrorKind::Io,
        format!(
            "the log failed and takes no more writes ({reason}): reads go on; fix the storage and open the database again"
        ),
    )
}
