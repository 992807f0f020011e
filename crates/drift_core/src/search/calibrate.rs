//! Measures how far a search must go for each recall target, and keeps measuring.
//!
//! Layer 6. A traced query has its buckets scanned in rank order to the end, once, which tells for every (difference,
//! budget) pair where a search would have stopped and which of the true neighbours it would have had by then. Per target
//! the pair that scans least is kept. Traced are sampled rows, as queries that must not find themselves: after a bulk load,
//! after optimize, and a few more whenever a share of the rows has changed; and live queries (`shadow`), which count alone once
//! there are enough that came since. One measurement at a time: a rule is fitted to all traces there are.

mod candidates;
mod fit;
mod foresee;
mod neighbours;
mod outcomes;
mod resolution;
mod shadow;
mod trace;

pub use shadow::{K_MAX as SHADOW_K_MAX, asked, check_shadows, save};

use crate::clock;
use crate::error::Result;
use crate::manifest::CalibrationPoint;
use crate::state::{
    Calibration, Changes, CollectionState, ROW_TRACES_MAX, RecallLog, SCAN_ALL_ROWS, Trace, Unrest, Version,
};
use crate::storage::failpoint::{Failpoint, reach};
use crate::sync::Pool;
use crate::types::Seq;
use candidates::Origin;
use fit::Evidence;
use rand::RngExt;
use rayon::prelude::*;
use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use trace::{Scanned, Traced, Wanted};

/// Rows that are traced where none has been: a load waits for them. Row reads that all of them together may cost.
const QUERIES_MIN: usize = 256;
const QUERIES_MAX: usize = 2_000;
const ROW_READS_MAX: usize = 400_000_000;

/// Rows drawn for each query wanted.
const DRAWS_PER_QUERY: usize = 4;

/// Queries that share one pass over the codes: so many that memory keeps up with the products.
const GROUP: usize = 32;

/// Share of the rows that must have changed before some are traced again: while changes go on, and once they have come to
/// rest.
const CHANGED_SHARE: f64 = 0.3;
const SETTLED_SHARE: f64 = 0.1;

/// Share of the buckets that are merged with others upon which some rows are traced again once there is rest: what is left of a region
/// that was deleted then lies in buckets far from it, and whoever asks there finds it no longer by the same rule.
const MERGED_SHARE: f64 = 0.04;

/// Rows and live queries that are traced together when a share has changed, at least: their mean recall is within 0.007 of the
/// truth. Row reads that tracing more of them may cost: up to 10,000 rows as many as are kept.
const REFRESH_TRACES_MIN: usize = 768;
const REFRESH_READS: usize = 40_000_000;

/// The same while jobs are due, after which what is traced holds no more.
const PASSING_TRACES: usize = 256;

/// Groups of each kind that are traced at least once so many rows have come meanwhile that rules are doubted: searches wait for them then.
const GROUPS_MIN: usize = 4;

/// What the margin has besides in collections of few rows, and what few rows are: sampled ones foretell queries worse there, and more
/// codes cost little.
const FEW_MARGIN: f32 = 0.15;
const FEW_ROWS: f32 = 10_000.0;

/// Rows that are traced for more than ten neighbours as well: a hundred of each tell as much as ten of ten times as many rows.
const WAYS: usize = 256;

/// Rows of which one is among the newest.
const NEWEST_OF: usize = 8;

/// Share of the traces that live queries have where all who come ask as was asked before, and that the newest rows have of the others where
/// all ask for what came last; and the share of each in the opposite case.
const FORETELLING_SHARE: f64 = 0.75;
const MISLEADING_SHARE: f64 = 0.25;

/// Sampled rows, and newest ones, that are traced at least: fewer foretell nothing, and nothing would be learned again.
const KIND_MIN: usize = 64;

/// Measures the rules anew if enough has changed since they were measured; whether it did. Runs on `pool`.
pub fn refresh(collection: &CollectionState, pool: &Pool, state: Unrest) -> Result<bool> {
    let _one = collection.recall.measuring.lock();
    pool.install(|| refresh_if_due(collection, state))
}

