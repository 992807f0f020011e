//! Holds the files of a collection open as they are at one moment, while a writer, here or in another process, goes on.
//!
//! Layer 7; read-only handles and backups work on the result. A writer deletes what its newest manifests no longer name,
//! so a reader takes the newest manifest, opens all that it names and the logs, and then looks whether that manifest is
//! still the newest one: if so, no commit came in between, and manifest and logs together are the state at that moment.
//! Otherwise it begins anew. The newest log may end in a frame that is being written: replay takes it for a torn end.

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Manifest, ManifestStore};
use crate::storage::{Backend, SnapshotBackend, names};
use std::sync::Arc;

/// Tries before giving up. A try takes some system calls for each file, a commit at least one fsync; so few of them
/// meet a commit, and to meet so many in a row takes a fault.
const TRIES_MAX: usize = 1_000;

/// A collection at one moment.
pub(super) struct Snapshot {
    pub(super) manifest: Manifest,
    pub(super) files: Arc<SnapshotBackend>,
}

/// Takes a snapshot of the collection `identity`, whose folder `backend` is scoped to. Files that are missing without
/// a commit to explain it are missing in the snapshot, and found out by whoever needs them. NotFound when there is no
/// manifest: the collection was dropped.
pub(super) fn take(backend: &Arc<dyn Backend>, identity: u128) -> Result<Snapshot> {
    for _ in 0..TRIES_MAX {
        let number = newest(&**backend)?;
        let taken = try_take(backend, identity);
        if number == newest(&**backend)? {
            let gone = || Error::not_found(format!("{} has no manifest", backend.describe()));
            return taken?.ok_or_else(gone);
        }
    }
    Err(Error::new(
        ErrorKind::Timeout,
        format!("{}: each of {TRIES_MAX} tries to read it met a commit: try again", backend.describe()),
    ))
}

/// Runs `read` on a snapshot, and again on another one where it met a log that a writer has cut or removed meanwhile: a
/// writer that opens the collection writes the end of the last log anew, into the next one, and cuts it off.
pub(super) fn read<T>(
    backend: &Arc<dyn Backend>,
    identity: u128,
    mut read: impl FnMut(Snapshot) -> Result<T>,
) -> Result<T> {
    let mut tries = 1;
    loop {
        let snapshot = take(backend, identity)?;
        let files = snapshot.files.clone();
        match read(snapshot) {
            Err(error) if error.kind() == ErrorKind::Corrupt && tries < TRIES_MAX && is_cut(&**backend, &files) => {
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Whether a log is shorter than it was, or gone.
fn is_cut(backend: &dyn Backend, files: &SnapshotBackend) -> bool {
    logs_of(files).any(|(name, length)| backend.open(&name).map_or(true, |file| file.len() < length))
}

/// Names and lengths of the logs in a snapshot.
pub(super) fn logs_of(files: &SnapshotBackend) -> impl Iterator<Item = (String, u64)> {
    let is_log = |name: &str| name.strip_prefix(names::LOGS).is_some_and(|rest| rest.starts_with('/'));
    files.lengths().into_iter().filter(move |(name, _)| is_log(name))
}

fn newest(backend: &dyn Backend) -> Result<Option<u64>> {
    Ok(names::numbers(names::MANIFESTS, &backend.list(names::MANIFESTS)?).last().copied())
}

fn try_take(backend: &Arc<dyn Backend>, identity: u128) -> Result<Option<Snapshot>> {
    let files = SnapshotBackend::new(backend.describe());
    // The older manifests are there to be verified.
    for name in backend.list(names::MANIFESTS)? {
        hold(&**backend, &files, name)?;
    }
    let files = Arc::new(files);
    let Some(manifest) = ManifestStore::new(files.clone(), identity).load_newest()? else { return Ok(None) };
    for name in manifest.files() {
        hold(&**backend, &files, name)?;
    }
    for number in names::numbers(names::LOGS, &backend.list(names::LOGS)?) {
        if number >= manifest.wal_floor {
            hold(&**backend, &files, names::wal(number))?;
        }
    }
    Ok(Some(Snapshot { manifest, files }))
}

fn hold(backend: &dyn Backend, files: &SnapshotBackend, name: String) -> Result<()> {
    match backend.open(&name) {
        Ok(file) => files.add(name, file),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
