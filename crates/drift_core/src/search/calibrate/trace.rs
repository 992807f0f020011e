//! What searches for sampled rows would meet, bucket by bucket, if they never stopped.
//!
//! Layer 6. All candidates of a sampled row are found by a scan of all SQ8 codes; then the buckets are walked in the order
//! of a search, which tells what the threshold would be at each step, and at which step each true neighbour passes the
//! filter.

use crate::error::Result;
use crate::kernels::kernels;
use crate::quant::bits::{BitCode, BitQuery};
use crate::quant::sq8::{self, Factors, QueryCode};
use crate::search::buckets::{self, Limits, key};
use crate::search::filter;
use crate::search::rerank::{self, exact_distance};
use crate::search::scratch::{self, Scratch};
use crate::state::{
    CollectionState, Index, Mark, Order, Ranked, Run, SPREAD_WEIGHT, StopRule, Trace, Version, gap, locate, widening,
};
use crate::types::{Metric, Seq, TopK};
use rayon::prelude::*;
use std::ops::Range;

/// Neighbours that recall is measured for.
pub const K: usize = 10;

/// Estimated candidates among which the true neighbours are sought: SQ8 ranks a true tenth neighbour far within them.
pub const TRUTH_WIDTH: usize = 40;

/// Estimated candidates that the thresholds along the way are taken from.
const CANDIDATES: usize = 128;

/// A mark's distance to the next is this share of its step.
const MARK_SHARE: usize = 100;

/// Codes among which a search finds its first threshold, about.
const FIRST_CODES: u64 = 16;

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
struct Sampled {
    row: Option<(u64, usize)>,
    /// Newest write that it sees.
    seq: Seq,
    query: Vec<f32>,
    code: QueryCode,
    bits: BitQuery,
    best: TopK,
    /// Bucket and row of each candidate that got into `best`.
    seen: Vec<(u32, u64)>,
}

/// A traced query.
pub struct Traced {
    /// Its way.
    pub trace: Trace,
    /// Exact distances of the nearest flushed rows that it could find, ascending: at least [`TRUTH_WIDTH`] less what is not
    /// there, and sure to be the nearest up to about half of them.
    pub nearest: Vec<f32>,
}

/// Share of the rows whose tenth neighbours are nearer than the usual distance.
const USUAL_SHARE: f64 = 0.9;

/// The distance of the tenth neighbour that most of these rows stay within; 0 where distances are none, under dot.
pub fn usual_distance(collection: &CollectionState, version: &Version, rows: &[Origin]) -> Result<f32> {
    if collection.schema.metric == Metric::Dot {
        return Ok(0.0);
    }
    let found: Result<Vec<Vec<f32>>> = rows
        .par_chunks(super::GROUP)
        .map(|rows| {
            let mut scratch = scratch::take(collection);
            let samples = scanned_rows(collection, version, rows, &mut scratch)?;
            let tenth = |sample: Sampled| sample.best.nth(K);
            Ok(samples.into_iter().map(tenth).filter(|distance| *distance < f32::INFINITY).collect())
        })
        .collect();
    let mut tenths = found?.concat();
    tenths.sort_unstable_by(f32::total_cmp);
    Ok(tenths.get((USUAL_SHARE * tenths.len() as f64) as usize).copied().unwrap_or(0.0).max(0.0))
}

/// Traces some rows together, as queries: one pass over the codes serves all of them. `usual` is what the rules are to count with.
pub fn trace_rows(collection: &CollectionState, version: &Version, rows: &[Origin], usual: f32) -> Result<Vec<Traced>> {
    let mut scratch = scratch::take(collection);
    let samples = scanned_rows(collection, version, rows, &mut scratch)?;
    samples.into_iter().map(|sample| finish(collection, version, sample, usual, &mut scratch)).collect()
}

