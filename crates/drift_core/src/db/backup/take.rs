//! Taking a backup: a snapshot of each collection, the files that are not there yet, and the record.
//!
//! Layer 7. Collections come one after the other, so that few files are open at once. What the database guards by a digest
//! or a checksum is checked on the way: a backup never takes damage over. A damaged or missing bitstore is left
//! out, as it can be built again.

use super::copy;
use super::record::{Content, Record, RecordedCollection, RecordedFile, Records};
use super::{BackupInfo, BackupProgress, OnBackup};
use crate::config::Durability;
use crate::db::{Database, snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{FileId, digest, open_sealed};
use crate::maintain;
use crate::manifest::CatalogEntry;
use crate::storage::names::{self, Object};
use crate::storage::{Backend, LockGuard};
use crate::wal;
use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Backs `database` up into the folder of backups `to`.
pub(super) fn backup(
    database: &Database,
    to: &Arc<dyn Backend>,
    incremental: bool,
    progress: OnBackup<'_>,
) -> Result<BackupInfo> {
    let time = database.inner.components.clock.wall();
    let (_lock, records) = prepare(to, database.identity())?;
    let number = records.next()?;
    remove_unfinished(&**to, &records)?;
    if database.inner.config.read_only {
        database.reload()?;
    } else if database.inner.config.durability == Durability::None {
        // There is no log to copy.
        for open in database.open_states() {
            maintain::flush_all(&open)?;
        }
    }
    let copied = if incremental { index(&records) } else { HashMap::new() };
    let mut session = Session { to: &**to, number, copied, progress };
    let mut content = Content { time: time.as_micros() as u64, incremental, collections: Vec::new() };
    for entry in database.catalog_entries() {
        let backend = database.inner.backend.scoped(&names::collection_dir(entry.folder));
        match session.collection(&backend, &entry) {
            Ok(collection) => content.collections.push(collection),
            // It was dropped after the call began, and its files go one by one.
            Err(error) if error.kind() != ErrorKind::Interrupted && is_dropped(database, &entry)? => {}
            Err(error) => return Err(error.context(format!("collection {:?}", entry.name))),
        }
    }
    let record = Record { number, database: database.identity(), content };
    record.write(&**to)?;
    Ok(record.info())
}

/// Takes the lock of the folder of backups, and reads what there is. It must be empty or have backups of this database.
fn prepare(to: &Arc<dyn Backend>, database: u128) -> Result<(Box<dyn LockGuard>, Records)> {
    let origin = to.describe();
    let known = [names::BACKUPS, names::BACKUP_FILES];
    let is_known = |name: &str| name == names::LOCK || known.contains(&name.split('/').next().unwrap_or(name));
    if let Some(name) = to.list("")?.iter().find(|name| !is_known(name)) {
        let message = format!("{origin} is no folder of backups, it has {name}: back up to an empty or a new folder");
        return Err(Error::invalid(message));
    }
    let lock = to.lock(names::LOCK).map_err(|error| match error.kind() {
        ErrorKind::Locked => {
            Error::new(ErrorKind::Locked, format!("{origin} is locked: another backup into it is under way"))
        }
        _ => error,
    })?;
    let records = Records::read(&**to)?;
    if records.records.iter().any(|record| record.database != database) {
        let message = format!("{origin} has backups of another database: back up to a folder of its own");
        return Err(Error::invalid(message));
    }
    Ok((lock, records))
}

/// Removes the files of backups that did not finish. A folder that a record names stays, though its own record is gone:
/// later backups hold what it copied.
fn remove_unfinished(to: &dyn Backend, records: &Records) -> Result<()> {
    let numbers = records.records.iter().flat_map(|record| {
        let copied_by = record.files().map(|file| file.copied_by);
        copied_by.chain([record.number])
    });
    let finished: BTreeSet<String> = numbers.collect::<BTreeSet<u64>>().into_iter().map(names::backup_files).collect();
    let mut folders: Vec<String> = to
        .list(names::BACKUP_FILES)?
        .iter()
        .filter_map(|name| name.match_indices('/').nth(1).map(|(end, _)| name[..end].to_owned()))
        .collect();
    folders.dedup();
    folders.retain(|folder| !finished.contains(folder.as_str()));
    folders.iter().try_for_each(|folder| to.delete_tree(folder))
}

/// The files that there are, by name, length and digest.
fn index(records: &Records) -> HashMap<(String, u64, u64), RecordedFile> {
    let key = |file: &RecordedFile| ((file.name.clone(), file.length, file.digest), file.clone());
    records.records.iter().flat_map(Record::files).map(key).collect()
}

fn is_dropped(database: &Database, entry: &CatalogEntry) -> Result<bool> {
    if database.inner.config.read_only {
        database.reload()?;
    }
    Ok(database.catalog_entries().iter().all(|other| other.folder != entry.folder))
}

struct Session<'a> {
    to: &'a dyn Backend,
    number: u64,
    copied: HashMap<(String, u64, u64), RecordedFile>,
    progress: OnBackup<'a>,
}

