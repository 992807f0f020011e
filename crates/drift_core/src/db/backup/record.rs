//! The record of a backup: what it holds and where.
//!
//! Layer 7. A sealed file; a folder of backups has one for each backup, all of one database.

use crate::error::{Error, ErrorKind, Result};
use crate::format::{FileId, Header, magic, open_sealed, seal};
use crate::storage::{Backend, names};
use prost::Message;
use std::collections::BTreeMap;
use std::time::Duration;

/// Backups of a folder: each call reads all records, and each record names every file.
const RECORDS_MAX: usize = 10_000;

/// Which backup to restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The newest.
    Newest,
    /// The one with this number.
    Number(u64),
    /// The newest that began at this time since 1970-01-01 UTC, or before it.
    Time(Duration),
}

/// What a backup is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupInfo {
    /// Its number in the folder, from 1.
    pub number: u64,
    /// When it began, since 1970-01-01 UTC: writes acknowledged before that are in it.
    pub time: Duration,
    /// Whether it could use files of earlier backups.
    pub incremental: bool,
    /// Names of its collections.
    pub collections: Vec<String>,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that it copied; the others had been copied before.
    pub files_copied: u64,
    /// Their bytes.
    pub bytes_copied: u64,
}

/// What is stored of a backup.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Content {
    /// Microseconds since 1970-01-01 UTC.
    #[prost(uint64, tag = "1")]
    pub(super) time: u64,
    #[prost(bool, tag = "2")]
    pub(super) incremental: bool,
    #[prost(message, repeated, tag = "3")]
    pub(super) collections: Vec<RecordedCollection>,
}

/// A collection in a backup.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RecordedCollection {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    /// Its identity, 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) folder: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    pub(super) files: Vec<RecordedFile>,
}

/// A file of a database in a backup.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct RecordedFile {
    /// Its name in the database.
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(uint64, tag = "2")]
    pub(super) length: u64,
    /// xxh3 of its bytes.
    #[prost(fixed64, tag = "3")]
    pub(super) digest: u64,
    /// Number of the backup that copied it.
    #[prost(uint64, tag = "4")]
    pub(super) copied_by: u64,
}

impl RecordedFile {
    /// Its name in the folder of backups.
    pub(super) fn object(&self) -> String {
        format!("{}/{}", names::backup_files(self.copied_by), self.name)
    }
}

impl RecordedCollection {
    pub(super) fn identity(&self) -> Option<u128> {
        self.folder.as_slice().try_into().ok().map(u128::from_le_bytes)
    }
}

/// One backup.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) number: u64,
    /// Identity of the database.
    pub(super) database: u128,
    pub(super) content: Content,
}

impl Record {
    pub(super) fn files(&self) -> impl Iterator<Item = &RecordedFile> {
        self.content.collections.iter().flat_map(|collection| &collection.files)
    }

    pub(super) fn time(&self) -> Duration {
        Duration::from_micros(self.content.time)
    }

    pub(super) fn info(&self) -> BackupInfo {
        let own = || self.files().filter(|file| file.copied_by == self.number);
        BackupInfo {
            number: self.number,
            time: self.time(),
            incremental: self.content.incremental,
            collections: self.content.collections.iter().map(|collection| collection.name.clone()).collect(),
            files: self.files().count() as u64,
            bytes: self.files().map(|file| file.length).sum(),
            files_copied: own().count() as u64,
            bytes_copied: own().map(|file| file.length).sum(),
        }
    }

    /// Writes the record; with that the backup exists.
    pub(super) fn write(&self, to: &dyn Backend) -> Result<()> {
        let file = FileId::numbered(&magic::BACKUP, self.database, self.number);
        let mut body = self.number.to_le_bytes().to_vec();
        self.content.encode_raw(&mut body);
        to.put_if_absent(&names::backup(self.number), &seal(&Header::new(magic::BACKUP, self.database, file), &body))
    }

