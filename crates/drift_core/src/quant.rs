//! From f32 vectors to codes and clusters: rotation, SQ8, k-means.
//!
//! Layer 2, pure: slices in, slices out, no storage, no threads but rayon's of the caller's pool.

pub mod kmeans;
pub mod rotation;
pub mod sq8;
