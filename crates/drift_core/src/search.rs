//! The read path: plan, scan memtables and buckets, re-rank exactly, merge.
//!
//! Layer 6. A search pins one version and never takes a lock. Buckets are ranked by the router and scanned nearest
//! first with estimates until the stop rule of the recall target says that the rest will not pay; the best few rows
//! are then measured exactly from their cold vectors. Memtables come last, against the threshold that this has set.

mod buckets;
pub mod calibrate;
mod confidence;
mod decay;
mod exact;
mod expiry;
mod explain;
mod filter;
mod first;
mod geometry;
mod get;
mod matching;
mod memory;
mod payload;
mod reach;
mod rerank;
mod scratch;
mod wanted;

pub use expiry::expired;
pub use explain::explain;
pub use get::{contains, get, get_with_seqs, ids, live_rows};
pub use matching::{PAGE_ROWS_MAX, Page, count, matching, page};
pub use scratch::Scratch;

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::Asked;
use crate::memtable::SearchMode;
use crate::state::{BLURRED, CollectionState, SCAN_ALL_ROWS, StopRule, Version};
use crate::sync::install_watched;
use crate::types::{Estimate, Field, Hits, Interrupt, Metric, Predicate, SearchOptions, Vectors};
use buckets::Limits;
use payload::Payload;
use rayon::prelude::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wanted::Wanted;

/// Queries between two looks at the interrupt: a few milliseconds.
const QUERIES_PER_CHUNK: usize = 64;

/// Searches `queries` (row-major, `n * dim`).
pub fn search(
    collection: &CollectionState,
    queries: &[f32],
    options: &SearchOptions,
    interrupt: Interrupt<'_>,
) -> Result<Hits> {
    collection.check_open()?;
    let recall = check_options(collection, queries, options)?;
    let dim = collection.schema.dim;
    let count = queries.len() / dim;
    if options.k == 0 || count == 0 {
        return Ok(Hits { queries: count, ..Hits::with_capacity(collection.schema.id_type, options.k, 0) });
    }
    collection.counters.asked.store(true, Ordering::Relaxed);
    collection.counters.queries.fetch_add(count as u64, Ordering::Relaxed);
    let (version, now) = collection.pin_now();
    let exact;
    let options = if options.exact || !(is_exact(options, recall) || is_blurred(&version, options)) {
        options
    } else {
        exact = SearchOptions { exact: true, ..options.clone() };
        &exact
    };
    let fields = payload::fields(collection, &options.include)?;
    let wanted = wanted(collection, &version, options.filter.as_ref(), now)?;
    if options.decay.is_some() {
        let call = Call { collection, version: &version, options, wanted: wanted.as_ref(), fields: &fields, interrupt };
        return decay::search(&call, queries, recall);
    }
    if options.exact {
        let call = Call { collection, version: &version, options, wanted: wanted.as_ref(), fields: &fields, interrupt };
        return exact::search(&call, queries);
    }
    let limits = limits(&version, options, recall, options.k);
    let threads = options.threads.unwrap_or_else(|| collection.pool.current_num_threads());
    let plan = Plan { options, limits, wanted: wanted.as_ref(), now, fields: &fields };
    let answer = |queries: &[f32]| answer(collection, &version, queries, &plan, interrupt);
    if count == 1 || threads == 1 {
        return answer(queries);
    }
    let chunk = count.div_ceil(4 * threads).clamp(1, QUERIES_PER_CHUNK);
    let parts: Result<Vec<Hits>> =
        watched(collection, interrupt, || queries.par_chunks(chunk * dim).map(answer).collect());
    let mut hits = Hits::with_capacity(collection.schema.id_type, options.k, count);
    parts?.into_iter().for_each(|part| hits.append(part));
    Ok(hits)
}

/// Whether every row is compared: also for a recall of 1, since estimates miss a neighbour now and then, however many
/// buckets are scanned.
fn is_exact(options: &SearchOptions, recall: f32) -> bool {
    options.exact || recall >= 1.0 && options.nprobe.is_none() && options.confidence.is_none()
}

/// Whether every row is compared because codes do not tell near rows apart, so that no rule reaches any recall.
fn is_blurred(version: &Version, options: &SearchOptions) -> bool {
    let overridden = options.nprobe.is_some() || options.confidence.is_some();
    !overridden && version.index.rows() > SCAN_ALL_ROWS && version.index.calibration().spare() == BLURRED
}

/// What a search was asked, and of what.
struct Call<'a> {
    collection: &'a CollectionState,
    version: &'a Version,
    options: &'a SearchOptions,
    wanted: Option<&'a Wanted>,
    fields: &'a [Field],
    interrupt: Interrupt<'a>,
}

/// What all queries of a call have in common.
struct Plan<'a> {
    options: &'a SearchOptions,
    limits: Limits,
    wanted: Option<&'a Wanted>,
    now: Option<i64>,
    fields: &'a [Field],
}

/// Finds the rows that satisfy a filter, whose fields must be known, and have not expired at `now`; none when that is all.
fn wanted(
    collection: &CollectionState,
    version: &Version,
    filter: Option<&Arc<Predicate>>,
    now: Option<i64>,
) -> Result<Option<Wanted>> {
    if filter.is_none() && now.is_none() {
        return Ok(None);
    }
    filter.map_or(Ok(()), |filter| filter.check_fields(&collection.fields.read()))?;
    Wanted::find(collection, version, filter, now)
}

