//! Maintenance: flush, optimize, checkpoints of the bitstore, and the scheduler that runs them.
//!
//! Layer 6. Every job computes on a pinned version, writes new files, commits one manifest, and only then changes what
//! readers see; deaths that arrived meanwhile are re-applied at the commit. A job that fails has changed nothing.

mod checkpoint;
#[cfg(feature = "sim")]
mod chores;
mod compact;
mod define;
mod expire;
mod flush;
mod optimize;
mod policy;
mod remove;
mod restructure;
mod retrain;
mod scheduler;
mod step;
mod survey;
mod sync;
mod worker;

pub use checkpoint::checkpoint;
#[cfg(feature = "sim")]
pub use chores::{Chore, run_chore};
pub use flush::{flush_all, flush_last};
pub use optimize::optimize;
pub use remove::{after_failure, after_load, remove_unreferenced};
pub use scheduler::{Background, await_rest};
pub use step::{expire_all, run_once, settle_buckets};
pub use survey::{backlog, shape};
pub use worker::OtherPaths;
