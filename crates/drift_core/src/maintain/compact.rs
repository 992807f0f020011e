//! Compaction: live rows of some segments are written into one, in the order of their buckets of today, and the segments go.
//!
//! Layer 6. Codes, second buckets and exact vectors are copied as they are. Rows whose death is not flushed yet are kept:
//! were the log lost, they would be the newest ones left. The segment is written without the maintenance lock; what is flushed meanwhile
//! stands behind it, and deaths that come are carried over when it is published.

use super::checkpoint::checkpoint;
use super::remove::{after_failure, remove_unreferenced};
use super::survey::horizon;
use crate::error::Result;
use crate::manifest::{Manifest, SegmentEntry};
use crate::segment::{PayloadSource, RunRows, Segment, SegmentWriter};
use crate::state::{CollectionState, Index, LiveSegment, NO_BUCKET, Version};
use crate::storage::failpoint::{Failpoint, reach};
use crate::types::{BucketId, Column, ElementType, Field, Ids, Precision, Value, VectorBuf};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compacted {
    /// Segments that went.
    pub segments: u64,
    /// Rows written.
    pub rows: u64,
    /// Dead rows left out.
    pub dropped: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// A row to be written: bucket, seq, segment place, row.
type Source = (BucketId, u64, u32, u32);

/// Writes the segments at `places`, ascending, into one. Runs on the caller's pool; the caller holds the job lock, and not that of
/// maintenance.
pub fn compact(collection: &CollectionState, places: &[u32]) -> Result<Compacted> {
    let outcome = merge(collection, places);
    if outcome.is_err() {
        after_failure(collection);
    }
    outcome
}

fn merge(collection: &CollectionState, places: &[u32]) -> Result<Compacted> {
    let (files, settled) = {
        let mut maintenance = collection.maintenance.lock();
        maintenance.check_open()?;
        (collection.keep_unnamed(&mut maintenance), maintenance.manifest.next_file.peek())
    };
    let version = collection.pin();
    let index = &version.index;
    let sources = sources(index, places, horizon(&version));
    let all: u64 = places.iter().map(|&place| u64::from(index.segments[place as usize].segment.rows())).sum();
    let mut done = Compacted { segments: places.len() as u64, rows: sources.len() as u64, ..Compacted::default() };
    done.dropped = all - done.rows;
    let written = if sources.is_empty() { None } else { Some(write(collection, index, &sources, settled)?) };
    let mut lock = collection.maintenance.lock();
    let maintenance = &mut *lock;
    let mut manifest = maintenance.manifest.next();
    forget(index, places, &mut manifest);
    // Flushes alone may have come in between, and have added segments behind these.
    let version = collection.pin();
    let index = &version.index;
    let added = written.map(|(entry, live)| {
        done.bytes = live.segment.file().length;
        manifest.segments.push(entry);
        live
    });
    drop_settled_tombstones(&mut manifest);
    // Columns are written with the types of today, which no flush may have told of yet.
    manifest.fields.clone_from(&collection.fields.read().list);
    let new_rows: HashMap<(u32, u32), u32> =
        sources.iter().enumerate().map(|(row, &(.., place, source))| ((place, source), row as u32)).collect();
    let rename = |place: u32, row: u32| new_rows.get(&(place, row)).copied();
    let next = Arc::new(index.compacted(places, added.clone(), rename, version.seq)?);
    reach(Failpoint::CompactCommit)?;
    maintenance.commit(manifest)?;
    files.end(maintenance);
    publish(collection, index, next, added.map(|live| live.segment), &sources);
    checkpoint(collection, maintenance)?;
    remove_unreferenced(collection, maintenance)?;
    collection.counters.job_bytes_written.fetch_add(done.bytes, Ordering::Relaxed);
    collection.counters.compacted_bytes_written.fetch_add(done.bytes, Ordering::Relaxed);
    Ok(done)
}

/// The rows that stay, in the order in which they are written.
fn sources(index: &Index, places: &[u32], horizon: u64) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for &place in places {
        let live = &index.segments[place as usize];
        let rows = (0..live.segment.rows()).filter(|&row| {
            let death = live.segment.death(row);
            death == 0 || death >= horizon
        });
        sources.extend(rows.map(|row| (live.assignment.first(row), live.segment.seq(row), place, row)));
    }
    sources.sort_unstable();
    sources
}

/// Takes the segments, and the saved bitstore, whose labels they carry, out of the manifest.
fn forget(index: &Index, places: &[u32], manifest: &mut Manifest) {
    let gone: Vec<_> = places.iter().map(|&place| index.segments[place as usize].segment.file().id).collect();
    manifest.segments.retain(|segment| !gone.contains(&segment.file));
    manifest.bitstore_file = None;
    manifest.bitstore_segments.clear();
}

/// Tombstones whose ids are dead in every segment that is left have done their work.
fn drop_settled_tombstones(manifest: &mut Manifest) {
    let settled = manifest.segments.iter().map(|segment| segment.settled).min().unwrap_or(u64::MAX);
    manifest.tombstone_files.retain(|number| *number >= settled);
}

