//! The cheapest stop rule per recall target, from traces.
//!
//! Layer 6, pure. Sampled rows are many and tell what is there now; live queries are few and tell what is asked for. A rule's
//! recall is estimated from both: where they agree, within what chance allows, they count as one sample; the less they agree,
//! the more do live queries count alone. Until queries have come since rows changed, part of those who ask next are taken to
//! ask as was asked before, part for what came last, as was learned from those who came after earlier changes (`foresee`).
//! Thousands of rules are tried on the same sample, and the cheapest that seems good enough is likelier than another to be lucky; so a rule
//! must also reach its target on both halves of the sample apart.

use super::outcomes::{Outcome, all_found, cheapest, limits, outcomes, rules};
use crate::manifest::CalibrationPoint;
use crate::state::{Foresight, Trace, USUAL_K};

/// Recall targets that rules are measured for.
const TARGETS: [f32; 16] =
    [0.5, 0.6, 0.7, 0.8, 0.85, 0.875, 0.9, 0.925, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995];

/// Live queries since so much changed that are enough to go by them: older ones may have asked for what is gone, or for less.
pub const FRESH_ENOUGH: usize = 48;

/// Live queries below which sampled rows count alone.
const LIVE_SOME: usize = 32;

/// Misses allowed from which on all of what the margin has besides for few rows is kept once queries are known: the fewer are allowed, the
/// more codes it costs.
const CHEAP_MISSES: f32 = 0.1;

/// By how much the recall of live queries is expected to differ from that of rows before any is known, as a share of the
/// distance to full recall.
const EXPECTED_DIFFERENCE: f32 = 0.1;

/// Squared standard errors by which live queries must find more than rows do, to be taken for easier by more than is usual: thousands of
/// rules are tried, and some are always among the few queries that are known without a miss by chance. Queries that find less are believed sooner.
const EASIER_ERRORS2: f32 = 4.0;

/// A rule that is held by its budget alone is taken where it costs at most such a share more and no queries are known. Where all distances
/// are about the same, as among many dimensions of noise, scores of buckets tell rows, which these were trained on, from queries by about
/// as much as they tell near buckets from far ones.
const SURE_COST: f32 = 0.1;

/// Live queries that tell by themselves what a rule finds: their mean is known as well as the usual difference from rows.
const LIVE_SURE: usize = 256;

/// What rules are fitted to.
pub struct Evidence<'a> {
    /// Traces of sampled rows.
    pub rows: Vec<&'a Trace>,
    /// Traces of rows that came last, where rows have changed.
    pub newest: Vec<&'a Trace>,
    /// Traces of live queries.
    pub live: Vec<&'a Trace>,
    /// How many of the live queries came since so much changed.
    pub fresh: usize,
    /// What is known of who asks until they are enough.
    pub foresight: Foresight,
    /// Share of the distance to full recall that is added to each target.
    pub margin: f32,
    /// What is added besides, as rows are few.
    pub few_margin: f32,
}

impl Evidence<'_> {
    /// Recall to be found where `recall` is asked for, with a share of the margin.
    fn aim(&self, recall: f32, share: f32) -> f32 {
        let is_known = self.live.len() >= LIVE_SOME;
        let few = if is_known { ((1.0 - recall) / CHEAP_MISSES).min(1.0) } else { 1.0 };
        recall + share * (self.margin + few * self.few_margin) * (1.0 - recall)
    }
}

