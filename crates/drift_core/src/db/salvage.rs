//! Salvage: what can still be read of a damaged collection, copied into a new one.
//!
//! Layer 7; only when the database was opened with `recovery="salvage"` and the collection neither opens nor can be
//! repaired. Every segment, tombstone file and log that can be read, in part even, gives its rows with their seqs; of
//! each id the newest counts; deleted ids stay away where their deletion can be read. The copy is loaded into a new
//! folder, which one catalog commit puts in place of the old one; so a crash leaves the old one as it was. All that is
//! given up is told in sentences. Where the newest version of an id or its deletion is lost, an older one may be back.

use super::open::Opening;
use super::repair::repair;
use super::verify::verify;
use crate::clock::Components;
use crate::config::{Config, Recovery};
use crate::error::{Error, ErrorKind, Result};
use crate::ingest;
use crate::ingest::source::{BatchVectors, RowBatch, RowSource};
use crate::manifest::{Catalog, CatalogEntry, CatalogStore, MANIFESTS_KEPT, Manifest, ManifestStore, TombstoneFile};
use crate::segment::{Scratch, Segment, SegmentFile};
use crate::state::CollectionState;
use crate::storage::Backend;
use crate::storage::failpoint::{Failpoint, reach};
use crate::storage::names::{self, Object};
use crate::types::{Column, Columns, ElementType, FieldType, IdRef, Ids, Schema, Seq, VectorBuf, Vectors, unwatched};
use crate::wal::{self, Expected, OwnedRecord, Tail};
use half::f16;
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Rows that are copied at once: some megabytes at 768 dimensions.
const BATCH_ROWS: usize = 1_024;

/// A collection that is sound, and what was given up for it.
pub(super) struct Salvaged {
    pub(super) state: CollectionState,
    pub(super) given_up: Vec<String>,
}

/// The newest catalog. Under `recovery="salvage"`, when that is damaged, the newest that can be read with all folders of
/// collections that it does not name, and what that costs; it is committed until no damaged one is kept.
pub(super) fn catalog(
    store: &mut CatalogStore,
    backend: &dyn Backend,
    config: &Config,
    components: &Components,
) -> Result<(Option<Catalog>, Vec<String>)> {
    let error = match load_newest(store, backend) {
        Err(error) if error.kind() == ErrorKind::Corrupt && config.recovery == Recovery::Salvage => error,
        newest => return Ok((newest?, Vec::new())),
    };
    let mut given_up = vec![format!("{}: collections dropped last may be back", error.message())];
    let (sound, number) = store.load_newest_sound()?;
    let mut catalog = sound.unwrap_or_else(|| Catalog::first(components.identities.draw()));
    catalog.number = number;
    for folder in names::collections(&backend.list(names::COLLECTIONS)?) {
        if is_lost(&catalog, folder) {
            let name = format!("salvaged-{:08x}", folder >> 96);
            given_up.push(format!("{}: its name is unknown, and now {name:?}", names::collection_dir(folder)));
            catalog.collections.push(CatalogEntry { name, folder });
        }
    }
    for _ in 0..MANIFESTS_KEPT {
        catalog.number += 1;
        reach(Failpoint::SalvageCatalog)?;
        store.commit(&catalog)?;
    }
    Ok((Some(catalog), given_up))
}

/// The newest catalog; none where a database may be made. Collections without a catalog are a damaged database (one is written
/// before the first collection, and the last is never deleted), and other files in their place are somebody else's.
fn load_newest(store: &mut CatalogStore, backend: &dyn Backend) -> Result<Option<Catalog>> {
    while let Some(newest) = store.load_newest()? {
        let Err(lost) = check_known(&newest, backend) else { return Ok(Some(newest)) };
        // For a reader a writer may have gone on: it names a collection before that is used.
        if store.load_newest()?.is_none_or(|now| now.number == newest.number) {
            return Err(lost);
        }
    }
    let found = backend.list(names::COLLECTIONS)?;
    let Some(first) = found.first() else { return Ok(None) };
    // A process that made the database just now wrote its catalog before these.
    if let Some(newest) = store.load_newest()? {
        return Ok(Some(newest));
    }
    let place = backend.describe();
    if names::collections(&found).is_empty() {
        return Err(Error::invalid(format!("{place} has {first}, which is no file of drift: use another folder")));
    }
    Err(Error::corrupt(format!(
        "{place} has {first}, but no catalog that names its collection: put the folder {:?} back, or open with \
         recovery=\"salvage\"",
        names::CATALOGS
    )))
}

