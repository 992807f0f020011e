//! The vocabulary that every layer shares: metrics, ids, sequence numbers, borrowed vectors.
//!
//! Layer 0. A row is known outside by its id (int64 >= 0 or a UTF-8 string) and inside by its sequence number: every
//! write gets the next one, and the newest one of an id wins everywhere.

mod check;
mod choice;
mod confidence;
mod decay;
mod explain;
mod ids;
mod lifetime;
mod lines;
pub mod payload;
pub mod predicate;
mod reports;
mod search;
mod topk;
mod vectors;

pub(crate) use choice::unknown as unknown_choice;
pub use confidence::{Confidence, Estimate, LAMBDA_DEFAULT, LAMBDA_MAX, TAU_SHARE};
pub use decay::Decay;
pub use explain::{ExplainedBucket, ExplainedTimes, ExplainedWork, Explanation, Stop};
pub use ids::{ID_BYTES_MAX, IdRef, IdType, Ids, StrIds};
pub use lifetime::{EXPIRES_FIELD, Lifetime, NEVER};
pub use lines::{Floats, LINE_BYTES, Lines};
pub use payload::{Column, Columns, Field, FieldType, Fields, Value};
pub use predicate::Predicate;
pub use reports::{Latency, OnWork, OptimizeReport, Stats, VerifyReport, WorkProgress, unwatched};
pub use search::{HitIds, Hits, Include, Interrupt, Missing, Rows, SearchOptions, never_interrupt};
pub use topk::TopK;
pub use vectors::{ElementType, VectorBuf, Vectors};

use crate::error::{Error, Result};

/// Largest vector dimension: a row of f32 then takes 64 KiB, which still fits one cold read of 17 pages.
pub const DIM_MAX: usize = 16_384;

/// Largest `k` of a search: results of one query then take 1.5 MiB.
pub const K_MAX: usize = 65_536;

/// Number of a write, from 1, strictly increasing within a collection. 0 means "none".
pub type Seq = u64;

/// Name of a bucket within its collection; never used again after the bucket is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketId(pub u32);

/// What metrics are called elsewhere.
const METRICS: [(&str, &str); 16] = [
    ("euclidean", "l2"),
    ("euclid", "l2"),
    ("sqeuclidean", "l2"),
    ("squaredeuclidean", "l2"),
    ("l2sq", "l2"),
    ("squaredl2", "l2"),
    ("cos", "cosine"),
    ("angular", "cosine"),
    ("cosinesimilarity", "cosine"),
    ("cosinedistance", "cosine"),
    ("ip", "dot"),
    ("innerproduct", "dot"),
    ("dotproduct", "dot"),
    ("mips", "dot"),
    ("maxinnerproduct", "dot"),
    ("maximuminnerproduct", "dot"),
];

/// What precisions are called elsewhere.
const PRECISIONS: [(&str, &str); 8] = [
    ("binary", "1bit"),
    ("bit", "1bit"),
    ("onebit", "1bit"),
    ("rabitq", "1bit"),
    ("8bit", "sq8"),
    ("int8", "sq8"),
    ("uint8", "sq8"),
    ("scalar", "sq8"),
];

/// How the distance of two vectors is measured. Smaller is nearer in all three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Squared Euclidean distance, `|a - b|^2`.
    L2,
    /// `1 - cos(a, b)`; zero vectors are refused.
    Cosine,
    /// `-<a, b>`.
    Dot,
}

impl Metric {
    /// The name used in the Python API and in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Metric::L2 => "l2",
            Metric::Cosine => "cosine",
            Metric::Dot => "dot",
        }
    }

    /// Reads a name as [`Metric::name`] writes it.
    pub fn parse(name: &str) -> Result<Metric> {
        match name {
            "l2" => Ok(Metric::L2),
            "cosine" => Ok(Metric::Cosine),
            "dot" => Ok(Metric::Dot),
            _ => Err(choice::unknown("metric", name, &["l2", "cosine", "dot"], &METRICS)),
        }
    }
}

/// What a scan reads of every row of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Filter codes of one bit a dimension, then SQ8 of the few rows that pass: fewer bytes a query.
    OneBit,
    /// SQ8 alone: fewer bytes of memory.
    Sq8,
}

impl Precision {
    /// The name used in the Python API and in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Precision::OneBit => "1bit",
            Precision::Sq8 => "sq8",
        }
    }

    /// Reads a name as [`Precision::name`] writes it.
    pub fn parse(name: &str) -> Result<Precision> {
        match name {
            "1bit" => Ok(Precision::OneBit),
            "sq8" => Ok(Precision::Sq8),
            _ => Err(choice::unknown("precision", name, &["1bit", "sq8"], &PRECISIONS)),
        }
    }
}

/// What a collection is created with and never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Vector dimension, `1..=DIM_MAX`.
    pub dim: usize,
    /// Distance of the collection.
    pub metric: Metric,
    /// Type of the external ids.
    pub id_type: IdType,
    /// What a scan reads.
    pub precision: Precision,
    /// Fields of the payload, when they are fixed; writes bring them otherwise.
    pub fields: Vec<Field>,
    /// The time of its rows, and how long they live.
    pub lifetime: Lifetime,
}

impl Schema {
    /// A schema with a checked dimension.
    pub fn new(dim: usize, metric: Metric, id_type: IdType) -> Result<Schema> {
        if dim == 0 || dim > DIM_MAX {
            return Err(Error::invalid(format!("dim is {dim}: it must be between 1 and {DIM_MAX}")));
        }
        let (precision, lifetime) = (Precision::OneBit, Lifetime::default());
        Ok(Schema { dim, metric, id_type, precision, fields: Vec::new(), lifetime })
    }

    /// The same schema with another precision.
    pub fn with_precision(self, precision: Precision) -> Schema {
        Schema { precision, ..self }
    }

    /// The same schema with fixed fields of the payload.
    pub fn with_fields(self, fields: Vec<Field>) -> Result<Schema> {
        let mut names = std::collections::HashSet::new();
        for field in &fields {
            payload::check_name(&field.name)?;
            if !names.insert(&field.name) {
                return Err(Error::invalid(format!("field {:?} is declared twice", field.name)));
            }
        }
        if fields.len() > payload::FIELDS_MAX {
            return Err(Error::invalid(format!(
                "{} fields: at most {} are allowed",
                fields.len(),
                payload::FIELDS_MAX
            )));
        }
        Ok(Schema { fields, ..self })
    }
}
