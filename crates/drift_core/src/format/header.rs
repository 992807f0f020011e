//! The 64 bytes that every file of drift begins with: what it is, whose, and of which format.
//!
//! Layer 2. Its layout is the same in all format versions. A reader checks, in this order: magic, checksum, version,
//! database, file identity; so damage is told from a file of another version, and that from a file of another place.
//!
//! ```text
//!  0  magic           8    48  zero      12
//!  8  format version  4    60  checksum   4  of 0..60, seeded with the file's identity and offset 0
//! 12  zero            4
//! 16  database       16
//! 32  file           16
//! ```

use super::{ByteReader, ByteWriter, FileId, checksum};
use crate::error::{Error, ErrorKind, Result};

/// Version of the format that this code reads and writes.
pub const FORMAT_VERSION: u32 = 4;

/// Bytes of a [`Header`].
pub const HEADER_BYTES: usize = 64;

/// First eight bytes of each kind of file.
pub mod magic {
    /// Write-ahead log.
    pub const WAL: [u8; 8] = *b"DRIFTWAL";
    /// Manifest of a collection.
    pub const MANIFEST: [u8; 8] = *b"DRIFTMAN";
    /// Catalog of a database.
    pub const CATALOG: [u8; 8] = *b"DRIFTCAT";
    /// Segment.
    pub const SEGMENT: [u8; 8] = *b"DRIFTSEG";
    /// Bucket definitions.
    pub const BUCKETS: [u8; 8] = *b"DRIFTBUC";
    /// Rows in other buckets.
    pub const MOVES: [u8; 8] = *b"DRIFTMOV";
    /// Tombstones.
    pub const TOMBSTONES: [u8; 8] = *b"DRIFTTOM";
    /// Bitstore.
    pub const BITSTORE: [u8; 8] = *b"DRIFTBIT";
}

/// Header of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Kind of file, one of [`magic`].
    pub magic: [u8; 8],
    /// Version of the format of all that follows.
    pub format_version: u32,
    /// Identity of the collection (or of the database, for the catalog) that the file belongs to.
    pub database: u128,
    /// Identity of the file.
    pub file: FileId,
}

impl Header {
    /// A header of the present version.
    pub fn new(magic: [u8; 8], database: u128, file: FileId) -> Header {
        Header { magic, format_version: FORMAT_VERSION, database, file }
    }

    /// The bytes as stored.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut writer = ByteWriter::with_capacity(HEADER_BYTES);
        writer.bytes(&self.magic);
        writer.u32(self.format_version);
        writer.zeros(4);
        writer.u128(self.database);
        writer.u128(self.file.0);
        writer.zeros(12);
        writer.u32(checksum(self.file, 0, writer.as_slice()));
        let mut bytes = [0; HEADER_BYTES];
        bytes.copy_from_slice(writer.as_slice());
        bytes
    }

    /// Reads the header of the file called `name`, which must be of kind `magic` and of the present version.
    pub fn decode(name: &str, bytes: &[u8], magic: &[u8; 8]) -> Result<Header> {
        let mut reader = ByteReader::new(name, 0, bytes);
        let found: [u8; 8] = reader.array()?;
        if found != *magic {
            return Err(Error::corrupt(format!(
                "{name}: offset 0: the file begins with {:?}, not {:?}",
                found.escape_ascii().to_string(),
                magic.escape_ascii().to_string()
            )));
        }
        let format_version = reader.u32()?;
        reader.zeros(4)?;
        let database = reader.u128()?;
        let file = FileId(reader.u128()?);
        reader.zeros(12)?;
        let covered = bytes.get(..HEADER_BYTES - 4).unwrap_or_default();
        if reader.u32()? != checksum(file, 0, covered) {
            return Err(Error::corrupt(format!("{name}: offset 0: the checksum of the header is wrong")));
        }
        if format_version != FORMAT_VERSION {
            return Err(Error::new(
                ErrorKind::UnsupportedFormat,
                format!(
                    "{name} is of format {format_version}, this drift reads format {FORMAT_VERSION}: \
                     use the drift that wrote it"
                ),
            ));
        }
        Ok(Header { magic: *magic, format_version, database, file })
    }

    /// Fails unless the file belongs to `database`.
    pub fn check_database(&self, name: &str, database: u128) -> Result<()> {
        if self.database == database {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "{name}: offset 16: the file belongs to {}, not to {}",
            uuid::Uuid::from_u128(self.database),
            uuid::Uuid::from_u128(database)
        )))
    }

    /// Fails unless the file is `file`.
    pub fn check_file(&self, name: &str, file: FileId) -> Result<()> {
        if self.file == file {
            return Ok(());
        }
        Err(Error::corrupt(format!("{name}: offset 32: the file is {}, not {file}: was it renamed?", self.file)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> Header {
        Header::new(magic::SEGMENT, 7, FileId(9))
    }

    #[test]
    fn header_comes_back() {
        assert_eq!(Header::decode("s", &header().encode(), &magic::SEGMENT).unwrap(), header());
    }

    #[test]
    fn every_flipped_bit_is_detected() {
        let bytes = header().encode();
        for position in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[position / 8] ^= 1 << (position % 8);
            let error = Header::decode("s", &flipped, &magic::SEGMENT).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {position}");
        }
    }

    #[test]
    fn every_truncation_is_detected() {
        let bytes = header().encode();
        for length in 0..HEADER_BYTES {
            assert!(Header::decode("s", &bytes[..length], &magic::SEGMENT).is_err());
        }
    }

    #[test]
    fn unknown_version_is_refused_as_such() {
        let bytes = Header { format_version: FORMAT_VERSION + 1, ..header() }.encode();
        let error = Header::decode("s", &bytes, &magic::SEGMENT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsupportedFormat);
    }

    #[test]
    fn foreign_files_are_refused() {
        assert!(header().check_database("s", 7).is_ok() && header().check_database("s", 8).is_err());
        assert!(header().check_file("s", FileId(9)).is_ok() && header().check_file("s", FileId(8)).is_err());
        assert!(Header::decode("s", &header().encode(), &magic::WAL).is_err());
    }

    proptest! {
        #[test]
        fn garbage_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(Header::decode("s", &bytes, &magic::WAL).is_err());
        }
    }
}