fn scanned_rows(
    collection: &CollectionState,
    version: &Version,
    rows: &[Origin],
    scratch: &mut Scratch,
) -> Result<Vec<Sampled>> {
    let mut samples = Vec::with_capacity(rows.len());
    for &Origin { segment, row, position } in rows {
        let mut vector = vec![0.0; collection.schema.dim];
        version.index.segments[segment as usize].segment.read_row(row, &mut vector, &mut scratch.cold)?;
        let own = Some((key(segment, row), position));
        samples.push(Sampled::new(collection, version, &vector, own, scratch));
    }
    scan(collection, version, &mut samples);
    Ok(samples)
}

/// Traces some queries together, each as of a write.
pub fn trace_queries(
    collection: &CollectionState,
    version: &Version,
    queries: &[(&[f32], Seq)],
    usual: f32,
) -> Result<Vec<Traced>> {
    let mut scratch = scratch::take(collection);
    let sample =
        |&(query, seq): &(&[f32], Seq)| Sampled { seq, ..Sampled::new(collection, version, query, None, &mut scratch) };
    let mut samples: Vec<Sampled> = queries.iter().map(sample).collect();
    scan(collection, version, &mut samples);
    samples.into_iter().map(|sample| finish(collection, version, sample, usual, &mut scratch)).collect()
}

impl Sampled {
    fn new(
        collection: &CollectionState,
        version: &Version,
        query: &[f32],
        row: Option<(u64, usize)>,
        scratch: &mut Scratch,
    ) -> Sampled {
        scratch.set_query(collection, &version.index.router, query);
        Sampled {
            row,
            seq: version.seq,
            query: scratch.query.prepared.clone(),
            code: scratch.code.clone(),
            bits: scratch.bits.clone(),
            best: TopK::new(CANDIDATES),
            seen: Vec::new(),
        }
    }
}

/// Finds the candidates of all samples.
fn scan(collection: &CollectionState, version: &Version, samples: &mut [Sampled]) {
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
            self.best.push(distance, self.seen.len() as u64);
            self.seen.push((version.index.position_of(run.segment, row) as u32, candidate));
        }
    }
}

/// Puts the candidates into the order in which a search meets them.
fn finish(
    collection: &CollectionState,
    version: &Version,
    mut sample: Sampled,
    usual: f32,
    scratch: &mut Scratch,
) -> Result<Traced> {
    let (metric, index) = (collection.schema.metric, &version.index);
    index.router.begin(Order::Score, &sample.code, &sample.bits, &mut scratch.rank);
    while index.router.rank_more(Order::Score, &sample.code, &sample.bits, &mut scratch.rank) {}
    if let Some((_, home)) = sample.row {
        leave_out(metric, index, home, &mut scratch.rank.ranked);
    }
    let ranked = &scratch.rank.ranked;
    let mut step_of = vec![0u32; index.router.len()];
    for (step, ranked) in ranked.iter().enumerate() {
        step_of[ranked.position as usize] = step as u32;
    }
    let seen: Vec<(f32, u32, u64)> = sample
        .best
        .sorted()
        .iter()
        .map(|&(distance, at)| {
            let (position, key) = sample.seen[at as usize];
            (distance, position, key)
        })
        .collect();
    let mut copies =
        Copies { metric, index, sample: &mut sample, ranked, step_of: &step_of, row: vec![0.0; collection.schema.dim] };
    // Estimate, first step and key of each candidate, by estimate.
    let candidates: Vec<(f32, u32, u64)> = seen
        .iter()
        .map(|&(distance, position, key)| {
            let steps = copies.positions(position, key).into_iter().flatten().map(|at| step_of[at as usize]);
            (distance, steps.min().unwrap_or(u32::MAX), key)
        })
        .collect();
    let walk = Walk::new(index, ranked, &candidates, usual);
    let kept: Vec<(u32, u64)> = seen.iter().take(rerank::width(K)).map(|&(_, position, key)| (position, key)).collect();
    let steps: Vec<(u64, Option<u32>)> =
        kept.iter().map(|&(position, key)| (key, copies.found_at(position, key, &walk.thresholds))).collect();
    let truth = true_neighbours(collection, version, &sample.query, &candidates, scratch)?;
    let best = &truth[..truth.len().min(K)];
    let is_true = |key: &u64| best.iter().any(|(_, found)| found == key);
    let begun = first_keys(collection, version, &sample, scratch);
    let step_of = |&(key, step): &(u64, Option<u32>)| if begun.contains(&key) { Some(0) } else { step };
    let found = steps.iter().filter(|(key, _)| is_true(key)).filter_map(step_of).collect();
    let begun = steps.iter().filter(|(key, _)| is_true(key) && begun.contains(key)).count();
    let trace = Trace { marks: walk.marks, found, begun, truth: best.len() };
    Ok(Traced { trace, nearest: truth.iter().map(|(distance, _)| *distance).collect() })
}

