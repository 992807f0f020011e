//! What searches for sampled rows would meet, bucket by bucket, if they never stopped.
//!
//! Layer 6. All candidates of a sampled row are found by a scan of all SQ8 codes; then the buckets are walked in the order
//! of a search, which tells what the threshold would be at each step, and at which step each true neighbour passes the
//! filter.

use super::candidates::{CANDIDATES, CANDIDATES_WIDE, Origin, Sampled, scan, scanned_rows};
use crate::error::Result;
use crate::kernels::kernels;
use crate::quant::bits::BitCode;
use crate::quant::sq8;
use crate::search::buckets::{self, Limits, key};
use crate::search::filter;
use crate::search::rerank::{self, exact_distance};
use crate::search::scratch::{self, Scratch};
use crate::state::{
    CollectionState, Index, Mark, NEVER_FOUND, Order, Ranked, Reached, SPREAD_WEIGHT, StopRule, Trace, USUAL_K,
    Version, WIDE_KS, gap, locate, widening,
};
use crate::types::{Metric, Seq, TopK};

/// Neighbours that recall is measured for.
pub const K: usize = USUAL_K;

/// Most of the neighbours that are looked for where recall is measured for more: every n-th of them.
const PICKED_MAX: usize = 20;

/// Estimated candidates among which the true neighbours are sought: SQ8 ranks a true tenth neighbour far within them.
pub const TRUTH_WIDTH: usize = 40;

/// The same where nothing but the ten nearest is asked: SQ8 confuses them with few others.
const WAY_TRUTH_WIDTH: usize = K + 6;

/// Buckets that a trace ranks at least, and the share of all codes that they have: no rule that is worth anything goes further, but
/// for queries whose neighbours are not found by then, which are followed until they are.
const RANKED_MIN: usize = 256;
const RANKED_SHARE: f64 = 0.25;

/// A mark's distance to the next is one part in so many of its step.
const MARK_SHARE: usize = 50;

/// Codes, beside as many as neighbours are wanted, among which a search finds its first threshold, about.
const FIRST_SPARE: u64 = 6;

/// A traced query.
pub struct Traced {
    /// Its way.
    pub trace: Trace,
    /// Its ways as a query for [`WIDE_KS`] neighbours, if these are wanted.
    pub wide: Vec<Trace>,
    /// Exact distances of the nearest flushed rows that it could find, ascending: at least [`TRUTH_WIDTH`] less what is not
    /// there, and sure to be the nearest up to about half of them. More where codes tell rows apart badly.
    pub nearest: Vec<f32>,
}

/// Distances that differ by less than this share are the same: sums in another order.
const SAME_SHARE: f32 = 1e-6;

/// Share of the rows whose tenth neighbours are nearer than the usual distance.
const USUAL_SHARE: f64 = 0.9;

/// What is wanted of a traced query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Its way alone.
    Way,
    /// Its ways as a query for more neighbours as well.
    Ways,
    /// Its nearest rows as well, to judge an answer by.
    Nearest,
}

impl Wanted {
    fn candidates(self) -> usize {
        match self {
            Wanted::Way | Wanted::Nearest => CANDIDATES,
            Wanted::Ways => CANDIDATES_WIDE,
        }
    }
}

/// Queries whose candidates are known, to be [traced](Scanned::trace).
pub struct Scanned {
    samples: Vec<Sampled>,
    wanted: Wanted,
}

impl Scanned {
    /// Finds the candidates of some rows together: one pass over the codes serves all of them.
    pub fn rows(collection: &CollectionState, version: &Version, rows: &[Origin], wanted: Wanted) -> Result<Scanned> {
        let mut scratch = scratch::take(collection);
        let samples = scanned_rows(collection, version, rows, wanted.candidates(), &mut scratch)?;
        Ok(Scanned { samples, wanted })
    }

    /// Finds the candidates of some queries together, each as of a write.
    pub fn queries(
        collection: &CollectionState,
        version: &Version,
        queries: &[(&[f32], Seq)],
        wanted: Wanted,
    ) -> Scanned {
        let mut scratch = scratch::take(collection);
        let sample = |&(query, seq): &(&[f32], Seq)| Sampled {
            seq,
            ..Sampled::new(collection, version, query, None, wanted.candidates(), &mut scratch)
        };
        let mut samples: Vec<Sampled> = queries.iter().map(sample).collect();
        scan(collection, version, &mut samples);
        Scanned { samples, wanted }
    }

    /// The queries and their candidates.
    pub fn samples(&self) -> &[Sampled] {
        &self.samples
    }

    /// Traces them; `known` is the usual distance and the spare rows that searches are to count with.
    pub fn trace(self, collection: &CollectionState, version: &Version, known: (f32, u32)) -> Result<Vec<Traced>> {
        let mut scratch = scratch::take(collection);
        let finish = |sample| finish(collection, version, sample, known, self.wanted, &mut scratch);
        self.samples.into_iter().map(finish).collect()
    }
}

