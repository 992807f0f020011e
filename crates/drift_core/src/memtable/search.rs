//! Search of a memtable: by graph or codes for the rows that they cover, exactly for the rest.
//!
//! Layer 4.

use super::Memtable;
use super::arena::Row;
use super::codes::MemtableQuery;
use super::hnsw::{Hnsw, HnswOptions, Space};
use crate::types::{Predicate, Seq, TopK};
use rayon::prelude::*;
use std::sync::atomic::Ordering;

/// How rows are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchMode {
    /// By the graph where it has been built, else by codes; approximate.
    Fast,
    /// Every row; exact.
    Flat,
}

/// Rows linked between two looks at `stop`.
const INDEX_CHUNK: usize = 512;

/// Smallest beam of a graph search (recall@10 of 0.98 and more on real text embeddings).
const EF_MIN: usize = 128;

struct Rows<'a> {
    memtable: &'a Memtable,
}

impl Space for Rows<'_> {
    fn between(&self, a: u32, b: u32) -> f32 {
        self.memtable.rows[a as usize].between(self.memtable.metric, &self.memtable.rows[b as usize])
    }
}

impl Memtable {
    /// Offers the rows nearest to `query` that a reader at `snapshot` sees and that satisfy `wanted`, with reported distances
    /// and the keys that `key` gives their places.
    pub fn search(
        &self,
        query: &mut MemtableQuery,
        snapshot: Seq,
        wanted: Option<&Predicate>,
        mode: SearchMode,
        key: impl Fn(usize) -> u64,
        best: &mut TopK,
    ) {
        let mut start = 0;
        let k = best.k();
        let admits = |row: &Row| row.is_visible(snapshot) && wanted.is_none_or(|wanted| row.satisfies(wanted));
        // A graph's way to few rows among many leads nowhere.
        let graph = self.graph.get().filter(|_| mode == SearchMode::Fast && wanted.is_none());
        if let Some(graph) = graph {
            let indexed = self.indexed();
            let ef = EF_MIN.max(k + k / 2);
            if indexed > 4 * ef {
                let distance = |row: u32| self.rows[row as usize].distance(self.metric, &query.prepared);
                let visible = |row: u32| self.rows[row as usize].is_visible(snapshot);
                for (distance, row) in graph.search(ef, distance, visible) {
                    best.push(distance, key(row as usize));
                }
                start = indexed;
            }
        }
        if mode == SearchMode::Fast && start == 0 {
            start = self.search_codes(query, &admits, &key, best);
        }
        for place in start..self.rows.count() {
            let Some(row) = self.rows.get(place) else { break };
            if row.seq() > snapshot {
                break;
            }
            if !row.is_visible(snapshot) {
                continue;
            }
            let distance = row.distance(self.metric, &query.prepared);
            if distance <= best.threshold() && admits(row) {
                best.push(distance, key(place));
            }
        }
    }

    /// Rows that the graph covers.
    pub fn indexed(&self) -> usize {
        self.indexed.load(Ordering::Acquire)
    }

    /// Extends the graph to all rows there are, on the caller's rayon pool, until `stop` says so.
    pub fn extend_graph(&self, seed: u64, stop: impl Fn() -> bool) {
        let graph = self.graph.get_or_init(|| Hnsw::new(HnswOptions { seed, ..HnswOptions::default() }));
        let space = Rows { memtable: self };
        let end = self.rows.count();
        let mut done = self.indexed();
        while done < end && !stop() {
            let next = end.min(done + INDEX_CHUNK);
            graph.reserve(next);
            (done as u32..next as u32).into_par_iter().for_each(|node| graph.insert(node, &space));
            done = next;
            self.indexed.store(done, Ordering::Release);
        }
    }
}