fn refresh_if_due(collection: &CollectionState, state: Unrest) -> Result<bool> {
    let base = Base::pin(collection);
    let (version, now) = (&base.version, base.changes);
    let rows = version.index.rows();
    if rows <= SCAN_ALL_ROWS {
        return Ok(false);
    }
    let (traced_at, settled_at) = {
        let log = collection.recall.log.lock();
        (log.traced_at, log.settled_at)
    };
    let known = collection.maintenance.lock().manifest.calibrated_rows;
    let Some(before) = (if state == Unrest::Settled { settled_at } else { traced_at }) else {
        // Just opened: the rules in the manifest hold for the rows that they were measured on.
        if known > 0 && !version.is_doubted() && (rows.abs_diff(known) as f64) < CHANGED_SHARE * known as f64 {
            let mut log = collection.recall.log.lock();
            (log.traced_at, log.settled_at) = (Some(now), Some(now));
            log.note_rows(version.live_rows, version.seq);
            return Ok(false);
        }
        measure_all(collection)?;
        return Ok(true);
    };
    let changed = now.rows.saturating_sub(before.rows) as f64 / version.live_rows.max(1) as f64;
    let merged = (now.merged - before.merged) as f64 / version.index.router.len() as f64;
    let is_due = match state {
        // Where somebody searches, as soon as rules are doubted.
        Unrest::Passing => {
            let is_asked = collection.counters.asked.load(Ordering::Relaxed);
            changed >= CHANGED_SHARE || is_asked && version.is_doubted()
        }
        Unrest::Settled => changed >= SETTLED_SHARE || merged >= MERGED_SHARE,
    };
    if !is_due {
        return Ok(false);
    }
    // What was traced before so much changed speaks of other buckets: a larger collection needs a smaller share of them.
    let wanted = match state {
        Unrest::Passing => PASSING_TRACES,
        Unrest::Settled => {
            (REFRESH_READS / rows as usize).min(ROW_TRACES_MAX).max(REFRESH_TRACES_MIN.min(traces_of(rows)))
        }
    };
    trace_and_fit(collection, &base, wanted, state)?;
    Ok(true)
}

/// Measures the rules on as many rows as they should be measured on, and commits them. Runs on `pool`.
pub fn measure(collection: &CollectionState, pool: &Pool) -> Result<()> {
    let _one = collection.recall.measuring.lock();
    pool.install(|| measure_all(collection))
}

fn measure_all(collection: &CollectionState) -> Result<()> {
    let base = Base::pin(collection);
    let rows = base.version.index.rows();
    if rows <= SCAN_ALL_ROWS { Ok(()) } else { trace_and_fit(collection, &base, traces_of(rows), Unrest::Settled) }
}

/// How many rows of `rows` are traced when all is new.
fn traces_of(rows: u64) -> usize {
    (ROW_READS_MAX / rows as usize).clamp(QUERIES_MIN, QUERIES_MAX)
}

/// What rules are measured on.
struct Base {
    version: Arc<Version>,
    /// What has changed up to it.
    changes: Changes,
    /// The write up to which all buckets were last defined together.
    trained: Seq,
}

impl Base {
    /// What there is now; no move that its index has not seen is among what has changed. A row in a memtable counts when it is flushed, as
    /// no rule speaks of it before.
    fn pin(collection: &CollectionState) -> Base {
        let trained = collection.maintenance.lock().manifest.trained_seq;
        let counters = &collection.counters;
        let (moved, merged) =
            (counters.rows_moved.load(Ordering::Acquire), counters.buckets_merged.load(Ordering::Acquire));
        let version = collection.pin();
        // The memtable may have taken up more since.
        let rows = version.seq.saturating_sub(version.memtable_rows() as u64) + moved;
        Base { version, changes: Changes { rows, merged }, trained }
    }
}