/// The distance of the tenth neighbour that most of these rows stay within; 0 where distances are none, under dot.
pub fn usual_distance(metric: Metric, scanned: &mut [Scanned]) -> f32 {
    if metric == Metric::Dot {
        return 0.0;
    }
    let samples = scanned.iter_mut().flat_map(|scanned| &mut scanned.samples);
    let mut tenths: Vec<f32> = samples.filter_map(|sample| sample.best.nth(K)).collect();
    tenths.sort_unstable_by(f32::total_cmp);
    tenths.get((USUAL_SHARE * tenths.len() as f64) as usize).copied().unwrap_or(0.0).max(0.0)
}

/// Puts the candidates into the order in which a search meets them.
fn finish(
    collection: &CollectionState,
    version: &Version,
    mut sample: Sampled,
    (usual, spare): (f32, u32),
    wanted: Wanted,
    scratch: &mut Scratch,
) -> Result<Traced> {
    let (metric, index) = (collection.schema.metric, &version.index);
    let seen: Vec<(f32, u32, u64)> = std::mem::take(&mut sample.best)
        .sorted()
        .into_iter()
        .map(|(distance, key)| {
            let (segment, row) = buckets::place(key);
            (distance, index.position_of(segment, row) as u32, key)
        })
        .collect();
    let width = match wanted {
        _ if spare > 0 => (rerank::width(K, spare) + WAY_TRUTH_WIDTH - K).clamp(TRUTH_WIDTH, CANDIDATES),
        Wanted::Way | Wanted::Ways => WAY_TRUTH_WIDTH,
        Wanted::Nearest => TRUTH_WIDTH,
    };
    let truth = true_neighbours(collection, version, &sample.query, &seen[..width.min(seen.len())], scratch)?;
    let reranked = &seen[..rerank::width(K, spare).min(seen.len())];
    let mut sought = vec![Sought::among(reranked, &truth)];
    if wanted == Wanted::Ways {
        sought.extend(WIDE_KS.map(|k| Sought::of(k, &seen)));
    }
    let rows: Vec<(u32, u64)> = sought.iter().flat_map(|sought| &sought.rows).flatten().copied().collect();
    rank(index, &sample, &rows, scratch);
    if let Some((_, home)) = sample.row {
        leave_out(metric, index, home, &mut scratch.rank.ranked);
    }
    let first: Vec<Vec<(f32, u64)>> =
        sought.iter().map(|sought| first_rows(collection, version, &sample, sought.k, scratch)).collect();
    let ranked = &scratch.rank.ranked;
    let mut step_of = vec![u32::MAX; index.router.len()];
    for (step, ranked) in ranked.iter().enumerate() {
        step_of[ranked.position as usize] = step as u32;
    }
    // Estimate, first step and key of each candidate, by estimate.
    let candidates: Vec<(f32, u32, u64)> = seen
        .iter()
        .map(|&(distance, position, key)| {
            let steps = positions(index, position, key).into_iter().flatten().map(|at| step_of[at as usize]);
            (distance, steps.min().unwrap_or(u32::MAX), key)
        })
        .collect();
    let mut copies =
        Copies { metric, index, sample: &mut sample, ranked, step_of: &step_of, row: vec![0.0; collection.schema.dim] };
    let mut traces = sought.iter().zip(&first).map(|(sought, first)| {
        let walk = Walk::new(index, ranked, reached(index, ranked, &candidates, first, sought.k), usual);
        let is_first = |key: u64| first.iter().any(|(_, begun)| *begun == key);
        let found = |row: &Option<(u32, u64)>| match *row {
            Some((_, key)) if is_first(key) => 0,
            Some((position, key)) => copies.found_at(position, key, &walk.reached).map_or(NEVER_FOUND, |step| step + 1),
            None => NEVER_FOUND,
        };
        let mut found: Vec<u32> = sought.rows.iter().map(found).collect();
        found[sought.tied..].sort_unstable();
        found.truncate(sought.truth);
        Trace { found, marks: walk.marks }
    });
    let trace = traces.next().expect("invariant: ten neighbours are sought");
    Ok(Traced { trace, wide: traces.collect(), nearest: truth.iter().map(|(distance, _)| *distance).collect() })
}

/// What one way is traced for.
struct Sought {
    /// Neighbours that are asked for.
    k: usize,
    /// Position of the bucket, and key, of each true neighbour that is looked for, nearest first; none where it does not survive re-ranking.
    rows: Vec<Option<(u32, u64)>>,
    /// Those from here on are as near as each other, so that any of them will do.
    tied: usize,
    /// How many are looked for.
    truth: usize,
}

