//! The log against every flip, cut and order of writes that a disk can come up with.

mod ends;
#[cfg(feature = "model")]
mod told_once;

use super::*;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{AppendFile, Backend, LocalBackend, MemoryBackend, OsFs, SyncFile, names};
use crate::types::{Column, Columns, FieldType, IdRef, IdType, Metric, Schema, Value, VectorBuf};
use parking_lot::{Condvar, Mutex};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const IDENTITY: u128 = 42;

fn schema(id_type: IdType) -> Schema {
    Schema::new(3, Metric::L2, id_type).unwrap()
}

fn memory() -> MemoryBackend {
    MemoryBackend::open("", true, false).unwrap()
}

fn ids(id_type: IdType, from: i64, count: usize) -> Ids {
    let mut ids = Ids::empty(id_type);
    for id in from..from + count as i64 {
        match id_type {
            IdType::Int => ids.push(IdRef::Int(id)),
            IdType::Str => ids.push(IdRef::Str(&format!("id-é-{id}"))),
        }
    }
    ids
}

/// Payload of one row.
fn payload() -> Columns {
    let mut name = Column::new(FieldType::Str);
    name.push(Value::Str("ä name"));
    let mut columns = Columns::new(1);
    columns.add("name", name).unwrap();
    columns
}

fn upsert(id_type: IdType, first_seq: Seq, count: usize) -> OwnedRecord {
    let values: Vec<f32> = (0..count * 3).map(|value| value as f32 + first_seq as f32).collect();
    OwnedRecord::Upsert {
        first_seq,
        ids: ids(id_type, first_seq as i64, count),
        vectors: VectorBuf::F32(values),
        payload: None,
    }
}

fn borrow(record: &OwnedRecord) -> Record<'_> {
    match record {
        OwnedRecord::Upsert { first_seq, ids, vectors, payload } => {
            Record::Upsert { first_seq: *first_seq, ids, vectors: vectors.as_ref(), payload: payload.as_ref() }
        }
        OwnedRecord::Delete { first_seq, ids } => Record::Delete { first_seq: *first_seq, ids },
    }
}

fn read(
    backend: &dyn Backend,
    number: u64,
    is_last: bool,
    schema: &Schema,
    next_seq: Option<Seq>,
) -> Result<(Vec<OwnedRecord>, ReplayEnd)> {
    let mut records = Vec::new();
    let end = if is_last { Tail::Torn } else { Tail::Sound };
    let expected = Expected { identity: IDENTITY, schema, next_seq, end };
    let end = replay(backend, number, &expected, &mut |record| {
        records.push(record);
        Ok(())
    })?;
    Ok((records, end))
}

/// A store whose log file 1 has these bytes.
fn with_log(bytes: &[u8]) -> MemoryBackend {
    let backend = memory();
    backend.put_if_absent(&names::wal(1), bytes).unwrap();
    backend
}

/// A log of four records, and the bytes; each record is synced before the next one when `synced`.
fn sample(id_type: IdType, synced: bool) -> (Vec<OwnedRecord>, Vec<u8>, Vec<u64>) {
    let (backend, schema) = (memory(), schema(id_type));
    let mut writer = WalWriter::create(&backend, 1, IDENTITY, &schema, 5).unwrap();
    let halves = VectorBuf::F16([1.0, 2.5, -3.0].map(half::f16::from_f32).to_vec());
    let records = vec![
        upsert(id_type, 5, 2),
        OwnedRecord::Delete { first_seq: 7, ids: ids(id_type, 100, 3) },
        OwnedRecord::Upsert { first_seq: 10, ids: ids(id_type, 0, 1), vectors: halves, payload: Some(payload()) },
        upsert(id_type, 11, 1),
    ];
    let mut ends = vec![writer.end()];
    for record in &records {
        ends.push(writer.append(&borrow(record)).unwrap());
        if synced {
            writer.syncer().sync_to(writer.end()).unwrap();
        }
    }
    (records, backend.read(&names::wal(1)).unwrap(), ends)
}