/// Traces `wanted` rows and live queries, and follows what they show.
fn trace_and_fit(collection: &CollectionState, base: &Base, wanted: usize, state: Unrest) -> Result<()> {
    let &Base { ref version, changes, trained } = base;
    let (has_changed, queries, newest_share) = {
        let mut log = collection.recall.log.lock();
        foresee::learn(&mut log);
        let newest_share = f64::from(log.foresight.newest_share());
        (log.note_rows(version.live_rows, version.seq), log.forget_traces(version.seq), newest_share)
    };
    let part = |of: usize, foretold: f64| {
        let share = MISLEADING_SHARE + (FORETELLING_SHARE - MISLEADING_SHARE) * foretold;
        (share * of as f64) as usize
    };
    let live = queries.len().min(part(wanted, 1.0 - newest_share)).min(wanted - 2 * KIND_MIN);
    // The newest first, as the oldest may be left out.
    let now: Vec<(&[f32], Seq)> =
        queries[queries.len() - live..].iter().rev().map(|query| (&query[..], version.seq)).collect();
    let rest = wanted - live;
    let newest = if has_changed { part(rest, newest_share).clamp(KIND_MIN, rest - KIND_MIN) } else { 0 };
    let is_short = AtomicBool::new(false);
    let is_enough = |group: usize| {
        let is_overtaken = || collection.pin().is_doubted_since(version);
        let is_enough = group >= GROUPS_MIN && (is_short.load(Ordering::Relaxed) || is_overtaken());
        is_short.fetch_or(is_enough, Ordering::Relaxed);
        is_enough
    };
    let sampled = sample(collection, version, wanted - live - newest);
    let mut scanned = scan_rows(collection, version, &sampled, WAYS, is_enough)?;
    let usual = trace::usual_distance(collection.schema.metric, &mut scanned);
    let spare = resolution::spare(collection, version, &scanned)?;
    let mut live = trace_groups(collection, version, &now, (usual, spare), Wanted::Way, is_enough)?;
    live.reverse();
    let rows = trace_rows(collection, version, scanned, (usual, spare))?;
    let newest = scan_rows(collection, version, &sample_newest(collection, version, newest), 0, is_enough)?;
    let newest = trace_rows(collection, version, newest, (usual, spare))?;
    let points = {
        let mut log = collection.recall.log.lock();
        let ways: Vec<_> = rows.iter().filter_map(neighbours::ways).collect();
        log.add_rows(rows.into_iter().map(|traced| traced.trace));
        log.newest = newest.into_iter().map(|traced| traced.trace).collect();
        log.add_older(queries, live.into_iter().map(|traced| traced.trace).collect());
        log.base = fit_log(&mut log, version, |points, _| neighbours::fit_wide(points, &ways));
        log.forecast = foresee::forecast(&log);
        log.base.clone()
    };
    let mut maintenance = collection.maintenance.lock();
    if maintenance.manifest.trained_seq != trained {
        // All buckets have been defined anew meanwhile, of which this says nothing; as much has changed since the last measurement.
        return Ok(());
    }
    let mut manifest = maintenance.manifest.next();
    manifest.calibration = points.clone();
    manifest.calibrated_rows = version.index.rows();
    manifest.calibrated_codes = version.index.codes();
    (manifest.usual_distance, manifest.spare_rows) = (usual, spare);
    // What a flush has brought while traces were taken remains.
    let unmeasured = collection.pin().index.unmeasured().saturating_sub(version.index.unmeasured());
    manifest.unmeasured_rows = unmeasured;
    let calibration = Calibration::of(&manifest);
    reach(Failpoint::CalibrationCommit)?;
    maintenance.commit(manifest)?;
    publish(collection, calibration, unmeasured);
    drop(maintenance);
    // Not before: what fails is to be measured again.
    let mut log = collection.recall.log.lock();
    log.traced_at = Some(changes);
    if state != Unrest::Passing && !is_short.into_inner() {
        log.settled_at = log.traced_at;
    }
    Ok(())
}

/// Finds the candidates of rows, some `ways` of which are to be traced for more than ten neighbours as well, without the groups before
/// which `is_enough`. Runs on the caller's pool.
fn scan_rows(
    collection: &CollectionState,
    version: &Version,
    rows: &[Origin],
    ways: usize,
    is_enough: impl Fn(usize) -> bool + Sync,
) -> Result<Vec<Scanned>> {
    // Samples are drawn in no order, so the first are as good as any.
    let wanted = |group: usize| if group * GROUP < ways { Wanted::Ways } else { Wanted::Way };
    let scan = |(group, rows): (usize, &[Origin])| Scanned::rows(collection, version, rows, wanted(group));
    rows.par_chunks(GROUP).enumerate().filter(|(group, _)| !is_enough(*group)).map(scan).collect()
}