impl Sought {
    /// The [`K`] nearest by exact distance of the rows `near`, ascending, where `reranked` ones survive.
    fn among(reranked: &[(f32, u32, u64)], near: &[(f32, u64)]) -> Sought {
        let truth = near.len().min(K);
        let last = near[..truth].last().map_or(0.0, |(distance, _)| *distance);
        let same = SAME_SHARE * last.abs();
        let tied = near.iter().take_while(|(distance, _)| *distance < last - same).count();
        let end = near.iter().take_while(|(distance, _)| *distance <= last + same).count();
        let kept = |(_, key): &(f32, u64)| reranked.iter().find(|(_, _, seen)| seen == key).map(row_of);
        Sought { k: K, rows: near[..end].iter().map(kept).collect(), tied, truth }
    }

    /// Every n-th of the `k` nearest of the rows `seen`, ascending by estimate: which these are, codes tell well enough of so many.
    fn of(k: usize, seen: &[(f32, u32, u64)]) -> Sought {
        let step = k.div_ceil(PICKED_MAX);
        let rows: Vec<_> = seen.iter().take(k).skip(step / 2).step_by(step).map(|seen| Some(row_of(seen))).collect();
        Sought { k, tied: rows.len(), truth: rows.len(), rows }
    }
}

/// Position of the bucket, and key, of a row that was seen.
fn row_of(&(_, position, key): &(f32, u32, u64)) -> (u32, u64) {
    (position, key)
}

/// The rows that a search for the `k` nearest measures before it scans buckets, and their estimates.
fn first_rows(
    collection: &CollectionState,
    version: &Version,
    sample: &Sampled,
    k: usize,
    scratch: &mut Scratch,
) -> Vec<(f32, u64)> {
    let Some(filter) = version.index.filter() else { return Vec::new() };
    scratch.bits.clone_from(&sample.bits);
    let limits = Limits { stop: StopRule::ALL, recall: 1.0, buckets_max: usize::MAX, k, confidence: None };
    let metric = collection.schema.metric;
    filter::first_rows(metric, version, filter, &limits, scratch);
    let rows = scratch.survivors.iter().filter_map(|&row| {
        let (place, row) = locate(&version.index.segments, row);
        let (segment, key) = (&version.index.segments[place as usize].segment, key(place, row));
        let is_there = segment.is_visible(row, sample.seq) && sample.row.is_none_or(|(own, _)| own != key);
        let product = (kernels().sq8_dot)(segment.codes(row..row + 1), sample.code.codes());
        is_there.then(|| (buckets::estimate(metric, &sample.code, product, &segment.factors()[row as usize]), key))
    });
    rows.collect()
}

/// Ranks the buckets that a search for the sample may come to, those of the `kept` rows, whose own buckets are given, among them.
fn rank(index: &Index, sample: &Sampled, kept: &[(u32, u64)], scratch: &mut Scratch) {
    let mut is_ranked = vec![false; index.router.len()];
    let wanted: Vec<[Option<u32>; 2]> = kept.iter().map(|&(position, key)| positions(index, position, key)).collect();
    let enough = (RANKED_SHARE * index.codes() as f64) as u64;
    let (mut codes, mut seen) = (0, 0);
    index.router.begin(Order::Score, &sample.code, &sample.bits, &mut scratch.rank);
    while index.router.rank_more(Order::Score, &sample.code, &sample.bits, &mut scratch.rank) {
        for ranked in &scratch.rank.ranked[seen..] {
            is_ranked[ranked.position as usize] = true;
            codes += index.codes_of(ranked.position as usize);
        }
        seen = scratch.rank.ranked.len();
        let is_met = |positions: &[Option<u32>; 2]| positions.iter().flatten().all(|&at| is_ranked[at as usize]);
        let is_home_met = sample.row.is_none_or(|(_, home)| is_ranked[home]);
        if seen >= RANKED_MIN && codes >= enough && is_home_met && wanted.iter().all(is_met) {
            break;
        }
    }
}

