//! Reading a log file back, frame by frame, telling a torn end from damage.
//!
//! Layer 4; used at open and by verification. It reads through a window, never more than the file holds, and changes
//! nothing; [`succeed`](super::succeed) then begins the next file.
//!
//! A file says how much of the one before it counts: all of that must be sound, and what stands behind is a leftover,
//! of which a power loss may have left anything. In the last file, at the first place that is no frame, the rest is
//! searched for a frame that was written after that place had become durable; if there is one, this is damage.
//! Otherwise everything from there on was never durable, and a power loss may have torn it.

use super::OwnedRecord;
use super::frame::{
    self, ALIGNMENT, Content, Decoded, HEAD_BYTES, Head, KIND_OFFSET, Kind, PREAMBLE_BYTES, Preamble, encode_frame,
};
use crate::error::{Error, Result};
use crate::format::{ByteWriter, FileId, checksum, checksum_on, magic};
use crate::storage::{Backend, ReadFile, names};
use crate::types::{Schema, Seq};
use std::collections::VecDeque;
use std::sync::Arc;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: u64 = 512;

/// Bytes read at once: frames of small writes come by the thousand.
const WINDOW_BYTES: usize = 1 << 20;

/// Bytes of a frame that are allocated before its checksum has been compared. A larger one is read twice: its length may be
/// damaged, and the file as long as that, if only by a hole.
const UNCHECKED_BYTES_MAX: usize = 16 << 20;

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
    /// What stands behind the file's records.
    pub end: Tail,
}

/// What may stand behind the records of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// It is the last file: what a power loss tore.
    Torn,
    /// Nothing, which is what verification wants of the last file.
    Sound,
    /// Another file follows: anything behind what counts.
    Before(Beginning),
}

/// What a log file says of the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Seq that the file begins with, and the one before it ends with.
    pub first_seq: Seq,
    /// Bytes of the file before it that count.
    pub previous_end: u64,
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
    /// Whether the last whole frame says that the log was closed.
    pub sealed: bool,
    /// Whether what stands behind that frame is neither whole nor what a crash during the very close leaves: damage,
    /// though nothing is lost with it.
    pub mark_damaged: bool,
    /// Whether a leftover stands behind what counts in a file that another one follows.
    pub excess: bool,
    /// Start of the frames that no later frame says were durable. A failed fsync may have lost them for good while they
    /// can still be read, so they are written anew ([`succeed`](super::succeed)).
    pub unproven_offset: u64,
    /// Seq of the first row in them.
    pub unproven_seq: Seq,
}

/// Passes every record of log file `number` to `apply`, in order of seq, and returns where the file ended. An error of
/// `apply` ends the replay. Damage, a gap and a file of another place are Corrupt, naming file and offset.
pub fn replay(
    backend: &dyn Backend,
    number: u64,
    expected: &Expected<'_>,
    apply: &mut dyn FnMut(OwnedRecord) -> Result<()>,
) -> Result<ReplayEnd> {
    let mut log = Log::open(backend, number, expected)?;
    let first_seq = log.preamble(number, expected)?.first_seq;
    if let Some(seq) = expected.next_seq.filter(|&seq| seq != first_seq) {
        let message = format_args!("the file begins with seq {first_seq}, but the one before it ended at {seq}");
        return Err(corrupt(&log.name, 72, message));
    }
    let mut excess = false;
    if let Tail::Before(next) = expected.end {
        if log.length < next.previous_end {
            let message = format_args!("the file ends here, but {} bytes of it count", next.previous_end);
            return Err(corrupt(&log.name, log.length, message));
        }
        excess = log.length > next.previous_end;
        log.length = next.previous_end;
    }
    let mut place = Place::first(first_seq);
    let (mut records, mut torn_bytes) = (0, 0);
    while place.offset < log.length {
        let Some((head, decoded)) = log.next(&place, expected)? else {
            log.check_torn(&place, expected.end)?;
            torn_bytes = log.length - place.offset;
            break;
        };
        place.pass(&head, decoded.seqs()).ok_or_else(|| corrupt(&log.name, place.offset, "sequence numbers end"))?;
        if let Decoded::Record(record) = decoded {
            apply(record)?;
            records += 1;
        }
    }
    if let Tail::Before(next) = expected.end
        && place.seq != next.first_seq
    {
        let message = format_args!("the file ends with seq {}, but the next begins with {}", place.seq, next.first_seq);
        return Err(corrupt(&log.name, place.offset, message));
    }
    Ok(ReplayEnd {
        next_seq: place.seq,
        end_offset: place.offset,
        torn_bytes,
        records,
        sealed: place.sealed,
        mark_damaged: torn_bytes > 0 && place.sealed && !log.is_torn_seal(&place)?,
        excess,
        unproven_offset: place.unproven.front().map_or(place.offset, |frame| frame.0),
        unproven_seq: place.unproven.front().map_or(place.seq, |frame| frame.1),
    })
}

