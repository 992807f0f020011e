//! What is known of the recall of searches: traces that stop rules are fitted to, and live queries that were searched again.
//!
//! Layer 5. Memory only; the rules themselves and a summary of what was measured (`summary`) are in the manifest. Old traces
//! give way to new ones, and are taken again when a share of the rows has changed since, so that the rules follow the data
//! and the queries.

use super::{Forecast, Foresight, Waiting};
use crate::manifest::{Asked, CalibrationPoint, TargetSum, TimelinePoint};
use crate::sync::Mutex;
use crate::types::Seq;
use std::collections::VecDeque;

/// A place on a query's way through the buckets.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Number of the bucket, in the order of the search.
    pub step: u32,
    /// Largest [`gap`](super::gap) up to it.
    pub gap: f32,
    /// Share of all codes scanned before it.
    pub share: f32,
    /// The same as budgets count it: divided by the [`widening`](super::widening).
    pub spent: f32,
}

/// One query's way through all buckets, as if it had never stopped.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Marks along the way: every step at first, then at distances of a fiftieth of the way so far.
    pub marks: Vec<Mark>,
    /// Buckets to be scanned until each true neighbour, nearest first, is found: 0 where it is among the rows that give a search its first
    /// threshold, and [`NEVER_FOUND`] where it does not survive filter and re-ranking.
    pub found: Vec<u32>,
}

/// See [`Trace::found`].
pub const NEVER_FOUND: u32 = u32::MAX;

/// Recall of one live query, measured afterwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// What was asked for.
    pub asked: Asked,
    /// Recall aimed at.
    pub target: f32,
    /// Recall reached.
    pub recall: f32,
}

/// Counts of what changes an index; how far they have grown between two moments matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Writes that have reached the index, and rows that went to another bucket.
    pub rows: u64,
    /// Buckets that were merged with their neighbours.
    pub merged: u64,
}

/// Whether more is about to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrest {
    /// Jobs are due, or may be.
    Passing,
    /// Nothing is due, or nothing may be done.
    Settled,
}

/// Share of what is known to be off that a correction takes back: the traces are corrected already by whatever they show.
const CORRECTION: f64 = 0.35;

/// Square of the standard errors by which measured misses must differ from those meant, to be no chance.
const CERTAIN_ERRORS2: f64 = 4.0;

/// Points of the timeline that are kept.
const TIMELINE_MAX: usize = 1_000;

/// Traces of rows that are kept.
pub const ROW_TRACES_MAX: usize = 4_000;

/// Live queries that are kept, traced or not: as many as fit some memory, between these.
const LIVE_MIN: usize = 1_024;
const LIVE_MAX: usize = 2_048;
const LIVE_BYTES: usize = 4 << 20;

/// First margin of rules, which live queries are to have too (docs/decisions/0015-margins.md).
const MARGIN: f32 = 0.26;

/// Bounds of a corrected margin.
pub(super) const MARGIN_MIN: f32 = 0.2;
pub(super) const MARGIN_MAX: f32 = 0.75;

/// Writes since the first measurement, as a share of the rows, from which on rows have changed.
const CHANGED_SHARE: f64 = 0.1;

/// Measured queries that a correction of the margin looks at, at most: what was measured before speaks of other rows.
const JUDGED_MAX: usize = 512;

/// Measured live queries that are kept of each kind: the mean of so many is within 0.006 of the truth, 19 times in 20.
pub(super) const MEASURED_MAX: usize = 1_000;