#[test]
fn records_come_back_with_ids_and_elements_as_given() {
    for id_type in [IdType::Int, IdType::Str] {
        let (records, bytes, ends) = sample(id_type, true);
        let (found, end) = read(&with_log(&bytes), 1, true, &schema(id_type), Some(5)).unwrap();
        assert_eq!(found, records);
        assert_eq!((end.next_seq, end.end_offset, end.records), (12, *ends.last().unwrap(), 4));
        assert!(end.torn_bytes == 0 && !end.sealed && !end.excess);
        assert_eq!((end.unproven_offset, end.unproven_seq), (ends[3], 11), "only the last record is unproven");
    }
}

#[test]
fn every_cut_of_the_last_file_yields_the_whole_records_before_it() {
    for id_type in [IdType::Int, IdType::Str] {
        let (records, bytes, ends) = sample(id_type, true);
        for length in 0..bytes.len() {
            let backend = with_log(&bytes[..length]);
            let result = read(&backend, 1, true, &schema(id_type), None);
            if (length as u64) < ends[0] {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::Corrupt);
                continue;
            }
            let whole = ends.iter().filter(|&&end| end <= length as u64).count() - 1;
            let (found, end) = result.unwrap();
            assert_eq!((found.as_slice(), end.torn_bytes), (&records[..whole], length as u64 - ends[whole]));
            let inner = read(&backend, 1, false, &schema(id_type), None);
            assert_eq!(inner.is_ok(), length as u64 == ends[whole]);
        }
    }
}

#[test]
fn every_flipped_byte_is_detected_unless_it_is_in_the_last_frame() {
    for id_type in [IdType::Int, IdType::Str] {
        let (records, bytes, ends) = sample(id_type, true);
        for position in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 0x40;
            let backend = with_log(&flipped);
            let error = read(&backend, 1, false, &schema(id_type), None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {position}");
            match read(&backend, 1, true, &schema(id_type), None) {
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt),
                Ok((found, end)) => {
                    assert!(position as u64 >= ends[3], "byte {position}");
                    assert_eq!((found.as_slice(), end.end_offset), (&records[..3], ends[3]));
                }
            }
        }
    }
}

#[test]
fn every_flipped_byte_of_a_sealed_log_is_detected_or_changes_no_answer() {
    let (backend, schema) = (memory(), schema(IdType::Int));
    let mut writer = WalWriter::create(&backend, 1, IDENTITY, &schema, 1).unwrap();
    let record = upsert(IdType::Int, 1, 2);
    let end = writer.append(&borrow(&record)).unwrap();
    writer.seal().unwrap();
    let bytes = backend.read(&names::wal(1)).unwrap();
    for position in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[position] ^= 1;
        match read(&with_log(&flipped), 1, true, &schema, None) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt),
            Ok((found, _)) => assert!(position as u64 >= end && found == [record.clone()], "byte {position}"),
        }
    }
}

#[test]
fn frames_that_were_never_durable_may_be_lost_in_any_order() {
    let (records, bytes, ends) = sample(IdType::Int, false);
    for lost in 0..records.len() {
        let mut torn = bytes.clone();
        torn[ends[lost] as usize..ends[lost + 1] as usize].fill(0);
        let backend = with_log(&torn);
        let schema = schema(IdType::Int);
        let (found, end) = read(&backend, 1, true, &schema, None).unwrap();
        assert_eq!((found.as_slice(), end.end_offset), (&records[..lost], ends[lost]));
        let expected = Expected { identity: IDENTITY, schema: &schema, next_seq: None, end: Tail::Torn };
        assert_eq!((end.unproven_offset, end.unproven_seq), (ends[0], 5), "no record is proven");
        succeed(&backend, 1, &expected, &end, end.next_seq).unwrap();
        assert_eq!(read(&backend, 1, false, &schema, None).unwrap().0, []);
        let (found, end) = read(&backend, 2, false, &schema, Some(5)).unwrap();
        assert_eq!((found.as_slice(), end.torn_bytes), (&records[..lost], 0));
    }
}

