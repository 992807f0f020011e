//! Measures how far a search must go for each recall target, on sampled rows of the collection itself.
//!
//! Layer 6. Each sampled row is a query that must not find itself. Its buckets are scanned in rank order to the end,
//! once, which tells for every (difference, budget) pair where a search would have stopped and which of the true
//! neighbours it would have had by then. Per target the pair that scans least is kept. Run after a bulk load, after
//! optimize, and when the flushed rows have grown by half; it never sees a user's query.

use super::buckets::{self, key};
use super::rerank::{self, exact_distance};
use super::scratch::{self, Scratch};
use crate::clock;
use crate::error::Result;
use crate::kernels::kernels;
use crate::manifest::CalibrationPoint;
use crate::quant::bits::{BitCode, BitQuery};
use crate::quant::sq8::{self, QueryCode};
use crate::state::{Calibration, CollectionState, Index, Ranked, Run, SCAN_ALL_ROWS, SPREAD_WEIGHT, Version};
use crate::types::{BucketId, Metric, TopK};
use rand::RngExt;
use rayon::prelude::*;
use std::sync::Arc;

/// Neighbours that recall is measured for.
const K: usize = 10;

/// Most and fewest sampled queries, and the row reads that all of them together may cost.
const QUERIES_MAX: usize = 1_000;
const QUERIES_MIN: usize = 64;
const ROW_READS_MAX: usize = 200_000_000;

/// Estimated candidates among which the true neighbours are sought: SQ8 ranks a true tenth neighbour far within them.
const TRUTH_WIDTH: usize = 40;

/// Estimated candidates that the thresholds along the way are taken from.
const CANDIDATES: usize = 128;

/// Queries that share one pass over the codes: a run of 30 rows stays in L1 while all of them read it.
const GROUP: usize = 16;

/// Growth of the flushed rows after which the rules are measured anew.
const GROWTH: f64 = 1.5;

/// Recall targets that rules are measured for.
const TARGETS: [f32; 10] = [0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995];

/// Standard errors of the sampled mean by which a rule must exceed its target, so that one in fifteen such measurements, not
/// one in two, promises too much; and the share of the distance to full recall that is added for queries that are no
/// rows of the collection, hence a little harder.
const STANDARD_ERRORS: f32 = 1.5;
const MARGIN: f32 = 0.1;

/// One query's scan, bucket by bucket.
struct Trace {
    /// Largest (score - threshold) up to each step.
    gaps: Vec<f32>,
    /// Codes scanned before each step.
    rows: Vec<u64>,
    /// Steps at which the true neighbours that survive filter and re-ranking are found.
    found: Vec<u32>,
    /// How many true neighbours there are.
    truth: usize,
}

/// Measures the rules when they are missing or the collection has outgrown them; whether it did.
pub fn refresh(collection: &CollectionState) -> Result<bool> {
    let rows = collection.pin().index.rows();
    let measured = collection.maintenance.lock().manifest.calibrated_rows;
    if rows <= SCAN_ALL_ROWS || (measured > 0 && (rows as f64) < GROWTH * measured as f64) {
        return Ok(false);
    }
    measure(collection)?;
    Ok(true)
}

/// Measures the rules and commits them.
pub fn measure(collection: &CollectionState) -> Result<()> {
    let version = collection.pin();
    let rows = version.index.rows();
    if rows <= SCAN_ALL_ROWS {
        return Ok(());
    }
    let queries = sample(collection, &version);
    let traces: Result<Vec<Vec<Trace>>> =
        collection.pool.install(|| queries.par_chunks(GROUP).map(|rows| trace(collection, &version, rows)).collect());
    let traces: Vec<Trace> = traces?.into_iter().flatten().collect();
    let points = fit(&traces, version.index.codes());
    let mut maintenance = collection.maintenance.lock();
    let mut manifest = maintenance.manifest.next();
    manifest.calibration = points.clone();
    manifest.calibrated_rows = rows;
    maintenance.commit(manifest)?;
    let mut writes = collection.writes.lock();
    let version = collection.pin();
    let index = Arc::new(version.index.with_calibration(Calibration::new(points)));
    collection.publish(&mut writes, Version { index, ..(*version).clone() });
    Ok(())
}

/// Keys of random visible rows.
fn sample(collection: &CollectionState, version: &Version) -> Vec<Origin> {
    let rows = version.index.rows() as usize;
    let count = (ROW_READS_MAX / rows).clamp(QUERIES_MIN, QUERIES_MAX);
    let mut rng = clock::rng(collection.components.seed ^ version.seq);
    let runs = version.index.all_runs();
    let mut ends = Vec::with_capacity(runs.len());
    let mut total = 0u64;
    for run in runs {
        total += u64::from(run.rows);
        ends.push(total);
    }
    // Twice as many draws as wanted, as dead rows are passed over.
    let drawn = (0..2 * count).filter_map(|_| {
        let at = rng.random_range(0..total);
        let place = ends.partition_point(|end| *end <= at);
        let run = &runs[place];
        let row = run.start + (at % u64::from(run.rows)) as u32;
        let visible = version.index.segment(run).is_visible(row, version.seq);
        visible.then(|| Origin { segment: run.segment, row, position: version.index.position_of_run(place) })
    });
    drawn.take(count).collect()
}

