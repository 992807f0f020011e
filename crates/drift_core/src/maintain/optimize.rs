//! Optimize: one pass that leaves one segment, no dead rows, and buckets near their target size.
//!
//! Layer 6. Oversized buckets are split by k-means, undersized ones give their rows to the nearest others, all rows are
//! written anew from their exact vectors. Rows whose death is not flushed yet are kept: were the log lost, they would
//! be the newest ones left.

use super::checkpoint::checkpoint;
use super::flush::flush_all;
use super::remove::remove_unreferenced;
use crate::error::Result;
use crate::manifest::Manifest;
use crate::segment::SegmentWriter;
use crate::state::{BucketTable, CollectionState, Index, LiveSegment, Maintenance, ResidualSums, Router, Version};
use crate::types::{BucketId, ElementType, Ids, OptimizeReport, Seq, VectorBuf};
use std::sync::Arc;

/// Buckets above this many times the target are split.
const SPLIT_FACTOR: f64 = 2.5;

/// Buckets below this share of the target are merged into others.
const MERGE_SHARE: f64 = 0.25;

/// Rows gathered before they are encoded and written.
const BATCH_ROWS: usize = 32_768;

/// A flushed row: segment place, row.
type Source = (u32, u32);

/// Rewrites the collection if that improves it.
pub fn optimize(collection: &CollectionState) -> Result<OptimizeReport> {
    let clock = collection.components.clock.clone();
    let start = clock.monotonic();
    flush_all(collection)?;
    let mut maintenance = collection.maintenance.lock();
    let version = collection.pin();
    let mut report = OptimizeReport::default();
    let plan = Plan::new(collection, &version)?;
    report.buckets_split = plan.large.len() as u64;
    report.buckets_merged = plan.small as u64;
    report.rows_dropped = plan.dropped;
    if plan.is_useful(&version.index) {
        report.segments_merged = version.index.segments.len() as u64;
        report.rows_written = rewrite(collection, &mut maintenance, &version, plan)?;
        remove_unreferenced(collection, &maintenance.store)?;
    }
    report.seconds = (clock.monotonic() - start).as_secs_f64();
    Ok(report)
}

/// What goes where.
struct Plan {
    /// Buckets that stay, with the rows that they will have.
    stay: Vec<(BucketId, Vec<Source>)>,
    /// Buckets that will be split.
    large: Vec<Vec<Source>>,
    /// How many buckets are merged into others.
    small: usize,
    /// Dead rows that are left out.
    dropped: u64,
    /// The buckets that stay.
    table: BucketTable,
}

impl Plan {
    fn new(collection: &CollectionState, version: &Version) -> Result<Plan> {
        let index = &version.index;
        let horizon = version.memtables().map(|memtable| memtable.first_seq()).min().unwrap_or(Seq::MAX);
        let target = collection.config.bucket_rows_target as f64;
        let table = index.router.table();
        let mut plan =
            Plan { stay: Vec::new(), large: Vec::new(), small: 0, dropped: 0, table: BucketTable::default() };
        let mut homeless = Vec::new();
        for position in 0..table.len() {
            let rows = kept_rows(index, position, horizon);
            let all: u64 = index.runs(position).iter().map(|run| u64::from(run.rows)).sum();
            plan.dropped += all - rows.len() as u64;
            if rows.len() as f64 > SPLIT_FACTOR * target {
                plan.large.push(rows);
            } else if (rows.len() as f64) < MERGE_SHARE * target {
                plan.small += 1;
                homeless.extend(rows);
            } else {
                plan.table.push(table.ids[position], table.centroid(position), table.spread[position]);
                plan.stay.push((table.ids[position], rows));
            }
        }
        plan.rehome(collection, index, homeless)?;
        Ok(plan)
    }

