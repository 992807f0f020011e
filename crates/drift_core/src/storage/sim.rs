//! A simulated disk, for tests that lose power, kill the process and let any call fail.
//!
//! Layer 3, behind the feature `sim`; it stands below `LocalBackend` in the place of `OsFs`. Every operation that
//! changes the disk or makes a change durable is recorded, so that after one run of a workload the disk can be had as
//! it was after any operation: with the page cache, as a killed process leaves it ([`SimFs::after_kill`]), or without,
//! as a power loss does ([`SimFs::after_power_loss`], which is the same for the same seed). Every call, reading ones
//! included, has a number by which it can be made to fail ([`SimFs::fail`]).

mod crash;
mod disk;

use super::fs::{DirEntry, Fs, FsFile};
use crate::clock;
use disk::{Disk, Node, Op, ROOT};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::io::{Error, ErrorKind, Result};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// What a call to the disk does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Creates a file or a folder.
    Create,
    /// Opens a file.
    Open,
    /// Gives a file a second name.
    Link,
    /// Removes a name.
    Remove,
    /// Lists a folder.
    List,
    /// Appends to a file.
    Write,
    /// Reads from a file, or asks for its length.
    Read,
    /// Makes a file durable.
    Sync,
    /// Makes the names in a folder durable.
    SyncFolder,
    /// Cuts a file.
    Truncate,
    /// Locks a file.
    Lock,
}

/// One call to the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What it does.
    pub action: Action,
    /// To which file or folder.
    pub path: PathBuf,
}

impl Call {
    /// Whether its path leads through a folder of this name, or ends in it.
    pub fn is_in(&self, folder: &str) -> bool {
        self.path.components().any(|part| part.as_os_str() == folder)
    }
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// EIO; nothing is done.
    Io,
    /// EIO of a sync; what was to be durable never is, though it can be read and later syncs report success.
    Lost,
    /// ENOSPC; nothing is done.
    Full,
    /// A part of the bytes is written, then ENOSPC.
    Short,
    /// It is done, and EIO is reported.
    IoAfter,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Fault; 5] = [Fault::Io, Fault::Lost, Fault::Full, Fault::Short, Fault::IoAfter];

    /// Whether a disk can fail so at this action.
    pub fn fits(self, action: Action) -> bool {
        match self {
            Fault::Io => true,
            Fault::Lost => action == Action::Sync,
            Fault::Full => {
                matches!(action, Action::Create | Action::Link | Action::Write | Action::Sync | Action::SyncFolder)
            }
            Fault::Short => action == Action::Write,
            Fault::IoAfter => {
                matches!(action, Action::Create | Action::Link | Action::Remove | Action::Write | Action::Truncate)
            }
        }
    }

    fn error(self) -> Error {
        match self {
            Fault::Io | Fault::Lost | Fault::IoAfter => Error::other("simulated EIO"),
            Fault::Full | Fault::Short => Error::new(ErrorKind::StorageFull, "simulated ENOSPC"),
        }
    }
}

/// Told of a call to the disk before it is made.
pub type Observer = Arc<dyn Fn(Action, &Path) + Send + Sync>;

/// A simulated disk. Clones share it.
#[derive(Clone)]
pub struct SimFs {
    state: Arc<Mutex<State>>,
    observer: Arc<Mutex<Option<Observer>>>,
}

struct State {
    /// The disk before the first operation.
    first: Disk,
    disk: Disk,
    operations: Vec<Op>,
    calls: Vec<Call>,
    fault: Option<(Range<u64>, Fault)>,
    locked: HashSet<Node>,
}

impl Default for SimFs {
    fn default() -> SimFs {
        SimFs::holding(Disk::empty())
    }
}

impl SimFs {
    fn holding(disk: Disk) -> SimFs {
        let state = State {
            first: disk.clone(),
            disk,
            operations: Vec::new(),
            calls: Vec::new(),
            fault: None,
            locked: HashSet::new(),
        };
        SimFs { state: Arc::new(Mutex::new(state)), observer: Arc::default() }
    }

