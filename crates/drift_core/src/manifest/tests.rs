//! Manifests, catalogs and the files they name against flips, cuts, lost files and a second writer.

use super::*;
use crate::error::ErrorKind;
use crate::format::FileId;
use crate::storage::sim::{Action, Fault, SimFs};
use crate::storage::{Backend, Fs, FsFile, LocalBackend, MemoryBackend, OsFs, names};
use crate::types::{BucketId, IdRef, IdType, Ids, Metric, Schema};
use proptest::prelude::*;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const IDENTITY: u128 = 42;

fn memory() -> Arc<dyn Backend> {
    Arc::new(MemoryBackend::open("", true, false).unwrap())
}

fn store(backend: &Arc<dyn Backend>) -> ManifestStore {
    ManifestStore::new(backend.clone(), IDENTITY)
}

fn manifest(number: u64) -> Manifest {
    let segment = |file| SegmentEntry { file: FileId(file), length: 4096, digest: u64::MAX, rows: 10, settled: 18 };
    Manifest {
        number,
        wal_floor: 7,
        next_seq: 1_000 + number,
        next_bucket: 5,
        next_file: 20.into(),
        segments: vec![segment(1), segment(u128::MAX)],
        bucket_files: vec![1, 19],
        removed_buckets: vec![4],
        move_files: vec![3, 7],
        trained_seq: 77,
        tombstone_files: vec![2],
        bitstore_file: Some(0),
        bitstore_segments: vec![FileId(1)],
        recall: RecallSummary {
            targets: vec![TargetSum { asked: Asked::Many, target: 0.95, queries: 64, sum: 61.5, squares: 60.0 }],
            timeline: vec![TimelinePoint { time: 1.5e9, recall: 0.96, codes: 3_301.5, rows: 10, buckets: 2 }],
            learned: Some(Learned { margin: 0.3, products: -1.5, squares: 8.25 }),
        },
        calibration: vec![CalibrationPoint { k: 10, recall: 0.9, difference: f32::INFINITY, row_share: 0.01 }],
        ..Manifest::first(IDENTITY, Schema::new(8, Metric::Cosine, IdType::Str).unwrap(), 99)
    }
}

/// A store whose chain has manifests `1..=count`, and what it holds.
fn chain_of(count: u64) -> (Arc<dyn Backend>, ManifestStore) {
    let backend = memory();
    let mut manifests = store(&backend);
    (1..=count).for_each(|number| manifests.commit(&manifest(number)).unwrap());
    (backend, manifests)
}

fn replace(backend: &dyn Backend, name: &str, bytes: &[u8]) {
    backend.delete(name).unwrap();
    backend.put_if_absent(name, bytes).unwrap();
}

#[test]
fn newest_manifest_comes_back_and_the_last_three_are_kept() {
    let backend = memory();
    assert_eq!(store(&backend).load_newest().unwrap(), None);
    let mut writer = store(&backend);
    for number in 1..=12 {
        writer.commit(&manifest(number)).unwrap();
        let mut reader = store(&backend);
        assert_eq!(reader.load_newest().unwrap(), Some(manifest(number)));
        assert!(reader.problems().unwrap().is_empty());
    }
    assert_eq!(writer.files().unwrap(), [names::manifest(10), names::manifest(11), names::manifest(12)]);
    assert_eq!(writer.kept().unwrap(), [manifest(10), manifest(11), manifest(12)]);
}

#[test]
fn every_flip_and_cut_of_the_newest_manifest_is_corrupt_and_names_it() {
    let (backend, _) = chain_of(2);
    let name = names::manifest(2);
    let bytes = backend.read(&name).unwrap();
    let check = |bytes: &[u8]| {
        replace(&*backend, &name, bytes);
        let error = store(&backend).load_newest().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.message().contains(&name), "{error}");
        assert_eq!(store(&backend).problems().unwrap().len(), 1);
    };
    for position in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[position] ^= 0x10;
        check(&flipped);
    }
    (0..bytes.len()).for_each(|length| check(&bytes[..length]));
}

#[test]
fn manifest_of_another_history_is_corrupt() {
    let (backend, _) = chain_of(3);
    let (other, mut writer) = chain_of(1);
    writer.commit(&Manifest { wal_floor: 8, ..manifest(2) }).unwrap();
    replace(&*backend, &names::manifest(2), &other.read(&names::manifest(2)).unwrap());
    let error = store(&backend).load_newest().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains(&names::manifest(3)), "{error}");
    assert_eq!(store(&backend).problems().unwrap().len(), 1);
}

