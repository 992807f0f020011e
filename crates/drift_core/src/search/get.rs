//! Reads by id: get, contains, and the list of all ids.
//!
//! Layer 6.

use super::expiry::expired_rows;
use super::matching::each;
use super::payload::{self, Payload};
use super::{memory, wanted};
use crate::error::{Error, Result};
use crate::state::{CollectionState, Found, Place, Version};
use crate::types::{IdRef, Ids, Include, Missing, Rows, Seq};
use std::sync::Arc;

/// The rows of `ids`, in their order; unknown ids are an error or left out.
pub fn get(collection: &CollectionState, ids: &Ids, missing: Missing, include: &Include) -> Result<Rows> {
    Ok(get_with_seqs(collection, ids, missing, include)?.0)
}

/// Times that rows are read while writes come in between, before writers are made to wait: each reading may see half of a write.
const READS_MAX: usize = 3;

/// The same, and the seq of each row. All of them are as of one moment: of a write either all is seen or nothing.
pub fn get_with_seqs(
    collection: &CollectionState,
    ids: &Ids,
    missing: Missing,
    include: &Include,
) -> Result<(Rows, Vec<Seq>)> {
    collection.check_open()?;
    ids.validate(collection.schema.id_type)?;
    if ids.len() > 1 {
        for _ in 0..READS_MAX {
            let before = collection.pin().seq;
            let read = read_all(collection, ids, missing, include);
            // A write puts its rows into memory one by one before it is published.
            let has_begun = read.as_ref().is_ok_and(|(_, seqs)| seqs.iter().any(|seq| *seq > before));
            if collection.pin().seq == before && !has_begun {
                return read;
            }
        }
    }
    // One id is found at one moment.
    let _writes = (ids.len() > 1).then(|| collection.writes.lock());
    read_all(collection, ids, missing, include)
}

fn read_all(collection: &CollectionState, ids: &Ids, missing: Missing, include: &Include) -> Result<(Rows, Vec<Seq>)> {
    let dim = collection.schema.dim;
    let fields = payload::fields(collection, include)?;
    let mut payload = Payload::new(&fields);
    let (mut rows, mut seqs) = (Rows::empty(collection.schema.id_type), Vec::with_capacity(ids.len()));
    rows.vectors.reserve(ids.len() * dim);
    let mut vector = vec![0.0; dim];
    let mut cold = Vec::new();
    for (row, id) in ids.iter().enumerate() {
        let (version, found) = find(collection, id)?;
        match found {
            Some(found) => {
                read(&version, found.place, &mut vector, &mut cold)?;
                rows.ids.push(id);
                rows.vectors.extend_from_slice(&vector);
                payload.push(&version, found.place)?;
                seqs.push(found.seq);
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
    rows.payload = payload.finish()?;
    Ok((rows, seqs))
}

/// Whether a live row has `id`.
pub fn contains(collection: &CollectionState, id: IdRef<'_>) -> Result<bool> {
    collection.check_open()?;
    Ok(find(collection, id)?.1.is_some())
}

/// All live ids, oldest write first.
pub fn ids(collection: &CollectionState) -> Result<Ids> {
    collection.check_open()?;
    let (version, now) = collection.pin_now();
    let mut rows = Vec::with_capacity(version.live_rows as usize);
    each(&version, wanted(collection, &version, None, now)?.as_ref(), |seq, place| rows.push((seq, place)));
    rows.sort_unstable_by_key(|(seq, _)| *seq);
    let mut ids = Ids::empty(collection.schema.id_type);
    for (_, place) in rows {
        ids.push(id_at(&version, place));
    }
    Ok(ids)
}

/// Number of live rows.
pub fn live_rows(collection: &CollectionState) -> Result<u64> {
    let (version, now) = collection.pin_now();
    let Some(now) = now else { return Ok(version.live_rows) };
    let mut expired = 0;
    expired_rows(collection, &version, now, |_, _| {
        expired += 1;
        true
    })?;
    Ok(version.live_rows - expired)
}

/// The row of an id that is there, and the version that it is in.
fn find(collection: &CollectionState, id: IdRef<'_>) -> Result<(Arc<Version>, Option<Found>)> {
    let before = collection.earliest_expiry();
    let (version, found) = collection.find(id);
    let found = live(&version, found);
    if let (Some(found), Some(now)) = (found, collection.expired_by(before))
        && collection.is_expired(&version, found.place, now)?
    {
        return Ok((version, None));
    }
    Ok((version, found))
}

/// A row that is there for a reader of `version`. What a write that is not published yet supersedes still is: the row that
/// takes its place may not be there.
fn live(version: &Version, found: Option<Found>) -> Option<Found> {
    found.filter(|found| found.death == 0 || found.death > version.seq)
}

pub(super) fn read(version: &Version, place: Place, vector: &mut [f32], cold: &mut Vec<u8>) -> Result<()> {
    match place {
        Place::Memtable(place, row) => {
            let memtable = version.memtables().nth(place).expect("invariant: the place came from this version");
            vector.copy_from_slice(memtable.vector(row));
            Ok(())
        }
        Place::Segment(segment, row) => version.index.segments[segment as usize].segment.read_row(row, vector, cold),
    }
}

/// The place that a key of the scan means.
pub(super) fn place_of(key: u64) -> Place {
    match memory::place(key) {
        Some((place, row)) => Place::Memtable(place, row),
        None => {
            let (segment, row) = super::buckets::place(key);
            Place::Segment(segment, row)
        }
    }
}

/// Id of the row at a place.
pub(super) fn id_at(version: &Version, place: Place) -> IdRef<'_> {
    match place {
        Place::Memtable(place, row) => {
            version.memtables().nth(place).expect("invariant: the place came from this version").id(row)
        }
        Place::Segment(segment, row) => version.index.segments[segment as usize].segment.id(row),
    }
}
