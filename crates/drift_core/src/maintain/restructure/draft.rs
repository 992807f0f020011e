//! The change of buckets under way: which go, which come, which get another centre.
//!
//! Layer 6.

use super::Restructured;
use super::split::{self, Centre};
use crate::maintain::policy::Action;
use crate::quant::sq8;
use crate::state::{BucketTable, CollectionState, Index, Router, Version};
use crate::types::BucketId;
use std::collections::BTreeSet;

/// Drift of a bucket's mean from its centre, in units of its root mean squared radius, above which the centre is moved;
/// the mean of a few rows is off by chance already, by one over the root of their number.
const DRIFT_MAX: f64 = 0.1;

/// Live rows of some buckets, as row numbers.
pub struct RowsOf {
    /// By table position; empty for buckets that were not asked for.
    rows: Vec<Vec<u32>>,
}

impl RowsOf {
    /// The live rows that are in the buckets at `positions`.
    pub fn buckets(index: &Index, positions: impl Iterator<Item = u32>) -> RowsOf {
        let mut wanted = vec![false; index.router.len()];
        positions.for_each(|position| wanted[position as usize] = true);
        RowsOf::pass(index, |position, _| wanted[position])
    }

    /// The live rows that pass, by the position of their bucket and their second bucket.
    pub fn pass(index: &Index, pass: impl Fn(usize, Option<BucketId>) -> bool) -> RowsOf {
        let table = index.router.table();
        let mut rows = vec![Vec::new(); table.len()];
        for live in &index.segments {
            let mut last = None;
            for row in 0..live.segment.rows() {
                let bucket = live.assignment.first(row);
                let position = match last {
                    Some((known, position)) if known == bucket => position,
                    _ => table.position(bucket).expect("invariant: every row of an index is in a bucket of it"),
                };
                last = Some((bucket, position));
                if pass(position, live.assignment.second(row)) && live.segment.death(row) == 0 {
                    rows[position].push(live.base + row);
                }
            }
        }
        RowsOf { rows }
    }

    /// The rows of the bucket at `position`.
    pub fn of(&self, position: u32) -> &[u32] {
        &self.rows[position as usize]
    }
}

/// Writes a row, as its SQ8 code has it, into `out`.
pub fn reconstruct(index: &Index, row: u32, out: &mut [f32]) {
    let (place, at) = crate::state::locate(&index.segments, row);
    let segment = &index.segments[place as usize].segment;
    sq8::reconstruct(segment.codes(at..at + 1), &segment.factors()[at as usize], out);
}

/// See the module.
pub struct Draft<'a> {
    pub index: &'a Index,
    collection: &'a CollectionState,
    /// Rows that a bucket aims at.
    target: usize,
    /// Position of each bucket that gets another centre or goes, and what happens to it, ascending.
    pub changes: Vec<(u32, Change)>,
    cleared: BTreeSet<u32>,
    /// Position, live rows, and, where a split was refused, the live rows at which that was.
    pub examined: Vec<(u32, u32, Option<u32>)>,
    /// Id after those of the children.
    pub next_bucket: u32,
    spread_only: u64,
}

/// What becomes of a bucket.
pub enum Change {
    /// Its rows go to their nearest neighbours.
    Merged,
    /// The centres of its children, with ids from the given one.
    Split(BucketId, Vec<Centre>),
    /// Its new centre.
    Recentred(Centre),
}

