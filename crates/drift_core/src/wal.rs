//! The write-ahead log: what was acknowledged and not yet flushed.
//!
//! Layer 4. A collection has one log of numbered files, one per memtable. A file is a header and records; a record is
//! length, checksum (over length and payload, begun with file identity and offset) and payload (kind, element type,
//! rows, first seq, ids, vectors). The first record of a file says at which seq it begins, and every record begins at
//! the seq where the one before ended, so nothing can be missing in between. Many writers share one fsync.

mod reader;
mod record;
mod sync;
mod writer;

pub use reader::{Replayed, numbers, replay};
pub use record::{OwnedRecord, Record};
pub use sync::WalSync;
pub use writer::WalWriter;

#[cfg(test)]
mod tests;
