//! What collections hold: the vector and metadata of an id's version, and a collection read in every way.

use crate::timeline::{Rows, State};
use drift_core::clock::Rng;
use drift_core::db::{Collection, Database};
use drift_core::error::{Error, Result};
use drift_core::types::{
    Column, Columns, Confidence, EXPIRES_FIELD, Estimate, FieldType, HitIds, Ids, Include, Missing, SearchOptions,
    Value, never_interrupt,
};
use rand::RngExt;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Dimension of most collections.
pub const DIM: usize = 8;

/// Dimension of the others: above 64, from which on searches read 1-bit codes first, and no whole number of their blocks.
const WIDE_DIM: usize = 65;

/// One in so many databases is wide: a row costs eight times as many bytes.
const WIDE_ONE_IN: u32 = 4;

/// Rows up to which every search looks into all buckets, so that none is missing where more are asked for.
const SEARCHED_WHOLE_ROWS: usize = 1_000;

/// Distances that differ by less than this share are the same: sums in another order.
const SAME_SHARE: f32 = 1e-4;

/// Everything that is found or allowed in a database, by collection.
pub type Contents = BTreeMap<&'static str, Rows>;

/// Rows whose vector and metadata were compared with those of their id and version, in the whole process.
pub static COMPARED: AtomicU64 = AtomicU64::new(0);

/// Names that collections have; what has another name was not made by a test.
pub const NAMES: [&str; 2] = ["a", "b"];

/// The states that each collection may be in.
pub type Allowed = BTreeMap<&'static str, Vec<State>>;

/// The dimension of a database.
pub fn draw_dim(rng: &mut Rng) -> usize {
    if rng.random_ratio(1, WIDE_ONE_IN) { WIDE_DIM } else { DIM }
}

/// The vector of an id's version; both can be read off it, and the rest shows any mixture of rows.
pub fn vector(id: i64, version: u64, dim: usize) -> Vec<f32> {
    let value = |at| match at {
        0 => id as f32,
        1 => version as f32,
        _ => ((id as u64 * 37 + version * 101 + at as u64 * 11) % 64) as f32 / 16.0,
    };
    (0..dim).map(value).collect()
}

pub fn values(ids: &[i64], version: u64, dim: usize) -> Vec<f32> {
    ids.iter().flat_map(|id| vector(*id, version, dim)).collect()
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

/// Ids and distances that a search for the vector of an id's version finds, nearest first.
fn hits(collection: &Collection, id: i64, version: u64, options: &SearchOptions) -> Result<(Vec<i64>, Vec<f32>)> {
    let query = vector(id, version, collection.schema().dim);
    let hits = collection.search(&query, options, &never_interrupt)?;
    let HitIds::Int(mut ids) = hits.ids else { return Err(Error::internal("hits are no integers")) };
    ids.retain(|id| *id >= 0);
    let distances = hits.distances[..ids.len()].to_vec();
    Ok((ids, distances))
}

/// Whether these are the distances of the nearest rows to the vector of an id's version.
fn are_nearest(distances: &[f32], rows: &Rows, id: i64, version: u64, dim: usize) -> bool {
    let query = vector(id, version, dim);
    let distance = |(id, version): (&i64, &u64)| -> f32 {
        vector(*id, *version, dim).iter().zip(&query).map(|(a, b)| (a - b) * (a - b)).sum()
    };
    let mut nearest: Vec<f32> = rows.iter().map(distance).collect();
    nearest.sort_by(f32::total_cmp);
    distances.iter().zip(&nearest).all(|(found, truth)| (found - truth).abs() <= SAME_SHARE * truth.max(1.0))
}

/// Searches as users make them: ids are there and distinct, as many as asked for; and with a recall of 1 the nearest ones.
pub fn search(collection: &Collection, id: i64, version: u64) -> Result<()> {
    let rows = read(collection)?;
    for recall in [None, Some(1.0)] {
        let options = SearchOptions { k: 5, recall, ..SearchOptions::default() };
        let (mut found, distances) = hits(collection, id, version, &options)?;
        let count = found.len();
        if count != rows.len().min(5) {
            return Err(Error::internal(format!("a search for 5 rows finds {count} of {}", rows.len())));
        }
        if recall.is_some() && !are_nearest(&distances, &rows, id, version, collection.schema().dim) {
            return Err(Error::internal(format!("a search with recall 1 finds {found:?} at {distances:?}")));
        }
        found.sort_unstable();
        found.dedup();
        if found.len() != count || !found.iter().all(|id| rows.contains_key(id)) {
            return Err(Error::internal(format!("a search finds an id twice or one that is not there: {found:?}")));
        }
    }
    Ok(())
}

/// Searches for one row more than there are, which must return every one: by the exact vectors; by the SQ8 codes of all rows,
/// as where these are few; and bucket by bucket, by the codes that are kept for that. Buckets that are all equally likely must
/// all be scanned for nearly all of the likelihood.
fn ways_to_find_all(rows: usize) -> Vec<SearchOptions> {
    let all = SearchOptions { k: rows + 1, ..SearchOptions::default() };
    let confidence = Confidence { target: 0.999_999, estimate: Estimate::Density { lambda: 0.0, tau: Some(0.0) } };
    let mut ways = vec![
        SearchOptions { exact: true, ..all.clone() },
        SearchOptions { confidence: Some(confidence), ..all.clone() },
    ];
    if rows <= SEARCHED_WHOLE_ROWS {
        ways.push(all);
    }
    ways
}

/// Reads a collection in every way and checks that all agree.
pub fn read(collection: &Collection) -> Result<Rows> {
    let wrong = |what: String| Error::internal(format!("collection {:?}: {what}", collection.name()));
    let Ids::Int(ids) = collection.ids()? else { return Err(wrong("its ids are no integers".to_owned())) };
    let found = collection.get(&Ids::Int(ids.clone()), Missing::Error, &Include::All)?;
    let dim = collection.schema().dim;
    let value = |name: &str, row: usize| found.payload.get(name).map_or(Value::Null, |column| column.get(row));
    let mut rows = Rows::new();
    for (row, (id, values)) in ids.iter().zip(found.vectors.chunks_exact(dim)).enumerate() {
        let version = values[1] as u64;
        let field = if version.is_multiple_of(3) { "third" } else { "number" };
        let name = format!("{id} at {version}");
        if value("name", row) != Value::Str(&name) || value(field, row) != Value::Int(version as i64) {
            return Err(wrong(format!("id {id} at {version} has the metadata {:?}", value("name", row))));
        }
        if values != vector(*id, version, dim) {
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
    for options in ways_to_find_all(rows.len()) {
        let (mut found, distances) = hits(collection, 3, 3, &options)?;
        if !are_nearest(&distances, &rows, 3, 3, dim) {
            return Err(wrong(format!("{options:?} finds {found:?} at {distances:?}")));
        }
        found.sort_unstable();
        if !found.iter().eq(rows.keys()) {
            return Err(wrong(format!("{options:?} finds {found:?}, ids() has {:?}", rows.keys())));
        }
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
