//! Checks on one write call, all of them before the first byte of the log.
//!
//! Layer 6. An error names the row and the column and says what to fix; nothing has been changed by then.

use crate::error::{Error, Result};
use crate::types::{Columns, Ids, Schema, Vectors};

/// Rows of one call: above it a log record would outgrow its limit; bulk data goes through `load`.
pub const BATCH_ROWS_MAX: usize = 1 << 20;

/// Checks ids, vectors and payload of one write call; the types of the payload are checked under the write lock.
pub fn validate_batch(schema: &Schema, ids: &Ids, vectors: &Vectors<'_>, payload: Option<&Columns>) -> Result<()> {
    ids.validate(schema.id_type)?;
    if ids.len() > BATCH_ROWS_MAX {
        return Err(Error::invalid(format!(
            "{} rows in one call: the limit is {BATCH_ROWS_MAX}; use load() for bulk data",
            ids.len()
        )));
    }
    if let Some(payload) = payload.filter(|payload| payload.rows() != ids.len()) {
        return Err(Error::invalid(format!(
            "{} ids came with metadata of {} rows: give as many",
            ids.len(),
            payload.rows()
        )));
    }
    if let Some((row, problem)) = payload.and_then(Columns::find_bad_value) {
        return Err(Error::invalid(format!("row {row}: {problem}")));
    }
    schema.check_vectors("vector", ids.len(), vectors)
}
