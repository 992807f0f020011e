//! drift_core: the engine of an embedded vector database whose index does not rot.
//!
//! Writes go to a write-ahead log and a memtable; flushes move rows into buckets of SQ8 codes kept in immutable
//! segments; jobs rewrite buckets as data drifts; readers pin an immutable version and never wait.
//!
//! Layers, lowest first; a file imports its own folder and lower layers only (`tests/layers.rs` checks it):
//!
//! ```text
//! 7 db                         open, recover, close, public surface
//! 6 ingest │ search │ maintain three paths that meet only in `state`
//! 5 state                      version, router, index: what is true now
//! 4 wal │ memtable │ segment │ bitstore │ manifest
//! 3 storage                    backends, file names
//! 2 format │ quant             bytes <-> values, f32 <-> codes, clustering
//! 1 kernels                    SIMD on slices: the only `unsafe`
//! 0 types · error · config · clock · sync
//! ```
#![deny(unsafe_code)]

pub mod bitstore;
pub mod clock;
pub mod config;
pub mod db;
pub mod error;
pub mod format;
pub mod ingest;
pub mod kernels;
pub mod maintain;
pub mod manifest;
pub mod memtable;
pub mod quant;
pub mod search;
pub mod segment;
pub mod state;
pub mod storage;
pub mod sync;
pub mod types;
pub mod wal;
