//! The name of every object that drift stores, in one place.
//!
//! Layer 3. Numbers have 20 digits, so that names sort as numbers do; whoever needs an order still parses them.
//! Nothing is concluded from a name but where to look: the manifest says what exists.

use crate::format::FileId;
use uuid::Uuid;

/// The lock of a database.
pub const LOCK: &str = "LOCK";

/// Folder of manifests.
pub const MANIFESTS: &str = "manifest";
/// Folder of catalogs.
pub const CATALOGS: &str = "catalog";
/// Folder of log files.
pub const LOGS: &str = "wal";
/// Folder of segments.
pub const SEGMENTS: &str = "segments";
/// Folder of bucket files.
pub const BUCKETS: &str = "buckets";
/// Folder of move files.
pub const MOVES: &str = "moves";
/// Folder of tombstone files.
pub const TOMBSTONES: &str = "tombstones";
/// Folder of bitstore files.
pub const BITSTORES: &str = "bitstore";
/// Folder of the spool of a load, whose files nothing names.
pub const SPOOL: &str = "spool";
/// Folder of the collections of a database.
pub const COLLECTIONS: &str = "collections";
/// Folder of [`RESTORING`].
pub const RESTORES: &str = "restoring";
/// What a database has while it is restored: it is whole when this is gone.
pub const RESTORING: &str = "restoring/note";
/// Folder of the records of backups.
pub const BACKUPS: &str = "backups";
/// Folder of the files of backups.
pub const BACKUP_FILES: &str = "files";

/// Manifest number `number` of a collection.
pub fn manifest(number: u64) -> String {
    numbered(MANIFESTS, number)
}

/// Catalog number `number` of a database.
pub fn catalog(number: u64) -> String {
    numbered(CATALOGS, number)
}

/// Log file number `number`.
pub fn wal(number: u64) -> String {
    format!("{LOGS}/{number:020}.wal")
}

/// The segment with identity `file`.
pub fn segment(file: FileId) -> String {
    format!("{SEGMENTS}/{file}.drift")
}

/// Bucket file number `number`.
pub fn buckets(number: u64) -> String {
    numbered(BUCKETS, number)
}

/// Move file number `number`.
pub fn moves(number: u64) -> String {
    numbered(MOVES, number)
}

/// Tombstone file number `number`.
pub fn tombstones(number: u64) -> String {
    numbered(TOMBSTONES, number)
}

/// Bitstore file number `number`.
pub fn bitstore(number: u64) -> String {
    numbered(BITSTORES, number)
}

/// The folder of the collection with identity `collection`.
pub fn collection_dir(collection: u128) -> String {
    format!("{COLLECTIONS}/{}", Uuid::from_u128(collection))
}

/// The record of backup number `number`.
pub fn backup(number: u64) -> String {
    numbered(BACKUPS, number)
}

/// The folder of the files that backup number `number` copied; they have their names in the database below it.
pub fn backup_files(number: u64) -> String {
    numbered(BACKUP_FILES, number)
}

/// Number `number` in `folder`.
pub fn numbered(folder: &str, number: u64) -> String {
    format!("{folder}/{number:020}")
}

/// An object of a collection (or, for the catalog and the lock, of a database) by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Object {
    /// [`manifest`].
    Manifest(u64),
    /// [`catalog`].
    Catalog(u64),
    /// [`wal`].
    Wal(u64),
    /// [`segment`].
    Segment(FileId),
    /// [`buckets`].
    Buckets(u64),
    /// [`moves`].
    Moves(u64),
    /// [`tombstones`].
    Tombstones(u64),
    /// [`bitstore`].
    Bitstore(u64),
    /// [`LOCK`].
    Lock,
}

impl Object {
    /// Reads a name, which must be written exactly as this file writes it; anything else is not drift's.
    pub fn parse(name: &str) -> Option<Object> {
        if name == LOCK {
            return Some(Object::Lock);
        }
        let (folder, file) = name.split_once('/')?;
        let object = match folder {
            MANIFESTS => Object::Manifest(file.parse().ok()?),
            CATALOGS => Object::Catalog(file.parse().ok()?),
            BUCKETS => Object::Buckets(file.parse().ok()?),
            MOVES => Object::Moves(file.parse().ok()?),
            TOMBSTONES => Object::Tombstones(file.parse().ok()?),
            BITSTORES => Object::Bitstore(file.parse().ok()?),
            LOGS => Object::Wal(file.strip_suffix(".wal")?.parse().ok()?),
            SEGMENTS => Object::Segment(FileId(Uuid::try_parse(file.strip_suffix(".drift")?).ok()?.as_u128())),
            _ => return None,
        };
        (object.name() == name).then_some(object)
    }

    /// The object's name.
    pub fn name(&self) -> String {
        match *self {
            Object::Manifest(number) => manifest(number),
            Object::Catalog(number) => catalog(number),
            Object::Wal(number) => wal(number),
            Object::Segment(file) => segment(file),
            Object::Buckets(number) => buckets(number),
            Object::Moves(number) => moves(number),
            Object::Tombstones(number) => tombstones(number),
            Object::Bitstore(number) => bitstore(number),
            Object::Lock => LOCK.to_owned(),
        }
    }

    /// The number of a numbered object.
    pub fn number(&self) -> Option<u64> {
        match *self {
            Object::Manifest(number)
            | Object::Catalog(number)
            | Object::Wal(number)
            | Object::Buckets(number)
            | Object::Moves(number)
            | Object::Tombstones(number)
            | Object::Bitstore(number) => Some(number),
            Object::Segment(_) | Object::Lock => None,
        }
    }
}

