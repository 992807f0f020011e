//! Reading a log file back, frame by frame, telling a torn end from damage.
//!
//! Layer 4; used at open and by verification. It reads through a window, never more than the file holds, and changes
//! nothing; [`settle`] then makes the last file fit to be followed by another one.
//!
//! At the first place that is no frame: in a file that is not the last one this is damage. In the last one the rest is
//! searched for a frame that was written after that place had become durable; if there is one, this is damage too.
//! Otherwise everything from there on was never durable, and a power loss may have torn it.

use super::frame::{self, ALIGNMENT, Decoded, HEAD_BYTES, Head, PREAMBLE_BYTES};
use super::{OwnedRecord, Record, WalWriter};
use crate::error::{Error, Result};
use crate::format::{FileId, magic};
use crate::storage::{Backend, ReadFile, names};
use crate::types::{Schema, Seq};
use std::sync::Arc;

/// Bytes read at once: frames of small writes come by the thousand.
const WINDOW_BYTES: usize = 1 << 20;

/// Frames whose checksum is computed in the search after damage. Only a forged file has more heads that look right;
/// it is called damaged.
const SEARCH_FRAMES_MAX: usize = 1_024;

/// What a log file must agree with.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Identity of the collection.
    pub identity: u128,
    /// Its schema.
    pub schema: &'a Schema,
    /// Seq that the file must begin with: where the file before it ended. None for the first file replayed.
    pub next_seq: Option<Seq>,
}

/// Where a log file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayEnd {
    /// Seq after the last record.
    pub next_seq: Seq,
    /// End of the last whole frame.
    pub end_offset: u64,
    /// Bytes after it: a torn end.
    pub torn_bytes: u64,
    /// Records passed on.
    pub records: u64,
    /// Whether the last whole frame says that the log was closed: a torn end behind it is no crash's work but damage,
    /// or a crash during the very close. Nothing is lost with it either way.
    pub sealed: bool,
}

/// Passes every record of log file `number` to `apply`, in order of seq, and returns where the file ended. An error of
/// `apply` ends the replay. Damage, a gap and a file of another place are Corrupt, naming file and offset.
pub fn replay(
    backend: &dyn Backend,
    number: u64,
    is_last: bool,
    expected: &Expected<'_>,
    apply: &mut dyn FnMut(OwnedRecord) -> Result<()>,
) -> Result<ReplayEnd> {
    let name = names::wal(number);
    let id = FileId::numbered(&magic::WAL, expected.identity, number);
    let mut log = Log::open(backend, &name, id)?;
    let preamble = log.get(0, PREAMBLE_BYTES)?.ok_or_else(|| corrupt(&name, 0, "the file ends within its preamble"))?;
    let preamble = frame::decode_preamble(&name, preamble, expected.identity, id, expected.schema)?;
    if preamble.number != number {
        return Err(corrupt(&name, 64, format_args!("the file is number {}", preamble.number)));
    }
    if let Some(seq) = expected.next_seq.filter(|&seq| seq != preamble.first_seq) {
        let message =
            format_args!("the file begins with seq {}, but the one before it ended at {seq}", preamble.first_seq);
        return Err(corrupt(&name, 72, message));
    }
    let mut end = ReplayEnd {
        next_seq: preamble.first_seq,
        end_offset: PREAMBLE_BYTES as u64,
        torn_bytes: 0,
        records: 0,
        sealed: false,
    };
    while end.end_offset < log.length {
        let offset = end.end_offset;
        let Some((head, bytes)) = log.frame(offset)? else {
            if !is_last {
                return Err(corrupt(&name, offset, "a damaged frame in a log file that others follow"));
            }
            if let Some(later) = log.find_proof_of_damage(offset, end.next_seq)? {
                let message = format_args!("a damaged frame; it was durable when the frame at {later} was written");
                return Err(corrupt(&name, offset, message));
            }
            end.torn_bytes = log.length - offset;
            break;
        };
        if head.synced_end > offset {
            return Err(corrupt(&name, offset, "the frame was written before what stands in front of it"));
        }
        if head.first_seq != end.next_seq {
            let message = format_args!("the frame has seq {}, but {} is the next", head.first_seq, end.next_seq);
            return Err(corrupt(&name, offset, message));
        }
        let decoded = frame::decode_payload(&name, offset, &head, bytes, expected.schema)?;
        let next_seq = end.next_seq.checked_add(decoded.seqs());
        end.next_seq = next_seq.ok_or_else(|| corrupt(&name, offset, "sequence numbers end"))?;
        end.end_offset += head.frame_bytes() as u64;
        end.sealed = matches!(decoded, Decoded::Seal);
        if let Decoded::Record(record) = decoded {
            apply(record)?;
            end.records += 1;
        }
    }
    Ok(end)
}

