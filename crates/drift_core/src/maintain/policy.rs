//! What maintenance is to do next: a pure function of figures.
//!
//! Layer 6, pure. Buckets are measured against the target size and against themselves, never against absolute distances,
//! so that nothing changes when data is rescaled. Split and merge are far apart (hysteresis), and a bucket whose split
//! was tried must grow by a fifth before it is tried again. Where that is not enough, because rows near the borders of many small
//! buckets go to and fro, all thresholds move apart with the work that no written row accounts for ([`patience`]), so that jobs
//! come to rest whatever the data. Urgency orders what is due and makes nothing due: an idle half-full bucket is left alone.

use crate::types::NEVER;
use std::time::Duration;

/// Buckets of more than this many times the target are split.
pub const SPLIT_FACTOR: f64 = 2.0;

/// Buckets below this share of the target are merged into others.
pub const MERGE_SHARE: f64 = 0.25;

/// Growth, since a split of a bucket was tried or made it, before the next is tried.
const RETRY_GROWTH: f64 = 1.2;

/// A bucket is examined for a drifted centre when rows came and went amounting to this share of it.
const EXAMINE_SHARE: f64 = 0.5;

/// A bucket's entries are made anew when they take this many times the room they need, and some blocks more: dead rows and
/// rows that have left.
const WASTE_FACTOR: u64 = 5;
const WASTE_DIVISOR: u64 = 4;
const WASTE_SLOTS: u64 = 32;

/// A segment is written anew when more than this share of its rows is dead: it costs three rows to get rid of two.
const DEAD_SHARE: f64 = 0.4;

/// So many segments of about the same size are merged into one: each row is then moved once per factor of this size.
pub const TIER_SEGMENTS: usize = 8;

/// Segments within this factor of each other's rows are about the same size.
const TIER_FACTOR: f64 = 4.0;

/// All buckets are defined anew when the writes since that was last done ([`displacing`] ones) amount to this share of the rows; the
/// smaller one when nothing else is due.
pub const RETRAIN_SHARE: f64 = 1.0;
pub const RETRAIN_SETTLED_SHARE: f64 = 0.4;

/// Live rows a bucket, on average and as a share of the smallest target, below which deletions alone may have the buckets defined anew, and
/// bucketfuls of rows up to which searches must read for that: where neighbours lie in a bucket or two, smaller ones cut them apart;
/// where they lie in many, smaller ones are less to read (docs/decisions/0025-sparse-buckets.md).
const SPARSE_SHARE: f64 = 0.75;
const SPARSE_READ_MAX: f64 = 16.0;

/// Least time between two jobs that delete expired rows: readers do not show them meanwhile, and rows that expire one by one
/// are deleted together.
const EXPIRE_PAUSE: Duration = Duration::from_secs(10);

/// Share of its entries that a scan of a bucket no longer reads when the bucket was split in two: the query's rows are in one of
/// the children, and it scans the other as well four times in ten.
const SPLIT_GAIN: f64 = 0.3;

/// Weight of the share of entries that are of dead rows beside emptiness, and what keeps a cold bucket's urgency finite
/// (DESIGN, section 8).
const ZOMBIE_WEIGHT: f64 = 2.0;
const TEMPERATURE_MIN: f64 = 0.1;

/// How long from `now` until the rows that expire from `earliest` on are to be deleted, `since_last` after that was last done;
/// none when no row expires.
pub fn until_expiry(earliest: i64, now: i64, since_last: Option<Duration>) -> Option<Duration> {
    if earliest == NEVER {
        return None;
    }
    let alive = Duration::from_micros(earliest.saturating_sub(now).max(0) as u64);
    Some(alive.max(since_last.map_or(Duration::ZERO, |since| EXPIRE_PAUSE.saturating_sub(since))))
}

/// What the policy goes by besides the figures of buckets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// Rows that a bucket aims at.
    pub target: usize,
    /// How many times as far apart thresholds are; see [`patience`].
    pub patience: f64,
    /// Entries that a bucket costs a scan besides its own, as measured on this machine.
    pub bucket_entries: f64,
}

