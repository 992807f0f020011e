//! One target for each kind of file: `docs/format.md` has the byte maps.

use drift_core::bitstore::Bitstore;
use drift_core::db::backups;
use drift_core::format::{
    ByteReader, ByteWriter, FileId, HEADER_BYTES, Header, checksum, checksum_parts, magic, open_sealed, read_columns,
    read_ids, seal,
};
use drift_core::manifest::{BucketFile, CatalogStore, ManifestStore, MoveFile, TombstoneFile};
use drift_core::segment::{Scratch, Segment};
use drift_core::storage::{Backend, MemoryBackend, names};
use drift_core::types::{BucketId, Column, IdType, Metric, Schema};
use drift_core::wal::{self, Expected, Tail, WalWriter};
use std::sync::Arc;

/// Identity of the collection that all files belong to.
pub const OWNER: u128 = 7;

/// Dimension of its vectors.
pub const DIM: usize = 4;

/// Bytes of a page of a segment, of the preamble of a log and of the head of a frame.
pub const PAGE: usize = 4_096;
const PREAMBLE: usize = 96;
const HEAD: usize = 32;

/// Words at the end of a segment.
const SEGMENT_END: [u8; 8] = *b"driftend";

/// The schema that files are read with.
pub fn schema(id_type: IdType) -> Schema {
    Schema::new(DIM, Metric::L2, id_type).expect("a schema")
}

/// An empty store.
pub fn store() -> MemoryBackend {
    MemoryBackend::open("", true, false).expect("a store in memory")
}

fn numbered(magic: [u8; 8], number: u64) -> Header {
    Header::new(magic, OWNER, FileId::numbered(&magic, OWNER, number))
}

/// A store with one sealed file of this body.
fn sealed(name: &str, magic: [u8; 8], body: &[u8]) -> MemoryBackend {
    let backend = store();
    backend.put_if_absent(name, &seal(&numbered(magic, 1), body)).expect("put");
    backend
}

/// Body of a file of a chain: its number, no digest of one before, a message.
fn chained(message: &[u8]) -> Vec<u8> {
    [&1u64.to_le_bytes(), &0u64.to_le_bytes(), message].concat()
}

