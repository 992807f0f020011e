//! Bulk loading: where rows come from, and how they reach buckets without passing through the log.
//!
//! Layer 6. A load reads a [`RowSource`](source::RowSource) once, trains the buckets, and commits all rows or none.
//! Sources of Arrow arrays and Parquet files are in `arrow` (feature "arrow").

#[cfg(feature = "arrow")]
pub mod arrow;
pub mod source;
