//! One step of maintenance: the most urgent job that is due.
//!
//! Layer 6. Structure and segments take turns when both need work, so that neither waits for ever.

use super::compact::{Compacted, compact};
use super::expire::expire_step;
use super::flush::flush_oldest;
use super::policy::{self, Limit, SegmentStats};
use super::restructure::{Restructured, restructure};
use super::retrain::{Retrained, retrain};
use super::survey;
use super::worker::OtherPaths;
use crate::error::Result;
use crate::state::{CollectionState, Job, JobRecord, LiveSegment, SCAN_ALL_ROWS, Unrest};
use crate::sync::Pool;
use std::time::Duration;

/// What one step takes on: about a second of work, for which a flush may have to wait.
const STEP: Limit = Limit { buckets: 256, rows: 8_192 };

/// A finished step.
pub struct Step {
    /// What is told of it.
    pub record: JobRecord,
    /// Rows moved or written.
    pub rows: u64,
}

/// Which job is next where several are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The most urgent one, as there may be no time for the others before the next writes.
    ByUrgency,
    /// The one that leaves the least to the others, as all of them are to be done.
    All,
}

/// What is to be expected while something may be due: whether the background may do it.
pub fn unrest(collection: &CollectionState) -> Unrest {
    let schedule = &collection.schedule;
    let may_begin = !schedule.is_paused() && schedule.budget().quiet_for(collection.components.clock.wall()).is_zero();
    if may_begin { Unrest::Passing } else { Unrest::Settled }
}

/// Does the next job; none when nothing is due. Runs on the caller's pool; the caller holds the job lock.
pub fn step(collection: &CollectionState, paths: &OtherPaths, order: Order) -> Result<Option<Step>> {
    if !may_begin(collection, order) {
        return Ok(None);
    }
    // First: every dead row fewer is one that the others need not move.
    if let Some(step) = expire_step(collection, paths, true)? {
        return Ok(Some(step));
    }
    let share = if order == Order::All { policy::RETRAIN_SETTLED_SHARE } else { policy::RETRAIN_SHARE };
    if let Some(step) = retrain_step(collection, share)? {
        return Ok(Some(step));
    }
    let turn = turn(collection, order)?;
    if turn.is_some() { Ok(turn) } else { retrain_step(collection, policy::RETRAIN_SETTLED_SHARE) }
}

/// Whether a job may begin now that whatever it waited for is over: one of the background's may have been due before a pause.
fn may_begin(collection: &CollectionState, order: Order) -> bool {
    order == Order::All || !collection.schedule.is_paused()
}

/// Structure or segments, whichever was not served last.
fn turn(collection: &CollectionState, order: Order) -> Result<Option<Step>> {
    if !may_begin(collection, order) {
        return Ok(None);
    }
    let segments_first = collection.jobs.last() == Some(Job::Restructure);
    let jobs = if segments_first { [compact_step, restructure_step] } else { [restructure_step, compact_step] };
    let first = jobs[0](collection)?;
    if first.is_some() { Ok(first) } else { jobs[1](collection) }
}

/// The writes since the buckets were defined together, when these displace so large a share of the rows that they are to be defined anew.
pub fn retraining_due(collection: &CollectionState, share: f64) -> Option<u64> {
    let version = collection.pin();
    let trained = collection.maintenance.lock().manifest.trained_seq;
    let (rows, writes) = (version.index.rows(), version.seq.saturating_sub(trained));
    let due = share * rows as f64;
    let is_sparse = || {
        let (buckets, target) = (version.index.router.len(), collection.config.bucket_rows_target);
        policy::is_sparse(version.live_rows, buckets, target, survey::read(collection))
    };
    let is_due = rows > SCAN_ALL_ROWS
        && writes as f64 >= due
        && (policy::displacing(writes, survey::written_since(&version.index, trained)) >= due || is_sparse());
    is_due.then_some(writes)
}

/// Defines the buckets anew when that is due at this share of the rows.
fn retrain_step(collection: &CollectionState, share: f64) -> Result<Option<Step>> {
    let Some(writes) = retraining_due(collection, share) else { return Ok(None) };
    let start = collection.components.clock.monotonic();
    let Retrained { before, buckets, rows, bytes } = retrain(collection)?;
    let reason = format!("{writes} writes since the buckets were defined together");
    let effect = format!("{before} buckets became {buckets}; {rows} rows placed");
    let record = finished(collection, Job::Retrain, start, reason, effect, bytes);
    collection.jobs.add(record.clone());
    Ok(Some(Step { record, rows }))
}

