//! The cheapest stop rule per recall target, from traces.
//!
//! Layer 6, pure. Thousands of rules are tried on the same sample, and the cheapest that seems good enough is likelier than
//! another to be lucky; so a rule must also reach its target on both halves of the sample apart.

use crate::manifest::CalibrationPoint;
use crate::state::{Mark, Trace};
use rayon::prelude::*;

/// Recall targets that rules are measured for.
const TARGETS: [f32; 16] =
    [0.5, 0.6, 0.7, 0.8, 0.85, 0.875, 0.9, 0.925, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995];

/// Standard errors of the sampled mean by which a rule must exceed its target, so that one in forty such measurements, not
/// one in two, promises too much.
const STANDARD_ERRORS: f32 = 2.0;

/// Smallest share of the codes that a budget may be, and the factor between two that are tried.
const SHARE_MIN: f32 = 2e-4;
const SHARE_STEP: f32 = 1.12;

/// What a rule achieves on the traces.
struct Outcome {
    /// Mean recall less the standard errors of the margin.
    sure: f32,
    /// Mean recall of the worse half.
    worse_half: f32,
    /// Mean share of the codes scanned.
    cost: f32,
}

/// For one limit, be it a difference or a budget: what each trace has found and scanned when it stops there.
struct Stopped {
    recall: Vec<f32>,
    shares: Vec<f32>,
}

/// Traces that speak for one kind of query.
pub struct Group<'a> {
    /// The traces.
    pub traces: Vec<&'a Trace>,
    /// Share of the distance to full recall that is added to each target.
    pub margin: f32,
}

