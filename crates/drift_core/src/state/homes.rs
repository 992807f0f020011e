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
    residual: Vec<f32>,
    /// Squared distance and position of candidates.
    near: Vec<(f32, u32)>,
}

impl Router {
    /// The homes of each of the rotated `rows`. Panics when there are no buckets.
    pub fn homes(&self, rows: &[f32]) -> Vec<Homes> {
        self.each_row(rows, |row, _, scratch| {
            self.find_near(row, scratch);
            self.homes_of(row, None, scratch)
        })
    }

    /// The homes of rows whose first bucket is known.
    pub fn homes_in(&self, rows: &[f32], first: &[u32]) -> Vec<Homes> {
        self.each_row(rows, |row, at, scratch| {
            self.find_near(row, scratch);
            self.homes_of(row, Some(first[at]), scratch)
        })
    }

    fn each_row(&self, rows: &[f32], each: impl Fn(&[f32], usize, &mut Scratch) -> Homes + Sync) -> Vec<Homes> {
        assert!(!self.is_empty(), "invariant: buckets are defined before rows are placed");
        let dim = self.origin().len();
        let scratch = || Scratch {
            code: QueryCode::new(dim),
            bits: BitQuery::new(dim),
            rank: RankScratch::default(),
            residual: vec![0.0; dim],
            near: Vec::new(),
        };
        let tasks = rows.par_chunks(TASK_ROWS * dim).enumerate();
        tasks
            .map_init(scratch, |scratch, (task, rows)| {
                let rows = rows.chunks_exact(dim).enumerate();
                rows.map(|(row, values)| each(values, task * TASK_ROWS + row, scratch)).collect::<Vec<_>>()
            })
            .flatten_iter()
            .collect()
    }

    /// Puts the nearest centroids by SQ8 into `scratch.near`, nearest first.
    fn find_near(&self, row: &[f32], scratch: &mut Scratch) {
        let Scratch { code, bits, rank, near, .. } = scratch;
        code.set(row);
        bits.set(row, self.origin());
        self.begin(Order::Distance, code, bits, rank);
        self.next(Order::Distance, code, bits, rank);
        near.clear();
        near.extend(rank.ranked.iter().map(|ranked| (ranked.centre.reach * ranked.centre.reach, ranked.position)));
        let wanted = near.len().min(SECOND_CANDIDATES);
        if wanted < near.len() {
            near.select_nth_unstable_by(wanted, |a, b| a.0.total_cmp(&b.0));
        }
        near.truncate(wanted);
        near.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    }

    fn homes_of(&self, row: &[f32], first: Option<u32>, scratch: &mut Scratch) -> Homes {
        let Scratch { residual, near, .. } = scratch;
        let exact = |position: u32| ((kernels().l2)(row, self.table().centroid(position as usize)), position);
        let (distance, first) = match first {
            Some(first) => exact(first),
            None => near
                .iter()
                .take(EXACT_CANDIDATES)
                .map(|&(_, position)| exact(position))
                .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
                .expect("invariant: there are buckets"),
        };
        let centroid = self.table().centroid(first as usize);
        for ((residual, x), c) in residual.iter_mut().zip(row).zip(centroid) {
            *residual = x - c;
        }
        let along = (kernels().dot)(residual, row);
        let score = |&(distance2, position): &(f32, u32)| {
            // <r1, r2> = <r1, x> - <r1, c2>
            let parallel = along - (kernels().dot)(residual, self.table().centroid(position as usize));
            let parallel2 = if distance > 0.0 { parallel * parallel / distance } else { 0.0 };
            (distance2 + PARALLEL_WEIGHT * parallel2, position)
        };
        let others = near.iter().filter(|(_, position)| *position != first).map(score);
        let second = others.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|(_, position)| position);
        Homes { first, residual: distance, second }
    }
}
