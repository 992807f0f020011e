//! What every file of drift begins with, and the frame of small files that are read whole.
//!
//! Layer 2. 64 bytes: magic, kind, format version, identity of the collection, identity of the file, checksum. A file
//! of an unknown version is refused before anything else of it is believed.

use super::{ByteReader, ByteWriter, checksum};
use crate::error::{Error, ErrorKind, Result};

/// Version of all formats together; a file of another version is refused.
pub const FORMAT_VERSION: u32 = 1;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 64;

const MAGIC: &[u8; 8] = b"driftdb\n";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// List of the collections of a database.
    Catalog = 1,
    /// State of a collection.
    Manifest = 2,
    /// Write-ahead log.
    Wal = 3,
    /// Rows.
    Segment = 4,
    /// Centroids.
    Buckets = 5,
    /// Deleted ids.
    Tombstones = 6,
    /// Places of ids.
    Bitstore = 7,
}

/// Header of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the file is.
    pub kind: FileKind,
    /// Identity of the collection (or of the database, for its catalog) that the file belongs to.
    pub owner: u128,
    /// Identity of the file: its number, or its uuid.
    pub file: u128,
}

impl Header {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut writer = ByteWriter::new();
        writer.raw(MAGIC);
        writer.u32(self.kind as u32);
        writer.u32(FORMAT_VERSION);
        writer.u128(self.owner);
        writer.u128(self.file);
        writer.raw(&[0; 12]);
        let sum = checksum(self.file, 0, writer.as_slice());
        writer.u32(sum);
        let mut bytes = [0; HEADER_BYTES];
        bytes.copy_from_slice(writer.as_slice());
        bytes
    }

    /// Checks a header against what the file must be; `name` is for errors.
    pub fn check(&self, bytes: &[u8], name: &str) -> Result<()> {
        let mut reader = ByteReader::new(bytes, name, 0);
        let head = reader.raw(HEADER_BYTES)?;
        let mut reader = ByteReader::new(head, name, 0);
        if reader.raw(8)? != MAGIC {
            return Err(Error::corrupt(format!("{name} at offset 0: this is no file of drift")));
        }
        let kind = reader.u32()?;
        let version = reader.u32()?;
        if head == self.encode() {
            return Ok(());
        }
        // A header that is whole in itself is of another version or of another place; otherwise it is damaged.
        reader.u128()?;
        let file = reader.u128()?;
        reader.raw(12)?;
        let intact = reader.u32()? == checksum(file, 0, &head[..HEADER_BYTES - 4]);
        if intact && version != FORMAT_VERSION {
            return Err(Error::new(
                ErrorKind::UnsupportedFormat,
                format!(
                    "{name} has format version {version}, this drift reads {FORMAT_VERSION}: use the drift that wrote it"
                ),
            ));
        }
        let problem = if intact {
            format!("the file belongs elsewhere (kind {kind}, file {file:x})")
        } else {
            "the header's checksum does not match".to_owned()
        };
        Err(Error::corrupt(format!("{name} at offset 0: {problem}")))
    }
}

/// A small file as a whole: header, length, body, checksum over length and body.
pub fn frame(header: &Header, body: &[u8]) -> Vec<u8> {
    let mut writer = ByteWriter::new();
    writer.raw(&header.encode());
    writer.u64(body.len() as u64);
    writer.raw(body);
    let sum = checksum(header.file, HEADER_BYTES as u64, &writer.as_slice()[HEADER_BYTES..]);
    writer.u32(sum);
    writer.into_bytes()
}

/// The body of a framed file.
pub fn unframe<'a>(header: &Header, bytes: &'a [u8], name: &'a str) -> Result<&'a [u8]> {
    header.check(bytes, name)?;
    let mut reader = ByteReader::new(&bytes[HEADER_BYTES..], name, HEADER_BYTES as u64);
    let len = usize::try_from(reader.u64()?).map_err(|_| reader.corrupt("impossible length"))?;
    let body = reader.raw(len)?;
    let sum = reader.u32()?;
    reader.finish()?;
    if sum != checksum(header.file, HEADER_BYTES as u64, &bytes[HEADER_BYTES..HEADER_BYTES + 8 + len]) {
        return Err(Error::corrupt(format!("{name} at offset {HEADER_BYTES}: the checksum does not match")));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: Header = Header { kind: FileKind::Manifest, owner: 7, file: 9 };

    #[test]
    fn every_flipped_bit_and_every_truncation_of_a_frame_is_found() {
        let bytes = frame(&HEADER, b"some body");
        assert_eq!(unframe(&HEADER, &bytes, "file").expect("intact"), b"some body");
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            assert!(unframe(&HEADER, &damaged, "file").is_err(), "byte {at}");
            assert!(unframe(&HEADER, &bytes[..at], "file").is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_file_of_another_version_or_place_is_refused_as_such() {
        let mut bytes = HEADER.encode();
        bytes[12] = 2;
        let sum = checksum(9, 0, &bytes[..60]);
        bytes[60..].copy_from_slice(&sum.to_le_bytes());
        let error = HEADER.check(&bytes, "file").expect_err("version 2");
        assert_eq!(error.kind(), ErrorKind::UnsupportedFormat);
        let other = Header { file: 10, ..HEADER };
        let error = HEADER.check(&other.encode(), "file").expect_err("file 10");
        assert!(error.message().contains("elsewhere"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(unframe(&HEADER, &bytes, "file").is_err());
        }
    }
}
