//! Behaviour of the log as a whole: round trips, damage, torn tails, group commit.

use super::*;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Backend, LogFile, MemoryBackend, names};
use crate::types::{IdType, Ids, Metric, Schema, Vectors};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const OWNER: u128 = 5;

fn schema() -> Schema {
    Schema::new(3, Metric::L2, IdType::Int).expect("a schema")
}

/// A log with three records, and where each ends.
fn written(backend: &dyn Backend) -> Vec<u64> {
    let mut writer = WalWriter::create(backend, 4, OWNER, 10).expect("create");
    let ids = Ids::Int(vec![1, 2]);
    let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let upsert = Record::Upsert { first_seq: 10, ids: &ids, vectors: Vectors::F32(&values) };
    vec![
        writer.end(),
        writer.append(&upsert).expect("upsert"),
        writer.append(&Record::Reserve { first_seq: 12, count: 5 }).expect("reserve"),
        writer.append(&Record::Delete { first_seq: 17, ids: &ids }).expect("delete"),
    ]
}

fn read(backend: &dyn Backend, is_last: bool) -> Result<(Replayed, usize)> {
    let mut records = 0;
    let replayed = replay(backend, 4, OWNER, &schema(), is_last, Some(10), &mut |_| {
        records += 1;
        Ok(())
    })?;
    Ok((replayed, records))
}

fn rewritten(bytes: &[u8]) -> MemoryBackend {
    let backend = MemoryBackend::named("");
    backend.put_if_absent(&names::log(4), bytes).expect("put");
    backend
}

#[test]
fn what_was_appended_is_replayed() {
    let backend = MemoryBackend::named("");
    let ends = written(&backend);
    let (replayed, records) = read(&backend, false).expect("replay");
    assert_eq!(replayed, Replayed { next_seq: Some(19), valid_bytes: ends[3], torn_bytes: 0 });
    assert_eq!(records, 4);
}

#[test]
fn a_torn_tail_is_legal_in_the_last_file_only() {
    let backend = MemoryBackend::named("");
    let ends = written(&backend);
    let bytes = backend.read(&names::log(4)).expect("read");
    for cut in ends[0] as usize..bytes.len() {
        let torn = rewritten(&bytes[..cut]);
        let whole = *ends.iter().rfind(|end| **end <= cut as u64).expect("the begin record");
        let (replayed, _) = read(&torn, true).expect("last file");
        assert_eq!((replayed.valid_bytes, replayed.torn_bytes), (whole, cut as u64 - whole));
        assert_eq!(read(&torn, false).is_err(), whole != cut as u64, "cut at {cut}");
    }
}

#[test]
fn a_zero_tail_is_torn_and_not_a_record() {
    let backend = MemoryBackend::named("");
    let ends = written(&backend);
    let mut bytes = backend.read(&names::log(4)).expect("read");
    bytes.resize(bytes.len() + 4096, 0);
    let (replayed, records) = read(&rewritten(&bytes), true).expect("last file");
    assert_eq!((replayed.valid_bytes, records), (ends[3], 4));
}

#[test]
fn every_flipped_byte_before_the_last_record_is_an_error() {
    let backend = MemoryBackend::named("");
    let ends = written(&backend);
    let bytes = backend.read(&names::log(4)).expect("read");
    for at in 0..ends[2] as usize {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x41;
        let error = read(&rewritten(&damaged), true).expect_err("damage in the middle");
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::UnsupportedFormat), "byte {at}: {error}");
    }
}

#[test]
fn a_gap_of_seqs_is_an_error() {
    let backend = MemoryBackend::named("");
    written(&backend);
    let result = replay(&backend, 4, OWNER, &schema(), true, Some(9), &mut |_| Ok(()));
    assert_eq!(result.expect_err("a gap").kind(), ErrorKind::Corrupt);
}

#[test]
fn no_bytes_make_replay_panic() {
    use proptest::prelude::*;
    proptest!(|(bytes in prop::collection::vec(any::<u8>(), 0..300), keep in 0usize..200)| {
        let backend = MemoryBackend::named("");
        written(&backend);
        let mut mixed = backend.read(&names::log(4)).expect("read");
        mixed.truncate(keep);
        mixed.extend(bytes);
        let _ = read(&rewritten(&mixed), true);
        let _ = read(&rewritten(&mixed), false);
    });
}

/// Counts syncs and fails them from a given one on.
struct Failing {
    syncs: AtomicU64,
    fail_from: u64,
}

impl LogFile for Failing {
    fn append(&self, _: u64, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        match self.syncs.fetch_add(1, Ordering::Relaxed) {
            n if n >= self.fail_from => Err(Error::new(ErrorKind::Io, "no")),
            _ => Ok(()),
        }
    }

    fn truncate(&self, _: u64) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_failed_fsync_poisons_and_is_never_retried() {
    let log = Arc::new(Failing { syncs: AtomicU64::new(0), fail_from: 1 });
    let sync = WalSync::new(log.clone(), "log".to_owned());
    sync.appended(10);
    sync.sync_to(10).expect("the first works");
    sync.sync_to(10).expect("nothing new to sync");
    sync.appended(20);
    assert!(sync.sync_to(20).is_err() && sync.sync_to(20).is_err() && sync.sync_to(5).is_err());
    assert_eq!(log.syncs.load(Ordering::Relaxed), 2);
}
