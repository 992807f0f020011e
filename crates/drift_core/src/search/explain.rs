//! `explain`: one search, and why it went as far as it did.
//!
//! Layer 6. The search itself is the ordinary one, stage by stage under a clock; what it considered is read off its
//! scratch afterwards, so that explaining changes nothing about it. It counts as a query; it is not searched again as a
//! live one.

use super::buckets::{self, Limits, Work};
use super::confidence::{rank_all, tau_of, weigh};
use super::payload::{self, Payload};
use super::scratch::{self, Scratch};
use super::wanted::Wanted;
use super::{Call, check_options, exact, geometry, is_blurred, is_exact, limits, memory, push_hits, rerank, wanted};
use crate::error::{Error, Result};
use crate::memtable::SearchMode;
use crate::state::{CollectionState, Order, Ranked, Reached, StopRule, Version, live_rows};
use crate::types::{
    Confidence, Estimate, ExplainedBucket, ExplainedTimes, ExplainedWork, Explanation, Hits, LAMBDA_DEFAULT, Metric,
    SearchOptions, Stop,
};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Searches one query and explains it.
pub fn explain(collection: &CollectionState, query: &[f32], options: &SearchOptions) -> Result<Explanation> {
    collection.check_open()?;
    let recall = check_options(collection, query, options)?;
    let dim = collection.schema.dim;
    if query.len() != dim {
        let queries = query.len() / dim;
        return Err(Error::invalid(format!("explain takes one query of dimension {dim}, not {queries}")));
    }
    if options.k == 0 || is_exact(options, recall) {
        return Err(Error::invalid(
            "explain takes a k of 1 or more, and no exact or recall 1: they compare with every row",
        ));
    }
    collection.counters.queries.fetch_add(1, Ordering::Relaxed);
    let (version, now) = collection.pin_now();
    let wanted = wanted(collection, &version, options.filter.as_ref(), now)?;
    let wanted = wanted.as_ref();
    let limits = limits(&version, options, recall, options.k);
    let mut scratch = scratch::take(collection);
    let mut laps = Laps { collection, last: collection.components.clock.monotonic() };
    scratch.set_query(collection, &version.index.router, query);
    scratch.exact.reset(options.k);
    scratch.estimates.reset(rerank::width_in(&version.index, limits.rule_k()));
    let mut times = ExplainedTimes { prepare: laps.lap(), ..ExplainedTimes::default() };
    let fields = payload::fields(collection, &options.include)?;
    let call = Call { collection, version: &version, options, wanted, fields: &fields, interrupt: &|| false };
    let Found { work, used, rows_exact } = find(&call, query, limits, &mut laps, &mut times, &mut scratch)?;
    let mut hits = Hits::with_capacity(collection.schema.id_type, options.k, 1);
    let mut payload = Payload::new(&fields);
    push_hits(&version, scratch.exact.sorted(), &mut hits, &mut payload)?;
    hits.payload = payload.finish()?;
    let in_memory = scratch.exact.sorted().iter().filter(|(_, key)| memory::place(*key).is_some()).count();
    let reached = used.reached(&scratch.estimates);
    let threshold = reached.threshold;
    // Few rows that match a filter are measured wherever they are.
    let direct = work.direct;
    let seen = look(collection, &version, &used, &work, direct, reached, &mut scratch);
    Ok(Explanation {
        hits,
        recall: (options.nprobe.is_none() && options.confidence.is_none()).then_some(recall),
        difference: used.stop.difference,
        budget: used.stop.rows,
        stop: seen.stop,
        threshold,
        confidence: seen.confidence,
        geometric: seen.geometric,
        spread: seen.spread,
        buckets: seen.buckets,
        buckets_total: version.index.router.len() as u64,
        hits_memory: in_memory as u64,
        work: ExplainedWork {
            buckets: work.buckets,
            codes: work.rows,
            first_codes: work.started,
            rows_refined: work.refined,
            rows_exact,
            rows_memory: version.memtable_rows() as u64,
        },
        times,
    })
}

/// What a search read, and how far it went.
struct Found {
    work: Work,
    /// The limits as the search has set them.
    used: Limits,
    rows_exact: u64,
}

