//! Group commit: many writers wait for one fsync.
//!
//! Layer 4. The first writer that needs bytes on disk becomes the leader and fsyncs all that was written up to then;
//! those who come meanwhile wait, and the next leader's fsync covers them all at once. A failed fsync poisons the log
//! for ever: the kernel may have dropped the pages and would report success the next time. So there is one fsync of the
//! file at a time, whoever asks for it.

use crate::error::{Error, ErrorKind, Result};
use crate::storage::SyncFile;
use crate::storage::failpoint::{Failpoint, reach};
use crate::sync::AtomicU64;
use crate::sync::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Waits for the durability of one log file, outside the lock of its writer.
pub struct WalSync {
    file: Arc<dyn SyncFile>,
    name: String,
    /// End of the last whole frame written.
    written: AtomicU64,
    /// End of what is known to be durable.
    synced: AtomicU64,
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Default)]
struct State {
    leader: bool,
    poison: Option<Arc<str>>,
}

impl WalSync {
    pub(super) fn new(file: Arc<dyn SyncFile>, name: String, durable: u64) -> WalSync {
        WalSync {
            file,
            name,
            written: AtomicU64::new(durable),
            synced: AtomicU64::new(durable),
            state: Mutex::default(),
            done: Condvar::new(),
        }
    }

    /// Returns when the file is durable up to `end`, an offset that `append` returned. What was durable before the log
    /// was poisoned stays so; for anything beyond, a poisoned log fails at once.
    pub fn sync_to(&self, end: u64) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            if self.synced() >= end {
                return Ok(());
            }
            if let Some(reason) = &state.poison {
                return Err(self.refusal(reason));
            }
            if state.leader {
                self.done.wait(&mut state);
                continue;
            }
            state.leader = true;
            let written = self.written.load(Ordering::Acquire);
            drop(state);
            let result = reach(Failpoint::LogSync).and_then(|()| self.file.sync());
            state = self.state.lock();
            state.leader = false;
            match result {
                Ok(()) => {
                    self.synced.fetch_max(written, Ordering::AcqRel);
                }
                Err(error) => state.poison = Some(error.message().into()),
            }
            self.done.notify_all();
            if self.synced() < end && state.poison.is_none() {
                return Err(Error::internal(format!("{}: offset {end} is beyond what was written", self.name)));
            }
        }
    }

    /// Runs `change`, which syncs the file itself, while nobody else does, and poisons the log when it fails. A disk tells
    /// of a failed write once for each open file: an fsync beside this one would report success for rows that are lost, and
    /// be believed.
    pub(super) fn alone(&self, change: impl FnOnce() -> std::result::Result<(), String>) {
        let mut state = self.state.lock();
        while state.leader {
            self.done.wait(&mut state);
        }
        state.leader = true;
        drop(state);
        let result = change();
        let mut state = self.state.lock();
        state.leader = false;
        if let Err(reason) = result {
            state.poison.get_or_insert_with(|| reason.into());
        }
        self.done.notify_all();
    }

    /// End of what is known to be durable.
    pub fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Why the log takes no more writes.
    pub fn poisoned(&self) -> Option<Arc<str>> {
        self.state.lock().poison.clone()
    }

    pub(super) fn check(&self) -> Result<()> {
        self.poisoned().map_or(Ok(()), |reason| Err(self.refusal(&reason)))
    }

    pub(super) fn poison(&self, reason: &str) {
        self.state.lock().poison.get_or_insert_with(|| reason.into());
        self.done.notify_all();
    }

    pub(super) fn set_written(&self, end: u64) {
        self.written.store(end, Ordering::Release);
    }

    fn refusal(&self, reason: &str) -> Error {
        Error::new(
            ErrorKind::Io,
            format!("the log {} takes no more writes ({reason}): close the database and open it again", self.name),
        )
    }
}