/// The rows that a search finds before it scans buckets.
fn first_keys(collection: &CollectionState, version: &Version, sample: &Sampled, scratch: &mut Scratch) -> Vec<u64> {
    let Some(filter) = version.index.filter() else { return Vec::new() };
    scratch.bits.clone_from(&sample.bits);
    let limits = Limits { stop: StopRule::ALL, buckets_max: usize::MAX, k: K, confidence: None };
    filter::first_rows(collection.schema.metric, version, filter, &limits, scratch);
    let key_of = |&row: &u32| {
        let (segment, row) = locate(&version.index.segments, row);
        key(segment, row)
    };
    scratch.survivors.iter().map(key_of).collect()
}

/// Where a scan meets a row: in its own bucket and, with a filter, in its second one.
struct Copies<'a> {
    metric: Metric,
    index: &'a Index,
    sample: &'a mut Sampled,
    ranked: &'a [Ranked],
    step_of: &'a [u32],
    row: Vec<f32>,
}

impl Copies<'_> {
    /// Positions of the buckets that have an entry of the row, whose own bucket is at `position`.
    fn positions(&self, position: u32, key: u64) -> [Option<u32>; 2] {
        let (segment, row) = buckets::place(key);
        let second = self.index.segments[segment as usize].assignment.second(row);
        let second = second.and_then(|bucket| self.index.router.table().position(bucket));
        [Some(position), second.map(|position| position as u32)]
    }

    /// The first step whose scan lets the row pass, given the threshold at each step.
    fn found_at(&mut self, position: u32, key: u64, thresholds: &[f32]) -> Option<u32> {
        if self.index.filter().is_none() {
            return Some(self.step_of[position as usize]);
        }
        let (segment, row) = buckets::place(key);
        let segment = &self.index.segments[segment as usize].segment;
        sq8::reconstruct(segment.codes(row..row + 1), &segment.factors()[row as usize], &mut self.row);
        let router = &self.index.router;
        let mut code = BitCode::default();
        let passed = self.positions(position, key).into_iter().flatten().filter_map(|position| {
            let step = self.step_of[position as usize];
            let centre = self.ranked[step as usize].centre;
            code.set(self.metric, &self.row, router.table().centroid(position as usize), router.origin());
            (self.sample.bits.bound(&code, centre) < thresholds[step as usize]).then_some(step)
        });
        passed.min()
    }
}