/// How much one step of restructuring takes on at most.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Buckets.
    pub buckets: usize,
    /// Live rows in them; the first bucket may have more.
    pub rows: u64,
}

impl Limit {
    /// All that is due.
    pub const NONE: Limit = Limit { buckets: usize::MAX, rows: u64::MAX };
}

/// Figures of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BucketStats {
    /// Live rows that are in it.
    pub live: u32,
    /// Entries that it needs: live rows that have it as first or second bucket.
    pub entries: u32,
    /// Entries that a scan of it reads.
    pub slots: u64,
    /// Live rows written since it was last examined.
    pub fresh: u32,
    /// Rows that were in it then and are not any more.
    pub gone: u32,
    /// Live rows when its split was last tried; 0 for never.
    pub tried: u32,
    /// How much is asked of it, 1 on average.
    pub temperature: f64,
}

/// Figures of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentStats {
    /// Rows, dead ones included.
    pub rows: u32,
    /// Dead rows.
    pub dead: u32,
}

/// What is to happen to a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Its rows go to the buckets nearest to them.
    Merge,
    /// It becomes several.
    Split,
    /// Its entries are made anew, without the dead.
    Clear,
    /// Its centre is compared with its rows, and moved if it has drifted.
    Examine,
}

/// Restructuring since the data changed, in turnovers (as many changes as there are buckets), up to which thresholds are as they
/// are, and in how many more they move apart by a factor of two.
const UNREST_FREE: f64 = 0.5;
const UNREST_DOUBLING: f64 = 0.25;

/// What a step of restructuring that does all that is due counts for however little it changes, in turnovers.
const STEP_UNREST: f64 = 1.0 / 64.0;

/// Changes of buckets that the rows written since account for, for each bucketful of them.
const PAID_CHANGES: f64 = 2.0;

/// Unrest, in turnovers, after a step that changed some of `buckets` buckets, and left others to the next one or not, when `writes` rows
/// were written or deleted since the step before. What more is written than changed counts for one turnover at most.
pub fn unrest(before: f64, (changed, is_cut): (u64, bool), buckets: usize, writes: u64, target: usize) -> f64 {
    let buckets = buckets.max(1) as f64;
    let paid = PAID_CHANGES * writes as f64 / target.max(1) as f64 / buckets;
    (before - paid).max(-1.0) + changed as f64 / buckets + if is_cut { 0.0 } else { STEP_UNREST }
}

/// How many times as far apart the thresholds are: 1 while restructuring follows the data. It doubles for every quarter turnover
/// beyond, so that after four turnovers nothing of any size but an empty bucket is due.
pub fn patience(unrest: f64) -> f64 {
    2f64.powf((unrest - UNREST_FREE).max(0.0) / UNREST_DOUBLING)
}

/// The due actions on buckets, most urgent first: position and action.
pub fn buckets(stats: &[BucketStats], terms: &Terms) -> Vec<(u32, Action)> {
    let mut due: Vec<(f64, u32, Action)> = stats
        .iter()
        .enumerate()
        .filter_map(|(position, bucket)| {
            let action = due(bucket, terms, stats.len())?;
            Some((urgency(bucket, action, terms), position as u32, action))
        })
        .collect();
    due.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    due.into_iter().map(|(_, position, action)| (position, action)).collect()
}

/// The first of `actions`, as many as are within the limit.
pub fn within<'a>(actions: &'a [(u32, Action)], stats: &[BucketStats], limit: Limit) -> &'a [(u32, Action)] {
    let mut rows = 0;
    let mut fits = |&(position, _): &(u32, Action)| {
        let is_first = rows == 0;
        rows += u64::from(stats[position as usize].live);
        is_first || rows <= limit.rows
    };
    let count = actions.iter().take(limit.buckets).take_while(|action| fits(action)).count();
    &actions[..count]
}