    /// Gives the rows of merged buckets to the nearest of those that stay.
    fn rehome(&mut self, collection: &CollectionState, index: &Index, homeless: Vec<Source>) -> Result<()> {
        if homeless.is_empty() {
            return Ok(());
        }
        if self.table.is_empty() {
            // Nothing stays: they become a bucket of their own, split if there are many.
            self.large.push(homeless);
            self.small = self.small.saturating_sub(1);
            return Ok(());
        }
        let router = collection.router(self.table.clone());
        for rows in homeless.chunks(BATCH_ROWS) {
            let gathered = Gathered::read(collection, index, rows)?;
            let rotated = collection.rotate_rows(&gathered.vectors.as_ref());
            let homes = collection.pool.install(|| router.homes(&rotated));
            for (&row, homes) in rows.iter().zip(homes) {
                self.stay[homes.first as usize].1.push(row);
            }
        }
        Ok(())
    }

    fn is_useful(&self, index: &Index) -> bool {
        let changes = self.small > 0 || self.dropped > 0 || index.segments.len() > 1;
        index.rows() > 0 && (changes || !self.large.is_empty())
    }
}

/// Rows of a bucket that are alive, or whose death comes from a write at or after `horizon`, which is not flushed.
fn kept_rows(index: &Index, position: usize, horizon: Seq) -> Vec<Source> {
    let mut rows = Vec::new();
    for run in index.runs(position) {
        let segment = index.segment(run);
        rows.extend((run.start..run.start + run.rows).filter_map(|row| {
            let death = segment.death(row);
            (death == 0 || death >= horizon).then_some((run.segment, row))
        }));
    }
    rows
}

/// Ids, seqs and exact vectors of some rows.
struct Gathered {
    ids: Ids,
    seqs: Vec<Seq>,
    vectors: VectorBuf,
}

impl Gathered {
    fn read(collection: &CollectionState, index: &Index, rows: &[Source]) -> Result<Gathered> {
        let values = rows.len() * collection.schema.dim;
        let mut gathered = Gathered {
            ids: Ids::empty(collection.schema.id_type),
            seqs: Vec::with_capacity(rows.len()),
            vectors: VectorBuf::with_capacity(element_type(index), values),
        };
        let mut scratch = Vec::new();
        for run in rows.chunk_by(|a, b| a.0 == b.0 && a.1 + 1 == b.1) {
            let segment = &index.segments[run[0].0 as usize].segment;
            let (start, end) = (run[0].1, run[run.len() - 1].1 + 1);
            segment.read_vectors_raw(start..end, &mut gathered.vectors, &mut scratch)?;
            for row in start..end {
                gathered.ids.push(segment.id(row));
                gathered.seqs.push(segment.seq(row));
            }
        }
        Ok(gathered)
    }
}

/// f16 where every segment is, otherwise f32.
fn element_type(index: &Index) -> ElementType {
    let half = index.segments.iter().all(|live| live.segment.element_type() == ElementType::F16);
    if half { ElementType::F16 } else { ElementType::F32 }
}

/// Writes rows and remembers where each came from.
struct Rewriter<'a> {
    collection: &'a CollectionState,
    index: &'a Index,
    router: &'a Router,
    writer: SegmentWriter,
    pending: Vec<Source>,
    /// Table position of the bucket of each pending row.
    positions: Vec<u32>,
    /// Source of each row of the new segment.
    sources: Vec<Source>,
}

impl Rewriter<'_> {
    fn push(&mut self, position: usize, rows: &[Source]) -> Result<()> {
        self.pending.extend_from_slice(rows);
        self.positions.resize(self.pending.len(), position as u32);
        if self.pending.len() >= BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.pending);
        let Gathered { ids, seqs, vectors } = Gathered::read(self.collection, self.index, &rows)?;
        let positions = std::mem::take(&mut self.positions);
        let placement = self.collection.place_in(ids, seqs, vectors, self.router, &positions);
        let order = placement.order();
        placement.write(&order, self.collection.schema.dim, &mut self.writer)?;
        self.sources.extend(order.iter().map(|&row| rows[row as usize]));
        Ok(())
    }
}

