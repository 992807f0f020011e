//! What is known of the recall of searches: traces that stop rules are fitted to, and live queries that were searched again.
//!
//! Layer 5. Memory only; the rules themselves and a summary of what was measured (`summary`) are in the manifest. Old traces
//! give way to new ones, and are taken again when a share of the rows has changed since, so that the rules follow the data
//! and the queries.

use super::PhysicalRuns;
use crate::manifest::{Asked, CalibrationPoint, TargetSum, TimelinePoint};
use crate::sync::Mutex;
use crate::types::{Predicate, Seq};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

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

/// A live query and what it was answered.
#[derive(Default)]
pub struct Shadow {
    /// The query as given.
    pub query: Vec<f32>,
    /// What it asked for.
    pub asked: Asked,
    /// The filter, if it had one.
    pub filter: Option<Arc<Predicate>>,
    /// When it was asked, if rows may have expired by then.
    pub now: Option<i64>,
    /// Whether some rows were left out, be it by the filter or because they have expired.
    pub is_restricted: bool,
    /// Recall aimed at.
    pub target: f32,
    /// Distances of the rows returned, ascending.
    pub distances: Vec<f32>,
    /// Neighbours asked for.
    pub k: usize,
    /// Newest write that the search saw.
    pub seq: Seq,
    /// The rows that it searched, as [`Index::is_of`](super::Index::is_of) tells them.
    pub index: Weak<PhysicalRuns>,
}

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

/// Traces of rows, and of live queries, that are kept.
pub const ROW_TRACES_MAX: usize = 2_000;
const LIVE_TRACES_MAX: usize = 1_024;

/// First margin of rules, which live queries are to have too (docs/decisions/0015-margins.md).
const MARGIN: f32 = 0.26;

/// Bounds of a corrected margin.
const MARGIN_MIN: f32 = 0.2;
const MARGIN_MAX: f32 = 0.75;

/// Writes since the first measurement, as a share of the rows, from which on rows have changed.
const CHANGED_SHARE: f64 = 0.1;

/// Measured queries that a correction of the margin looks at, at most: what was measured before speaks of other rows.
const JUDGED_MAX: usize = 512;

/// Measured live queries that are kept: the mean of so many is within 0.006 of the truth, 19 times in 20.
pub(super) const MEASURED_MAX: usize = 1_000;

/// Live queries that are searched again at a time.
const SHADOW_GROUP: usize = 128;

/// A group is drawn from at least so many times as many queries, so that it is not one burst of like queries.
const SHADOW_STRIDE: u64 = 3;

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
            measured: VecDeque::new(),
            carried: Vec::new(),
            timeline: VecDeque::new(),
            counted: (0, 0),
            fresh: 0,
            unfitted: 0,
            unjudged: 0,
            margin: MARGIN,
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

    /// Adds the trace of a live query.
    pub fn add_live(&mut self, query: Vec<f32>, trace: Trace) {
        if self.live.len() + self.untraced.len() >= LIVE_TRACES_MAX && self.untraced.pop_front().is_none() {
            self.live.pop_front();
        }
        self.live.push_back((query, trace));
        self.fresh = (self.fresh + 1).min(LIVE_TRACES_MAX);
        self.unfitted += 1;
    }

    /// Adds queries that are older than all there are, as many as there is room for: the last `traced.len()` of them have been
    /// traced.
    pub fn add_older(&mut self, mut queries: Vec<Vec<f32>>, traced: Vec<Trace>) {
        let last = queries.split_off(queries.len() - traced.len());
        let room = LIVE_TRACES_MAX.saturating_sub(self.live.len());
        last.into_iter().zip(traced).rev().take(room).for_each(|traced| self.live.push_front(traced));
        let room = LIVE_TRACES_MAX.saturating_sub(self.live.len());
        self.untraced.extend(queries.drain(queries.len().saturating_sub(room)..));
    }

    /// Adds the recall of a live query.
    pub fn add_measured(&mut self, measured: Measured) {
        if self.measured.len() == MEASURED_MAX {
            self.measured.pop_front();
        }
        self.measured.push_back(measured);
        self.unjudged += usize::from(measured.asked == Asked::Nearest);
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

    /// Forgets all traces, as the buckets that they speak of have changed too much; gives the live queries, to be traced
    /// again.
    pub fn forget_traces(&mut self) -> Vec<Vec<f32>> {
        self.rows.clear();
        self.newest.clear();
        self.base.clear();
        self.fresh = 0;
        self.unfitted = 0;
        self.untraced.drain(..).chain(self.live.drain(..).map(|(query, _)| query)).collect()
    }
}

