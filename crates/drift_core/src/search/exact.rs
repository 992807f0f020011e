//! `exact=True`: every visible row measured exactly, in parallel over blocks of rows.
//!
//! Layer 6. The oracle that everything else is measured against. Cold vectors are read once per call, in large
//! sequential blocks, whatever the number of queries.

use super::buckets::key;
use super::decay::Fading;
use super::memory;
use super::payload::Payload;
use super::wanted::Wanted;
use super::{Call, check, push_hits, rerank::exact_distance, scratch, watched};
use crate::error::Result;
use crate::memtable::SearchMode;
use crate::state::{CollectionState, Run, Version};
use crate::types::{Hits, Interrupt, TopK};
use rayon::prelude::*;

/// Rows of one block: at d = 384 1.5 MiB of f32, which stays in L2 while every query passes over it.
const BLOCK_ROWS: u32 = 1024;

/// Queries that a block is compared with between two looks at the interrupt: a few milliseconds.
const QUERIES_PER_LOOK: usize = 64;

/// The exact nearest rows.
pub fn search(call: &Call<'_>, queries: &[f32]) -> Result<Hits> {
    let Call { collection, version, options, fields, .. } = *call;
    let mut hits = Hits::with_capacity(collection.schema.id_type, options.k, queries.len() / collection.schema.dim);
    let mut payload = Payload::new(fields);
    for best in nearest(call, queries, None)? {
        push_hits(version, best.sorted(), &mut hits, &mut payload)?;
    }
    hits.payload = payload.finish()?;
    Ok(hits)
}

/// The exact nearest rows of each query, those that `fading` ranks first where it is given.
pub fn nearest(call: &Call<'_>, queries: &[f32], fading: Option<&Fading<'_>>) -> Result<Vec<TopK>> {
    let Call { collection, version, options, wanted, interrupt, .. } = *call;
    let dim = collection.schema.dim;
    let mut prepared = queries.to_vec();
    prepared.chunks_exact_mut(dim).for_each(|query| collection.prepare(query));
    let blocks = blocks(version);
    let asked = Asked { queries: &prepared, k: options.k, wanted, fading };
    let measure = |blocks: &[Run]| scan_blocks(collection, version, &asked, blocks, interrupt);
    let threads = options.threads.unwrap_or_else(|| collection.pool.current_num_threads());
    let parts: Result<Vec<Vec<TopK>>> = if threads == 1 || blocks.len() < 2 {
        Ok(vec![measure(&blocks)?])
    } else {
        let share = blocks.len().div_ceil(threads);
        watched(collection, interrupt, || blocks.par_chunks(share).map(measure).collect())
    };
    let parts = parts?;
    let mut scratch = scratch::take(collection);
    let mut found = Vec::with_capacity(queries.len() / dim);
    for (row, query) in queries.chunks_exact(dim).enumerate() {
        if row % QUERIES_PER_LOOK == 0 {
            check(interrupt)?;
        }
        scratch.set_query(collection, &version.index.router, query);
        scratch.exact.reset(options.k);
        parts.iter().for_each(|part| scratch.exact.merge(&part[row]));
        match fading {
            Some(fading) => fading.scan_memory(call, &mut scratch),
            None => memory::scan(version, SearchMode::Flat, wanted.and_then(Wanted::predicate), &mut scratch),
        }
        found.push(std::mem::take(&mut scratch.exact));
    }
    Ok(found)
}

/// The rows of all segments, cut into blocks.
fn blocks(version: &Version) -> Vec<Run> {
    let cut = |run: Run| {
        (0..run.rows.div_ceil(BLOCK_ROWS)).map(move |part| {
            let start = part * BLOCK_ROWS;
            Run { start, rows: BLOCK_ROWS.min(run.rows - start), ..run }
        })
    };
    version.index.segment_runs().flat_map(cut).collect()
}

/// What is asked of all blocks.
struct Asked<'a> {
    queries: &'a [f32],
    k: usize,
    wanted: Option<&'a Wanted>,
    fading: Option<&'a Fading<'a>>,
}

fn scan_blocks(
    collection: &CollectionState,
    version: &Version,
    asked: &Asked<'_>,
    blocks: &[Run],
    interrupt: Interrupt<'_>,
) -> Result<Vec<TopK>> {
    let dim = collection.schema.dim;
    let Asked { queries, k, wanted, fading } = *asked;
    let mut best: Vec<TopK> = (0..queries.len() / dim).map(|_| TopK::new(k)).collect();
    let mut vectors = vec![0.0f32; BLOCK_ROWS as usize * dim];
    let mut cold = Vec::new();
    for block in blocks {
        let rows = block.start..block.start + block.rows;
        let has = |row: u32| wanted.is_none_or(|wanted| wanted.has(block.segment, row));
        if !rows.clone().any(has) {
            continue;
        }
        let segment = version.index.segment(block);
        let vectors = &mut vectors[..block.rows as usize * dim];
        segment.read_vectors(rows, vectors, &mut cold)?;
        for (at, (query, best)) in queries.chunks_exact(dim).zip(&mut best).enumerate() {
            if at % QUERIES_PER_LOOK == 0 {
                check(interrupt)?;
            }
            for (row, vector) in vectors.chunks_exact(dim).enumerate() {
                let distance = exact_distance(collection.schema.metric, query, vector);
                if distance <= best.threshold() {
                    let row = block.start + row as u32;
                    if has(row) && segment.is_visible(row, version.seq) {
                        let key = key(block.segment, row);
                        // A penalty is never negative: what is too far is so with it, too.
                        best.push(distance + fading.map_or(0.0, |fading| fading.penalty(version, key)), key);
                    }
                }
            }
        }
    }
    Ok(best)
}
