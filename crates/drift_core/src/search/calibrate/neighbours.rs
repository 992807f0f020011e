//! Rules for other numbers of neighbours than ten.
//!
//! Layer 6, pure. The rules for ten know from thousands of rows and from live queries how far to go. By a rule for another number, traces
//! are to find as large a share of as many as they find of ten by the rule for ten. What that takes depends on the data: for a
//! hundred thrice the codes where it is spread evenly, and other regions altogether where ten lie in one cluster and the next in
//! another; for one half of them, or more where a few long rows are the nearest of all by inner product.

use super::outcomes::{Tried, all_found, nearest_found};
use super::trace::Traced;
use crate::manifest::CalibrationPoint;
use crate::state::{Trace, USUAL_K, WIDE_KS};

/// What is traced for more than ten neighbours: for ten, then for each of [`WIDE_KS`].
type Ways = [Trace; 1 + WIDE_KS.len()];

/// Part of the distance from a target to full recall that traces may find more than the target by the rule for ten. Where live
/// queries, whose way is longer, make that rule wider, they may find all of the ten, which says nothing of another number.
const EXCESS_MAX: f32 = 0.75;

/// The ways of a traced query, if it was traced for more than ten neighbours.
pub fn ways(traced: &Traced) -> Option<Ways> {
    let ways: Vec<Trace> = std::iter::once(&traced.trace).chain(&traced.wide).cloned().collect();
    ways.try_into().ok()
}

/// The rules for one neighbour, beside `points` for ten. Runs on the caller's pool.
pub fn fit_nearest(points: &[CalibrationPoint], traces: &[&Trace]) -> Vec<CalibrationPoint> {
    let (ten, one) = (Tried::all(traces.to_vec(), all_found), Tried::all(traces.to_vec(), nearest_found));
    fit(points, &ten, &one, 1)
}

/// The rules for [`WIDE_KS`] neighbours, beside `points` for ten. Runs on the caller's pool.
pub fn fit_wide(points: &[CalibrationPoint], ways: &[Ways]) -> Vec<CalibrationPoint> {
    let tried = |at: usize| Tried::all(ways.iter().map(|ways| &ways[at]).collect(), all_found);
    let ten = tried(0);
    WIDE_KS.iter().enumerate().flat_map(|(at, &k)| fit(points, &ten, &tried(1 + at), k as u32)).collect()
}

fn fit(points: &[CalibrationPoint], ten: &Tried<'_>, others: &Tried<'_>, k: u32) -> Vec<CalibrationPoint> {
    let fit = |point: &CalibrationPoint| {
        let reached = ten.outcome((point.difference, point.row_share));
        let most = point.recall + EXCESS_MAX * (1.0 - point.recall);
        let mut rule = others.cheapest(reached.mean.min(most))?;
        if reached.mean > most {
            // As many times as much as that, as is spent on ten.
            let enough = ten.outcome(ten.cheapest(most)?);
            let cost = others.outcome(rule).cost * (reached.cost / enough.cost).max(1.0);
            rule = others.best_within(cost).unwrap_or(rule);
        }
        let (difference, row_share) = rule;
        Some(CalibrationPoint { k, difference, row_share, ..*point })
    };
    points.iter().filter_map(fit).collect()
}

