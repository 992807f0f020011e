//! Changes of metadata: each row is read, changed and written anew, vector and all, unless another has replaced it meanwhile.
//!
//! Layer 7: it needs the read path and the write path.

use crate::error::{Error, ErrorKind, Result};
use crate::ingest;
use crate::search;
use crate::state::CollectionState;
use crate::types::{Columns, Ids, Include, Missing, Predicate, Rows, Seq, VectorBuf};
use half::f16;
use std::sync::Arc;

/// How often an update is tried again when other writers replace its rows.
const TRIES_MAX: usize = 100;

/// Rows of an update by filter that are read and written at a time: 6 MB of vectors at d = 1,536, and one frame of the log.
const PART_ROWS: usize = 1_024;

/// Changes rows, all or none.
pub fn rows(state: &CollectionState, ids: &Ids, changes: &Columns, removed: &[(usize, String)]) -> Result<()> {
    check_fields(state, changes)?;
    if let Some((id, first, row)) = ids.repeated() {
        return Err(Error::invalid(format!(
            "id {id} is given twice, at rows {first} and {row}: update_metadata takes each id once, with all its changes"
        )));
    }
    for _ in 0..TRIES_MAX {
        let (rows, seqs) = search::get_with_seqs(state, ids, Missing::Error, &Include::All)?;
        if changes.rows() != rows.ids.len() {
            let (given, rows) = (changes.rows(), rows.ids.len());
            return Err(Error::invalid(format!("{rows} ids came with metadata of {given} rows: give as many")));
        }
        if replace(state, &rows, &seqs, changes, removed)? {
            return Ok(());
        }
    }
    Err(busy())
}

/// Fails when the collection cannot have these fields.
fn check_fields(state: &CollectionState, changes: &Columns) -> Result<()> {
    let fields = state.fields.read();
    fields.grown(&changes.telling(&fields)).map(|_| ())
}

/// Changes the rows that satisfy `filter`, each in the same way, and returns how many there were.
pub fn matching(
    state: &CollectionState,
    filter: &Arc<Predicate>,
    changes: &Columns,
    removed: &[String],
) -> Result<u64> {
    state.check_writable()?;
    if changes.rows() != 1 {
        let given = changes.rows();
        return Err(Error::invalid(format!("metadata has {given} rows: an update by filter takes one, for all rows")));
    }
    check_fields(state, changes)?;
    let (ids, seqs) = search::matching(state, filter)?;
    let mut updated = 0;
    for start in (0..ids.len()).step_by(PART_ROWS) {
        let part = start..ids.len().min(start + PART_ROWS);
        let mut wanted = Ids::empty(ids.id_type());
        part.clone().for_each(|row| wanted.push(ids.get(row)));
        updated += update_part(state, wanted, seqs[part].to_vec(), changes, removed)?;
    }
    Ok(updated)
}

/// Changes those of `ids` that are still the ones that have `seqs`.
fn update_part(
    state: &CollectionState,
    mut ids: Ids,
    mut seqs: Vec<Seq>,
    change: &Columns,
    removed: &[String],
) -> Result<u64> {
    for _ in 0..TRIES_MAX {
        let (rows, found) = search::get_with_seqs(state, &ids, Missing::Skip, &Include::All)?;
        if found == seqs {
            let mut changes = Columns::new(0);
            (0..found.len()).for_each(|_| changes.push_row(Some((change, 0))));
            let removed: Vec<(usize, String)> =
                (0..found.len()).flat_map(|row| removed.iter().map(move |name| (row, name.clone()))).collect();
            if replace(state, &rows, &seqs, &changes, &removed)? {
                return Ok(found.len() as u64);
            }
            continue;
        }
        // Rows come in the order of their ids, without those that are gone; a row written since has a younger seq.
        let mut left = Ids::empty(ids.id_type());
        let mut left_seqs = Vec::with_capacity(seqs.len());
        let mut next = 0;
        for (row, seq) in seqs.iter().enumerate() {
            if next < found.len() && rows.ids.get(next) == ids.get(row) {
                if found[next] == *seq {
                    left.push(ids.get(row));
                    left_seqs.push(*seq);
                }
                next += 1;
            }
        }
        (ids, seqs) = (left, left_seqs);
    }
    Err(busy())
}

/// Writes rows with their changes if they are still the ones that have `seqs`; whether they were.
fn replace(
    state: &CollectionState,
    rows: &Rows,
    seqs: &[Seq],
    changes: &Columns,
    removed: &[(usize, String)],
) -> Result<bool> {
    if seqs.is_empty() {
        return Ok(true);
    }
    let payload = rows.payload.updated(changes, removed)?;
    ingest::replace_versions(state, &rows.ids, seqs, narrowest(&rows.vectors).as_ref(), &payload)
}

/// The vectors as f16 where that loses nothing: those that came so.
fn narrowest(vectors: &[f32]) -> VectorBuf {
    let halves: Vec<f16> = vectors.iter().map(|&value| f16::from_f32(value)).collect();
    if halves.iter().zip(vectors).all(|(half, value)| half.to_f32() == *value) {
        return VectorBuf::F16(halves);
    }
    VectorBuf::F32(vectors.to_vec())
}

fn busy() -> Error {
    let message = format!("other writers replaced the rows {TRIES_MAX} times meanwhile: update fewer rows a call");
    Error::new(ErrorKind::Timeout, message)
}