#[test]
fn damage_to_an_older_manifest_is_found_by_verification_alone() {
    let (backend, _) = chain_of(3);
    let mut bytes = backend.read(&names::manifest(2)).unwrap();
    bytes[100] ^= 1;
    replace(&*backend, &names::manifest(2), &bytes);
    let mut reader = store(&backend);
    assert_eq!(reader.load_newest().unwrap(), Some(manifest(3)));
    assert_eq!(reader.problems().unwrap().len(), 1);
    reader.commit(&manifest(4)).unwrap();
    backend.delete(&names::manifest(2)).unwrap();
    backend.delete(&names::manifest(3)).unwrap();
    assert_eq!(store(&backend).load_newest().unwrap(), Some(manifest(4)));
}

#[test]
fn renamed_and_foreign_manifests_are_corrupt() {
    let (backend, _) = chain_of(2);
    let bytes = backend.read(&names::manifest(2)).unwrap();
    backend.put_if_absent(&names::manifest(3), &bytes).unwrap();
    assert_eq!(store(&backend).load_newest().unwrap_err().kind(), ErrorKind::Corrupt);
    let (backend, _) = chain_of(2);
    let error = ManifestStore::new(backend, IDENTITY + 1).load_newest().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn second_writer_is_fenced() {
    let (backend, mut first) = chain_of(1);
    let mut second = store(&backend);
    second.load_newest().unwrap();
    second.commit(&Manifest { wal_floor: 9, ..manifest(2) }).unwrap();
    assert_eq!(first.commit(&manifest(2)).unwrap_err().kind(), ErrorKind::Fenced);
    assert!(first.commit(&manifest(2)).is_err());
    assert_eq!(store(&backend).load_newest().unwrap().unwrap().wal_floor, 9);
}

#[test]
fn senseless_manifests_are_not_written() {
    let (_, mut writer) = chain_of(1);
    let mut twice = manifest(2);
    twice.segments[1].file = FileId(1);
    let mut boundless = manifest(2);
    boundless.recall.learned = Some(Learned { squares: f64::NAN, ..Learned::default() });
    for bad in [
        boundless,
        manifest(1),
        manifest(3),
        twice,
        Manifest { next_file: 19.into(), ..manifest(2) },
        Manifest { next_bucket: 4, ..manifest(2) },
        Manifest { next_seq: 0, ..manifest(2) },
        Manifest { collection: 1, ..manifest(2) },
    ] {
        assert_eq!(writer.commit(&bad).unwrap_err().kind(), ErrorKind::Internal);
    }
    writer.commit(&manifest(2)).unwrap();
}

/// The system's disk, on which writing can be made to fail, or the fsync of folders.
struct FailingFs {
    writes: Arc<AtomicBool>,
    folders: Arc<AtomicBool>,
}

impl Fs for FailingFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        if self.writes.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        OsFs.create_new(path)
    }
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        OsFs.open_read(path)
    }
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn FsFile>> {
        OsFs.open_append(path)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsFs.link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        OsFs.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if self.folders.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected"));
        }
        OsFs.sync_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<crate::storage::DirEntry>> {
        OsFs.list(path)
    }
    fn is_dir(&self, path: &Path) -> bool {
        OsFs.is_dir(path)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        OsFs.create_dir(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        OsFs.remove_dir_all(path)
    }
}