/// The cheapest rule per target that is good enough for each group; targets that no rule reaches have none. Runs on the
/// caller's pool.
pub fn fit(groups: &[Group<'_>]) -> Vec<CalibrationPoint> {
    let shares: Vec<f32> = std::iter::successors(Some(1.0f32), |share| Some(share / SHARE_STEP))
        .take_while(|share| *share > SHARE_MIN)
        .collect();
    let differences = differences(groups);
    let tried: Vec<Vec<Outcome>> = groups.iter().map(|group| outcomes(&group.traces, &differences, &shares)).collect();
    let rules: Vec<(f32, f32)> =
        differences.iter().flat_map(|&difference| shares.iter().map(move |&share| (difference, share))).collect();
    let cost = |rule: usize| tried.iter().map(|outcomes| outcomes[rule].cost).sum::<f32>();
    TARGETS
        .iter()
        .filter_map(|&recall| {
            let is_enough = |rule: &usize| {
                groups.iter().zip(&tried).all(|(group, outcomes)| {
                    let wanted = recall + group.margin * (1.0 - recall);
                    outcomes[*rule].sure >= wanted && outcomes[*rule].worse_half >= wanted
                })
            };
            let rule = (0..rules.len()).filter(is_enough).min_by(|a, b| cost(*a).total_cmp(&cost(*b)))?;
            let (difference, row_share) = rules[rule];
            Some(CalibrationPoint { recall, difference, row_share })
        })
        .collect()
}

/// What each rule achieves on the traces: every difference with every share.
fn outcomes(traces: &[&Trace], differences: &[f32], shares: &[f32]) -> Vec<Outcome> {
    let by_difference: Vec<Stopped> =
        differences.par_iter().map(|limit| stopped(traces, |mark| mark.gap <= *limit)).collect();
    let by_share: Vec<Stopped> = shares.par_iter().map(|share| stopped(traces, |mark| mark.share < *share)).collect();
    by_difference.par_iter().flat_map_iter(|a| by_share.iter().map(move |b| outcome(a, b))).collect()
}

/// Differences worth trying: quantiles of what reaching a true neighbour took.
fn differences(groups: &[Group<'_>]) -> Vec<f32> {
    let gap = |trace: &Trace, step: u32| {
        let place = trace.marks.partition_point(|mark| mark.step < step);
        trace.marks.get(place).map_or(f32::INFINITY, |mark| mark.gap)
    };
    let traces = groups.iter().flat_map(|group| &group.traces);
    let mut needed: Vec<f32> = traces.flat_map(|trace| trace.found.iter().map(|&step| gap(trace, step))).collect();
    needed.sort_unstable_by(f32::total_cmp);
    let last = needed.len().saturating_sub(1) as f64;
    // Ever closer to 1: a high target is decided by the last few of a thousand.
    let quantiles = (0..70).map(|n| 1.0 - 0.6 * 0.9f64.powi(n));
    let mut values: Vec<f32> = quantiles.filter_map(|q| needed.get((q * last) as usize).copied()).collect();
    values.retain(|value| value.is_finite());
    values.push(f32::INFINITY);
    values
}

/// Stops every trace behind the last mark that `goes_on`: what was scanned between it and the next counts as cost only.
fn stopped(traces: &[&Trace], goes_on: impl Fn(&Mark) -> bool) -> Stopped {
    let stop = |trace: &&Trace| {
        let place = trace.marks.partition_point(&goes_on);
        let Some(last) = place.checked_sub(1) else { return (0.0, 0.0) };
        let found = trace.found.iter().filter(|step| **step <= trace.marks[last].step).count();
        let cost = trace.marks.get(place).unwrap_or(&trace.marks[last]).share;
        (found as f32 / trace.truth.max(1) as f32, cost)
    };
    let (recall, shares) = traces.iter().map(stop).unzip();
    Stopped { recall, shares }
}

/// What stopping at the earlier of two limits achieves. Recall and cost grow along a trace, so the earlier has less of both.
fn outcome(a: &Stopped, b: &Stopped) -> Outcome {
    let (mut halves, mut squares, mut cost) = ([0.0f32; 2], 0.0f32, 0.0f32);
    for (at, (a, b)) in a.recall.iter().zip(&b.recall).enumerate() {
        let recall = a.min(*b);
        halves[at % 2] += recall;
        squares += recall * recall;
    }
    a.shares.iter().zip(&b.shares).for_each(|(a, b)| cost += a.min(*b));
    let traces = a.recall.len();
    let count = traces.max(1) as f32;
    let mean = (halves[0] + halves[1]) / count;
    let error = ((squares / count - mean * mean).max(0.0) / count).sqrt();
    let of_half = |half: usize| halves[half] / ((traces + 1 - half) / 2).max(1) as f32;
    Outcome { sure: mean - STANDARD_ERRORS * error, worse_half: of_half(0).min(of_half(1)), cost: cost / count }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Traces of 1,000 buckets of ten codes: neighbour `n` of trace `t` is found at step `n * (t % 40)`.
    fn traces(count: u32) -> Vec<Trace> {
        let mark = |step: u32| Mark { step, gap: step as f32 / 100.0, share: step as f32 / 1_000.0 };
        (0..count)
            .map(|t| Trace {
                marks: (0..1_000).map(mark).collect(),
                found: (0..10).map(|n| n * (t % 40)).collect(),
                truth: 10,
            })
            .collect()
    }

    /// Mean recall of traces that stop as a rule says.
    fn recall(traces: &[Trace], point: &CalibrationPoint) -> f32 {
        let found = |trace: &Trace| {
            let goes_on = |mark: &&Mark| mark.gap <= point.difference && mark.share < point.row_share;
            let stop = trace.marks.iter().take_while(goes_on).count();
            trace.found.iter().filter(|step| (**step as usize) < stop).count()
        };
        traces.iter().map(found).sum::<usize>() as f32 / (10.0 * traces.len() as f32)
    }

    #[test]
    fn a_rule_reaches_its_target_and_higher_targets_cost_more() {
        let traces = traces(800);
        let points = fit(&[Group { traces: traces.iter().collect(), margin: 0.1 }]);
        assert_eq!(points.len(), TARGETS.len());
        let mut last = 0.0;
        for point in points {
            let recall = recall(&traces, &point);
            assert!(recall >= point.recall, "{point:?} reaches {recall}");
            assert!(recall >= last && recall < point.recall + 0.12, "{point:?} reaches {recall}");
            last = recall;
        }
    }

    #[test]
    fn a_rule_is_good_enough_for_each_group() {
        let (easy, mut hard) = (traces(400), traces(100));
        hard.iter_mut().for_each(|trace| trace.found.iter_mut().for_each(|step| *step *= 2));
        let points = fit(&[&easy, &hard].map(|traces| Group { traces: traces.iter().collect(), margin: 0.1 }));
        assert_eq!(points.len(), TARGETS.len());
        assert!(
            points.iter().all(|point| recall(&easy, point) >= point.recall && recall(&hard, point) >= point.recall)
        );
        let alone = fit(&[Group { traces: easy.iter().collect(), margin: 0.1 }]);
        assert!(alone.iter().any(|point| recall(&hard, point) < point.recall), "the groups differ");
    }

    #[test]
    fn a_target_beyond_what_was_found_has_no_rule() {
        let mut traces = traces(400);
        traces.iter_mut().for_each(|trace| trace.found.truncate(9));
        let points = fit(&[Group { traces: traces.iter().collect(), margin: 0.1 }]);
        assert!(points.last().is_some_and(|point| point.recall < 0.9), "{points:?}");
    }
}
