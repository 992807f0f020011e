//! How far a search goes for a recall target: a score difference and a row budget, jointly, per target.
//!
//! Layer 5. The pair is measured on sampled rows when an index is built and after it has grown (`search::calibrate`);
//! it is derived data, kept in the manifest so that reopening does not measure again. A search stops when the next
//! bucket's score exceeds the current k-th estimate by more than the difference, or when the budget is spent. Both are widened for
//! a query whose neighbours are farther away than those of nearly all rows: a query from where there are no rows (any more) meets many
//! buckets at about the same distance, and the rules of rows stop far too early for it.

use crate::manifest::{CalibrationPoint, Manifest};

/// When a search stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StopRule {
    /// Largest (bucket score - k-th distance) that is still scanned, in units of the engine's own distance.
    pub difference: f32,
    /// Rows after which the search stops whatever the difference.
    pub rows: u64,
    /// Distance of a near neighbour, see [`Reached::near`], beyond which both are widened; infinite for never.
    pub usual: f32,
    /// Whether as many rows as are wanted must be known before the budget counts: without a filter nothing else sees to them.
    pub fills: bool,
}

impl StopRule {
    /// Scans everything, by the codes that tell most.
    pub const ALL: StopRule =
        StopRule { difference: f32::INFINITY, rows: u64::MAX, usual: f32::INFINITY, fills: false };

    /// Scans every bucket, by the codes that searches begin with.
    pub const ALL_BUCKETS: StopRule = StopRule { fills: true, ..StopRule::ALL };

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
    /// Distance of the [`USUAL_K`]-th, or of the k-th if that is nearer: what is compared with the usual one.
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

/// Numbers of neighbours, beside one and [`USUAL_K`], that rules are measured for, ascending.
pub const WIDE_KS: [usize; 6] = [20, 35, 60, 100, 200, 400];

/// Budgets grow with this power of the neighbours beyond those that rules were measured for, or with that with which they have grown up to
/// there, from a quarter as many on, up to the other.
const GROWTH_MIN: f64 = 0.5;
const GROWTH_MAX: f64 = 1.0;

/// Codes that each neighbour beyond those that rules were measured for is given at least: where the rows that queries want lie together,
/// budgets are hardly larger than what is wanted.
const CODES_PER_NEIGHBOUR: u64 = 4;

/// Share of the rows that have come since the rules were measured from which on these are doubted, and from which on they say
/// nothing: as many as let the background measure anew, when it is at rest and in any case. That takes it a moment.
pub(super) const DOUBTED_SHARE: f64 = 0.1;
const VOID_SHARE: f64 = 0.3;

/// The recall whose rule is to be followed for one of `recall`, when such a share of the rows has come since rules were measured.
pub fn doubted(recall: f32, share: f64) -> f32 {
    let doubt = ((share - DOUBTED_SHARE) / (VOID_SHARE - DOUBTED_SHARE)).clamp(0.0, 1.0) as f32;
    recall + doubt * (1.0 - recall)
}

/// [`Calibration::spare`] where no number of rows would do.
pub const BLURRED: u32 = u32::MAX;

/// Stop rules of an index.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// By number of neighbours and, within one, by recall; ascending.
    points: Vec<CalibrationPoint>,
    /// The numbers of neighbours, and where the points of each end.
    measured: Vec<(u32, usize)>,
    /// Codes that there were to scan when the points were measured.
    codes: u64,
    /// See [`StopRule::usual`].
    usual: f32,
    /// See [`Calibration::spare`].
    spare: u32,
}

impl Default for Calibration {
    fn default() -> Calibration {
        Calibration::new(Vec::new(), 0, 0.0, 0)
    }
}

impl Calibration {
    /// What a manifest keeps.
    pub fn of(manifest: &Manifest) -> Calibration {
        let points = manifest.calibration.clone();
        Calibration::new(points, manifest.calibrated_codes, manifest.usual_distance, manifest.spare_rows)
    }

