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

/// Time between two looks of [`install_watched`].
const WATCH_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// Runs `work` on the pool while this thread, which may be the only one that can tell, `watch`es whether it is to stop.
pub fn install_watched<R: Send>(pool: &Pool, work: impl FnOnce() -> R + Send, watch: impl Fn()) -> R {
    let mut result = None;
    pool.in_place_scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        scope.spawn(move |_| {
            // The receiver outlives all work.
            let _ = sender.send(work());
        });
        loop {
            match receiver.recv_timeout(WATCH_PAUSE) {
                Ok(found) => break result = Some(found),
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => watch(),
                // The work has panicked, and so will the scope.
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
    });
    result.expect("invariant: work that has not panicked has a result")
}

/// Runs `work` on the pool whose thread this is, if it is one's, and else on `pool`: parts of what runs on a pool do not leave it.
pub fn install_here<R: Send>(pool: &Pool, work: impl FnOnce() -> R + Send) -> R {
    if rayon::current_thread_index().is_some() { work() } else { pool.install(work) }
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
