//! Rules that are worth trying, and what they achieve on traces.
//!
//! Layer 6, pure. A rule is a difference and a budget, of which the earlier one stops a search. What each difference and each budget alone
//! achieves tells what every pair does, as recall and cost grow along a trace.

use crate::state::{Estimate, Mark, NEVER_FOUND, Trace};
use rayon::prelude::*;

/// Standard errors of the estimated mean by which a rule must exceed its target.
const STANDARD_ERRORS: f32 = 0.8;

/// Standard errors by which one half of the traces may fall short of the target: the worse of two does by .8 on average.
const HALF_ERRORS: f32 = 1.0;

/// Differences and budgets that are tried: quantiles of what reaching a true neighbour took, ever closer to 1, as a high target is
/// decided by the last few of a thousand.
const DIFFERENCES: Quantiles = Quantiles { count: 100, factor: 0.93 };
const BUDGETS: Quantiles = Quantiles { count: 40, factor: 0.82 };

/// From .4 on, each nearer to 1 than the one before by a factor.
struct Quantiles {
    count: i32,
    factor: f64,
}

/// Traces whose marks fit the nearest cache together.
const BLOCK: usize = 32;

/// What a rule achieves on traces of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Mean recall.
    pub mean: f32,
    /// Its squared standard error.
    pub error2: f32,
    /// What is added to that as it is not known who asks: no chance of this sample.
    pub doubt2: f32,
    /// Mean recall of the worse half.
    pub worse_half: f32,
    /// Mean share of the codes scanned.
    pub cost: f32,
}

/// For one limit, be it a difference or a budget: what each trace has found and scanned when it stops there.
#[derive(Default)]
struct Stopped {
    recall: Vec<f32>,
    shares: Vec<f32>,
}

impl Outcome {
    /// Whether it reaches a mean beyond chance, also by the worse half.
    pub fn reaches(&self, wanted: f32) -> bool {
        let least = self.mean - STANDARD_ERRORS * (self.error2 + self.doubt2).sqrt();
        least >= wanted && self.worse_half + HALF_ERRORS * self.error2.sqrt() >= wanted
    }

    /// What is to be expected when a share of the queries is like `other`.
    pub fn mixed(&self, other: &Outcome, share: f32) -> Outcome {
        let mix = |own: f32, other: f32| own + share * (other - own);
        Outcome {
            mean: mix(self.mean, other.mean),
            error2: (1.0 - share) * (1.0 - share) * self.error2 + share * share * other.error2,
            doubt2: 0.0,
            worse_half: mix(self.worse_half, other.worse_half),
            cost: mix(self.cost, other.cost),
        }
    }
}

/// Differences and shares of codes that are worth trying on these traces.
pub fn limits(traces: &[&Trace], found: Found) -> (Vec<f32>, Vec<f32>) {
    let mut differences = needed(traces, found, &DIFFERENCES, |mark| mark.gap);
    differences.push(f32::INFINITY);
    // A budget is spent once as much as it has been scanned.
    let mut shares: Vec<f32> =
        needed(traces, found, &BUDGETS, |mark| mark.spent).into_iter().map(|spent| spent.next_up().min(1.0)).collect();
    shares.push(1.0);
    (differences, shares)
}

/// Every difference with every share, in the order of [`outcomes`].
pub fn rules(differences: &[f32], shares: &[f32]) -> Vec<(f32, f32)> {
    differences.iter().flat_map(|&difference| shares.iter().map(move |&share| (difference, share))).collect()
}

/// The cheapest of the rules that are enough.
pub fn cheapest(tried: &[Outcome], is_enough: impl Fn(&usize) -> bool) -> Option<usize> {
    let rules = (0..tried.len()).filter(is_enough);
    rules.min_by(|a, b| tried[*a].cost.total_cmp(&tried[*b].cost).then(a.cmp(b)))
}

/// Which of a trace's neighbours count.
pub type Found = fn(&Trace) -> &[u32];

/// All of them.
pub fn all_found(trace: &Trace) -> &[u32] {
    &trace.found
}

/// The nearest alone.
pub fn nearest_found(trace: &Trace) -> &[u32] {
    &trace.found[..trace.found.len().min(1)]
}

/// What each rule achieves on the traces: every difference with every share. Runs on the caller's pool.
pub fn outcomes(traces: &[&Trace], found: Found, differences: &[f32], shares: &[f32]) -> Vec<Outcome> {
    let (by_difference, by_share) = (by_difference(traces, found, differences), by_share(traces, found, shares));
    by_difference.par_iter().flat_map_iter(|a| by_share.iter().map(move |b| outcome(a, b))).collect()
}

fn by_difference(traces: &[&Trace], found: Found, differences: &[f32]) -> Vec<Stopped> {
    stopped(traces, found, differences, |mark, difference| mark.gap <= difference)
}

fn by_share(traces: &[&Trace], found: Found, shares: &[f32]) -> Vec<Stopped> {
    stopped(traces, found, shares, |mark, share| mark.spent < share)
}

