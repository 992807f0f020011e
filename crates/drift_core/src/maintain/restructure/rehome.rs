//! New homes for the rows near a change of buckets.
//!
//! Layer 6. Rows of buckets that go, or get another centre, and rows that lose their second bucket, find their homes like
//! new rows: among the buckets near themselves, for those near their old centre are no good as second ones. Rows of
//! buckets near a new centre are compared with that centre, and have it as first or second bucket if it is better by a
//! margin.

use super::draft::{Draft, RowsOf, reconstruct};
use crate::state::{Homes, Index, Residual, Router};
use crate::types::BucketId;
use rayon::prelude::*;

/// Buckets near a new centre whose rows are compared with it.
const STEAL_BUCKETS: usize = 16;

/// A row goes over to another bucket when its squared distance to it is less than this share of the one to its own: what
/// lies between the two moves to and fro for nothing.
const STEAL_SHARE: f32 = 0.97;

/// Rows and where they belong now.
pub struct Rehomed {
    /// Row number and homes, by position in the new router.
    pub rows: Vec<(u32, Homes)>,
    /// Dead rows of buckets that go, and a bucket that is there: they have no entries, but must be somewhere.
    pub dead: Vec<(u32, u32)>,
    /// Whether the bucket at a new position has a new centre.
    pub is_new: Vec<bool>,
}

/// A bucket's rows under consideration.
struct Group {
    /// Position in the old table.
    position: u32,
    rows: Vec<u32>,
    /// Whether the rows must leave the bucket as it was.
    orphans: bool,
    /// New positions of new centres nearby.
    rivals: Vec<u32>,
}

/// Finds the homes. `known` has the rows of all buckets that change. Runs on the caller's pool.
pub fn rehome(index: &Index, draft: &Draft<'_>, router: &Router, known: &RowsOf) -> Rehomed {
    let old = index.router.table();
    let new_position = |id: BucketId| router.table().position(id).map(|position| position as u32);
    let mut rivals: Vec<Vec<u32>> = vec![Vec::new(); old.len()];
    let mut is_new = vec![false; router.len()];
    for (id, centre) in draft.new_centres() {
        let Some(position) = new_position(id) else { continue };
        is_new[position as usize] = true;
        for near in index.router.nearest(&centre.point, STEAL_BUCKETS + 1) {
            rivals[near as usize].push(position);
        }
    }
    let mut changes = vec![None; old.len()];
    draft.changes.iter().for_each(|(position, change)| changes[*position as usize] = Some(change));
    let mut is_gone = vec![false; old.len()];
    draft.removed().for_each(|position| is_gone[position] = true);
    let loses_second = |second: Option<BucketId>| {
        second.is_some_and(|second| old.position(second).is_none_or(|position| is_gone[position]))
    };
    let around = RowsOf::pass(index, |position, second| {
        changes[position].is_none() && (!rivals[position].is_empty() || loses_second(second))
    });
    let groups: Vec<Group> = (0..old.len() as u32)
        .filter_map(|position| {
            let orphans = changes[position as usize].is_some();
            let rows = if orphans { known.of(position) } else { around.of(position) }.to_vec();
            let rivals = std::mem::take(&mut rivals[position as usize]);
            (!rows.is_empty()).then_some(Group { position, rows, orphans, rivals })
        })
        .collect();
    let rows = groups.par_iter().flat_map_iter(|group| rehome_group(index, router, group, &loses_second)).collect();
    Rehomed { rows, dead: dead_rows(index, router, &is_gone), is_new }
}

fn rehome_group(
    index: &Index,
    router: &Router,
    group: &Group,
    loses_second: &(impl Fn(Option<BucketId>) -> bool + Sync),
) -> Vec<(u32, Homes)> {
    let own = router.table().position(index.router.table().ids[group.position as usize]);
    let mut row = vec![0.0; router.origin().len()];
    let mut residual = Residual::default();
    let mut rivals: Vec<(f32, u32)> = Vec::new();
    let mut found = Vec::new();
    for &number in &group.rows {
        reconstruct(index, number, &mut row);
        if group.orphans {
            found.push((number, router.homes(&row)[0]));
            continue;
        }
        let own = own.expect("invariant: a bucket that does not change is in the new table") as u32;
        let (place, at) = crate::state::locate(&index.segments, number);
        let second = index.segments[place as usize].assignment.second(at);
        rivals.clear();
        rivals.extend(group.rivals.iter().map(|&rival| (router.distance(&row, rival), rival)));
        residual.set(router, &row, own);
        if loses_second(second) || rivals.iter().any(|rival| rival.0 < STEAL_SHARE * residual.norm2) {
            found.push((number, router.homes(&row)[0]));
            continue;
        }
        let Some(second) = second.and_then(|second| router.table().position(second)) else { continue };
        let cost = |(distance, position): (f32, u32)| (residual.second_cost(router, position, distance), position);
        let now = cost((router.distance(&row, second as u32), second as u32)).0;
        let best = rivals.iter().map(|&rival| cost(rival)).min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        if let Some((_, rival)) = best.filter(|best| best.0 < STEAL_SHARE * now) {
            found.push((number, Homes { first: own, residual: residual.norm2, second: Some(rival) }));
        }
    }
    found
}

/// Dead rows of buckets that go, each with the new position of a bucket near the old one.
fn dead_rows(index: &Index, router: &Router, is_gone: &[bool]) -> Vec<(u32, u32)> {
    let old = index.router.table();
    let mut heir: Vec<Option<u32>> = vec![None; old.len()];
    let mut found = Vec::new();
    for live in &index.segments {
        for row in (0..live.segment.rows()).filter(|&row| live.segment.death(row) != 0) {
            let position = old.position(live.assignment.first(row));
            let Some(position) = position.filter(|&position| is_gone[position]) else { continue };
            let heir = heir[position].get_or_insert_with(|| router.nearest(old.centroid(position), 1)[0]);
            found.push((live.base + row, *heir));
        }
    }
    found
}
