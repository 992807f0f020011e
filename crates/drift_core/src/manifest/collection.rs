//! The manifest of a collection.
//!
//! Layer 4. A plain value that commits replace as a whole. It names every file that counts: what it does not name is
//! an orphan that the vacuum may delete.

use super::RecallSummary;
use super::chain::{Chain, Link};
use super::messages::{
    CalibrationMessage, FieldMessage, ManifestMessage, SegmentMessage, identity_bytes, identity_from,
};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{FileId, magic};
use crate::storage::{Backend, names};
use crate::types::{Field, FieldType, IdType, Lifetime, Metric, Precision, Schema, Seq};
use prost::Message;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What exists in a collection.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Number in the chain, from 1.
    pub number: u64,
    /// Identity of the collection: all its files carry it.
    pub collection: u128,
    /// Dimension, metric and id type.
    pub schema: Schema,
    /// First log file that is not yet flushed: replay begins with it, those below may be deleted.
    pub wal_floor: u64,
    /// Newest log file known to exist, 0 when there is none: those from the floor up to it must be there.
    pub last_log: u64,
    /// Seq above all that flushed rows have.
    pub next_seq: Seq,
    /// Id of the next new bucket.
    pub next_bucket: u32,
    /// Number of the next bucket, move, tombstone or bitstore file.
    pub next_file: FileNumbers,
    /// Seed of the rotation.
    pub rotation_seed: u64,
    /// Segments in order of commit.
    pub segments: Vec<SegmentEntry>,
    /// Bucket files; their buckets less the removed ones are the collection's.
    pub bucket_files: Vec<u64>,
    /// Newest write when all buckets were last defined together.
    pub trained_seq: Seq,
    /// Buckets that are gone.
    pub removed_buckets: Vec<u32>,
    /// Files of rows that are in other buckets than they were written for, in order.
    pub move_files: Vec<u64>,
    /// Tombstone files.
    pub tombstone_files: Vec<u64>,
    /// The saved bitstore, if there is one.
    pub bitstore_file: Option<u64>,
    /// Segments whose rows the saved bitstore contains.
    pub bitstore_segments: Vec<FileId>,
    /// Fields of the payload of flushed rows, in the order in which they came.
    pub fields: Vec<Field>,
    /// Measured stop rules, ascending by recall.
    pub calibration: Vec<CalibrationPoint>,
    /// Flushed rows when they were measured; 0 when they never were.
    pub calibrated_rows: u64,
    /// Codes that there were to scan then.
    pub calibrated_codes: u64,
    /// Distance of the tenth neighbour that most of the traced rows stayed within; 0 when it was not measured.
    pub usual_distance: f32,
    /// Rows to be measured exactly beside the ten nearest by SQ8, where it takes more than usual; `u32::MAX` where no number of
    /// them would do.
    pub spare_rows: u32,
    /// Rows that have come since the rules were measured, the dead ones among them included.
    pub unmeasured_rows: u64,
    /// Measured recall of live queries.
    pub recall: RecallSummary,
}

/// Gives out the numbers of bucket, move, tombstone and bitstore files. The manifests of a chain share it, so that a number
/// taken by a job that failed is never given out again: its file may be there.
#[derive(Clone, Debug)]
pub struct FileNumbers(Arc<AtomicU64>);

impl FileNumbers {
    /// The number that is next.
    pub fn peek(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl From<u64> for FileNumbers {
    fn from(next: u64) -> FileNumbers {
        FileNumbers(Arc::new(AtomicU64::new(next)))
    }
}

impl PartialEq for FileNumbers {
    fn eq(&self, other: &FileNumbers) -> bool {
        self.peek() == other.peek()
    }
}

/// A segment of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentEntry {
    /// Identity, which is also its name.
    pub file: FileId,
    /// Length of the file in bytes.
    pub length: u64,
    /// xxh3 of the whole file (`format::digest`).
    pub digest: u64,
    /// Rows in it, dead ones included.
    pub rows: u64,
    /// Tombstone files with lower numbers have nothing to hide in it: what they delete was dead when it was begun.
    pub settled: u64,
}

/// Neighbours that stop rules of former versions were measured for.
const CALIBRATED_K: u32 = 10;

/// A measured stop rule of the search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CalibrationPoint {
    /// Neighbours that it was measured for.
    pub k: u32,
    /// Recall reached.
    pub recall: f32,
    /// Largest (bucket score - k-th distance) still scanned.
    pub difference: f32,
    /// Share of all rows after which the search stops.
    pub row_share: f32,
}