fn due(bucket: &BucketStats, terms: &Terms, buckets: usize) -> Option<Action> {
    let (live, target, patience) = (f64::from(bucket.live), terms.target as f64, terms.patience);
    if (bucket.live == 0 || live < MERGE_SHARE / patience * target) && buckets > 1 {
        return Some(Action::Merge);
    }
    let is_large = live > SPLIT_FACTOR * patience * target && live > RETRY_GROWTH * f64::from(bucket.tried);
    if is_large && split_gain(bucket, terms) > 0.0 {
        return Some(Action::Split);
    }
    let needed = u64::from(bucket.entries).next_multiple_of(16);
    if bucket.slots * WASTE_DIVISOR > needed * WASTE_FACTOR && bucket.slots > needed + WASTE_SLOTS {
        return Some(Action::Clear);
    }
    let changed = f64::from(bucket.fresh) + f64::from(bucket.gone);
    (changed > EXAMINE_SHARE * patience * live.max(target)).then_some(Action::Examine)
}

/// How many of `writes` count towards defining the buckets anew when `arrived` live rows came with them. Buckets that lose rows and
/// gain none stay as good as they were, and fewer rows in each is less to scan: a deletion counts as far as a row has come instead, unless
/// it has made the buckets [sparse](is_sparse).
pub fn displacing(writes: u64, arrived: u64) -> f64 {
    writes.min(2 * arrived) as f64
}

/// Whether `live` rows are too few for so many buckets, which aim at `target` rows in a small collection, as searches `read` so many
/// bucketfuls of rows: then all writes count. Not where nobody has searched.
pub fn is_sparse(live: u64, buckets: usize, target: usize, read: Option<f64>) -> bool {
    let few = (live as f64) < SPARSE_SHARE * (buckets * target) as f64;
    few && read.is_some_and(|read| read <= SPARSE_READ_MAX)
}

/// Entries that a query which meets the bucket need not read any more once it is split, less what one more bucket costs.
fn split_gain(bucket: &BucketStats, terms: &Terms) -> f64 {
    SPLIT_GAIN * f64::from(bucket.entries.max(bucket.live)) - terms.bucket_entries
}

/// What is gained, about, in sizes of a bucket: splits by what those who ask for the bucket need not read any more; merges by how
/// empty the bucket is, the colder the sooner, for nobody notices; all by the share of its entries that are of the dead.
fn urgency(bucket: &BucketStats, action: Action, terms: &Terms) -> f64 {
    let target = terms.target as f64;
    let zombies = 1.0 - f64::from(bucket.entries) / (bucket.slots as f64).max(f64::from(bucket.entries)).max(1.0);
    let own = match action {
        Action::Split => split_gain(bucket, terms) / target * (TEMPERATURE_MIN + bucket.temperature),
        Action::Merge => (1.0 - f64::from(bucket.live) / target).max(0.0) / (TEMPERATURE_MIN + bucket.temperature),
        Action::Clear => (bucket.slots as f64 - f64::from(bucket.entries)) / target * bucket.temperature,
        Action::Examine => (f64::from(bucket.fresh) + f64::from(bucket.gone)) / (4.0 * target),
    };
    own + ZOMBIE_WEIGHT * zombies
}

/// The places of the segments to be written into one, or to be removed because all of their rows are dead, and why; none
/// when nothing is due.
pub fn segments(stats: &[SegmentStats]) -> Option<(Vec<u32>, &'static str)> {
    let wasted = wasted(stats);
    if !wasted.is_empty() {
        return Some((wasted, "segments with too many dead rows"));
    }
    let mut order: Vec<u32> = (0..stats.len() as u32).collect();
    order.sort_unstable_by_key(|&place| (stats[place as usize].rows, place));
    let about_equal = |tier: &&[u32]| {
        let rows = |place: u32| f64::from(stats[place as usize].rows);
        rows(tier[TIER_SEGMENTS - 1]) <= TIER_FACTOR * rows(tier[0])
    };
    let mut tier = order.windows(TIER_SEGMENTS).find(about_equal)?.to_vec();
    tier.sort_unstable();
    Some((tier, "many segments of about one size"))
}

