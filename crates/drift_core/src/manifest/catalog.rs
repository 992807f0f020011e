//! What a catalog says: the collections of a database.
//!
//! Layer 4. A collection's folder is named by a uuid, so that a name can be used again at once after a drop.

use super::store::Numbered;
use crate::error::{Error, Result};
use crate::format::FileKind;
use crate::storage::names;

/// The collections of a database.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Catalog {
    /// Number of this catalog, from 1.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// Digest of the catalog before.
    #[prost(uint64, tag = "2")]
    pub previous_digest: u64,
    /// The collections, in order of creation.
    #[prost(message, repeated, tag = "3")]
    pub collections: Vec<CatalogEntry>,
}

/// A collection.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CatalogEntry {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its uuid, sixteen bytes little-endian; names its folder and stands in all its files.
    #[prost(bytes = "vec", tag = "2")]
    pub id: Vec<u8>,
}

impl CatalogEntry {
    /// The collection's uuid.
    pub fn uuid(&self) -> Result<u128> {
        let bytes =
            self.id.as_slice().try_into().map_err(|_| Error::corrupt("a catalog names a collection without uuid"))?;
        Ok(u128::from_le_bytes(bytes))
    }
}

impl Numbered for Catalog {
    const KIND: FileKind = FileKind::Catalog;
    const FOLDER: &'static str = names::CATALOG;

    fn number(&self) -> u64 {
        self.number
    }

    fn link(&mut self, number: u64, previous_digest: u64) {
        (self.number, self.previous_digest) = (number, previous_digest);
    }

    fn previous_digest(&self) -> u64 {
        self.previous_digest
    }
}
