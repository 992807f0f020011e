//! Reading what is left of a damaged log file.
//!
//! Layer 4; used by `recovery="salvage"` alone. Every frame that is sound for itself is passed on, wherever it stands:
//! its checksum is seeded with the file and its offset, so what is found is what was written there. The caller puts the
//! records in order by their seqs.

use super::OwnedRecord;
use super::frame::{self, ALIGNMENT, Decoded, PREAMBLE_BYTES};
use super::replay::{Expected, Log};
use crate::error::{ErrorKind, Result};
use crate::storage::Backend;

/// Passes every sound record of log file `number` to `apply`, and returns a sentence for each part that is none.
pub fn salvage(
    backend: &dyn Backend,
    number: u64,
    expected: &Expected<'_>,
    apply: &mut dyn FnMut(OwnedRecord),
) -> Result<Vec<String>> {
    let mut log = Log::open(backend, number, expected)?;
    let mut given_up = Vec::new();
    let (mut offset, mut bad) = (PREAMBLE_BYTES as u64, None);
    while offset < log.length() {
        let decoded = decode(&mut log, offset, expected)?;
        let Some((bytes, decoded)) = decoded else {
            bad.get_or_insert(offset);
            offset = log.next_place(offset + ALIGNMENT as u64)?;
            continue;
        };
        if let Some(start) = bad.take() {
            given_up.push(lost(&log, start, offset));
        }
        if let Decoded::Record(record) = decoded {
            apply(record);
        }
        offset += bytes;
    }
    given_up.extend(bad.map(|start| lost(&log, start, log.length())));
    Ok(given_up)
}

fn lost(log: &Log, start: u64, end: u64) -> String {
    format!("{}: bytes {start} to {end} are damaged, or torn by a crash: writes in them are given up", log.name())
}

fn decode(log: &mut Log, offset: u64, expected: &Expected<'_>) -> Result<Option<(u64, Decoded)>> {
    let name = log.name().to_owned();
    let Some((head, bytes)) = log.frame(offset)? else { return Ok(None) };
    match frame::decode_payload(&name, offset, &head, bytes, expected.schema) {
        Ok(decoded) => Ok(Some((head.frame_bytes() as u64, decoded))),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        Err(error) => Err(error),
    }
}