/// The rules for [`WIDE_KS`] neighbours beside `points` for ten, where nothing was traced for more than ten since others were
/// `known`: those that belong to the first of the known ones for ten that goes as far. Where none does, the last, with as many times its
/// budget as the rule for ten has.
pub fn carried_wide(known: &[CalibrationPoint], points: &[CalibrationPoint]) -> Vec<CalibrationPoint> {
    let ten: Vec<&CalibrationPoint> = known.iter().filter(|known| known.k == USUAL_K as u32).collect();
    let carry = |k: usize, point: &CalibrationPoint| {
        let goes_as_far =
            |known: &&&CalibrationPoint| known.difference >= point.difference && known.row_share >= point.row_share;
        let base = ten.iter().find(goes_as_far);
        let last = ten.last()?;
        let wide = known.iter().find(|known| known.k == k as u32 && known.recall == base.unwrap_or(last).recall)?;
        let mut carried = CalibrationPoint { recall: point.recall, ..*wide };
        if base.is_none() {
            let times = (point.row_share / last.row_share).max(1.0);
            carried.row_share = (wide.row_share * times).min(1.0);
            carried.difference = if point.difference > last.difference { f32::INFINITY } else { wide.difference };
        }
        Some(carried)
    };
    WIDE_KS.iter().flat_map(|&k| points.iter().filter_map(move |point| carry(k, point))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Mark;

    /// Buckets of which each has a hundredth of all codes.
    const BUCKETS: u32 = 100;

    /// A trace whose neighbours are found in buckets `from` on, `each` in one.
    fn trace(from: u32, each: u32, count: u32) -> Trace {
        let mark = |step: u32| {
            let share = step as f32 / BUCKETS as f32;
            Mark { step, gap: step as f32, share, spent: share }
        };
        Trace { marks: (0..BUCKETS).map(mark).collect(), found: (0..count).map(|n| from + n / each + 1).collect() }
    }

    /// Rows whose ten nearest are in buckets up to 39, and their next in as many buckets more as `further` says.
    fn ways(further: u32) -> Vec<Ways> {
        let way = |at: u32| {
            let near = [trace(at % 40, 10, 10), trace(at % 40, 10, 20)];
            let far = trace(at % 40 + further, 10, 20);
            near.into_iter().chain(std::iter::repeat_n(far, WIDE_KS.len() - 1)).collect::<Vec<_>>().try_into().unwrap()
        };
        (0..400).map(way).collect()
    }

    fn points(ways: &[Ways]) -> Vec<CalibrationPoint> {
        let ten = Tried::all(ways.iter().map(|ways| &ways[0]).collect(), all_found);
        let point = |recall| {
            let (difference, row_share) = ten.cheapest(recall).unwrap();
            CalibrationPoint { k: 10, recall, difference, row_share }
        };
        [0.5, 0.8, 0.9].map(point).to_vec()
    }

    #[test]
    fn more_neighbours_get_what_they_take_to_be_found_as_well() {
        let ways = ways(20);
        let points = points(&ways);
        let wide = fit_wide(&points, &ways);
        assert_eq!(wide.len(), 3 * WIDE_KS.len());
        let tried = |at: usize| Tried::all(ways.iter().map(|ways| &ways[at]).collect(), all_found);
        for (at, &k) in WIDE_KS.iter().enumerate() {
            for (point, ten) in wide.iter().filter(|point| point.k == k as u32).zip(&points) {
                let found =
                    |at: usize, point: &CalibrationPoint| tried(at).outcome((point.difference, point.row_share));
                let (wide, ten) = (found(1 + at, point), found(0, ten));
                assert!(wide.mean >= ten.mean, "{k}: {wide:?} {ten:?}");
                assert!(k == WIDE_KS[0] || wide.cost > ten.cost + 0.15, "twenty buckets further on, or more");
            }
        }
    }

    #[test]
    fn where_ten_are_asked_for_with_more_care_more_are_so_too() {
        let ways = ways(20);
        let mut points = points(&ways);
        let usual = fit_wide(&points, &ways);
        points.iter_mut().for_each(|point| (point.difference, point.row_share) = (f32::INFINITY, 0.45));
        let careful = fit_wide(&points, &ways);
        let cost = |point: &CalibrationPoint| point.row_share.min(point.difference / BUCKETS as f32);
        assert!(
            usual.iter().zip(&careful).all(|(usual, careful)| cost(careful) > cost(usual)),
            "{usual:?} {careful:?}"
        );
    }

    #[test]
    fn the_nearest_alone_may_be_found_sooner() {
        let traces: Vec<Trace> = (0..400).map(|at| trace(at % 20, 1, 10)).collect();
        let traces: Vec<&Trace> = traces.iter().collect();
        let ten = Tried::all(traces.clone(), all_found);
        let (difference, row_share) = ten.cheapest(0.9).unwrap();
        let points = [CalibrationPoint { k: 10, recall: 0.9, difference, row_share }];
        let one = fit_nearest(&points, &traces);
        assert_eq!((one.len(), one[0].k), (1, 1));
        let cost = |point: &CalibrationPoint| ten.outcome((point.difference, point.row_share)).cost;
        assert!(cost(&one[0]) < 0.85 * cost(&points[0]), "{one:?} {points:?}");
    }

    #[test]
    fn known_rules_for_more_neighbours_go_with_those_for_ten_that_go_as_far() {
        let point = |k, recall, difference, row_share| CalibrationPoint { k, recall, difference, row_share };
        let mut known = vec![point(10, 0.8, 1.0, 0.1), point(10, 0.9, 2.0, 0.2)];
        known.extend(WIDE_KS.iter().flat_map(|&k| [point(k as u32, 0.8, 3.0, 0.3), point(k as u32, 0.9, 4.0, 0.4)]));
        let carried = |difference, row_share| carried_wide(&known, &[point(10, 0.7, difference, row_share)]);
        assert_eq!(carried(1.0, 0.1), WIDE_KS.map(|k| point(k as u32, 0.7, 3.0, 0.3)));
        assert_eq!(carried(0.5, 0.15), WIDE_KS.map(|k| point(k as u32, 0.7, 4.0, 0.4)), "both limits");
        let beyond = WIDE_KS.map(|k| point(k as u32, 0.7, f32::INFINITY, 0.8));
        assert_eq!(carried(2.5, 0.4), beyond, "none goes as far: twice the budget of the last");
    }
}