    fn read(from: &dyn Backend, number: u64) -> Result<Record> {
        let name = names::backup(number);
        let bytes = from.read_sealed(&name)?;
        let full_name = format!("{}/{name}", from.describe());
        let (header, mut body) = open_sealed(&full_name, &bytes, &magic::BACKUP, None)?;
        header.check_file(&full_name, FileId::numbered(&magic::BACKUP, header.database, number))?;
        let start = body.clone();
        if body.u64()? != number {
            return Err(start.corrupt("the record is of another backup"));
        }
        let message = body.bytes(body.remaining())?;
        let content = Content::decode(message).map_err(|error| start.corrupt(error))?;
        let own = |file: &RecordedFile| (1..=number).contains(&file.copied_by);
        let record = Record { number, database: header.database, content };
        if record.content.collections.iter().any(|collection| collection.identity().is_none())
            || !record.files().all(own)
        {
            return Err(start.corrupt("the record names what cannot be"));
        }
        Ok(record)
    }
}

/// The records of a folder of backups, oldest first.
pub(super) struct Records {
    origin: String,
    pub(super) records: Vec<Record>,
}

impl Records {
    /// Reads all; a damaged one is Corrupt, naming it, and records of two databases are Invalid.
    pub(super) fn read(from: &dyn Backend) -> Result<Records> {
        let numbers = numbers(from)?;
        if numbers.len() > RECORDS_MAX {
            let message = format!("{} has {} backups, the limit is {RECORDS_MAX}", from.describe(), numbers.len());
            return Err(Error::new(ErrorKind::Exhausted, message));
        }
        let records = numbers.into_iter().map(|number| Record::read(from, number)).collect::<Result<Vec<_>>>()?;
        if let Some(pair) = records.windows(2).find(|pair| pair[0].database != pair[1].database) {
            return Err(Error::invalid(format!(
                "{} has backups of two databases, {} and {}: keep each in a folder of its own",
                from.describe(),
                names::backup(pair[0].number),
                names::backup(pair[1].number)
            )));
        }
        Ok(Records { origin: from.describe(), records })
    }

    pub(super) fn infos(&self) -> Result<Vec<BackupInfo>> {
        Ok(self.records.iter().map(Record::info).collect())
    }

    /// The number of the next backup.
    pub(super) fn next(&self) -> Result<u64> {
        if self.records.len() >= RECORDS_MAX {
            let message =
                format!("{} has {RECORDS_MAX} backups, which is the limit: begin another folder", self.origin);
            return Err(Error::new(ErrorKind::Exhausted, message));
        }
        Ok(self.records.last().map_or(1, |last| last.number + 1))
    }

    /// Every copied file once.
    pub(super) fn distinct_files(&self) -> Vec<&RecordedFile> {
        let files = self.records.iter().flat_map(Record::files);
        files.map(|file| ((file.copied_by, &file.name), file)).collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// The backup of a moment; the error says which there are.
    pub(super) fn find(&self, moment: Moment) -> Result<&Record> {
        let Some((first, last)) = self.records.first().zip(self.records.last()) else {
            return Err(Error::not_found(format!("there is no backup in {}", self.origin)));
        };
        let is_it = |record: &&Record| match moment {
            Moment::Newest => true,
            Moment::Number(number) => record.number == number,
            // The order of the numbers, whatever a clock that was set back says.
            Moment::Time(time) => record.time() <= time,
        };
        self.records.iter().rev().find(is_it).ok_or_else(|| {
            let (origin, first, last) = (&self.origin, first.number, last.number);
            Error::not_found(match moment {
                Moment::Time(_) => format!("no backup in {origin} began so early: at=None restores the newest one"),
                _ => format!("there is no such backup in {origin}: it has numbers {first} to {last}"),
            })
        })
    }
}

/// Numbers of the records, ascending.
pub(super) fn numbers(from: &dyn Backend) -> Result<Vec<u64>> {
    let listed = from.list(names::BACKUPS)?;
    let parse = |name: &String| {
        let number = name.strip_prefix(names::BACKUPS)?.strip_prefix('/')?.parse().ok()?;
        (names::backup(number) == *name).then_some(number)
    };
    let mut numbers: Vec<u64> = listed.iter().filter_map(parse).collect();
    numbers.sort_unstable();
    Ok(numbers)
}