fn rewrite(collection: &CollectionState, maintenance: &mut Maintenance, version: &Version, plan: Plan) -> Result<u64> {
    let index = &version.index;
    let mut manifest = maintenance.manifest.next();
    let count = plan.stay.iter().map(|(_, rows)| rows.len()).chain(plan.large.iter().map(Vec::len)).sum();
    let Plan { mut table, stay, large, .. } = plan;
    let mut members: Vec<Vec<Source>> = stay.into_iter().map(|(_, rows)| rows).collect();
    for rows in &large {
        split(collection, index, rows, &mut manifest, &mut table, &mut members)?;
    }
    let router = Arc::new(collection.router(table));
    let writer = collection.begin_segment(element_type(index), count)?;
    let (pending, positions, sources) = (Vec::new(), Vec::new(), Vec::new());
    let mut rewriter = Rewriter { collection, index, router: &router, writer, pending, positions, sources };
    for (position, rows) in members.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
        rewriter.push(position, rows)?;
    }
    rewriter.flush()?;
    let Rewriter { writer, sources, .. } = rewriter;
    // Every flushed delete has done its work: the rows that it hid are gone.
    manifest.segments.clear();
    manifest.tombstone_files.clear();
    manifest.bucket_files.clear();
    manifest.removed_buckets.clear();
    manifest.bitstore_file = None;
    manifest.bitstore_segments.clear();
    let segment = collection.end_segment(writer, &mut manifest)?;
    collection.add_bucket_file(router.table(), &mut manifest)?;
    maintenance.commit(manifest)?;
    publish(collection, version, router, segment, &sources)?;
    checkpoint(collection, maintenance)?;
    Ok(sources.len() as u64)
}

/// Splits one bucket's rows into buckets of the target size, at the end of `table`.
fn split(
    collection: &CollectionState,
    index: &Index,
    rows: &[Source],
    manifest: &mut Manifest,
    table: &mut BucketTable,
    members: &mut Vec<Vec<Source>>,
) -> Result<()> {
    let gathered = Gathered::read(collection, index, rows)?;
    let rotated = collection.rotate_rows(&gathered.vectors.as_ref());
    let count = collection.bucket_count(rows.len());
    let mut children = collection.train(&rotated, count, BucketId(manifest.next_bucket));
    let homes = collection.pool.install(|| collection.router(children.clone()).homes(&rotated));
    let mut sums = ResidualSums::new(children.len());
    sums.add(&homes);
    children.set_spread(&sums);
    let mut rows_of = vec![Vec::new(); children.len()];
    for (&row, homes) in rows.iter().zip(homes) {
        rows_of[homes.first as usize].push(row);
    }
    for (position, rows) in rows_of.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
        table.push(children.ids[position], children.centroid(position), children.spread[position]);
        members.push(rows);
    }
    manifest.next_bucket += children.len() as u32;
    Ok(())
}

fn publish(
    collection: &CollectionState,
    old: &Version,
    router: Arc<Router>,
    segment: LiveSegment,
    sources: &[Source],
) -> Result<()> {
    let new = segment.segment.clone();
    let old = &old.index;
    let index = Arc::new(collection.pool.install(|| old.next(router, vec![segment], 0))?);
    let mut writes = collection.writes.lock();
    let version = collection.pin();
    collection.commit_moves(&mut writes, |_| {
        for (bucket, rows) in new.runs() {
            for row in rows {
                let (place, source) = sources[row as usize];
                // Deaths that came while the job ran.
                match old.segments[place as usize].segment.death(source) {
                    0 => {}
                    seq => new.mark_dead(row, seq),
                }
                collection.bitstore.replace(new.id(row).hash64(), new.seq(row), bucket, new.seq(row));
            }
        }
        Version { index, ..(*version).clone() }
    });
    Ok(())
}
