//! Move files: rows that are in other buckets than those that their segment was written with.
//!
//! Layer 4. Sealed (`format::seal`), written once, read at open. Files apply in the order in which the manifest names them;
//! a later one overrides. Moves in segments that the manifest does not name any more are passed over. The second bucket
//! is `u32::MAX` for none, and absent as a column where the collection has no second buckets.
//!
//! ```text
//!  0  segments   4         for each segment:
//!  4  columns    1   2 or 3      segment  16
//!  5  zero       3               count     4, zero 4
//!                                rows      4 count    ascending
//!                                firsts    4 count
//!                                seconds   4 count    with 3 columns
//! ```

use crate::error::Result;
use crate::format::{ByteWriter, FileId, Header, magic, open_sealed, seal};
use crate::storage::{Backend, names};

/// Moved rows of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentMoves {
    /// The segment.
    pub segment: FileId,
    /// Rows in it, ascending.
    pub rows: Vec<u32>,
    /// Bucket of each.
    pub firsts: Vec<u32>,
    /// Second bucket of each; empty in collections without.
    pub seconds: Vec<u32>,
}

/// Moves of one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MoveFile {
    /// Moves by segment.
    pub segments: Vec<SegmentMoves>,
}

impl MoveFile {
    /// Number of moved rows.
    pub fn rows(&self) -> u64 {
        self.segments.iter().map(|moves| moves.rows.len() as u64).sum()
    }

    /// Writes the moves as file `number` of the collection `identity`, durable on return; tells the bytes written.
    pub fn write(&self, backend: &dyn Backend, number: u64, identity: u128) -> Result<u64> {
        let bytes = self.encode(number, identity);
        backend.put_if_absent(&names::moves(number), &bytes)?;
        Ok(bytes.len() as u64)
    }

    /// Reads move file `number`.
    pub fn read(backend: &dyn Backend, number: u64, identity: u128) -> Result<MoveFile> {
        let name = names::moves(number);
        MoveFile::decode(&name, &backend.read_sealed(&name)?, number, identity)
    }

    fn encode(&self, number: u64, identity: u128) -> Vec<u8> {
        let seconds = self.segments.iter().any(|moves| !moves.seconds.is_empty());
        let mut body = ByteWriter::new();
        body.u32(self.segments.len() as u32);
        body.u8(if seconds { 3 } else { 2 });
        body.zeros(3);
        for moves in &self.segments {
            assert!(
                moves.firsts.len() == moves.rows.len()
                    && moves.seconds.len() == if seconds { moves.rows.len() } else { 0 },
                "invariant: whoever moves rows gives each its buckets"
            );
            body.u128(moves.segment.0);
            body.u32(moves.rows.len() as u32);
            body.zeros(4);
            body.column(&moves.rows);
            body.column(&moves.firsts);
            body.column(&moves.seconds);
        }
        let file = FileId::numbered(&magic::MOVES, identity, number);
        seal(&Header::new(magic::MOVES, identity, file), body.as_slice())
    }

    pub(super) fn decode(name: &str, bytes: &[u8], number: u64, identity: u128) -> Result<MoveFile> {
        let file = FileId::numbered(&magic::MOVES, identity, number);
        let (_, mut body) = open_sealed(name, bytes, &magic::MOVES, Some((identity, file)))?;
        let start = body.clone();
        let (count, columns) = (body.u32()?, body.u8()?);
        body.zeros(3)?;
        if !(2..=3).contains(&columns) {
            return Err(start.corrupt(format_args!("{columns} columns of moves, not 2 or 3")));
        }
        let mut file = MoveFile::default();
        for _ in 0..count {
            let segment = FileId(body.u128()?);
            let rows = body.u32()? as usize;
            body.zeros(4)?;
            let moves = SegmentMoves {
                segment,
                rows: body.column(rows)?,
                firsts: body.column(rows)?,
                seconds: if columns == 3 { body.column(rows)? } else { Vec::new() },
            };
            if !moves.rows.is_sorted_by(|before, after| before < after) {
                return Err(start.corrupt("moved rows do not ascend"));
            }
            file.segments.push(moves);
        }
        body.finish()?;
        Ok(file)
    }
}
