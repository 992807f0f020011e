//! What a manifest keeps of the recall that was measured.
//!
//! Layer 4. A summary for those who open the collection later: sums by target and the newest points of the timeline, so that
//! health in another process, or after a restart, begins with what is known, and what was learned of those who ask. No search depends on
//! it until rules are fitted again.

use super::messages::{LearnedMessage, RecallTargetMessage, TimelineMessage};

/// Targets that are kept, those with most queries: people ask for one or two.
pub const TARGETS_MAX: usize = 16;

/// Points of the timeline that are kept, 5 KB: at 128 queries each those of the newest sixteen thousand measured.
pub const POINTS_MAX: usize = 128;

/// What was asked for, as far as searches go by different rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    /// Few of the nearest of all rows: live queries of this kind shape the rules.
    #[default]
    Nearest,
    /// Many of them.
    Many,
    /// Of those that satisfy a filter.
    Filtered,
}

impl Asked {
    const ALL: [Asked; 3] = [Asked::Nearest, Asked::Many, Asked::Filtered];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Asked::Nearest => "nearest",
            Asked::Many => "many",
            Asked::Filtered => "filtered",
        }
    }
}

/// Measured recall of the queries that asked for the same, and for one target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TargetSum {
    /// What was asked for.
    pub asked: Asked,
    /// Recall asked for.
    pub target: f32,
    /// Queries measured.
    pub queries: u64,
    /// Sum of their recalls.
    pub sum: f64,
    /// Sum of the squares of their recalls.
    pub squares: f64,
}

/// What some live queries, searched again together, met.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimelinePoint {
    /// Time since 1970, seconds.
    pub time: f64,
    /// Their mean recall.
    pub recall: f32,
    /// Codes that queries scanned on average since the point before.
    pub codes: f64,
    /// Live rows.
    pub rows: u64,
    /// Buckets.
    pub buckets: u64,
}

/// What was learned of those who ask.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Learned {
    /// Share of the distance to full recall that is added to targets when rules are fitted.
    pub margin: f32,
    /// Sums of the regression that tells which share of them asks for what came last: of products, and of squares.
    pub products: f64,
    /// See `products`.
    pub squares: f64,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecallSummary {
    /// The most asked for first.
    pub targets: Vec<TargetSum>,
    /// Oldest first.
    pub timeline: Vec<TimelinePoint>,
    /// None before anybody has asked, and of versions that did not keep it.
    pub learned: Option<Learned>,
}

impl RecallSummary {
    pub(super) fn encode(&self) -> (Vec<RecallTargetMessage>, Vec<TimelineMessage>, Option<LearnedMessage>) {
        let target = |of: &TargetSum| RecallTargetMessage {
            target: of.target,
            queries: of.queries,
            sum: of.sum,
            squares: of.squares,
            asked: of.asked as u32,
        };
        let point = |at: &TimelinePoint| TimelineMessage {
            time: at.time,
            recall: at.recall,
            codes: at.codes,
            rows: at.rows,
            buckets: at.buckets,
        };
        let learned = |of: &Learned| LearnedMessage { margin: of.margin, products: of.products, squares: of.squares };
        let (targets, timeline) = (self.targets.iter().map(target), self.timeline.iter().map(point));
        (targets.collect(), timeline.collect(), self.learned.as_ref().map(learned))
    }

    pub(super) fn decode(
        targets: &[RecallTargetMessage],
        timeline: &[TimelineMessage],
        learned: Option<&LearnedMessage>,
    ) -> RecallSummary {
        // Later versions may tell more kinds apart; what they measured is not known here.
        let asked = |of: &RecallTargetMessage| Asked::ALL.get(of.asked as usize).copied();
        let target = |of: &RecallTargetMessage| {
            Some(TargetSum {
                asked: asked(of)?,
                target: of.target,
                queries: of.queries,
                sum: of.sum,
                squares: of.squares,
            })
        };
        let point = |at: &TimelineMessage| TimelinePoint {
            time: at.time,
            recall: at.recall,
            codes: at.codes,
            rows: at.rows,
            buckets: at.buckets,
        };
        RecallSummary {
            targets: targets.iter().filter_map(target).collect(),
            timeline: timeline.iter().map(point).collect(),
            learned: learned.map(|of| Learned { margin: of.margin, products: of.products, squares: of.squares }),
        }
    }

    /// What no manifest may say of recall.
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        if self.targets.len() > TARGETS_MAX || self.timeline.len() > POINTS_MAX {
            return Err(format!(
                "recall has {} targets and {} points, at most {TARGETS_MAX} and {POINTS_MAX} are kept",
                self.targets.len(),
                self.timeline.len()
            ));
        }
        let is_sum = |of: &TargetSum| {
            let most = of.queries as f64 * (1.0 + 1e-6);
            of.target.is_finite() && (0.0..=most).contains(&of.sum) && (0.0..=most).contains(&of.squares)
        };
        let is_point = |at: &TimelinePoint| at.time.is_finite() && at.recall.is_finite() && at.codes.is_finite();
        if !self.targets.iter().all(is_sum) || !self.timeline.iter().all(is_point) {
            return Err("measured recall is out of its range".to_owned());
        }
        let is_learned =
            |of: &Learned| (0.0..=1.0).contains(&of.margin) && of.products.is_finite() && of.squares.is_finite();
        if !self.learned.iter().all(is_learned) {
            return Err("what was learned of those who ask is out of its range".to_owned());
        }
        Ok(())
    }
}
