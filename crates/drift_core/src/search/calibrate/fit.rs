//! The cheapest stop rule per recall target, from traces.
//!
//! Layer 6, pure. Thousands of rules are tried on the same sample, and the cheapest that seems good enough is likelier than
//! another to be lucky; so a rule must also reach its target on both halves of the sample apart.

use super::trace::Trace;
use crate::manifest::CalibrationPoint;
use rayon::prelude::*;

/// Recall targets that rules are measured for.
const TARGETS: [f32; 16] =
    [0.5, 0.6, 0.7, 0.8, 0.85, 0.875, 0.9, 0.925, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995];

/// Standard errors of the sampled mean by which a rule must exceed its target, so that one in fifteen such measurements, not
/// one in two, promises too much; and the share of the distance to full recall that is added for queries that are no
/// rows of the collection, hence a little harder.
const STANDARD_ERRORS: f32 = 1.5;
const MARGIN: f32 = 0.1;

/// Smallest share of the codes that a budget may be, and the factor between two that are tried.
const SHARE_MIN: f64 = 2e-4;
const SHARE_STEP: f64 = 1.12;

/// What a rule achieves on the traces.
struct Outcome {
    /// Mean recall less the standard errors of the margin.
    sure: f32,
    /// Mean recall of the worse half.
    worse_half: f32,
    /// Mean codes scanned.
    cost: f64,
    difference: f32,
    share: f64,
}

/// The cheapest rule per target among `codes` codes; targets that no rule reaches have none. Runs on the caller's pool.
pub fn fit(traces: &[Trace], codes: u64) -> Vec<CalibrationPoint> {
    let shares: Vec<f64> = std::iter::successors(Some(1.0), |share| Some(share / SHARE_STEP))
        .take_while(|share| *share > SHARE_MIN)
        .collect();
    let tried: Vec<Outcome> = differences(traces)
        .into_par_iter()
        .flat_map_iter(|difference| shares.iter().map(move |&share| outcome(traces, difference, share, codes)))
        .collect();
    TARGETS
        .iter()
        .filter_map(|&target| {
            let wanted = target + MARGIN * (1.0 - target);
            let enough = tried.iter().filter(|tried| tried.sure >= wanted && tried.worse_half >= wanted);
            let best = enough.min_by(|a, b| a.cost.total_cmp(&b.cost))?;
            Some(CalibrationPoint { recall: target, difference: best.difference, row_share: best.share as f32 })
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

fn outcome(traces: &[Trace], difference: f32, share: f64, codes: u64) -> Outcome {
    let budget = (share * codes as f64) as u64;
    let (mut halves, mut squares, mut cost) = ([0.0f64; 2], 0.0f64, 0u64);
    for (at, trace) in traces.iter().enumerate() {
        let by_gap = trace.gaps.partition_point(|gap| *gap <= difference);
        let by_rows = trace.rows.partition_point(|rows| *rows < budget);
        let stop = by_gap.min(by_rows);
        let found = trace.found.iter().filter(|step| (**step as usize) < stop).count();
        let recall = found as f64 / trace.truth.max(1) as f64;
        halves[at % 2] += recall;
        squares += recall * recall;
        cost += trace.rows.get(stop).or(trace.rows.last()).copied().unwrap_or(0);
    }
    let count = traces.len().max(1) as f64;
    let mean = (halves[0] + halves[1]) / count;
    let error = ((squares / count - mean * mean).max(0.0) / count).sqrt();
    let of_half = |half: usize| halves[half] / ((traces.len() + 1 - half) / 2).max(1) as f64;
    Outcome {
        sure: mean as f32 - STANDARD_ERRORS * error as f32,
        worse_half: of_half(0).min(of_half(1)) as f32,
        cost: cost as f64 / count,
        difference,
        share,
    }
}