/// Refuses a catalog that does not name a collection which has been used: one that did is lost.
fn check_known(catalog: &Catalog, backend: &dyn Backend) -> Result<()> {
    let found = backend.list(names::COLLECTIONS)?;
    for folder in names::collections(&found).into_iter().filter(|folder| is_lost(catalog, *folder)) {
        // A crash while it was made leaves nothing but the first manifest.
        let first = format!("{}/{}", names::collection_dir(folder), names::manifest(1));
        if found.iter().any(|name| names::collection_of(name) == Some(folder) && *name != first) {
            return Err(Error::corrupt(format!(
                "{} has {}, which catalog {} does not name: a newer one is lost; put it back, or open with \
                 recovery=\"salvage\"",
                backend.describe(),
                names::collection_dir(folder),
                catalog.number
            )));
        }
    }
    Ok(())
}

/// Whether a collection is neither there nor dropped.
fn is_lost(catalog: &Catalog, folder: u128) -> bool {
    !catalog.collections.iter().any(|entry| entry.folder == folder) && !catalog.dropped.contains(&folder)
}

/// Opens a collection; under `recovery="salvage"` only if it verifies or can be repaired. None when it must be salvaged.
pub(super) fn open(opening: &Opening<'_>) -> Result<Option<CollectionState>> {
    if opening.config.recovery == Recovery::Strict {
        return opening.recover().map(Some);
    }
    let state = match opening.recover() {
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => return Ok(None),
        opened => opened?,
    };
    let sound =
        verify(&state, &mut unwatched)?.problems.is_empty() || repair(&state, &mut unwatched)?.problems.is_empty();
    Ok(sound.then_some(state))
}

/// What a damaged collection still holds.
pub(super) struct Remains {
    pub(super) schema: Schema,
    segments: Vec<Segment>,
    records: Vec<OwnedRecord>,
    tombstones: Vec<TombstoneFile>,
    given_up: Vec<String>,
}

/// Where the newest version of an id is.
#[derive(Clone, Copy)]
enum Place {
    Deleted,
    Segment(usize, u32),
    Record(usize, usize),
}