#[test]
fn lost_frame_that_was_durable_is_damage() {
    let (_, bytes, ends) = sample(IdType::Int, true);
    for lost in 0..3 {
        let mut damaged = bytes.clone();
        damaged[ends[lost] as usize..ends[lost + 1] as usize].fill(0);
        let error = read(&with_log(&damaged), 1, true, &schema(IdType::Int), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.message().contains(&format!("offset {}", ends[lost])), "{error}");
    }
}

#[test]
fn zero_tail_is_torn() {
    let (records, mut bytes, _) = sample(IdType::Int, true);
    bytes.extend_from_slice(&[0; 5000]);
    let (found, end) = read(&with_log(&bytes), 1, true, &schema(IdType::Int), None).unwrap();
    assert_eq!((found, end.torn_bytes), (records, 5000));
}

#[test]
fn gaps_between_files_and_foreign_files_are_corrupt() {
    let (_, bytes, _) = sample(IdType::Int, true);
    let backend = with_log(&bytes);
    let schema = schema(IdType::Int);
    assert!(read(&backend, 1, true, &schema, Some(5)).is_ok());
    assert_eq!(read(&backend, 1, true, &schema, Some(4)).unwrap_err().kind(), ErrorKind::Corrupt);
    backend.put_if_absent(&names::wal(2), &bytes).unwrap();
    assert_eq!(read(&backend, 2, true, &schema, None).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(read(&backend, 3, true, &schema, None).unwrap_err().kind(), ErrorKind::NotFound);
    let other = Schema::new(4, Metric::L2, IdType::Int).unwrap();
    assert_eq!(read(&backend, 1, true, &other, None).unwrap_err().kind(), ErrorKind::Corrupt);
    let expected = Expected { identity: IDENTITY + 1, schema: &schema, next_seq: None, end: Tail::Torn };
    assert!(replay(&backend, 1, &expected, &mut |_| Ok(())).is_err());
}

#[test]
fn reserved_seqs_leave_no_gap() {
    let (backend, schema) = (memory(), schema(IdType::Int));
    let mut writer = WalWriter::create(&backend, 1, IDENTITY, &schema, 1).unwrap();
    writer.append(&Record::Reserve { first_seq: 1, count: 1_000 }).unwrap();
    let record = upsert(IdType::Int, 1_001, 1);
    assert_eq!(writer.append(&borrow(&upsert(IdType::Int, 1_002, 1))).unwrap_err().kind(), ErrorKind::Internal);
    writer.append(&borrow(&record)).unwrap();
    let (found, end) = read(&backend, 1, true, &schema, None).unwrap();
    assert_eq!((found, end.next_seq, end.records), (vec![record], 1_002, 1));
    let expected = Expected { identity: IDENTITY, schema: &schema, next_seq: None, end: Tail::Torn };
    let mut writer = succeed(&backend, 1, &expected, &end, 5_000).unwrap();
    writer.append(&borrow(&upsert(IdType::Int, 5_000, 1))).unwrap();
    assert_eq!(read(&backend, 2, false, &schema, None).unwrap().1.next_seq, 5_001);
}

#[test]
fn records_that_replay_would_refuse_are_not_written() {
    let (backend, schema) = (memory(), schema(IdType::Int));
    let mut writer = WalWriter::create(&backend, 1, IDENTITY, &schema, 1).unwrap();
    let one = ids(IdType::Int, 0, 1);
    let vectors = Vectors::F32(&[1.0, 2.0]);
    for record in [
        Record::Upsert { first_seq: 1, ids: &one, vectors, payload: None },
        Record::Delete { first_seq: 1, ids: &Ids::empty(IdType::Int) },
        Record::Delete { first_seq: 1, ids: &ids(IdType::Str, 0, 1) },
        Record::Reserve { first_seq: 1, count: u64::MAX },
    ] {
        assert!(writer.append(&record).is_err());
    }
    assert_eq!(read(&backend, 1, true, &schema, None).unwrap().1.next_seq, 1);
    assert_eq!(WalWriter::create(&backend, 1, IDENTITY, &schema, 1).err().unwrap().kind(), ErrorKind::AlreadyExists);
}

#[test]
fn log_on_disk_comes_back_and_windows_do_not_show() {
    let folder = tempfile::tempdir().unwrap();
    let backend = LocalBackend::open(folder.path(), Arc::new(OsFs), true, false).unwrap();
    let schema = schema(IdType::Int);
    let mut writer = WalWriter::create(&backend, 1, IDENTITY, &schema, 1).unwrap();
    let mut records = Vec::new();
    for count in [1, 70_000, 3, 30_000, 1, 100_000, 2] {
        let record = upsert(IdType::Int, writer.next_seq(), count);
        writer.append(&borrow(&record)).unwrap();
        records.push(record);
    }
    writer.syncer().sync_to(writer.end()).unwrap();
    assert!(read(&backend, 1, true, &schema, None).unwrap().0 == records);
}

/// A file whose appends and syncs can be made to fail or wait.
#[derive(Default)]
struct Faults {
    sync_fails: Mutex<bool>,
    open_fails: Mutex<bool>,
    append_fails: Mutex<bool>,
    truncate_fails: Mutex<bool>,
    /// Written pages are lost, of which the next sync tells and no other.
    lost: Mutex<bool>,
    syncs: AtomicU64,
    gate: Mutex<bool>,
    opened: Condvar,
}

struct FaultyBackend(MemoryBackend, Arc<Faults>);

struct FaultyFile(Box<dyn AppendFile>, Arc<Faults>);

struct FaultySync(Arc<Faults>);

fn injected(fails: &Mutex<bool>) -> Result<()> {
    if *fails.lock() { Err(Error::new(ErrorKind::Io, "injected")) } else { Ok(()) }
}

/// Fails once when pages were lost.
fn told_of_loss(faults: &Faults) -> Result<()> {
    crate::sync::step();
    let lost = std::mem::take(&mut *faults.lost.lock());
    if lost { Err(Error::new(ErrorKind::Io, "lost")) } else { Ok(()) }
}

impl SyncFile for FaultySync {
    fn sync(&self) -> Result<()> {
        self.0.syncs.fetch_add(1, Ordering::SeqCst);
        let mut closed = self.0.gate.lock();
        while *closed {
            self.0.opened.wait(&mut closed);
        }
        drop(closed);
        told_of_loss(&self.0)?;
        injected(&self.0.sync_fails)
    }
}

impl AppendFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if *self.1.append_fails.lock() {
            self.0.append(&bytes[..bytes.len() / 2])?;
        }
        injected(&self.1.append_fails)?;
        self.0.append(bytes)
    }
    fn sync(&self) -> Result<()> {
        told_of_loss(&self.1)?;
        injected(&self.1.sync_fails)
    }
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn truncate(&mut self, len: u64) -> Result<()> {
        injected(&self.1.truncate_fails)?;
        self.0.truncate(len)
    }
    fn syncer(&self) -> Arc<dyn SyncFile> {
        Arc::new(FaultySync(self.1.clone()))
    }
}

