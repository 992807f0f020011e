//! Where a bulk load's rows come from: a stream of batches, each with ids and vectors.
//!
//! Layer 6, without dependencies, so that any reader (Arrow, Parquet, a Python iterator, a test) can be a source.
//! Vectors keep the element type of the source: f16 files stay f16 down to the cold block. A batch may borrow the
//! reader's own memory ([`BatchVectors::SharedF32`]), so that Arrow columns reach the engine without a copy.

use crate::error::{Error, Result};
use crate::types::{Columns, Ids, Schema, Vectors};
use half::f16;
use std::sync::Arc;

/// Owned or shared row-major vectors.
#[derive(Clone)]
pub enum BatchVectors {
    /// Owned f32 values.
    F32(Vec<f32>),
    /// Owned f16 values.
    F16(Vec<f16>),
    /// f32 values in memory that the source keeps alive.
    SharedF32(Arc<dyn AsRef<[f32]> + Send + Sync>),
    /// f16 values in memory that the source keeps alive.
    SharedF16(Arc<dyn AsRef<[f16]> + Send + Sync>),
}

impl BatchVectors {
    /// The values, borrowed.
    pub fn as_vectors(&self) -> Vectors<'_> {
        match self {
            BatchVectors::F32(values) => Vectors::F32(values),
            BatchVectors::F16(values) => Vectors::F16(values),
            BatchVectors::SharedF32(values) => Vectors::F32((**values).as_ref()),
            BatchVectors::SharedF16(values) => Vectors::F16((**values).as_ref()),
        }
    }
}

impl std::fmt::Debug for BatchVectors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let vectors = self.as_vectors();
        write!(f, "BatchVectors({:?}, {} values)", vectors.element_type(), vectors.values())
    }
}

/// Some rows of a source, in its order.
#[derive(Clone, Debug)]
pub struct RowBatch {
    /// `n` ids.
    pub ids: Ids,
    /// `n * dim` values.
    pub vectors: BatchVectors,
    /// Their payload.
    pub payload: Option<Columns>,
}

impl RowBatch {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.ids.len()
    }

    /// Checks id type and range and that there is one vector of the schema's dimension for each id. Values (NaN, zero
    /// vectors) are checked where they are read anyway.
    pub fn validate(&self, schema: &Schema) -> Result<()> {
        self.ids.validate(schema.id_type)?;
        let values = self.vectors.as_vectors().values();
        if Some(values) != self.ids.len().checked_mul(schema.dim) {
            return Err(Error::invalid(format!(
                "a batch has {} ids and {values} vector values: it needs {} values for each id",
                self.ids.len(),
                schema.dim
            )));
        }
        if let Some(payload) = self.payload.as_ref().filter(|payload| payload.rows() != self.ids.len()) {
            return Err(Error::invalid(format!(
                "a batch has {} ids and metadata of {} rows: give as many",
                self.ids.len(),
                payload.rows()
            )));
        }
        Ok(())
    }
}

/// A stream of batches, read once from the first row to the last.
pub trait RowSource: Send {
    /// Number of rows in all, when it is known beforehand.
    fn rows_total(&self) -> Option<u64>;

    /// The next batch, or `None` at the end. Batches may be empty. Errors name the file, column and row.
    fn next(&mut self) -> Result<Option<RowBatch>>;

    /// Where the source's `row`-th row so far (from 0, over all batches) comes from, for messages about its values.
    fn locate(&self, row: u64) -> String {
        format!("row {row}")
    }
}

/// Batches that are in memory already.
#[derive(Debug)]
pub struct MemorySource {
    batches: std::vec::IntoIter<RowBatch>,
    rows: u64,
}

impl MemorySource {
    /// A source of these batches.
    pub fn new(batches: Vec<RowBatch>) -> MemorySource {
        let rows = batches.iter().map(|batch| batch.rows() as u64).sum();
        MemorySource { batches: batches.into_iter(), rows }
    }
}

impl RowSource for MemorySource {
    fn rows_total(&self) -> Option<u64> {
        Some(self.rows)
    }

    fn next(&mut self) -> Result<Option<RowBatch>> {
        Ok(self.batches.next())
    }
}

/// How far a bulk load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadProgress {
    /// Rows that the current stage has finished.
    pub rows: u64,
    /// Rows of the current stage in all, when known.
    pub rows_total: Option<u64>,
    /// Name of the current stage, one word for people: "read", "train", "assign", "write".
    pub stage: &'static str,
}

/// What a bulk load did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// Rows that are now in the collection through this load.
    pub rows: u64,
    /// Buckets that were written.
    pub buckets: u64,
    /// Segments that were written.
    pub segments: u64,
    /// Time taken, seconds.
    pub seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{IdType, Metric};

    #[test]
    fn a_batch_with_a_missing_value_is_refused() {
        let schema = Schema::new(2, Metric::L2, IdType::Int).unwrap();
        let good = RowBatch { ids: Ids::Int(vec![1, 2]), vectors: BatchVectors::F32(vec![0.0; 4]), payload: None };
        assert!(good.validate(&schema).is_ok());
        let bad = RowBatch {
            ids: Ids::Int(vec![1, 2]),
            vectors: BatchVectors::SharedF32(Arc::new(vec![0.0; 3])),
            payload: None,
        };
        assert!(bad.validate(&schema).unwrap_err().message().contains("2 ids and 3 vector values"));
    }

    #[test]
    fn a_memory_source_gives_its_batches_in_order() {
        let batch =
            |id| RowBatch { ids: Ids::Int(vec![id]), vectors: BatchVectors::F16(vec![f16::ONE]), payload: None };
        let mut source = MemorySource::new(vec![batch(1), batch(2)]);
        assert_eq!(source.rows_total(), Some(2));
        assert_eq!(source.next().unwrap().unwrap().ids, Ids::Int(vec![1]));
        assert_eq!(source.next().unwrap().unwrap().ids, Ids::Int(vec![2]));
        assert!(source.next().unwrap().is_none());
    }
}