impl Manifest {
    /// The first manifest of a new collection.
    pub fn first(collection: u128, schema: Schema, rotation_seed: u64) -> Manifest {
        Manifest {
            number: 1,
            collection,
            fields: schema.first_fields(),
            schema,
            wal_floor: 1,
            last_log: 0,
            next_seq: 1,
            next_bucket: 0,
            next_file: 1.into(),
            rotation_seed,
            segments: Vec::new(),
            bucket_files: Vec::new(),
            trained_seq: 0,
            removed_buckets: Vec::new(),
            move_files: Vec::new(),
            tombstone_files: Vec::new(),
            bitstore_file: None,
            bitstore_segments: Vec::new(),
            calibration: Vec::new(),
            calibrated_rows: 0,
            calibrated_codes: 0,
            usual_distance: 0.0,
            spare_rows: 0,
            unmeasured_rows: 0,
            recall: RecallSummary::default(),
        }
    }

    /// The manifest to commit after this one: the same, with the next number.
    pub fn next(&self) -> Manifest {
        Manifest { number: self.number + 1, ..self.clone() }
    }

    /// Takes the next number for a bucket, move, tombstone or bitstore file.
    pub fn take_file_number(&mut self) -> u64 {
        self.next_file.0.fetch_add(1, Ordering::Relaxed)
    }

    /// Names of all files that the manifest needs, but for the log.
    pub fn files(&self) -> Vec<String> {
        let segments = self.segments.iter().map(|segment| names::segment(segment.file));
        let buckets = self.bucket_files.iter().map(|&number| names::buckets(number));
        let moves = self.move_files.iter().map(|&number| names::moves(number));
        let tombstones = self.tombstone_files.iter().map(|&number| names::tombstones(number));
        let bitstore = self.bitstore_file.map(names::bitstore);
        segments.chain(buckets).chain(moves).chain(tombstones).chain(bitstore).collect()
    }

    fn encode(&self) -> Vec<u8> {
        let segments = self.segments.iter().map(|segment| SegmentMessage {
            file: identity_bytes(segment.file.0),
            length: segment.length,
            digest: segment.digest,
            rows: segment.rows,
            settled: segment.settled,
        });
        let calibration = self.calibration.iter().map(|point| CalibrationMessage {
            recall: point.recall,
            difference: point.difference,
            row_share: point.row_share,
            k: point.k,
        });
        let fields = self
            .fields
            .iter()
            .map(|field| FieldMessage { name: field.name.clone(), kind: u32::from(field.kind.code()) });
        let (recall_targets, timeline, learned) = self.recall.encode();
        let message = ManifestMessage {
            dim: self.schema.dim as u32,
            metric: self.schema.metric.name().to_owned(),
            id_type: self.schema.id_type.name().to_owned(),
            precision: self.schema.precision.name().to_owned(),
            wal_floor: self.wal_floor,
            last_log: self.last_log,
            next_seq: self.next_seq,
            next_bucket: self.next_bucket,
            next_file: self.next_file.peek(),
            rotation_seed: self.rotation_seed,
            segments: segments.collect(),
            bucket_files: self.bucket_files.clone(),
            trained_seq: self.trained_seq,
            removed_buckets: self.removed_buckets.clone(),
            move_files: self.move_files.clone(),
            tombstone_files: self.tombstone_files.clone(),
            bitstore_file: self.bitstore_file,
            bitstore_segments: self.bitstore_segments.iter().map(|file| identity_bytes(file.0)).collect(),
            fields_fixed: !self.schema.fields.is_empty(),
            fields: fields.collect(),
            time_field: self.schema.lifetime.time.clone(),
            ttl_us: self.schema.lifetime.ttl,
            calibration: calibration.collect(),
            calibrated_rows: self.calibrated_rows,
            calibrated_codes: self.calibrated_codes,
            usual_distance: self.usual_distance,
            spare_rows: self.spare_rows,
            unmeasured_rows: self.unmeasured_rows,
            recall_targets,
            timeline,
            learned,
        };
        message.encode_to_vec()
    }