/// The cheapest rule per target that is good enough; targets that no rule reaches have none. Runs on the caller's pool.
pub fn fit(evidence: &Evidence<'_>) -> Vec<CalibrationPoint> {
    let all: Vec<&Trace> = evidence.rows.iter().chain(&evidence.newest).copied().collect();
    let every: Vec<&Trace> = all.iter().chain(&evidence.live).copied().collect();
    let (differences, shares) = limits(&every, all_found);
    let live = outcomes(&evidence.live, all_found, &differences, &shares);
    let rows = outcomes(&all, all_found, &differences, &shares);
    let rules = rules(&differences, &shares);
    let tried: Vec<Outcome> =
        rows.iter().zip(&live).map(|(rows, live)| pooled(rows, live, all.len(), evidence.live.len())).collect();
    let is_foreseen = evidence.fresh < FRESH_ENOUGH && !all.is_empty();
    let next = match evidence.newest.len() {
        _ if !is_foreseen => None,
        0 if evidence.live.len() < LIVE_SOME => None,
        0 => Some(foretold(&tried, &rows, &evidence.foresight)),
        _ => {
            let newest = outcomes(&evidence.newest, all_found, &differences, &shares);
            Some(foretold(&tried, &newest, &evidence.foresight))
        }
    };
    // The surer it is that others ask, the less margin for those who asked before.
    let before_share = 1.0 - evidence.foresight.newest_share();
    let sure_cost = 1.0 + SURE_COST * (1.0 - evidence.live.len() as f32 / LIVE_SURE as f32).max(0.0);
    TARGETS
        .iter()
        .filter_map(|&recall| {
            let wanted = |share: f32| evidence.aim(recall, share);
            let is_enough = |rule: &usize| match &next {
                None => tried[*rule].reaches(wanted(1.0)),
                Some(next) => {
                    // Those who asked before may all have been easy to answer, and not come again.
                    let suffices_alone = rows[*rule].mean >= recall;
                    suffices_alone && next[*rule].reaches(wanted(1.0)) && tried[*rule].reaches(wanted(before_share))
                }
            };
            let rule = cheapest(&tried, is_enough)?;
            let sure = cheapest(&tried, |rule| rules[*rule].0 == f32::INFINITY && is_enough(rule));
            let sure = sure.filter(|sure| tried[*sure].cost <= sure_cost * tried[rule].cost);
            let (difference, row_share) = rules[sure.unwrap_or(rule)];
            Some(CalibrationPoint { k: USUAL_K as u32, recall, difference, row_share })
        })
        .collect()
}

/// What is to be expected of those who ask next, as far as it is known which part of them is like `newest`.
fn foretold(before: &[Outcome], newest: &[Outcome], foresight: &Foresight) -> Vec<Outcome> {
    let (share, error2) = (foresight.newest_share(), foresight.error2());
    let foretell = |(before, newest): (&Outcome, &Outcome)| {
        let (mixed, apart) = (before.mixed(newest, share), newest.mean - before.mean);
        Outcome { doubt2: error2 * apart * apart, ..mixed }
    };
    before.iter().zip(newest).map(foretell).collect()
}

