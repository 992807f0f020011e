//! The write-ahead log: every write is a record here before it is anywhere else.
//!
//! Layer 4; written by `ingest`, read by `db` at open. A log is a row of numbered files, each with a header (whose log,
//! which schema, the seq it begins with) and frames. Invariants:
//! * a frame's checksum covers its length, kind, seq and payload, seeded with file and offset; zeros are no frame;
//! * seqs have no gap, within a file and from file to file;
//! * each frame says how much of the file was known to be durable when it was written. So replay can tell the end that
//!   a power loss tore off (legal, in the last file alone: nothing that was acknowledged as durable is in it) from
//!   damage to what had been durable (`Corrupt`), even when the disk wrote later frames and lost earlier ones;
//! * after a failed fsync, or a failed append that could not be cut off again, the log takes no more writes.
//!
//! `docs/format.md` has the byte maps. Torn tails and what disks do to them: Pillai et al., OSDI'14 (ALICE).

mod frame;
mod replay;
mod salvage;
mod succeed;
mod sync;
mod writer;

pub use frame::FRAME_BYTES_MAX;
pub use replay::{Beginning, Expected, ReplayEnd, Tail, beginning, replay, replay_all};
pub use salvage::salvage;
pub use succeed::{cut, succeed};
pub use sync::WalSync;
pub use writer::WalWriter;

use crate::types::{Columns, Ids, Seq, VectorBuf, Vectors};

/// One write to log.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// Rows inserted or replaced; row `i` has seq `first_seq + i`.
    Upsert {
        /// Seq of the first row.
        first_seq: Seq,
        /// Their ids.
        ids: &'a Ids,
        /// Their vectors, as given.
        vectors: Vectors<'a>,
        /// Their payload.
        payload: Option<&'a Columns>,
    },
    /// Ids deleted; deletion `i` has seq `first_seq + i`.
    Delete {
        /// Seq of the first deletion.
        first_seq: Seq,
        /// The ids.
        ids: &'a Ids,
    },
    /// Seqs used by rows that are not logged (a bulk load): replay steps over them without seeing a gap.
    Reserve {
        /// First seq used.
        first_seq: Seq,
        /// How many.
        count: u64,
    },
}

/// One write as replayed.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnedRecord {
    /// See [`Record::Upsert`].
    Upsert {
        /// Seq of the first row.
        first_seq: Seq,
        /// Their ids.
        ids: Ids,
        /// Their vectors, as given.
        vectors: VectorBuf,
        /// Their payload.
        payload: Option<Columns>,
    },
    /// See [`Record::Delete`].
    Delete {
        /// Seq of the first deletion.
        first_seq: Seq,
        /// The ids.
        ids: Ids,
    },
}

#[cfg(test)]
mod tests;
