//! A chain of numbered immutable files, the newest of which counts.
//!
//! Layer 4; manifests and catalogs are chains. A file is sealed (`format::seal`), and its body begins with its number
//! and the digest of the file before it. A commit whose outcome is unknown is resolved by reading back: not there means
//! it can be tried again, there with other bytes means another writer has taken over, there with these bytes means that it
//! was committed once its name is durable; where that fails, the chain is poisoned.

use crate::error::{Error, ErrorKind, Result};
use crate::format::{ByteReader, FileId, Header, digest, open_sealed, seal};
use crate::storage::{Backend, names};
use std::sync::Arc;

/// Files of a chain that are kept: the newest, and two that a reader may still hold or an operator return to.
pub const MANIFESTS_KEPT: usize = 3;

/// Bytes of a body before the message: number and digest.
const PREFIX_BYTES: usize = 16;

/// The newest file of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Newest {
    number: u64,
    digest: u64,
}

/// Reads and extends one chain.
pub(super) struct Chain {
    backend: Arc<dyn Backend>,
    folder: &'static str,
    magic: [u8; 8],
    /// Whose chain it is; learnt from the newest file when it is not known before.
    identity: Option<u128>,
    newest: Option<Newest>,
    poison: Option<String>,
}

/// One file of a chain.
pub(super) struct Link {
    pub(super) name: String,
    pub(super) number: u64,
    pub(super) identity: u128,
    pub(super) message: Vec<u8>,
    previous: u64,
    digest: u64,
}

impl Link {
    /// A Corrupt error about the message.
    pub(super) fn corrupt(&self, error: impl std::fmt::Display) -> Error {
        Error::corrupt(format!("{}: offset 88: {error}", self.name))
    }
}

impl Chain {
    pub(super) fn new(
        backend: Arc<dyn Backend>,
        folder: &'static str,
        magic: [u8; 8],
        identity: Option<u128>,
    ) -> Chain {
        Chain { backend, folder, magic, identity, newest: None, poison: None }
    }

