//! How far a search goes for a recall target: a score difference and a row budget, jointly, per target.
//!
//! Layer 5. The pair is measured on sampled rows when an index is built and after it has grown (`search::calibrate`);
//! it is derived data, kept in the manifest so that reopening does not measure again. A search stops when the next
//! bucket's score exceeds the current k-th estimate by more than the difference, or when the budget is spent. Both are widened for
//! a query whose neighbours are farther away than those of nearly all rows: a query from where there are no rows (any more) meets many
//! buckets at about the same distance, and the rules of rows stop far too early for it.

use crate::manifest::CalibrationPoint;

/// When a search stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StopRule {
    /// Largest (bucket score - k-th distance) that is still scanned, in units of the engine's own distance.
    pub difference: f32,
    /// Rows after which the search stops whatever the difference.
    pub rows: u64,
    /// Distance of a near neighbour, see [`StopRule::far`], beyond which both are widened; infinite for never.
    pub usual: f32,
    /// Whether as many rows as are wanted must be known before the budget counts: without a filter nothing else sees to them.
    pub fills: bool,
}

impl StopRule {
    /// Scans everything.
    pub const ALL: StopRule =
        StopRule { difference: f32::INFINITY, rows: u64::MAX, usual: f32::INFINITY, fills: false };

    /// Whether a search goes on that has scanned `codes` and has its rows at `reached`, when the next bucket's score is
    /// `score`.
    #[inline]
    pub fn goes_on(&self, score: f32, reached: Reached, codes: u64) -> bool {
        let widening = widening(reached.near, self.usual);
        gap(score, reached.threshold, widening) <= self.difference && !self.is_spent(reached, codes)
    }

    /// Whether the budget is spent.
    #[inline]
    pub fn is_spent(&self, reached: Reached, codes: u64) -> bool {
        codes as f32 >= self.rows as f32 * widening(reached.near, self.usual)
            && !(self.fills && reached.threshold == f32::INFINITY)
    }
}

/// How near the best rows of a search are so far.
#[derive(Clone, Copy, Debug)]
pub struct Reached {
    /// Distance of the k-th; infinite while there are fewer.
    pub threshold: f32,
    /// Distance of the k-th or, of more than [`USUAL_K_MAX`], of the [`USUAL_K`]-th: what is compared with the usual one.
    pub near: f32,
}

/// How many times as far, and as much, is searched for a query whose k-th row is at `threshold`: the cube of how many times as
/// far that is as `usual`, which strangers need and others do not notice (docs/decisions/0009-strangers.md).
#[inline]
pub fn widening(threshold: f32, usual: f32) -> f32 {
    let far = threshold / usual;
    if far > 1.0 && far < f32::INFINITY { (far * far * far).min(WIDENING_MAX) } else { 1.0 }
}

/// Largest [`widening`]: by then everything is searched.
const WIDENING_MAX: f32 = 1e6;

/// By how much a bucket's score exceeds the k-th distance, in what the rules count for a query that is widened for.
#[inline]
pub fn gap(score: f32, threshold: f32, widening: f32) -> f32 {
    let gap = score - threshold;
    if gap > 0.0 { gap / widening } else { gap * widening }
}

/// Collections of at most this many flushed rows are scanned whole: they are few enough to read (80 us at d = 384), and a
/// sample of them says little.
pub const SCAN_ALL_ROWS: u64 = 1_000;

/// The neighbour whose distance is known to be usual or not, counted from 1.
pub const USUAL_K: usize = 10;

/// Neighbours wanted up to which the distance of the last of them tells as well which queries are far.
pub const USUAL_K_MAX: usize = 20;

/// Codes that each neighbour beyond [`USUAL_K`] is given at least: where the rows that queries want lie together, budgets are
/// hardly larger than what is wanted.
const CODES_PER_NEIGHBOUR: u64 = 4;

/// Share of the live rows that must have come into other buckets for rules not to hold: jobs that move as many are followed by
/// a measurement at once.
const STALE_SHARE: f64 = 0.3;

/// [`Calibration::spare`] where no number of rows would do.
pub const BLURRED: u32 = u32::MAX;

/// Stop rules of an index, ascending by recall.
#[derive(Clone, Debug)]
pub struct Calibration {
    points: Vec<CalibrationPoint>,
    /// Codes that there were to scan when the points were measured.
    codes: u64,
    /// See [`StopRule::usual`].
    usual: f32,
    /// See [`Calibration::spare`].
    spare: u32,
    /// Live rows when the points were measured; 0 where that is not known.
    live: u64,
    /// Rows that have come into other buckets since.
    moved: u64,
}

impl Default for Calibration {
    fn default() -> Calibration {
        Calibration::new(Vec::new(), 0, 0.0, 0)
    }
}

impl Calibration {
    /// From points, ascending by recall, that were measured among `codes` codes, for rows whose tenth neighbours are mostly within
    /// `usual`, if that is known; `spare` is [`Calibration::spare`].
    pub fn new(points: Vec<CalibrationPoint>, codes: u64, usual: f32, spare: u32) -> Calibration {
        Calibration { points, codes, usual: if usual > 0.0 { usual } else { f32::INFINITY }, spare, live: 0, moved: 0 }
    }

    /// The same, measured among `live` rows, of which `moved` have come into other buckets since.
    pub fn measured(self, live: u64, moved: u64) -> Calibration {
        Calibration { live, moved, ..self }
    }

    /// The same after so many more rows have come into other buckets.
    pub fn moved_on(&self, rows: u64) -> Calibration {
        Calibration { moved: self.moved + rows, ..self.clone() }
    }

