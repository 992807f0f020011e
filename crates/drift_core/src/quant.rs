//! From f32 vectors to codes and clusters: pure functions of values, without files or state.
//!
//! Layer 2. A prepared vector is rotated once ([`rotation`]); codes ([`sq8`], [`bits`]), centroids and routing ([`kmeans`]) live in
//! rotated space, where all dimensions look alike and one scale per row fits them all.

pub mod bits;
pub mod cosine;
pub mod kmeans;
pub mod rotation;
pub mod sq8;