    /// Number of operations done so far: changes, and syncs.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations.len() as u64
    }

    /// Number of calls so far.
    pub fn calls(&self) -> u64 {
        self.state.lock().calls.len() as u64
    }

    /// Call number `number`, from 0, for messages.
    pub fn call(&self, number: u64) -> Option<Call> {
        self.state.lock().calls.get(usize::try_from(number).ok()?).cloned()
    }

    /// Makes the calls with these numbers fail, of those that `fault` fits; an earlier order is forgotten.
    pub fn fail(&self, calls: Range<u64>, fault: Fault) {
        self.state.lock().fault = Some((calls, fault));
    }

    /// Has `observer` told of each creation, write, link and sync before it is made, so that it can do in between what
    /// another thread might. What it does itself is not told.
    pub fn observe(&self, observer: Option<Observer>) {
        *self.observer.lock() = observer;
    }

    fn tell(&self, action: Action, path: &Path) {
        let observer = self.observer.lock().take();
        let Some(observer) = observer else { return };
        observer(action, path);
        self.observer.lock().get_or_insert(observer);
    }

    /// Whatever the disk was told to do, it works from now on.
    pub fn heal(&self) {
        self.state.lock().fault = None;
    }

    /// The disk as a killed process leaves it after `operations` operations: everything is visible, but what was not
    /// durable still is not, and no lock is held.
    pub fn after_kill(&self, operations: u64) -> SimFs {
        SimFs::holding(self.state.lock().disk_after(operations))
    }

    /// A disk that a power loss after `operations` operations can leave; `seed` draws which.
    pub fn after_power_loss(&self, operations: u64, seed: u64) -> SimFs {
        let disk = self.state.lock().disk_after(operations);
        SimFs::holding(disk.after_power_loss(&mut clock::rng(seed)))
    }

    /// Every file and folder with its bytes, by path: what two equal disks have in common.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let state = self.state.lock();
        let mut found = Vec::new();
        let mut folders = vec![(String::new(), ROOT)];
        while let Some((path, folder)) = folders.pop() {
            for (name, node) in &state.disk.folders[&folder].now {
                let path = format!("{path}/{name}");
                match state.disk.files.get(node) {
                    Some(file) => found.push((path, (*file.now).clone())),
                    None => {
                        found.push((format!("{path}/"), Vec::new()));
                        folders.push((path, *node));
                    }
                }
            }
        }
        found.sort();
        found
    }
}

impl State {
    fn disk_after(&self, operations: u64) -> Disk {
        let mut disk = self.first.clone();
        self.operations.iter().take(operations as usize).for_each(|op| disk.apply(op));
        disk
    }

    fn run(&mut self, op: Op) {
        self.disk.apply(&op);
        self.operations.push(op);
    }

    /// Counts a call, and says how it fails.
    fn enter(&mut self, action: Action, path: &Path) -> Option<Fault> {
        let number = self.calls.len() as u64;
        self.calls.push(Call { action, path: path.to_owned() });
        let (calls, fault) = self.fault.as_ref()?;
        (calls.contains(&number) && fault.fits(action)).then_some(*fault)
    }

    /// Counts a call that either does nothing or does `change` and may be reported as failed.
    fn change(&mut self, action: Action, path: &Path, change: impl FnOnce(&mut State) -> Result<()>) -> Result<()> {
        match self.enter(action, path) {
            None => change(self),
            Some(Fault::IoAfter) => {
                change(self)?;
                Err(Fault::IoAfter.error())
            }
            Some(fault) => Err(fault.error()),
        }
    }

    /// Counts a call that changes nothing.
    fn look(&mut self, action: Action, path: &Path) -> Result<()> {
        self.change(action, path, |_| Ok(()))
    }

    fn sync(&mut self, action: Action, path: &Path, node: Node) -> Result<()> {
        match self.enter(action, path) {
            None => self.run(Op::Sync { node }),
            Some(fault) => {
                if fault == Fault::Lost {
                    self.run(Op::LostSync { node });
                }
                return Err(fault.error());
            }
        }
        Ok(())
    }

    fn find(&self, path: &Path) -> Result<Node> {
        let mut node = ROOT;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            let folder = self.disk.folders.get(&node).ok_or(ErrorKind::NotADirectory)?;
            node = *name.to_str().and_then(|name| folder.now.get(name)).ok_or(ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    fn find_file(&self, path: &Path) -> Result<Node> {
        let node = self.find(path)?;
        if self.disk.files.contains_key(&node) { Ok(node) } else { Err(ErrorKind::IsADirectory.into()) }
    }

    /// The folder and the name of a path, and what the name points to.
    fn entry(&self, path: &Path) -> Result<(Node, String, Option<Node>)> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(ErrorKind::InvalidInput)?;
        let folder = self.find(path.parent().unwrap_or(Path::new("/")))?;
        let names = &self.disk.folders.get(&folder).ok_or(ErrorKind::NotADirectory)?.now;
        Ok((folder, name.to_owned(), names.get(name).copied()))
    }

    /// The folder and the name of a path that must be free.
    fn free_entry(&self, path: &Path) -> Result<(Node, String)> {
        match self.entry(path)? {
            (folder, name, None) => Ok((folder, name)),
            _ => Err(ErrorKind::AlreadyExists.into()),
        }
    }

    /// Removes what is below `path`, one name at a time, then `path`; a failure ends it half done.
    fn remove_tree(&mut self, path: &Path) -> Result<()> {
        let node = self.find(path)?;
        let below = self.disk.folders.get(&node).map(|folder| folder.now.keys().cloned().collect::<Vec<_>>());
        for name in below.unwrap_or_default() {
            self.remove_tree(&path.join(name))?;
        }
        self.remove_name(path)
    }

    fn remove_name(&mut self, path: &Path) -> Result<()> {
        self.change(Action::Remove, path, |state| match state.entry(path)? {
            (folder, name, Some(_)) => {
                state.run(Op::Remove { folder, name });
                Ok(())
            }
            _ => Err(ErrorKind::NotFound.into()),
        })
    }
}

impl Fs for SimFs {
    fn create_new(&self, path: &Path) -> Result<Box<dyn FsFile>> {
        self.tell(Action::Create, path);
        let mut state = self.state.lock();
        let node = state.disk.next_node;
        state.change(Action::Create, path, |state| {
            let (folder, name) = state.free_entry(path)?;
            state.run(Op::CreateFile { folder, name, node });
            Ok(())
        })?;
        Ok(self.file(node, path))
    }

