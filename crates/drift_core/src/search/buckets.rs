//! Scans buckets, nearest first, until the stop rule says that the rest will not pay.
//!
//! Layer 6. Distances here are the engine's own: squared L2 in rotated space (under cosine between unit vectors, hence
//! twice the reported distance), negated inner product under dot. What is read of a bucket is the filter's entries
//! (`super::filter`) or, without a filter and when everything is to be scanned, the SQ8 codes of its rows. A row's visibility
//! is only asked once its estimate has beaten the current worst, so dead rows cost their scan and nothing else.

use super::reach::{Met, Reach};
use super::scratch::Scratch;
use super::wanted::Wanted;
use super::{confidence, filter, geometry, memory};
use crate::kernels::{kernels, prefetch};
use crate::quant::sq8::{Factors, QueryCode};
use crate::segment::Segment;
use crate::state::{BucketRuns, CollectionState, Order, Ranked, Reached, Run, ScanCodes, StopRule, USUAL_K, Version};
use crate::types::{Confidence, Estimate, Metric, Seq, Stop, TopK};
use std::sync::atomic::Ordering;

/// Rows of which a scan of everything keeps the products at a time: what L1 holds.
const SCAN_ROWS: u32 = 4096;

/// A row of a segment as one number: segment place, then row.
pub fn key(segment: u32, row: u32) -> u64 {
    u64::from(segment) << 32 | u64::from(row)
}

/// The segment place and row of a [`key`].
pub fn place(key: u64) -> (u32, u32) {
    ((key >> 32) as u32, key as u32)
}

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// When it stops by itself.
    pub stop: StopRule,
    /// The recall that this is for.
    pub recall: f32,
    /// Most buckets that it reads.
    pub buckets_max: usize,
    /// Neighbours wanted.
    pub k: usize,
    /// An expert's override of the stop rule.
    pub confidence: Option<Confidence>,
}

impl Limits {
    /// The neighbour, counted from 1, whose distance the search goes by: the tenth where fewer are wanted, as rules for one are
    /// measured on the way of ten. By the distance of the fifth, `k` 1 found .96 of .95 asked on 199,000 x 384, but .91 among
    /// 9,000 rows of 60 clusters in 100 dimensions, and .76 of .8.
    #[inline]
    pub fn rule_k(&self) -> usize {
        if self.is_by_rule() { self.k.max(USUAL_K) } else { self.k }
    }

    /// How near the best rows by estimate are so far, as the search goes by it.
    #[inline]
    pub fn reached(&self, estimates: &TopK) -> Reached {
        let k = self.rule_k();
        Reached { threshold: estimates.nth(k), near: estimates.nth(k.min(USUAL_K)) }
    }

    /// Whether the stop rule alone decides; an expert may say how many buckets to scan.
    fn is_by_rule(&self) -> bool {
        self.buckets_max == usize::MAX && self.confidence.is_none()
    }
}

/// Fills `scratch.estimates` with the best rows within the limits, of those wanted; what it read, and the limits as the
/// confidence, if there is one, has set them.
pub fn scan(
    collection: &CollectionState,
    version: &Version,
    limits: &Limits,
    wanted: Option<&Wanted>,
    scratch: &mut Scratch,
) -> (Work, Limits) {
    let metric = collection.schema.metric;
    let everything = is_everything(version, limits);
    let by_rule = limits.is_by_rule();
    let mut limits = if everything { *limits } else { confidence::begin(collection, version, limits, scratch) };
    let mut reach = wanted.filter(|_| by_rule).map(|wanted| Reach::new(version, wanted, &limits));
    let mut work = match (&version.index.scan, wanted) {
        (_, Some(_)) if everything || reach.as_ref().is_some_and(Reach::is_direct) => Work::default(),
        (_, None) if everything => scan_all(metric, version, scratch),
        (ScanCodes::Filter(filter), _) => {
            filter::scan(metric, version, filter, &mut limits, wanted, reach.as_mut(), scratch)
        }
        (ScanCodes::Runs(runs), _) => scan_buckets(metric, version, runs, &mut limits, wanted, reach.as_mut(), scratch),
    };
    if let Some(wanted) = wanted {
        // Where the rule stopped short of rows that are there: none of those that match may be missing.
        let there_are = wanted.flushed + scratch.memory.len() as u64;
        let is_short = || (scratch.estimates.len() as u64) < there_are.min(limits.k as u64);
        if everything || reach.is_some_and(|reach| reach.is_direct() || is_short()) {
            scratch.estimates.reset(scratch.estimates.k());
            memory::offer(metric, scratch);
            work.refined += scan_wanted(metric, version, wanted, scratch);
            work.direct = true;
        }
    }
    let counters = &collection.counters;
    counters.rows_scanned.fetch_add(work.rows + work.started, Ordering::Relaxed);
    counters.buckets_scanned.fetch_add(work.buckets, Ordering::Relaxed);
    counters.rows_refined.fetch_add(work.refined, Ordering::Relaxed);
    (work, limits)
}