/// Passes every record of consecutive log files to `apply`, with the number of its file, and returns where each ended. The
/// last one may be torn, or be growing under a writer's hands.
pub fn replay_all(
    backend: &dyn Backend,
    identity: u128,
    schema: &Schema,
    numbers: &[u64],
    apply: &mut dyn FnMut(OwnedRecord) -> Result<()>,
) -> Result<Vec<(u64, ReplayEnd)>> {
    let (mut ends, mut next_seq) = (Vec::with_capacity(numbers.len()), None);
    for (at, &number) in numbers.iter().enumerate() {
        let mut expected = Expected { identity, schema, next_seq, end: Tail::Torn };
        if let Some(&follower) = numbers.get(at + 1) {
            expected.end = Tail::Before(beginning(backend, follower, &expected)?);
        }
        let end = replay(backend, number, &expected, apply)?;
        next_seq = Some(end.next_seq);
        ends.push((number, end));
    }
    Ok(ends)
}

/// What log file `number` says of the one before it.
pub fn beginning(backend: &dyn Backend, number: u64, expected: &Expected<'_>) -> Result<Beginning> {
    let preamble = Log::open(backend, number, expected)?.preamble(number, expected)?;
    Ok(Beginning { first_seq: preamble.first_seq, previous_end: preamble.previous_end })
}

/// A place between two frames, and what is known from those before it.
struct Place {
    offset: u64,
    seq: Seq,
    sealed: bool,
    /// Offset and seq of each frame that none behind it says was durable.
    unproven: VecDeque<(u64, Seq)>,
}

impl Place {
    fn first(seq: Seq) -> Place {
        Place { offset: PREAMBLE_BYTES as u64, seq, sealed: false, unproven: VecDeque::new() }
    }

    /// Steps over a frame; none when seqs end.
    fn pass(&mut self, head: &Head, seqs: u64) -> Option<()> {
        let next = self.seq.checked_add(seqs)?;
        let end = self.offset + head.frame_bytes() as u64;
        self.unproven.push_back((self.offset, self.seq));
        // A frame is proven when the one behind it begins within what was durable.
        let ends = |unproven: &VecDeque<(u64, Seq)>| unproven.get(1).map_or(end, |frame| frame.0);
        while !self.unproven.is_empty() && ends(&self.unproven) <= head.synced_end {
            self.unproven.pop_front();
        }
        (self.offset, self.seq, self.sealed) = (end, next, head.kind == Kind::Seal);
        Some(())
    }
}

pub(super) fn corrupt(name: &str, offset: u64, message: impl std::fmt::Display) -> Error {
    Error::corrupt(format!("{name}: offset {offset}: {message}"))
}

/// A log file seen through a window.
pub(super) struct Log {
    file: Arc<dyn ReadFile>,
    name: String,
    id: FileId,
    length: u64,
    start: u64,
    window: Vec<u8>,
}

