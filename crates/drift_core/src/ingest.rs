//! The write path: validation, sequence numbers, log, memtable, bulk load.
//!
//! Layer 6. Meets the read path and maintenance only in `state`.

#[cfg(feature = "arrow")]
pub mod arrow;
mod commit;
mod fields;
mod load;
pub mod source;
mod spool;
mod time;
mod validate;
mod write;

pub use load::{OnProgress, load};
pub use write::{
    abandon, add, apply_delete, apply_upsert, delete, delete_versions, expire_versions, replace_versions, seal, upsert,
};