/// What reaching the true neighbours took, at some quantiles.
fn needed(traces: &[&Trace], found: Found, quantiles: &Quantiles, of: fn(&Mark) -> f32) -> Vec<f32> {
    let at = |trace: &Trace, buckets: u32| {
        let place = trace.marks.partition_point(|mark| mark.step + 1 < buckets);
        trace.marks.get(place).map_or(f32::INFINITY, of)
    };
    let reached = |trace| found(trace).iter().filter(|buckets| **buckets != NEVER_FOUND);
    let mut needed: Vec<f32> =
        traces.iter().flat_map(|trace| reached(trace).map(|&buckets| at(trace, buckets))).collect();
    needed.sort_unstable_by(f32::total_cmp);
    let last = needed.len().saturating_sub(1) as f64;
    let shares = (0..quantiles.count).map(|n| 1.0 - 0.6 * quantiles.factor.powi(n));
    let mut values: Vec<f32> = shares.filter_map(|q| needed.get((q * last) as usize).copied()).collect();
    values.retain(|value| value.is_finite());
    values.dedup();
    values
}

/// Stops every trace behind the last mark that lets it go on, for each of some limits.
fn stopped(
    traces: &[&Trace],
    found: Found,
    limits: &[f32],
    goes_on: impl Fn(&Mark, f32) -> bool + Sync,
) -> Vec<Stopped> {
    let limits_of_thread = limits.len().div_ceil(rayon::current_num_threads()).max(1);
    let stop = |limits: &[f32]| {
        let mut stopped: Vec<Stopped> = limits.iter().map(|_| Stopped::default()).collect();
        for block in traces.chunks(BLOCK) {
            for (stopped, &limit) in stopped.iter_mut().zip(limits) {
                block.iter().for_each(|trace| stopped.push(trace, found(trace), |mark| goes_on(mark, limit)));
            }
        }
        stopped
    };
    limits.par_chunks(limits_of_thread).flat_map_iter(stop).collect()
}

impl Stopped {
    /// Adds a trace: what was scanned between the mark that it stops behind and the next counts as cost only.
    fn push(&mut self, trace: &Trace, wanted: &[u32], goes_on: impl Fn(&Mark) -> bool) {
        let place = trace.marks.partition_point(goes_on);
        let (scanned, cost) = match place.checked_sub(1).map(|last| &trace.marks[last]) {
            Some(last) => (last.step + 1, trace.marks.get(place).unwrap_or(last).share),
            None => (0, 0.0),
        };
        let found = wanted.iter().filter(|buckets| **buckets <= scanned).count();
        self.recall.push(found as f32 / wanted.len().max(1) as f32);
        self.shares.push(cost);
    }
}

/// Sums are taken in so many lanes, which vector instructions add to at once; an even number, so that each is of one half.
const LANES: usize = 16;

/// What stopping at the earlier of two limits achieves. Recall and cost grow along a trace, so the earlier has less of both.
fn outcome(a: &Stopped, b: &Stopped) -> Outcome {
    let (recall, squares) = sums(&a.recall, &b.recall);
    let (cost, _) = sums(&a.shares, &b.shares);
    let traces = a.recall.len();
    let count = traces.max(1) as f32;
    let sum_of_half = |half: usize| recall[half..].iter().step_by(2).sum::<f32>();
    let halves = [sum_of_half(0), sum_of_half(1)];
    let mean = (halves[0] + halves[1]) / count;
    let error2 = (squares.iter().sum::<f32>() / count - mean * mean).max(0.0) / count;
    let of_half = |half: usize| halves[half] / ((traces + 1 - half) / 2).max(1) as f32;
    let cost = cost.iter().sum::<f32>() / count;
    Outcome { mean, error2, doubt2: 0.0, worse_half: of_half(0).min(of_half(1)), cost }
}

/// Sums of the lesser of two values, and of its square, by lanes.
fn sums(a: &[f32], b: &[f32]) -> ([f32; LANES], [f32; LANES]) {
    let (mut sums, mut squares) = ([0.0; LANES], [0.0; LANES]);
    let mut add = |lane: usize, a: f32, b: f32| {
        let lesser = if a < b { a } else { b };
        sums[lane] += lesser;
        squares[lane] += lesser * lesser;
    };
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        (0..LANES).for_each(|lane| add(lane, a[lane], b[lane]));
    }
    a_rest.iter().zip(b_rest).enumerate().for_each(|(lane, (a, b))| add(lane, *a, *b));
    (sums, squares)
}

/// Mean recall by one rule.
pub fn estimate(traces: &[&Trace], rule: (f32, f32)) -> Estimate {
    let Outcome { mean, error2, .. } = achieved(traces, all_found, rule);
    Estimate { mean: mean.into(), error2: error2.into() }
}

/// What one rule achieves on the traces.
fn achieved(traces: &[&Trace], found: Found, (difference, share): (f32, f32)) -> Outcome {
    outcome(&by_difference(traces, found, &[difference])[0], &by_share(traces, found, &[share])[0])
}