/// Headers and the frame of sealed files, as given and with the checksum made right.
pub fn header(bytes: &[u8]) {
    let mut right = bytes.to_vec();
    if right.len() >= HEADER_BYTES {
        let file = FileId(u128::from_le_bytes(right[32..48].try_into().expect("sixteen bytes")));
        let sum = checksum(file, 0, &right[..HEADER_BYTES - 4]);
        right[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
    }
    for bytes in [bytes, &right] {
        for magic in [magic::WAL, magic::MANIFEST, magic::SEGMENT, magic::BACKUP] {
            let _ = Header::decode("f", bytes, &magic);
            let _ = open_sealed("f", bytes, &magic, None);
            let _ = open_sealed("f", bytes, &magic, Some((OWNER, FileId(9))));
        }
    }
}

/// Makes the checksum of each frame of a log right, as far as lengths lead.
fn mend_frames(file: &mut [u8], id: FileId) {
    let mut at = PREAMBLE;
    while at + HEAD <= file.len() {
        let length = u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"));
        let end = (at + HEAD).saturating_add((length as usize).next_multiple_of(8));
        if end > file.len() {
            return;
        }
        let sum = checksum_parts(id, at as u64, &[&length.to_le_bytes(), &file[at + 8..end]]);
        file[at + 4..at + 8].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
}

/// Frames of a log; the first byte says which ids it has.
pub fn log(bytes: &[u8]) {
    let Some((kind, frames)) = bytes.split_first() else { return };
    let schema = schema(if kind & 1 == 0 { IdType::Int } else { IdType::Str });
    let empty = store();
    WalWriter::create(&empty, 1, OWNER, &schema, 1).expect("a log");
    let mut file = empty.read(&names::wal(1)).expect("its preamble");
    file.extend_from_slice(frames);
    if kind & 2 == 0 {
        mend_frames(&mut file, FileId::numbered(&magic::WAL, OWNER, 1));
    }
    let backend = store();
    backend.put_if_absent(&names::wal(1), &file).expect("put");
    for end in [Tail::Torn, Tail::Sound] {
        let expected = Expected { identity: OWNER, schema: &schema, next_seq: Some(1), end };
        let _ = wal::beginning(&backend, 1, &expected);
        let _ = wal::replay(&backend, 1, &expected, &mut |_| Ok(()));
    }
    let expected = Expected { identity: OWNER, schema: &schema, next_seq: None, end: Tail::Torn };
    let _ = wal::salvage(&backend, 1, &expected, &mut |_| ());
}

/// The message of a manifest.
pub fn manifest(bytes: &[u8]) {
    let backend = sealed(&names::manifest(1), magic::MANIFEST, &chained(bytes));
    let mut manifests = ManifestStore::new(Arc::new(backend), OWNER);
    if let Ok(Some(manifest)) = manifests.load_newest() {
        let files = manifest.files();
        let _ = manifests.problems();
        // What is read is written back the same.
        let again = store();
        let mut copy = ManifestStore::new(Arc::new(again), OWNER);
        if copy.commit(&manifest).is_ok() {
            let back = copy.load_newest().expect("what drift wrote").expect("a manifest");
            assert_eq!(back.files(), files);
        }
    }
}

/// The message of a catalog.
pub fn catalog(bytes: &[u8]) {
    let backend = sealed(&names::catalog(1), magic::CATALOG, &chained(bytes));
    let mut catalogs = CatalogStore::new(Arc::new(backend));
    if let Ok(Some(catalog)) = catalogs.load_newest() {
        let _ = catalog.find("rows");
        let _ = catalogs.problems();
    }
    let _ = catalogs.load_newest_sound();
}

/// A part that begins with its length in two bytes.
fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_at_checked(2)?;
    let length = usize::from(u16::from_le_bytes(length.try_into().ok()?)).min(rest.len());
    let (part, rest) = rest.split_at(length);
    *bytes = rest;
    Some(part)
}

/// A segment from its footer's message and its pages, whose zeros at the end are left out.
pub fn build_segment(mut parts: &[u8], id: FileId) -> Vec<u8> {
    let mut file = Header::new(magic::SEGMENT, OWNER, id).encode().to_vec();
    file.resize(PAGE, 0);
    let message = part(&mut parts).unwrap_or_default();
    while let Some(page) = part(&mut parts) {
        file.extend_from_slice(page);
        file.resize(file.len().next_multiple_of(PAGE), 0);
    }
    let offset = file.len() as u64;
    let mut footer = ByteWriter::new();
    footer.u64(message.len() as u64);
    footer.bytes(message);
    file.chunks(PAGE).enumerate().for_each(|(at, page)| footer.u32(checksum(id, (at * PAGE) as u64, page)));
    let mut trailer = ByteWriter::new();
    trailer.u64(offset);
    trailer.u64(footer.len() as u64);
    trailer.bytes(&SEGMENT_END);
    trailer.u32(checksum(id, offset, footer.as_slice()));
    let sum = checksum(id, offset + footer.len() as u64, trailer.as_slice());
    trailer.u32(sum);
    [file, footer.into_vec(), trailer.into_vec()].concat()
}

/// A segment; opened, and all of it read.
pub fn segment(bytes: &[u8]) {
    let id = FileId(11);
    let backend = store();
    backend.put_if_absent(&names::segment(id), &build_segment(bytes, id)).expect("put");
    let Ok(file) = Segment::describe(&backend, id) else { return };
    for id_type in [IdType::Int, IdType::Str] {
        let Ok(segment) = Segment::open(&backend, OWNER, file, &schema(id_type)) else { continue };
        let rows = segment.rows();
        let (mut scratch, mut row_of) = (Vec::new(), [0.0; DIM]);
        for row in 0..rows.min(200) {
            let _ = (segment.id(row).hash64(), segment.seq(row), segment.may_contain(u64::from(row)));
            let _ = segment.read_row(row, &mut row_of, &mut scratch);
            segment.mark_dead(row, 1);
        }
        let fields: Vec<_> = segment.fields().cloned().collect();
        for field in fields {
            let _ = segment.read_column(&field.name);
            let (mut column, mut scratch) = (Column::new(field.kind), Scratch::default());
            for row in 0..rows.min(200) {
                let _ = segment.read_value(row, &field.name, &mut column, &mut scratch);
            }
        }
        for (_, run) in segment.runs() {
            let _ = (segment.codes(run.clone()).len(), segment.find(run, 1));
        }
        let _ = segment.verify(&mut |_| Ok(()));
    }
}

/// The body of a checkpoint of the bitstore.
pub fn bitstore(bytes: &[u8]) {
    let backend = sealed(&names::bitstore(1), magic::BITSTORE, bytes);
    if let Ok(bitstore) = Bitstore::read(&backend, 1, OWNER) {
        for hash in (0..64u64).map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            bitstore.candidates(hash, |_, _| false);
            bitstore.insert(hash, BucketId(1), 5);
            assert!(bitstore.contains(hash, 5), "an entry that was just added");
        }
    }
}

