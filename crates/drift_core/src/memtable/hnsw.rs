//! HNSW: a navigable small-world graph in layers (Malkov and Yashunin 2016).
//!
//! Layer 4. Nodes are numbers; distances come from the caller, so vectors are not copied. Any threads insert and search
//! at once: each node's links have a lock of their own, held for a copy of at most 32 numbers. Deleted nodes stay in the
//! graph as waypoints and are left out of results. Levels are drawn from a seed and the node's number.

mod beam;
mod select;

use crate::sync::{Mutex, RwLock};
use beam::{Beam, Visited};
use std::sync::OnceLock;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Distances between nodes.
pub trait Space: Sync {
    /// Distance of two nodes.
    fn between(&self, a: u32, b: u32) -> f32;
}

/// Shape of a graph.
#[derive(Clone, Debug)]
pub struct HnswOptions {
    /// Links per node and layer; twice as many on the lowest. 16 is the usual choice for text embeddings.
    pub m: usize,
    /// Beam of an insert. 120 reaches recall@10 of 0.998 at a beam of 128 on packages_5k (benches/RESULTS.md), so
    /// the usual 200 would buy nothing for a graph that lives for one memtable only.
    pub ef_construction: usize,
    /// Seed of the levels.
    pub seed: u64,
}

impl Default for HnswOptions {
    fn default() -> HnswOptions {
        HnswOptions { m: 16, ef_construction: 120, seed: 0 }
    }
}

/// Highest layer: with m = 16 one node in 16^12 would be above.
const LEVEL_MAX: usize = 12;

struct Node {
    /// Links of each layer, from the lowest.
    links: Box<[Mutex<Vec<u32>>]>,
}

#[derive(Clone, Copy)]
struct Entry {
    node: u32,
    level: usize,
}

/// A graph.
pub struct Hnsw {
    options: HnswOptions,
    nodes: boxcar::Vec<OnceLock<Node>>,
    entry: RwLock<Option<Entry>>,
    visited: Mutex<Vec<Visited>>,
}

impl Hnsw {
    /// An empty graph.
    pub fn new(options: HnswOptions) -> Hnsw {
        Hnsw { options, nodes: boxcar::Vec::new(), entry: RwLock::new(None), visited: Mutex::default() }
    }

    /// Makes room for nodes below `count`; called by one thread at a time.
    pub fn reserve(&self, count: usize) {
        while self.nodes.count() < count {
            self.nodes.push(OnceLock::new());
        }
    }

    /// Bytes of heap memory in use, about.
    pub fn bytes(&self) -> usize {
        self.nodes.count() * (2 * self.options.m * 4 + 64)
    }

    fn level(&self, node: u32) -> usize {
        let random = xxh3_64_with_seed(&node.to_le_bytes(), self.options.seed);
        let uniform = (random >> 11) as f64 / (1u64 << 53) as f64;
        let level = -(1.0 - uniform).ln() / (self.options.m as f64).ln();
        (level as usize).min(LEVEL_MAX)
    }

    fn capacity(&self, layer: usize) -> usize {
        if layer == 0 { 2 * self.options.m } else { self.options.m }
    }

    fn links(&self, node: u32, layer: usize) -> Option<&Mutex<Vec<u32>>> {
        self.nodes.get(node as usize)?.get()?.links.get(layer)
    }

    /// Links `node` into the graph; [`Hnsw::reserve`] made its place, and each node is inserted once.
    pub fn insert(&self, node: u32, space: &impl Space) {
        let level = self.level(node);
        let links = (0..=level).map(|layer| Mutex::new(Vec::with_capacity(self.capacity(layer) + 1))).collect();
        let placed = self.nodes[node as usize].set(Node { links });
        debug_assert!(placed.is_ok(), "each node is inserted once");
        let Some(entry) = self.begin(node, level) else { return };
        let distance = |other: u32| space.between(node, other);
        let mut visited = self.take_visited();
        let mut nearest = entry.node;
        for layer in (level + 1..=entry.level).rev() {
            nearest = self.descend(nearest, layer, &distance);
        }
        let mut starts = vec![nearest];
        for layer in (0..=level.min(entry.level)).rev() {
            let beam = Beam::run(self, layer, &starts, self.options.ef_construction, &distance, |_| true, &mut visited);
            let mut found = beam.into_sorted();
            found.retain(|(_, other)| *other != node);
            let chosen = select::diverse(&found, self.options.m, space);
            self.connect(node, layer, &chosen, space);
            starts = found.into_iter().map(|(_, other)| other).collect();
            if starts.is_empty() {
                starts.push(nearest);
            }
        }
        self.visited.lock().push(visited);
        let mut highest = self.entry.write();
        if highest.is_some_and(|highest| level > highest.level) {
            *highest = Some(Entry { node, level });
        }
    }

    /// Where to enter; the very first node becomes the entry and has nothing to link to.
    fn begin(&self, node: u32, level: usize) -> Option<Entry> {
        if let Some(entry) = *self.entry.read() {
            return Some(entry);
        }
        let mut entry = self.entry.write();
        if entry.is_none() {
            *entry = Some(Entry { node, level });
            return None;
        }
        *entry
    }

    /// Links both ways, pruning the other ends to their capacity.
    fn connect(&self, node: u32, layer: usize, chosen: &[(f32, u32)], space: &impl Space) {
        if let Some(links) = self.links(node, layer) {
            let mut links = links.lock();
            chosen.iter().for_each(|(_, other)| {
                if !links.contains(other) {
                    links.push(*other);
                }
            });
        }
        for &(_, other) in chosen {
            let Some(links) = self.links(other, layer) else { continue };
            let mut links = links.lock();
            if links.contains(&node) {
                continue;
            }
            links.push(node);
            if links.len() > self.capacity(layer) {
                let mut all: Vec<(f32, u32)> = links.iter().map(|&link| (space.between(other, link), link)).collect();
                all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
                links.clear();
                links.extend(select::diverse(&all, self.capacity(layer), space).into_iter().map(|(_, link)| link));
            }
        }
    }

    /// Walks greedily to the node of `layer` that is nearest.
    fn descend(&self, start: u32, layer: usize, distance: &impl Fn(u32) -> f32) -> u32 {
        let mut best = (distance(start), start);
        loop {
            let Some(links) = self.links(best.1, layer).map(|links| links.lock().clone()) else { return best.1 };
            let next = links.into_iter().map(|link| (distance(link), link)).min_by(|a, b| a.0.total_cmp(&b.0));
            match next {
                Some(next) if next.0 < best.0 => best = next,
                _ => return best.1,
            }
        }
    }

    /// Nearest nodes that `accept` takes, found by a beam of `ef`; ascending by distance, at most `ef` of them.
    pub fn search(&self, ef: usize, distance: impl Fn(u32) -> f32, accept: impl Fn(u32) -> bool) -> Vec<(f32, u32)> {
        let Some(entry) = *self.entry.read() else { return Vec::new() };
        let mut nearest = entry.node;
        for layer in (1..=entry.level).rev() {
            nearest = self.descend(nearest, layer, &distance);
        }
        let mut visited = self.take_visited();
        let beam = Beam::run(self, 0, &[nearest], ef, &distance, accept, &mut visited);
        self.visited.lock().push(visited);
        beam.into_sorted()
    }

    fn take_visited(&self) -> Visited {
        self.visited.lock().pop().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