fn restructure_step(collection: &CollectionState) -> Result<Option<Step>> {
    let start = collection.components.clock.monotonic();
    let Some(done) = restructure(collection, STEP)? else { return Ok(None) };
    let Restructured { split, merged, recentred, cleared, moved, bytes, reason } = done;
    let effect =
        format!("{split} buckets split, {merged} merged, {recentred} recentred, {cleared} cleared; {moved} rows moved");
    let record = finished(collection, Job::Restructure, start, reason.to_string(), effect, bytes);
    if split + merged + recentred + cleared > 0 {
        collection.jobs.add(record.clone());
    }
    Ok(Some(Step { record, rows: moved }))
}

fn compact_step(collection: &CollectionState) -> Result<Option<Step>> {
    let start = collection.components.clock.monotonic();
    flush_deaths(collection)?;
    let stats = survey::segments(&collection.pin());
    let Some((places, reason)) = policy::segments(&stats) else { return Ok(None) };
    let Compacted { segments, rows, dropped, bytes } = compact(collection, &places)?;
    let effect = format!("{segments} segments gone, {rows} rows written, {dropped} dead rows dropped");
    let record = finished(collection, Job::Compact, start, reason.to_owned(), effect, bytes);
    collection.jobs.add(record.clone());
    Ok(Some(Step { record, rows }))
}

/// Flushes what is in memory when that lets dead rows go: those whose death is only in the log must be kept.
fn flush_deaths(collection: &CollectionState) -> Result<()> {
    let mut maintenance = collection.maintenance.lock();
    maintenance.check_open()?;
    let version = collection.pin();
    let all = |live: &LiveSegment| SegmentStats { rows: live.segment.rows(), dead: live.segment.dead_rows() as u32 };
    let wasted = policy::wasted(&version.index.segments.iter().map(all).collect::<Vec<_>>());
    if wasted.is_empty() || wasted == policy::wasted(&survey::segments(&version)) {
        return Ok(());
    }
    collection.rotate(&mut collection.writes.lock())?;
    while flush_oldest(collection, &mut maintenance)? {}
    Ok(())
}

/// Steps of restructuring behind a load, at most.
const SETTLE_STEPS: usize = 8;

/// Brings buckets into order that a load has left too small or too large, before rules are measured on them: done later it
/// makes these stale, the more so as the jobs that measure them again wait where the machine is busy. What the background
/// does at the moment, or may not do, is left to it. On `pool`.
pub fn settle_buckets(collection: &CollectionState, pool: &Pool) -> Result<()> {
    let Some(_job) = collection.job.try_lock() else { return Ok(()) };
    for _ in 0..SETTLE_STEPS {
        if unrest(collection) == Unrest::Settled || pool.install(|| restructure_step(collection))?.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

/// The record of a job that began at `start` and has ended.
pub fn finished(
    collection: &CollectionState,
    job: Job,
    start: Duration,
    reason: String,
    effect: String,
    bytes: u64,
) -> JobRecord {
    let clock = &collection.components.clock;
    JobRecord { job, reason, effect, ended: clock.wall(), took: clock.monotonic() - start, bytes }
}

/// Steps that one call of [`run_once`] takes at most: what is due then is due because of its own work.
const STEPS_MAX: usize = 1_000;

/// Deletes all rows that have expired; tells what was done.
pub fn expire_all(collection: &CollectionState, paths: &OtherPaths) -> Result<Vec<JobRecord>> {
    collection.check_writable()?;
    let _job = collection.job.lock();
    let mut records = Vec::new();
    while let Some(step) = expire_step(collection, paths, false)? {
        records.push(step.record);
    }
    Ok(records)
}

/// Does all that is due, now, on a pool of its own, whatever the budget; tells what was done.
pub fn run_once(collection: &CollectionState, pool: &Pool, paths: &OtherPaths) -> Result<Vec<JobRecord>> {
    let mut records = expire_all(collection, paths)?;
    for _ in 0..STEPS_MAX {
        let _job = collection.job.lock();
        match pool.install(|| step(collection, paths, Order::All))? {
            Some(step) => records.push(step.record),
            None => break,
        }
    }
    Ok(records)
}
