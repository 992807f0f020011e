//! Every object name of drift, in one place.
//!
//! Layer 3. Numbers are written with twenty digits, so that names sort as numbers do, and are parsed as numbers.

/// Held by the process that writes.
pub const LOCK: &str = "LOCK";

/// Folder of the database's catalogs.
pub const CATALOG: &str = "catalog";
/// Folder of a collection's manifests.
pub const MANIFESTS: &str = "manifest";
/// Folder of a collection's logs.
pub const LOGS: &str = "wal";
/// Folder of a collection's segments.
pub const SEGMENTS: &str = "segments";
/// Folder of a collection's bucket files.
pub const BUCKETS: &str = "buckets";
/// Folder of a collection's tombstone files.
pub const TOMBSTONES: &str = "tombstones";
/// Folder of a collection's bitstore checkpoints.
pub const BITSTORES: &str = "bitstore";
/// Folder of a bulk load's spool files.
pub const SPOOL: &str = "spool";

/// Object `number` of `folder`.
pub fn numbered(folder: &str, number: u64) -> String {
    format!("{folder}/{number:020}")
}

/// The number of an object that [`numbered`] named (without its folder).
pub fn parse_number(name: &str) -> Option<u64> {
    (name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok()).flatten()
}

/// Log `number`.
pub fn log(number: u64) -> String {
    format!("{LOGS}/{number:020}.wal")
}

/// The number of a log (without its folder).
pub fn parse_log(name: &str) -> Option<u64> {
    parse_number(name.strip_suffix(".wal")?)
}

/// Segment with uuid `id`.
pub fn segment(id: u128) -> String {
    format!("{SEGMENTS}/{}.drift", uuid::Uuid::from_u128(id))
}

/// The uuid of a segment (without its folder).
pub fn parse_segment(name: &str) -> Option<u128> {
    uuid::Uuid::parse_str(name.strip_suffix(".drift")?).ok().map(|id| id.as_u128())
}

/// Folder of the collection with uuid `id`.
pub fn collection(id: u128) -> String {
    format!("collections/{}", uuid::Uuid::from_u128(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_as_numbers_and_foreign_ones_are_not() {
        assert_eq!(parse_log(log(10).strip_prefix("wal/").expect("its folder")), Some(10));
        assert!(log(2) < log(10));
        assert_eq!(parse_log("10.wal"), None);
        assert_eq!(parse_number("0000000000000000000x"), None);
        let name = segment(77);
        assert_eq!(parse_segment(name.strip_prefix("segments/").expect("its folder")), Some(77));
    }
}