/// The body of a tombstone file.
pub fn tombstones(bytes: &[u8]) {
    let backend = sealed(&names::tombstones(1), magic::TOMBSTONES, bytes);
    for id_type in [IdType::Int, IdType::Str] {
        if let Ok(file) = TombstoneFile::read(&backend, 1, OWNER, id_type) {
            assert_eq!(file.ids.len(), file.seqs.len());
            file.write(&backend, 2, OWNER).expect("what was read can be written");
            assert!(TombstoneFile::read(&backend, 2, OWNER, id_type).expect("and read") == file);
        }
    }
}

/// The body of a bucket file.
pub fn buckets(bytes: &[u8]) {
    let backend = sealed(&names::buckets(1), magic::BUCKETS, bytes);
    if let Ok(file) = BucketFile::read(&backend, 1, OWNER, DIM) {
        file.write(&backend, 2, OWNER, DIM).expect("what was read can be written");
        assert!(BucketFile::read(&backend, 2, OWNER, DIM).expect("and read") == file);
    }
}

/// The body of a move file.
pub fn moves(bytes: &[u8]) {
    let backend = sealed(&names::moves(1), magic::MOVES, bytes);
    if let Ok(file) = MoveFile::read(&backend, 1, OWNER) {
        let _ = file.rows();
        file.write(&backend, 2, OWNER).expect("what was read can be written");
        assert_eq!(MoveFile::read(&backend, 2, OWNER).expect("and read").rows(), file.rows());
    }
}

/// Columns of ids and of payload; the first byte is their number of rows.
pub fn payload(bytes: &[u8]) {
    let Some((rows, bytes)) = bytes.split_first() else { return };
    for id_type in [IdType::Int, IdType::Str] {
        let _ = read_ids(&mut ByteReader::new("f", 0, bytes), usize::from(*rows), id_type);
    }
    let mut reader = ByteReader::new("f", 0, bytes);
    if let Ok(columns) = read_columns(&mut reader, usize::from(*rows)) {
        let mut out = ByteWriter::new();
        drift_core::format::write_columns(&mut out, &columns);
        let again = read_columns(&mut ByteReader::new("f", 0, out.as_slice()), usize::from(*rows));
        let mut second = ByteWriter::new();
        drift_core::format::write_columns(&mut second, &again.expect("what drift wrote"));
        assert_eq!(out.as_slice(), second.as_slice());
    }
}

/// The message of the record of a backup.
pub fn backup(bytes: &[u8]) {
    const NAME: &str = "fuzzed-backup";
    let body = [&1u64.to_le_bytes(), bytes].concat();
    MemoryBackend::forget(NAME);
    let backend = MemoryBackend::open(NAME, true, false).expect("a store in memory");
    backend.put_if_absent(&names::backup(1), &seal(&numbered(magic::BACKUP, 1), &body)).expect("put");
    let uri = format!("memory://{NAME}");
    if let Ok(found) = backups(&uri) {
        assert_eq!(found.len(), 1);
        let _ = drift_core::db::verify_backups(&uri);
        let target = "memory://fuzzed-restore";
        MemoryBackend::forget("fuzzed-restore");
        let mut go_on = |_| std::ops::ControlFlow::Continue(());
        let _ = drift_core::db::restore(&uri, target, drift_core::db::Moment::Newest, &mut go_on);
    }
}
