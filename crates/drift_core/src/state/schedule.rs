//! When background jobs may run, and how much of the machine they may take.
//!
//! Layer 5. Flushes, fsyncs and the measuring that keeps recall are not jobs in this sense: they always run.

use crate::error::{Error, Result};
use crate::sync::Mutex;
use std::time::Duration;

const HOUR: u64 = 3600;

/// Limits of background jobs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Share of one core, in (0, 1]: after a job of `t` seconds comes a pause of `t (1 / share - 1)`.
    pub share: f64,
    /// Rows moved or written per second, at most; no limit when none.
    pub rows_per_second: Option<u64>,
    /// Bytes written per second, at most; no limit when none.
    pub bytes_per_second: Option<u64>,
    /// Hours of the day, UTC, from the first up to but without the second, in which no job begins.
    pub quiet_hours: Option<(u8, u8)>,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { share: 0.5, rows_per_second: None, bytes_per_second: None, quiet_hours: None }
    }
}

impl Budget {
    /// Checks every bound; the error names the setting, its value and its range.
    pub fn validate(&self) -> Result<()> {
        if !(self.share > 0.0 && self.share <= 1.0) {
            return Err(Error::invalid(format!("share is {}: it must be above 0 and at most 1", self.share)));
        }
        if self.rows_per_second == Some(0) || self.bytes_per_second == Some(0) {
            return Err(Error::invalid(
                "rows_per_second and bytes_per_second must be at least 1, or None for no limit",
            ));
        }
        if let Some((from, to)) = self.quiet_hours.filter(|(from, to)| *from > 23 || *to > 23 || from == to) {
            return Err(Error::invalid(format!(
                "quiet_hours is ({from}, {to}): give two different hours from 0 to 23 (UTC)"
            )));
        }
        Ok(())
    }

    /// How long no job may begin after one that took so long and moved so much.
    pub fn pause_after(&self, took: Duration, rows: u64, bytes: u64) -> Duration {
        let per = |count: u64, limit: Option<u64>| limit.map_or(0.0, |limit| count as f64 / limit as f64);
        let by_time = took.as_secs_f64() * (1.0 / self.share - 1.0);
        let by_amount = per(rows, self.rows_per_second).max(per(bytes, self.bytes_per_second)) - took.as_secs_f64();
        Duration::try_from_secs_f64(by_time.max(by_amount).max(0.0)).unwrap_or(Duration::MAX)
    }

    /// How long, from the time `wall` since 1970, until the quiet hours end; zero outside of them.
    pub fn quiet_for(&self, wall: Duration) -> Duration {
        let Some((from, to)) = self.quiet_hours else { return Duration::ZERO };
        let (from, to) = (u64::from(from), u64::from(to));
        let second = wall.as_secs() % (24 * HOUR);
        let since_start = (second + (24 - from) * HOUR) % (24 * HOUR);
        let length = (to + 24 - from) % 24 * HOUR;
        Duration::from_secs(length.saturating_sub(since_start))
    }
}

/// The budget in force, and whether jobs are paused.
#[derive(Debug, Default)]
pub struct Schedule {
    state: Mutex<(Budget, bool)>,
}

impl Schedule {
    /// With a budget that was validated.
    pub fn new(budget: Budget) -> Schedule {
        Schedule { state: Mutex::new((budget, false)) }
    }

    /// The budget.
    pub fn budget(&self) -> Budget {
        self.state.lock().0
    }

    /// Replaces the budget.
    pub fn set_budget(&self, budget: Budget) -> Result<()> {
        budget.validate()?;
        self.state.lock().0 = budget;
        Ok(())
    }

    /// Whether jobs are paused.
    pub fn is_paused(&self) -> bool {
        self.state.lock().1
    }

    /// Lets no further job begin, or lets them again.
    pub fn set_paused(&self, paused: bool) {
        self.state.lock().1 = paused;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_earns_its_pause() {
        let second = Duration::from_secs(1);
        let budget = Budget { share: 0.25, rows_per_second: Some(100), ..Budget::default() };
        assert_eq!(budget.pause_after(second, 0, 0), 3 * second);
        assert_eq!(budget.pause_after(second, 1_000, 0), 9 * second);
        assert_eq!(Budget { share: 1.0, ..Budget::default() }.pause_after(second, 9, 9), Duration::ZERO);
    }

    #[test]
    fn quiet_hours_end_also_behind_midnight() {
        let at = |hour: u64| Duration::from_secs(HOUR * (24 * 20_000 + hour));
        let quiet = |from, to| Budget { quiet_hours: Some((from, to)), ..Budget::default() };
        assert_eq!(quiet(9, 17).quiet_for(at(8)), Duration::ZERO);
        assert_eq!(quiet(9, 17).quiet_for(at(10)), Duration::from_secs(7 * HOUR));
        assert_eq!(quiet(22, 6).quiet_for(at(23)), Duration::from_secs(7 * HOUR));
        assert_eq!(quiet(22, 6).quiet_for(at(5)), Duration::from_secs(HOUR));
        assert_eq!(quiet(22, 6).quiet_for(at(6)), Duration::ZERO);
        assert!(quiet(5, 5).validate().is_err() && quiet(5, 24).validate().is_err());
        assert!(Budget { share: f64::NAN, ..Budget::default() }.validate().is_err());
    }
}
