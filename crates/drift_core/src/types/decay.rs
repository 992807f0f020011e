//! Ranking by distance and age.
//!
//! Layer 0. A row's ranking value is its distance plus `weight (1 - 2^(-age / half_life))`: a penalty of 0 for a row of the
//! moment that ages count from, or of later, of half the weight after one half-life, and of the whole weight for a row without
//! a time. It is in units of the distance, so it means the same under every metric, also where distances are negative.

use crate::error::{Error, Result};

/// How rows are ranked by age.
#[derive(Clone, Debug, PartialEq)]
pub struct Decay {
    /// Timestamp field that ages are told by.
    pub field: String,
    /// Age, in microseconds, at which the penalty is half the weight.
    pub half_life: f64,
    /// Penalty of a row of infinite age.
    pub weight: f32,
    /// What ages count up to, microseconds since 1970 UTC.
    pub at: i64,
}

impl Decay {
    /// Checks every bound; the error names the option, its value and its range.
    pub fn validate(&self) -> Result<()> {
        if !(self.half_life > 0.0 && self.half_life.is_finite()) {
            return Err(Error::invalid(format!("half_life is {} microseconds: it must be above 0", self.half_life)));
        }
        if !(self.weight > 0.0 && self.weight.is_finite()) {
            return Err(Error::invalid(format!("weight is {}: it must be above 0", self.weight)));
        }
        Ok(())
    }

    /// What a row of this time is ranked behind its distance.
    pub fn penalty(&self, time: Option<i64>) -> f32 {
        let Some(time) = time else { return self.weight };
        let age = (i128::from(self.at) - i128::from(time)).max(0) as f64;
        (f64::from(self.weight) * (1.0 - (-age / self.half_life).exp2())) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_penalty_halves_its_distance_to_the_weight_with_each_half_life() {
        let decay = Decay { field: "at".to_owned(), half_life: 10.0, weight: 2.0, at: 100 };
        let penalties = [Some(200), Some(100), Some(90), Some(80), None].map(|time| decay.penalty(time));
        assert_eq!(penalties, [0.0, 0.0, 1.0, 1.5, 2.0]);
        assert!(decay.penalty(Some(i64::MIN)) <= 2.0);
        assert!(decay.validate().is_ok());
        for (half_life, weight) in [(0.0, 1.0), (f64::NAN, 1.0), (1.0, 0.0), (1.0, f32::INFINITY)] {
            assert!(Decay { half_life, weight, ..decay.clone() }.validate().is_err());
        }
    }
}
