//! Files that a job or a load writes before a manifest names them.
//!
//! Layer 5. They are written without the maintenance lock, for as long as that takes; whoever removes files that no manifest
//! names must leave them.

use super::{CollectionState, Maintenance};

/// Such files are being written. The maintenance lock is free when it is dropped.
pub struct Unnamed<'a>(&'a CollectionState);

impl Unnamed<'_> {
    /// A manifest names them now.
    pub fn end(self, maintenance: &mut Maintenance) {
        maintenance.has_unnamed = false;
        std::mem::forget(self);
    }
}

impl Drop for Unnamed<'_> {
    fn drop(&mut self) {
        self.0.maintenance.lock().has_unnamed = false;
    }
}

impl CollectionState {
    /// Keeps files that no manifest names from being removed. The caller holds the job lock, so there is one at a time.
    pub fn keep_unnamed(&self, maintenance: &mut Maintenance) -> Unnamed<'_> {
        maintenance.has_unnamed = true;
        Unnamed(self)
    }
}