/// Where a sampled row stands: segment, row, and position of its bucket.
#[derive(Clone, Copy)]
struct Origin {
    segment: u32,
    row: u32,
    position: usize,
}

/// A sampled row as a query.
struct Sampled {
    key: u64,
    home: usize,
    query: Vec<f32>,
    code: QueryCode,
    bits: BitQuery,
    best: TopK,
    /// Bucket and row of each candidate that got into `best`.
    seen: Vec<(u32, u64)>,
}

/// Traces some queries together: one pass over the codes serves all of them.
fn trace(collection: &CollectionState, version: &Version, rows: &[Origin]) -> Result<Vec<Trace>> {
    let mut scratch = scratch::take(collection);
    let mut samples = Vec::with_capacity(rows.len());
    for &Origin { segment, row, position } in rows {
        let mut vector = vec![0.0; collection.schema.dim];
        version.index.segments[segment as usize].segment.read_row(row, &mut vector, &mut scratch.cold)?;
        scratch.set_query(collection, &version.index.router, &vector);
        samples.push(Sampled {
            key: key(segment, row),
            home: position,
            query: scratch.query.prepared.clone(),
            code: scratch.code.clone(),
            bits: scratch.bits.clone(),
            best: TopK::new(CANDIDATES),
            seen: Vec::new(),
        });
    }
    let mut products = Vec::new();
    for position in 0..version.index.router.len() {
        for run in version.index.runs(position) {
            products.resize(run.rows as usize, 0);
            for sample in &mut samples {
                scan_run(collection.schema.metric, version, (position, run), sample, &mut products);
            }
        }
    }
    samples.into_iter().map(|sample| finish(collection, version, sample, &mut scratch)).collect()
}

fn scan_run(metric: Metric, version: &Version, at: (usize, &Run), sample: &mut Sampled, products: &mut [i32]) {
    let (position, run) = at;
    let segment = version.index.segment(run);
    (kernels().sq8_dots)(segment.codes(run.start..run.start + run.rows), sample.code.codes(), products);
    let factors = &segment.factors()[run.start as usize..];
    for (at, (&product, factors)) in products.iter().zip(factors).enumerate() {
        let distance = buckets::estimate(metric, &sample.code, product, factors);
        if distance < sample.best.threshold() {
            let row = run.start + at as u32;
            let candidate = key(run.segment, row);
            if candidate != sample.key && segment.is_visible(row, version.seq) {
                sample.best.push(distance, sample.seen.len() as u64);
                sample.seen.push((position as u32, candidate));
            }
        }
    }
}