/// Traces and measured queries.
#[derive(Debug)]
pub struct RecallLog {
    /// Of sampled rows, oldest first.
    pub rows: VecDeque<Trace>,
    /// Of rows that came last, where rows have changed.
    pub newest: Vec<Trace>,
    /// The rules as they were fitted when rows were traced last.
    pub base: Vec<CalibrationPoint>,
    /// Live queries as given, oldest first, with their traces.
    pub live: VecDeque<(Vec<f32>, Trace)>,
    /// Live queries that were traced once and have not been since so much changed, oldest first; all of them are older than
    /// those in `live`.
    pub untraced: VecDeque<Vec<f32>>,
    /// Live queries that came since so much changed, to be traced when much changes again, oldest first.
    kept: VecDeque<Vec<f32>>,
    /// Recall of live queries, oldest first.
    pub measured: VecDeque<Measured>,
    /// What earlier handles have measured, by target; it counts for as many queries as `measured` has room for.
    pub(super) carried: Vec<TargetSum>,
    /// What groups of live queries met, oldest first.
    pub timeline: VecDeque<TimelinePoint>,
    /// Queries and codes scanned up to the last point.
    pub counted: (u64, u64),
    /// Live queries that came since so much changed that all were traced again: the newest of `live`.
    pub fresh: usize,
    /// Live traces since the rules were last fitted.
    pub unfitted: usize,
    /// Measured queries since the margin was last corrected.
    unjudged: usize,
    /// Share of the distance to full recall that is added to targets when rules are fitted.
    pub margin: f32,
    /// What those who ask since so much changed were expected to find.
    pub forecast: Option<Forecast>,
    /// What was learned from such forecasts.
    pub foresight: Foresight,
    /// Newest write when traces were last forgotten.
    traced_seq: Seq,
    /// Newest write when rows were first measured.
    first_seq: Option<Seq>,
    /// What had changed when rows were last traced.
    pub traced_at: Option<Changes>,
    /// The same when as many were traced as should be.
    pub settled_at: Option<Changes>,
}

impl Default for RecallLog {
    fn default() -> RecallLog {
        RecallLog {
            rows: VecDeque::new(),
            newest: Vec::new(),
            base: Vec::new(),
            live: VecDeque::new(),
            untraced: VecDeque::new(),
            kept: VecDeque::new(),
            measured: VecDeque::new(),
            carried: Vec::new(),
            timeline: VecDeque::new(),
            counted: (0, 0),
            fresh: 0,
            unfitted: 0,
            unjudged: 0,
            margin: MARGIN,
            forecast: None,
            foresight: Foresight::default(),
            traced_seq: 0,
            first_seq: None,
            traced_at: None,
            settled_at: None,
        }
    }
}

impl RecallLog {
    /// Adds traces of rows.
    pub fn add_rows(&mut self, traces: impl IntoIterator<Item = Trace>) {
        self.rows.extend(traces);
        let excess = self.rows.len().saturating_sub(ROW_TRACES_MAX);
        self.rows.drain(..excess);
    }

    /// Adds the trace of a live query that has seen the write `seq`.
    pub fn add_live(&mut self, query: Vec<f32>, trace: Trace, seq: Seq) {
        if self.is_full(&query) && self.untraced.pop_front().is_none() && self.kept.pop_front().is_none() {
            self.live.pop_front();
        }
        self.fresh = self.fresh.min(self.live.len());
        self.unfitted += 1;
        if seq < self.traced_seq {
            // Asked before so much changed.
            self.live.insert(self.live.len() - self.fresh, (query, trace));
        } else {
            self.live.push_back((query, trace));
            self.fresh += 1;
        }
    }

    /// Keeps a live query that is to be traced when much changes again.
    pub fn keep(&mut self, query: Vec<f32>) {
        if self.is_full(&query) && self.untraced.pop_front().is_none() && self.kept.pop_front().is_none() {
            return;
        }
        self.kept.push_back(query);
    }

    fn is_full(&self, query: &[f32]) -> bool {
        self.live.len() + self.untraced.len() + self.kept.len() >= live_max(query)
    }

    /// Adds queries that are older than all there are, as many as there is room for: the last `traced.len()` of them have been
    /// traced.
    pub fn add_older(&mut self, mut queries: Vec<Vec<f32>>, traced: Vec<Trace>) {
        let Some(live_max) = queries.first().map(|query| live_max(query)) else { return };
        let last = queries.split_off(queries.len() - traced.len());
        let room = live_max.saturating_sub(self.live.len());
        last.into_iter().zip(traced).rev().take(room).for_each(|traced| self.live.push_front(traced));
        let room = live_max.saturating_sub(self.live.len() + self.kept.len());
        self.untraced.extend(queries.drain(queries.len().saturating_sub(room)..));
    }

