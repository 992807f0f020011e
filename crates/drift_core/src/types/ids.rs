//! External row ids: int64 >= 0 or UTF-8 strings, held as columns.
//!
//! Layer 0. A collection has one id type for ever. Columns keep a million ids in two allocations; [`IdRef`] is one
//! borrowed id, hashed the same way wherever it is looked up (memtable, bitstore, bloom filters).

use super::unknown_choice as unknown;
use crate::error::{Error, Result};
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// Longest string id in bytes: ids live in memory, and longer keys belong into a payload.
pub const ID_BYTES_MAX: usize = 1024;

/// What types of ids are called elsewhere.
const ID_TYPES: [(&str, &str); 11] = [
    ("int64", "int"),
    ("integer", "int"),
    ("uint64", "int"),
    ("i64", "int"),
    ("long", "int"),
    ("string", "str"),
    ("text", "str"),
    ("utf8", "str"),
    ("varchar", "str"),
    ("uuid", "str"),
    ("object", "str"),
];

/// Type of a collection's ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdType {
    /// int64, zero or greater.
    Int,
    /// UTF-8, 1 to [`ID_BYTES_MAX`] bytes.
    Str,
}

impl IdType {
    /// The name used in the Python API and in manifests.
    pub fn name(self) -> &'static str {
        match self {
            IdType::Int => "int",
            IdType::Str => "str",
        }
    }

    /// What to do with ids of the other type in a collection whose ids are of this one.
    pub fn hint(self) -> &'static str {
        match self {
            IdType::Int => "make them integers, or create the collection with id_type=\"str\"",
            IdType::Str => "make them strings, or create the collection with id_type=\"int\"",
        }
    }

    /// Reads a name as [`IdType::name`] writes it.
    pub fn parse(name: &str) -> Result<IdType> {
        match name {
            "int" => Ok(IdType::Int),
            "str" => Ok(IdType::Str),
            _ => Err(unknown("id_type", name, &["int", "str"], &ID_TYPES)),
        }
    }
}

/// One borrowed id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IdRef<'a> {
    /// An int64 id.
    Int(i64),
    /// A string id.
    Str(&'a str),
}

impl IdRef<'_> {
    /// 64-bit hash (xxh3) that the memtable, the bitstore and the bloom filters share. It is written to disk: it must
    /// never change.
    pub fn hash64(&self) -> u64 {
        match self {
            IdRef::Int(id) => xxh3_64(&id.to_le_bytes()),
            IdRef::Str(id) => xxh3_64(id.as_bytes()),
        }
    }
}

impl std::fmt::Display for IdRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            IdRef::Int(id) => write!(f, "{id}"),
            IdRef::Str(id) => write!(f, "{id:?}"),
        }
    }
}

/// A column of strings: one buffer and the end offset of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StrIds {
    text: String,
    // A segment may have more than 4 GiB of them.
    ends: Vec<u64>,
}

impl StrIds {
    /// Number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Appends one string.
    pub fn push(&mut self, id: &str) {
        self.text.push_str(id);
        self.ends.push(self.text.len() as u64);
    }

    /// The string at `row`. Panics when `row >= len`.
    pub fn get(&self, row: usize) -> &str {
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        &self.text[start..self.ends[row] as usize]
    }

    /// Bytes of heap memory in use.
    pub fn bytes(&self) -> usize {
        self.text.capacity() + 8 * self.ends.capacity()
    }
}

/// A column of ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ids {
    /// int64 ids.
    Int(Vec<i64>),
    /// String ids.
    Str(StrIds),
}

impl Ids {
    /// An empty column.
    pub fn empty(id_type: IdType) -> Ids {
        match id_type {
            IdType::Int => Ids::Int(Vec::new()),
            IdType::Str => Ids::Str(StrIds::default()),
        }
    }

    /// The type of the ids.
    pub fn id_type(&self) -> IdType {
        match self {
            Ids::Int(_) => IdType::Int,
            Ids::Str(_) => IdType::Str,
        }
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        match self {
            Ids::Int(ids) => ids.len(),
            Ids::Str(ids) => ids.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id at `row`. Panics when `row >= len`.
    pub fn get(&self, row: usize) -> IdRef<'_> {
        match self {
            Ids::Int(ids) => IdRef::Int(ids[row]),
            Ids::Str(ids) => IdRef::Str(ids.get(row)),
        }
    }

    /// The bytes that [`Ids::get`] reads first. Panics when `row >= len`.
    pub fn head(&self, row: usize) -> &[u8] {
        match self {
            Ids::Int(ids) => bytemuck::bytes_of(&ids[row]),
            Ids::Str(ids) => bytemuck::bytes_of(&ids.ends[row]),
        }
    }

    /// Appends one id. Panics when its type is not the column's: callers check types at the door.
    pub fn push(&mut self, id: IdRef<'_>) {
        match (self, id) {
            (Ids::Int(ids), IdRef::Int(id)) => ids.push(id),
            (Ids::Str(ids), IdRef::Str(id)) => ids.push(id),
            _ => panic!("invariant: the id's type was checked against the column's"),
        }
    }

    /// All ids in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = IdRef<'_>> {
        (0..self.len()).map(|row| self.get(row))
    }

    /// The first id that comes a second time, and both of its rows.
    pub fn repeated(&self) -> Option<(IdRef<'_>, usize, usize)> {
        let mut seen = HashMap::with_capacity(self.len());
        self.iter().enumerate().find_map(|(row, id)| seen.insert(id, row).map(|first| (id, first, row)))
    }

    /// Bytes of heap memory in use.
    pub fn bytes(&self) -> usize {
        match self {
            Ids::Int(ids) => 8 * ids.capacity(),
            Ids::Str(ids) => ids.bytes(),
        }
    }

    /// Checks type, range and length of every id; the error names the row.
    pub fn validate(&self, expected: IdType) -> Result<()> {
        if self.id_type() != expected {
            return Err(Error::invalid(format!(
                "ids are {}, but the collection's id_type is {}: {}",
                self.id_type().name(),
                expected.name(),
                expected.hint()
            )));
        }
        match self {
            Ids::Int(ids) => match ids.iter().position(|&id| id < 0) {
                Some(row) => {
                    Err(Error::invalid(format!("id {} at row {row} is negative: ids are int64 >= 0", ids[row])))
                }
                None => Ok(()),
            },
            Ids::Str(ids) => {
                let bad = (0..ids.len()).find(|&row| !(1..=ID_BYTES_MAX).contains(&ids.get(row).len()));
                match bad {
                    Some(row) => Err(Error::invalid(format!(
                        "id at row {row} has {} bytes: string ids have 1 to {ID_BYTES_MAX}",
                        ids.get(row).len()
                    ))),
                    None => Ok(()),
                }
            }
        }
    }
}
