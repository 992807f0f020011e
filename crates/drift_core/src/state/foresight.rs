//! Who asks after rows have changed: those who asked before, or those who ask for what came last.
//!
//! Layer 5, pure. Some applications ask for what is new, others the same whatever is stored. Which of them this is shows in the queries
//! that come after each change: what they find lies somewhere between what queries of before would have found by the same rule, and
//! what rows that came last would have.

/// What the first guess, half and half, counts for: the inverse of its squared error.
const FIRST_GUESS: f64 = 8.0;

/// Part of what was learned that is left when something is learned again, as habits change.
const KEPT: f64 = 0.8;

/// Mean recall by some rule.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Its squared standard error.
    pub error2: f64,
}

/// By how much the share differs from one change to the next: however clear, one change is no more evidence than that allows.
const CHANGEABLE: f64 = 0.25;

/// Square of what a rule's recall changes by itself while rows come and move between a forecast and what is learned from it.
const DRIFT2: f64 = 0.005 * 0.005;

/// What those who ask after a change would find by one rule.
#[derive(Clone, Copy, Debug)]
pub struct Forecast {
    /// Largest difference and budget of the rule.
    pub rule: (f32, f32),
    /// If they asked what was asked before.
    pub before: Estimate,
    /// If they asked for what came last.
    pub newest: Estimate,
}

/// What was learned: a regression through the origin of how far the queries that came are from those of before, on how far the newest
/// rows are, in standard errors.
#[derive(Clone, Copy, Debug, Default)]
pub struct Foresight {
    products: f64,
    squares: f64,
}

impl Foresight {
    /// What an earlier handle has learned, by its [`sums`](Foresight::sums).
    pub fn of(products: f64, squares: f64) -> Foresight {
        Foresight { products, squares }
    }

    /// Sums of products and of squares: all that was learned.
    pub fn sums(&self) -> (f64, f64) {
        (self.products, self.squares)
    }

    /// Share of those who ask next that is to be taken to ask for what came last.
    pub fn newest_share(&self) -> f32 {
        let share = (0.5 * FIRST_GUESS + self.products) / (FIRST_GUESS + self.squares.max(0.0));
        share.clamp(0.0, 1.0) as f32
    }

    /// Squared error of that share.
    pub fn error2(&self) -> f32 {
        (1.0 / (FIRST_GUESS + self.squares.max(0.0))) as f32
    }

    /// Learns from what the queries that came have found by the rule of a forecast.
    pub fn learn(&mut self, forecast: &Forecast, came: Estimate) {
        let Forecast { before, newest, .. } = forecast;
        let (apart, went) = (newest.mean - before.mean, came.mean - before.mean);
        let error2 = before.error2 + newest.error2 + came.error2 + DRIFT2 + (CHANGEABLE * apart).powi(2);
        // Errors make squares, and that of the queries of before is in both differences: neither is to count as evidence.
        self.products = KEPT * self.products + (apart * went - before.error2) / error2;
        self.squares = KEPT * self.squares + (apart * apart - before.error2 - newest.error2) / error2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    fn estimate(mean: f64, error: f64) -> Estimate {
        Estimate { mean, error2: error * error }
    }

    /// The share after some changes, when a part of those who come ask for what came last.
    fn learned(part: f64, apart: f64, changes: usize) -> Foresight {
        let (mut foresight, mut rng) = (Foresight::default(), crate::clock::rng(3));
        for _ in 0..changes {
            let mut about = |mean: f64, error: f64| estimate(mean + error * 3.46 * (rng.random::<f64>() - 0.5), error);
            let forecast = Forecast { rule: (0.0, 1.0), before: about(0.9, 0.005), newest: about(0.9 + apart, 0.005) };
            let came = about(0.9 + part * apart, 0.01);
            foresight.learn(&forecast, came);
        }
        foresight
    }

    #[test]
    fn half_ask_for_what_came_last_until_others_are_known() {
        assert_eq!(Foresight::default().newest_share(), 0.5);
        let mut foresight = Foresight::default();
        let same = estimate(0.9, 0.0);
        foresight.learn(&Forecast { rule: (0.0, 1.0), before: same, newest: same }, same);
        assert_eq!(foresight.newest_share(), 0.5, "where both find the same there is nothing to tell by");
    }

    #[test]
    fn the_share_is_learned_from_those_who_came() {
        for part in [0.0, 0.3, 1.0] {
            let foresight = learned(part, 0.04, 20);
            assert!((f64::from(foresight.newest_share()) - part).abs() < 0.15, "{part}: {foresight:?}");
            assert!(foresight.error2() < 0.3 * Foresight::default().error2());
        }
    }

    #[test]
    fn no_change_is_so_clear_that_others_count_for_nothing() {
        let mut foresight = learned(0.0, 0.5, 20);
        for _ in 0..5 {
            foresight.learn(
                &Forecast { rule: (0.0, 1.0), before: estimate(0.9, 0.005), newest: estimate(0.85, 0.005) },
                estimate(0.85, 0.01),
            );
        }
        assert!(foresight.newest_share() > 0.4, "{foresight:?}");
    }

    #[test]
    fn chance_teaches_nothing() {
        let share = learned(0.0, 0.0, 200).newest_share();
        assert!((share - 0.5).abs() < 0.2, "{share}");
    }
}
