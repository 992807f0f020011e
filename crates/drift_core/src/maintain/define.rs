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
use crate::state::{BucketTable, CollectionState, Placement, ResidualSums, Router};
use crate::sync::install_here;
use crate::types::{BucketId, VectorBuf};
use std::collections::HashMap;
use std::sync::Arc;

/// A bucket is crowded by more new rows than this many times the target: twice what is split.
const CROWD_FACTOR: f64 = 2.0 * SPLIT_FACTOR;

/// Crowding rows of fewer buckets' worth are left to splits.
const BUCKETS_MIN: usize = 8;

/// So are those that are less than this share of the new rows, all of which are placed again when some define buckets.
const CROWD_SHARE: f64 = 1.0 / 16.0;

/// Places the rows of `extract`, whose ids, seqs and vectors are taken, in the buckets of `router`, and in new ones where they are
/// wanted, which are in `manifest` then; returns the router with these.
pub fn place(
    collection: &CollectionState,
    extract: &mut Extract,
    router: &Arc<Router>,
    manifest: &mut Manifest,
) -> Result<(Placement, Arc<Router>)> {
    let all = collection.pin().live_rows;
    let mut router = router.clone();
    let is_first = router.is_empty();
    if is_first {
        let rows = collection.rotate_rows(&extract.vectors.as_ref());
        let first = BucketId(manifest.next_bucket);
        let new =
            install_here(&collection.pool, || defined(collection, &rows, 1, extract.ids.len() as u64, &router, first));
        router = joined(collection, &router, &new, manifest)?;
        manifest.trained_seq = collection.pin().seq;
    }
    let ids = extract.ids.clone();
    let seqs = std::mem::take(&mut extract.seqs);
    let vectors = std::mem::replace(&mut extract.vectors, VectorBuf::F32(Vec::new()));
    let mut placement = collection.place(ids, seqs, vectors, &router, &mut ResidualSums::new(router.len()));
    if is_first {
        return Ok((placement, router));
    }
    if let Some(crowd) = crowd(&placement.buckets, 1, collection.bucket_rows(all)) {
        let dim = collection.schema.dim;
        let raw = placement.vectors.as_ref();
        let mut rows = VectorBuf::with_capacity(raw.element_type(), crowd.len() * dim);
        crowd.iter().for_each(|&row| rows.extend(&raw.slice(row * dim, (row + 1) * dim)));
        let rows = collection.rotate_rows(&rows.as_ref());
        let first = BucketId(manifest.next_bucket);
        let new = install_here(&collection.pool, || defined(collection, &rows, 1, all, &router, first));
        router = joined(collection, &router, &new, manifest)?;
        collection.place_again(&mut placement, &router);
    }
    Ok((placement, router))
}

/// The router after `router`, with `new` buckets, which are in `manifest` then.
fn joined(
    collection: &CollectionState,
    router: &Router,
    new: &BucketTable,
    manifest: &mut Manifest,
) -> Result<Arc<Router>> {
    collection.add_bucket_file(new, manifest)?;
    Ok(Arc::new(collection.next_router(router, router.table().merged(new, &[]))))
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
    let dim = collection.schema.dim;
    let buckets: Vec<BucketId> =
        router.homes(rows).iter().map(|homes| router.table().ids[homes.first as usize]).collect();
    let crowd = crowd(&buckets, weight, collection.bucket_rows(all))?;
    let rows: Vec<f32> = crowd.iter().flat_map(|&row| &rows[row * dim..(row + 1) * dim]).copied().collect();
    Some(defined(collection, &rows, weight, all, router, first))
}

/// Which rows come into crowded buckets, where each stands for `weight` and comes into its one of `buckets`, which aim at `target`
/// rows; none where they are few.
fn crowd(buckets: &[BucketId], weight: usize, target: usize) -> Option<Vec<usize>> {
    let mut sizes: HashMap<BucketId, usize> = HashMap::new();
    buckets.iter().for_each(|&bucket| *sizes.entry(bucket).or_default() += weight);
    let is_crowded = |bucket: &BucketId| sizes[bucket] as f64 > CROWD_FACTOR * target as f64;
    let rows: Vec<usize> = (0..buckets.len()).filter(|&row| is_crowded(&buckets[row])).collect();
    let is_many =
        rows.len() * weight >= BUCKETS_MIN * target && rows.len() as f64 >= CROWD_SHARE * buckets.len() as f64;
    is_many.then_some(rows)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `sizes[n]` rows in bucket `n`.
    fn rows(sizes: &[usize]) -> Vec<BucketId> {
        sizes.iter().enumerate().flat_map(|(bucket, &size)| vec![BucketId(bucket as u32); size]).collect()
    }

    #[test]
    fn rows_of_crowded_buckets_are_found() {
        assert_eq!(
            crowd(&rows(&[40, 100, 30]), 1, 10),
            Some((40..140).collect()),
            "40 is four times the target, not more"
        );
        assert_eq!(crowd(&rows(&[41, 100, 30]), 1, 10), Some((0..141).collect()));
        assert_eq!(crowd(&rows(&[20, 50, 15]), 2, 10), Some((20..70).collect()), "each stands for two");
    }

    #[test]
    fn few_crowding_rows_are_left_to_splits() {
        assert_eq!(crowd(&rows(&[30; 20]), 1, 10), None, "none");
        assert_eq!(crowd(&rows(&[79, 30]), 1, 10), None, "less than eight buckets' worth");
        assert!(crowd(&rows(&[80, 30]), 1, 10).is_some());
        assert_eq!(crowd(&[rows(&[80]), rows(&[40; 32])[40..].to_vec()].concat(), 1, 10), None, "few of all");
        assert_eq!(crowd(&[], 1, 10), None);
    }
}
