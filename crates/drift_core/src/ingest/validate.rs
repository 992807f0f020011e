//! Checks on one write call, all of them before the first byte of the log.
//!
//! Layer 6. An error names the row and the column and says what to fix; nothing has been changed by then.

use crate::error::{Error, Result};
use crate::types::{Ids, Schema, Vectors};

/// Rows of one call: above it a log record would outgrow its limit; bulk data goes through `load`.
pub const BATCH_ROWS_MAX: usize = 1 << 20;

/// Checks ids and vectors of one write call.
pub fn validate_batch(schema: &Schema, ids: &Ids, vectors: &Vectors<'_>) -> Result<()> {
    ids.validate(schema.id_type)?;
    if ids.len() > BATCH_ROWS_MAX {
        return Err(Error::invalid(format!(
            "{} rows in one call: the limit is {BATCH_ROWS_MAX}; use load() for bulk data",
            ids.len()
        )));
    }
    schema.check_vectors("vector", ids.len(), vectors)
}
