//! Maintenance: flush, optimize, checkpoints of the bitstore, and the scheduler that runs them.
//!
//! Layer 6. Every job computes on a pinned version, writes new files, commits one manifest, and only then changes what
//! readers see; deaths that arrived meanwhile are re-applied at the commit. A job that fails has changed nothing.

mod checkpoint;
mod flush;
mod optimize;
mod remove;
mod scheduler;

pub use flush::flush_all;
pub use optimize::optimize;
pub use remove::{after_load, remove_unreferenced};
pub use scheduler::{AfterFlush, start};