    fn open_read(&self, path: &Path) -> Result<Box<dyn FsFile>> {
        let mut state = self.state.lock();
        state.look(Action::Open, path)?;
        Ok(self.file(state.find_file(path)?, path))
    }

    fn open_append(&self, path: &Path) -> Result<Box<dyn FsFile>> {
        self.open_read(path)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<()> {
        self.tell(Action::Link, to);
        self.state.lock().change(Action::Link, to, |state| {
            let node = state.find_file(from)?;
            let (folder, name) = state.free_entry(to)?;
            state.run(Op::Link { folder, name, node });
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let mut state = self.state.lock();
        let file = state.find(path).is_ok_and(|node| state.disk.folders.contains_key(&node));
        if file { Err(ErrorKind::IsADirectory.into()) } else { state.remove_name(path) }
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.tell(Action::SyncFolder, path);
        let mut state = self.state.lock();
        let node = state.find(path)?;
        state.sync(Action::SyncFolder, path, node)
    }

    fn list(&self, path: &Path) -> Result<Vec<DirEntry>> {
        let mut state = self.state.lock();
        state.look(Action::List, path)?;
        let node = state.find(path)?;
        let disk = &state.disk;
        let names = &disk.folders.get(&node).ok_or(ErrorKind::NotADirectory)?.now;
        let entry = |(name, node)| DirEntry { name: String::clone(name), is_dir: disk.folders.contains_key(node) };
        Ok(names.iter().map(entry).collect())
    }

    fn is_dir(&self, path: &Path) -> bool {
        let state = self.state.lock();
        state.find(path).is_ok_and(|node| state.disk.folders.contains_key(&node))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        let mut state = self.state.lock();
        let node = state.disk.next_node;
        state.change(Action::Create, path, |state| {
            let (folder, name) = state.free_entry(path)?;
            state.run(Op::CreateFolder { folder, name, node });
            Ok(())
        })
    }

    fn remove_dir_all(&self, path: &Path) -> Result<()> {
        self.state.lock().remove_tree(path)
    }
}

impl SimFs {
    fn file(&self, node: Node, path: &Path) -> Box<dyn FsFile> {
        Box::new(SimFile { fs: self.clone(), node, path: path.into(), holds_lock: Mutex::new(false) })
    }
}

struct SimFile {
    fs: SimFs,
    node: Node,
    path: Arc<Path>,
    holds_lock: Mutex<bool>,
}

impl FsFile for SimFile {
    fn write_all(&self, bytes: &[u8]) -> Result<()> {
        self.fs.tell(Action::Write, &self.path);
        let mut state = self.fs.state.lock();
        let fault = state.enter(Action::Write, &self.path);
        let written = match fault {
            None | Some(Fault::IoAfter) => bytes,
            Some(Fault::Short) => &bytes[..bytes.len() / 2],
            Some(_) => &[],
        };
        if !written.is_empty() {
            state.run(Op::Append { node: self.node, bytes: written.into() });
        }
        fault.map_or(Ok(()), |fault| Err(fault.error()))
    }

    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let mut state = self.fs.state.lock();
        state.look(Action::Read, &self.path)?;
        let bytes = &state.disk.files[&self.node].now;
        let start = usize::try_from(offset).map_err(|_| ErrorKind::InvalidInput)?;
        let found = bytes.get(start..).and_then(|rest| rest.get(..out.len())).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        let mut state = self.fs.state.lock();
        state.look(Action::Read, &self.path)?;
        Ok(state.disk.files[&self.node].now.len() as u64)
    }

    fn sync(&self) -> Result<()> {
        self.fs.state.lock().sync(Action::Sync, &self.path, self.node)
    }

    fn truncate(&self, len: u64) -> Result<()> {
        let len = usize::try_from(len).map_err(|_| ErrorKind::InvalidInput)?;
        let node = self.node;
        self.fs.state.lock().change(Action::Truncate, &self.path, |state| {
            state.run(Op::Truncate { node, len });
            Ok(())
        })
    }

    fn try_lock(&self) -> Result<bool> {
        let mut state = self.fs.state.lock();
        state.look(Action::Lock, &self.path)?;
        let mut holds_lock = self.holds_lock.lock();
        *holds_lock = *holds_lock || state.locked.insert(self.node);
        Ok(*holds_lock)
    }

    fn unlock(&self) -> Result<()> {
        let mut state = self.fs.state.lock();
        if std::mem::take(&mut *self.holds_lock.lock()) {
            state.locked.remove(&self.node);
        }
        Ok(())
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let _ = self.unlock();
    }
}

#[cfg(test)]
mod tests;
