//! Sealed files: small immutable files that are written and read whole, under one checksum.
//!
//! Layer 2. Manifests, catalogs, bucket files and tombstone files are sealed. The length stands in the file, so that
//! a file cut short or run on is told from one with a flipped bit.
//!
//! ```text
//!  0  header       64
//! 64  body length   8
//! 72  body
//!  …  checksum      4  of the length and the body, seeded with the file's identity and offset 64
//! ```

use super::{ByteReader, FileId, HEADER_BYTES, Header, checksum};
use crate::error::{Error, Result};

/// Bytes that sealing adds to a body.
pub const SEALED_OVERHEAD_BYTES: usize = HEADER_BYTES + 8 + 4;

/// The whole file: `header`, `body` and what guards them.
pub fn seal(header: &Header, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + SEALED_OVERHEAD_BYTES);
    bytes.extend_from_slice(&header.encode());
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(body);
    let check = checksum(header.file, HEADER_BYTES as u64, &bytes[HEADER_BYTES..]);
    bytes.extend_from_slice(&check.to_le_bytes());
    bytes
}

/// Header and body of the sealed file called `name`, of kind `magic`. With `expected`, the collection and the identity
/// must be these. The body begins at offset 72 of the file.
pub fn open_sealed<'a>(
    name: &'a str,
    bytes: &'a [u8],
    magic: &[u8; 8],
    expected: Option<(u128, FileId)>,
) -> Result<(Header, ByteReader<'a>)> {
    let header = Header::decode(name, bytes, magic)?;
    if let Some((database, file)) = expected {
        header.check_database(name, database)?;
        header.check_file(name, file)?;
    }
    let rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let mut reader = ByteReader::new(name, HEADER_BYTES as u64, rest);
    let length = reader.u64()?;
    if reader.remaining().checked_sub(4).map(|left| left as u64) != Some(length) {
        return Err(Error::corrupt(format!(
            "{name}: offset 64: the body has {length} bytes and a checksum of 4, but {} bytes follow",
            reader.remaining()
        )));
    }
    let body = reader.bytes(reader.remaining() - 4)?;
    let covered = rest.get(..8 + body.len()).unwrap_or_default();
    if reader.u32()? != checksum(header.file, HEADER_BYTES as u64, covered) {
        return Err(Error::corrupt(format!("{name}: offset 64: the checksum of the body is wrong")));
    }
    Ok((header, ByteReader::new(name, HEADER_BYTES as u64 + 8, body)))
}

#[cfg(test)]
mod tests {
    use super::super::magic;
    use super::*;
    use proptest::prelude::*;

    const EXPECTED: Option<(u128, FileId)> = Some((7, FileId(9)));

    fn file(body: &[u8]) -> Vec<u8> {
        seal(&Header::new(magic::BUCKETS, 7, FileId(9)), body)
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_detected() {
        let bytes = file(b"a body");
        for position in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[position / 8] ^= 1 << (position % 8);
            assert!(open_sealed("b", &flipped, &magic::BUCKETS, EXPECTED).is_err(), "bit {position}");
        }
        for length in 0..bytes.len() {
            assert!(open_sealed("b", &bytes[..length], &magic::BUCKETS, EXPECTED).is_err(), "length {length}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(open_sealed("b", &longer, &magic::BUCKETS, EXPECTED).is_err());
    }

    #[test]
    fn file_of_another_place_is_refused() {
        let bytes = file(b"a body");
        assert!(open_sealed("b", &bytes, &magic::BUCKETS, None).is_ok());
        assert!(open_sealed("b", &bytes, &magic::BUCKETS, Some((8, FileId(9)))).is_err());
        assert!(open_sealed("b", &bytes, &magic::BUCKETS, Some((7, FileId(8)))).is_err());
    }

    proptest! {
        #[test]
        fn bodies_come_back(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let bytes = file(&body);
            let (_, mut reader) = open_sealed("b", &bytes, &magic::BUCKETS, EXPECTED).unwrap();
            prop_assert_eq!(reader.bytes(body.len()).unwrap(), body.as_slice());
            reader.finish().unwrap();
        }

        #[test]
        fn garbage_after_a_good_header_is_refused(tail in prop::collection::vec(any::<u8>(), 0..100)) {
            let header = Header::new(magic::BUCKETS, 7, FileId(9)).encode();
            let bytes = [&header[..], &tail].concat();
            prop_assert!(open_sealed("b", &bytes, &magic::BUCKETS, EXPECTED).is_err());
        }
    }
}
