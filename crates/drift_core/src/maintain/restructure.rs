//! Restructuring: buckets are split, merged, recentred and cleared, and rows go to the buckets that are nearest to them now.
//!
//! Layer 6. No row is written anew: what changes is the table of buckets and the rows' assignments, so no crash and no
//! mistake here can lose a row or bring one back. Vectors are read as their SQ8 codes, from memory. A split or a new
//! centre works both ways (as in SPFresh, Xu et al. 2023): rows of the bucket that are nearer to a neighbour leave it, and
//! rows of neighbours that are nearer to the new centres come in.

mod draft;
mod rehome;
mod split;

use super::policy::{self, Action, Limit};
use super::remove::remove_leftovers;
use super::survey;
use crate::error::Result;
use crate::manifest::{Manifest, MoveFile, SegmentMoves};
use crate::state::{
    Assignment, BucketTable, CollectionState, Index, Maintenance, Reassignment, ResidualSums, Router, Upkeep, Version,
};
use crate::storage::failpoint::{Failpoint, reach};
use crate::sync::MutexGuard;
use crate::types::{Metric, Seq};
use draft::{Draft, RowsOf};
use rehome::Rehomed;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Files of moves, or of buckets, beyond which they are written as one.
const FILES_MAX: usize = 32;

/// Buckets of a small collection for which it never pays to write the table anew.
const DEFINED_SPARE: u64 = 4096;

/// Rows of a small collection for which it never pays to write all moves anew.
const MOVED_SPARE: u64 = 65_536;

/// What a restructuring did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Restructured {
    /// Buckets that became several.
    pub split: u64,
    /// Buckets that were given up.
    pub merged: u64,
    /// Buckets whose centre was moved.
    pub recentred: u64,
    /// Buckets whose entries were made anew.
    pub cleared: u64,
    /// Rows that came into another bucket.
    pub moved: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Why it was due.
    pub reason: Due,
}

/// How many buckets were due for what.
#[derive(Clone, Copy, Debug, Default)]
pub struct Due {
    /// By [`Action`].
    counts: [u64; 4],
}

impl Due {
    fn new(actions: &[(u32, Action)]) -> Due {
        let mut counts = [0; 4];
        actions.iter().for_each(|(_, action)| counts[*action as usize] += 1);
        Due { counts }
    }
}

impl std::fmt::Display for Due {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [merge, split, clear, examine] = self.counts;
        write!(f, "{split} buckets too large, {merge} too small, {clear} with dead entries, {examine} changed")
    }
}

impl Restructured {
    /// Whether anything has changed.
    pub fn is_change(&self) -> bool {
        self.split + self.merged + self.recentred + self.cleared > 0
    }

    /// Adds what another one did.
    pub fn add(&mut self, other: &Restructured) {
        self.split += other.split;
        self.merged += other.merged;
        self.recentred += other.recentred;
        self.cleared += other.cleared;
        self.moved += other.moved;
        self.bytes += other.bytes;
    }
}

/// Does the most urgent due actions, within `limit`; none when nothing is due. Runs on the caller's pool; the caller holds the job lock.
pub fn restructure(collection: &CollectionState, limit: Limit) -> Result<Option<Restructured>> {
    let mut lock = collection.maintenance.lock();
    lock.check_open()?;
    let done = change(collection, &mut lock, limit);
    if done.is_err() {
        remove_leftovers(collection, &lock);
    }
    // A flush that waits comes before the next step.
    MutexGuard::unlock_fair(lock);
    done
}

fn change(collection: &CollectionState, maintenance: &mut Maintenance, limit: Limit) -> Result<Option<Restructured>> {
    let version = collection.pin();
    let index = &version.index;
    remember_new_buckets(index, maintenance, &version);
    let stats = survey::buckets(index, &maintenance.upkeep);
    let due = policy::buckets(&stats, &survey::terms(collection, &version, maintenance));
    let actions = policy::within(&due, &stats, limit);
    if actions.is_empty() {
        return Ok(None);
    }
    let wanted = RowsOf::buckets(index, actions.iter().filter(|(_, action)| *action != Action::Clear).map(|a| a.0));
    let mut draft = Draft::new(collection, &version, maintenance.manifest.next_bucket);
    for &(position, action) in actions {
        draft.act(position, action, wanted.of(position));
    }
    let examined = std::mem::take(&mut draft.examined);
    let mut done = Restructured { reason: Due::new(actions), ..draft.counts() };
    let changed = done.split + done.merged + done.recentred;
    let writes = version.seq.saturating_sub(maintenance.upkeep.counted_seq);
    let target = collection.bucket_rows(version.live_rows);
    let is_cut = actions.len() < due.len();
    let unrest = policy::unrest(maintenance.upkeep.unrest, (changed, is_cut), index.router.len(), writes, target);
    if !done.is_change() {
        remember(index, maintenance, examined, unrest, version.seq);
        return Ok(Some(done));
    }
    let (table, router) = draft.next();
    let rehomed = rehome::rehome(index, &draft, &router, &wanted);
    let table = with_spread(table, &router, &rehomed);
    let table =
        if collection.schema.metric == Metric::Dot { with_arrivals(table, index, &rehomed, target) } else { table };
    let router = Arc::new(router.with_table(table));
    let (assignments, moves, change) = apply(index, &draft, &router, &rehomed);
    done.moved = rehomed.rows.len() as u64;
    let next = index.reassigned(router.clone(), assignments, &change, version.seq)?;
    let mut manifest = maintenance.manifest.next();
    let written = write(collection, &maintenance.upkeep, &mut manifest, &draft, &router, &next, moves)?;
    done.bytes = written.bytes;
    reach(Failpoint::RestructureCommit)?;
    maintenance.commit(manifest)?;
    remember(index, maintenance, examined, unrest, version.seq);
    (maintenance.upkeep.defined_buckets, maintenance.upkeep.moved_rows) = (written.defined_buckets, written.moved_rows);
    for position in draft.removed() {
        maintenance.upkeep.forget(index.router.table().ids[position]);
    }
    remember_children(&next, maintenance, &draft, version.seq);
    let mut writes = collection.writes.lock();
    let version = collection.pin();
    collection.publish(&mut writes, Version { index: Arc::new(next), ..(*version).clone() });
    collection.counters.job_bytes_written.fetch_add(done.bytes, Ordering::Relaxed);
    collection.counters.buckets_merged.fetch_add(done.merged, Ordering::Release);
    collection.counters.rows_moved.fetch_add(done.moved, Ordering::Release);
    Ok(Some(done))
}

