//! Bytes of drift's files: little-endian values, checksums and the header that every file begins with.
//!
//! Layer 2, pure: no I/O. The log, segments, manifests and the small files all build on it. Invariants:
//! * every stored byte is under a checksum, seeded with the identity of its file and its offset there, so a block of
//!   another file or another place is as wrong as a flipped bit;
//! * readers take any bytes: they bound every length by what is there before they allocate, and return
//!   [`ErrorKind::Corrupt`](crate::error::ErrorKind::Corrupt) that names the file and the offset;
//! * the first 64 bytes ([`Header`]) have one layout in all format versions, so that an unknown one can be told from
//!   damage and refused.
//!
//! `docs/format.md` has the byte maps. Checksum: CRC-32C (Castagnoli), RFC 3720, section 12.1.

mod bytes;
mod header;
mod ids;
mod payload;
mod sealed;

pub use bytes::{ByteReader, ByteWriter};
pub use header::{FORMAT_VERSION, HEADER_BYTES, Header, magic};
pub use ids::{id_type_code, ids_bytes, read_ids, write_ids};
pub use payload::{
    Words, column_bytes, columns_bytes, presence_bytes, read_column, read_columns, write_column, write_columns,
};
pub use sealed::{SEALED_HEAD_BYTES, SEALED_OVERHEAD_BYTES, check_sealed_length, open_sealed, seal};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

const _: () = assert!(cfg!(target_endian = "little"), "stored vectors are little-endian and are copied as they are");

/// Identity of one file: it seeds the file's checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u128);

impl FileId {
    /// The identity of the `number`th file of one kind in a collection: the same whoever computes it, so that a reader
    /// knows which identity to expect from the name alone.
    pub fn numbered(magic: &[u8; 8], database: u128, number: u64) -> FileId {
        let mut bytes = [0u8; 32];
        bytes[..8].copy_from_slice(magic);
        bytes[8..24].copy_from_slice(&database.to_le_bytes());
        bytes[24..].copy_from_slice(&number.to_le_bytes());
        FileId(xxh3_128(&bytes))
    }
}

impl std::fmt::Display for FileId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", uuid::Uuid::from_u128(self.0))
    }
}

/// CRC-32C of `bytes`, which stand at `offset` of `file`.
pub fn checksum(file: FileId, offset: u64, bytes: &[u8]) -> u32 {
    checksum_parts(file, offset, &[bytes])
}

/// CRC-32C of `parts` one after the other, as [`checksum`]: for a block whose own checksum stands within it.
pub fn checksum_parts(file: FileId, offset: u64, parts: &[&[u8]]) -> u32 {
    let mut seed = [0u8; 24];
    seed[..16].copy_from_slice(&file.0.to_le_bytes());
    seed[16..].copy_from_slice(&offset.to_le_bytes());
    parts.iter().fold(crc32c::crc32c(&seed), |crc, part| crc32c::crc32c_append(crc, part))
}

/// The checksum of a block that goes on with `bytes` behind those that have the checksum `check`.
pub fn checksum_on(check: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(check, bytes)
}

/// Digest of a whole file (xxh3, 64 bits): what manifests hold about other files.
pub fn digest(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_depends_on_file_offset_and_bytes() {
        let base = checksum(FileId(1), 2, b"three");
        assert_ne!(base, checksum(FileId(2), 2, b"three"));
        assert_ne!(base, checksum(FileId(1), 3, b"three"));
        assert_ne!(base, checksum(FileId(1), 2, b"thref"));
        assert_eq!(base, checksum_parts(FileId(1), 2, &[b"th", b"", b"ree"]));
        assert_eq!(base, checksum_on(checksum(FileId(1), 2, b"th"), b"ree"));
    }

    #[test]
    fn numbered_identities_differ_by_kind_collection_and_number() {
        let base = FileId::numbered(&magic::WAL, 1, 2);
        assert_eq!(base, FileId::numbered(&magic::WAL, 1, 2));
        assert_ne!(base, FileId::numbered(&magic::MANIFEST, 1, 2));
        assert_ne!(base, FileId::numbered(&magic::WAL, 2, 2));
        assert_ne!(base, FileId::numbered(&magic::WAL, 1, 3));
    }
}