impl Backend for FaultyBackend {
    fn describe(&self) -> String {
        self.0.describe()
    }
    fn read_only(&self) -> bool {
        false
    }
    fn read(&self, name: &str) -> Result<Vec<u8>> {
        self.0.read(name)
    }
    fn open(&self, name: &str) -> Result<Arc<dyn crate::storage::ReadFile>> {
        self.0.open(name)
    }
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.0.put_if_absent(name, bytes)
    }
    fn create(&self, name: &str) -> Result<Box<dyn crate::storage::WriteFile>> {
        self.0.create(name)
    }
    fn append(&self, name: &str, create_new: bool) -> Result<Box<dyn AppendFile>> {
        injected(&self.1.open_fails)?;
        Ok(Box::new(FaultyFile(self.0.append(name, create_new)?, self.1.clone())))
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.0.list(prefix)
    }
    fn settle(&self, folder: &str) -> Result<()> {
        self.0.settle(folder)
    }
    fn delete(&self, name: &str) -> Result<()> {
        self.0.delete(name)
    }
    fn delete_tree(&self, prefix: &str) -> Result<()> {
        self.0.delete_tree(prefix)
    }
    fn lock(&self, name: &str) -> Result<Box<dyn crate::storage::LockGuard>> {
        self.0.lock(name)
    }
    fn scoped(&self, folder: &str) -> Arc<dyn Backend> {
        self.0.scoped(folder)
    }
}