/// The places of the segments with nothing but dead rows, or, where there are none, of those with too many of them.
pub fn wasted(stats: &[SegmentStats]) -> Vec<u32> {
    let places = |pass: fn(&SegmentStats) -> bool| -> Vec<u32> {
        let passed = stats.iter().enumerate().filter(|(_, segment)| pass(segment));
        passed.map(|(place, _)| place as u32).collect()
    };
    let dead = places(|segment| segment.dead == segment.rows);
    if dead.is_empty() {
        places(|segment| f64::from(segment.dead) > DEAD_SHARE * f64::from(segment.rows))
    } else {
        dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(live: u32) -> BucketStats {
        BucketStats {
            live,
            entries: 2 * live,
            slots: u64::from(2 * live).next_multiple_of(16),
            temperature: 1.0,
            ..Default::default()
        }
    }

    fn terms(target: usize, patience: f64) -> Terms {
        Terms { target, patience, bucket_entries: 16.0 }
    }

    fn actions(stats: &[BucketStats]) -> Vec<(u32, Action)> {
        buckets(stats, &terms(32, 1.0))
    }

    #[test]
    fn large_buckets_split_and_small_ones_merge_but_idle_half_full_ones_stay() {
        let stats = [bucket(200), bucket(16), bucket(3), bucket(40), bucket(0)];
        let actions = actions(&stats);
        assert_eq!(actions, [(0, Action::Split), (4, Action::Merge), (2, Action::Merge)]);
        let first = |buckets, rows| within(&actions, &stats, Limit { buckets, rows }).len();
        assert_eq!([first(1, 1_000), first(9, 1), first(9, 200), first(9, 202), first(9, 203)], [1, 1, 2, 2, 3]);
        assert_eq!(buckets(&[bucket(1)], &terms(32, 1.0)), [], "the only bucket stays");
    }

    #[test]
    fn a_split_that_would_not_pay_on_this_machine_is_not_due() {
        let costly = |bucket_entries| buckets(&[bucket(70)], &Terms { bucket_entries, ..terms(32, 1.0) });
        assert_eq!(costly(16.0), [(0, Action::Split)]);
        assert_eq!(costly(200.0), []);
    }

    #[test]
    fn temperature_orders_and_makes_nothing_due() {
        let at = |live, temperature| BucketStats { temperature, ..bucket(live) };
        let stats = [at(70, 0.1), at(70, 9.0), at(3, 9.0), at(3, 0.0), at(40, 9.0), at(40, 0.0)];
        let order = actions(&stats);
        assert_eq!(order.len(), 4, "half-full and average ones stay, hot or cold");
        let place = |position| order.iter().position(|(at, _)| *at == position);
        assert!(place(1) < place(0), "splits where most is asked");
        assert!(place(3) < place(2), "merges where least is asked");
    }

    #[test]
    fn a_split_that_was_tried_waits_for_growth() {
        let tried = |live| BucketStats { tried: 100, ..bucket(live) };
        assert_eq!(actions(&[tried(120), tried(20)]), []);
        assert_eq!(actions(&[tried(121), tried(20)]), [(0, Action::Split)]);
    }

    #[test]
    fn the_halves_of_a_split_are_not_merged_and_a_merge_does_not_cause_a_split() {
        for target in [8usize, 32, 1000] {
            let half = (SPLIT_FACTOR * target as f64 / 2.0) as u32;
            assert_eq!(buckets(&[bucket(half), bucket(half)], &terms(target, 1.0)), []);
            let merged = (MERGE_SHARE * target as f64 + target as f64) as u32;
            assert_eq!(buckets(&[bucket(merged), bucket(half)], &terms(target, 1.0)), []);
        }
    }

    #[test]
    fn work_that_no_write_accounts_for_makes_patient_and_writes_make_impatient_again() {
        let mut now = 0.0;
        for _ in 0..10 {
            now = unrest(now, (100, false), 1_000, 0, 32);
        }
        assert!(patience(now) > 4.0, "{now}");
        let stats = [bucket(100), bucket(6), bucket(0), bucket(40)];
        assert_eq!(actions(&stats).len(), 3);
        assert_eq!(buckets(&stats, &terms(32, patience(now))), [(2, Action::Merge)]);
        now = unrest(now, (0, false), 1_000, 32_000, 32);
        assert_eq!(patience(now), 1.0);
        // As many changes as the writes account for make no unrest.
        for _ in 0..100 {
            now = unrest(now, (100, false), 1_000, 2_000, 32);
        }
        assert_eq!(patience(now), 1.0);
    }

    #[test]
    fn whatever_is_due_at_each_step_it_is_nothing_in_the_end() {
        // The worst that data can do: at every step one bucket of the largest size that is not yet left alone.
        for target in [8usize, 32, 1000] {
            let (mut now, mut steps) = (-1.0, 0);
            loop {
                let due = buckets(&[bucket(1_000_000), bucket(1)], &terms(target, patience(now)));
                let Some((_, action)) = due.first() else { break };
                assert!(*action == Action::Split || *action == Action::Merge);
                now = unrest(now, (1, false), 500, 0, target);
                steps += 1;
            }
            assert!(steps < 64 * 6, "{steps}");
        }
    }

    #[test]
    fn deletions_alone_define_no_buckets_anew_until_these_are_sparse() {
        assert_eq!(displacing(1_000, 0), 0.0);
        assert_eq!(displacing(1_000, 1_000), 1_000.0, "rows that only come");
        assert_eq!(displacing(1_000, 500), 1_000.0, "a window that slides");
        assert_eq!(displacing(1_000, 100), 200.0, "one that shrinks");
        let sparse = |live, read| is_sparse(live, 100, 32, read);
        assert!(!sparse(3_200, Some(3.0)) && !sparse(2_400, Some(3.0)) && sparse(2_399, Some(3.0)));
        assert!(!sparse(100, Some(50.0)), "smaller buckets are less to read");
        assert!(!sparse(100, None), "nobody has searched");
    }

    #[test]
    fn dead_entries_are_cleared_and_changed_buckets_examined() {
        let wasteful = BucketStats { slots: 160, ..bucket(32) };
        let changed = BucketStats { fresh: 12, gone: 9, ..bucket(33) };
        let little_changed = BucketStats { fresh: 9, gone: 2, ..bucket(33) };
        assert_eq!(actions(&[wasteful, changed, little_changed]), [(0, Action::Clear), (1, Action::Examine)]);
    }

    #[test]
    fn expired_rows_are_deleted_when_the_first_expires_and_together_with_those_soon_after() {
        let seconds = Duration::from_secs;
        assert_eq!(until_expiry(NEVER, 0, None), None);
        assert_eq!(until_expiry(30_000_000, 10_000_000, None), Some(seconds(20)));
        assert_eq!(until_expiry(30_000_000, 30_000_000, None), Some(seconds(0)));
        assert_eq!(until_expiry(i64::MIN, i64::MAX, Some(seconds(60))), Some(seconds(0)));
        assert_eq!(until_expiry(11_000_000, 10_000_000, Some(seconds(3))), Some(EXPIRE_PAUSE - seconds(3)));
        assert_eq!(until_expiry(60_000_000, 10_000_000, Some(seconds(3))), Some(seconds(50)));
    }

    fn places(stats: &[SegmentStats]) -> Vec<u32> {
        segments(stats).map_or(Vec::new(), |(places, _)| places)
    }

    #[test]
    fn segments_go_when_dead_are_rewritten_when_half_dead_and_merge_in_tiers() {
        let segment = |rows, dead| SegmentStats { rows, dead };
        assert_eq!(places(&[segment(10, 10), segment(10, 9), segment(5, 0)]), [0]);
        assert_eq!(places(&[segment(10, 3), segment(10, 9), segment(5, 0)]), [1]);
        let mut tiers = vec![segment(100_000, 0)];
        tiers.extend((0..7).map(|n| segment(1_000 + n, 0)));
        assert_eq!(places(&tiers), [0u32; 0]);
        tiers.insert(3, segment(1_500, 0));
        assert_eq!(places(&tiers), [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
