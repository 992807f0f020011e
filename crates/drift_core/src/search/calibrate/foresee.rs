//! Foretells what those who ask after a change find, and learns from who came.
//!
//! Layer 6, pure: what is learned is in [`Foresight`](crate::state::Foresight).

use super::fit;
use super::outcomes::estimate;
use crate::state::{Forecast, RecallLog, Trace, USUAL_K};

/// Recall asked for whose rule is foretold: it misses enough for those who ask to be told apart.
const FORETOLD: f32 = 0.9;

/// What those who ask next find, if they are like those before and if they are like the newest rows, by the rules just fitted; none where
/// there are too few of either.
pub fn forecast(log: &RecallLog) -> Option<Forecast> {
    let point = log.base.iter().find(|point| point.k == USUAL_K as u32 && point.recall == FORETOLD)?;
    let rule = (point.difference, point.row_share);
    let is_known = log.live.len() >= fit::FRESH_ENOUGH && log.newest.len() >= fit::FRESH_ENOUGH;
    is_known.then(|| Forecast {
        rule,
        before: estimate(&live(log, log.live.len()), rule),
        newest: estimate(&log.newest.iter().collect::<Vec<_>>(), rule),
    })
}

/// Learns from those who came since the last forecast, if they are enough.
pub fn learn(log: &mut RecallLog) {
    let Some(forecast) = log.forecast.take().filter(|_| log.fresh >= fit::FRESH_ENOUGH) else { return };
    let came = estimate(&live(log, log.fresh), forecast.rule);
    log.foresight.learn(&forecast, came);
}

/// Traces of the newest `count` live queries.
fn live(log: &RecallLog, count: usize) -> Vec<&Trace> {
    log.live.iter().rev().take(count).map(|(_, trace)| trace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::CalibrationPoint;
    use crate::state::Mark;

    /// A trace whose neighbours are found in a bucket, each with a tenth of the codes.
    fn trace(bucket: u32) -> Trace {
        let mark = |step: u32| Mark { step, gap: step as f32, share: step as f32 / 10.0, spent: step as f32 / 10.0 };
        Trace { marks: (0..10).map(mark).collect(), found: (0..10).map(|n| if n < 9 { 1 } else { bucket }).collect() }
    }

    /// A log after a change: queries before that find all in two buckets, newest rows that find nine of ten, and as many who came since who are
    /// like either.
    fn log(fresh: usize, come: u32) -> RecallLog {
        let mut log = RecallLog::default();
        let rule = |recall| CalibrationPoint { k: USUAL_K as u32, recall, difference: 1.0, row_share: 1.0 };
        log.base = vec![rule(0.8), rule(0.9)];
        // A few of the others, as an estimate without an error proves nothing.
        let mixed = |n: usize, usual: u32, other: u32| trace(if n.is_multiple_of(10) { other } else { usual });
        log.newest = (0..200).map(|n| mixed(n, 5, 2)).collect();
        (0..200).for_each(|n| log.add_live(Vec::new(), mixed(n, 2, 5), 0));
        log.fresh = 0;
        log.forecast = forecast(&log);
        (0..fresh).for_each(|n| log.add_live(Vec::new(), mixed(n, come, 7 - come), 0));
        log
    }

    #[test]
    fn queries_of_before_and_newest_rows_are_foretold_by_the_rule_in_force() {
        let forecast = log(0, 2).forecast.unwrap_or_else(|| panic!("there are enough of both"));
        assert!((forecast.before.mean - 0.99).abs() < 1e-3 && (forecast.newest.mean - 0.91).abs() < 1e-3);
        let mut few = log(0, 2);
        few.newest.truncate(fit::FRESH_ENOUGH - 1);
        assert!(super::forecast(&few).is_none());
    }

    #[test]
    fn those_who_came_tell_who_comes_next() {
        let share = |fresh, come| {
            let mut log = log(fresh, come);
            learn(&mut log);
            assert!(log.forecast.is_none(), "a forecast is judged once");
            log.foresight.newest_share()
        };
        assert!(share(128, 2) < 0.25, "who asked before");
        assert!(share(128, 5) > 0.75, "who asks for what came last");
        assert_eq!(share(fit::FRESH_ENOUGH - 1, 2), 0.5, "too few");
    }
}