impl Remains {
    /// Reads all that can be read of the collection.
    pub(super) fn gather(opening: &Opening<'_>) -> Result<Remains> {
        let (backend, identity) = (&*opening.backend, opening.identity);
        let store = ManifestStore::new(opening.backend.clone(), identity);
        let newest = names::numbers(names::MANIFESTS, &store.files()?).last().copied();
        let Some(manifest) = store.kept()?.pop() else {
            let message = format!(
                "{} has no manifest that can be read, so its dimension and metric are unknown: restore it from a backup",
                backend.describe()
            );
            return Err(Error::corrupt(message));
        };
        let mut remains = Remains {
            schema: manifest.schema.clone(),
            segments: Vec::new(),
            records: Vec::new(),
            tombstones: Vec::new(),
            given_up: Vec::new(),
        };
        let sound = newest == Some(manifest.number);
        if !sound {
            remains.give_up("the newest manifest is damaged: deleted and replaced rows may be back");
        }
        remains.segments(opening, &manifest, sound)?;
        let mut numbers = names::numbers(names::TOMBSTONES, &backend.list(names::TOMBSTONES)?);
        numbers.extend(&manifest.tombstone_files);
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            match TombstoneFile::read(backend, number, identity, manifest.schema.id_type) {
                Ok(file) => remains.tombstones.push(file),
                Err(error) => remains.lose(error, "deleted rows may be back")?,
            }
        }
        remains.logs(opening, &manifest, sound)?;
        Ok(remains)
    }

    /// Segments that the manifest names; when it is not the newest one, also those that it does not.
    fn segments(&mut self, opening: &Opening<'_>, manifest: &Manifest, sound: bool) -> Result<()> {
        let named = manifest.segments.iter();
        let mut files: Vec<SegmentFile> = named
            .map(|entry| SegmentFile { id: entry.file, length: entry.length, digest: entry.digest, rows: entry.rows })
            .collect();
        if !sound {
            for name in opening.backend.list(names::SEGMENTS)? {
                let Some(Object::Segment(id)) = Object::parse(&name) else { continue };
                if files.iter().any(|file| file.id == id) {
                    continue;
                }
                match Segment::describe(&*opening.backend, id) {
                    Ok(file) => files.push(file),
                    Err(error) => self.lose(error, "rows in it are given up")?,
                }
            }
        }
        for file in files {
            match Segment::open(&*opening.backend, opening.identity, file, &self.schema) {
                Ok(segment) => self.segments.push(segment),
                Err(error) => self.lose(error, &format!("its {} rows are given up", file.rows))?,
            }
        }
        Ok(())
    }

    fn logs(&mut self, opening: &Opening<'_>, manifest: &Manifest, sound: bool) -> Result<()> {
        let floor = if sound { manifest.wal_floor } else { 0 };
        let mut numbers = names::numbers(names::LOGS, &opening.backend.list(names::LOGS)?);
        numbers.retain(|number| *number >= floor);
        // Whatever numbers files have, they are not counted one by one.
        let mut next = manifest.wal_floor;
        for number in numbers.iter().copied().chain([manifest.last_log.saturating_add(1)]) {
            if number > next {
                self.give_up(format!("logs {next} to {} are missing: writes in them are given up", number - 1));
            }
            next = next.max(number.saturating_add(1));
        }
        for number in numbers {
            let schema = self.schema.clone();
            let expected = Expected { identity: opening.identity, schema: &schema, next_seq: None, end: Tail::Torn };
            let given_up = wal::salvage(&*opening.backend, number, &expected, &mut |record| self.records.push(record))?;
            self.given_up.extend(given_up);
        }
        Ok(())
    }

    fn give_up(&mut self, what: impl Into<String>) {
        self.given_up.push(what.into());
    }

    /// Notes what damage costs; other errors end the salvage.
    fn lose(&mut self, error: Error, cost: &str) -> Result<()> {
        match error.kind() {
            ErrorKind::Corrupt | ErrorKind::NotFound | ErrorKind::UnsupportedFormat => {
                self.give_up(format!("{}: {cost}", error.message()));
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// The newest row of each id, in order of seq.
    fn newest(&self) -> Vec<(Seq, IdRef<'_>, Place)> {
        let mut newest: HashMap<IdRef<'_>, (Seq, Place)> = HashMap::new();
        let mut offer = |id, seq, place| {
            let known = newest.entry(id).or_insert((seq, place));
            if seq > known.0 {
                *known = (seq, place);
            }
        };
        for (at, segment) in self.segments.iter().enumerate() {
            (0..segment.rows()).for_each(|row| offer(segment.id(row), segment.seq(row), Place::Segment(at, row)));
        }
        for file in &self.tombstones {
            file.ids.iter().zip(&file.seqs).for_each(|(id, seq)| offer(id, *seq, Place::Deleted));
        }
        for (at, record) in self.records.iter().enumerate() {
            let (first, ids, deleted) = match record {
                OwnedRecord::Upsert { first_seq, ids, .. } => (*first_seq, ids, false),
                OwnedRecord::Delete { first_seq, ids } => (*first_seq, ids, true),
            };
            for (row, id) in ids.iter().enumerate() {
                let place = if deleted { Place::Deleted } else { Place::Record(at, row) };
                offer(id, first + row as Seq, place);
            }
        }
        let rows = newest.into_iter().filter(|(_, (_, place))| !matches!(place, Place::Deleted));
        let mut rows: Vec<_> = rows.map(|(id, (seq, place))| (seq, id, place)).collect();
        rows.sort_unstable_by_key(|row| row.0);
        rows
    }

    /// f16 when all rows are: nothing is rounded.
    fn element_type(&self) -> ElementType {
        let segments = self.segments.iter().map(Segment::element_type);
        let records = self.records.iter().filter_map(|record| match record {
            OwnedRecord::Upsert { vectors, .. } => Some(vectors.element_type()),
            OwnedRecord::Delete { .. } => None,
        });
        if segments.chain(records).all(|element| element == ElementType::F16) {
            ElementType::F16
        } else {
            ElementType::F32
        }
    }

    /// Copies all rows into the new, empty collection `state`.
    pub(super) fn copy_into(mut self, state: CollectionState) -> Result<Salvaged> {
        let (kept, unreadable, values) = {
            let (rows, element) = (self.newest().into_iter(), self.element_type());
            let mut source = Source { remains: &self, rows, element, unreadable: 0, unreadable_values: 0 };
            let report = ingest::load(&state, &mut source, &mut |_| ControlFlow::Continue(()))?;
            (report.rows, source.unreadable, source.unreadable_values)
        };
        if values > 0 {
            self.give_up(format!("{values} values of metadata that are damaged are given up"));
        }
        if unreadable > 0 {
            self.give_up(format!("{unreadable} rows whose exact vectors are damaged are given up"));
        }
        self.give_up(format!("{kept} rows were copied into a new folder, for what stood in the old one is damaged"));
        Ok(Salvaged { state, given_up: self.given_up })
    }
}

/// The remaining rows as a source of a bulk load.
struct Source<'a> {
    remains: &'a Remains,
    rows: std::vec::IntoIter<(Seq, IdRef<'a>, Place)>,
    element: ElementType,
    unreadable: u64,
    unreadable_values: u64,
}

impl Source<'_> {
    fn read(&self, place: Place, out: &mut VectorBuf, scratch: &mut Vec<u8>) -> Result<()> {
        match place {
            Place::Deleted => Ok(()),
            Place::Segment(at, row) => {
                let segment = &self.remains.segments[at];
                // A row for itself: its own checksum counts, not that of the page around it.
                let mut vector = vec![0.0; self.remains.schema.dim];
                segment.read_row(row, &mut vector, scratch)?;
                match segment.element_type() {
                    ElementType::F32 => out.extend(&Vectors::F32(&vector)),
                    ElementType::F16 => {
                        let halves: Vec<f16> = vector.iter().map(|value| f16::from_f32(*value)).collect();
                        out.extend(&Vectors::F16(&halves));
                    }
                }
                Ok(())
            }
            Place::Record(at, row) => {
                let OwnedRecord::Upsert { vectors, .. } = &self.remains.records[at] else { return Ok(()) };
                let dim = self.remains.schema.dim;
                out.extend(&vectors.as_ref().slice(row * dim, (row + 1) * dim));
                Ok(())
            }
        }
    }
}

impl Source<'_> {
    /// Appends the payload of a row to `out`, without the values that are damaged.
    fn read_payload(&mut self, place: Place, out: &mut Columns, scratch: &mut Scratch) -> Result<()> {
        // What was forged, and not damaged, may have one field in two types.
        let fits = |name: &str, kind: FieldType| {
            out.get(name).is_none_or(|own| own.kind().takes(kind) || kind.takes(own.kind()))
        };
        let mut values = Columns::new(1);
        match place {
            Place::Segment(at, row) => {
                let segment = &self.remains.segments[at];
                for field in segment.fields() {
                    let mut column = Column::new(field.kind);
                    if !fits(&field.name, field.kind) {
                        self.unreadable_values += 1;
                        continue;
                    }
                    match segment.read_value(row, &field.name, &mut column, scratch) {
                        Ok(()) => values.add(&field.name, column)?,
                        Err(error) if error.kind() == ErrorKind::Corrupt => self.unreadable_values += 1,
                        Err(error) => return Err(error),
                    }
                }
            }
            Place::Record(at, row) => {
                let OwnedRecord::Upsert { payload: Some(payload), .. } = &self.remains.records[at] else {
                    out.push_row(None);
                    return Ok(());
                };
                for (name, column) in payload.iter() {
                    match fits(name, column.kind()) {
                        true => values.add(name, column.slice(row..row + 1))?,
                        false => self.unreadable_values += 1,
                    }
                }
            }
            Place::Deleted => return Ok(()),
        }
        out.push_row(Some((&values, 0)));
        Ok(())
    }
}

impl RowSource for Source<'_> {
    fn rows_total(&self) -> Option<u64> {
        None
    }

    fn next(&mut self) -> Result<Option<RowBatch>> {
        if self.rows.len() == 0 {
            return Ok(None);
        }
        let mut ids = Ids::empty(self.remains.schema.id_type);
        let mut vectors = VectorBuf::with_capacity(self.element, 0);
        let (mut payload, mut scratch, mut values) = (Columns::default(), Vec::new(), Scratch::default());
        while ids.len() < BATCH_ROWS
            && let Some((_, id, place)) = self.rows.next()
        {
            match self.read(place, &mut vectors, &mut scratch) {
                Ok(()) => {
                    ids.push(id);
                    self.read_payload(place, &mut payload, &mut values)?;
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => self.unreadable += 1,
                Err(error) => return Err(error),
            }
        }
        let vectors = match vectors {
            VectorBuf::F32(values) => BatchVectors::F32(values),
            VectorBuf::F16(values) => BatchVectors::F16(values),
        };
        payload.level();
        Ok(Some(RowBatch { ids, vectors, payload: Some(payload) }))
    }
}