    /// Whether so many rows have come into other buckets since that the rules do not hold.
    pub fn is_stale(&self) -> bool {
        self.live > 0 && self.moved as f64 >= STALE_SHARE * self.live as f64
    }

    /// See [`Calibration::measured`].
    pub fn live(&self) -> u64 {
        self.live
    }

    /// See [`Calibration::measured`].
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Rows that must be measured exactly beside the ten nearest by SQ8 so that the ten nearest are among them, where it takes
    /// more than usual; 0 where it does not, and [`BLURRED`] where codes do not tell near rows apart.
    pub fn spare(&self) -> u32 {
        self.spare
    }

    /// See [`StopRule::usual`].
    pub fn usual(&self) -> f32 {
        self.usual
    }

    /// The rule for a target in (0, 1] among `codes` codes to scan, for the `k` nearest: the first measured point at or
    /// above the target. Above the highest one, or where nothing was measured, everything is scanned. The budget was
    /// measured for ten neighbours and grows with the square root of `k`, and, until it is measured again, with that of the
    /// codes; it does not shrink with them, for codes that go are seldom ones that were scanned in vain. Of `live` rows where
    /// there were more, each is found among more dead ones. Once many rows are in other buckets, and until it is measured how
    /// far searches must go through these, no difference holds, and budgets are doubled. Where all buckets were defined anew, or
    /// most rows are gone, nothing that was measured says anything, and everything is scanned until then.
    pub fn rule(&self, recall: f32, k: usize, codes: u64, live: u64) -> StopRule {
        let Some(point) = self.points.iter().find(|point| point.recall >= recall - 1e-6) else { return StopRule::ALL };
        let growth = (codes as f64 / self.codes.max(1) as f64).max(1.0).sqrt();
        let scale = (k as f64 / USUAL_K as f64).max(1.0).sqrt() * growth;
        if self.live > 0 && (self.moved >= self.live || live < self.live / 2) {
            return StopRule::ALL;
        }
        let is_stale = self.is_stale();
        let scale = scale * (self.live as f64 / live.max(1) as f64).max(1.0) * if is_stale { 2.0 } else { 1.0 };
        let more = CODES_PER_NEIGHBOUR * k.saturating_sub(USUAL_K) as u64;
        StopRule {
            difference: if is_stale { f32::INFINITY } else { point.difference },
            rows: (f64::from(point.row_share) * self.codes as f64 * scale).ceil() as u64 + more,
            usual: self.usual,
            fills: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_widened_for_far_queries_alone_and_at_any_scale() {
        let at = |threshold: f32| Reached { threshold, near: threshold };
        for scale in [1e-6f32, 1.0, 1e6] {
            let rule = StopRule { difference: 2.0 * scale, rows: 100, usual: scale, fills: true };
            let (near, far) = (at(0.5 * scale), at(2.0 * scale));
            assert!(rule.goes_on(2.5 * scale, near, 99) && !rule.goes_on(2.6 * scale, near, 99));
            assert!(rule.goes_on(17.9 * scale, far, 799) && !rule.goes_on(18.1 * scale, far, 799));
            assert!(!rule.goes_on(2.5 * scale, far, 800), "the budget is eight times as large, not more");
            let close = StopRule { difference: -scale, ..rule };
            assert!(close.goes_on(1.4 * scale, far, 0), "farther than usual is never stopped earlier");
            assert!(!close.goes_on(0.6 * scale, at(0.9 * scale), 0));
        }
        assert!(StopRule::ALL.goes_on(f32::MAX, at(1.0), 1 << 40));
        assert_eq!(widening(f32::INFINITY, 1.0), 1.0, "no row is known yet");
        assert_eq!(widening(5.0, f32::INFINITY), 1.0);
    }

    #[test]
    fn a_budget_counts_once_as_many_rows_as_are_wanted_are_known() {
        let rule = StopRule { difference: 1.0, rows: 100, usual: f32::INFINITY, fills: true };
        let none = Reached { threshold: f32::INFINITY, near: f32::INFINITY };
        assert!(rule.goes_on(5.0, none, 1_000) && !StopRule { fills: false, ..rule }.goes_on(5.0, none, 1_000));
        assert!(rule.is_spent(Reached { threshold: 1.0, near: 1.0 }, 100));
    }

    #[test]
    fn budgets_grow_with_the_neighbours_wanted() {
        let point = CalibrationPoint { recall: 0.9, difference: 1.0, row_share: 0.01 };
        let rules = Calibration::new(vec![point], 1_000, 0.0, 0);
        let budgets = [1, 10, 40, 100].map(|k| rules.rule(0.9, k, 1_000, 500).rows);
        assert_eq!(budgets, [10, 10, 140, 392], "ten codes for ten neighbours cannot hold a hundred");
    }

    #[test]
    fn rules_give_way_to_deletes_and_to_other_buckets_until_they_are_measured_again() {
        let point = CalibrationPoint { recall: 0.9, difference: 1.0, row_share: 0.01 };
        let rules = Calibration::new(vec![point], 1_000, 0.0, 0).measured(800, 0);
        let rule = |rules: &Calibration, live| rules.rule(0.9, 10, 1_000, live);
        assert_eq!([900, 800, 640, 400].map(|live| rule(&rules, live).rows), [10, 10, 13, 20]);
        assert_eq!([rule(&rules, 399), rule(&rules.moved_on(800), 800)], [StopRule::ALL; 2]);
        let (little, much) = (rules.moved_on(200), rules.moved_on(200).moved_on(100));
        assert!(!little.is_stale() && much.is_stale());
        assert_eq!((rule(&little, 800).rows, rule(&little, 800).difference), (10, 1.0));
        assert_eq!((rule(&much, 800).rows, rule(&much, 800).difference), (20, f32::INFINITY));
    }
}
