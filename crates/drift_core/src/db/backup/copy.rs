//! Copies a file between stores, and reads it back.
//!
//! Layer 7. The digest is taken of the bytes on their way and compared with that of the bytes that arrived, read again
//! through the store: what differs was damaged by memory, disk or the network in between. A disk may still answer
//! from its cache; `verify_backups` reads everything later.

use super::record::RecordedFile;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Backend, ReadFile};
use std::ops::ControlFlow;
use xxhash_rust::xxh3::Xxh3;

/// Bytes copied at once: at 4 MiB the calls cost nothing, and a stop is noticed within milliseconds.
const PIECE_BYTES: u64 = 4 << 20;

/// Told of the bytes of each piece; may stop the copy.
pub(super) type OnPiece<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

/// xxh3 of the first `length` bytes.
pub(super) fn digest(file: &dyn ReadFile, length: u64) -> Result<u64> {
    let mut hasher = Xxh3::new();
    pieces(file, length, &mut |piece| {
        hasher.update(piece);
        Ok(())
    })?;
    Ok(hasher.digest())
}

/// Copies the first `length` bytes of `from` to the object `name`, and returns their digest, after it has compared it
/// with `expected` (Corrupt, naming `from_name`, and nothing is there) and with what arrived.
pub(super) fn copy(
    (from, from_name): (&dyn ReadFile, &str),
    (to, name): (&dyn Backend, &str),
    length: u64,
    expected: Option<u64>,
    on_piece: OnPiece<'_>,
) -> Result<u64> {
    let mut hasher = Xxh3::new();
    let mut file = to.create(name)?;
    pieces(from, length, &mut |piece| {
        hasher.update(piece);
        file.write(piece)?;
        match on_piece(piece.len() as u64) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(super::interrupted("copy")),
        }
    })?;
    let digest = hasher.digest();
    if expected.is_some_and(|expected| expected != digest) {
        return Err(Error::corrupt(format!("{from_name}: the bytes are not those that were written")));
    }
    file.finish()?;
    let copied = RecordedFile { name: name.to_owned(), length, digest, copied_by: 0 };
    check(to, name, &copied)?;
    Ok(digest)
}

/// Reads the object `name` and compares it with what is recorded of it. A missing one is Corrupt.
pub(super) fn check(from: &dyn Backend, name: &str, recorded: &RecordedFile) -> Result<()> {
    let full_name = format!("{}/{name}", from.describe());
    let file = open(from, name)?;
    if file.len() != recorded.length {
        let message = format!("{full_name}: the file has {} bytes, {} are recorded", file.len(), recorded.length);
        return Err(Error::corrupt(message));
    }
    if digest(&*file, recorded.length)? != recorded.digest {
        return Err(Error::corrupt(format!("{full_name}: the bytes are not those that were copied")));
    }
    Ok(())
}

/// Opens an object that a record names.
pub(super) fn open(from: &dyn Backend, name: &str) -> Result<std::sync::Arc<dyn ReadFile>> {
    from.open(name).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::corrupt(format!("{}/{name}: the file is missing", from.describe())),
        _ => error,
    })
}

fn pieces(file: &dyn ReadFile, length: u64, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut piece = vec![0; PIECE_BYTES.min(length) as usize];
    let mut offset = 0;
    while offset < length {
        let count = PIECE_BYTES.min(length - offset) as usize;
        file.read_at(offset, &mut piece[..count])?;
        each(&piece[..count])?;
        offset += count as u64;
    }
    Ok(())
}