/// Whether drift makes a folder of this name in a database or in a folder of backups.
pub fn is_folder(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        [CATALOGS | RESTORES | BACKUPS | BACKUP_FILES] => true,
        [BACKUP_FILES, number] => is_number(number),
        [BACKUP_FILES, number, inside @ ..] => is_number(number) && is_folder_of_collections(inside),
        parts => is_folder_of_collections(parts),
    }
}

/// Whether drift makes an object of this name in a database or in a folder of backups, [`LOCK`] apart.
pub fn is_object(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        [CATALOGS | BACKUPS, number] => is_number(number),
        [RESTORES, _] => name == RESTORING,
        [BACKUP_FILES, number, inside @ ..] => is_number(number) && is_in_collection(inside),
        parts => is_in_collection(parts),
    }
}

fn is_folder_of_collections(parts: &[&str]) -> bool {
    match parts {
        [COLLECTIONS] => true,
        [COLLECTIONS, identity] => is_identity(identity),
        [COLLECTIONS, identity, folder] => {
            is_identity(identity)
                && [MANIFESTS, LOGS, SEGMENTS, BUCKETS, MOVES, TOMBSTONES, BITSTORES, SPOOL].contains(folder)
        }
        _ => false,
    }
}

fn is_in_collection(parts: &[&str]) -> bool {
    match parts {
        [COLLECTIONS, identity, SPOOL, file] => {
            is_identity(identity) && file.len() == 32 && file.bytes().all(|digit| b"0123456789abcdef".contains(&digit))
        }
        [COLLECTIONS, identity, folder, file] => {
            let object = Object::parse(&format!("{folder}/{file}"));
            is_identity(identity) && object.is_some_and(|object| !matches!(object, Object::Catalog(_)))
        }
        _ => false,
    }
}

/// Whether `part` is a number as [`numbered`] writes it.
fn is_number(part: &str) -> bool {
    part.parse().is_ok_and(|number: u64| format!("{number:020}") == part)
}

/// Whether `part` is an identity as [`collection_dir`] writes it.
fn is_identity(part: &str) -> bool {
    Uuid::try_parse(part).is_ok_and(|identity| identity.to_string() == part)
}

/// The identity of the collection in whose folder an object is; none of a folder that [`collection_dir`] does not name.
pub fn collection_of(name: &str) -> Option<u128> {
    let (folder, _) = name.strip_prefix(COLLECTIONS)?.strip_prefix('/')?.split_once('/')?;
    let identity = Uuid::try_parse(folder).ok()?.as_u128();
    name.starts_with(&collection_dir(identity)).then_some(identity)
}

/// Identities of the collections that have objects among `names` (those below [`COLLECTIONS`]), ascending.
pub fn collections(names: &[String]) -> Vec<u128> {
    let mut found: Vec<u128> = names.iter().filter_map(|name| collection_of(name)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Numbers of the objects among `names` that `folder` holds, ascending.
pub fn numbers(folder: &str, names: &[String]) -> Vec<u64> {
    let in_folder = |name: &&String| name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    let mut numbers: Vec<u64> =
        names.iter().filter(in_folder).filter_map(|name| Object::parse(name)?.number()).collect();
    numbers.sort_unstable();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_come_back() {
        for number in [0, 1, 10, u64::MAX] {
            let file = FileId(u128::from(number) << 17);
            for object in [
                Object::Manifest(number),
                Object::Catalog(number),
                Object::Wal(number),
                Object::Segment(file),
                Object::Buckets(number),
                Object::Moves(number),
                Object::Tombstones(number),
                Object::Bitstore(number),
                Object::Lock,
            ] {
                assert_eq!(Object::parse(&object.name()), Some(object));
            }
        }
    }

    #[test]
    fn names_written_otherwise_are_not_drifts() {
        for name in ["wal/10.wal", "wal/+0000000000000000010.wal", "manifest/1", "lock", "segments/x.drift", "wal", ""]
        {
            assert_eq!(Object::parse(name), None, "{name}");
        }
        let upper = segment(FileId(0xabcdef)).replace("abcdef", "ABCDEF");
        assert_eq!(Object::parse(&upper), None);
    }

    #[test]
    fn objects_of_a_store_are_in_its_folders_and_nothing_else_is() {
        let inside = format!("{}/{}", collection_dir(7), wal(3));
        let spooled = format!("{}/spool/{:032x}", collection_dir(7), 3);
        let copied = format!("{}/{inside}", backup_files(1));
        let names = [catalog(1), RESTORING.to_owned(), backup(2), inside, spooled, copied];
        for name in &names {
            assert!(is_object(name) && !is_folder(name), "{name}");
            let above = name.match_indices('/').map(|(end, _)| &name[..end]);
            above.for_each(|folder| assert!(is_folder(folder) && !is_object(folder), "{folder}"));
        }
        let foreign =
            ["", "data", "wal", "src/report", "catalog/own", "catalog/1", "restoring/x", "files/own", "segments"];
        let misplaced =
            [manifest(1), format!("collections/own/{}", wal(1)), format!("{}/{}", collection_dir(7), catalog(1))];
        for name in foreign.into_iter().chain(misplaced.iter().map(String::as_str)) {
            assert!(!is_object(name) && !is_folder(name), "{name}");
        }
    }

    #[test]
    fn numbers_ascend_and_skip_foreign_names() {
        let names: Vec<String> = [wal(10), wal(2), "wal/3.wal".to_owned(), manifest(1), "walrus/1".to_owned()].into();
        assert_eq!(numbers(LOGS, &names), [2, 10]);
    }

    proptest! {
        #[test]
        fn any_text_parses_without_a_panic(name in "(manifest|wal|segments|catalog)?/?.{0,40}") {
            if let Some(object) = Object::parse(&name) {
                prop_assert_eq!(object.name(), name);
            }
        }
    }
}
