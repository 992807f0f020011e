//! The manifest: the only truth about what exists.
//!
//! Layer 4. A collection's state is the newest of its numbered, immutable manifests; each names its predecessor's
//! digest. Committed by put-if-absent, so two writers cannot both succeed. A damaged newest manifest is an error, never
//! a reason to take an older one. The database's catalog of collections is kept in the same way.

mod catalog;
mod columns;
mod state;
mod store;

pub use catalog::{Catalog, CatalogEntry};
pub use columns::{read_buckets, read_tombstones, write_buckets, write_tombstones};
pub use state::{BitstoreEntry, CalibrationPoint, Manifest, SegmentEntry};
pub use store::{Numbered, NumberedStore};

/// Reads and commits a collection's manifests.
pub type ManifestStore = NumberedStore<Manifest>;
/// Reads and commits a database's catalogs.
pub type CatalogStore = NumberedStore<Catalog>;