/// Puts the candidates into the order in which a search meets them.
fn finish(
    collection: &CollectionState,
    version: &Version,
    mut sample: Sampled,
    scratch: &mut Scratch,
) -> Result<Trace> {
    let (metric, index) = (collection.schema.metric, &version.index);
    index.router.begin(&sample.code, &sample.bits, &mut scratch.rank);
    while index.router.next(&sample.code, &mut scratch.rank) {}
    leave_out(metric, index, sample.home, &mut scratch.rank.ranked);
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
    let walk = Walk::new(index, ranked, &candidates);
    let kept: Vec<(u32, u64)> = seen.iter().take(rerank::width(K)).map(|&(_, position, key)| (position, key)).collect();
    let steps: Vec<(u64, Option<u32>)> =
        kept.iter().map(|&(position, key)| (key, copies.found_at(position, key, &walk.thresholds))).collect();
    let truth = true_neighbours(collection, version, &sample.query, &candidates, scratch)?;
    let found = steps.iter().filter(|(key, _)| truth.contains(key)).filter_map(|(_, step)| *step).collect();
    Ok(Trace { gaps: walk.gaps, rows: walk.rows, found, truth: truth.len() })
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
        let second = self.index.segments[segment as usize].segment.second_buckets().get(row as usize);
        let second = second.and_then(|&bucket| self.index.router.table().position(BucketId(bucket)));
        [Some(position), second.map(|position| position as u32)]
    }

    /// The first step whose scan lets the row pass, given the threshold at each step.
    fn found_at(&mut self, position: u32, key: u64, thresholds: &[f32]) -> Option<u32> {
        if self.index.filter.is_none() {
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
    let rows: u32 = index.runs(home).iter().map(|run| run.rows).sum();
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
    /// See [`Trace::gaps`].
    gaps: Vec<f32>,
    /// See [`Trace::rows`].
    rows: Vec<u64>,
    /// Distance of the k-th candidate met before each step.
    thresholds: Vec<f32>,
}

impl Walk {
    fn new(index: &Index, ranked: &[Ranked], candidates: &[(f32, u32, u64)]) -> Walk {
        let mut by_step: Vec<(u32, f32)> = candidates.iter().map(|&(distance, step, _)| (step, distance)).collect();
        by_step.sort_unstable_by_key(|(step, _)| *step);
        let mut window = TopK::new(K);
        let (mut next, mut gap, mut total) = (0, f32::NEG_INFINITY, 0u64);
        let room = || Vec::with_capacity(ranked.len());
        let mut walk = Walk { gaps: room(), rows: Vec::with_capacity(ranked.len()), thresholds: room() };
        for (step, ranked) in ranked.iter().enumerate() {
            gap = gap.max(ranked.score - window.threshold());
            walk.gaps.push(gap);
            walk.rows.push(total);
            walk.thresholds.push(window.threshold());
            total += index.codes_of(ranked.position as usize);
            while let Some((_, distance)) = by_step.get(next).filter(|(at, _)| *at as usize <= step) {
                window.push(*distance, next as u64);
                next += 1;
            }
        }
        walk
    }
}

/// Keys of the exact nearest among the best candidates.
fn true_neighbours(
    collection: &CollectionState,
    version: &Version,
    query: &[f32],
    candidates: &[(f32, u32, u64)],
    scratch: &mut Scratch,
) -> Result<Vec<u64>> {
    let Scratch { exact, vector, cold, .. } = scratch;
    exact.reset(K);
    for &(_, _, candidate) in candidates.iter().take(TRUTH_WIDTH) {
        let (segment, row) = buckets::place(candidate);
        version.index.segments[segment as usize].segment.read_row(row, vector, cold)?;
        exact.push(exact_distance(collection.schema.metric, query, vector), candidate);
    }
    Ok(exact.sorted().iter().map(|(_, key)| *key).collect())
}

/// The cheapest rule per target.
fn fit(traces: &[Trace], rows: u64) -> Vec<CalibrationPoint> {
    let differences = differences(traces);
    let mut tried = Vec::new();
    for &difference in &differences {
        let mut share = 1.0f64;
        while share > 5e-4 {
            let (recall, error, cost) = outcome(traces, difference, (share * rows as f64) as u64);
            let sure = recall - STANDARD_ERRORS * error;
            tried.push((sure, cost, CalibrationPoint { recall, difference, row_share: share as f32 }));
            share /= 1.12;
        }
    }
    TARGETS
        .iter()
        .filter_map(|&target| {
            let wanted = target + MARGIN * (1.0 - target);
            let enough = tried.iter().filter(|(sure, ..)| *sure >= wanted);
            let best = enough.min_by(|a, b| a.1.total_cmp(&b.1))?;
            Some(CalibrationPoint { recall: target, ..best.2 })
        })
        .collect()
}

/// Differences worth trying: quantiles of what reaching a true neighbour took.
fn differences(traces: &[Trace]) -> Vec<f32> {
    let mut needed: Vec<f32> =
        traces.iter().flat_map(|trace| trace.found.iter().map(|&step| trace.gaps[step as usize])).collect();
    needed.sort_unstable_by(f32::total_cmp);
    let last = needed.len().saturating_sub(1) as f64;
    // Ever closer to 1: a high target is decided by the last few of a thousand.
    let quantiles = (0..70).map(|n| 1.0 - 0.6 * 0.9f64.powi(n));
    let mut values: Vec<f32> = quantiles.filter_map(|q| needed.get((q * last) as usize).copied()).collect();
    values.retain(|value| value.is_finite());
    values.push(f32::INFINITY);
    values
}

/// Mean recall, its standard error, and mean rows scanned under a rule.
fn outcome(traces: &[Trace], difference: f32, budget: u64) -> (f32, f32, f64) {
    let (mut recall, mut squares, mut cost) = (0.0f64, 0.0f64, 0u64);
    for trace in traces {
        let by_gap = trace.gaps.partition_point(|gap| *gap <= difference);
        let by_rows = trace.rows.partition_point(|rows| *rows < budget);
        let stop = by_gap.min(by_rows);
        let found = trace.found.iter().filter(|step| (**step as usize) < stop).count();
        let share = found as f64 / trace.truth.max(1) as f64;
        recall += share;
        squares += share * share;
        cost += trace.rows.get(stop).or(trace.rows.last()).copied().unwrap_or(0);
    }
    let count = traces.len().max(1) as f64;
    let mean = recall / count;
    let variance = (squares / count - mean * mean).max(0.0);
    (mean as f32, (variance / count).sqrt() as f32, cost as f64 / count)
}