/// Counts the rows of buckets that are looked at for the first time, from which later changes are told.
fn remember_new_buckets(index: &Index, maintenance: &mut Maintenance, version: &Version) {
    let table = index.router.table();
    let is_new = |position: &usize| !maintenance.upkeep.examined.contains_key(&table.ids[*position].0);
    let new: Vec<usize> = (0..table.len()).filter(is_new).collect();
    if new.is_empty() {
        return;
    }
    let rows = RowsOf::buckets(index, new.iter().map(|&position| position as u32));
    for position in new {
        let examined = maintenance.upkeep.examined.entry(table.ids[position].0).or_default();
        (examined.live, examined.seq) = (rows.of(position as u32).len() as u32, version.seq);
    }
}

/// Notes what a step up to the write `seq` has looked at: not before its commit, as one that fails is tried again.
fn remember(
    index: &Index,
    maintenance: &mut Maintenance,
    examined: Vec<(u32, u32, Option<u32>)>,
    unrest: f64,
    seq: Seq,
) {
    let upkeep = &mut maintenance.upkeep;
    for (position, live, tried) in examined {
        let id = index.router.table().ids[position as usize];
        let examined = upkeep.examined.entry(id.0).or_default();
        (examined.live, examined.seq) = (live, seq);
        examined.tried = tried.unwrap_or(examined.tried);
    }
    (upkeep.unrest, upkeep.counted_seq) = (unrest, seq);
}

fn remember_children(next: &Index, maintenance: &mut Maintenance, draft: &Draft<'_>, seq: Seq) {
    let table = next.router.table();
    let children = draft.children().filter_map(|id| table.position(id)).map(|position| position as u32);
    let children: Vec<u32> = children.collect();
    let rows = RowsOf::buckets(next, children.iter().copied());
    for position in children {
        let live = rows.of(position).len() as u32;
        let examined = maintenance.upkeep.examined.entry(table.ids[position as usize].0).or_default();
        (examined.live, examined.seq, examined.tried) = (live, seq, live);
    }
}

/// The table with the mean squared residual of the rows that came to the buckets with new centres.
fn with_spread(mut table: BucketTable, router: &Router, rehomed: &Rehomed) -> BucketTable {
    let mut sums = ResidualSums::new(table.len());
    sums.add(rehomed.rows.iter().map(|(_, homes)| homes).filter(|homes| rehomed.is_new[homes.first as usize]));
    debug_assert_eq!(table.len(), router.len());
    table.set_spread(&sums);
    table
}

/// The table with the spread that rows leave behind which come into buckets whose centres stay, of `target` rows each. Under dot
/// the longest rows are what queries ask for, and where the bucket of one is dissolved, nothing but the spread of the bucket
/// that takes it tells that it is there.
fn with_arrivals(mut table: BucketTable, index: &Index, rehomed: &Rehomed, target: usize) -> BucketTable {
    let mut arrived: BTreeMap<u32, (f64, u32)> = BTreeMap::new();
    for &(row, homes) in rehomed.rows.iter().filter(|(_, homes)| !rehomed.is_new[homes.first as usize]) {
        let (place, at) = crate::state::locate(&index.segments, row);
        if index.segments[place as usize].assignment.first(at) != table.ids[homes.first as usize] {
            let sum = arrived.entry(homes.first).or_default();
            *sum = (sum.0 + f64::from(homes.residual), sum.1 + 1);
        }
    }
    for (position, (sum, rows)) in arrived {
        let spread = &mut table.spread[position as usize];
        let mean = (f64::from(*spread) * target as f64 + sum) / (target as f64 + f64::from(rows));
        *spread = spread.max(mean as f32);
    }
    table
}

