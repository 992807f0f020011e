//! The catalog of a database: which collections it has and where.
//!
//! Layer 4. A chain like that of manifests, at the top of the database. A collection exists from the commit that names
//! it and is gone with the commit that does not; its folder is filled before and deleted after.

use super::chain::{Chain, Link};
use super::messages::{CatalogEntryMessage, CatalogMessage, identity_bytes, identity_from};
use crate::error::{Error, Result};
use crate::format::magic;
use crate::storage::{Backend, names};
use prost::Message;
use std::collections::HashSet;
use std::sync::Arc;

/// Dropped collections that a catalog remembers. Their folders are deleted at once, or by the next opening: one that comes
/// back after a power loss is among the last few.
const DROPPED_MAX: usize = 1_024;

/// The collections of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    /// Number in the chain, from 1.
    pub number: u64,
    /// Identity of the database.
    pub database: u128,
    /// Its collections, names distinct.
    pub collections: Vec<CatalogEntry>,
    /// Identities of collections that are to go unless they are named: dropped, or not finished; the last ones. What is neither
    /// named nor among these was named by a catalog that is lost.
    pub dropped: Vec<u128>,
}

/// A collection of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogEntry {
    /// What its users call it.
    pub name: String,
    /// Its identity, which names its folder (`names::collection_dir`).
    pub folder: u128,
}

impl Catalog {
    /// The first catalog of a new database.
    pub fn first(database: u128) -> Catalog {
        Catalog { number: 1, database, collections: Vec::new(), dropped: Vec::new() }
    }

    /// The collection called `name`.
    pub fn find(&self, name: &str) -> Option<&CatalogEntry> {
        self.collections.iter().find(|entry| entry.name == name)
    }

    /// The next catalog, in which a collection is to go.
    pub fn without(&self, folder: u128) -> Catalog {
        let mut next = Catalog { number: self.number + 1, ..self.clone() };
        next.collections.retain(|entry| entry.folder != folder);
        next.dropped.push(folder);
        let excess = next.dropped.len().saturating_sub(DROPPED_MAX);
        next.dropped.drain(..excess);
        next
    }

    /// The next catalog, in which a collection has another folder.
    pub fn replaced(&self, old: u128, new: u128) -> Catalog {
        let mut next = self.without(old);
        next.collections.clone_from(&self.collections);
        next.collections.iter_mut().filter(|entry| entry.folder == old).for_each(|entry| entry.folder = new);
        next
    }

    fn encode(&self) -> Vec<u8> {
        let entry = |entry: &CatalogEntry| CatalogEntryMessage {
            name: entry.name.clone(),
            folder: identity_bytes(entry.folder),
        };
        let dropped = self.dropped.iter().map(|folder| identity_bytes(*folder)).collect();
        CatalogMessage { collections: self.collections.iter().map(entry).collect(), dropped }.encode_to_vec()
    }

    fn decode(link: &Link) -> Result<Catalog> {
        let message = CatalogMessage::decode(link.message.as_slice()).map_err(|error| link.corrupt(error))?;
        let entries = message.collections.into_iter().map(|entry| {
            let folder = identity_from(&entry.folder).map_err(|error| link.corrupt(error))?;
            Ok(CatalogEntry { name: entry.name, folder })
        });
        let collections = entries.collect::<Result<_>>()?;
        let dropped = message.dropped.iter().map(|folder| identity_from(folder).map_err(|error| link.corrupt(error)));
        let dropped = dropped.collect::<Result<_>>()?;
        let catalog = Catalog { number: link.number, database: link.identity, collections, dropped };
        catalog.check().map_err(|problem| link.corrupt(problem))?;
        Ok(catalog)
    }

    fn check(&self) -> std::result::Result<(), String> {
        let printable = |entry: &&CatalogEntry| !entry.name.is_empty() && !entry.name.contains(char::is_control);
        if let Some(entry) = self.collections.iter().find(|entry| !printable(entry)) {
            return Err(format!("{:?} cannot name a collection", entry.name));
        }
        let (mut names, mut folders) = (HashSet::new(), HashSet::new());
        match self.collections.iter().find(|entry| !names.insert(&entry.name) || !folders.insert(entry.folder)) {
            Some(twice) => Err(format!("collection {:?} or its folder is named twice", twice.name)),
            None => Ok(()),
        }
    }
}

/// Reads and commits the catalogs of one database.
pub struct CatalogStore {
    chain: Chain,
}

impl CatalogStore {
    /// The catalogs of the database that `backend` holds.
    pub fn new(backend: Arc<dyn Backend>) -> CatalogStore {
        CatalogStore { chain: Chain::new(backend, names::CATALOGS, magic::CATALOG, None) }
    }

    /// The newest catalog, or none when there is none. A damaged one is Corrupt, naming the file.
    pub fn load_newest(&mut self) -> Result<Option<Catalog>> {
        self.chain.load_newest()?.map(|link| Catalog::decode(&link)).transpose()
    }

    /// The newest catalog that can be read, and the number of the newest file, be it damaged: the next commit has the one
    /// after it. For salvage.
    pub fn load_newest_sound(&mut self) -> Result<(Option<Catalog>, u64)> {
        let (link, _) = self.chain.load_newest_sound()?;
        Ok((link.map(|link| Catalog::decode(&link)).transpose()?, self.chain.next_number() - 1))
    }

    /// Commits `catalog`, as [`ManifestStore::commit`](super::ManifestStore::commit) does a manifest.
    pub fn commit(&mut self, catalog: &Catalog) -> Result<()> {
        catalog.check().map_err(|problem| Error::internal(format!("catalog {}: {problem}", catalog.number)))?;
        self.chain.commit(catalog.database, catalog.number, &catalog.encode())
    }

    /// Every damage and gap among the kept catalogs, as messages.
    pub fn problems(&self) -> Result<Vec<String>> {
        self.chain.problems()
    }

    /// Names of the kept catalogs, oldest first.
    pub fn files(&self) -> Result<Vec<String>> {
        self.chain.files()
    }
}
