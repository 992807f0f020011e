//! The rows that come into question as neighbours of some queries, by one pass over all SQ8 codes.
//!
//! Layer 6. Queries are compared in groups, so that memory keeps up with the products.

use crate::error::Result;
use crate::kernels::kernels;
use crate::quant::bits::BitQuery;
use crate::quant::sq8::{Factors, QueryCode};
use crate::search::buckets::key;
use crate::search::scratch::Scratch;
use crate::state::{CollectionState, Run, Version};
use crate::types::{Metric, Seq};
use std::cmp::Ordering;
use std::ops::Range;

/// Estimated candidates that the thresholds along the way are taken from, and where more than ten neighbours are asked for: a search
/// has farther rows among its best until it has met these.
pub const CANDIDATES: usize = 128;
pub const CANDIDATES_WIDE: usize = 1_024;

/// How many times as many are gathered before all but the nearest are dropped.
const CUT_FACTOR: usize = 4;

/// Rows that all samples of a group are compared with before the next: their codes stay in L2.
const PASS_ROWS: u32 = 256;

/// Where a sampled row stands: segment, row, and position of its bucket.
#[derive(Clone, Copy)]
pub struct Origin {
    /// Place of the segment.
    pub segment: u32,
    /// Row within it.
    pub row: u32,
    /// Position of its bucket.
    pub position: usize,
}

/// A query that is traced: a row of the collection, which must not find itself, or a live one.
pub struct Sampled {
    /// The row and the position of its bucket.
    pub row: Option<(u64, usize)>,
    /// Newest write that it sees.
    pub seq: Seq,
    /// The query as searches prepare it.
    pub query: Vec<f32>,
    /// Its SQ8 code.
    pub code: QueryCode,
    /// Its table for filter codes.
    pub bits: BitQuery,
    /// The candidates.
    pub best: Nearest,
}

/// Some nearest rows so far, and more that were found since the last cut: sorting is left to the end.
#[derive(Clone, Default)]
pub struct Nearest {
    /// How many are kept.
    count: usize,
    /// Distance and key of each.
    found: Vec<(f32, u64)>,
    /// What a distance must be below to get in, once there has been a cut.
    limit: Option<f32>,
}

impl Nearest {
    /// To keep as many.
    pub fn new(count: usize) -> Nearest {
        Nearest { count, ..Nearest::default() }
    }

    fn threshold(&self) -> f32 {
        self.limit.unwrap_or(f32::INFINITY)
    }

    fn push(&mut self, distance: f32, key: u64) {
        self.found.push((distance, key));
        if self.found.len() == CUT_FACTOR * self.count {
            let (_, last, _) = self.found.select_nth_unstable_by(self.count - 1, compare);
            self.limit = Some(last.0);
            self.found.truncate(self.count);
        }
    }

    /// The distance of the `n`-th nearest, from 1.
    pub fn nth(&mut self, n: usize) -> Option<f32> {
        (n <= self.found.len()).then(|| self.found.select_nth_unstable_by(n - 1, compare).1.0)
    }

    /// The nearest, in order.
    pub fn sorted(mut self) -> Vec<(f32, u64)> {
        self.found.sort_unstable_by(compare);
        self.found.truncate(self.count);
        self.found
    }
}

fn compare(a: &(f32, u64), b: &(f32, u64)) -> Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

/// Samples of some rows, with so many candidates each.
pub fn scanned_rows(
    collection: &CollectionState,
    version: &Version,
    rows: &[Origin],
    candidates: usize,
    scratch: &mut Scratch,
) -> Result<Vec<Sampled>> {
    let mut samples = Vec::with_capacity(rows.len());
    for &Origin { segment, row, position } in rows {
        let mut vector = vec![0.0; collection.schema.dim];
        version.index.segments[segment as usize].segment.read_row(row, &mut vector, &mut scratch.cold)?;
        let own = Some((key(segment, row), position));
        samples.push(Sampled::new(collection, version, &vector, own, candidates, scratch));
    }
    scan(collection, version, &mut samples);
    Ok(samples)
}