    fn decode(link: &Link) -> Result<Manifest> {
        let message = ManifestMessage::decode(link.message.as_slice()).map_err(|error| link.corrupt(error))?;
        let file = |bytes: &Vec<u8>| identity_from(bytes).map(FileId).map_err(|error| link.corrupt(error));
        let segments = message.segments.into_iter().map(|segment| {
            Ok(SegmentEntry {
                file: file(&segment.file)?,
                length: segment.length,
                digest: segment.digest,
                rows: segment.rows,
                settled: segment.settled,
            })
        });
        let field = |field: FieldMessage| {
            let kind = u8::try_from(field.kind).ok().and_then(FieldType::from_code);
            let kind =
                kind.ok_or_else(|| link.corrupt(format_args!("field {:?} is of an unknown type", field.name)))?;
            Ok(Field { name: field.name, kind })
        };
        let fields = message.fields.into_iter().map(field).collect::<Result<Vec<Field>>>()?;
        let fixed = if message.fields_fixed { fields.clone() } else { Vec::new() };
        let lifetime = Lifetime { time: message.time_field, ttl: message.ttl_us };
        let schema = Metric::parse(&message.metric)
            .and_then(|metric| Schema::new(message.dim as usize, metric, IdType::parse(&message.id_type)?))
            .and_then(|schema| schema.with_precision(Precision::parse(&message.precision)?).with_fields(fixed))
            .and_then(|schema| schema.with_lifetime(lifetime))
            .map_err(|error| link.corrupt(error))?;
        let calibration = message.calibration.iter().map(|point| CalibrationPoint {
            recall: point.recall,
            difference: point.difference,
            row_share: point.row_share,
            k: if point.k == 0 { CALIBRATED_K } else { point.k },
        });
        let manifest = Manifest {
            number: link.number,
            collection: link.identity,
            schema,
            wal_floor: message.wal_floor,
            last_log: message.last_log,
            next_seq: message.next_seq,
            next_bucket: message.next_bucket,
            next_file: message.next_file.into(),
            rotation_seed: message.rotation_seed,
            segments: segments.collect::<Result<_>>()?,
            bucket_files: message.bucket_files,
            trained_seq: message.trained_seq,
            removed_buckets: message.removed_buckets,
            move_files: message.move_files,
            tombstone_files: message.tombstone_files,
            bitstore_file: message.bitstore_file,
            bitstore_segments: message.bitstore_segments.iter().map(file).collect::<Result<_>>()?,
            fields,
            calibration: calibration.collect(),
            calibrated_rows: message.calibrated_rows,
            calibrated_codes: message.calibrated_codes,
            usual_distance: message.usual_distance,
            spare_rows: message.spare_rows,
            unmeasured_rows: message.unmeasured_rows,
            recall: RecallSummary::decode(&message.recall_targets, &message.timeline, message.learned.as_ref()),
        };
        manifest.check().map_err(|problem| link.corrupt(problem))?;
        Ok(manifest)
    }

