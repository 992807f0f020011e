//! Manifest and catalog as Protocol Buffers messages.
//!
//! Layer 4, pure. Field numbers are the format: they are never used again for anything else. Checks of what the fields
//! mean are made where a message becomes a [`Manifest`](super::Manifest) or a [`Catalog`](super::Catalog).

use prost::Message;

/// A manifest.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ManifestMessage {
    #[prost(uint32, tag = "1")]
    pub(super) dim: u32,
    #[prost(string, tag = "2")]
    pub(super) metric: String,
    #[prost(string, tag = "3")]
    pub(super) id_type: String,
    #[prost(uint64, tag = "4")]
    pub(super) wal_floor: u64,
    #[prost(uint64, tag = "5")]
    pub(super) next_seq: u64,
    #[prost(uint32, tag = "6")]
    pub(super) next_bucket: u32,
    #[prost(uint64, tag = "7")]
    pub(super) next_file: u64,
    #[prost(fixed64, tag = "8")]
    pub(super) rotation_seed: u64,
    #[prost(message, repeated, tag = "9")]
    pub(super) segments: Vec<SegmentMessage>,
    #[prost(uint64, repeated, tag = "10")]
    pub(super) bucket_files: Vec<u64>,
    #[prost(uint32, repeated, tag = "11")]
    pub(super) removed_buckets: Vec<u32>,
    #[prost(uint64, repeated, tag = "12")]
    pub(super) tombstone_files: Vec<u64>,
    #[prost(uint64, optional, tag = "13")]
    pub(super) bitstore_file: Option<u64>,
    #[prost(bytes = "vec", repeated, tag = "14")]
    pub(super) bitstore_segments: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "15")]
    pub(super) calibration: Vec<CalibrationMessage>,
    #[prost(uint64, tag = "16")]
    pub(super) calibrated_rows: u64,
    #[prost(uint64, tag = "17")]
    pub(super) last_log: u64,
    #[prost(string, tag = "18")]
    pub(super) precision: String,
    #[prost(uint64, repeated, tag = "19")]
    pub(super) move_files: Vec<u64>,
    #[prost(uint64, tag = "20")]
    pub(super) trained_seq: u64,
    #[prost(uint64, tag = "21")]
    pub(super) calibrated_codes: u64,
    #[prost(message, repeated, tag = "22")]
    pub(super) fields: Vec<FieldMessage>,
    #[prost(bool, tag = "23")]
    pub(super) fields_fixed: bool,
    #[prost(string, optional, tag = "30")]
    pub(super) time_field: Option<String>,
    #[prost(int64, optional, tag = "31")]
    pub(super) ttl_us: Option<i64>,
    #[prost(message, repeated, tag = "40")]
    pub(super) recall_targets: Vec<RecallTargetMessage>,
    #[prost(message, repeated, tag = "41")]
    pub(super) timeline: Vec<TimelineMessage>,
    #[prost(float, tag = "42")]
    pub(super) usual_distance: f32,
    #[prost(uint32, tag = "43")]
    pub(super) spare_rows: u32,
    #[prost(uint64, tag = "44")]
    pub(super) unmeasured_rows: u64,
    #[prost(message, optional, tag = "45")]
    pub(super) learned: Option<LearnedMessage>,
}

/// A field of the payload.
#[derive(Clone, PartialEq, Message)]
pub(super) struct FieldMessage {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(uint32, tag = "2")]
    pub(super) kind: u32,
}

/// What was learned of those who ask.
#[derive(Clone, PartialEq, Message)]
pub(super) struct LearnedMessage {
    #[prost(float, tag = "1")]
    pub(super) margin: f32,
    #[prost(double, tag = "2")]
    pub(super) products: f64,
    #[prost(double, tag = "3")]
    pub(super) squares: f64,
}

/// Measured recall of one target.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RecallTargetMessage {
    #[prost(float, tag = "1")]
    pub(super) target: f32,
    #[prost(uint64, tag = "2")]
    pub(super) queries: u64,
    #[prost(double, tag = "3")]
    pub(super) sum: f64,
    #[prost(double, tag = "4")]
    pub(super) squares: f64,
    /// 0 for few of the nearest rows, 1 for many, 2 for those that satisfy a filter.
    #[prost(uint32, tag = "5")]
    pub(super) asked: u32,
}

/// What a group of live queries met.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TimelineMessage {
    #[prost(double, tag = "1")]
    pub(super) time: f64,
    #[prost(float, tag = "2")]
    pub(super) recall: f32,
    #[prost(double, tag = "3")]
    pub(super) codes: f64,
    #[prost(uint64, tag = "4")]
    pub(super) rows: u64,
    #[prost(uint64, tag = "5")]
    pub(super) buckets: u64,
}

/// A segment that a manifest names.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SegmentMessage {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) file: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub(super) length: u64,
    #[prost(fixed64, tag = "3")]
    pub(super) digest: u64,
    #[prost(uint64, tag = "4")]
    pub(super) rows: u64,
    #[prost(uint64, tag = "6")]
    pub(super) settled: u64,
}

/// A measured stop rule.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CalibrationMessage {
    #[prost(float, tag = "1")]
    pub(super) recall: f32,
    #[prost(float, tag = "2")]
    pub(super) difference: f32,
    #[prost(float, tag = "3")]
    pub(super) row_share: f32,
    /// 0 for ten.
    #[prost(uint32, tag = "4")]
    pub(super) k: u32,
}

/// A catalog.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CatalogMessage {
    #[prost(message, repeated, tag = "1")]
    pub(super) collections: Vec<CatalogEntryMessage>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(super) dropped: Vec<Vec<u8>>,
}

/// A collection that a catalog names.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CatalogEntryMessage {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) folder: Vec<u8>,
}

/// A 128-bit identity as stored: 16 bytes, little-endian.
pub(super) fn identity_bytes(identity: u128) -> Vec<u8> {
    identity.to_le_bytes().to_vec()
}

/// Reads [`identity_bytes`].
pub(super) fn identity_from(bytes: &[u8]) -> std::result::Result<u128, String> {
    let bytes: [u8; 16] = bytes.try_into().map_err(|_| format!("an identity has {} bytes, not 16", bytes.len()))?;
    Ok(u128::from_le_bytes(bytes))
}