impl Sampled {
    /// A query that so many candidates are to be found for.
    pub fn new(
        collection: &CollectionState,
        version: &Version,
        query: &[f32],
        row: Option<(u64, usize)>,
        candidates: usize,
        scratch: &mut Scratch,
    ) -> Sampled {
        scratch.set_query(collection, &version.index.router, query);
        Sampled {
            row,
            seq: version.seq,
            query: scratch.query.prepared.clone(),
            code: scratch.code.clone(),
            bits: scratch.bits.clone(),
            best: Nearest::new(candidates),
        }
    }
}

/// Finds the candidates of all samples.
pub fn scan(collection: &CollectionState, version: &Version, samples: &mut [Sampled]) {
    let queries: Vec<i8> = samples.iter().flat_map(|sample| sample.code.codes()).copied().collect();
    let mut pass = Pass::default();
    for run in version.index.segment_runs() {
        for start in (0..run.rows).step_by(PASS_ROWS as usize) {
            let part = Run { start: run.start + start, rows: PASS_ROWS.min(run.rows - start), ..run };
            pass.scan(collection.schema.metric, version, &part, &queries, samples);
        }
    }
}

/// Memory for the comparison of some rows with all samples.
#[derive(Default)]
struct Pass {
    products: Vec<i32>,
    mids: Vec<f32>,
    deltas: Vec<f32>,
    norms: Vec<f32>,
    distances: Vec<f32>,
    near: Vec<u32>,
}

impl Pass {
    fn scan(&mut self, metric: Metric, version: &Version, run: &Run, queries: &[i8], samples: &mut [Sampled]) {
        let segment = version.index.segment(run);
        let rows = run.rows as usize;
        self.products.resize(rows * samples.len(), 0);
        let codes = segment.codes(run.start..run.start + run.rows);
        (kernels().sq8_products)(codes, queries, queries.len() / samples.len(), &mut self.products);
        let factors = &segment.factors()[run.start as usize..][..rows];
        let column = |column: &mut Vec<f32>, of: fn(&Factors) -> f32| {
            column.clear();
            column.extend(factors.iter().map(of));
        };
        column(&mut self.mids, |factors| factors.mid);
        column(&mut self.deltas, |factors| factors.delta);
        column(&mut self.norms, |factors| factors.norm2);
        self.near.resize(rows, 0);
        for (at, sample) in samples.iter_mut().enumerate() {
            self.estimate(metric, &sample.code, at * rows..(at + 1) * rows);
            let count =
                (kernels().between)(&self.distances, f32::NEG_INFINITY, sample.best.threshold(), &mut self.near);
            for &near in &self.near[..count] {
                sample.meet(version, run, near, self.distances[near as usize]);
            }
        }
    }

    /// The distances of [`buckets::estimate`] to a query whose products are these.
    fn estimate(&mut self, metric: Metric, query: &QueryCode, products: Range<usize>) {
        let (terms, norm2) = (query.terms(), query.norm2());
        let rows = self.products[products].iter().zip(self.mids.iter().zip(&self.deltas)).zip(&self.norms);
        let dots = rows.map(|((&product, (&mid, &delta)), &norm)| (terms.dot(product, mid, delta), norm));
        self.distances.clear();
        match metric {
            Metric::L2 | Metric::Cosine => self.distances.extend(dots.map(|(dot, norm)| norm2 + norm - 2.0 * dot)),
            Metric::Dot => self.distances.extend(dots.map(|(dot, _)| -dot)),
        }
    }
}

impl Sampled {
    /// Takes a row as a candidate if it is near enough and may be seen.
    fn meet(&mut self, version: &Version, run: &Run, at: u32, distance: f32) {
        let row = run.start + at;
        let candidate = key(run.segment, row);
        let is_near = distance < self.best.threshold();
        if is_near
            && self.row.is_none_or(|(own, _)| own != candidate)
            && version.index.segment(run).is_visible(row, self.seq)
        {
            self.best.push(distance, candidate);
        }
    }
}