/// Makes the last log file, which ended as `end` says, fit to be followed by another one: cuts off its torn end,
/// accounts for the seqs up to `next_seq` (those of a bulk load committed elsewhere), and makes it durable, so that no
/// row is shown that a power loss could still take.
pub fn settle(
    backend: &dyn Backend,
    number: u64,
    expected: &Expected<'_>,
    end: &ReplayEnd,
    next_seq: Seq,
) -> Result<()> {
    let mut file = backend.append(&names::wal(number), false)?;
    if file.len() != end.end_offset {
        file.truncate(end.end_offset)?;
    }
    file.sync()?;
    drop(file);
    if next_seq > end.next_seq {
        let mut writer = WalWriter::continue_at(backend, number, expected.identity, expected.schema, end.next_seq)?;
        let record = Record::Reserve { first_seq: end.next_seq, count: next_seq - end.next_seq };
        let end = writer.append(&record)?;
        writer.syncer().sync_to(end)?;
    }
    Ok(())
}

fn corrupt(name: &str, offset: u64, message: impl std::fmt::Display) -> Error {
    Error::corrupt(format!("{name}: offset {offset}: {message}"))
}

/// A log file seen through a window.
struct Log {
    file: Arc<dyn ReadFile>,
    id: FileId,
    length: u64,
    start: u64,
    window: Vec<u8>,
}

impl Log {
    fn open(backend: &dyn Backend, name: &str, id: FileId) -> Result<Log> {
        let file = backend.open(name)?;
        let length = file.len();
        Ok(Log { file, id, length, start: 0, window: Vec::new() })
    }

    /// The `count` bytes at `offset`; none when the file ends before that.
    fn get(&mut self, offset: u64, count: usize) -> Result<Option<&[u8]>> {
        let left = self.length.saturating_sub(offset);
        if (count as u64) > left {
            return Ok(None);
        }
        let inside = offset.checked_sub(self.start).is_some_and(|skip| skip + count as u64 <= self.window.len() as u64);
        if !inside {
            self.window.resize((count.max(WINDOW_BYTES) as u64).min(left) as usize, 0);
            self.window.shrink_to(WINDOW_BYTES.max(self.window.len()));
            // Nothing of the window counts until the read has succeeded.
            self.start = u64::MAX;
            self.file.read_at(offset, &mut self.window)?;
            self.start = offset;
        }
        let skip = (offset - self.start) as usize;
        Ok(self.window.get(skip..skip + count))
    }

    /// The whole and sound frame at `offset`, if there is one.
    fn frame(&mut self, offset: u64) -> Result<Option<(Head, &[u8])>> {
        let Some(head) = self.get(offset, HEAD_BYTES)?.and_then(Head::decode) else { return Ok(None) };
        let id = self.id;
        let Some(bytes) = self.get(offset, head.frame_bytes())? else { return Ok(None) };
        Ok(head.verify(id, offset, bytes).then_some((head, bytes)))
    }

    /// Offset of a frame after `damaged` that was written when the file was durable beyond `damaged`.
    fn find_proof_of_damage(&mut self, damaged: u64, next_seq: Seq) -> Result<Option<u64>> {
        let mut checked = 0;
        let mut offset = damaged + ALIGNMENT as u64;
        while let Some(bytes) = self.get(offset, HEAD_BYTES)? {
            let proves =
                |head: &Head| head.synced_end > damaged && head.synced_end <= offset && head.first_seq >= next_seq;
            if Head::decode(bytes).filter(proves).is_some() {
                checked += 1;
                if checked > SEARCH_FRAMES_MAX || self.frame(offset)?.is_some() {
                    return Ok(Some(offset));
                }
            }
            offset += ALIGNMENT as u64;
        }
        Ok(None)
    }
}
