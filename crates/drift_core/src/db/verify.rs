//! Verify: reads every byte that the manifest names and checks that files and memory agree.
//!
//! Layer 7. Problems are collected, not thrown: each names its file. It runs beside readers and writers.

use crate::bitstore::Bitstore;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{BucketFile, Manifest, MoveFile, TombstoneFile};
use crate::state::{CollectionState, Version};
use crate::storage::names;
use crate::types::{OnWork, Seq, VerifyReport, WorkProgress};
use crate::wal::{self, Expected, Tail};

/// Checks everything as it is at the beginning; `progress` hears of the bytes of segments. Flushes and jobs wait while files
/// are named, and the small ones and the log read; while segments are read, which may take minutes, nothing waits.
pub(super) fn verify(collection: &CollectionState, progress: OnWork<'_>) -> Result<VerifyReport> {
    let _hold = collection.hold();
    let maintenance = collection.maintenance.lock();
    let mut report = VerifyReport { problems: maintenance.store.problems()?, ..VerifyReport::default() };
    report.problems.extend(collection.damage_notes());
    for name in maintenance.store.files()? {
        report.count(collection, &name);
    }
    let version = collection.pin();
    report.files_of(collection, &maintenance.manifest)?;
    report.logs(collection, maintenance.manifest.wal_floor)?;
    report.rows(collection, &version);
    drop(maintenance);
    report.segments_of(&version, progress)?;
    Ok(report)
}

impl VerifyReport {
    fn count(&mut self, collection: &CollectionState, name: &str) {
        match collection.backend.open(name) {
            Ok(file) => {
                self.files += 1;
                self.bytes += file.len();
            }
            Err(error) => self.problems.push(error.message().to_owned()),
        }
    }

    /// Notes damage; other failures end the check.
    fn note(&mut self, outcome: Result<()>) -> Result<()> {
        match outcome {
            Err(error) if damage(&error) => self.problems.push(error.message().to_owned()),
            outcome => return outcome,
        }
        Ok(())
    }

    fn files_of(&mut self, collection: &CollectionState, manifest: &Manifest) -> Result<()> {
        let (backend, identity) = (&*collection.backend, collection.identity);
        for name in manifest.files() {
            self.count(collection, &name);
        }
        for &number in &manifest.bucket_files {
            self.note(BucketFile::read(backend, number, identity, collection.schema.dim).map(|_| ()))?;
        }
        for &number in &manifest.move_files {
            self.note(MoveFile::read(backend, number, identity).map(|_| ()))?;
        }
        for &number in &manifest.tombstone_files {
            self.note(TombstoneFile::read(backend, number, identity, collection.schema.id_type).map(|_| ()))?;
        }
        if let Some(number) = manifest.bitstore_file {
            self.note(Bitstore::read(backend, number, identity).map(|_| ()))?;
        }
        Ok(())
    }

    /// Reads every segment of `version`, whose files stay open while it is pinned, whatever becomes of their names.
    fn segments_of(&mut self, version: &Version, progress: OnWork<'_>) -> Result<()> {
        let segments = &version.index.segments;
        let total = segments.iter().map(|live| live.segment.file().length).sum();
        let mut now = WorkProgress { done: 0, total, stage: "verify" };
        now.tell(progress)?;
        for live in segments {
            self.note(live.segment.verify(&mut |bytes| {
                now.done += bytes;
                now.tell(progress)
            }))?;
        }
        WorkProgress { done: total, ..now }.tell(progress)
    }

    fn logs(&mut self, collection: &CollectionState, floor: u64) -> Result<()> {
        // The write lock keeps the last log whole while it is read.
        let _writes = collection.writes.lock();
        let mut numbers = names::numbers(names::LOGS, &collection.backend.list(names::LOGS)?);
        numbers.retain(|number| *number >= floor);
        let mut next_seq = None;
        for (at, &number) in numbers.iter().enumerate() {
            self.count(collection, &names::wal(number));
            match check_log(collection, number, numbers.get(at + 1).copied(), next_seq) {
                Ok(end) => next_seq = Some(end),
                Err(error) => {
                    self.note(Err(error))?;
                    next_seq = None;
                }
            }
        }
        Ok(())
    }

    /// Every live flushed row is the one that the bitstore names, and the count of rows is right.
    fn rows(&mut self, collection: &CollectionState, version: &Version) {
        let mut live = 0;
        for live_segment in &version.index.segments {
            let segment = &live_segment.segment;
            for row in 0..segment.rows() {
                if !segment.is_visible(row, version.seq) {
                    continue;
                }
                live += 1;
                if !collection.bitstore.contains(segment.id(row).hash64(), segment.seq(row)) {
                    self.problems.push(format!("{}: row {row} is live but not in the bitstore", segment.name()));
                }
            }
        }
        for memtable in version.memtables() {
            memtable.for_each_visible(version.seq, |_, _| live += 1);
        }
        if live != version.live_rows {
            self.problems.push(format!("{live} rows are live, but {} are counted", version.live_rows));
        }
        self.rows = live;
    }
}

/// Reads log `number`, which `follower` follows, and returns the seq that it ends at.
fn check_log(collection: &CollectionState, number: u64, follower: Option<u64>, next_seq: Option<Seq>) -> Result<Seq> {
    let backend = &*collection.backend;
    // A writer in another process may be in the middle of a frame.
    let end = if collection.config.read_only { Tail::Torn } else { Tail::Sound };
    let mut expected = Expected { identity: collection.identity, schema: &collection.schema, next_seq, end };
    // What a damaged follower says of this one is not known; it tells of its damage itself.
    if let Some(Ok(beginning)) = follower.map(|follower| wal::beginning(backend, follower, &expected)) {
        expected.end = Tail::Before(beginning);
    }
    wal::replay(backend, number, &expected, &mut |_| Ok(())).map(|end| end.next_seq)
}

fn damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound | ErrorKind::UnsupportedFormat)
}
