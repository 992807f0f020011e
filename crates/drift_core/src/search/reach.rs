//! How much further a search goes for rows that satisfy a filter, and when it is cheaper to measure all of them.
//!
//! Layer 6. Stop rules are measured without a filter. Where one row in `x` matches, the k nearest matching rows lie as far as
//! the `k x` nearest of all, so the rule for as many neighbours is followed. What counts is `x` around the query; the share of all rows
//! says it only for filters that have nothing to do with the vectors. So it is counted on the way, among the rows that come
//! near enough, and the share of all rows is what is believed before (docs/decisions/0008-filtered-search.md and 0018).

use super::buckets::Limits;
use super::wanted::Wanted;
use crate::state::{Reached, ScanCodes, StopRule, Version, widening};
use std::ops::AddAssign;

/// Near rows that weigh as much as the share of all rows.
const PRIOR_ROWS: f64 = 64.0;

/// Living rows that are taken to be near before any is met.
const DEATH_PRIOR_ROWS: f64 = 16.0;

/// A row that is measured wherever it is costs as much as this many codes of buckets that are scanned. At d = 384 it is 400
/// bytes at a random place, against 52 of an entry in a row, or as many in a row.
const fn direct_cost(scan: &ScanCodes) -> u64 {
    match scan {
        ScanCodes::Filter(_) => 8,
        ScanCodes::Runs(_) => 2,
    }
}

/// So few wanted rows are measured at once: that takes 5 us, less than choosing buckets.
const DIRECT_ROWS: u64 = 128;

/// How many standard deviations farther than its mean the k-th matching row may be among all rows, for the budget: it is the `k x`-th
/// on average, with a deviation of `sqrt(k) x`.
const RANK_DEVIATIONS: f64 = 2.0;

/// Change of `x` from which on the rules for another number of neighbours are looked up: that takes as long as half a bucket.
const CHANGE: f64 = 1.0 / 16.0;

/// The distance from which on a query is a far one grows with this power of the rarity around it, as the k-th wanted row is
/// farther as a matter of course: as that of rows in ten dimensions. Where it is much farther than that, in other clusters than the
/// query's, the limits are widened as for strangers.
const USUAL_EXPONENT: f64 = 0.2;

/// Where the limits are widened so many times, rules say little: measuring all wanted rows is sure, and worth so many times the
/// codes.
const DOUBTED: f32 = 2.0;
const SURE: f32 = 4.0;

/// Where wanted rows are so many times as rare around the query as among all rows, they are elsewhere: at distances at
/// which no difference was measured.
const ELSEWHERE: f64 = 4.0;

/// There the budget alone stops a search, and is so many times as large.
const ELSEWHERE_BUDGET: f64 = 2.0;

/// Rows whose estimates beat the threshold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    /// All of them.
    pub near: u32,
    /// Those that satisfy the filter.
    pub wanted: u32,
    /// Those that turned out not to be there any more.
    pub dead: u32,
    /// Those of all that were counted before.
    pub again: u32,
}

impl Met {
    /// The budget of a rule that has `rows`, without a filter. Rules were measured among fewer dead rows, or none: where near
    /// rows have died since, it takes as many times the codes to meet a living one.
    pub fn budget(&self, rows: u64) -> u64 {
        if self.dead == 0 {
            return rows;
        }
        let near = DEATH_PRIOR_ROWS + f64::from(self.near);
        (rows as f64 * near / (near - f64::from(self.dead))) as u64
    }
}

impl AddAssign for Met {
    fn add_assign(&mut self, other: Met) {
        self.near += other.near - other.again;
        self.wanted += other.wanted;
        self.dead += other.dead;
    }
}

/// How far a search for rows that satisfy a filter goes.
#[derive(Clone, Copy)]
pub struct Reach<'a> {
    version: &'a Version,
    near: f64,
    wanted: f64,
    /// Neighbours wanted, and with what recall.
    k: usize,
    recall: f32,
    /// What measuring all wanted rows costs, in codes.
    direct: u64,
    /// Rows, wanted or not, for each wanted one.
    all: f64,
    /// `near / wanted`, to [`CHANGE`], and the largest so far.
    rarity: f64,
    rarest: f64,
    /// The rule for both.
    stop: StopRule,
    is_direct: bool,
}

impl Reach<'_> {
    /// Before any row was met.
    pub fn new<'a>(version: &'a Version, wanted: &Wanted, limits: &Limits) -> Reach<'a> {
        let all = version.index.rows() as f64 / wanted.flushed.max(1) as f64;
        let direct = wanted.flushed.saturating_mul(direct_cost(&version.index.scan));
        let mut reach = Reach {
            version,
            near: PRIOR_ROWS,
            wanted: PRIOR_ROWS / all,
            k: limits.k,
            recall: limits.recall,
            direct,
            all,
            rarity: all,
            rarest: all,
            stop: limits.stop,
            is_direct: false,
        };
        reach.settle();
        reach.is_direct |= wanted.flushed <= DIRECT_ROWS;
        reach
    }

    /// Counts the rows of a bucket, and sets the limits that they tell; the wanted rows are at `reached`.
    pub fn meet(&mut self, met: Met, reached: Reached, limits: &mut Limits) {
        self.near += f64::from(met.near);
        self.wanted += f64::from(met.wanted);
        let rarity = self.near / self.wanted.max(f64::MIN_POSITIVE);
        if (rarity / self.rarity - 1.0).abs() > CHANGE {
            self.rarity = rarity;
            self.rarest = self.rarest.max(rarity);
            self.settle();
        }
        let widening = widening(reached.near, self.stop.usual);
        self.is_direct |= widening >= DOUBTED && SURE * widening * self.stop.rows as f32 >= self.direct as f32;
        limits.stop = self.stop;
    }

    /// Whether measuring all wanted rows is cheaper than to search on.
    pub fn is_direct(&self) -> bool {
        self.is_direct
    }

    /// Sets what follows from `rarity` and `rarest`. The difference is that of what the k-th row is now: for a farther one it is smaller,
    /// and would end the search early in a cluster more of which match than elsewhere.
    fn settle(&mut self) {
        let k = self.k as f64;
        // A cast from a float saturates.
        let rule = |rank: f64| self.version.rule(self.recall, rank.min(f64::from(u32::MAX)) as usize);
        let StopRule { rows, usual, .. } = rule(self.rarest * (k + RANK_DEVIATIONS * k.sqrt()));
        let StopRule { difference, .. } = rule(self.rarity * k);
        let is_elsewhere = self.rarest > ELSEWHERE * self.all;
        let difference = if is_elsewhere { f32::INFINITY } else { difference };
        let rows = if is_elsewhere { (rows as f64 * ELSEWHERE_BUDGET) as u64 } else { rows };
        let usual = usual * self.rarest.powf(USUAL_EXPONENT) as f32;
        // Where too few rows are found, all that are wanted are measured: a search need not go on until it has met them.
        self.stop = StopRule { rows, difference, usual, fills: false };
        self.is_direct |= rows >= self.direct;
    }
}
