//! Numbered immutable states, each linked to the one before: load the newest, commit the next.
//!
//! Layer 4. Serves manifests and catalogs alike.

use crate::error::{Error, Result};
use crate::format::{FileKind, Header, frame, unframe};
use crate::storage::{Backend, names};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// States kept behind the newest: a reader that opens while a writer commits still finds the one it listed.
const KEPT: u64 = 3;

/// A state with a number and a link to the one before.
pub trait Numbered: prost::Message + Default + Clone {
    /// Kind of its file.
    const KIND: FileKind;
    /// Folder of its files.
    const FOLDER: &'static str;
    /// Its number.
    fn number(&self) -> u64;
    /// Sets its number and the digest of the state before.
    fn link(&mut self, number: u64, previous_digest: u64);
    /// Digest of the state before.
    fn previous_digest(&self) -> u64;
}

/// Reads and commits states of one kind.
pub struct NumberedStore<T> {
    backend: Arc<dyn Backend>,
    owner: u128,
    digest: u64,
    _state: std::marker::PhantomData<fn() -> T>,
}

impl<T: Numbered> NumberedStore<T> {
    /// A store for states of `owner`; nothing is read.
    pub fn new(backend: Arc<dyn Backend>, owner: u128) -> NumberedStore<T> {
        NumberedStore { backend, owner, digest: 0, _state: std::marker::PhantomData }
    }

    /// Numbers of the states there are, ascending.
    pub fn numbers(&self) -> Result<Vec<u64>> {
        let mut numbers: Vec<u64> =
            self.backend.list(T::FOLDER)?.iter().filter_map(|name| names::parse_number(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The newest state, or none where none was ever committed.
    pub fn load_newest(&mut self) -> Result<Option<T>> {
        let numbers = self.numbers()?;
        let Some(&newest) = numbers.last() else { return Ok(None) };
        let (state, digest) = self.read(newest)?;
        if numbers.len() > 1 && numbers[numbers.len() - 2] == newest - 1 {
            let (_, before) = self.read(newest - 1)?;
            if state.previous_digest() != before {
                return Err(Error::corrupt(format!("{} does not follow the one before it", self.name(newest))));
            }
        }
        self.digest = digest;
        Ok(Some(state))
    }

    /// State `number` and the digest of its file.
    pub fn read(&self, number: u64) -> Result<(T, u64)> {
        let name = self.name(number);
        let bytes = self.backend.read(&names::numbered(T::FOLDER, number))?;
        let body = unframe(&self.header(number), &bytes, &name)?;
        let state = T::decode(body).map_err(|error| Error::corrupt(format!("{name}: {error}")))?;
        if state.number() != number {
            return Err(Error::corrupt(format!("{name} says that it is number {}", state.number())));
        }
        Ok((state, xxh3_64(&bytes)))
    }

    /// Makes `state` the newest, durably; it gets the number after `after`, which is 0 for the first.
    pub fn commit(&mut self, mut state: T, after: u64) -> Result<T> {
        let number = after + 1;
        state.link(number, self.digest);
        let bytes = frame(&self.header(number), &state.encode_to_vec());
        self.backend.put_if_absent(&names::numbered(T::FOLDER, number), &bytes)?;
        self.digest = xxh3_64(&bytes);
        if number > KEPT {
            // What is left behind is tried again by the next commit, and harmless.
            for old in self.numbers().unwrap_or_default().into_iter().filter(|old| *old <= number - KEPT) {
                let _ = self.backend.delete(&names::numbered(T::FOLDER, old));
            }
        }
        Ok(state)
    }

    fn header(&self, number: u64) -> Header {
        Header { kind: T::KIND, owner: self.owner, file: u128::from(number) }
    }

    fn name(&self, number: u64) -> String {
        format!("{}/{}", self.backend.describe(), names::numbered(T::FOLDER, number))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;
    use super::*;
    use crate::error::ErrorKind;
    use crate::storage::MemoryBackend;
    use crate::types::{IdType, Metric, Schema};

    fn store(backend: &MemoryBackend) -> NumberedStore<Manifest> {
        NumberedStore::new(Arc::new(backend.clone()), 1)
    }

    fn first() -> Manifest {
        Manifest::first(&Schema::new(4, Metric::Dot, IdType::Str).expect("a schema"), 3)
    }

    #[test]
    fn the_newest_commit_is_loaded_and_old_ones_go() {
        let backend = MemoryBackend::named("");
        let mut writer = store(&backend);
        let mut state = writer.commit(first(), 0).expect("first");
        for _ in 0..11 {
            let number = state.number;
            state = writer.commit(state, number).expect("next");
        }
        let loaded = store(&backend).load_newest().expect("load").expect("there are some");
        assert_eq!((loaded.number, loaded.dim), (12, 4));
        assert_eq!(writer.numbers().expect("list"), [10, 11, 12]);
    }

    #[test]
    fn two_writers_cannot_both_commit() {
        let backend = MemoryBackend::named("");
        store(&backend).commit(first(), 0).expect("the first one");
        let error = store(&backend).commit(first(), 0).expect_err("the second one");
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_damaged_newest_manifest_is_an_error() {
        let backend = MemoryBackend::named("");
        let mut writer = store(&backend);
        let state = writer.commit(first(), 0).expect("first");
        writer.commit(state, 1).expect("second");
        let name = names::numbered(names::MANIFESTS, 2);
        let bytes = backend.read(&name).expect("read");
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            backend.delete(&name).expect("delete");
            backend.put_if_absent(&name, &damaged).expect("put");
            assert!(store(&backend).load_newest().is_err(), "byte {at}");
        }
    }
}
