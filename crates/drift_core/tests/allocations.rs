//! A warm search allocates its results and nothing else.

use drift_core::clock::Components;
use drift_core::config::Config;
use drift_core::db::Database;
use drift_core::types::{IdType, Ids, Metric, Precision, Schema, SearchOptions, Vectors, never_interrupt};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// Counts the allocations of each thread.
struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has no counter any more.
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Vectors of ids and of distances.
const RESULTS: usize = 2;

#[test]
fn a_warm_search_allocates_its_results_only() {
    let (dim, rows) = (64, 9_000);
    let value = |at: usize| ((at as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / 16_777_216.0 - 0.5;
    let vectors: Vec<f32> = (0..dim * rows).map(value).collect();
    let database = Database::open("memory://", Config::default(), Components::system()).expect("a database");
    for precision in [Precision::OneBit, Precision::Sq8] {
        let schema = Schema::new(dim, Metric::L2, IdType::Int).expect("a schema").with_precision(precision);
        let collection = database.create_collection(precision.name(), schema, false).expect("a collection");
        let flushed = dim * (rows - 1_000);
        let ids = |from: usize, to: usize| Ids::Int((from as i64..to as i64).collect());
        collection.upsert(&ids(0, rows - 1_000), Vectors::F32(&vectors[..flushed]), None).expect("rows");
        collection.optimize().expect("buckets");
        collection.upsert(&ids(rows - 1_000, rows), Vectors::F32(&vectors[flushed..]), None).expect("rows");
        let options = SearchOptions { threads: Some(1), ..SearchOptions::default() };
        let search = |at: usize| {
            let query = &vectors[at * dim..][..dim];
            collection.search(query, &options, &never_interrupt).expect("hits").queries
        };
        // More than wait to be searched again at a time: later ones wait in the memory of these.
        (0..400).for_each(|at| assert_eq!(search(at * 20), 1));
        collection.run_maintenance().expect("an open collection");
        assert_eq!(search(0), 1);
        let before = COUNT.get();
        (0..100).for_each(|at| assert_eq!(search(at * 80), 1));
        assert!(COUNT.get() - before <= 100 * RESULTS, "{} for 100 searches", COUNT.get() - before);
    }
}