#[test]
fn full_disk_can_be_tried_again_and_an_unknown_outcome_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let (writes, folders) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let fs = FailingFs { writes: writes.clone(), folders: folders.clone() };
    let backend: Arc<dyn Backend> = Arc::new(LocalBackend::open(folder.path(), Arc::new(fs), true, false).unwrap());
    let mut writer = store(&backend);
    writer.commit(&manifest(1)).unwrap();
    writes.store(true, Ordering::SeqCst);
    assert_eq!(writer.commit(&manifest(2)).unwrap_err().kind(), ErrorKind::Exhausted);
    writes.store(false, Ordering::SeqCst);
    writer.commit(&manifest(2)).unwrap();
    folders.store(true, Ordering::SeqCst);
    assert_eq!(writer.commit(&manifest(3)).unwrap_err().kind(), ErrorKind::Io);
    folders.store(false, Ordering::SeqCst);
    assert_eq!(writer.commit(&manifest(3)).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(writer.commit(&manifest(4)).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn regression_a_commit_that_is_there_whatever_the_disk_said_is_committed() {
    let fs = SimFs::default();
    let backend: Arc<dyn Backend> =
        Arc::new(LocalBackend::open(Path::new("/db"), Arc::new(fs.clone()), true, false).unwrap());
    let mut writer = store(&backend);
    writer.commit(&manifest(1)).unwrap();
    let calls = fs.calls();
    writer.commit(&manifest(2)).unwrap();
    let link = (calls..fs.calls()).find(|call| fs.call(*call).unwrap().action == Action::Link).unwrap() - calls;
    let next = fs.calls() + link;
    fs.fail(next..next + 1, Fault::IoAfter);
    writer.commit(&manifest(3)).unwrap();
    assert_eq!(fs.call(next).unwrap().action, Action::Link);
    writer.commit(&manifest(4)).unwrap();
    assert!(writer.problems().unwrap().is_empty());
}

#[test]
fn regression_an_old_manifest_that_comes_back_is_no_gap() {
    let backend = memory();
    let mut writer = store(&backend);
    writer.commit(&manifest(1)).unwrap();
    let first = backend.read(&names::manifest(1)).unwrap();
    (2..=6).for_each(|number| writer.commit(&manifest(number)).unwrap());
    backend.put_if_absent(&names::manifest(1), &first).unwrap();
    assert!(writer.problems().unwrap().is_empty());
    backend.delete(&names::manifest(5)).unwrap();
    assert_eq!(writer.problems().unwrap().len(), 1);
}

#[test]
fn catalog_comes_back_and_refuses_doubles() {
    let backend = memory();
    let mut catalogs = CatalogStore::new(backend.clone());
    assert_eq!(catalogs.load_newest().unwrap(), None);
    catalogs.commit(&Catalog::first(7)).unwrap();
    let entry = |name: &str, folder| CatalogEntry { name: name.to_owned(), folder };
    let second =
        Catalog {
            number: 2, database: 7, collections: vec![entry("ä b", 1), entry("x", u128::MAX)], dropped: vec![3]
        };
    catalogs.commit(&second).unwrap();
    let found = CatalogStore::new(backend).load_newest().unwrap().unwrap();
    assert_eq!((found.find("x").map(|entry| entry.folder), found), (Some(u128::MAX), second));
    for doubled in [vec![entry("x", 1), entry("x", 2)], vec![entry("x", 1), entry("y", 1)]] {
        assert!(
            catalogs.commit(&Catalog { number: 3, database: 7, collections: doubled, dropped: Vec::new() }).is_err()
        );
    }
}

fn buckets(count: usize) -> BucketFile {
    BucketFile {
        ids: (0..count as u32).map(|id| BucketId(id * 3)).collect(),
        centroids: (0..count * 2).map(|value| value as f32).collect(),
        spread: vec![0.5; count],
    }
}

fn tombstones(id_type: IdType, count: usize) -> TombstoneFile {
    let mut ids = Ids::empty(id_type);
    for id in 0..count {
        match id_type {
            IdType::Int => ids.push(IdRef::Int(id as i64)),
            IdType::Str => ids.push(IdRef::Str(&format!("é{id}"))),
        }
    }
    TombstoneFile { ids, seqs: (1..=count as u64).collect() }
}

/// Every flip and cut of `bytes` must fail to decode as Corrupt.
fn check_damage(bytes: &[u8], decode: impl Fn(&[u8]) -> crate::error::Result<()>) {
    decode(bytes).unwrap();
    for position in 0..bytes.len() {
        let mut flipped = bytes.to_vec();
        flipped[position] ^= 4;
        assert_eq!(decode(&flipped).unwrap_err().kind(), ErrorKind::Corrupt, "byte {position}");
        assert_eq!(decode(&bytes[..position]).unwrap_err().kind(), ErrorKind::Corrupt, "length {position}");
    }
}

#[test]
fn bucket_and_tombstone_files_come_back_and_every_damage_is_detected() {
    let backend = memory();
    for (number, count) in [0, 1, 100].into_iter().enumerate() {
        let number = number as u64;
        buckets(count).write(&*backend, number, IDENTITY, 2).unwrap();
        assert_eq!(BucketFile::read(&*backend, number, IDENTITY, 2).unwrap(), buckets(count));
        for (id_type, number) in [(IdType::Int, 10 + number), (IdType::Str, 20 + number)] {
            tombstones(id_type, count).write(&*backend, number, IDENTITY).unwrap();
            let found = TombstoneFile::read(&*backend, number, IDENTITY, id_type).unwrap();
            assert_eq!(found, tombstones(id_type, count));
        }
    }
    let bytes = backend.read(&names::buckets(1)).unwrap();
    check_damage(&bytes, |bytes| BucketFile::decode("b", bytes, 1, IDENTITY, 2).map(drop));
    assert!(BucketFile::decode("b", &bytes, 2, IDENTITY, 2).is_err());
    assert!(BucketFile::decode("b", &bytes, 1, IDENTITY, 3).is_err());
    let bytes = backend.read(&names::tombstones(21)).unwrap();
    check_damage(&bytes, |bytes| TombstoneFile::decode("t", bytes, 21, IDENTITY, IdType::Str).map(drop));
    assert!(TombstoneFile::decode("t", &bytes, 21, IDENTITY, IdType::Int).is_err());
}

#[test]
fn file_numbers_step_over_what_a_crash_left() {
    let backend = memory();
    let manifest = manifest(1);
    assert_eq!(next_file_number(&*backend, &manifest).unwrap(), 20);
    buckets(1).write(&*backend, 31, IDENTITY, 2).unwrap();
    tombstones(IdType::Int, 1).write(&*backend, 25, IDENTITY).unwrap();
    assert_eq!(next_file_number(&*backend, &manifest).unwrap(), 32);
}

#[test]
fn regression_a_number_that_a_failed_job_took_is_not_given_again() {
    let manifest = manifest(1);
    assert_eq!(manifest.next().take_file_number(), 20);
    assert_eq!(manifest.next().take_file_number(), 21);
}

/// Seals `body` as the file that a decoder expects, so that the checks behind the checksum are reached.
fn sealed(kind: [u8; 8], body: &[u8]) -> Vec<u8> {
    let file = FileId::numbered(&kind, IDENTITY, 1);
    crate::format::seal(&crate::format::Header::new(kind, IDENTITY, file), body)
}

proptest! {
    #[test]
    fn well_sealed_garbage_never_panics(mut body in prop::collection::vec(any::<u8>(), 0..120), count in 0u8..5) {
        use crate::format::magic;
        let _ = BucketFile::decode("b", &sealed(magic::BUCKETS, &body), 1, IDENTITY, 2);
        for id_type in [IdType::Int, IdType::Str] {
            let _ = TombstoneFile::decode("t", &sealed(magic::TOMBSTONES, &body), 1, IDENTITY, id_type);
        }
        let backend = memory();
        let chained = [&1u64.to_le_bytes()[..], &[0; 8], &body].concat();
        backend.put_if_absent(&names::manifest(1), &sealed(magic::MANIFEST, &chained)).unwrap();
        backend.put_if_absent(&names::catalog(1), &sealed(magic::CATALOG, &chained)).unwrap();
        let _ = store(&backend).load_newest();
        let _ = CatalogStore::new(backend).load_newest();
        // Headers that look right lead further into the columns.
        if body.len() >= 8 {
            body[..8].copy_from_slice(&[count, 0, 0, 0, 2, 0, 0, 0]);
            let _ = BucketFile::decode("b", &sealed(magic::BUCKETS, &body), 1, IDENTITY, 2);
            let _ = TombstoneFile::decode("t", &sealed(magic::TOMBSTONES, &body), 1, IDENTITY, IdType::Str);
        }
    }

    #[test]
    fn huge_counts_do_not_allocate(count in any::<u32>(), dim in any::<u32>()) {
        let body = [count.to_le_bytes(), dim.to_le_bytes(), [0; 4], [0; 4]].concat();
        let bytes = sealed(crate::format::magic::BUCKETS, &body);
        let _ = BucketFile::decode("b", &bytes, 1, IDENTITY, dim as usize);
        let body = [&count.to_le_bytes()[..], &[1, 0, 0, 0], &[0; 16]].concat();
        let _ = TombstoneFile::decode("t", &sealed(crate::format::magic::TOMBSTONES, &body), 1, IDENTITY, IdType::Int);
    }
}