/// One file of the database to back up.
struct Source<'a> {
    backend: &'a dyn Backend,
    /// Its name in the collection.
    object: String,
    /// Its name in the database.
    name: String,
    length: u64,
    /// Known beforehand.
    digest: Option<u64>,
}

impl Session<'_> {
    fn collection(&mut self, backend: &Arc<dyn Backend>, entry: &CatalogEntry) -> Result<RecordedCollection> {
        let read = |taken| logs(&taken, entry.folder).map(|logs| (taken, logs));
        let (taken, logs) = snapshot::read(backend, entry.folder, read)?;
        let folder = names::collection_dir(entry.folder);
        let mut sources = Vec::new();
        let mut add = |object: String, length, digest| {
            let name = format!("{folder}/{object}");
            sources.push(Source { backend: &*taken.files, object, name, length, digest });
        };
        for segment in &taken.manifest.segments {
            add(names::segment(segment.file), segment.length, Some(segment.digest));
        }
        let is_segment = |name: &String| matches!(Object::parse(name), Some(Object::Segment(_)));
        let small = taken.manifest.files().into_iter().filter(|name| !is_segment(name));
        for object in small.chain([names::manifest(taken.manifest.number)]) {
            if let Some((length, digest)) = check_sealed(&*taken.files, &object, entry.folder)? {
                add(object, length, Some(digest));
            }
        }
        for (number, end) in logs {
            add(names::wal(number), end, None);
        }
        let bytes_total = sources.iter().map(|source| source.length).sum();
        let mut progress = BackupProgress { collection: entry.name.clone(), bytes: 0, bytes_total };
        self.tell(&mut progress, 0)?;
        let files = sources.iter().map(|source| self.file(source, &mut progress)).collect::<Result<_>>()?;
        Ok(RecordedCollection { name: entry.name.clone(), folder: entry.folder.to_le_bytes().to_vec(), files })
    }

    /// Copies a file unless it is there.
    fn file(&mut self, source: &Source<'_>, progress: &mut BackupProgress) -> Result<RecordedFile> {
        let from_name = format!("{}/{}", source.backend.describe(), source.object);
        let from = source.backend.open(&source.object).map_err(|error| Error::corrupt(error.message()))?;
        let digest = match source.digest {
            Some(digest) => digest,
            None => copy::digest(&*from, source.length)?,
        };
        if let Some(there) = self.copied.get(&(source.name.clone(), source.length, digest))
            && self.to.open(&there.object()).is_ok_and(|file| file.len() == source.length)
        {
            let there = there.clone();
            self.tell(progress, source.length)?;
            return Ok(there);
        }
        let (length, name) = (source.length, source.name.clone());
        let file = RecordedFile { name, length, digest, copied_by: self.number };
        copy::copy((&*from, &from_name), (self.to, &file.object()), length, Some(digest), &mut |bytes| {
            progress.bytes += bytes;
            (self.progress)(progress.clone())
        })
        .map_err(|error| if error.kind() == ErrorKind::Interrupted { super::interrupted("backup") } else { error })?;
        Ok(file)
    }

    fn tell(&mut self, progress: &mut BackupProgress, bytes: u64) -> Result<()> {
        progress.bytes += bytes;
        match (self.progress)(progress.clone()) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(super::interrupted("backup")),
        }
    }
}

/// Length and digest of a sealed file that is sound; none for a bitstore that is not.
fn check_sealed(files: &dyn Backend, object: &str, collection: u128) -> Result<Option<(u64, u64)>> {
    let parsed = Object::parse(object);
    let checked = files.read_sealed(object).and_then(|bytes| {
        let kind = bytes.first_chunk().copied().unwrap_or_default();
        let number = parsed.and_then(|object| object.number()).unwrap_or_default();
        let name = format!("{}/{object}", files.describe());
        open_sealed(&name, &bytes, &kind, Some((collection, FileId::numbered(&kind, collection, number))))?;
        Ok((bytes.len() as u64, digest(&bytes)))
    });
    let damaged = |error: &Error| matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound);
    match checked {
        Ok(sound) => Ok(Some(sound)),
        Err(error) if damaged(&error) && matches!(parsed, Some(Object::Bitstore(_))) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::corrupt(error.message())),
        Err(error) => Err(error),
    }
}

/// Numbers of the logs and the ends of their last whole frames.
fn logs(taken: &snapshot::Snapshot, collection: u128) -> Result<Vec<(u64, u64)>> {
    let (files, manifest) = (&*taken.files, &taken.manifest);
    let numbers = names::numbers(names::LOGS, &files.list(names::LOGS)?);
    let last = manifest.last_log.max(numbers.last().copied().unwrap_or(0));
    if let Some(missing) = (manifest.wal_floor..=last).find(|number| numbers.binary_search(number).is_err()) {
        return Err(Error::corrupt(format!("{}/{} is missing", files.describe(), names::wal(missing))));
    }
    let ends = wal::replay_all(files, collection, &manifest.schema, &numbers, &mut |_| Ok(()))?;
    Ok(ends.into_iter().map(|(number, end)| (number, end.end_offset)).collect())
}