impl<'a> Draft<'a> {
    pub fn new(collection: &'a CollectionState, version: &'a Version, next_bucket: u32) -> Draft<'a> {
        Draft {
            index: &version.index,
            collection,
            target: collection.bucket_rows(version.live_rows),
            changes: Vec::new(),
            cleared: BTreeSet::new(),
            examined: Vec::new(),
            next_bucket,
            spread_only: 0,
        }
    }

    /// Takes up an action on the bucket at `position`, whose live rows are `rows`.
    pub fn act(&mut self, position: u32, action: Action, rows: &[u32]) {
        match action {
            Action::Clear => {
                self.cleared.insert(position);
            }
            Action::Merge => {
                // The last bucket stays, so that there is a nearest one.
                let gone = self.changes.iter().filter(|(_, change)| matches!(change, Change::Merged)).count();
                if gone + 1 < self.index.router.len() {
                    self.changes.push((position, Change::Merged));
                }
            }
            Action::Split => self.split(position, rows),
            Action::Examine => self.examine(position, rows),
        }
    }

    fn split(&mut self, position: u32, rows: &[u32]) {
        let vectors = self.vectors(rows);
        let seed = self.collection.components.seed ^ u64::from(self.next_bucket);
        let live = rows.len() as u32;
        match split::split(&vectors, self.collection.schema.dim, self.target, seed) {
            Some(centres) => {
                let first = BucketId(self.next_bucket);
                self.next_bucket += centres.len() as u32;
                self.changes.push((position, Change::Split(first, centres)));
            }
            None => self.examined.push((position, live, Some(live))),
        }
    }

    fn examine(&mut self, position: u32, rows: &[u32]) {
        self.examined.push((position, rows.len() as u32, None));
        if rows.is_empty() {
            return;
        }
        let dim = self.collection.schema.dim;
        let centre = split::mean(&self.vectors(rows), dim);
        let moved2 =
            (crate::kernels::kernels().l2)(&centre.point, self.index.router.table().centroid(position as usize));
        let drift = (f64::from(moved2) / f64::from(centre.spread)).sqrt();
        if drift > DRIFT_MAX + 1.0 / (rows.len() as f64).sqrt() {
            self.changes.push((position, Change::Recentred(centre)));
        } else {
            self.spread_only += 1;
        }
    }

    fn vectors(&self, rows: &[u32]) -> Vec<f32> {
        let dim = self.collection.schema.dim;
        let mut vectors = vec![0.0; rows.len() * dim];
        for (row, out) in rows.iter().zip(vectors.chunks_exact_mut(dim)) {
            reconstruct(self.index, *row, out);
        }
        vectors
    }

    /// How many buckets change how.
    pub fn counts(&self) -> Restructured {
        let count = |pass: fn(&Change) -> bool| self.changes.iter().filter(|(_, change)| pass(change)).count() as u64;
        Restructured {
            split: count(|change| matches!(change, Change::Split(..))),
            merged: count(|change| matches!(change, Change::Merged)),
            recentred: count(|change| matches!(change, Change::Recentred(_))),
            cleared: self.cleared.len() as u64,
            ..Restructured::default()
        }
    }

    /// The table of buckets afterwards, and its router.
    pub fn next(&mut self) -> (BucketTable, Router) {
        self.changes.sort_unstable_by_key(|(position, _)| *position);
        let old = self.index.router.table();
        let mut table = BucketTable::default();
        let mut changes = self.changes.iter().peekable();
        for (position, &id) in old.ids.iter().enumerate() {
            match changes.next_if(|(at, _)| *at as usize == position) {
                None => table.push(id, old.centroid(position), old.spread[position]),
                Some((_, Change::Recentred(centre))) => table.push(id, &centre.point, centre.spread),
                Some((_, Change::Merged | Change::Split(..))) => {}
            }
        }
        let mut children: Vec<(BucketId, &Centre)> = Vec::new();
        for (_, change) in &self.changes {
            if let Change::Split(first, centres) = change {
                children.extend(centres.iter().enumerate().map(|(n, centre)| (BucketId(first.0 + n as u32), centre)));
            }
        }
        children.sort_unstable_by_key(|(id, _)| *id);
        children.iter().for_each(|(id, centre)| table.push(*id, &centre.point, centre.spread));
        (table.clone(), self.index.router.next(table))
    }

    /// Positions of the buckets that go.
    pub fn removed(&self) -> impl Iterator<Item = usize> {
        let gone = self.changes.iter().filter(|(_, change)| !matches!(change, Change::Recentred(_)));
        gone.map(|(position, _)| *position as usize)
    }

    /// Ids of the buckets that splits made.
    pub fn children(&self) -> impl Iterator<Item = BucketId> {
        self.changes.iter().flat_map(|(_, change)| match change {
            Change::Split(first, centres) => (first.0..first.0 + centres.len() as u32).map(BucketId),
            _ => (0..0).map(BucketId),
        })
    }

    /// Ids and centres of the buckets that have a new one.
    pub fn new_centres(&self) -> Vec<(BucketId, &Centre)> {
        let mut found = Vec::new();
        for (position, change) in &self.changes {
            match change {
                Change::Merged => {}
                Change::Recentred(centre) => found.push((self.index.router.table().ids[*position as usize], centre)),
                Change::Split(first, centres) => {
                    found.extend(centres.iter().enumerate().map(|(n, centre)| (BucketId(first.0 + n as u32), centre)));
                }
            }
        }
        found
    }

    /// Ids of the buckets with a new centre.
    fn recentred(&self) -> impl Iterator<Item = BucketId> {
        let recentred = self.changes.iter().filter(|(_, change)| matches!(change, Change::Recentred(_)));
        recentred.map(|(position, _)| self.index.router.table().ids[*position as usize])
    }

    /// Ids of the buckets whose entries are made anew.
    pub fn rebuilt(&self) -> impl Iterator<Item = BucketId> {
        let cleared = self.cleared.iter().map(|&position| self.index.router.table().ids[position as usize]);
        self.children().chain(self.recentred()).chain(cleared)
    }

    /// Whether the change defines a bucket: it is new, or has a new centre.
    pub fn is_defined(&self, id: BucketId) -> bool {
        let old = self.index.router.table();
        let is_new = old.ids.last().is_none_or(|last| id > *last);
        is_new
            || old.position(id).is_some_and(|position| {
                let at = self.changes.binary_search_by_key(&(position as u32), |(position, _)| *position);
                at.is_ok_and(|at| matches!(self.changes[at].1, Change::Recentred(_)))
            })
    }
}