impl Log {
    pub(super) fn open(backend: &dyn Backend, number: u64, expected: &Expected<'_>) -> Result<Log> {
        let name = names::wal(number);
        let id = FileId::numbered(&magic::WAL, expected.identity, number);
        let file = backend.open(&name)?;
        let length = file.len();
        Ok(Log { file, name, id, length, start: 0, window: Vec::new() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Length of the file in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// What the file, which is to be number `number`, says of itself.
    fn preamble(&mut self, number: u64, expected: &Expected<'_>) -> Result<Preamble> {
        let (name, id) = (self.name.clone(), self.id);
        let bytes =
            self.get(0, PREAMBLE_BYTES)?.ok_or_else(|| corrupt(&name, 0, "the file ends within its preamble"))?;
        let preamble = frame::decode_preamble(&name, bytes, expected.identity, id, expected.schema)?;
        if preamble.number != number {
            return Err(corrupt(&name, 64, format_args!("the file is number {}", preamble.number)));
        }
        Ok(preamble)
    }

    /// The frame at `place`, which must fit what is before it; none when there is no sound frame.
    fn next(&mut self, place: &Place, expected: &Expected<'_>) -> Result<Option<(Head, Decoded)>> {
        let (offset, name) = (place.offset, self.name.clone());
        let Some((head, bytes)) = self.frame(offset)? else { return Ok(None) };
        if head.synced_end > offset {
            return Err(corrupt(&name, offset, "the frame was written before what stands in front of it"));
        }
        if head.first_seq != place.seq {
            let message = format_args!("the frame has seq {}, but {} is the next", head.first_seq, place.seq);
            return Err(corrupt(&name, offset, message));
        }
        Ok(Some((head, frame::decode_payload(&name, offset, &head, bytes, expected.schema)?)))
    }

    /// That the end of the file from `place` on is torn rather than damaged.
    fn check_torn(&mut self, place: &Place, end: Tail) -> Result<()> {
        if end != Tail::Torn {
            return Err(corrupt(&self.name, place.offset, "a damaged frame in a log file that others follow"));
        }
        match self.find_proof_of_damage(place.offset, place.seq)? {
            None => Ok(()),
            Some(later) => {
                let message = format_args!("a damaged frame; it was durable when the frame at {later} was written");
                Err(corrupt(&self.name, place.offset, message))
            }
        }
    }

    /// Whether what stands behind the seal that ends at `place` is a part of the second one: a crash during the close
    /// leaves of each sector what was to be written or zeros, and cuts the file anywhere.
    fn is_torn_seal(&mut self, place: &Place) -> Result<bool> {
        let mut seal = ByteWriter::new();
        encode_frame(&mut seal, self.id, place.offset, place.offset, Content::Seal(place.seq))?;
        let length = self.length - place.offset;
        let Some(whole) = seal.as_slice().get(..length as usize) else { return Ok(false) };
        let Some(found) = self.get(place.offset, length as usize)? else { return Ok(false) };
        let first = ((SECTOR_BYTES - place.offset % SECTOR_BYTES) as usize).min(found.len());
        let parts = [(&found[..first], &whole[..first]), (&found[first..], &whole[first..])];
        Ok(parts.iter().all(|(found, whole)| found == whole || found.iter().all(|byte| *byte == 0)))
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
    pub(super) fn frame(&mut self, offset: u64) -> Result<Option<(Head, &[u8])>> {
        let Some(head) = self.get(offset, HEAD_BYTES)?.and_then(Head::decode) else { return Ok(None) };
        let id = self.id;
        if head.frame_bytes() > UNCHECKED_BYTES_MAX && !self.is_sound(offset, &head)? {
            return Ok(None);
        }
        let Some(bytes) = self.get(offset, head.frame_bytes())? else { return Ok(None) };
        Ok(head.verify(id, offset, bytes).then_some((head, bytes)))
    }

    /// Whether the frame at `offset`, which has `head`, is whole and sound, read piece by piece.
    fn is_sound(&mut self, offset: u64, head: &Head) -> Result<bool> {
        let end = offset + head.frame_bytes() as u64;
        if end > self.length {
            return Ok(false);
        }
        let mut check = checksum(self.id, offset, &(head.length as u32).to_le_bytes());
        let mut at = offset + KIND_OFFSET as u64;
        while at < end {
            let count = (end - at).min(WINDOW_BYTES as u64) as usize;
            let Some(piece) = self.get(at, count)? else { return Ok(false) };
            check = checksum_on(check, piece);
            at += count as u64;
        }
        Ok(head.has_checksum(check))
    }

    /// The first place from `offset` on, in steps of the alignment, where a frame may begin; the length of the file when
    /// there is none. No frame begins where its kind would be zero, so zeros are stepped over, and what the file system
    /// knows to be a hole is not even read: a file may have grown by any number of them.
    pub(super) fn next_place(&mut self, mut offset: u64) -> Result<u64> {
        while self.get(offset, HEAD_BYTES)?.is_some() {
            let kind = offset + KIND_OFFSET as u64;
            let rest = self.window.get((kind - self.start) as usize..).unwrap_or_default();
            let end = kind + rest.len() as u64;
            let next = match rest.iter().position(|byte| *byte != 0) {
                Some(zeros) => kind + zeros as u64,
                None => self.file.next_data(end)?.max(end),
            };
            offset = next - next % ALIGNMENT as u64 - KIND_OFFSET as u64;
            if next < end {
                return Ok(offset);
            }
        }
        Ok(self.length)
    }

    /// Offset of a frame after `damaged` that was written when the file was durable beyond `damaged`.
    fn find_proof_of_damage(&mut self, damaged: u64, next_seq: Seq) -> Result<Option<u64>> {
        let mut checked = 0;
        let mut offset = self.next_place(damaged + ALIGNMENT as u64)?;
        while let Some(bytes) = self.get(offset, HEAD_BYTES)? {
            let proves =
                |head: &Head| head.synced_end > damaged && head.synced_end <= offset && head.first_seq >= next_seq;
            if Head::decode(bytes).filter(proves).is_some() {
                checked += 1;
                if checked > SEARCH_FRAMES_MAX || self.frame(offset)?.is_some() {
                    return Ok(Some(offset));
                }
            }
            offset = self.next_place(offset + ALIGNMENT as u64)?;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use proptest::prelude::*;

    const ID: FileId = FileId(7);

    /// A file of zeros but for some pieces; what is between them is a hole, if the file system knows holes.
    struct Sparse {
        pieces: Vec<(u64, Vec<u8>)>,
        length: u64,
        knows_holes: bool,
        bytes_read: Mutex<u64>,
    }

    impl ReadFile for Sparse {
        fn len(&self) -> u64 {
            self.length
        }

        fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
            *self.bytes_read.lock() += out.len() as u64;
            out.fill(0);
            for (start, piece) in &self.pieces {
                for (at, byte) in piece.iter().enumerate() {
                    let at = (start + at as u64).checked_sub(offset).and_then(|at| out.get_mut(at as usize));
                    at.into_iter().for_each(|out| *out = *byte);
                }
            }
            Ok(())
        }

        fn next_data(&self, offset: u64) -> Result<u64> {
            let ahead = self.pieces.iter().filter(|(start, piece)| start + piece.len() as u64 > offset);
            let next = ahead.map(|(start, _)| (*start).max(offset)).min().unwrap_or(self.length);
            Ok(if self.knows_holes { next } else { offset })
        }
    }

    /// A seal for the place `offset`, from a time when the file was durable up to `synced_end`.
    fn seal_at(offset: u64, synced_end: u64) -> (u64, Vec<u8>) {
        let mut frame = ByteWriter::new();
        encode_frame(&mut frame, ID, offset, synced_end, Content::Seal(5)).unwrap();
        (offset, frame.into_vec())
    }

    fn log(pieces: Vec<(u64, Vec<u8>)>, length: u64, knows_holes: bool) -> (Log, Arc<Sparse>) {
        let file = Arc::new(Sparse { pieces, length, knows_holes, bytes_read: Mutex::new(0) });
        (Log { file: file.clone(), name: "log".into(), id: ID, length, start: 0, window: Vec::new() }, file)
    }

    #[test]
    fn regression_the_search_after_damage_does_not_read_a_hole() {
        let (length, damaged) = (700 << 20, 96);
        let (mut grown, file) = log(Vec::new(), length, true);
        assert_eq!(grown.find_proof_of_damage(damaged, 5).unwrap(), None);
        assert!(*file.bytes_read.lock() <= 2 * WINDOW_BYTES as u64, "{} bytes", file.bytes_read.lock());
        for far in [length - 32, length / 2, 8 << 20, 104] {
            for (synced_end, proof) in [(96, None), (104, Some(far))] {
                let (mut damaged_log, file) = log(vec![seal_at(far, synced_end)], length, true);
                assert_eq!(damaged_log.find_proof_of_damage(damaged, 5).unwrap(), proof, "{far}");
                assert!(*file.bytes_read.lock() <= 4 * WINDOW_BYTES as u64, "{} bytes", file.bytes_read.lock());
            }
        }
    }

    #[test]
    fn regression_a_frame_of_damaged_length_is_not_allocated() {
        let (offset, mut frame) = seal_at(96, 96);
        frame[..4].copy_from_slice(&(600u32 << 20).to_le_bytes());
        let (mut grown, _) = log(vec![(offset, frame)], 700 << 20, true);
        assert!(grown.frame(offset).unwrap().is_none());
        assert!(grown.window.capacity() <= UNCHECKED_BYTES_MAX, "{} bytes", grown.window.capacity());
    }

    #[test]
    fn frames_that_are_read_twice_come_back() {
        let offset = 96;
        let mut frame = vec![3; HEAD_BYTES + UNCHECKED_BYTES_MAX];
        let (_, seal) = seal_at(offset, offset);
        frame[..HEAD_BYTES].copy_from_slice(&seal);
        frame[..4].copy_from_slice(&(UNCHECKED_BYTES_MAX as u32).to_le_bytes());
        let check = frame::frame_checksum(ID, offset, &frame);
        frame[4..8].copy_from_slice(&check.to_le_bytes());
        let length = offset + frame.len() as u64;
        let (mut sound, _) = log(vec![(offset, frame.clone())], length, false);
        assert_eq!(sound.frame(offset).unwrap().expect("a frame").1, frame);
        *frame.last_mut().unwrap() = 4;
        let (mut damaged, _) = log(vec![(offset, frame)], length, false);
        assert!(damaged.frame(offset).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn no_place_where_a_frame_may_begin_is_stepped_over(
            pieces in prop::collection::vec((0u64..5_000_000, prop::collection::vec(any::<u8>(), 1..40)), 0..6),
            knows_holes in any::<bool>(),
            length in 4_000_000u64..5_000_000,
        ) {
            let (mut log, file) = log(pieces, length, knows_holes);
            let mut whole = vec![0; length as usize];
            file.read_at(0, &mut whole).unwrap();
            let begins = |offset: &usize| whole[*offset..].len() >= HEAD_BYTES && whole[offset + KIND_OFFSET] != 0;
            let expected: Vec<u64> = (0..whole.len()).step_by(ALIGNMENT).filter(begins).map(|at| at as u64).collect();
            let mut found = Vec::new();
            let mut offset = log.next_place(0).unwrap();
            while offset < length {
                found.push(offset);
                offset = log.next_place(offset + ALIGNMENT as u64).unwrap();
            }
            prop_assert!(expected.iter().all(|place| found.binary_search(place).is_ok()));
            prop_assert!(found.len() < 200, "{} places for six pieces", found.len());
        }
    }
}