type Applied = (Vec<Arc<Assignment>>, MoveFile, Reassignment);

/// The assignments after the moves, the moves as a file, and what the filter must know of them.
fn apply(index: &Index, draft: &Draft<'_>, router: &Router, rehomed: &Rehomed) -> Applied {
    let ids = &router.table().ids;
    let mut changes: BTreeMap<u32, Vec<(u32, u32, Option<u32>)>> = BTreeMap::new();
    let mut added = Vec::new();
    for &(row, homes) in &rehomed.rows {
        let (place, at) = crate::state::locate(&index.segments, row);
        let before = &index.segments[place as usize].assignment;
        for position in [Some(homes.first), homes.second].into_iter().flatten() {
            if !before.is_in(at, ids[position as usize]) {
                added.push((position, row));
            }
        }
        changes.entry(place).or_default().push((at, homes.first, homes.second));
    }
    for &(row, position) in &rehomed.dead {
        let (place, at) = crate::state::locate(&index.segments, row);
        changes.entry(place).or_default().push((at, position, None));
    }
    let mut assignments: Vec<Arc<Assignment>> = index.segments.iter().map(|live| live.assignment.clone()).collect();
    let mut moves = MoveFile::default();
    for (place, mut rows) in changes {
        // A row that died while its home was sought comes twice; the first time it came with a home.
        rows.sort_by_key(|(row, ..)| *row);
        rows.dedup_by_key(|(row, ..)| *row);
        let assignment = Arc::make_mut(&mut assignments[place as usize]);
        for &(row, first, second) in &rows {
            assignment.set(row, ids[first as usize], second.map(|second| ids[second as usize]));
        }
        let rows: Vec<u32> = rows.into_iter().map(|(row, ..)| row).collect();
        let segment = index.segments[place as usize].segment.file().id;
        moves.segments.push(moves_of(segment, rows, assignment));
    }
    let rebuilt = draft.rebuilt().filter_map(|id| router.table().position(id)).map(|position| position as u32);
    (assignments, moves, Reassignment { rebuilt: rebuilt.collect(), added })
}

fn moves_of(segment: crate::format::FileId, rows: Vec<u32>, assignment: &Assignment) -> SegmentMoves {
    let pick = |column: &[u32]| match column {
        [] => Vec::new(),
        column => rows.iter().map(|&row| column[row as usize]).collect(),
    };
    SegmentMoves { segment, firsts: pick(assignment.firsts()), seconds: pick(assignment.seconds()), rows }
}

/// What a step has written, and what the manifest names then.
struct Written {
    bytes: u64,
    defined_buckets: u64,
    moved_rows: u64,
}

/// Writes the new buckets and the moves, or all of them anew when there are too many files.
fn write(
    collection: &CollectionState,
    upkeep: &Upkeep,
    manifest: &mut Manifest,
    draft: &Draft<'_>,
    router: &Router,
    next: &Index,
    moves: MoveFile,
) -> Result<Written> {
    let table = router.table();
    let old = draft.index.router.table();
    let spread_of = |table: &BucketTable, id| table.position(id).map(|position| table.spread[position].to_bits());
    let changed = table.filtered(|id| draft.is_defined(id) || spread_of(old, id) != spread_of(table, id));
    let mut bytes = 0;
    let mut defined_buckets = upkeep.defined_buckets + changed.len() as u64;
    if manifest.bucket_files.len() >= FILES_MAX || defined_buckets > 2 * table.len() as u64 + DEFINED_SPARE {
        manifest.bucket_files.clear();
        manifest.removed_buckets.clear();
        manifest.next_bucket = manifest.next_bucket.max(draft.next_bucket);
        bytes += collection.add_bucket_file(table, manifest)?;
        defined_buckets = table.len() as u64;
    } else {
        manifest.removed_buckets.extend(draft.removed().map(|position| old.ids[position].0));
        if !changed.is_empty() {
            bytes += collection.add_bucket_file(&changed, manifest)?;
        }
    }
    let moved = upkeep.moved_rows + moves.rows();
    let (file, moved_rows) = if manifest.move_files.len() >= FILES_MAX || moved > next.rows() + MOVED_SPARE {
        manifest.move_files.clear();
        let file = all_moves(next);
        let rows = file.rows();
        (file, rows)
    } else {
        (moves, moved)
    };
    if file.rows() > 0 {
        let number = manifest.take_file_number();
        bytes += file.write(&*collection.backend, number, collection.identity)?;
        manifest.move_files.push(number);
    }
    Ok(Written { bytes, defined_buckets, moved_rows })
}

/// The rows of all segments in which any has moved.
pub fn all_moves(index: &Index) -> MoveFile {
    let moved = index.segments.iter().filter(|live| live.assignment.has_moves());
    let segments =
        moved.map(|live| moves_of(live.segment.file().id, (0..live.segment.rows()).collect(), &live.assignment));
    MoveFile { segments: segments.collect() }
}
