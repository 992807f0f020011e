//! Rows that have expired and are not deleted yet.
//!
//! Layer 6. No read shows them; the job that deletes them asks for them here.

use super::get::id_at;
use crate::error::Result;
use crate::state::{CollectionState, Place, Version};
use crate::types::{Ids, Seq};

/// Ids and seqs of the rows that have expired, at most `limit`.
pub fn expired(collection: &CollectionState, limit: usize) -> Result<(Ids, Vec<Seq>)> {
    collection.check_open()?;
    let (version, now) = collection.pin_now();
    let (mut ids, mut seqs) = (Ids::empty(collection.schema.id_type), Vec::new());
    if let Some(now) = now {
        expired_rows(collection, &version, now, |seq, place| {
            ids.push(id_at(&version, place));
            seqs.push(seq);
            seqs.len() < limit
        })?;
    }
    Ok((ids, seqs))
}

/// Hands over seq and place of each visible row that has expired at `now`, until told to stop by false.
pub(super) fn expired_rows(
    collection: &CollectionState,
    version: &Version,
    now: i64,
    mut f: impl FnMut(Seq, Place) -> bool,
) -> Result<()> {
    for (place, live) in version.index.segments.iter().enumerate() {
        let segment = &live.segment;
        let Some(alive) = segment.alive(&collection.schema.lifetime, now)? else { continue };
        for row in alive.inverted().iter().filter(|&row| segment.is_visible(row, version.seq)) {
            if !f(segment.seq(row), Place::Segment(place as u32, row)) {
                return Ok(());
            }
        }
    }
    let mut goes_on = true;
    for (place, memtable) in version.memtables().enumerate().filter(|(_, memtable)| memtable.earliest_expiry() <= now) {
        memtable.for_each_visible(version.seq, |row, seq| {
            if goes_on && memtable.expiry(row) <= now {
                goes_on = f(seq, Place::Memtable(place, row));
            }
        });
    }
    Ok(())
}
