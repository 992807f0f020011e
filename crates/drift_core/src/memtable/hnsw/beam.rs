//! Best-first search of one layer with a bounded result list (Algorithm 2 of the paper).
//!
//! Layer 4.

use super::Hnsw;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Which nodes a search has seen: a stamp per node, so that clearing is counting up.
#[derive(Default)]
pub struct Visited {
    stamps: Vec<u32>,
    now: u32,
}

impl Visited {
    fn begin(&mut self, nodes: usize) {
        if self.stamps.len() < nodes {
            self.stamps.resize(nodes, 0);
        }
        self.now = self.now.wrapping_add(1);
        if self.now == 0 {
            self.stamps.fill(0);
            self.now = 1;
        }
    }

    /// Marks a node; whether it was new.
    fn visit(&mut self, node: u32) -> bool {
        let node = node as usize;
        if node >= self.stamps.len() {
            // Inserted since the search began.
            self.stamps.resize(node + 1, 0);
        }
        std::mem::replace(&mut self.stamps[node], self.now) != self.now
    }
}

#[derive(Clone, Copy, PartialEq)]
struct Near(f32, u32);

impl Eq for Near {}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Near) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Near {
    fn cmp(&self, other: &Near) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0).then(self.1.cmp(&other.1))
    }
}

/// What a search of one layer found.
pub struct Beam {
    results: BinaryHeap<Near>,
}

impl Beam {
    /// Searches `layer` from `starts`; nodes that `accept` refuses are walked through and left out.
    pub fn run(
        graph: &Hnsw,
        layer: usize,
        starts: &[u32],
        ef: usize,
        distance: &impl Fn(u32) -> f32,
        accept: impl Fn(u32) -> bool,
        visited: &mut Visited,
    ) -> Beam {
        visited.begin(graph.nodes.count());
        let mut results: BinaryHeap<Near> = BinaryHeap::with_capacity(ef + 1);
        let mut open: BinaryHeap<Reverse<Near>> = BinaryHeap::with_capacity(2 * ef);
        let admit = |near: Near, results: &mut BinaryHeap<Near>, open: &mut BinaryHeap<Reverse<Near>>| {
            if results.len() == ef && results.peek().is_some_and(|worst| near >= *worst) {
                return;
            }
            open.push(Reverse(near));
            if accept(near.1) {
                results.push(near);
                if results.len() > ef {
                    results.pop();
                }
            }
        };
        for &start in starts {
            if visited.visit(start) {
                admit(Near(distance(start), start), &mut results, &mut open);
            }
        }
        let mut links = Vec::new();
        while let Some(Reverse(near)) = open.pop() {
            if results.len() == ef && results.peek().is_some_and(|worst| near > *worst) {
                break;
            }
            let Some(lock) = graph.links(near.1, layer) else { continue };
            links.clear();
            links.extend_from_slice(&lock.lock());
            for &link in &links {
                if visited.visit(link) {
                    admit(Near(distance(link), link), &mut results, &mut open);
                }
            }
        }
        Beam { results }
    }

    /// Distances and nodes, nearest first.
    pub fn into_sorted(self) -> Vec<(f32, u32)> {
        self.results.into_sorted_vec().into_iter().map(|near| (near.0, near.1)).collect()
    }
}
