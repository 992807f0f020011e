//! Buckets for rows that are about to be flushed, where those there are do not do.
//!
//! Layer 6. The first rows of a collection define its buckets. Later ones find theirs among these, unless many would crowd into
//! few: rows of a kind that was not there before, or all there are once the earlier ones are gone. Such rows define buckets
//! of their own, as those of a load do. Splits would make them in the background; until then a search would read crowded
//! buckets by rules that were measured on others, and find less than it was asked for. Rows that come while all buckets are
//! defined anew (`retrain`) are looked at in the same way.

use super::policy::SPLIT_FACTOR;
use crate::error::Result;
use crate::manifest::Manifest;
use crate::memtable::Extract;
use crate::state::{BucketTable, CollectionState, ResidualSums, Router};
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
    let first = BucketId(manifest.next_bucket);
    let new = collection.pool.install(|| {
        if router.is_empty() {
            return Some(defined(collection, &rotated(collection, extract, 1), 1, rows as u64, router, first));
        }
        let all = collection.pin().live_rows;
        let step = rows.div_ceil(SAMPLE_ROWS);
        crowd(collection, router, &rotated(collection, extract, step), step, all)?;
        more(collection, router, &rotated(collection, extract, 1), 1, all, first)
    });
    let Some(new) = new else { return Ok(router.clone()) };
    if router.is_empty() {
        manifest.trained_seq = collection.pin().seq;
    }
    collection.add_bucket_file(&new, manifest)?;
    Ok(Arc::new(collection.next_router(router, router.table().merged(&new, &[]))))
}

/// New buckets, from `first` on, for those of the rotated `rows`, of which each stands for `weight`, of a collection with `all` that
/// would crowd into few of `router`'s. Runs on the caller's pool.
pub fn more(
    collection: &CollectionState,
    router: &Router,
    rows: &[f32],
    weight: usize,
    all: u64,
    first: BucketId,
) -> Option<BucketTable> {
    let crowd = crowd(collection, router, rows, weight, all)?;
    Some(defined(collection, &crowd, weight, all, router, first))
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

/// Those of the rotated `rows`, of which each stands for `weight`, that come into crowded buckets; none where they are few.
fn crowd(collection: &CollectionState, router: &Router, rows: &[f32], weight: usize, all: u64) -> Option<Floats> {
    let target = collection.bucket_rows(all);
    let homes = router.homes(rows);
    let mut sizes = vec![0usize; router.len()];
    homes.iter().for_each(|homes| sizes[homes.first as usize] += 1);
    let is_crowded = |position: u32| {
        let size = sizes[position as usize];
        size >= SAMPLED_MIN && (size * weight) as f64 > CROWD_FACTOR * target as f64
    };
    let mut crowd = Floats::with_capacity(0);
    for (row, homes) in rows.chunks_exact(collection.schema.dim).zip(&homes) {
        if is_crowded(homes.first) {
            crowd.extend(row);
        }
    }
    (crowd.len() * weight >= BUCKETS_MIN * target * collection.schema.dim).then_some(crowd)
}

/// Buckets from `first` on, beside those of `router`, for the rotated `rows`, of which each stands for `weight`, of a collection
/// that has `all`.
fn defined(
    collection: &CollectionState,
    rows: &[f32],
    weight: usize,
    all: u64,
    router: &Router,
    first: BucketId,
) -> BucketTable {
    let count = collection.bucket_count(weight * (rows.len() / collection.schema.dim), all);
    let new = collection.train_here(rows, count, first);
    let next = router.next(router.table().merged(&new, &[]));
    let mut sums = ResidualSums::new(next.len());
    sums.add(&next.homes(rows));
    let mut table = next.table().clone();
    table.set_spread(&sums);
    table.split_off(first)
}