    /// From points that were measured among `codes` codes, for rows whose tenth neighbours are mostly within
    /// `usual`, if that is known; `spare` is [`Calibration::spare`].
    fn new(mut points: Vec<CalibrationPoint>, codes: u64, usual: f32, spare: u32) -> Calibration {
        points.sort_by(|a, b| a.k.cmp(&b.k).then(a.recall.total_cmp(&b.recall)));
        let mut end = 0;
        let measured = points.chunk_by(|a, b| a.k == b.k).map(|points| {
            end += points.len();
            (points[0].k, end)
        });
        let measured = measured.collect();
        Calibration { points, measured, codes, usual: if usual > 0.0 { usual } else { f32::INFINITY }, spare }
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

    /// The measured points.
    pub fn points(&self) -> &[CalibrationPoint] {
        &self.points
    }

    /// The rule for a target in (0, 1] among `codes` codes to scan, for the `k` nearest: the first measured point at or
    /// above the target; between two numbers of neighbours that were measured, what neither would stop. Above the highest target,
    /// or where nothing was measured, everything is scanned. Beyond the neighbours that were measured the budget grows as it has up to
    /// them, and, until it is measured again, with the square root of the codes; it does not shrink with them, for codes that go are seldom
    /// ones that were scanned in vain.
    pub fn rule(&self, recall: f32, k: usize, codes: u64) -> StopRule {
        let Some(point) = self.point(recall, k as u32) else { return StopRule::ALL };
        let growth = (codes as f64 / self.codes.max(1) as f64).max(1.0).sqrt();
        let beyond = k.saturating_sub(point.k as usize);
        let times = (point.k as usize + beyond) as f64 / f64::from(point.k);
        let scale = if beyond == 0 { growth } else { growth * times.powf(self.growth(recall, &point)) };
        StopRule {
            // Where the ones that were measured lie together, the next may be in another region.
            difference: if beyond > 0 && point.k > USUAL_K as u32 { f32::INFINITY } else { point.difference },
            rows: (f64::from(point.row_share) * self.codes as f64 * scale).ceil() as u64
                + CODES_PER_NEIGHBOUR * beyond as u64,
            usual: self.usual,
            fills: true,
        }
    }

    /// The power of the neighbours with which budgets grow beyond `point`, which is for the most that were measured.
    fn growth(&self, recall: f32, point: &CalibrationPoint) -> f64 {
        let is_measured = |k: u32| self.measured.iter().any(|(measured, _)| *measured == k);
        let before = is_measured(point.k / 4).then(|| self.point(recall, point.k / 4)).flatten();
        let grown = before.map_or(1.0, |before| f64::from(point.row_share) / f64::from(before.row_share));
        (grown.ln() / 4f64.ln()).clamp(GROWTH_MIN, GROWTH_MAX)
    }

    /// What is known of a target for the `k` nearest, or for the most below that were measured.
    fn point(&self, recall: f32, k: u32) -> Option<CalibrationPoint> {
        let above = self.measured.partition_point(|(measured, _)| *measured < k);
        let is_measured = self.measured.get(above).is_some_and(|(measured, _)| *measured == k);
        let at = |place: usize| {
            let begin = place.checked_sub(1).map_or(0, |before| self.measured[before].1);
            let points = &self.points[begin..self.measured.get(place)?.1];
            points.get(points.partition_point(|point| point.recall < recall - 1e-6))
        };
        match above.checked_sub(1) {
            Some(below) if above == self.measured.len() => at(below).copied(),
            Some(below) if !is_measured => Some(at(below)?.with(at(above)?, k)),
            _ => at(above).copied(),
        }
    }
}

impl CalibrationPoint {
    /// The point for `k` neighbours, between this one and one for more: what neither would stop. One of them may be held by its difference
    /// and the other by its budget, so that what lies between both limits would stop before either.
    fn with(&self, other: &CalibrationPoint, k: u32) -> CalibrationPoint {
        let difference = self.difference.max(other.difference);
        CalibrationPoint { k, difference, row_share: self.row_share.max(other.row_share), ..*self }
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
        let point = CalibrationPoint { k: 10, recall: 0.9, difference: 1.0, row_share: 0.01 };
        let rules = Calibration::new(vec![point], 1_000, 0.0, 0);
        let budgets = [1, 10, 40, 100].map(|k| rules.rule(0.9, k, 1_000).rows);
        assert_eq!(budgets, [10, 10, 140, 392], "ten codes for ten neighbours cannot hold a hundred");
    }

    #[test]
    fn what_was_measured_for_more_neighbours_counts_for_them_and_towards_them() {
        let point = |k, recall, difference, row_share| CalibrationPoint { k, recall, difference, row_share };
        let points = vec![
            point(10, 0.9, 1.0, 0.01),
            point(10, 0.99, 2.0, 0.02),
            point(40, 0.9, 3.0, 0.04),
            point(40, 0.99, f32::INFINITY, 0.5),
        ];
        let rules = Calibration::new(points, 1_000, 0.0, 0);
        let rule = |recall, k| {
            let rule = rules.rule(recall, k, 1_000);
            (rule.difference, rule.rows)
        };
        assert_eq!([rule(0.9, 1), rule(0.9, 10), rule(0.9, 40)], [(1.0, 10), (1.0, 10), (3.0, 40)]);
        assert_eq!(rule(0.9, 20), (3.0, 40), "what neither would stop");
        assert_eq!(rule(0.9, 160), (f32::INFINITY, 160 + 480), "four times, as from ten to forty");
        assert_eq!(rule(0.95, 20), (f32::INFINITY, 500));
        assert_eq!(rules.rule(0.999, 40, 1_000), StopRule::ALL);
    }

    #[test]
    fn rules_are_doubted_the_more_rows_came_after_them() {
        let doubted = |share| doubted(0.9, share);
        assert_eq!([0.0, 0.1, 0.3, 5.0].map(doubted), [0.9, 0.9, 1.0, 1.0]);
        assert!((doubted(0.2) - 0.95).abs() < 1e-6);
    }
}
