//! What may stand behind the records that count: marks of a close, leftovers, frames that may not be durable.

use super::*;

/// A closed log, the offset of its second seal, and its bytes.
fn sealed() -> (u64, Vec<u8>) {
    let (backend, schema) = (memory(), schema(IdType::Int));
    let mut writer = WalWriter::create(&backend, 1, IDENTITY, &schema, 1).unwrap();
    // The second seal lies on both sides of a sector's end: 96 + 376 + 32 is 8 below 512.
    writer.append(&borrow(&upsert(IdType::Int, 1, 17))).unwrap();
    writer.seal().unwrap();
    let bytes = backend.read(&names::wal(1)).unwrap();
    (bytes.len() as u64 - 32, bytes)
}

#[test]
fn regression_a_crash_between_the_two_seals_is_no_damage() {
    let (second, bytes) = sealed();
    let damaged = |bytes: &[u8]| read(&with_log(bytes), 1, true, &schema(IdType::Int), None).unwrap().1.mark_damaged;
    assert_eq!(second % 512, 504);
    for length in second..=bytes.len() as u64 {
        assert!(!damaged(&bytes[..length as usize]), "cut to {length}");
    }
    for lost in [second as usize..512, 512..bytes.len(), second as usize..bytes.len()] {
        let mut torn = bytes.clone();
        torn[lost.clone()].fill(0);
        assert!(!damaged(&torn), "{lost:?} lost");
    }
    for position in second as usize..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[position] ^= 0x40;
        assert!(damaged(&flipped), "byte {position} flipped");
    }
}

#[test]
fn leftovers_behind_what_counts_may_be_torn() {
    let (records, bytes, ends) = sample(IdType::Int, true);
    let schema = schema(IdType::Int);
    let read_before = |bytes: &[u8], first_seq: Seq, previous_end: u64| {
        let end = Tail::Before(Beginning { first_seq, previous_end });
        let expected = Expected { identity: IDENTITY, schema: &schema, next_seq: None, end };
        let mut found = Vec::new();
        let end = replay(&with_log(bytes), 1, &expected, &mut |record| {
            found.push(record);
            Ok(())
        });
        end.map(|end| (found, end))
    };
    let mut torn = bytes.clone();
    torn[ends[3] as usize + 40..].fill(0);
    for bytes in [&bytes, &torn] {
        let (found, end) = read_before(bytes, 11, ends[3]).unwrap();
        assert_eq!((found.as_slice(), end.next_seq, end.end_offset, end.excess), (&records[..3], 11, ends[3], true));
    }
    let (found, end) = read_before(&bytes, 12, ends[4]).unwrap();
    assert_eq!((found, end.next_seq, end.excess), (records, 12, false));
    assert_eq!(read_before(&torn, 12, ends[4]).unwrap_err().kind(), ErrorKind::Corrupt, "it counts up to there");
    assert_eq!(read_before(&bytes, 12, ends[3]).unwrap_err().kind(), ErrorKind::Corrupt, "another seq");
    assert_eq!(read_before(&bytes, 11, ends[4] + 8).unwrap_err().kind(), ErrorKind::Corrupt, "it is too short");
}

#[test]
fn frames_that_may_not_be_durable_are_written_anew() {
    let (records, bytes, ends) = sample(IdType::Int, true);
    let (backend, schema) = (with_log(&bytes), schema(IdType::Int));
    let (_, end) = read(&backend, 1, true, &schema, None).unwrap();
    let expected = Expected { identity: IDENTITY, schema: &schema, next_seq: None, end: Tail::Torn };
    let mut writer = succeed(&backend, 1, &expected, &end, end.next_seq).unwrap();
    assert_eq!(backend.read(&names::wal(1)).unwrap(), bytes[..ends[3] as usize]);
    let beginning = beginning(&backend, 2, &expected).unwrap();
    assert_eq!(beginning, Beginning { first_seq: 11, previous_end: ends[3] });
    let more = upsert(IdType::Int, 12, 2);
    writer.append(&borrow(&more)).unwrap();
    let (found, end) = read(&backend, 2, true, &schema, Some(11)).unwrap();
    assert_eq!(found, [records[3].clone(), more]);
    assert_eq!(end.unproven_seq, 12, "what the file appeared with is durable");
}