/// Fills `scratch.estimates` with the best of all rows, or of all that are wanted, and counts nothing.
pub fn scan_each(metric: Metric, version: &Version, wanted: Option<&Wanted>, scratch: &mut Scratch) {
    match wanted {
        Some(wanted) => _ = scan_wanted(metric, version, wanted, scratch),
        None => _ = scan_all(metric, version, scratch),
    }
}

/// Whether the limits are none, so that rows are scanned in whatever order.
pub fn is_everything(version: &Version, limits: &Limits) -> bool {
    let all = limits.confidence.is_none_or(|confidence| confidence.target >= 1.0);
    all && limits.stop == StopRule::ALL && limits.buckets_max >= version.index.router.len()
}

/// What a scan read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Codes, be they of rows or of entries.
    pub rows: u64,
    /// Buckets.
    pub buckets: u64,
    /// Entries estimated to find a first threshold, of buckets that were not scanned then: beside `rows`, which limits count.
    pub started: u64,
    /// SQ8 codes of rows that passed a filter.
    pub refined: u64,
    /// Whether all wanted rows were measured, wherever they are.
    pub direct: bool,
}

/// The next bucket in rank order that the limits admit.
#[inline]
pub fn next_bucket(
    version: &Version,
    limits: &Limits,
    work: &Work,
    reached: Reached,
    scratch: &mut Scratch,
) -> Option<Ranked> {
    let done = work.buckets as usize;
    if done >= limits.buckets_max || limits.stop.is_spent(reached, work.rows) {
        return None;
    }
    if is_confident(limits, done, reached.threshold, scratch) {
        return None;
    }
    while done >= scratch.rank.ranked.len() {
        if !version.index.router.rank_more(Order::Score, &scratch.code, &scratch.bits, &mut scratch.rank) {
            return None;
        }
    }
    let ranked = scratch.rank.ranked[done];
    limits.stop.goes_on(ranked.score, reached, work.rows).then_some(ranked)
}

/// Rows ahead whose codes are asked for: about as many as memory has requests under way.
const WANTED_AHEAD: usize = 12;

/// Measures every wanted row, in order of place; how many there were.
fn scan_wanted(metric: Metric, version: &Version, wanted: &Wanted, scratch: &mut Scratch) -> u64 {
    let Scratch { survivors, estimates, code, .. } = scratch;
    let mut measured = 0;
    for (place, set) in wanted.sets() {
        let segment = &version.index.segments[place as usize].segment;
        survivors.clear();
        survivors.extend(set.iter());
        measured += survivors.len() as u64;
        for (at, &row) in survivors.iter().enumerate() {
            if let Some(&ahead) = survivors.get(at + WANTED_AHEAD) {
                prefetch(segment.codes(ahead..ahead + 1));
                prefetch(bytemuck::bytes_of(&segment.factors()[ahead as usize]));
            }
            let product = (kernels().sq8_dot)(segment.codes(row..row + 1), code.codes());
            let distance = estimate(metric, code, product, &segment.factors()[row as usize]);
            if distance < estimates.threshold() && segment.is_visible(row, version.seq) {
                estimates.push(distance, key(place, row));
            }
        }
    }
    measured
}

