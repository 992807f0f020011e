//! Manifests and what they name: the only truth about what exists.
//!
//! Layer 4; written by every commit, read at open. A collection has a chain of numbered manifests, a database a chain
//! of numbered catalogs (its collections); each is a whole picture, not a change, and the newest one counts. Bucket,
//! move and tombstone files are small columns that a commit adds and its manifest names. Invariants:
//! * a commit is one put-if-absent of the next number: it happened whole or not at all, and of two writers one loses;
//! * each file carries the digest of the one before it;
//! * the newest file being damaged is an error, never a reason to take the one before it.
//!
//! `docs/format.md` has the byte maps.

mod buckets;
mod catalog;
mod chain;
mod collection;
mod messages;
mod moves;
mod recall;
mod tombstones;

pub use buckets::BucketFile;
pub use catalog::{Catalog, CatalogEntry, CatalogStore};
pub use chain::MANIFESTS_KEPT;
pub use collection::{CalibrationPoint, FileNumbers, Manifest, ManifestStore, SegmentEntry, next_file_number};
pub use moves::{MoveFile, SegmentMoves};
pub use recall::{Asked, Learned, POINTS_MAX, RecallSummary, TARGETS_MAX, TargetSum, TimelinePoint};
pub use tombstones::TombstoneFile;

#[cfg(test)]
mod tests;
