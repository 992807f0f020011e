//! Beginning the log file that follows the last one.
//!
//! Layer 4; used at open, after replay. The end of the last file is what a crash left: its frames can be read, but those
//! that no later frame proves durable may be in the page cache alone, and an fsync that failed before makes later ones
//! of the same file worthless (Rebello et al., ATC'20). So these frames are written anew into the next file, which
//! appears whole and durable, and says that the last file counts up to them; that one is cut there.

use super::frame::{Content, HEAD_BYTES, Kind, Preamble, encode_copy, encode_frame, encode_preamble};
use super::replay::{Expected, Log, ReplayEnd, corrupt};
use super::{Record, WalWriter};
use crate::error::Result;
use crate::format::{ByteWriter, FileId, magic};
use crate::storage::failpoint::{Failpoint, reach};
use crate::storage::{Backend, names};
use crate::types::Seq;

/// Creates the log file after the last one, which is `last` and ended as `end` says. Its first write will have
/// `next_seq`: seqs that are missing up to there are those of a bulk load.
pub fn succeed(
    backend: &dyn Backend,
    last: u64,
    expected: &Expected<'_>,
    end: &ReplayEnd,
    next_seq: Seq,
) -> Result<WalWriter> {
    let number = last + 1;
    let id = FileId::numbered(&magic::WAL, expected.identity, number);
    let preamble = Preamble { number, first_seq: end.unproven_seq, previous_end: end.unproven_offset };
    let mut bytes = encode_preamble(expected.identity, id, expected.schema, &preamble);
    let mut log = Log::open(backend, last, expected)?;
    let mut offset = end.unproven_offset;
    while offset < end.end_offset {
        let Some((head, frame)) = log.frame(offset)? else {
            return Err(corrupt(&names::wal(last), offset, "a frame that was sound a moment ago is not any more"));
        };
        if head.kind != Kind::Seal {
            let payload = frame.get(HEAD_BYTES..).and_then(|rest| rest.get(..head.length)).unwrap_or_default();
            encode_copy(&mut bytes, id, &head, payload);
        }
        offset += head.frame_bytes() as u64;
    }
    if next_seq > end.next_seq {
        let record = Record::Reserve { first_seq: end.next_seq, count: next_seq - end.next_seq };
        let mut frame = ByteWriter::new();
        let place = bytes.len() as u64;
        encode_frame(&mut frame, id, place, place, Content::Record(&record))?;
        bytes.extend_from_slice(frame.as_slice());
    }
    reach(Failpoint::LogSucceed)?;
    backend.put_if_absent(&names::wal(number), &bytes)?;
    cut(backend, last, end.unproven_offset)?;
    WalWriter::continue_at(backend, number, expected.identity, expected.schema, next_seq)
}

/// Cuts a log file that another one follows to what counts of it.
pub fn cut(backend: &dyn Backend, number: u64, end_offset: u64) -> Result<()> {
    let mut file = backend.append(&names::wal(number), false)?;
    if file.len() <= end_offset {
        return Ok(());
    }
    reach(Failpoint::LogCut)?;
    file.truncate(end_offset)?;
    file.sync()
}