/// Traces rows whose candidates are known. Runs on the caller's pool.
fn trace_rows(
    collection: &CollectionState,
    version: &Version,
    scanned: Vec<Scanned>,
    known: (f32, u32),
) -> Result<Vec<Traced>> {
    let traced: Result<Vec<Vec<Traced>>> =
        scanned.into_par_iter().map(|scanned| scanned.trace(collection, version, known)).collect();
    Ok(traced?.into_iter().flatten().collect())
}

/// Traces live queries, each as of a write, without the groups before which `is_enough`. Runs on the caller's pool.
fn trace_groups(
    collection: &CollectionState,
    version: &Version,
    queries: &[(&[f32], Seq)],
    known: (f32, u32),
    wanted: Wanted,
    is_enough: impl Fn(usize) -> bool + Sync,
) -> Result<Vec<Traced>> {
    let trace = |(_, group): (usize, &[(&[f32], Seq)])| {
        Scanned::queries(collection, version, group, wanted).trace(collection, version, known)
    };
    let groups = queries.par_chunks(GROUP).enumerate().filter(|(group, _)| !is_enough(*group));
    let groups: Result<Vec<Vec<Traced>>> = groups.map(trace).collect();
    Ok(groups?.into_iter().flatten().collect())
}

/// The rules that the kept traces speak for; those for more than ten neighbours follow from those for ten as `widen` says. Runs on the
/// caller's pool.
fn fit_log(
    log: &mut RecallLog,
    version: &Version,
    widen: impl Fn(&[CalibrationPoint], &RecallLog) -> Vec<CalibrationPoint>,
) -> Vec<CalibrationPoint> {
    log.unfitted = 0;
    let mut points = fit::fit(&Evidence {
        rows: log.rows.iter().collect(),
        newest: log.newest.iter().collect(),
        live: log.live.iter().map(|(_, trace)| trace).collect(),
        fresh: log.fresh,
        foresight: log.foresight,
        margin: log.margin,
        few_margin: FEW_MARGIN * (FEW_ROWS / version.live_rows.max(1) as f32).min(1.0),
    });
    let traces: Vec<&Trace> =
        log.rows.iter().chain(&log.newest).chain(log.live.iter().map(|(_, trace)| trace)).collect();
    let nearest = neighbours::fit_nearest(&points, &traces);
    let wide = widen(&points, log);
    points.extend(nearest.into_iter().chain(wide));
    points
}

/// Lets searches follow the rules, which so many rows came after. The caller holds the maintenance lock.
fn publish(collection: &CollectionState, calibration: Calibration, unmeasured: u64) {
    let mut writes = collection.writes.lock();
    let version = collection.pin();
    let index = Arc::new(version.index.with_calibration(calibration, unmeasured));
    collection.publish(&mut writes, Version { index, ..(*version).clone() });
}

/// `count` of the newest visible rows: those written last of some times as many random ones.
fn sample_newest(collection: &CollectionState, version: &Version, count: usize) -> Vec<Origin> {
    let mut rows = sample(collection, version, NEWEST_OF * count);
    let seq = |row: &Origin| version.index.segments[row.segment as usize].segment.seq(row.row);
    rows.sort_by_cached_key(|row| Reverse(seq(row)));
    rows.truncate(count);
    rows
}

/// `count` random visible rows, or a few less.
fn sample(collection: &CollectionState, version: &Version, count: usize) -> Vec<Origin> {
    let segments = &version.index.segments;
    let mut rng = clock::rng(collection.components.seed ^ version.seq);
    let mut ends = Vec::with_capacity(segments.len());
    let mut total = 0u64;
    for live in segments {
        total += u64::from(live.segment.rows());
        ends.push(total);
    }
    // More draws than wanted, as dead rows are passed over.
    let drawn = (0..DRAWS_PER_QUERY * count).filter_map(|_| {
        let at = rng.random_range(0..total);
        let place = ends.partition_point(|end| *end <= at);
        let live = &segments[place];
        let row = (at + u64::from(live.segment.rows()) - ends[place]) as u32;
        let visible = live.segment.is_visible(row, version.seq);
        visible.then(|| Origin { segment: place as u32, row, position: version.index.position_of(place as u32, row) })
    });
    drawn.take(count).collect()
}
