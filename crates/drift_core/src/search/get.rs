//! Reads by id: get, contains, and the list of all ids.
//!
//! Layer 6.

use super::memory;
use crate::error::{Error, Result};
use crate::state::{CollectionState, Found, Place, Version};
use crate::types::{IdRef, Ids, Missing, Rows, Seq};
use std::sync::Arc;

/// The rows of `ids`, in their order; unknown ids are an error or left out.
pub fn get(collection: &CollectionState, ids: &Ids, missing: Missing) -> Result<Rows> {
    collection.check_open()?;
    ids.validate(collection.schema.id_type)?;
    let dim = collection.schema.dim;
    let mut rows = Rows { ids: Ids::empty(collection.schema.id_type), vectors: Vec::with_capacity(ids.len() * dim) };
    let mut vector = vec![0.0; dim];
    let mut cold = Vec::new();
    for (row, id) in ids.iter().enumerate() {
        let (version, found) = collection.find(id);
        match live(found) {
            Some(found) => {
                read(&version, found.place, &mut vector, &mut cold)?;
                rows.ids.push(id);
                rows.vectors.extend_from_slice(&vector);
            }
            None if missing == Missing::Skip => {}
            None => {
                return Err(Error::not_found(format!(
                    "id {id} at row {row} is not in collection {:?}: pass missing=\"skip\" to leave unknown ids out",
                    collection.name
                )));
            }
        }
    }
    Ok(rows)
}

/// Whether a live row has `id`.
pub fn contains(collection: &CollectionState, id: IdRef<'_>) -> Result<bool> {
    collection.check_open()?;
    Ok(live(collection.find(id).1).is_some())
}

/// All live ids, oldest write first.
pub fn ids(collection: &CollectionState) -> Result<Ids> {
    collection.check_open()?;
    let version = collection.pin();
    let mut rows = visible_rows(&version);
    rows.sort_unstable_by_key(|(seq, _)| *seq);
    let mut ids = Ids::empty(collection.schema.id_type);
    for (_, place) in rows {
        match place {
            Place::Memtable(place, row) => {
                let memtable = version.memtables().nth(place).expect("invariant: the place came from this version");
                ids.push(memtable.id(row));
            }
            Place::Segment(segment, row) => ids.push(version.index.segments[segment as usize].segment.id(row)),
        }
    }
    Ok(ids)
}

/// Seq and place of every visible row, in no order.
pub fn visible_rows(version: &Version) -> Vec<(Seq, Place)> {
    let mut rows = Vec::with_capacity(version.live_rows as usize);
    for (place, live) in version.index.segments.iter().enumerate() {
        let segment = &live.segment;
        for row in 0..segment.rows() {
            if segment.is_visible(row, version.seq) {
                rows.push((segment.seq(row), Place::Segment(place as u32, row)));
            }
        }
    }
    for (place, memtable) in version.memtables().enumerate() {
        memtable.for_each_visible(version.seq, |row, seq| rows.push((seq, Place::Memtable(place, row))));
    }
    rows
}

fn live(found: Option<Found>) -> Option<Found> {
    found.filter(|found| found.death == 0)
}

fn read(version: &Arc<Version>, place: Place, vector: &mut [f32], cold: &mut Vec<u8>) -> Result<()> {
    match place {
        Place::Memtable(place, row) => {
            let memtable = version.memtables().nth(place).expect("invariant: the place came from this version");
            vector.copy_from_slice(memtable.vector(row));
            Ok(())
        }
        Place::Segment(segment, row) => version.index.segments[segment as usize].segment.read_row(row, vector, cold),
    }
}

// Names shared with the scan, so that keys have one meaning.
pub(super) fn id_of<'a>(version: &'a Version, key: u64) -> IdRef<'a> {
    match memory::place(key) {
        Some((place, row)) => {
            version.memtables().nth(place).expect("invariant: the key came from this version").id(row)
        }
        None => {
            let (segment, row) = super::buckets::place(key);
            version.index.segments[segment as usize].segment.id(row)
        }
    }
}
