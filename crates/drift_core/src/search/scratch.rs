//! Memory that a query works in, one per thread and dimension, kept between queries so that none is allocated.
//!
//! Layer 6.

use super::first::FirstEntries;
use super::geometry::Geometry;
use crate::memtable::MemtableQuery;
use crate::quant::bits::BitQuery;
use crate::quant::sq8::QueryCode;
use crate::state::{CollectionState, RankScratch, Ranked, Router};
use crate::types::TopK;
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Everything that one query needs.
pub struct Scratch {
    /// The query as the metric uses it (unit length under cosine), and rotated.
    pub query: MemtableQuery,
    /// The same, quantised.
    pub code: QueryCode,
    /// The same as a table for 1-bit codes.
    pub bits: BitQuery,
    /// Bucket scores.
    pub rank: RankScratch,
    /// Buckets with their weights by the density model.
    pub weighted: Vec<(f64, Ranked)>,
    /// The geometric estimate of what is covered.
    pub geometry: Geometry,
    /// Raw products of one run.
    pub products: Vec<i32>,
    /// Entries of one part of a bucket that pass, a bit each.
    pub masks: Vec<u32>,
    /// Estimates of the entries of one part of a bucket.
    pub blocks: Vec<f32>,
    /// Lowest distances that these entries may have.
    pub bounds: Vec<f32>,
    /// The entries of the first buckets, and where each bucket's begin.
    pub first: FirstEntries,
    /// Numbers of the rows that passed the filter.
    pub survivors: Vec<u32>,
    /// Nearest rows of memtables, where the search began with them.
    pub memory: TopK,
    /// Best rows by estimate.
    pub estimates: TopK,
    /// Keys of the rows to be read, in file order.
    pub keys: Vec<u64>,
    /// The rows of one segment among them.
    pub rows: Vec<u32>,
    /// Best rows by exact distance.
    pub exact: TopK,
    /// One exact vector.
    pub vector: Vec<f32>,
    /// Bytes of one cold read.
    pub cold: Vec<u8>,
}

thread_local! {
    static KEPT: RefCell<Vec<Scratch>> = const { RefCell::new(Vec::new()) };
}

/// Dimensions of which a thread keeps a scratch; more collections than this on one thread cost an allocation.
const KEPT_MAX: usize = 4;

/// A scratch on loan; it goes back to its thread when dropped.
pub struct Loan(Option<Scratch>);

/// This thread's scratch for the collection's dimension.
pub fn take(collection: &CollectionState) -> Loan {
    let dim = collection.schema.dim;
    let kept = KEPT.with_borrow_mut(|kept| {
        let place = kept.iter().position(|scratch| scratch.query.prepared.len() == dim)?;
        Some(kept.swap_remove(place))
    });
    Loan(Some(kept.unwrap_or_else(|| Scratch {
        query: MemtableQuery::new(dim),
        code: QueryCode::new(dim),
        bits: BitQuery::new(dim),
        rank: RankScratch::default(),
        weighted: Vec::new(),
        geometry: Geometry::default(),
        masks: Vec::new(),
        blocks: Vec::new(),
        bounds: Vec::new(),
        first: FirstEntries::default(),
        survivors: Vec::new(),
        products: Vec::new(),
        memory: TopK::new(0),
        estimates: TopK::new(0),
        keys: Vec::new(),
        rows: Vec::new(),
        exact: TopK::new(0),
        vector: vec![0.0; dim],
        cold: Vec::new(),
    })))
}

impl Deref for Loan {
    type Target = Scratch;
    fn deref(&self) -> &Scratch {
        self.0.as_ref().expect("invariant: a loan holds its scratch until dropped")
    }
}

impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut Scratch {
        self.0.as_mut().expect("invariant: a loan holds its scratch until dropped")
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(scratch) = self.0.take() {
            // A thread that is ending has no room any more; the scratch is then freed.
            let _ = KEPT.try_with(|kept| {
                let mut kept = kept.borrow_mut();
                if kept.len() < KEPT_MAX {
                    kept.push(scratch);
                }
            });
        }
    }
}

impl Scratch {
    /// Prepares, rotates and quantises a query for the buckets of `router`.
    pub fn set_query(&mut self, collection: &CollectionState, router: &Router, query: &[f32]) {
        let MemtableQuery { prepared, rotated, .. } = &mut self.query;
        prepared.copy_from_slice(query);
        collection.prepare(prepared);
        rotated.copy_from_slice(prepared);
        collection.rotation.apply(rotated);
        self.code.set(rotated);
        self.bits.set(rotated, router.origin());
    }
}
