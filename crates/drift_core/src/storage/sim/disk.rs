//! What a simulated disk holds: for each file and folder what is durable, what is visible, and the changes between the
//! two, each of which a power loss may take.
//!
//! Layer 3; changed by `SimFs` through [`Disk::apply`] alone, so that the disk as it was after any operation follows
//! from the operations before it. What POSIX leaves open is lost: a file's fsync says nothing about its name, a
//! folder's fsync says nothing about its own name in its parent, and a new folder is one more name.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Number of a file or folder; names point to it.
pub(super) type Node = u64;

/// The folder that every path begins at.
pub(super) const ROOT: Node = 0;

/// One change of the disk, or of what is durable on it.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// A new file gets its first name.
    CreateFile { folder: Node, name: String, node: Node },
    /// A new folder gets its name.
    CreateFolder { folder: Node, name: String, node: Node },
    /// A file gets another name.
    Link { folder: Node, name: String, node: Node },
    /// A name goes.
    Remove { folder: Node, name: String },
    /// Bytes are written at the end of a file.
    Append { node: Node, bytes: Arc<[u8]> },
    /// A file is cut.
    Truncate { node: Node, len: usize },
    /// All that was done to a file or folder so far is durable.
    Sync { node: Node },
    /// An fsync of a file failed, and what was not durable never will be, whatever a later fsync reports.
    LostSync { node: Node },
}

/// A change of a file that is not durable.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Bytes from an offset on.
    Write { offset: usize, bytes: Arc<[u8]> },
    /// A new length, below the one before.
    Truncate { len: usize },
}

/// A file.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    /// What a power loss cannot take.
    pub(super) durable: Arc<Vec<u8>>,
    /// What readers see.
    pub(super) now: Arc<Vec<u8>>,
    /// What lies between the two, oldest first.
    pub(super) pending: Vec<Change>,
    /// An fsync has failed, and later ones change nothing.
    stuck: bool,
}

/// A folder.
#[derive(Clone, Debug, Default)]
pub(super) struct Folder {
    /// Names that a power loss cannot take.
    pub(super) durable: BTreeMap<String, Node>,
    /// Names that readers see.
    pub(super) now: BTreeMap<String, Node>,
    /// What lies between the two, oldest first: a name and what it points to, or nothing.
    pub(super) pending: Vec<(String, Option<Node>)>,
}

/// Files and folders.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) files: BTreeMap<Node, File>,
    pub(super) folders: BTreeMap<Node, Folder>,
    pub(super) next_node: Node,
}

impl File {
    /// A file that holds `bytes`, all of them durable.
    pub(super) fn settled(bytes: Arc<Vec<u8>>) -> File {
        File { durable: bytes.clone(), now: bytes, pending: Vec::new(), stuck: false }
    }

    fn append(&mut self, bytes: &Arc<[u8]>) {
        self.pending.push(Change::Write { offset: self.now.len(), bytes: bytes.clone() });
        Arc::make_mut(&mut self.now).extend_from_slice(bytes);
    }

    fn truncate(&mut self, len: usize) {
        self.pending.push(Change::Truncate { len });
        // A file that is cut to more than it has grows by zeros, as with the system call.
        Arc::make_mut(&mut self.now).resize(len, 0);
    }

    fn sync(&mut self) {
        if !self.stuck {
            self.durable = self.now.clone();
            self.pending.clear();
        }
    }
}

impl Folder {
    /// A folder with `names`, all of them durable.
    pub(super) fn settled(names: BTreeMap<String, Node>) -> Folder {
        Folder { durable: names.clone(), now: names, pending: Vec::new() }
    }

    fn point(&mut self, name: &str, to: Option<Node>) {
        change_name(&mut self.now, name, to);
        self.pending.push((name.to_owned(), to));
    }

    fn sync(&mut self) {
        self.durable = self.now.clone();
        self.pending.clear();
    }
}

/// Makes `name` point to a node, or to nothing.
pub(super) fn change_name(names: &mut BTreeMap<String, Node>, name: &str, to: Option<Node>) {
    match to {
        Some(node) => names.insert(name.to_owned(), node),
        None => names.remove(name),
    };
}

impl Disk {
    /// A disk with nothing but its root.
    pub(super) fn empty() -> Disk {
        Disk { files: BTreeMap::new(), folders: BTreeMap::from([(ROOT, Folder::default())]), next_node: ROOT + 1 }
    }

    /// Does `op`, whose nodes exist and whose names are as it expects.
    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::CreateFile { folder, name, node } => {
                self.files.insert(*node, File::default());
                self.next_node = node + 1;
                self.point(*folder, name, Some(*node));
            }
            Op::CreateFolder { folder, name, node } => {
                self.folders.insert(*node, Folder::default());
                self.next_node = node + 1;
                self.point(*folder, name, Some(*node));
            }
            Op::Link { folder, name, node } => self.point(*folder, name, Some(*node)),
            Op::Remove { folder, name } => self.point(*folder, name, None),
            Op::Append { node, bytes } => self.file_mut(*node, |file| file.append(bytes)),
            Op::Truncate { node, len } => self.file_mut(*node, |file| file.truncate(*len)),
            Op::Sync { node } => {
                self.file_mut(*node, File::sync);
                self.folders.entry(*node).and_modify(Folder::sync);
            }
            Op::LostSync { node } => self.file_mut(*node, |file| file.stuck = true),
        }
    }

    fn point(&mut self, folder: Node, name: &str, to: Option<Node>) {
        self.folders.entry(folder).and_modify(|folder| folder.point(name, to));
    }

    fn file_mut(&mut self, node: Node, change: impl FnOnce(&mut File)) {
        self.files.entry(node).and_modify(change);
    }
}