    /// Adds the recall of a live query, in the place of the oldest that asked for the same where there are enough of them: far fewer are
    /// measured of some kinds than of others.
    pub fn add_measured(&mut self, measured: Measured) {
        let is_same = |kept: &Measured| kept.asked == measured.asked;
        if self.measured_of(measured.asked) == MEASURED_MAX {
            let oldest = self.measured.iter().position(is_same);
            oldest.map(|oldest| self.measured.remove(oldest));
        }
        self.measured.push_back(measured);
        self.unjudged += usize::from(measured.asked == Asked::Nearest);
    }

    /// How many measured queries of a kind are kept.
    pub(super) fn measured_of(&self, asked: Asked) -> usize {
        self.measured.iter().filter(|measured| measured.asked == asked).count()
    }

    /// Adds a point to the timeline; `queries` and `codes` are counts since the collection was opened.
    pub fn add_point(&mut self, point: TimelinePoint, queries: u64, codes: u64) {
        let (queries_before, codes_before) = std::mem::replace(&mut self.counted, (queries, codes));
        let codes = codes.saturating_sub(codes_before) as f64 / queries.saturating_sub(queries_before).max(1) as f64;
        if self.timeline.len() == TIMELINE_MAX {
            self.timeline.pop_front();
        }
        self.timeline.push_back(TimelinePoint { codes, ..point });
    }

    /// Corrects the margin by the recall measured since it was last corrected, up and down: a part of the way to where live queries would
    /// have missed what they were meant to miss, as far as that is no chance (by the shrinking of James and Stein). As long as
    /// it may be chance, what was measured waits for more.
    pub fn correct(&mut self) {
        let judged = self.unjudged.min(JUDGED_MAX);
        let (mut missed, mut squares, mut allowed) = (0.0f64, 0.0f64, 0.0f64);
        let nearest = self.measured.iter().rev().filter(|measured| measured.asked == Asked::Nearest);
        for measured in nearest.take(judged) {
            let miss = f64::from(1.0 - measured.recall);
            (missed, squares) = (missed + miss, squares + miss * miss);
            allowed += f64::from(1.0 - measured.target);
        }
        if judged == 0 || allowed <= 0.0 {
            return;
        }
        let count = judged as f64;
        let variance = (squares - missed * missed / count).max(0.0);
        let excess = missed / allowed - f64::from(1.0 - MARGIN);
        let error2 = variance / (allowed * allowed);
        let certain = 1.0 - CERTAIN_ERRORS2 * error2 / (excess * excess).max(f64::MIN_POSITIVE);
        if certain > 0.0 {
            self.margin = (self.margin + (CORRECTION * certain * excess) as f32).clamp(MARGIN_MIN, MARGIN_MAX);
            self.unjudged = 0;
        }
    }

    /// Notes that `rows` live rows are to be measured after the write `seq`; whether they have changed since they first were.
    pub fn note_rows(&mut self, rows: u64, seq: Seq) -> bool {
        let first = *self.first_seq.get_or_insert(seq);
        seq.saturating_sub(first) as f64 >= CHANGED_SHARE * rows as f64
    }

    /// Forgets all traces, as the buckets that they speak of have changed too much up to the write `seq`; gives the live queries, to be
    /// traced again, those that came last last.
    pub fn forget_traces(&mut self, seq: Seq) -> Vec<Vec<f32>> {
        let fresh = self.live.split_off(self.live.len() - self.fresh.min(self.live.len()));
        self.traced_seq = seq;
        self.rows.clear();
        self.newest.clear();
        self.base.clear();
        self.fresh = 0;
        self.unfitted = 0;
        let query = |(query, _): (Vec<f32>, Trace)| query;
        let before = self.untraced.drain(..).chain(self.live.drain(..).map(query));
        before.chain(self.kept.drain(..)).chain(fresh.into_iter().map(query)).collect()
    }
}

/// How many live queries of as many dimensions as this are kept.
fn live_max(query: &[f32]) -> usize {
    (LIVE_BYTES / size_of_val(query).max(1)).clamp(LIVE_MIN, LIVE_MAX)
}

