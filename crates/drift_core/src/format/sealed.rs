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

/// Bytes that say how long a sealed file is.
pub const SEALED_HEAD_BYTES: usize = HEADER_BYTES + 8;

/// That the sealed file called `name`, whose first bytes are `head`, has as many bytes as it says itself: asked before
/// the `length` of a file, which anything may have made longer, is allocated. What kind of file it is, [`open_sealed`]
/// checks.
pub fn check_sealed_length(name: &str, head: &[u8; SEALED_HEAD_BYTES], length: u64) -> Result<()> {
    let (header, body) = head.split_at(HEADER_BYTES);
    let body = ByteReader::new(name, HEADER_BYTES as u64, body).u64()?;
    if body.checked_add(SEALED_OVERHEAD_BYTES as u64) == Some(length) {
        return Ok(());
    }
    Header::decode(name, header, head.first_chunk().unwrap_or(&[0; 8]))?;
    let follow = length.saturating_sub(SEALED_HEAD_BYTES as u64);
    Err(wrong_length(name, body, follow))
}

fn wrong_length(name: &str, body: u64, follow: u64) -> Error {
    let problem = format!("the body has {body} bytes and a checksum of 4, but {follow} bytes follow");
    Error::corrupt(format!("{name}: offset 64: {problem}"))
}

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
        return Err(wrong_length(name, length, reader.remaining() as u64));
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

    #[test]
    fn the_length_is_told_from_the_head() {
        let bytes = file(b"a body");
        let check = |bytes: &[u8], length| check_sealed_length("b", bytes.first_chunk().unwrap(), length);
        let length = bytes.len() as u64;
        check(&bytes, length).unwrap();
        for wrong in [0, 72, length - 1, length + 1, 700 << 20, u64::MAX] {
            let error = check(&bytes, wrong).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Corrupt);
            assert!(error.message().contains("the body has 6 bytes"), "{error}");
        }
        let mut newer = Header::new(magic::BUCKETS, 7, FileId(9));
        newer.format_version += 1;
        let error = check(&seal(&newer, b"a body"), 700 << 20).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::UnsupportedFormat, "of another layout, perhaps");
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
