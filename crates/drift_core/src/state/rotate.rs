//! Rotation: the active memtable is frozen, and a new one with a log of its own takes its place.
//!
//! Layer 5. The old log is fsynced first, so that only the newest log can have a torn tail.

use super::{CollectionState, Version, Writes};
use crate::error::Result;
use crate::memtable::Memtable;
use crate::types::Seq;
use crate::wal::WalWriter;
use std::sync::Arc;

impl CollectionState {
    /// Freezes the active memtable unless it is empty; whether it did.
    pub fn rotate(&self, writes: &mut Writes) -> Result<bool> {
        let version = self.pin();
        if version.active.is_empty() {
            return Ok(false);
        }
        let number = version.active.wal_last() + 1;
        if let (Some(wal), Some(wal_sync)) = (&writes.wal, &writes.wal_sync) {
            wal_sync.sync_to(wal.end())?;
            let next = wal.create_next(&*self.backend, number, self.identity)?;
            writes.wal_sync = Some(next.syncer());
            writes.wal = Some(next);
        }
        let mut frozen = version.frozen.to_vec();
        frozen.push(version.active.clone());
        let active = Arc::new(Memtable::new(&self.schema, number));
        self.publish(writes, Version { active, frozen: frozen.into(), ..(*version).clone() });
        Ok(true)
    }

    /// Creates log `number`, whose first write has `next_seq`.
    pub fn create_log(&self, number: u64, next_seq: Seq) -> Result<WalWriter> {
        WalWriter::create(&*self.backend, number, self.identity, &self.schema, next_seq)
    }
}