/// Scores the sampled row's own bucket as if the row had not been there when the centroid was set: a mean of n rows
/// without one of them is n / (n - 1) times as far from it. A query that is no row finds its buckets as hard as that.
fn leave_out(metric: Metric, index: &Index, home: usize, ranked: &mut Vec<Ranked>) {
    // Under dot a score is no distance, and rows are found by their length as much as by their direction.
    if metric == Metric::Dot {
        return;
    }
    // Of its entries, about half are of rows that are in it.
    let rows = match index.filter() {
        Some(_) => (index.codes_of(home) / 2) as u32,
        None => index.codes_of(home) as u32,
    };
    let spread_term = SPREAD_WEIGHT * index.router.table().spread[home];
    let further = (rows as f32 / (rows.max(2) - 1) as f32).powi(2);
    let place = ranked.iter().position(|ranked| ranked.position as usize == home);
    let mut own = ranked.remove(place.expect("invariant: every bucket is ranked"));
    own.score = (own.score - spread_term) * further + spread_term;
    let place = ranked.iter().position(|ranked| ranked.score > own.score).unwrap_or(ranked.len());
    ranked.insert(place, own);
}

/// What a search that never stops would see on its way.
struct Walk {
    /// See [`Trace::marks`].
    marks: Vec<Mark>,
    /// Distance of the k-th candidate met before each step.
    thresholds: Vec<f32>,
}

impl Walk {
    fn new(index: &Index, ranked: &[Ranked], candidates: &[(f32, u32, u64)], usual: f32) -> Walk {
        let thresholds = thresholds(ranked.len(), candidates);
        let mut marks = Vec::new();
        let (mut next_mark, mut largest, mut spent, mut codes) = (0, f32::NEG_INFINITY, 0.0f32, 0u64);
        // A search knows rows that are no candidates, and some of the first buckets' before it scans them: while there is no
        // threshold here, there is one as low as the first one there will be.
        let mut before = 0;
        let known = thresholds.iter().zip(ranked).position(|(threshold, ranked)| {
            let is_known = before >= FIRST_CODES && *threshold < f32::INFINITY;
            before += index.codes_of(ranked.position as usize);
            is_known
        });
        let first = known.map_or(f32::INFINITY, |step| thresholds[step]);
        let all = index.codes().max(1) as f32;
        for (step, (ranked, threshold)) in ranked.iter().zip(&thresholds).enumerate() {
            let threshold = threshold.min(first);
            let (widening, share) = (widening(threshold, usual), codes as f32 / all);
            largest = largest.max(gap(ranked.score, threshold, widening));
            spent = spent.max(share / widening);
            if step == next_mark || step + 1 == index.router.len() {
                marks.push(Mark { step: step as u32, gap: largest, share, spent });
                next_mark = step + 1 + step / MARK_SHARE;
            }
            codes += index.codes_of(ranked.position as usize);
        }
        Walk { marks, thresholds }
    }
}

/// Distance of the k-th candidate met before each step.
fn thresholds(steps: usize, candidates: &[(f32, u32, u64)]) -> Vec<f32> {
    let mut by_step: Vec<(u32, f32)> = candidates.iter().map(|&(distance, step, _)| (step, distance)).collect();
    by_step.sort_unstable_by_key(|(step, _)| *step);
    let mut window = TopK::new(K);
    let mut next = 0;
    let threshold = |step| {
        let threshold = window.threshold();
        while let Some((_, distance)) = by_step.get(next).filter(|(at, _)| *at as usize <= step) {
            window.push(*distance, next as u64);
            next += 1;
        }
        threshold
    };
    (0..steps).map(threshold).collect()
}

/// Exact distance and key of the best candidates, nearest first.
fn true_neighbours(
    collection: &CollectionState,
    version: &Version,
    query: &[f32],
    candidates: &[(f32, u32, u64)],
    scratch: &mut Scratch,
) -> Result<Vec<(f32, u64)>> {
    let Scratch { vector, cold, .. } = scratch;
    let mut nearest = Vec::with_capacity(TRUTH_WIDTH);
    for &(_, _, candidate) in candidates.iter().take(TRUTH_WIDTH) {
        let (segment, row) = buckets::place(candidate);
        version.index.segments[segment as usize].segment.read_row(row, vector, cold)?;
        nearest.push((exact_distance(collection.schema.metric, query, vector), candidate));
    }
    nearest.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    Ok(nearest)
}