fn write(
    collection: &CollectionState,
    index: &Index,
    sources: &[Source],
    settled: u64,
) -> Result<(SegmentEntry, LiveSegment)> {
    let mut writer = collection.begin_segment(element_type(index), sources.len())?;
    let mut run = RunBuffer::new(collection, element_type(index));
    for rows in sources.chunk_by(|a, b| a.0 == b.0) {
        run.fill(index, rows)?;
        run.push(rows[0].0, &mut writer)?;
    }
    collection.end_segment(writer, &Gathered { collection, index, sources }, settled)
}

/// Payload of rows of several segments.
struct Gathered<'a> {
    collection: &'a CollectionState,
    index: &'a Index,
    sources: &'a [Source],
}

impl PayloadSource for Gathered<'_> {
    /// With the types of today: what was a field of ints may have become one of floats.
    fn fields(&self) -> Vec<Field> {
        let places: HashSet<u32> = self.sources.iter().map(|source| source.2).collect();
        let has = |name: &str| {
            let mut segments = places.iter().map(|&place| &self.index.segments[place as usize].segment);
            segments.any(|segment| segment.fields().any(|field| field.name == name))
        };
        self.collection.fields.read().list.iter().filter(|field| has(&field.name)).cloned().collect()
    }

    fn column(&self, field: &Field) -> Result<Column> {
        let mut columns: HashMap<u32, Option<Column>> = HashMap::new();
        let mut out = Column::new(field.kind);
        for &(.., place, row) in self.sources {
            let column = match columns.entry(place) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.index.segments[place as usize].segment.read_column(&field.name)?),
            };
            out.push(column.as_ref().map_or(Value::Null, |column| column.get(row as usize)));
        }
        Ok(out)
    }
}

/// f16 where every segment is, otherwise f32.
fn element_type(index: &Index) -> ElementType {
    let half = index.segments.iter().all(|live| live.segment.element_type() == ElementType::F16);
    if half { ElementType::F16 } else { ElementType::F32 }
}

/// The rows of one bucket on their way.
struct RunBuffer {
    ids: Ids,
    seqs: Vec<u64>,
    vectors: VectorBuf,
    codes: Vec<u8>,
    factors: Vec<crate::quant::sq8::Factors>,
    seconds: Vec<u32>,
    element_type: ElementType,
    with_seconds: bool,
    scratch: Vec<u8>,
}

impl RunBuffer {
    fn new(collection: &CollectionState, element_type: ElementType) -> RunBuffer {
        RunBuffer {
            ids: Ids::empty(collection.schema.id_type),
            seqs: Vec::new(),
            vectors: VectorBuf::with_capacity(element_type, 0),
            codes: Vec::new(),
            factors: Vec::new(),
            seconds: Vec::new(),
            element_type,
            with_seconds: collection.schema.precision == Precision::OneBit,
            scratch: Vec::new(),
        }
    }

    fn fill(&mut self, index: &Index, rows: &[Source]) -> Result<()> {
        self.ids = Ids::empty(self.ids.id_type());
        self.vectors = VectorBuf::with_capacity(self.element_type, 0);
        self.seqs.clear();
        self.codes.clear();
        self.factors.clear();
        self.seconds.clear();
        for near in rows.chunk_by(|a, b| a.2 == b.2 && a.3 + 1 == b.3) {
            let live = &index.segments[near[0].2 as usize];
            let (start, end) = (near[0].3, near[near.len() - 1].3 + 1);
            live.segment.read_vectors_raw(start..end, &mut self.vectors, &mut self.scratch)?;
            self.codes.extend_from_slice(live.segment.codes(start..end));
            self.factors.extend_from_slice(&live.segment.factors()[start as usize..end as usize]);
            for row in start..end {
                self.ids.push(live.segment.id(row));
                self.seqs.push(live.segment.seq(row));
                if self.with_seconds {
                    self.seconds.push(live.assignment.second(row).map_or(NO_BUCKET, |bucket| bucket.0));
                }
            }
        }
        Ok(())
    }

    fn push(&self, bucket: BucketId, writer: &mut SegmentWriter) -> Result<()> {
        let rows = RunRows {
            ids: &self.ids,
            seqs: &self.seqs,
            vectors: self.vectors.as_ref(),
            codes: &self.codes,
            factors: &self.factors,
            seconds: &self.seconds,
        };
        writer.push_run(bucket, rows)
    }
}

fn publish(
    collection: &CollectionState,
    old: &Index,
    index: Arc<Index>,
    added: Option<Arc<Segment>>,
    sources: &[Source],
) {
    let mut writes = collection.writes.lock();
    let version = collection.pin();
    collection.commit_moves(&mut writes, |_| {
        for (row, &(bucket, seq, place, source)) in sources.iter().enumerate() {
            let Some(new) = &added else { break };
            match old.segments[place as usize].segment.death(source) {
                0 => {}
                death => new.mark_dead(row as u32, death),
            }
            collection.bitstore.replace(new.id(row as u32).hash64(), seq, bucket, seq);
        }
        Version { index, ..(*version).clone() }
    });
}
