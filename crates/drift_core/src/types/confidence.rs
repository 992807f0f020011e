//! Expert overrides of how far a search goes: a confidence, and the model that estimates it.
//!
//! Layer 0. A recall target is measured on the collection's own rows and queries; a confidence is computed from a model of the
//! buckets, and what recall it comes to depends on the data. Two models are there. *Density* is the routing of the
//! sources (eq. 1-3), made free of units and of dead rows: P(bucket) ~ exp(-lambda d / spread) (1 - exp(-live / tau)), where d
//! is the distance of the query to the centroid, spread the standard deviation of such distances in this collection, and live the
//! number of rows in the bucket that are not dead. *Geometric* is the estimate of Quake's adaptive partition scanning: the
//! share of the k-th neighbour's ball that lies beyond each bucket's boundary.

use crate::error::{Error, Result};

/// `lambda` when none is given: with it a confidence of .95 comes to a recall of about .95 on 5,000 and on 60,000 sentence
/// embeddings of 384 dimensions (benches/RESULTS.md). With 3 it is .98, with 5 it is .82 to .85.
pub const LAMBDA_DEFAULT: f32 = 3.5;

/// Largest `lambda`: at it, a bucket a hundredth of a spread further than the nearest has a likelihood of e^-100, which is none.
pub const LAMBDA_MAX: f32 = 10_000.0;

/// `tau` when none is given, as a share of the rows that a bucket aims at: eq. 3 of the sources.
pub const TAU_SHARE: f32 = 0.1;

/// What estimates the confidence of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Estimate {
    /// Saturating density: buckets are scanned by falling likelihood until these sum up to the target.
    Density {
        /// How fast the likelihood falls with distance, in units of the collection's spread of centroid distances.
        lambda: f32,
        /// Live rows at which a bucket counts for 63 % of a full one; 0 leaves the density out. A tenth of the target size
        /// when none.
        tau: Option<f32>,
    },
    /// Shares of the k-th neighbour's ball: buckets are scanned in their usual order until the scanned ones have the target.
    Geometric,
}

/// A confidence to stop at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    /// In (0, 1].
    pub target: f32,
    /// What estimates it.
    pub estimate: Estimate,
}

impl Confidence {
    /// From the options of the Python API: `routing` is `"density"` (when none) or `"geometric"`; `lambda_`, `tau` and `routing`
    /// mean nothing without a target.
    pub fn from_options(
        target: Option<f32>,
        routing: Option<&str>,
        lambda: Option<f32>,
        tau: Option<f32>,
    ) -> Result<Option<Confidence>> {
        let Some(target) = target else {
            let given = [("routing", routing.is_some()), ("lambda_", lambda.is_some()), ("tau", tau.is_some())];
            return match given.iter().find(|(_, given)| *given) {
                Some((name, _)) => {
                    Err(Error::invalid(format!("{name} needs target_confidence, which says when to stop")))
                }
                None => Ok(None),
            };
        };
        let estimate = match routing.unwrap_or("density") {
            "density" => Estimate::Density { lambda: lambda.unwrap_or(LAMBDA_DEFAULT), tau },
            "geometric" if lambda.is_some() || tau.is_some() => {
                return Err(Error::invalid(
                    "lambda_ and tau belong to routing=\"density\": leave them out, or change it",
                ));
            }
            "geometric" => Estimate::Geometric,
            other => {
                return Err(Error::invalid(format!("unknown routing {other:?}: use \"density\" or \"geometric\"")));
            }
        };
        let confidence = Confidence { target, estimate };
        confidence.validate()?;
        Ok(Some(confidence))
    }

    /// Checks every bound; the error names the option, its value and its range.
    pub fn validate(&self) -> Result<()> {
        let target = self.target;
        if !(target > 0.0 && target <= 1.0) {
            return Err(Error::invalid(format!("target_confidence is {target}: it must be above 0 and at most 1")));
        }
        let Estimate::Density { lambda, tau } = self.estimate else { return Ok(()) };
        if !(0.0..=LAMBDA_MAX).contains(&lambda) {
            return Err(Error::invalid(format!("lambda_ is {lambda}: it must be between 0 and {LAMBDA_MAX}")));
        }
        if let Some(tau) = tau
            && !(tau >= 0.0 && tau.is_finite())
        {
            return Err(Error::invalid(format!("tau is {tau}: it must be 0 or more, and finite")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_outside_their_bounds_are_refused_by_name() {
        let refused = |target, routing, lambda, tau| {
            Confidence::from_options(target, routing, lambda, tau).unwrap_err().message().to_owned()
        };
        for (name, message) in [
            ("target_confidence", refused(Some(0.0), None, None, None)),
            ("target_confidence", refused(Some(1.01), None, None, None)),
            ("target_confidence", refused(Some(f32::NAN), Some("geometric"), None, None)),
            ("lambda_", refused(Some(0.9), None, Some(-1.0), None)),
            ("lambda_", refused(Some(0.9), None, Some(f32::INFINITY), None)),
            ("tau", refused(Some(0.9), None, None, Some(-0.5))),
            ("tau", refused(Some(0.9), None, None, Some(f32::NAN))),
            ("lambda_ and tau", refused(Some(0.9), Some("geometric"), Some(3.0), None)),
            ("unknown routing \"nearest\"", refused(Some(0.9), Some("nearest"), None, None)),
            ("lambda_ needs target_confidence", refused(None, None, Some(3.0), None)),
            ("routing needs target_confidence", refused(None, Some("density"), None, None)),
        ] {
            assert!(message.starts_with(name), "{message}");
        }
    }

    #[test]
    fn no_option_is_no_confidence_and_a_target_alone_has_the_defaults() {
        assert_eq!(Confidence::from_options(None, None, None, None).unwrap(), None);
        let found = Confidence::from_options(Some(0.9), None, None, None).unwrap().unwrap();
        assert_eq!(found.estimate, Estimate::Density { lambda: LAMBDA_DEFAULT, tau: None });
    }
}