/// The search itself, stage by stage; leaves the nearest rows in `scratch.exact`.
fn find(
    call: &Call<'_>,
    query: &[f32],
    limits: Limits,
    laps: &mut Laps<'_>,
    times: &mut ExplainedTimes,
    scratch: &mut Scratch,
) -> Result<Found> {
    let Call { collection, version, options, wanted, .. } = *call;
    let flushed = wanted.map_or(version.index.rows(), |wanted| wanted.flushed);
    let mut found = Found { work: Work::default(), used: limits, rows_exact: 0 };
    if is_blurred(version, options) {
        scratch.exact = exact::nearest(call, query, None)?.swap_remove(0);
        times.exact = laps.lap();
        let used = Limits { stop: StopRule::ALL, ..limits };
        return Ok(Found { work: Work { direct: true, ..found.work }, used, rows_exact: flushed });
    }
    let predicate = wanted.and_then(Wanted::predicate);
    let is_done = memory::scan_first(collection.schema.metric, version, predicate, limits.rule_k(), scratch);
    times.memory = laps.lap();
    if flushed > 0 {
        (found.work, found.used) = buckets::scan(collection, version, &limits, wanted, scratch);
        times.scan = laps.lap();
        let (read, again) = rerank::finish(collection, version, &limits, wanted, scratch)?;
        found.work.rows += again.rows;
        found.work.refined += again.refined;
        found.rows_exact = read as u64;
        times.exact = laps.lap();
    }
    if !is_done {
        memory::scan(version, SearchMode::Fast, predicate, scratch);
        times.memory += laps.lap();
    }
    Ok(found)
}

/// Tells the time between its calls.
struct Laps<'a> {
    collection: &'a CollectionState,
    last: Duration,
}

impl Laps<'_> {
    fn lap(&mut self) -> Duration {
        let now = self.collection.components.clock.monotonic();
        now - std::mem::replace(&mut self.last, now)
    }
}

/// What a search looked at.
struct Seen {
    stop: Stop,
    confidence: f64,
    geometric: Option<f64>,
    spread: f32,
    buckets: Vec<ExplainedBucket>,
}

/// Reads it off the scratch that the search has left.
fn look(
    collection: &CollectionState,
    version: &Version,
    limits: &Limits,
    work: &Work,
    direct: bool,
    reached: Reached,
    scratch: &mut Scratch,
) -> Seen {
    let threshold = reached.threshold;
    let index = &version.index;
    if index.rows() == 0 {
        return Seen { stop: Stop::All, confidence: 1.0, geometric: None, spread: 0.0, buckets: Vec::new() };
    }
    let metric = collection.schema.metric;
    let everything = direct || buckets::is_everything(version, limits);
    let stop = if everything { Stop::All } else { buckets::why(version, limits, work, reached, scratch) };
    if everything {
        // Everything is scanned without a rank.
        index.router.begin(Order::Score, &scratch.code, &scratch.bits, &mut scratch.rank);
    }
    let considered = if everything { index.router.len() } else { scratch.rank.ranked.len() };
    // Later chunks do not change the order of those before.
    rank_all(version, scratch);
    let density = collection.density.of(metric, index);
    let (lambda, tau) = match limits.confidence {
        Some(Confidence { estimate: Estimate::Density { lambda, tau }, .. }) => (lambda, tau),
        _ => (LAMBDA_DEFAULT, None),
    };
    let total = weigh(metric, &density, lambda, tau_of(collection, version, tau), &scratch.rank, &mut scratch.weighted);
    let live = live_rows(index);
    let ids = &index.router.table().ids;
    let bucket = |(rank, (weight, ranked)): (usize, &(f64, Ranked))| ExplainedBucket {
        id: ids[ranked.position as usize].0,
        score: ranked.score,
        distance: ranked.centre.distance,
        live: live[ranked.position as usize],
        codes: index.codes_of(ranked.position as usize),
        likelihood: if total > 0.0 { weight / total } else { 0.0 },
        scanned: (rank as u64) < work.buckets,
    };
    let buckets: Vec<ExplainedBucket> = scratch.weighted.iter().take(considered).enumerate().map(bucket).collect();
    let confidence: f64 = buckets.iter().filter(|bucket| bucket.scanned).map(|bucket| bucket.likelihood).sum();
    let geometric = (metric != Metric::Dot && threshold < f32::INFINITY).then(|| {
        geometry::measure(version, scratch);
        f64::from(geometry::covered(&mut scratch.geometry, work.buckets as usize, threshold))
    });
    Seen { stop, confidence: confidence.min(1.0), geometric, spread: density.spread, buckets }
}