/// Every rule that is worth trying on some traces, and what it achieves.
pub struct Tried<'a> {
    traces: Vec<&'a Trace>,
    found: Found,
    rules: Vec<(f32, f32)>,
    outcomes: Vec<Outcome>,
}

impl Tried<'_> {
    /// All rules, where such neighbours count. Runs on the caller's pool.
    pub fn all(traces: Vec<&Trace>, found: Found) -> Tried<'_> {
        let (differences, shares) = limits(&traces, found);
        let outcomes = outcomes(&traces, found, &differences, &shares);
        Tried { traces, found, rules: rules(&differences, &shares), outcomes }
    }

    /// What a rule achieves, be it among those tried or not.
    pub fn outcome(&self, rule: (f32, f32)) -> Outcome {
        achieved(&self.traces, self.found, rule)
    }

    /// The rule with the highest recall among those that scan at most a share of the codes on average, if there are such.
    pub fn best_within(&self, cost: f32) -> Option<(f32, f32)> {
        let within = (0..self.rules.len()).filter(|rule| self.outcomes[*rule].cost <= cost);
        let order = |rule: usize| (self.outcomes[rule].mean, -self.outcomes[rule].cost);
        let (_, rule) = within
            .map(|rule| (order(rule), rule))
            .max_by(|(a, _), (b, _)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)))?;
        Some(self.rules[rule])
    }

    /// The cheapest rule that reaches a mean recall beyond doubt or, if none does, so far as these traces tell.
    pub fn cheapest(&self, recall: f32) -> Option<(f32, f32)> {
        let tried = &self.outcomes;
        let rule = cheapest(tried, |rule| tried[*rule].reaches(recall))
            .or_else(|| cheapest(tried, |rule| tried[*rule].mean >= recall))?;
        Some(self.rules[rule])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    /// What a rule achieves, trace by trace: recall, and share of the codes scanned.
    fn followed(traces: &[&Trace], (difference, share): (f32, f32)) -> Vec<(f64, f64)> {
        let follow = |trace: &&Trace| {
            let goes_on = |mark: &&Mark| mark.gap <= difference && mark.spent < share;
            let stop = trace.marks.iter().take_while(goes_on).count();
            let scanned = if stop == 0 { 0 } else { trace.marks[stop - 1].step + 1 };
            let cost = if stop == 0 { 0.0 } else { trace.marks[stop.min(trace.marks.len() - 1)].share };
            let found = trace.found.iter().filter(|step| **step <= scanned).count();
            (found as f64 / trace.found.len() as f64, f64::from(cost))
        };
        traces.iter().map(follow).collect()
    }

    #[test]
    fn outcomes_are_what_traces_that_are_followed_find() {
        let mut rng = crate::clock::rng(5);
        let mut trace = || {
            let (mut gap, mut share) = (0.0, 0.0);
            let marks = (0..50).map(|step| {
                let mark = Mark { step, gap, share, spent: share };
                (gap, share) = (gap + rng.random::<f32>(), share + 0.02 * rng.random::<f32>());
                mark
            });
            let marks: Vec<Mark> = marks.collect();
            Trace { marks, found: (0..10).map(|_| rng.random_range(0..60)).collect() }
        };
        // More than a block of them, and not as many as fill all lanes.
        let traces: Vec<Trace> = (0..BLOCK + LANES + 5).map(|_| trace()).collect();
        let traces: Vec<&Trace> = traces.iter().collect();
        let (differences, shares) = limits(&traces, all_found);
        let rules = rules(&differences, &shares);
        let all = outcomes(&traces, all_found, &differences, &shares);
        assert_eq!(all.len(), rules.len());
        for (outcome, &rule) in all.iter().zip(&rules) {
            let followed = followed(&traces, rule);
            let mean_of = |part: &[&(f64, f64)]| part.iter().map(|(recall, _)| recall).sum::<f64>() / part.len() as f64;
            let mean = mean_of(&followed.iter().collect::<Vec<_>>());
            let half = |half| mean_of(&followed.iter().skip(half).step_by(2).collect::<Vec<_>>());
            let cost = followed.iter().map(|(_, cost)| cost).sum::<f64>() / followed.len() as f64;
            let squares = followed.iter().map(|(recall, _)| (recall - mean).powi(2)).sum::<f64>();
            let error2 = squares / (followed.len() as f64).powi(2);
            let expected = [mean, half(0).min(half(1)), cost, error2];
            let Outcome { mean, worse_half, cost, error2, .. } = *outcome;
            for (is, should) in [mean, worse_half, cost, error2].into_iter().zip(expected) {
                assert!((f64::from(is) - should).abs() < 1e-5, "{outcome:?} by {rule:?}, not {expected:?}");
            }
        }
    }

    #[test]
    fn no_trace_finds_nothing_and_costs_nothing() {
        let outcomes = outcomes(&[], all_found, &[f32::INFINITY], &[1.0]);
        assert_eq!((outcomes[0].mean, outcomes[0].cost, outcomes[0].error2), (0.0, 0.0, 0.0));
    }
}
