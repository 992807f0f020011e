//! Locks, shared numbers and thread pools, as everything above takes them.
//!
//! Layer 0. These are the types of `parking_lot`, `arc_swap`, `std` and `rayon`. With the feature `model`, which only
//! tests have, they are the same within a thin layer: in a run of [`model::explore`] each operation on them is a place
//! where the scheduler of shuttle may go on with another thread. So it is this engine itself that runs under thousands of
//! orders of its threads, and not a copy of its ideas. Outside of such a run the layer passes everything on.

#[cfg(feature = "model")]
pub mod model;

#[cfg(feature = "model")]
pub use model::{ArcSwap, AtomicU64, Condvar, Mutex, Pool, RwLock, ThreadId, step, thread_id};
pub use parking_lot::MutexGuard;

#[cfg(not(feature = "model"))]
pub use arc_swap::ArcSwap;
#[cfg(not(feature = "model"))]
pub use parking_lot::{Condvar, Mutex, RwLock};
#[cfg(not(feature = "model"))]
pub use rayon::ThreadPool as Pool;
#[cfg(not(feature = "model"))]
pub use std::sync::atomic::AtomicU64;
#[cfg(not(feature = "model"))]
pub use std::thread::ThreadId;

/// A place at which another thread may go on, in a run of the model.
#[cfg(not(feature = "model"))]
#[inline]
pub fn step() {}

/// This thread.
#[cfg(not(feature = "model"))]
pub fn thread_id() -> ThreadId {
    std::thread::current().id()
}

/// Starts the threads of a pool by `spawn`; 0 for one per core.
///
/// # Errors
/// When a thread cannot be started.
pub fn start_pool(
    threads: usize,
    spawn: impl FnMut(rayon::ThreadBuilder) -> std::io::Result<()>,
) -> Result<Pool, rayon::ThreadPoolBuildError> {
    #[cfg(feature = "model")]
    if model::is_alone() {
        return Ok(Pool::without_threads());
    }
    rayon::ThreadPoolBuilder::new().num_threads(threads).spawn_handler(spawn).build().map(Pool::from)
}
