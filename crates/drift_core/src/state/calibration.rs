//! How far a search goes for a recall target: a score difference and a row budget, jointly, per target.
//!
//! Layer 5. The pair is measured on sampled rows when an index is built and after it has grown (`search::calibrate`);
//! it is derived data, kept in the manifest so that reopening does not measure again. A search stops when the next
//! bucket's score exceeds the current k-th estimate by more than the difference, or when the budget is spent.

use crate::manifest::CalibrationPoint;

/// When a search stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StopRule {
    /// Largest (bucket score - k-th distance) that is still scanned, in units of the engine's own distance.
    pub difference: f32,
    /// Rows after which the search stops whatever the difference.
    pub rows: u64,
}

impl StopRule {
    /// Scans everything.
    pub const ALL: StopRule = StopRule { difference: f32::INFINITY, rows: u64::MAX };
}

/// Collections of at most this many flushed rows are scanned whole: they are few enough to read, and a sample
/// of them says little.
pub const SCAN_ALL_ROWS: u64 = 4_000;

/// Stop rules of an index, ascending by recall.
#[derive(Clone, Debug, Default)]
pub struct Calibration {
    points: Vec<CalibrationPoint>,
    /// Codes that there were to scan when the points were measured.
    codes: u64,
}

impl Calibration {
    /// From points, ascending by recall, that were measured among `codes` codes.
    pub fn new(points: Vec<CalibrationPoint>, codes: u64) -> Calibration {
        Calibration { points, codes }
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
        }
    }
}
