//! What collections hold: the vector and metadata of an id's version, and a collection read in every way.

use crate::timeline::{Rows, State};
use drift_core::db::{Collection, Database};
use drift_core::error::{Error, Result};
use drift_core::types::{
    Column, Columns, EXPIRES_FIELD, FieldType, HitIds, Ids, Include, Missing, SearchOptions, Value, never_interrupt,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

pub const DIM: usize = 8;

/// Everything that is found or allowed in a database, by collection.
pub type Contents = BTreeMap<&'static str, Rows>;

/// Rows whose vector and metadata were compared with those of their id and version, in the whole process.
pub static COMPARED: AtomicU64 = AtomicU64::new(0);

/// Names that collections have; what has another name was not made by a test.
pub const NAMES: [&str; 2] = ["a", "b"];

/// The states that each collection may be in.
pub type Allowed = BTreeMap<&'static str, Vec<State>>;

/// The vector of an id's version; both can be read off it, and the rest shows any mixture of rows.
pub fn vector(id: i64, version: u64) -> [f32; DIM] {
    std::array::from_fn(|at| match at {
        0 => id as f32,
        1 => version as f32,
        _ => ((id as u64 * 37 + version * 101 + at as u64 * 11) % 64) as f32 / 16.0,
    })
}

pub fn values(ids: &[i64], version: u64) -> Vec<f32> {
    ids.iter().flat_map(|id| vector(*id, version)).collect()
}

/// Metadata that tell id and version, the latter under a name that not every row has.
pub fn payload(ids: &[i64], version: u64) -> Columns {
    let (mut name, mut number) = (Column::new(FieldType::Str), Column::new(FieldType::Int));
    ids.iter().for_each(|id| name.push(Value::Str(&format!("{id} at {version}"))));
    ids.iter().for_each(|_| number.push(Value::Int(version as i64)));
    let mut columns = Columns::new(ids.len());
    columns.add("name", name).expect("a column");
    columns.add(if version.is_multiple_of(3) { "third" } else { "number" }, number).expect("a column");
    columns
}

/// The same of rows that expired before the simulation's one moment.
pub fn expired(ids: &[i64], version: u64) -> Columns {
    let mut expires = Column::new(FieldType::Timestamp);
    ids.iter().for_each(|id| expires.push(Value::Timestamp(-1 - *id)));
    let mut columns = payload(ids, version);
    columns.add(EXPIRES_FIELD, expires).expect("a column");
    columns
}

pub fn with(rows: &State, ids: &[i64], version: u64) -> State {
    let mut rows = rows.clone()?;
    rows.extend(ids.iter().map(|id| (*id, version)));
    Some(rows)
}

pub fn without(rows: &State, ids: &[i64]) -> State {
    let mut rows = rows.clone()?;
    rows.retain(|id, _| !ids.contains(id));
    Some(rows)
}

/// A search as users make it: ids are there and distinct, the nearest row of all is found where it is asked for.
pub fn search(collection: &Collection, id: i64, version: u64) -> Result<()> {
    let options = SearchOptions { k: 5, ..SearchOptions::default() };
    let hits = collection.search(&vector(id, version), &options, &never_interrupt)?;
    let HitIds::Int(found) = hits.ids else { return Err(Error::internal("hits are no integers")) };
    let mut found: Vec<i64> = found.into_iter().filter(|id| *id >= 0).collect();
    let count = found.len();
    if count as u64 != collection.len()?.min(5) {
        return Err(Error::internal(format!("a search for 5 rows finds {count} of {}", collection.len()?)));
    }
    collection.get(&Ids::Int(found.clone()), Missing::Error, &Include::Nothing)?;
    found.sort_unstable();
    found.dedup();
    if found.len() == count { Ok(()) } else { Err(Error::internal("a search finds an id twice")) }
}

/// Reads a collection in every way and checks that all agree.
pub fn read(collection: &Collection) -> Result<Rows> {
    let wrong = |what: String| Error::internal(format!("collection {:?}: {what}", collection.name()));
    let Ids::Int(ids) = collection.ids()? else { return Err(wrong("its ids are no integers".to_owned())) };
    let found = collection.get(&Ids::Int(ids.clone()), Missing::Error, &Include::All)?;
    let value = |name: &str, row: usize| found.payload.get(name).map_or(Value::Null, |column| column.get(row));
    let mut rows = Rows::new();
    for (row, (id, values)) in ids.iter().zip(found.vectors.chunks_exact(DIM)).enumerate() {
        let version = values[1] as u64;
        let field = if version.is_multiple_of(3) { "third" } else { "number" };
        let name = format!("{id} at {version}");
        if value("name", row) != Value::Str(&name) || value(field, row) != Value::Int(version as i64) {
            return Err(wrong(format!("id {id} at {version} has the metadata {:?}", value("name", row))));
        }
        if values != vector(*id, version) {
            return Err(wrong(format!("id {id} has the vector {values:?}")));
        }
        if rows.insert(*id, version).is_some() {
            return Err(wrong(format!("id {id} is there twice")));
        }
    }
    COMPARED.fetch_add(rows.len() as u64, Ordering::Relaxed);
    if collection.len()? != rows.len() as u64 {
        return Err(wrong(format!("it has {} ids, but len() is {}", rows.len(), collection.len()?)));
    }
    // One row beyond all there are: the search must return each of them, and nothing else.
    let options = SearchOptions { k: rows.len() + 1, exact: true, ..SearchOptions::default() };
    let hits = collection.search(&vector(3, 3), &options, &never_interrupt)?;
    let HitIds::Int(mut hits) = hits.ids else { return Err(wrong("hits are no integers".to_owned())) };
    hits.retain(|id| *id >= 0);
    hits.sort_unstable();
    if !hits.iter().eq(rows.keys()) {
        return Err(wrong(format!("exact search finds {hits:?}, ids() has {:?}", rows.keys())));
    }
    Ok(rows)
}

/// Reads all collections, calling `opened` after each was opened.
pub fn read_all(database: &Database, mut opened: impl FnMut(&'static str)) -> Result<Contents> {
    let mut contents = Contents::new();
    for name in database.collections()? {
        let known = NAMES.into_iter().find(|known| *known == name);
        let known = known.ok_or_else(|| Error::internal(format!("nobody made collection {name:?}")))?;
        let collection = database.open_collection(known)?;
        opened(known);
        contents.insert(known, read(&collection)?);
    }
    Ok(contents)
}

/// Verifies all collections: an error names the first problem.
pub fn verify_all(database: &Database) -> Result<()> {
    for name in database.collections()? {
        let report = database.open_collection(&name)?.verify()?;
        if let Some(problem) = report.problems.first() {
            return Err(Error::internal(format!("verify: {problem}")));
        }
    }
    Ok(())
}

/// Checks that every collection is in a state that is allowed.
pub fn check_allowed(contents: &Contents, allowed: &Allowed) -> Result<()> {
    allowed.iter().try_for_each(|(name, states)| check_state(name, &contents.get(name).cloned(), states))
}

pub fn check_state(name: &str, state: &State, allowed: &[State]) -> Result<()> {
    if allowed.contains(state) {
        return Ok(());
    }
    Err(Error::internal(format!("collection {name:?} is {state:?}, allowed is one of {allowed:?}")))
}