    /// What no manifest may say; checked before writing and after reading.
    fn check(&self) -> std::result::Result<(), String> {
        let mut files = HashSet::new();
        if let Some(twice) = self.segments.iter().find(|segment| !files.insert(segment.file)) {
            return Err(format!("segment {} is named twice", twice.file));
        }
        let numbers =
            self.bucket_files.iter().chain(&self.move_files).chain(&self.tombstone_files).chain(&self.bitstore_file);
        if let Some(number) = numbers.clone().find(|&&number| number >= self.next_file.peek()) {
            return Err(format!("file {number} is named, but {} is the next", self.next_file.peek()));
        }
        if let Some(segment) = self.segments.iter().find(|segment| segment.settled > self.next_file.peek()) {
            return Err(format!("segment {} is settled beyond the last file", segment.file));
        }
        if let Some(bucket) = self.removed_buckets.iter().find(|&&bucket| bucket >= self.next_bucket) {
            return Err(format!("bucket {bucket} is named, but {} is the next", self.next_bucket));
        }
        if self.next_seq == 0 {
            return Err("the next seq is 0".to_owned());
        }
        if self
            .calibration
            .iter()
            .any(|point| point.recall.is_nan() || point.difference.is_nan() || point.row_share.is_nan())
        {
            return Err("a calibration point is not a number".to_owned());
        }
        if !self.usual_distance.is_finite() {
            return Err("the usual distance of the tenth neighbour is not a number".to_owned());
        }
        self.recall.check()
    }
}

/// Reads and commits the manifests of one collection.
pub struct ManifestStore {
    chain: Chain,
}

impl ManifestStore {
    /// The manifests of the collection `identity`, whose folder `backend` is scoped to.
    pub fn new(backend: Arc<dyn Backend>, identity: u128) -> ManifestStore {
        ManifestStore { chain: Chain::new(backend, names::MANIFESTS, magic::MANIFEST, Some(identity)) }
    }

    /// The newest manifest, or none when there is none. A damaged one is Corrupt, naming the file.
    pub fn load_newest(&mut self) -> Result<Option<Manifest>> {
        self.chain.load_newest()?.map(|link| Manifest::decode(&link)).transpose()
    }

    /// Commits `manifest`, which must have the next number; durable on return. After an error nothing has changed, or
    /// it is unknown whether it has and the store refuses every further commit. Fenced when another writer took the
    /// number.
    pub fn commit(&mut self, manifest: &Manifest) -> Result<()> {
        manifest.check().map_err(|problem| Error::internal(format!("manifest {}: {problem}", manifest.number)))?;
        self.chain.commit(manifest.collection, manifest.number, &manifest.encode())
    }

    /// Every damage and gap among the kept manifests, as messages.
    pub fn problems(&self) -> Result<Vec<String>> {
        self.chain.problems()
    }

    /// Names of the kept manifests, oldest first.
    pub fn files(&self) -> Result<Vec<String>> {
        self.chain.files()
    }

    /// Every kept manifest that is not damaged, oldest first.
    pub fn kept(&self) -> Result<Vec<Manifest>> {
        Ok(self.all()?.into_iter().flatten().collect())
    }

    /// Names of all files that the kept manifests name, which must not be deleted; none while that is not known, because one of them
    /// is damaged or none is found.
    pub fn named(&self) -> Result<Option<HashSet<String>>> {
        let all = self.all()?;
        let is_known = !all.is_empty() && all.iter().all(Option::is_some);
        Ok(is_known.then(|| all.iter().flatten().flat_map(Manifest::files).collect()))
    }

    /// Every kept manifest, oldest first; none in place of a damaged one.
    fn all(&self) -> Result<Vec<Option<Manifest>>> {
        let numbers = names::numbers(names::MANIFESTS, &self.chain.files()?);
        let load = |number| match self.chain.load(number).and_then(|link| Manifest::decode(&link)) {
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
            loaded => loaded.map(Some),
        };
        numbers.into_iter().map(load).collect()
    }
}

/// The number that the next bucket, move, tombstone or bitstore file must have: above the manifest's, and above all that a
/// crashed commit left in the folders.
pub fn next_file_number(backend: &dyn Backend, manifest: &Manifest) -> Result<u64> {
    let mut next = manifest.next_file.peek();
    for folder in [names::BUCKETS, names::MOVES, names::TOMBSTONES, names::BITSTORES] {
        let last = names::numbers(folder, &backend.list(folder)?).last().copied();
        next = next.max(last.map_or(0, |last| last.saturating_add(1)));
    }
    Ok(next)
}
