//! The nearest centroid of many rows: exactly for few centroids, through groups of coded centroids for many.
//!
//! Layer 2. Training, splits of buckets and the grouping of centroids assign rows with it. Invariant: the answer for a row is a
//! function of the rows of the call and the centroids, never of threads.

use super::groups::Groups;
use super::nearest::Columns;
use super::{FLAT_CLUSTERS_MAX, nearest_of_all};

/// Finds the nearest of a fixed set of centroids.
pub struct Assigner<'a> {
    dim: usize,
    way: Way<'a>,
}

enum Way<'a> {
    Flat(Columns<'a>),
    Grouped(Groups<'a>),
}

impl<'a> Assigner<'a> {
    /// Prepares centroids that lie one behind the other. More than [`FLAT_CLUSTERS_MAX`] of them are grouped.
    ///
    /// # Panics
    /// When `dim` is 0, there is no centroid, or `centroids` is not a whole number of vectors.
    pub fn new(centroids: &'a [f32], dim: usize) -> Assigner<'a> {
        assert!(dim > 0 && !centroids.is_empty() && centroids.len().is_multiple_of(dim), "whole centroids");
        let is_flat = centroids.len() / dim <= FLAT_CLUSTERS_MAX;
        let way =
            if is_flat { Way::Flat(Columns::new(centroids, dim)) } else { Way::Grouped(Groups::new(centroids, dim)) };
        Assigner { dim, way }
    }

    /// The nearest centroid of each row and its squared distance, for rows that lie one behind the other. Among many centroids
    /// another one that is nearly as near may be taken for it.
    ///
    /// # Panics
    /// When `rows` is not a whole number of vectors.
    pub fn assign(&self, rows: &[f32]) -> (Vec<u32>, Vec<f32>) {
        assert!(rows.len().is_multiple_of(self.dim), "whole vectors");
        match &self.way {
            Way::Flat(columns) => nearest_of_all(rows, self.dim, columns).into_iter().unzip(),
            Way::Grouped(groups) => groups.assign(rows),
        }
    }
}