/// The log, and the live queries that wait to be searched again.
#[derive(Default)]
pub struct Recall {
    /// Held by the one that traces and fits, so that no rule is fitted while others have the traces in hand. Taken outside
    /// of thread pools, whose threads may take up another's work while they wait.
    pub measuring: Mutex<()>,
    /// See [`RecallLog`].
    pub log: Mutex<RecallLog>,
    pending: Mutex<Vec<Shadow>>,
    /// Live queries since the waiting ones were last taken.
    seen: AtomicU64,
    /// Groups taken, so that each is drawn by other numbers: the same queries may come in the same order again.
    taken: AtomicU64,
    /// Whether a group is to be handed over as soon as there is one.
    wanted: AtomicBool,
}

impl Recall {
    /// Asks for a group of live queries; true when there is one.
    pub fn want_shadows(&self) -> bool {
        self.wanted.store(true, Ordering::Relaxed);
        self.is_complete() && self.wanted.swap(false, Ordering::Relaxed)
    }

    fn is_complete(&self) -> bool {
        self.seen.load(Ordering::Relaxed) >= SHADOW_STRIDE * SHADOW_GROUP as u64
    }

    /// The place among the waiting queries that the present one is to have, if it is to have any: each query that came since the
    /// waiting ones were taken is one of them with the same probability (reservoir sampling).
    #[inline]
    pub fn place(&self) -> Option<usize> {
        let number = self.seen.fetch_add(1, Ordering::Relaxed);
        if number < SHADOW_GROUP as u64 {
            return Some(number as usize);
        }
        let drawn = scrambled(number ^ scrambled(self.taken.load(Ordering::Relaxed)));
        let place = ((u128::from(drawn) * u128::from(number + 1)) >> 64) as usize;
        (place < SHADOW_GROUP).then_some(place)
    }

    /// Whether a group is wanted, and there is one; says so once.
    #[inline]
    pub fn is_due(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) && self.is_complete() && self.wanted.swap(false, Ordering::Relaxed)
    }

    /// Lets a live query wait at its place, in what memory the one before it had there.
    pub fn put(&self, place: usize, write: impl FnOnce(&mut Shadow)) {
        let mut pending = self.pending.lock();
        if pending.len() <= place {
            pending.push(Shadow::default());
        }
        let place = place.min(pending.len() - 1);
        write(&mut pending[place]);
    }

    /// The waiting live queries.
    pub fn take(&self) -> Vec<Shadow> {
        let mut pending = self.pending.lock();
        self.seen.store(0, Ordering::Relaxed);
        self.taken.fetch_add(1, Ordering::Relaxed);
        std::mem::take(&mut pending)
    }
}

/// A number that looks random (the finalizer of splitmix64).
fn scrambled(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_queries_are_drawn_from_all_that_came() {
        let recall = Recall::default();
        assert!(!recall.want_shadows());
        let mut due = Vec::new();
        for number in 0..6_400 {
            if let Some(place) = recall.place() {
                recall.put(place, |shadow| shadow.query = vec![number as f32]);
            }
            if recall.is_due() {
                due.push(number);
            }
        }
        assert_eq!(due, [SHADOW_STRIDE as usize * SHADOW_GROUP - 1], "a group is announced once");
        let taken = recall.take();
        assert_eq!(taken.len(), SHADOW_GROUP);
        let mean = taken.iter().map(|shadow| shadow.query[0]).sum::<f32>() / SHADOW_GROUP as f32;
        // Uniform on 0..6,400: a standard error of 231.
        assert!((mean - 3_200.0).abs() < 700.0, "{mean}");
        assert!(recall.take().is_empty() && !recall.want_shadows());
        for number in 0..6_400 {
            if let Some(place) = recall.place() {
                recall.put(place, |shadow| shadow.query = vec![number as f32]);
            }
        }
        let again: Vec<_> = recall.take().into_iter().map(|shadow| shadow.query).collect();
        assert!(taken.iter().filter(|shadow| again.contains(&shadow.query)).count() < 32, "others at the next time");
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