    /// The newest file, or none when the chain has none; durable before a writer builds on it, as its committer may have
    /// been killed between its name and the fsync of the folder. The one before it is checked against the digest in it, unless
    /// it is gone or unreadable itself: nothing depends on it any more.
    pub(super) fn load_newest(&mut self) -> Result<Option<Link>> {
        let numbers = self.numbers()?;
        let Some(&number) = numbers.last() else {
            self.newest = None;
            return Ok(None);
        };
        let link = self.load(number)?;
        if !self.backend.read_only() {
            self.backend.settle(self.folder)?;
        }
        if let Some(before) = number.checked_sub(1).filter(|before| numbers.contains(before)) {
            match self.load(before) {
                Ok(before) => check_chained(&before, &link)?,
                Err(error) if error.kind() == ErrorKind::Corrupt || error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        self.identity = Some(link.identity);
        self.newest = Some(Newest { number, digest: link.digest });
        Ok(Some(link))
    }

    /// The newest file that can be read, for salvage: the next commit goes above all that are there. Also tells whether
    /// a newer one is damaged.
    pub(super) fn load_newest_sound(&mut self) -> Result<(Option<Link>, bool)> {
        let numbers = self.numbers()?;
        for &number in numbers.iter().rev() {
            match self.load(number) {
                Ok(link) => {
                    let newest = numbers.last().copied().unwrap_or(number);
                    self.identity = Some(link.identity);
                    // A digest that no file has: what a damaged one had is not known.
                    let digest = if newest == number { link.digest } else { 0 };
                    self.newest = Some(Newest { number: newest, digest });
                    return Ok((Some(link), newest != number));
                }
                Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        self.newest = numbers.last().map(|&number| Newest { number, digest: 0 });
        Ok((None, !numbers.is_empty()))
    }

    /// Number that the next commit must have.
    pub(super) fn next_number(&self) -> u64 {
        self.newest.map_or(1, |newest| newest.number + 1)
    }

    /// Adds file `number`, durable on return, and deletes what is no longer kept. After an error nothing has changed,
    /// or the chain refuses further commits.
    pub(super) fn commit(&mut self, identity: u128, number: u64, message: &[u8]) -> Result<()> {
        if let Some(reason) = &self.poison {
            return Err(Error::new(
                ErrorKind::Io,
                format!(
                    "it is unknown whether a commit reached the disk ({reason}): close the database and open it again"
                ),
            ));
        }
        if number != self.next_number() || self.identity.is_some_and(|known| known != identity) {
            return Err(Error::internal(format!(
                "{} {number} of {identity:032x} does not follow: {} is next",
                self.folder,
                self.next_number()
            )));
        }
        let mut body = Vec::with_capacity(message.len() + PREFIX_BYTES);
        body.extend_from_slice(&number.to_le_bytes());
        body.extend_from_slice(&self.newest.map_or(0, |newest| newest.digest).to_le_bytes());
        body.extend_from_slice(message);
        let file = FileId::numbered(&self.magic, identity, number);
        let bytes = seal(&Header::new(self.magic, identity, file), &body);
        let name = names::numbered(self.folder, number);
        if let Err(error) = self.backend.put_if_absent(&name, &bytes) {
            self.resolve(&name, &bytes, error)?;
        }
        self.identity = Some(identity);
        self.newest = Some(Newest { number, digest: digest(&bytes) });
        self.delete_old();
        Ok(())
    }

    /// What became of a commit that ended with `error`.
    fn resolve(&mut self, name: &str, bytes: &[u8], error: Error) -> Result<()> {
        match self.backend.read(name) {
            Err(read) if read.kind() == ErrorKind::NotFound => Err(error),
            Ok(found) if found != bytes => {
                let message = format!("{name} was committed by another writer: open the database again");
                self.poison = Some(message.clone());
                Err(Error::new(ErrorKind::Fenced, message).with_source(error))
            }
            // An object has its name when it is whole and durable.
            Ok(_) if self.backend.settle(self.folder).is_ok() => Ok(()),
            _ => {
                self.poison = Some(error.message().to_owned());
                Err(error)
            }
        }
    }

    /// Every damage and gap in the chain, as messages; empty when it is sound.
    pub(super) fn problems(&self) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        let mut before: Option<Link> = None;
        let numbers = self.numbers()?;
        // Older ones wait to be deleted; a power loss may bring some of them back.
        let kept = numbers.last().map_or(0, |newest| newest.saturating_sub(MANIFESTS_KEPT as u64 - 1));
        for number in numbers {
            let link = match self.load(number) {
                Ok(link) => link,
                Err(error) if error.kind() == ErrorKind::Io => return Err(error),
                Err(error) => {
                    problems.push(error.message().to_owned());
                    before = None;
                    continue;
                }
            };
            if let Some(before) = &before {
                if before.number + 1 != number && number > kept {
                    problems.push(format!("{}: the file before it is missing", link.name));
                } else if before.number + 1 == number
                    && let Err(error) = check_chained(before, &link)
                {
                    problems.push(error.message().to_owned());
                }
            }
            before = Some(link);
        }
        Ok(problems)
    }

    /// Names of the files present, oldest first.
    pub(super) fn files(&self) -> Result<Vec<String>> {
        Ok(self.numbers()?.into_iter().map(|number| names::numbered(self.folder, number)).collect())
    }

    fn numbers(&self) -> Result<Vec<u64>> {
        Ok(names::numbers(self.folder, &self.backend.list(self.folder)?))
    }

    pub(super) fn load(&self, number: u64) -> Result<Link> {
        let name = names::numbered(self.folder, number);
        let bytes = self.backend.read_sealed(&name)?;
        let (header, mut body) = open_sealed(&name, &bytes, &self.magic, None)?;
        if let Some(identity) = self.identity {
            header.check_database(&name, identity)?;
        }
        header.check_file(&name, FileId::numbered(&self.magic, header.database, number))?;
        check_number(&mut body, number)?;
        let previous = body.u64()?;
        let message = body.bytes(body.remaining())?.to_vec();
        Ok(Link { number, identity: header.database, message, previous, digest: digest(&bytes), name })
    }

    /// A file that cannot be deleted costs room, and is tried again by the next commit.
    fn delete_old(&self) {
        let Ok(numbers) = self.numbers() else { return };
        for number in numbers.iter().rev().skip(MANIFESTS_KEPT) {
            if let Err(error) = self.backend.delete(&names::numbered(self.folder, *number)) {
                tracing::debug!(number, %error, "an old manifest stays");
            }
        }
    }
}

fn check_number(body: &mut ByteReader<'_>, number: u64) -> Result<()> {
    let start = body.clone();
    match body.u64()? {
        found if found == number => Ok(()),
        found => Err(start.corrupt(format_args!("the file is number {found}"))),
    }
}

fn check_chained(before: &Link, link: &Link) -> Result<()> {
    if link.previous == before.digest {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "{}: offset 80: it was not written after {}: was one replaced?",
        link.name, before.name
    )))
}
