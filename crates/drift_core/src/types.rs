//! The vocabulary that every layer shares: metrics, ids, sequence numbers, borrowed vectors.
//!
//! Layer 0. A row is known outside by its id (int64 >= 0 or a UTF-8 string) and inside by its sequence number: every
//! write gets the next one, and the newest one of an id wins everywhere.

mod check;
mod confidence;
mod explain;
mod ids;
mod lines;
mod reports;
mod search;
mod topk;
mod vectors;

pub use confidence::{Confidence, Estimate, LAMBDA_DEFAULT, LAMBDA_MAX, TAU_SHARE};
pub use explain::{ExplainedBucket, ExplainedTimes, ExplainedWork, Explanation, Stop};
pub use ids::{ID_BYTES_MAX, IdRef, IdType, Ids, StrIds};
pub use lines::{LINE_BYTES, Lines};
pub use reports::{OptimizeReport, Stats, VerifyReport};
pub use search::{HitIds, Hits, Interrupt, Missing, Rows, SearchOptions, never_interrupt};
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
            _ => Err(Error::invalid(format!("unknown metric {name:?}: use \"l2\", \"cosine\" or \"dot\""))),
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
            _ => Err(Error::invalid(format!("unknown precision {name:?}: use \"1bit\" or \"sq8\""))),
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
}

impl Schema {
    /// A schema with a checked dimension.
    pub fn new(dim: usize, metric: Metric, id_type: IdType) -> Result<Schema> {
        if dim == 0 || dim > DIM_MAX {
            return Err(Error::invalid(format!("dim is {dim}: it must be between 1 and {DIM_MAX}")));
        }
        Ok(Schema { dim, metric, id_type, precision: Precision::OneBit })
    }

    /// The same schema with another precision.
    pub fn with_precision(self, precision: Precision) -> Schema {
        Schema { precision, ..self }
    }
}
