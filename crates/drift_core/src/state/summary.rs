//! Measured recall in short: what health tells, what a manifest keeps, and how the kept is forgotten.
//!
//! Layer 5, pure. What an earlier handle measured counts on after a restart, with a weight that falls to nothing as a
//! thousand queries of its kind are measured anew: health tells of the newest thousand of each kind, whoever measured them.

use super::Foresight;
use super::recall::{MARGIN_MAX, MARGIN_MIN, MEASURED_MAX, Measured, RecallLog};
use crate::manifest::{Learned, POINTS_MAX, RecallSummary, TARGETS_MAX, TargetSum};

impl RecallLog {
    /// Begins with what an earlier handle has left.
    pub fn resume(&mut self, kept: &RecallSummary) {
        self.carried.clone_from(&kept.targets);
        self.timeline.extend(&kept.timeline);
        if let Some(learned) = &kept.learned {
            self.foresight = Foresight::of(learned.products, learned.squares);
            self.margin = learned.margin.clamp(MARGIN_MIN, MARGIN_MAX);
        }
    }

    /// Measured recall by target, the most asked for first.
    pub fn by_target(&self) -> Vec<TargetSum> {
        let mut sums: Vec<TargetSum> = Vec::new();
        let mut add =
            |more: TargetSum| match sums.iter_mut().find(|of| (of.asked, of.target) == (more.asked, more.target)) {
                Some(of) => {
                    of.queries += more.queries;
                    of.sum += more.sum;
                    of.squares += more.squares;
                }
                None => sums.push(more),
            };
        for measured in &self.measured {
            let recall = f64::from(measured.recall);
            let Measured { asked, target, .. } = *measured;
            add(TargetSum { asked, target, queries: 1, sum: recall, squares: recall * recall });
        }
        for of in &self.carried {
            let room = MEASURED_MAX.saturating_sub(self.measured_of(of.asked)) as f64;
            let alike = self.carried.iter().filter(|other| other.asked == of.asked);
            let carried: u64 = alike.map(|other| other.queries).sum();
            let share = (room / carried.max(1) as f64).min(1.0);
            let queries = (of.queries as f64 * share) as u64;
            let scale = queries as f64 / of.queries.max(1) as f64;
            if queries > 0 {
                add(TargetSum { queries, sum: of.sum * scale, squares: of.squares * scale, ..*of });
            }
        }
        sums.sort_by(|a, b| b.queries.cmp(&a.queries).then(a.target.total_cmp(&b.target)));
        sums
    }

    /// What the next manifest keeps.
    pub fn summary(&self) -> RecallSummary {
        let mut targets = self.by_target();
        targets.truncate(TARGETS_MAX);
        let old = self.timeline.len().saturating_sub(POINTS_MAX);
        let (products, squares) = self.foresight.sums();
        let learned = Some(Learned { margin: self.margin, products, squares });
        RecallSummary { targets, timeline: self.timeline.iter().skip(old).copied().collect(), learned }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Asked, TimelinePoint};

    fn measure(log: &mut RecallLog, count: usize, target: f32, recall: f32) {
        (0..count).for_each(|_| log.add_measured(Measured { asked: Asked::Nearest, target, recall }));
    }

    #[test]
    fn what_was_kept_counts_until_a_thousand_are_measured_anew() {
        let mut before = RecallLog::default();
        measure(&mut before, 900, 0.95, 0.9);
        measure(&mut before, 100, 0.9, 0.8);
        let mut log = RecallLog::default();
        log.resume(&before.summary());
        assert_eq!(log.by_target(), before.by_target());
        let mean = |log: &RecallLog| log.by_target()[0].sum / log.by_target()[0].queries as f64;
        let mut last = mean(&log);
        for _ in 0..5 {
            measure(&mut log, 200, 0.95, 1.0);
            let total: u64 = log.by_target().iter().map(|of| of.queries).sum();
            assert!((998..=1_000).contains(&total), "{total} queries");
            assert!(mean(&log) > last, "old queries give way");
            last = mean(&log);
        }
        assert_eq!(
            log.by_target(),
            [TargetSum { asked: Asked::Nearest, target: 0.95, queries: 1_000, sum: 1_000.0, squares: 1_000.0 }]
        );
    }

    #[test]
    fn what_was_learned_of_those_who_ask_is_kept_within_its_bounds() {
        let mut log = RecallLog::default();
        (log.margin, log.foresight) = (0.3, Foresight::of(6.0, 8.0));
        measure(&mut log, 1, 0.95, 0.9);
        let mut next = RecallLog::default();
        next.resume(&log.summary());
        assert_eq!((next.margin, next.foresight.newest_share()), (0.3, 10.0 / 16.0));
        next.resume(&RecallSummary::default());
        assert_eq!(next.margin, 0.3, "nothing kept, nothing forgotten");
        next.resume(&RecallSummary { learned: Some(Learned { margin: 1.0, ..Learned::default() }), ..log.summary() });
        assert_eq!(next.margin, MARGIN_MAX);
    }

    #[test]
    fn what_was_asked_for_is_told_apart() {
        let mut log = RecallLog::default();
        measure(&mut log, 3, 0.95, 1.0);
        log.add_measured(Measured { asked: Asked::Filtered, target: 0.95, recall: 0.5 });
        let told: Vec<_> = log.by_target().iter().map(|of| (of.asked, of.queries, of.sum)).collect();
        assert_eq!(told, [(Asked::Nearest, 3, 3.0), (Asked::Filtered, 1, 0.5)]);
        let mut next = RecallLog::default();
        next.resume(&log.summary());
        assert_eq!(next.by_target(), log.by_target());
    }

    #[test]
    fn what_is_measured_often_takes_no_place_from_what_is_measured_seldom() {
        let mut log = RecallLog::default();
        log.add_measured(Measured { asked: Asked::Filtered, target: 0.95, recall: 0.5 });
        measure(&mut log, 2_000, 0.95, 1.0);
        let queries = |log: &RecallLog| log.by_target().iter().map(|of| (of.asked, of.queries)).collect::<Vec<_>>();
        assert_eq!(queries(&log), [(Asked::Nearest, 1_000), (Asked::Filtered, 1)]);
        let mut next = RecallLog::default();
        next.resume(&log.summary());
        measure(&mut next, 2_000, 0.95, 1.0);
        assert_eq!(queries(&next), queries(&log));
    }

    #[test]
    fn a_summary_has_its_limits_and_keeps_the_newest_points() {
        let mut log = RecallLog::default();
        (0..100).for_each(|n| measure(&mut log, 1, 0.5 + n as f32 / 1_000.0, 1.0));
        for n in 0..500u32 {
            let point = TimelinePoint { time: f64::from(n), recall: 1.0, codes: 0.0, rows: 1, buckets: 1 };
            log.add_point(point, 0, 0);
        }
        let summary = log.summary();
        assert_eq!((summary.targets.len(), summary.timeline.len()), (TARGETS_MAX, POINTS_MAX));
        assert_eq!(summary.timeline.last().map(|point| point.time), Some(499.0));
        let mut next = RecallLog::default();
        next.resume(&summary);
        assert_eq!(next.summary(), summary);
    }
}
