//! Rows by predicate, whatever their vectors: count, list, page through.
//!
//! Layer 6.

use super::get::id_at;
use super::payload::{self, Payload};
use super::wanted::Wanted;
use super::{get, wanted};
use crate::error::{Error, Result};
use crate::state::{CollectionState, Place, Version};
use crate::types::{IdRef, Ids, Include, Predicate, Rows, Seq};
use std::sync::Arc;

/// Most rows of one page: with vectors of d = 1,024 they take 256 MiB.
pub const PAGE_ROWS_MAX: usize = 65_536;

/// Number of rows that satisfy `filter`.
pub fn count(collection: &CollectionState, filter: &Arc<Predicate>) -> Result<u64> {
    collection.check_open()?;
    let (version, now) = collection.pin_now();
    let mut count = 0;
    each(&version, wanted(collection, &version, Some(filter), now)?.as_ref(), |_, _| count += 1);
    Ok(count)
}

/// Ids and seqs of the rows that satisfy `filter`.
pub fn matching(collection: &CollectionState, filter: &Arc<Predicate>) -> Result<(Ids, Vec<Seq>)> {
    collection.check_open()?;
    let (version, now) = collection.pin_now();
    let (mut ids, mut seqs) = (Ids::empty(collection.schema.id_type), Vec::new());
    each(&version, wanted(collection, &version, Some(filter), now)?.as_ref(), |seq, place| {
        ids.push(id_at(&version, place));
        seqs.push(seq);
    });
    Ok((ids, seqs))
}

/// What a page has.
#[derive(Clone, Debug, Default)]
pub struct Page<'a> {
    /// Rows that satisfy this; all when none.
    pub filter: Option<&'a Arc<Predicate>>,
    /// Rows behind this id; from the first one when none.
    pub after: Option<IdRef<'a>>,
    /// At most so many.
    pub limit: usize,
    /// Whether it has their vectors.
    pub vectors: bool,
    /// Fields of their payload.
    pub include: Include,
}

/// The next rows in ascending order of id.
pub fn page(collection: &CollectionState, page: &Page<'_>) -> Result<Rows> {
    collection.check_open()?;
    if !(1..=PAGE_ROWS_MAX).contains(&page.limit) {
        return Err(Error::invalid(format!("limit is {}: it must be between 1 and {PAGE_ROWS_MAX}", page.limit)));
    }
    let (version, now) = collection.pin_now();
    let mut places: Vec<Place> = Vec::new();
    let is_behind = |place: Place| page.after.is_none_or(|after| id_at(&version, place) > after);
    each(&version, wanted(collection, &version, page.filter, now)?.as_ref(), |_, place| places.push(place));
    places.retain(|&place| is_behind(place));
    let by_id = |a: &Place, b: &Place| id_at(&version, *a).cmp(&id_at(&version, *b));
    if places.len() > page.limit {
        places.select_nth_unstable_by(page.limit - 1, by_id);
        places.truncate(page.limit);
    }
    places.sort_unstable_by(by_id);
    let fields = payload::fields(collection, &page.include)?;
    let dim = if page.vectors { collection.schema.dim } else { 0 };
    let mut rows = Rows::empty(collection.schema.id_type);
    let mut out = Payload::new(&fields);
    let (mut vector, mut cold) = (vec![0.0; collection.schema.dim], Vec::new());
    for place in places {
        rows.ids.push(id_at(&version, place));
        if page.vectors {
            get::read(&version, place, &mut vector, &mut cold)?;
        }
        rows.vectors.extend_from_slice(&vector[..dim]);
        out.push(&version, place)?;
    }
    rows.payload = out.finish()?;
    Ok(rows)
}

/// Hands over seq and place of each visible row that is wanted: all of them when none says otherwise.
pub(super) fn each(version: &Version, wanted: Option<&Wanted>, mut f: impl FnMut(Seq, Place)) {
    for (place, live) in version.index.segments.iter().enumerate() {
        let segment = &live.segment;
        let mut visit = |row: u32| {
            if segment.is_visible(row, version.seq) {
                f(segment.seq(row), Place::Segment(place as u32, row));
            }
        };
        match wanted {
            Some(wanted) => wanted.set(place).iter().for_each(&mut visit),
            None => (0..segment.rows()).for_each(&mut visit),
        }
    }
    let predicate = wanted.and_then(Wanted::predicate);
    for (place, memtable) in version.memtables().enumerate() {
        memtable.for_each_visible(version.seq, |row, seq| {
            if predicate.is_none_or(|predicate| memtable.satisfies(row, predicate)) {
                f(seq, Place::Memtable(place, row));
            }
        });
    }
}
