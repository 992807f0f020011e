//! Ranking by distance and age, exactly as far as the search itself is exact.
//!
//! Layer 6. The nearest rows are searched for as ever, more of them than are wanted, and ranked by distance plus penalty. A row
//! that was not among them is farther than the last of them and no younger than the youngest there is: once that sum is no less
//! than the value of the k-th, none of them can be better. Until then more are searched for; where that would be a large share
//! of all, every row is measured instead. (The threshold algorithm of Fagin, Lotem and Naor, 2001, with one list.)

use super::buckets::place;
use super::exact;
use super::memory;
use super::scratch::{self, Scratch};
use super::wanted::Wanted;
use super::{Call, QUERIES_PER_CHUNK, check, find, limits, push_hits, rerank::exact_distance, watched};
use crate::error::{Error, Result};
use crate::segment::NO_TIME;
use crate::state::Version;
use crate::types::{Decay, FieldType, Hits, TopK, Value};
use rayon::prelude::*;
use std::sync::Arc;

/// How many times more rows each search asks for than the one before.
const DEEPER: usize = 4;

/// Most rows that one search asks for: a list of the best is kept sorted, which costs the square of its length.
const WIDTH_MAX: usize = 4_096;

/// A search asks for at most this share of the rows: beyond it measuring each is cheaper.
const SHARE_MAX: usize = 8;

/// Searches and ranks by distance and age.
pub fn search(call: &Call<'_>, queries: &[f32], recall: f32) -> Result<Hits> {
    let Call { collection, version, options, .. } = *call;
    let fading = Fading::of(call)?;
    let dim = collection.schema.dim;
    let answer = |(at, query): (usize, &[f32])| {
        if at % QUERIES_PER_CHUNK == QUERIES_PER_CHUNK - 1 {
            check(call.interrupt)?;
        }
        if options.exact { Ok(None) } else { nearest(call, &fading, query, recall) }
    };
    let count = queries.len() / dim;
    let threads = options.threads.unwrap_or_else(|| collection.pool.current_num_threads());
    let found: Vec<Option<TopK>> = if count == 1 || threads == 1 {
        queries.chunks_exact(dim).enumerate().map(answer).collect::<Result<_>>()?
    } else {
        watched(collection, call.interrupt, || {
            queries.par_chunks_exact(dim).enumerate().map(answer).collect::<Result<_>>()
        })?
    };
    let left: Vec<f32> = queries
        .chunks_exact(dim)
        .zip(&found)
        .filter(|(_, found)| found.is_none())
        .flat_map(|(query, _)| query.iter().copied())
        .collect();
    let mut measured =
        if left.is_empty() { Vec::new() } else { exact::nearest(call, &left, Some(&fading))? }.into_iter();
    let mut hits = Hits::with_capacity(collection.schema.id_type, options.k, count);
    let mut payload = super::Payload::new(call.fields);
    let empty = TopK::default();
    for found in found {
        let best = found.or_else(|| measured.next());
        push_hits(version, best.as_ref().unwrap_or(&empty).sorted(), &mut hits, &mut payload)?;
    }
    hits.payload = payload.finish()?;
    Ok(hits)
}

/// The best rows of one query; none when every row has to be measured.
fn nearest(call: &Call<'_>, fading: &Fading<'_>, query: &[f32], recall: f32) -> Result<Option<TopK>> {
    let Call { collection, version, options, wanted, .. } = *call;
    let flushed = wanted.map_or(version.index.rows(), |wanted| wanted.flushed) as usize;
    let rows = flushed + version.memtable_rows();
    // An expert who says how far the search goes gets what is there.
    let overridden = options.nprobe.is_some() || options.confidence.is_some();
    let width_max = WIDTH_MAX.min(rows / SHARE_MAX);
    let mut scratch = scratch::take(collection);
    let mut best = TopK::new(options.k);
    let mut width = DEEPER * options.k;
    while overridden || width <= width_max {
        find(collection, version, query, &limits(version, options, recall, width), wanted, &mut scratch)?;
        best.reset(options.k);
        for &(distance, key) in scratch.exact.sorted() {
            best.push(distance + fading.penalty(version, key), key);
        }
        let met = scratch.exact.len();
        let none_is_left = met < width && (overridden || met >= rows);
        let none_is_better = met == width && scratch.exact.nth(width) + fading.least >= best.threshold();
        width *= DEEPER;
        if none_is_left || none_is_better || overridden && width > WIDTH_MAX {
            return Ok(Some(best));
        }
    }
    Ok(None)
}

/// The penalties of a version's rows.
pub struct Fading<'a> {
    decay: &'a Decay,
    /// Of each segment, by its place; none where no row has a time.
    times: Vec<Option<Arc<[i64]>>>,
    /// The least penalty that a row has.
    least: f32,
}

impl<'a> Fading<'a> {
    fn of(call: &Call<'a>) -> Result<Fading<'a>> {
        let decay = call.options.decay.as_ref().ok_or_else(|| Error::internal("a decay is asked for"))?;
        let field = decay.field.as_str();
        match call.collection.fields.read().kind(field) {
            Some(FieldType::Timestamp) => {}
            Some(kind) => {
                return Err(Error::invalid(format!(
                    "decay is by field {field:?}, which is {}: ages need a timestamp field",
                    kind.name()
                )));
            }
            None => {
                return Err(Error::invalid(format!("decay is by field {field:?}, which the collection does not have")));
            }
        }
        let mut newest = None;
        let mut times = Vec::with_capacity(call.version.index.segments.len());
        for live in &call.version.index.segments {
            newest = newest.max(live.segment.time_zone(field)?.map(|zone| zone.max));
            times.push(live.segment.times(field)?);
        }
        let mut fading = Fading { decay, times, least: 0.0 };
        for (place, memtable) in call.version.memtables().enumerate() {
            for row in 0..memtable.len() {
                newest = newest.max(fading.time(call.version, memory::key(place, row)));
            }
        }
        fading.least = decay.penalty(newest);
        Ok(fading)
    }

    fn time(&self, version: &Version, key: u64) -> Option<i64> {
        match memory::place(key) {
            Some((at, row)) => {
                let memtable = version.memtables().nth(at).expect("invariant: the key came from this version");
                let value =
                    memtable.payload(row).and_then(|(columns, row)| Some(columns.get(&self.decay.field)?.get(row)));
                if let Some(Value::Timestamp(time)) = value { Some(time) } else { None }
            }
            None => {
                let (segment, row) = place(key);
                let times = self.times[segment as usize].as_ref()?;
                Some(times[row as usize]).filter(|time| *time != NO_TIME)
            }
        }
    }

    /// What a row is ranked behind its distance.
    pub fn penalty(&self, version: &Version, key: u64) -> f32 {
        self.decay.penalty(self.time(version, key))
    }

    /// Adds the best memtable rows to `scratch.exact`, each measured.
    pub fn scan_memory(&self, call: &Call<'_>, scratch: &mut Scratch) {
        let predicate = call.wanted.and_then(Wanted::predicate);
        for (place, memtable) in call.version.memtables().enumerate() {
            memtable.for_each_visible(call.version.seq, |row, _| {
                let vector = memtable.vector(row);
                let distance = exact_distance(call.collection.schema.metric, &scratch.query.prepared, vector);
                let is_near = distance <= scratch.exact.threshold();
                if is_near && predicate.is_none_or(|predicate| memtable.satisfies(row, predicate)) {
                    let key = memory::key(place, row);
                    scratch.exact.push(distance + self.penalty(call.version, key), key);
                }
            });
        }
    }
}