/// The log, and the live queries that wait to be searched again.
#[derive(Default)]
pub struct Recall {
    /// Held by the one that traces and fits, so that no rule is fitted while others have the traces in hand. Taken outside
    /// of thread pools, whose threads may take up another's work while they wait.
    pub measuring: Mutex<()>,
    /// See [`RecallLog`].
    pub log: Mutex<RecallLog>,
    /// See [`Waiting`].
    pub waiting: Waiting,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_to_be_traced_again_are_in_the_order_in_which_they_came() {
        let trace = || Trace { marks: Vec::new(), found: Vec::new() };
        let mut log = RecallLog::default();
        log.add_live(vec![1.0], trace(), 5);
        log.keep(vec![2.0]);
        let queries = log.forget_traces(10);
        log.add_older(queries, vec![trace()]);
        assert_eq!(log.fresh, 0);
        log.add_live(vec![3.0], trace(), 12);
        log.keep(vec![4.0]);
        log.add_live(vec![0.0], trace(), 9);
        assert_eq!(log.fresh, 1, "one was asked before so much changed");
        let order: Vec<f32> = log.forget_traces(20).into_iter().map(|query| query[0]).collect();
        assert_eq!(order, [2.0, 1.0, 0.0, 4.0, 3.0]);
    }

    #[test]
    fn so_many_queries_are_kept_and_traced_ones_rather_than_others() {
        let trace = || Trace { marks: Vec::new(), found: Vec::new() };
        for (dim, max) in [(64, LIVE_MAX), (768, 4 * LIVE_MAX / 6), (1_536, LIVE_MIN)] {
            let (mut log, query) = (RecallLog::default(), vec![0.0; dim]);
            (0..3 * max).for_each(|_| log.keep(query.clone()));
            (0..max + 9).for_each(|_| log.add_live(query.clone(), trace(), 1));
            log.keep(query);
            assert_eq!((log.live.len(), log.fresh), (max, max));
            assert_eq!(log.forget_traces(2).len(), max);
        }
    }

    fn measured(count: usize, target: f32, recall: f32) -> RecallLog {
        let mut log = RecallLog::default();
        // Half of them miss twice as much as the mean, half nothing.
        for number in 0..count {
            let missed = if number % 2 == 0 { 2.0 * (1.0 - recall) } else { 0.0 };
            log.add_measured(Measured { asked: Asked::Nearest, target, recall: 1.0 - missed });
        }
        log
    }

    #[test]
    fn the_margin_follows_what_is_measured_both_ways_and_not_chance() {
        let corrected = |count, recall| {
            let mut log = measured(count, 0.95, recall);
            log.correct();
            log.margin
        };
        assert!(corrected(400, 0.93) > MARGIN + 0.1, "too many misses");
        assert_eq!(corrected(400, 0.995), MARGIN_MIN, "too few");
        assert_eq!(corrected(400, 1.0 - 0.05 * (1.0 - MARGIN)), MARGIN, "as meant");
        assert_eq!(corrected(8, 0.95), MARGIN, "chance");
        let mut log = measured(4, 1.0, 0.9);
        log.correct();
        assert_eq!(log.margin, MARGIN, "a target of 1 allows nothing and tells nothing");
    }

    #[test]
    fn the_margin_follows_no_queries_that_go_by_other_rules() {
        let mut log = measured(400, 0.95, 1.0 - 0.05 * (1.0 - MARGIN));
        for asked in [Asked::Many, Asked::Filtered].repeat(200) {
            log.add_measured(Measured { asked, target: 0.95, recall: 0.5 });
        }
        log.correct();
        assert_eq!(log.margin, MARGIN);
    }

    #[test]
    fn rows_have_changed_once_a_tenth_was_written_since_they_were_first_measured() {
        let mut log = RecallLog::default();
        let changed: Vec<bool> = [500, 550, 599, 600].iter().map(|seq| log.note_rows(1_000, *seq)).collect();
        assert_eq!(changed, [false, false, false, true]);
    }
}
