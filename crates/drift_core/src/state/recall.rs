//! What is known of the recall of searches: traces that stop rules are fitted to, and live queries that were searched again.
//!
//! Layer 5. Memory only; the rules themselves and a summary of what was measured (`summary`) are in the manifest. Old traces
//! give way to new ones, and are taken again when a share of the rows has changed since, so that the rules follow the data
//! and the queries.

use super::PhysicalRuns;
use crate::manifest::{TargetSum, TimelinePoint};
use crate::sync::Mutex;
use crate::types::Seq;
use std::collections::VecDeque;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A place on a query's way through the buckets.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Number of the bucket, in the order of the search.
    pub step: u32,
    /// Largest (score - threshold) up to it.
    pub gap: f32,
    /// Share of all codes scanned before it.
    pub share: f32,
}

/// One query's way through all buckets, as if it had never stopped.
#[derive(Debug)]
pub struct Trace {
    /// Marks along the way: every step at first, then at distances of a hundredth of the way so far.
    pub marks: Vec<Mark>,
    /// Steps at which the true neighbours that survive filter and re-ranking are found.
    pub found: Vec<u32>,
    /// How many true neighbours there are.
    pub truth: usize,
}

/// A live query and what it was answered.
pub struct Shadow {
    /// The query as given.
    pub query: Vec<f32>,
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
    /// Recall aimed at.
    pub target: f32,
    /// Recall reached.
    pub recall: f32,
}

/// Points of the timeline that are kept.
const TIMELINE_MAX: usize = 1_000;

/// Traces of rows, and of live queries, that are kept.
pub const ROW_TRACES_MAX: usize = 2_000;
const LIVE_TRACES_MAX: usize = 256;

/// First margins of rules that are fitted to rows and to live queries.
const ROW_MARGIN: f32 = 0.15;
const LIVE_MARGIN: f32 = 0.1;

/// Smallest share of the misses that a target allows which rules are made to aim at.
const MISS_SHARE_MIN: f32 = 0.25;

/// Measured live queries that are kept: the mean of so many is within 0.006 of the truth, 19 times in 20.
pub(super) const MEASURED_MAX: usize = 1_000;

/// Live queries that are searched again at a time: a quarter of what rules are fitted to.
const SHADOW_GROUP: usize = 64;

/// One in so many queries is taken while any are wanted, so that a group is not one burst of like queries.
const SHADOW_STRIDE: u64 = 3;

/// Traces and measured queries.
#[derive(Debug)]
pub struct RecallLog {
    /// Of sampled rows, oldest first.
    pub rows: VecDeque<Trace>,
    /// Live queries as given, oldest first, with their traces.
    pub live: VecDeque<(Vec<f32>, Trace)>,
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
    /// Whether the rules in force were fitted to live traces.
    pub is_fitted_to_live: bool,
    /// Share of the distance to full recall that is added to targets when rules are fitted to live traces.
    pub live_margin: f32,
    /// The same for traces of rows: queries are no rows of the collection, hence a little harder.
    pub row_margin: f32,
    /// Writes and moves when rows were last traced.
    pub traced_at: Option<u64>,
}

impl Default for RecallLog {
    fn default() -> RecallLog {
        RecallLog {
            rows: VecDeque::new(),
            live: VecDeque::new(),
            measured: VecDeque::new(),
            carried: Vec::new(),
            timeline: VecDeque::new(),
            counted: (0, 0),
            fresh: 0,
            unfitted: 0,
            unjudged: 0,
            is_fitted_to_live: false,
            live_margin: LIVE_MARGIN,
            row_margin: ROW_MARGIN,
            traced_at: None,
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
        if self.live.len() == LIVE_TRACES_MAX {
            self.live.pop_front();
        }
        self.live.push_back((query, trace));
        self.fresh = (self.fresh + 1).min(LIVE_TRACES_MAX);
        self.unfitted += 1;
    }

    /// Adds the traces of queries that are older than all there are, as many as there is room for.
    pub fn add_older(&mut self, traced: impl DoubleEndedIterator<Item = (Vec<f32>, Trace)>) {
        let room = LIVE_TRACES_MAX - self.live.len();
        traced.rev().take(room).for_each(|traced| self.live.push_front(traced));
    }

    /// Adds the recall of a live query.
    pub fn add_measured(&mut self, measured: Measured) {
        if self.measured.len() == MEASURED_MAX {
            self.measured.pop_front();
        }
        self.measured.push_back(measured);
        self.unjudged += 1;
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

    /// Corrects the margin of what the rules were fitted to by the recall measured since then: where queries miss a half more
    /// than they may, the next rules are to miss that much less, by and by.
    pub fn correct(&mut self) {
        let (mut missed, mut allowed) = (0.0, 0.0);
        for measured in self.measured.iter().rev().take(std::mem::take(&mut self.unjudged)) {
            missed += 1.0 - measured.recall;
            allowed += 1.0 - measured.target;
        }
        let margin = if self.is_fitted_to_live { &mut self.live_margin } else { &mut self.row_margin };
        if allowed > 0.0 {
            let factor = (missed / allowed).max(0.25).powf(-0.5);
            *margin = 1.0 - ((1.0 - *margin) * factor).clamp(MISS_SHARE_MIN, 1.0);
        }
    }

    /// Forgets all traces, as the buckets that they speak of have changed too much; gives the live queries, to be traced
    /// again.
    pub fn forget_traces(&mut self) -> Vec<Vec<f32>> {
        self.rows.clear();
        self.fresh = 0;
        self.unfitted = 0;
        self.live.drain(..).map(|(query, _)| query).collect()
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
    wanted: AtomicBool,
    seen: AtomicU64,
}

impl Recall {
    /// Asks for live queries.
    pub fn want_shadows(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Whether the present query is to be handed to [`Recall::push`].
    #[inline]
    pub fn wants_this(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) && self.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(SHADOW_STRIDE)
    }

    /// Takes a live query; true when the group is complete.
    pub fn push(&self, shadow: Shadow) -> bool {
        let mut pending = self.pending.lock();
        if pending.len() < SHADOW_GROUP {
            pending.push(shadow);
        }
        let complete = pending.len() >= SHADOW_GROUP;
        if complete {
            self.wanted.store(false, Ordering::Relaxed);
        }
        complete
    }

    /// The waiting live queries.
    pub fn take(&self) -> Vec<Shadow> {
        std::mem::take(&mut self.pending.lock())
    }
}