/// What is to be expected of live queries. How much these differ from rows is estimated by how much they seem to, less what
/// chance alone would do, and at least as is usual; the rest is the weighting of two measurements by their errors. What chance would do
/// to as many queries like rows is the least error: queries that all happen to miss nothing differ by nothing among themselves.
fn pooled(rows: &Outcome, live: &Outcome, row_count: usize, count: usize) -> Outcome {
    if count < LIVE_SOME {
        return *rows;
    }
    if row_count == 0 {
        return *live;
    }
    let apart = rows.mean - live.mean;
    let expected = EXPECTED_DIFFERENCE * (1.0 - rows.mean);
    let like_rows = rows.error2 * row_count as f32 / count as f32;
    let as_live = live.error2.max(like_rows);
    let certain = if apart < 0.0 { EASIER_ERRORS2 } else { 1.0 };
    let differ2 = (apart * apart - certain * (rows.error2 + as_live)).max(expected * expected);
    let as_rows = rows.error2 + differ2;
    let total = as_rows + as_live;
    let weight = if total > 0.0 { as_live / total } else { 0.5 };
    Outcome { error2: if total > 0.0 { as_rows * as_live / total } else { 0.0 }, ..live.mixed(rows, weight) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Estimate, Forecast, Mark, NEVER_FOUND};
    use rand::RngExt;

    /// Traces of 1,000 buckets of ten codes: neighbour `n` of trace `t` is found in bucket `n * (t % 40)`.
    fn traces(count: u32) -> Vec<Trace> {
        let mark = |step: u32| Mark {
            step,
            gap: step as f32 / 100.0,
            share: step as f32 / 1_000.0,
            spent: step as f32 / 1_000.0,
        };
        (0..count)
            .map(|t| Trace {
                marks: (0..1_000).map(mark).collect(),
                found: (0..10).map(|n| n * (t % 40) + 1).collect(),
            })
            .collect()
    }

    /// Mean recall of traces that stop as a rule says.
    fn recall(traces: &[Trace], point: &CalibrationPoint) -> f32 {
        let found = |trace: &Trace| {
            let goes_on = |mark: &&Mark| mark.gap <= point.difference && mark.share < point.row_share;
            let stop = trace.marks.iter().take_while(goes_on).count();
            trace.found.iter().filter(|buckets| (**buckets as usize) <= stop).count()
        };
        traces.iter().map(found).sum::<usize>() as f32 / (10.0 * traces.len() as f32)
    }

    fn evidence<'a>(rows: &'a [Trace], live: &'a [Trace], fresh: usize) -> Evidence<'a> {
        let foresight = Foresight::default();
        let (rows, live) = (rows.iter().collect(), live.iter().collect());
        Evidence { rows, newest: Vec::new(), live, fresh, foresight, margin: 0.1, few_margin: 0.0 }
    }

    /// The cost of the rule for .9.
    fn cost(points: &[CalibrationPoint]) -> f32 {
        points
            .iter()
            .find(|point| point.recall == 0.9)
            .map_or(1.0, |point| point.row_share.min(point.difference / 10.0))
    }

    #[test]
    fn a_rule_reaches_its_target_and_higher_targets_cost_more() {
        let traces = traces(800);
        for points in [fit(&evidence(&traces, &[], 0)), fit(&evidence(&[], &traces, 0))] {
            assert_eq!(points.len(), TARGETS.len());
            let mut last = 0.0;
            for point in points {
                let recall = recall(&traces, &point);
                assert!(recall >= point.recall, "{point:?} reaches {recall}");
                assert!(recall >= last && recall < point.recall + 0.12, "{point:?} reaches {recall}");
                last = recall;
            }
        }
    }

    #[test]
    fn a_budget_alone_is_taken_where_it_costs_hardly_more() {
        // Here both limits stop at the same places.
        assert!(fit(&evidence(&traces(800), &[], 0)).iter().all(|point| point.difference == f32::INFINITY));
        let mut apart = traces(800);
        for trace in &mut apart {
            // Differences that tell what budgets cannot: how far each one has to go.
            let last = trace.found.iter().max().copied().unwrap_or(1) as f32;
            trace.marks.iter_mut().for_each(|mark| mark.gap = mark.step as f32 / last);
        }
        assert!(fit(&evidence(&apart, &[], 0)).iter().any(|point| point.difference.is_finite()));
        let mut hardly = traces(800);
        for trace in &mut hardly {
            let last = trace.found.iter().max().copied().unwrap_or(1) as f32;
            trace.marks.iter_mut().for_each(|mark| mark.gap = mark.step as f32 / last.powf(0.1));
        }
        let is_finite = |live: usize| {
            let points = fit(&evidence(&hardly, &hardly[..live], 0));
            points.iter().filter(|point| point.difference.is_finite()).count()
        };
        let (unknown, known) = (is_finite(0), is_finite(LIVE_SURE));
        assert!(unknown < known, "{unknown} of the rules by rows alone, {known} by queries as well");
    }

    #[test]
    fn live_queries_that_differ_from_rows_count_alone() {
        let (easy, mut hard) = (traces(800), traces(200));
        hard.iter_mut().for_each(|trace| trace.found.iter_mut().for_each(|buckets| *buckets *= 2));
        let points = fit(&evidence(&easy, &hard, 0));
        assert!(points.iter().all(|point| recall(&hard, point) >= point.recall), "harder ones at once");
        let eased = fit(&evidence(&hard, &easy, 100));
        assert!(eased.iter().all(|point| recall(&easy, point) >= point.recall));
        assert!(cost(&eased) < 0.7 * cost(&fit(&evidence(&hard, &[], 0))), "easier ones when they are new");
        let cautious = fit(&evidence(&hard, &easy, 10));
        let mixed = |point| 0.5 * (recall(&easy, point) + recall(&hard, point));
        assert!(cautious.iter().all(|point| mixed(point) >= point.recall), "until then rows count too");
        assert!(cost(&cautious) > 1.1 * cost(&eased));
    }

    #[test]
    fn rows_that_came_last_count_until_live_queries_have_come() {
        let (easy, mut hard) = (traces(800), traces(400));
        hard.iter_mut().for_each(|trace| trace.found.iter_mut().for_each(|buckets| *buckets *= 2));
        let fitted = |live, fresh| fit(&Evidence { newest: hard.iter().collect(), ..evidence(&easy, live, fresh) });
        let reached = |point: &CalibrationPoint| 0.5 * (recall(&easy, point) + recall(&hard, point));
        let before = traces(200);
        let points = [fitted(&[], 0), fitted(&before, 0)];
        assert!(points.iter().flatten().all(|point| reached(point) >= point.recall), "{points:?}");
        let alone = cost(&fit(&evidence(&easy, &before, 0)));
        assert!(cost(&points[1]) > 1.1 * alone, "harder ones came last");
        assert!(cost(&fitted(&before, 100)) < cost(&points[1]), "those who ask ask for others");
    }

    #[test]
    fn rows_that_came_last_count_as_far_as_those_who_came_before_asked_for_them() {
        let (easy, mut hard) = (traces(800), traces(400));
        hard.iter_mut().for_each(|trace| trace.found.iter_mut().for_each(|buckets| *buckets *= 2));
        let before = traces(200);
        let fitted = |part: f64| {
            let mut foresight = Foresight::default();
            let estimate = |mean: f64| Estimate { mean, error2: 1e-5 };
            let forecast = Forecast { rule: (0.0, 1.0), before: estimate(0.95), newest: estimate(0.85) };
            (0..5).for_each(|_| foresight.learn(&forecast, estimate(0.95 - 0.1 * part)));
            fit(&Evidence { newest: hard.iter().collect(), foresight, ..evidence(&easy, &before, 0) })
        };
        let unknown = fit(&Evidence { newest: hard.iter().collect(), ..evidence(&easy, &before, 0) });
        let (others, same) = (fitted(1.0), fitted(0.0));
        assert!(others.iter().all(|point| recall(&hard, point) >= point.recall), "{others:?}");
        assert!(same.iter().all(|point| recall(&before, point) >= point.recall), "{same:?}");
        assert!(
            cost(&same) < 0.9 * cost(&unknown) && cost(&unknown) < 0.95 * cost(&others),
            "{:?}",
            [&same, &unknown, &others].map(|points| cost(points))
        );
    }

    #[test]
    fn live_queries_like_rows_change_little() {
        let (rows, live) = (traces(2_000), traces(120));
        let (alone, both) = (cost(&fit(&evidence(&rows, &[], 0))), cost(&fit(&evidence(&rows, &live, 120))));
        assert!((alone - both).abs() < 0.1 * alone, "{alone} {both}");
    }

    /// Traces of queries few of which are hard, and those by far.
    fn drawn(rng: &mut impl RngExt, count: usize) -> Vec<Trace> {
        let marks = traces(1).remove(0).marks;
        let trace = |_| {
            let spread = (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
            let scale = 8.0 * (1.1 * spread).exp();
            let step = |_| 1 + (-scale * rng.random::<f32>().max(1e-9).ln()).min(998.0) as u32;
            Trace { marks: marks.clone(), found: (0..10).map(step).collect() }
        };
        (0..count).map(trace).collect()
    }

    #[test]
    fn few_live_queries_without_a_miss_prove_little() {
        let mut rng = crate::clock::rng(5);
        let (rows, truth) = (drawn(&mut rng, 2_000), drawn(&mut rng, 4_000));
        for draw in 0..40 {
            let live = drawn(&mut rng, 128);
            for point in fit(&Evidence { margin: 0.26, ..evidence(&rows, &live, 128) }) {
                let recall = recall(&truth, &point);
                assert!(point.recall < 0.9 || recall >= point.recall, "draw {draw}: {point:?} reaches {recall}");
            }
        }
    }

    #[test]
    fn a_target_beyond_what_was_found_has_no_rule() {
        let mut traces = traces(400);
        traces.iter_mut().for_each(|trace| trace.found[9] = NEVER_FOUND);
        let points = fit(&evidence(&traces, &[], 0));
        assert!(points.last().is_some_and(|point| point.recall < 0.9), "{points:?}");
    }
}