/// Answers queries one after the other on this thread.
fn answer(
    collection: &CollectionState,
    version: &Version,
    queries: &[f32],
    plan: &Plan<'_>,
    interrupt: Interrupt<'_>,
) -> Result<Hits> {
    let &Plan { options, ref limits, wanted, fields, .. } = plan;
    let mut scratch = scratch::take(collection);
    let mut hits = Hits::with_capacity(collection.schema.id_type, options.k, queries.len() / collection.schema.dim);
    let mut payload = Payload::new(fields);
    for (row, query) in queries.chunks_exact(collection.schema.dim).enumerate() {
        if row % QUERIES_PER_CHUNK == QUERIES_PER_CHUNK - 1 {
            check(interrupt)?;
        }
        find(collection, version, query, limits, wanted, &mut scratch)?;
        push_hits(version, scratch.exact.sorted(), &mut hits, &mut payload)?;
        keep_shadow(collection, version, query, plan, &mut scratch);
    }
    hits.payload = payload.finish()?;
    Ok(hits)
}

/// Leaves the nearest rows of a query, as many as `limits` say, in `scratch.exact`.
fn find(
    collection: &CollectionState,
    version: &Version,
    query: &[f32],
    limits: &Limits,
    wanted: Option<&Wanted>,
    scratch: &mut Scratch,
) -> Result<()> {
    scratch.set_query(collection, &version.index.router, query);
    scratch.exact.reset(limits.k);
    scratch.estimates.reset(rerank::width_in(&version.index, limits.rule_k()));
    let predicate = wanted.and_then(Wanted::predicate);
    let is_done = memory::scan_first(collection.schema.metric, version, predicate, limits.rule_k(), scratch);
    if wanted.map_or(version.index.rows(), |wanted| wanted.flushed) > 0 {
        buckets::scan(collection, version, limits, wanted, scratch);
        rerank::finish(collection, version, limits, wanted, scratch)?;
    }
    if !is_done {
        memory::scan(version, SearchMode::Fast, predicate, scratch);
    }
    Ok(())
}

/// How far a search for `k` rows with these options goes.
fn limits(version: &Version, options: &SearchOptions, recall: f32, k: usize) -> Limits {
    let overridden = options.nprobe.is_some() || options.confidence.is_some();
    Limits {
        stop: if overridden { StopRule::ALL } else { version.rule(recall, k) },
        recall,
        buckets_max: options.nprobe.unwrap_or(usize::MAX),
        k,
        confidence: options.confidence,
    }
}

/// Keeps a query and its answer, if it is one of those to be searched again in the background.
#[inline]
fn keep_shadow(collection: &CollectionState, version: &Version, query: &[f32], plan: &Plan<'_>, scratch: &mut Scratch) {
    let &Plan { options, wanted, now, .. } = plan;
    let overridden = options.nprobe.is_some() || options.confidence.is_some();
    if overridden || version.index.rows() <= SCAN_ALL_ROWS || options.k > calibrate::SHADOW_K_MAX {
        return;
    }
    let asked = calibrate::asked(options.k, options.filter.is_some());
    let is_traceable = asked == Asked::Nearest && wanted.is_none();
    let is_due = collection.recall.waiting.offer(is_traceable, |shadow| {
        shadow.query.clear();
        shadow.query.extend_from_slice(query);
        shadow.asked = asked;
        shadow.filter.clone_from(&options.filter);
        shadow.now = now;
        shadow.target = options.recall.unwrap_or(collection.config.recall_default);
        shadow.distances.clear();
        shadow.distances.extend(scratch.exact.sorted().iter().map(|(distance, _)| *distance));
        (shadow.k, shadow.seq, shadow.index) = (options.k, version.seq, version.index.rows_name());
    });
    if is_due {
        collection.signal.raise(|work| work.shadow = true);
    }
}

/// Appends the query's best rows, padded to `k`.
fn push_hits(version: &Version, best: &[(f32, u64)], hits: &mut Hits, payload: &mut Payload<'_>) -> Result<()> {
    for &(_, key) in best {
        payload.push(version, get::place_of(key))?;
    }
    hits.push(best.iter().map(|&(distance, key)| (get::id_at(version, get::place_of(key)), distance)));
    payload.pad(hits.queries * hits.k);
    Ok(())
}

/// Runs `work`, whose parts look at the interrupt, on all threads, while this one asks for it: signals come to it alone.
fn watched<R: Send>(collection: &CollectionState, interrupt: Interrupt<'_>, work: impl FnOnce() -> R + Send) -> R {
    install_watched(&collection.pool, work, || {
        interrupt();
    })
}

fn check(interrupt: Interrupt<'_>) -> Result<()> {
    if interrupt() {
        return Err(Error::new(ErrorKind::Interrupted, "the search was interrupted"));
    }
    Ok(())
}

/// Checks the arguments and returns the recall aimed at.
fn check_options(collection: &CollectionState, queries: &[f32], options: &SearchOptions) -> Result<f32> {
    let dim = collection.schema.dim;
    if !queries.len().is_multiple_of(dim) {
        return Err(Error::invalid(format!("{} query values are not a multiple of dimension {dim}", queries.len())));
    }
    options.validate()?;
    let geometric = options.confidence.is_some_and(|confidence| confidence.estimate == Estimate::Geometric);
    if geometric && collection.schema.metric == Metric::Dot {
        return Err(Error::invalid(
            "routing=\"geometric\" measures distances to the boundaries of buckets, which metric \"dot\" has none of: use \"density\"",
        ));
    }
    let recall = options.recall.unwrap_or(collection.config.recall_default);
    collection.schema.check_vectors("query", queries.len() / dim, &Vectors::F32(queries))?;
    Ok(recall)
}
