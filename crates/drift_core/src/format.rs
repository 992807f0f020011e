//! Bytes on disk: checked little-endian reading and writing, checksums, file headers.
//!
//! Layer 2, pure. Everything that parses stored bytes goes through [`ByteReader`]: no byte string makes it panic,
//! overflow or allocate more than the input is long. docs/format.md has the byte maps.

mod bytes;
mod header;

pub use bytes::{ByteReader, ByteWriter};
pub use header::{FORMAT_VERSION, FileKind, HEADER_BYTES, Header, frame, unframe};

/// Checksum of `bytes` at `offset` of file `file`: CRC-32C, begun with the file's identity and the offset, so that a
/// block that is moved within a file or between files does not pass.
pub fn checksum(file: u128, offset: u64, bytes: &[u8]) -> u32 {
    let mut seed = [0u8; 24];
    seed[..16].copy_from_slice(&file.to_le_bytes());
    seed[16..].copy_from_slice(&offset.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&seed), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_depends_on_file_offset_and_bytes() {
        let base = checksum(1, 0, b"drift");
        assert_ne!(base, checksum(2, 0, b"drift"));
        assert_ne!(base, checksum(1, 4096, b"drift"));
        assert_ne!(base, checksum(1, 0, b"drifs"));
    }
}
