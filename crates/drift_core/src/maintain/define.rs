//! Buckets for rows that are about to be flushed, where those there are do not do.
//!
//! Layer 6. The first rows of a collection define its buckets. Later ones find theirs among these, unless many would crowd into
//! few: rows of a kind that was not there before, or all there are once the earlier ones are gone. Such rows define buckets
//! of their own, as those of a load do. Splits would make them in the background; until then a search would read crowded
//! buckets by rules that were measured on others, and find less than it was asked for.

use super::policy::SPLIT_FACTOR;
use crate::error::Result;
use crate::manifest::Manifest;
use crate::memtable::Extract;
use crate::state::{CollectionState, ResidualSums, Router};
use crate::types::{BucketId, Floats, VectorBuf};
use std::sync::Arc;

/// Rows that are placed to see whether many crowd into few buckets: a sixteenth of a flush, whose rows are all placed again.
const SAMPLE_ROWS: usize = 1_024;

/// A bucket is crowded by more new rows than this many times the target: twice what is split.
const CROWD_FACTOR: f64 = 2.0 * SPLIT_FACTOR;

/// Fewest rows of the sample in a crowded bucket: so many are no chance.
const SAMPLED_MIN: usize = 8;

/// Crowding rows of fewer buckets' worth are left to splits.
const BUCKETS_MIN: usize = 8;

/// The buckets that the rows of `extract` are to be placed in: those of `router`, and new ones where they are wanted, which are
/// in `manifest` then.
pub fn buckets_for(
    collection: &CollectionState,
    extract: &Extract,
    router: &Arc<Router>,
    manifest: &mut Manifest,
) -> Result<Arc<Router>> {
    let rows = extract.ids.len();
    if router.is_empty() {
        manifest.trained_seq = collection.pin().seq;
        return defined(collection, &rotated(collection, extract, 1), rows as u64, router, manifest);
    }
    let all = collection.pin().live_rows;
    let target = collection.bucket_rows(all);
    let step = rows.div_ceil(SAMPLE_ROWS);
    let sample = rotated(collection, extract, step);
    let crowd = crowd(collection, router, &sample, CROWD_FACTOR * target as f64 / step as f64);
    if crowd.len() * step < BUCKETS_MIN * target * collection.schema.dim {
        return Ok(router.clone());
    }
    let crowd = match step {
        1 => crowd,
        _ => self::crowd(collection, router, &rotated(collection, extract, 1), CROWD_FACTOR * target as f64),
    };
    if crowd.is_empty() { Ok(router.clone()) } else { defined(collection, &crowd, all, router, manifest) }
}

/// Every `step`-th row, rotated.
fn rotated(collection: &CollectionState, extract: &Extract, step: usize) -> Floats {
    let vectors = extract.vectors.as_ref();
    if step == 1 {
        return collection.rotate_rows(&vectors);
    }
    let (dim, rows) = (collection.schema.dim, extract.ids.len());
    let mut sample = VectorBuf::with_capacity(vectors.element_type(), rows.div_ceil(step) * dim);
    (0..rows).step_by(step).for_each(|row| sample.extend(&vectors.slice(row * dim, (row + 1) * dim)));
    collection.rotate_rows(&sample.as_ref())
}

/// Those of the rotated `rows` that come into a bucket with more than `most` of them.
fn crowd(collection: &CollectionState, router: &Router, rows: &[f32], most: f64) -> Floats {
    let homes = collection.pool.install(|| router.homes(rows));
    let mut sizes = vec![0usize; router.len()];
    homes.iter().for_each(|homes| sizes[homes.first as usize] += 1);
    let is_crowded = |position: u32| {
        let size = sizes[position as usize];
        size >= SAMPLED_MIN && size as f64 > most
    };
    let mut crowd = Floats::with_capacity(0);
    for (row, homes) in rows.chunks_exact(collection.schema.dim).zip(&homes) {
        if is_crowded(homes.first) {
            crowd.extend(row);
        }
    }
    crowd
}

/// The buckets of `router` and new ones for the rotated `rows` of a collection that has `all`.
fn defined(
    collection: &CollectionState,
    rows: &[f32],
    all: u64,
    router: &Arc<Router>,
    manifest: &mut Manifest,
) -> Result<Arc<Router>> {
    let count = collection.bucket_count(rows.len() / collection.schema.dim, all);
    let first = BucketId(manifest.next_bucket);
    let new = collection.train(rows, count, first);
    let next = collection.next_router(router, router.table().merged(&new, &[]));
    let mut sums = ResidualSums::new(next.len());
    sums.add(&collection.pool.install(|| next.homes(rows)));
    let mut table = next.table().clone();
    table.set_spread(&sums);
    let new = table.split_off(first);
    collection.add_bucket_file(&new, manifest)?;
    Ok(Arc::new(next.with_table(router.table().merged(&new, &[]))))
}
