//! Rows from Arrow record batches, and from Parquet files through them.
//!
//! Layer 6, feature "arrow". The id column is an integer or a string column, the vector column a list of floats; of the
//! other columns those that are asked for become payload. Nothing is guessed: a null, a list of another length or a column of another type is
//! [`ErrorKind::Invalid`](crate::error::ErrorKind::Invalid) with the file, the column and the row (from 0).

mod columns;
mod json;
mod parquet;
mod payload;
mod unwind;

pub use columns::{Place, chunked_ids, chunked_vectors, ids, vectors};
pub use json::EXTENSION as JSON_EXTENSION;
pub use parquet::ParquetSource;
pub use payload::columns as payload_columns;

use super::source::{RowBatch, RowSource};
use crate::error::{Error, Result};
use crate::types::{Include, Schema};
use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::SchemaRef;

/// Names of the columns that a load reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnNames {
    /// Column of the ids.
    pub id: String,
    /// Column of the vectors.
    pub vector: String,
    /// Columns of the payload, in this order.
    pub payload: Include,
}

impl ColumnNames {
    /// The same names, and the column that has the rows' times, where the source has one.
    fn with_time(mut self, arrow: &SchemaRef, schema: &Schema) -> ColumnNames {
        let time = schema.lifetime.time.as_ref().filter(|time| arrow.field_with_name(time).is_ok());
        match (&mut self.payload, time) {
            (Include::Fields(fields), Some(time)) if !fields.contains(time) => fields.push(time.clone()),
            (payload @ Include::Nothing, Some(time)) => *payload = Include::Fields(vec![time.clone()]),
            _ => {}
        }
        self
    }
}

/// Rows of a stream of record batches.
pub struct ArrowSource {
    reader: Box<dyn RecordBatchReader + Send>,
    columns: ColumnNames,
    schema: Schema,
    rows_read: u64,
}

impl std::fmt::Debug for ArrowSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ArrowSource({:?}, {} rows read)", self.columns, self.rows_read)
    }
}

/// How messages name a stream without a file.
const STREAM: &str = "Arrow stream";

impl ArrowSource {
    /// Reads `reader` for a collection of `schema`; both columns are checked before any row is read.
    pub fn new(
        reader: Box<dyn RecordBatchReader + Send>,
        columns: ColumnNames,
        schema: &Schema,
    ) -> Result<ArrowSource> {
        let columns = columns.with_time(&reader.schema(), schema);
        check_columns(&reader.schema(), &columns, schema, STREAM)?;
        Ok(ArrowSource { reader, columns, schema: schema.clone(), rows_read: 0 })
    }

    /// The same source, whose first row is called `row` in messages, for a stream that is part of a longer one.
    #[must_use]
    pub fn numbered_from(mut self, row: u64) -> ArrowSource {
        self.rows_read = row;
        self
    }
}

impl RowSource for ArrowSource {
    fn rows_total(&self) -> Option<u64> {
        None
    }

    fn next(&mut self) -> Result<Option<RowBatch>> {
        let Some(batch) = self.reader.next() else { return Ok(None) };
        let batch =
            batch.map_err(|e| Error::invalid(format!("{STREAM}, row {}: {e}", self.rows_read)).with_source(e))?;
        let rows = row_batch(&batch, &self.columns, &self.schema, STREAM, self.rows_read)?;
        self.rows_read += rows.rows() as u64;
        Ok(Some(rows))
    }

    fn locate(&self, row: u64) -> String {
        format!("{STREAM}, row {row}")
    }
}

/// The two columns of one record batch, whose first row is row `first_row` of `source`.
pub fn row_batch(
    batch: &RecordBatch,
    names: &ColumnNames,
    schema: &Schema,
    source: &str,
    first_row: u64,
) -> Result<RowBatch> {
    let column = |name: &str| {
        batch.column_by_name(name).ok_or_else(|| missing_column(name, &batch.schema(), source)).map(AsRef::as_ref)
    };
    let ids = columns::ids(column(&names.id)?, schema.id_type, &Place { source, column: &names.id, first_row })?;
    let vectors =
        columns::vectors(column(&names.vector)?, schema.dim, &Place { source, column: &names.vector, first_row })?;
    let payload = payload::columns(batch, names, source, first_row)?;
    Ok(RowBatch { ids, vectors, payload })
}

/// Checks names, types and dimension of both columns from their declared types alone.
fn check_columns(arrow: &SchemaRef, names: &ColumnNames, schema: &Schema, source: &str) -> Result<()> {
    let field = |name: &str| arrow.field_with_name(name).map_err(|_| missing_column(name, arrow, source));
    columns::check_id_type(field(&names.id)?.data_type(), schema.id_type)
        .map_err(|e| e.context(format!("{source}, column {:?}", names.id)))?;
    columns::check_vector_type(field(&names.vector)?.data_type(), schema.dim)
        .map_err(|e| e.context(format!("{source}, column {:?}", names.vector)))?;
    payload::check(arrow, names, source)
}

fn missing_column(name: &str, arrow: &SchemaRef, source: &str) -> Error {
    let present: Vec<&str> = arrow.fields().iter().map(|field| field.name().as_str()).collect();
    let ways = "name the columns with id= and vector=, those of metadata with metadata=[...], or all others with \
                metadata=True";
    Error::invalid(format!("{source}: no column {name:?}; it has {present:?}: {ways}"))
}