/// Positions of the buckets that have an entry of the row, whose own bucket is at `position`.
fn positions(index: &Index, position: u32, key: u64) -> [Option<u32>; 2] {
    let (segment, row) = buckets::place(key);
    let second = index.segments[segment as usize].assignment.second(row);
    let second = second.and_then(|bucket| index.router.table().position(bucket));
    [Some(position), second.map(|position| position as u32)]
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
    /// The first step whose scan lets the row pass, given what is reached before each step.
    fn found_at(&mut self, position: u32, key: u64, reached: &[Reached]) -> Option<u32> {
        if self.index.filter().is_none() {
            return Some(self.step_of[position as usize]).filter(|step| *step != u32::MAX);
        }
        let (segment, row) = buckets::place(key);
        let segment = &self.index.segments[segment as usize].segment;
        sq8::reconstruct(segment.codes(row..row + 1), &segment.factors()[row as usize], &mut self.row);
        let router = &self.index.router;
        let mut code = BitCode::default();
        let passed = positions(self.index, position, key).into_iter().flatten().filter_map(|position| {
            let step = self.step_of[position as usize];
            let centre = self.ranked.get(step as usize)?.centre;
            code.set(self.metric, &self.row, router.table().centroid(position as usize), router.origin());
            (self.sample.bits.bound(&code, centre) < reached[step as usize].threshold).then_some(step)
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

/// What a search that does not stop would see on its way.
struct Walk {
    /// See [`Trace::marks`].
    marks: Vec<Mark>,
    /// What is reached before each step.
    reached: Vec<Reached>,
}

impl Walk {
    fn new(index: &Index, ranked: &[Ranked], reached: Vec<Reached>, usual: f32) -> Walk {
        let mut marks = Vec::new();
        let (mut next_mark, mut largest, mut spent, mut codes) = (0, f32::NEG_INFINITY, 0.0f32, 0u64);
        let (all, steps) = (index.codes().max(1) as f32, ranked.len());
        for (step, (ranked, reached)) in ranked.iter().zip(&reached).enumerate() {
            let (widening, share) = (widening(reached.near, usual), codes as f32 / all);
            largest = largest.max(gap(ranked.score, reached.threshold, widening));
            spent = spent.max(share / widening);
            if step == next_mark || step + 1 == steps {
                marks.push(Mark { step: step as u32, gap: largest, share, spent });
                next_mark = step + 1 + step / MARK_SHARE;
            }
            codes += index.codes_of(ranked.position as usize);
        }
        // Thousands of traces are kept.
        marks.shrink_to_fit();
        Walk { marks, reached }
    }
}

/// How near the rows are that a search for the `k` nearest has measured before each step, given those that it begins with.
fn reached(
    index: &Index,
    ranked: &[Ranked],
    candidates: &[(f32, u32, u64)],
    first: &[(f32, u64)],
    k: usize,
) -> Vec<Reached> {
    let mut begun: Vec<u64> = first.iter().map(|(_, key)| *key).collect();
    begun.sort_unstable();
    let is_later = |key: u64| begun.binary_search(&key).is_err();
    let mut by_step: Vec<(u32, f32)> =
        candidates.iter().filter(|(_, _, key)| is_later(*key)).map(|&(distance, step, _)| (step, distance)).collect();
    by_step.sort_unstable_by_key(|(step, _)| *step);
    let mut window = TopK::new(k);
    first.iter().for_each(|&(distance, key)| window.push(distance, key));
    // What passes the filter is measured some buckets later; without one, at once.
    let lag = index.filter().map_or(0, |_| filter::REFINE_LAG as u32);
    let mut next = 0;
    let before = |step: u32| {
        let reached = Reached { threshold: window.threshold(), near: window.nth(k.min(USUAL_K)) };
        while let Some((_, distance)) = by_step.get(next).filter(|(at, _)| at.saturating_add(lag) <= step) {
            window.push(*distance, u64::MAX - next as u64);
            next += 1;
        }
        reached
    };
    let mut reached: Vec<Reached> = (0..ranked.len() as u32).map(before).collect();
    if index.filter().is_none() {
        expect_first(index, ranked, &mut reached, k);
    }
    reached
}

/// Lowers the thresholds of the first steps to what rows that are no candidates make of them: while none is known here, there is
/// one as low as the first one there will be.
fn expect_first(index: &Index, ranked: &[Ranked], reached: &mut [Reached], k: usize) {
    let mut before = 0;
    let known = reached.iter().zip(ranked).position(|(reached, ranked)| {
        let is_known = before >= k as u64 + FIRST_SPARE && reached.threshold < f32::INFINITY;
        before += index.codes_of(ranked.position as usize);
        is_known
    });
    if let Some(step) = known {
        let first = reached[step];
        for reached in &mut reached[..step] {
            reached.threshold = reached.threshold.min(first.threshold);
            reached.near = reached.near.min(first.near);
        }
    }
}

/// Exact distance and key of these rows, nearest first.
fn true_neighbours(
    collection: &CollectionState,
    version: &Version,
    query: &[f32],
    seen: &[(f32, u32, u64)],
    scratch: &mut Scratch,
) -> Result<Vec<(f32, u64)>> {
    let Scratch { vector, cold, .. } = scratch;
    let mut nearest = Vec::with_capacity(seen.len());
    for &(_, _, candidate) in seen {
        let (segment, row) = buckets::place(candidate);
        version.index.segments[segment as usize].segment.read_row(row, vector, cold)?;
        nearest.push((exact_distance(collection.schema.metric, query, vector), candidate));
    }
    nearest.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    Ok(nearest)
}
