//! What a manifest says.
//!
//! Layer 4. Encoded with protocol buffers, so that later versions can add fields.

use super::store::Numbered;
use crate::error::{Error, Result};
use crate::format::FileKind;
use crate::storage::names;
use crate::types::{IdType, Metric, Schema, Seq};

/// State of a collection.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Manifest {
    /// Number of this manifest, from 1.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// Digest of the manifest before.
    #[prost(uint64, tag = "2")]
    pub previous_digest: u64,
    /// Vector dimension.
    #[prost(uint32, tag = "3")]
    pub dim: u32,
    /// Name of the metric.
    #[prost(string, tag = "4")]
    pub metric: String,
    /// Name of the id type.
    #[prost(string, tag = "5")]
    pub id_type: String,
    /// Seed of the rotation.
    #[prost(uint64, tag = "6")]
    pub rotation_seed: u64,
    /// Number of the oldest log file that still counts.
    #[prost(uint64, tag = "7")]
    pub wal_floor: u64,
    /// Every seq given before the floor is below this.
    #[prost(uint64, tag = "8")]
    pub next_seq: u64,
    /// Bucket ids given so far are below this.
    #[prost(uint32, tag = "9")]
    pub next_bucket: u32,
    /// Numbers of bucket, tombstone and bitstore files given so far are below this.
    #[prost(uint64, tag = "10")]
    pub next_file: u64,
    /// Segments in order of commit.
    #[prost(message, repeated, tag = "11")]
    pub segments: Vec<SegmentEntry>,
    /// Bucket files in order of commit.
    #[prost(uint64, repeated, tag = "12")]
    pub bucket_files: Vec<u64>,
    /// Buckets that the bucket files define and that are gone.
    #[prost(uint32, repeated, tag = "13")]
    pub removed_buckets: Vec<u32>,
    /// Tombstone files in order of commit.
    #[prost(uint64, repeated, tag = "14")]
    pub tombstone_files: Vec<u64>,
    /// The newest checkpoint of the bitstore.
    #[prost(message, optional, tag = "15")]
    pub bitstore: Option<BitstoreEntry>,
    /// Measured stop rules, ascending by recall.
    #[prost(message, repeated, tag = "16")]
    pub calibration: Vec<CalibrationPoint>,
    /// Flushed rows when the stop rules were measured.
    #[prost(uint64, tag = "17")]
    pub calibrated_rows: u64,
}

/// A segment that counts.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SegmentEntry {
    /// Its uuid, sixteen bytes little-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// Its length in bytes.
    #[prost(uint64, tag = "2")]
    pub length: u64,
    /// xxh3 of the whole file.
    #[prost(uint64, tag = "3")]
    pub digest: u64,
    /// Rows in it.
    #[prost(uint64, tag = "4")]
    pub rows: u64,
    /// Buckets whose runs in it no longer count.
    #[prost(uint32, repeated, tag = "5")]
    pub dropped_buckets: Vec<u32>,
}

impl SegmentEntry {
    /// The segment's uuid.
    pub fn uuid(&self) -> Result<u128> {
        let bytes =
            self.id.as_slice().try_into().map_err(|_| Error::corrupt("a manifest names a segment without uuid"))?;
        Ok(u128::from_le_bytes(bytes))
    }
}

/// A checkpoint of the bitstore.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BitstoreEntry {
    /// Number of its file.
    #[prost(uint64, tag = "1")]
    pub file: u64,
    /// Uuids of the segments whose rows it covers.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub segments: Vec<Vec<u8>>,
}

/// A measured stop rule.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct CalibrationPoint {
    /// Recall that it reached.
    #[prost(float, tag = "1")]
    pub recall: f32,
    /// Largest (bucket score - k-th distance) that is still scanned.
    #[prost(float, tag = "2")]
    pub difference: f32,
    /// Largest share of the rows that is scanned.
    #[prost(float, tag = "3")]
    pub row_share: f32,
}

impl Manifest {
    /// The first manifest of a collection.
    pub fn first(schema: &Schema, rotation_seed: u64) -> Manifest {
        Manifest {
            number: 1,
            dim: schema.dim as u32,
            metric: schema.metric.name().to_owned(),
            id_type: schema.id_type.name().to_owned(),
            rotation_seed,
            wal_floor: 1,
            next_seq: 1,
            next_file: 1,
            ..Manifest::default()
        }
    }

    /// Dimension, metric and id type.
    pub fn schema(&self) -> Result<Schema> {
        Schema::new(self.dim as usize, Metric::parse(&self.metric)?, IdType::parse(&self.id_type)?)
            .map_err(|error| Error::corrupt(format!("manifest {}: {error}", self.number)))
    }

    /// The next number for a bucket, tombstone or bitstore file.
    pub fn take_file_number(&mut self) -> u64 {
        self.next_file += 1;
        self.next_file - 1
    }

    /// Names of all files that the manifest needs, besides logs.
    pub fn files(&self) -> Result<Vec<String>> {
        let mut files = Vec::new();
        for segment in &self.segments {
            files.push(names::segment(segment.uuid()?));
        }
        files.extend(self.bucket_files.iter().map(|&file| names::numbered(names::BUCKETS, file)));
        files.extend(self.tombstone_files.iter().map(|&file| names::numbered(names::TOMBSTONES, file)));
        files.extend(self.bitstore.iter().map(|entry| names::numbered(names::BITSTORES, entry.file)));
        Ok(files)
    }

    /// Largest seq a flushed row can have.
    pub fn last_seq(&self) -> Seq {
        self.next_seq.saturating_sub(1)
    }
}

impl Numbered for Manifest {
    const KIND: FileKind = FileKind::Manifest;
    const FOLDER: &'static str = names::MANIFESTS;

    fn number(&self) -> u64 {
        self.number
    }

    fn link(&mut self, number: u64, previous_digest: u64) {
        (self.number, self.previous_digest) = (number, previous_digest);
    }

    fn previous_digest(&self) -> u64 {
        self.previous_digest
    }
}