#[inline]
fn is_confident(limits: &Limits, done: usize, threshold: f32, scratch: &mut Scratch) -> bool {
    match limits.confidence {
        Some(Confidence { target, estimate: Estimate::Geometric }) => {
            geometry::is_enough(target, done, threshold, &mut scratch.geometry)
        }
        // The density model has set `buckets_max`.
        _ => false,
    }
}

/// Why a search within `limits` that did this work goes no further, be it at the rule or at the end.
pub fn why(version: &Version, limits: &Limits, work: &Work, reached: Reached, scratch: &mut Scratch) -> Stop {
    let done = work.buckets as usize;
    if done >= version.index.router.len() {
        return Stop::All;
    }
    let by_density = matches!(limits.confidence, Some(Confidence { estimate: Estimate::Density { .. }, .. }));
    if done >= limits.buckets_max {
        return if by_density { Stop::Confidence } else { Stop::BucketsMax };
    }
    if is_confident(limits, done, reached.threshold, scratch) {
        return Stop::Confidence;
    }
    if limits.stop.is_spent(reached, work.rows) { Stop::Budget } else { Stop::Difference }
}

/// Scans every row, in whatever order.
fn scan_all(metric: Metric, version: &Version, scratch: &mut Scratch) -> Work {
    let index = &version.index;
    for run in index.segment_runs() {
        for start in (0..run.rows).step_by(SCAN_ROWS as usize) {
            let part = Run { start, rows: SCAN_ROWS.min(run.rows - start), ..run };
            scan_run(metric, index.segment(&part), &part, version.seq, None, scratch);
        }
    }
    Work { rows: index.rows(), buckets: index.router.len() as u64, ..Work::default() }
}

fn scan_buckets(
    metric: Metric,
    version: &Version,
    runs: &BucketRuns,
    limits: &mut Limits,
    wanted: Option<&Wanted>,
    mut reach: Option<&mut Reach<'_>>,
    scratch: &mut Scratch,
) -> Work {
    let index = &version.index;
    let (mut work, mut all, budget) = (Work::default(), Met::default(), limits.stop.rows);
    while let Some(bucket) = next_bucket(version, limits, &work, limits.reached(&scratch.estimates), scratch) {
        let mut met = Met::default();
        for run in runs.of(bucket.position as usize) {
            work.rows += u64::from(run.rows);
            met += scan_run(metric, index.segment(run), run, version.seq, wanted, scratch);
        }
        work.buckets += 1;
        all += met;
        if let Some(reach) = &mut reach {
            reach.meet(met, limits.reached(&scratch.estimates), limits);
            if reach.is_direct() {
                break;
            }
        } else {
            limits.stop.rows = all.budget(budget);
        }
    }
    work
}

fn scan_run(
    metric: Metric,
    segment: &Segment,
    run: &Run,
    snapshot: Seq,
    wanted: Option<&Wanted>,
    scratch: &mut Scratch,
) -> Met {
    let mut met = Met::default();
    let rows = run.rows as usize;
    if scratch.products.len() < rows {
        scratch.products.resize(rows, 0);
    }
    let products = &mut scratch.products[..rows];
    (kernels().sq8_dots)(segment.codes(run.start..run.start + run.rows), scratch.code.codes(), products);
    let factors = &segment.factors()[run.start as usize..][..rows];
    for (row, (&product, factors)) in products.iter().zip(factors).enumerate() {
        let distance = estimate(metric, &scratch.code, product, factors);
        if distance < scratch.estimates.threshold() {
            let row = run.start + row as u32;
            met.near += 1;
            if wanted.is_none_or(|wanted| wanted.has(run.segment, row)) {
                met.wanted += 1;
                if segment.is_visible(row, snapshot) {
                    scratch.estimates.push(distance, key(run.segment, row));
                } else {
                    met.dead += 1;
                }
            }
        }
    }
    met
}

/// The engine's distance of a query to a row, from the raw product of their codes.
#[inline]
pub fn estimate(metric: Metric, query: &QueryCode, product: i32, factors: &Factors) -> f32 {
    match metric {
        Metric::L2 | Metric::Cosine => query.l2(product, factors),
        Metric::Dot => -query.dot(product, factors),
    }
}
