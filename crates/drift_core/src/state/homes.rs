//! The buckets of a row: the nearest, which holds it, and a second one, which holds another entry of its filter code.
//!
//! Layer 5. Candidates come from the router's coded centroids; the nearest are measured exactly. The second bucket is the one
//! that serves the queries that the first fails (SOAR, Sun et al. 2023): with residuals r1 and r2 to both centroids it
//! minimises `|r2|^2 + weight <r1, r2>^2 / |r1|^2`, so that a query for which r1 points the wrong way does not find r2
//! pointing the same way.

use super::router::{Order, RankScratch, Router};
use crate::kernels::kernels;
use crate::quant::bits::BitQuery;
use crate::quant::sq8::QueryCode;
use rayon::prelude::*;

/// Weight of the parallel part of the second residual.
const PARALLEL_WEIGHT: f32 = 2.0;

/// Nearest centroids among which the second bucket is sought.
const SECOND_CANDIDATES: usize = 20;

/// Nearest centroids by SQ8 that are measured exactly for the first bucket.
const EXACT_CANDIDATES: usize = 4;

/// Rows that one task takes.
const TASK_ROWS: usize = 128;

/// Where a row belongs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Homes {
    /// Table position of the nearest bucket.
    pub first: u32,
    /// Squared distance to its centroid.
    pub residual: f32,
    /// Table position of the second bucket; none when there is one bucket only.
    pub second: Option<u32>,
}

/// Memory of one thread.
struct Scratch {
    code: QueryCode,
    bits: BitQuery,
    rank: RankScratch,
    residual: Residual,
    /// Squared distance and position of candidates.
    near: Vec<(f32, u32)>,
}

impl Scratch {
    fn new(dim: usize) -> Scratch {
        Scratch {
            code: QueryCode::new(dim),
            bits: BitQuery::new(dim),
            rank: RankScratch::default(),
            residual: Residual::default(),
            near: Vec::new(),
        }
    }
}

/// A row seen from its first bucket.
#[derive(Default)]
pub struct Residual {
    /// The row less the centroid.
    vector: Vec<f32>,
    /// Its squared length: the squared distance to the centroid.
    pub norm2: f32,
    /// Its inner product with the row.
    along: f32,
}

impl Router {
    /// The homes of each of the rotated `rows`. Panics when there are no buckets.
    pub fn homes(&self, rows: &[f32]) -> Vec<Homes> {
        assert!(!self.is_empty(), "invariant: buckets are defined before rows are placed");
        let dim = self.origin().len();
        rows.par_chunks(TASK_ROWS * dim)
            .map_init(
                || Scratch::new(dim),
                |scratch, rows| rows.chunks_exact(dim).map(|row| self.homes_of(row, scratch)).collect::<Vec<_>>(),
            )
            .flatten_iter()
            .collect()
    }

    /// The positions of the `count` buckets nearest to a rotated `point`, nearest first, or of all there are.
    pub fn nearest(&self, point: &[f32], count: usize) -> Vec<u32> {
        let mut scratch = Scratch::new(self.origin().len());
        self.find_near(point, count, &mut scratch);
        scratch.near.iter().map(|(_, position)| *position).collect()
    }

    /// Squared distance of a rotated row to the centroid at `position`.
    pub fn distance(&self, row: &[f32], position: u32) -> f32 {
        (kernels().l2)(row, self.table().centroid(position as usize))
    }

    /// Puts the `count` nearest centroids by SQ8 into `scratch.near`, nearest first.
    fn find_near(&self, row: &[f32], count: usize, scratch: &mut Scratch) {
        let Scratch { code, bits, rank, near, .. } = scratch;
        code.set(row);
        bits.set(row, self.origin());
        self.begin(Order::Distance, code, bits, rank);
        while rank.ranked.len() < count && self.rank_more(Order::Distance, code, bits, rank) {}
        near.clear();
        near.extend(rank.ranked.iter().map(|ranked| (ranked.centre.reach * ranked.centre.reach, ranked.position)));
        let wanted = near.len().min(count);
        if wanted < near.len() {
            near.select_nth_unstable_by(wanted, |a, b| a.0.total_cmp(&b.0));
        }
        near.truncate(wanted);
        near.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    }

    fn homes_of(&self, row: &[f32], scratch: &mut Scratch) -> Homes {
        self.find_near(row, SECOND_CANDIDATES, scratch);
        let Scratch { residual, near, .. } = scratch;
        let exact = |&(_, position): &(f32, u32)| (self.distance(row, position), position);
        let nearest = near.iter().take(EXACT_CANDIDATES).map(exact);
        let (_, first) =
            nearest.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).expect("invariant: there are buckets");
        residual.set(self, row, first);
        let cost = |&(distance2, position): &(f32, u32)| (residual.second_cost(self, position, distance2), position);
        let others = near.iter().filter(|(_, position)| *position != first).map(cost);
        let second = others.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|(_, position)| position);
        Homes { first, residual: residual.norm2, second }
    }
}

impl Residual {
    /// Sees a rotated row from the bucket at `first`.
    pub fn set(&mut self, router: &Router, row: &[f32], first: u32) {
        let centroid = router.table().centroid(first as usize);
        self.vector.clear();
        self.vector.extend(row.iter().zip(centroid).map(|(x, c)| x - c));
        self.norm2 = (kernels().dot)(&self.vector, &self.vector);
        self.along = (kernels().dot)(&self.vector, row);
    }

    /// What the bucket at `position`, whose centroid is at the squared distance `distance2`, costs as a second one.
    pub fn second_cost(&self, router: &Router, position: u32, distance2: f32) -> f32 {
        // <r1, r2> = <r1, x> - <r1, c2>
        let parallel = self.along - (kernels().dot)(&self.vector, router.table().centroid(position as usize));
        let parallel2 = if self.norm2 > 0.0 { parallel * parallel / self.norm2 } else { 0.0 };
        distance2 + PARALLEL_WEIGHT * parallel2
    }
}
