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
    /// Distance of the k-th neighbour beyond which both are widened; infinite for never.
    pub usual: f32,
}

impl StopRule {
    /// Scans everything.
    pub const ALL: StopRule = StopRule { difference: f32::INFINITY, rows: u64::MAX, usual: f32::INFINITY };

    /// Whether a search goes on that has scanned `codes` and has its k-th row at `threshold`, when the next bucket's score
    /// is `score`.
    #[inline]
    pub fn goes_on(&self, score: f32, threshold: f32, codes: u64) -> bool {
        let widening = widening(threshold, self.usual);
        gap(score, threshold, widening) <= self.difference && !self.is_spent(threshold, codes)
    }

    /// Whether the budget is spent. It is not before there are `k` rows: among dead rows a search goes on until it has met
    /// as many live ones.
    #[inline]
    pub fn is_spent(&self, threshold: f32, codes: u64) -> bool {
        threshold < f32::INFINITY && codes as f32 >= self.rows as f32 * widening(threshold, self.usual)
    }
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

/// Neighbours up to which the usual distance, that of the tenth, tells which queries are far.
const USUAL_K_MAX: usize = 20;

/// Share of the rows that have come since the rules were measured from which on these are doubted, and from which on they say
/// nothing: as many as let the background measure anew, when it is at rest and in any case. That takes it a moment.
const DOUBTED_SHARE: f64 = 0.1;
const VOID_SHARE: f64 = 0.3;

/// The recall whose rule is to be followed for one of `recall`, when such a share of the rows has come since rules were measured.
pub fn doubted(recall: f32, share: f64) -> f32 {
    let doubt = ((share - DOUBTED_SHARE) / (VOID_SHARE - DOUBTED_SHARE)).clamp(0.0, 1.0) as f32;
    recall + doubt * (1.0 - recall)
}

/// Stop rules of an index, ascending by recall.
#[derive(Clone, Debug)]
pub struct Calibration {
    points: Vec<CalibrationPoint>,
    /// Codes that there were to scan when the points were measured.
    codes: u64,
    /// See [`StopRule::usual`].
    usual: f32,
}

impl Default for Calibration {
    fn default() -> Calibration {
        Calibration::new(Vec::new(), 0, 0.0)
    }
}

impl Calibration {
    /// From points, ascending by recall, that were measured among `codes` codes, for rows whose tenth neighbours are mostly within
    /// `usual`, if that is known.
    pub fn new(points: Vec<CalibrationPoint>, codes: u64, usual: f32) -> Calibration {
        Calibration { points, codes, usual: if usual > 0.0 { usual } else { f32::INFINITY } }
    }

    /// See [`StopRule::usual`].
    pub fn usual(&self) -> f32 {
        self.usual
    }

    /// The rule for a target in (0, 1] among `codes` codes to scan, for the `k` nearest: the first measured point at or
    /// above the target. Above the highest one, or where nothing was measured, everything is scanned. The budget was
    /// measured for ten neighbours and grows with the square root of `k`, and, until it is measured again, with that of the
    /// codes; it does not shrink with them, for codes that go are seldom ones that were scanned in vain.
    pub fn rule(&self, recall: f32, k: usize, codes: u64) -> StopRule {
        let Some(point) = self.points.iter().find(|point| point.recall >= recall - 1e-6) else { return StopRule::ALL };
        let growth = (codes as f64 / self.codes.max(1) as f64).max(1.0).sqrt();
        let scale = (k as f64 / 10.0).max(1.0).sqrt() * growth;
        StopRule {
            difference: point.difference,
            rows: (f64::from(point.row_share) * self.codes as f64 * scale).ceil() as u64,
            usual: if k <= USUAL_K_MAX { self.usual } else { f32::INFINITY },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_widened_for_far_queries_alone_and_at_any_scale() {
        for scale in [1e-6f32, 1.0, 1e6] {
            let rule = StopRule { difference: 2.0 * scale, rows: 100, usual: scale };
            assert!(rule.goes_on(2.5 * scale, 0.5 * scale, 99) && !rule.goes_on(2.6 * scale, 0.5 * scale, 99));
            assert!(rule.goes_on(17.9 * scale, 2.0 * scale, 799) && !rule.goes_on(18.1 * scale, 2.0 * scale, 799));
            assert!(!rule.goes_on(2.5 * scale, 2.0 * scale, 800), "the budget is eight times as large, not more");
            let close = StopRule { difference: -scale, ..rule };
            assert!(close.goes_on(1.4 * scale, 2.0 * scale, 0), "farther than usual is never stopped earlier");
            assert!(!close.goes_on(0.6 * scale, 0.9 * scale, 0));
        }
        assert!(StopRule::ALL.goes_on(f32::MAX, 1.0, 1 << 40));
        assert_eq!(widening(f32::INFINITY, 1.0), 1.0, "no row is known yet");
        let rule = StopRule { difference: 2.0, rows: 100, usual: 1.0 };
        assert!(rule.goes_on(1.0, f32::INFINITY, 1 << 40), "not before there are as many rows as are wanted");
        assert_eq!(widening(5.0, f32::INFINITY), 1.0);
    }
}