fn faulty() -> (FaultyBackend, Arc<Faults>, WalWriter) {
    let faults = Arc::new(Faults::default());
    let backend = FaultyBackend(memory(), faults.clone());
    let writer = WalWriter::create(&backend, 1, IDENTITY, &schema(IdType::Int), 1).unwrap();
    (backend, faults, writer)
}

#[test]
fn failed_append_is_cut_off_and_the_log_goes_on() {
    let (backend, faults, mut writer) = faulty();
    writer.append(&borrow(&upsert(IdType::Int, 1, 1))).unwrap();
    *faults.append_fails.lock() = true;
    assert!(writer.append(&borrow(&upsert(IdType::Int, 2, 1))).is_err());
    *faults.append_fails.lock() = false;
    assert!(writer.poisoned().is_none());
    writer.append(&borrow(&upsert(IdType::Int, 2, 2))).unwrap();
    let (found, end) = read(&backend, 1, false, &schema(IdType::Int), None).unwrap();
    assert_eq!((found.len(), end.next_seq, end.torn_bytes), (2, 4, 0));
}

#[test]
fn failed_append_that_cannot_be_cut_off_poisons() {
    let (_, faults, mut writer) = faulty();
    *faults.append_fails.lock() = true;
    *faults.truncate_fails.lock() = true;
    assert!(writer.append(&borrow(&upsert(IdType::Int, 1, 1))).is_err());
    *faults.append_fails.lock() = false;
    *faults.truncate_fails.lock() = false;
    assert!(writer.poisoned().is_some());
    assert_eq!(writer.append(&borrow(&upsert(IdType::Int, 1, 1))).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn regression_a_log_whose_successor_may_exist_takes_no_more_writes() {
    let (backend, faults, mut writer) = faulty();
    writer.append(&borrow(&upsert(IdType::Int, 1, 1))).unwrap();
    *faults.open_fails.lock() = true;
    assert!(writer.create_next(&backend, 2, IDENTITY).is_err());
    *faults.open_fails.lock() = false;
    assert_eq!(writer.append(&borrow(&upsert(IdType::Int, 2, 1))).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(writer.create_next(&backend, 2, IDENTITY).err().unwrap().kind(), ErrorKind::Io);
    let (_, end) = read(&backend, 1, false, &schema(IdType::Int), None).unwrap();
    read(&backend, 2, true, &schema(IdType::Int), Some(end.next_seq)).unwrap();
}

#[test]
fn failed_sync_poisons_for_ever_and_is_never_retried() {
    let (_, faults, mut writer) = faulty();
    let sync = writer.syncer();
    let durable = writer.append(&borrow(&upsert(IdType::Int, 1, 1))).unwrap();
    sync.sync_to(durable).unwrap();
    let end = writer.append(&borrow(&upsert(IdType::Int, 2, 1))).unwrap();
    *faults.sync_fails.lock() = true;
    assert_eq!(sync.sync_to(end).unwrap_err().kind(), ErrorKind::Io);
    *faults.sync_fails.lock() = false;
    let syncs = faults.syncs.load(Ordering::SeqCst);
    assert!(sync.sync_to(end).is_err() && writer.append(&borrow(&upsert(IdType::Int, 3, 1))).is_err());
    assert_eq!(faults.syncs.load(Ordering::SeqCst), syncs);
    assert_eq!(sync.poisoned().as_deref(), Some("injected"));
    sync.sync_to(durable).unwrap();
}

#[test]
fn writers_that_wait_share_one_sync() {
    let (_, faults, mut writer) = faulty();
    let ends: Vec<u64> = (1..=16).map(|seq| writer.append(&borrow(&upsert(IdType::Int, seq, 1))).unwrap()).collect();
    *faults.gate.lock() = true;
    let sync = writer.syncer();
    std::thread::scope(|scope| {
        for end in ends {
            let sync = sync.clone();
            scope.spawn(move || sync.sync_to(end).unwrap());
        }
        while faults.syncs.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        *faults.gate.lock() = false;
        faults.opened.notify_all();
    });
    assert_eq!(faults.syncs.load(Ordering::SeqCst), 1);
    assert_eq!(sync.synced(), writer.end());
}

proptest! {
    #[test]
    fn garbage_frames_are_a_torn_tail_or_corrupt(
        tail in prop::collection::vec(any::<u8>(), 0..400),
        last in any::<bool>(),
    ) {
        let (records, mut bytes, _) = sample(IdType::Str, true);
        bytes.extend_from_slice(&tail);
        match read(&with_log(&bytes), 1, last, &schema(IdType::Str), None) {
            Ok((found, _)) => prop_assert_eq!(found, records),
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Corrupt),
        }
    }

    #[test]
    fn mutated_logs_never_panic_nor_yield_other_records(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
        synced in any::<bool>(),
    ) {
        let (records, mut bytes, _) = sample(IdType::Str, synced);
        for (place, value) in edits {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok((found, _)) = read(&with_log(&bytes), 1, true, &schema(IdType::Str), None) {
            prop_assert!(records.starts_with(&found));
        }
    }

    #[test]
    fn huge_lengths_do_not_allocate(length in any::<u32>(), kind in 1u8..5, rows in any::<u32>()) {
        let (records, mut bytes, _) = sample(IdType::Int, true);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 0, kind, u8::from(kind == 1), 0, 0]);
        bytes.extend_from_slice(&rows.to_le_bytes());
        bytes.extend_from_slice(&[12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        prop_assert_eq!(read(&with_log(&bytes), 1, true, &schema(IdType::Int), None).unwrap().0, records);
    }
}

#[test]
#[ignore = "a measurement: run it by hand"]
fn throughput_of_append() {
    let folder = tempfile::tempdir().unwrap();
    let backend = LocalBackend::open(folder.path(), Arc::new(OsFs), true, false).unwrap();
    let schema = Schema::new(768, Metric::L2, IdType::Int).unwrap();
    for batch in [1usize, 100, 1_000] {
        let number = batch as u64;
        let mut writer = WalWriter::create(&backend, number, IDENTITY, &schema, 1).unwrap();
        let (ids, values) = (ids(IdType::Int, 0, batch), vec![0.5f32; 768 * batch]);
        let start = crate::clock::SystemClock::start();
        for _ in 0..100_000 / batch {
            let first_seq = writer.next_seq();
            writer
                .append(&Record::Upsert { first_seq, ids: &ids, vectors: Vectors::F32(&values), payload: None })
                .unwrap();
        }
        let appended = crate::clock::Clock::monotonic(&start);
        let end = replay(
            &backend,
            number,
            &Expected { identity: IDENTITY, schema: &schema, next_seq: None, end: Tail::Torn },
            &mut |_| Ok(()),
        );
        let replayed = crate::clock::Clock::monotonic(&start) - appended;
        let mib = (end.unwrap().end_offset >> 20) as f64;
        println!(
            "batch {batch}: append {:.0} MiB/s, replay {:.0} MiB/s",
            mib / appended.as_secs_f64(),
            mib / replayed.as_secs_f64()
        );
    }
}
