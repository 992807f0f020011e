//! What a power loss leaves of a simulated disk.
//!
//! Layer 3. Between an fsync and the next, a disk writes back what it likes, in the order it likes, a sector at a time:
//! so each sector of a file is what it was after any of the changes that are not durable, each sector for itself; so is
//! the length (a length that outlives its bytes shows zeros); and so is each name of a folder, each name for itself.
//! What is drawn stresses the corners: nothing survives, everything does, a prefix with a torn end, any mixture, zeros.
//! Pillai et al., OSDI'14 (ALICE) found the failures that this model makes.

use super::disk::{Change, Disk, File, Folder, Node, ROOT, change_name};
use crate::clock::Rng;
use rand::RngExt;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a disk writes at once: old disks and new ones.
const SECTOR_BYTES: [usize; 2] = [512, 4_096];

/// What happens to the changes of one file or folder that are not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Lost,
    Kept,
    /// The first of them, the last of these torn between two sectors.
    Prefix,
    /// Each sector, each name and the length for itself.
    Mixed,
    /// The length is kept, the bytes are not.
    Zeros,
}

/// How fates are dealt out.
#[derive(Clone, Copy, Debug)]
enum Deal {
    All(Fate),
    Each,
}

impl Deal {
    fn draw(rng: &mut Rng) -> Deal {
        match rng.random_range(0..8) {
            0 => Deal::All(Fate::Lost),
            1 => Deal::All(Fate::Kept),
            2 => Deal::All(Fate::Mixed),
            _ => Deal::Each,
        }
    }

    fn fate(self, rng: &mut Rng) -> Fate {
        const FATES: [Fate; 5] = [Fate::Lost, Fate::Kept, Fate::Prefix, Fate::Mixed, Fate::Zeros];
        match self {
            Deal::All(fate) => fate,
            Deal::Each => FATES[rng.random_range(0..FATES.len())],
        }
    }
}

impl Disk {
    /// The disk after a power loss: all that is left is durable.
    pub(super) fn after_power_loss(&self, rng: &mut Rng) -> Disk {
        let deal = Deal::draw(rng);
        let sector = SECTOR_BYTES[rng.random_range(0..SECTOR_BYTES.len())];
        let mut left = Disk { files: BTreeMap::new(), folders: BTreeMap::new(), next_node: self.next_node };
        let mut reached = vec![ROOT];
        while let Some(node) = reached.pop() {
            if let Some(folder) = self.folders.get(&node) {
                let names = names_left(folder, deal.fate(rng), rng);
                reached.extend(names.values());
                left.folders.insert(node, Folder::settled(names));
            } else if let Some(file) = self.files.get(&node).filter(|_| !left.files.contains_key(&node)) {
                left.files.insert(node, File::settled(bytes_left(file, deal.fate(rng), sector, rng)));
            }
        }
        left
    }
}

/// After how many of `changes` changes something was written back.
fn moment(changes: usize, rng: &mut Rng) -> usize {
    match rng.random_range(0..3) {
        0 => 0,
        1 => changes,
        _ => rng.random_range(0..=changes),
    }
}

fn names_left(folder: &Folder, fate: Fate, rng: &mut Rng) -> BTreeMap<String, Node> {
    if folder.pending.is_empty() || fate == Fate::Kept {
        return folder.now.clone();
    }
    let mut names = folder.durable.clone();
    let changes = folder.pending.len();
    match fate {
        Fate::Lost | Fate::Kept => {}
        Fate::Prefix => {
            let kept = rng.random_range(0..=changes);
            folder.pending[..kept].iter().for_each(|(name, to)| change_name(&mut names, name, *to));
        }
        Fate::Mixed | Fate::Zeros => {
            let mut moments = BTreeMap::new();
            for (at, (name, to)) in folder.pending.iter().enumerate() {
                if at < *moments.entry(name).or_insert_with(|| moment(changes, rng)) {
                    change_name(&mut names, name, *to);
                }
            }
        }
    }
    names
}

fn bytes_left(file: &File, fate: Fate, sector: usize, rng: &mut Rng) -> Arc<Vec<u8>> {
    let changes = file.pending.len();
    match fate {
        _ if changes == 0 => file.now.clone(),
        Fate::Kept => file.now.clone(),
        Fate::Lost => file.durable.clone(),
        Fate::Prefix => {
            let kept = rng.random_range(0..changes);
            let mut bytes = (*file.durable).clone();
            file.pending[..kept].iter().for_each(|change| change.apply(&mut bytes, &|_| true, sector));
            // Of the next change the sectors below some place.
            let end = bytes.len().max(file.now.len()) / sector + 1;
            let torn = rng.random_range(0..=end);
            file.pending[kept].apply(&mut bytes, &|at| at < torn, sector);
            if let Change::Write { offset, bytes: new } = &file.pending[kept] {
                bytes.truncate((torn * sector).clamp(*offset, offset + new.len()));
            }
            Arc::new(bytes)
        }
        Fate::Mixed => {
            let moments: Vec<usize> = (0..=sectors(file, sector)).map(|_| moment(changes, rng)).collect();
            let length = moment(changes, rng);
            Arc::new(mixed(file, &moments, length, sector))
        }
        Fate::Zeros => {
            // Sectors from some place on were never written, though the length was.
            let all = sectors(file, sector);
            let written = rng.random_range(0..=all);
            let moments: Vec<usize> = (0..=all).map(|at| if at < written { changes } else { 0 }).collect();
            Arc::new(mixed(file, &moments, changes, sector))
        }
    }
}

/// Sectors that the file has touched since it was last durable.
fn sectors(file: &File, sector: usize) -> usize {
    let ends = file.pending.iter().map(|change| match change {
        Change::Write { offset, bytes } => offset + bytes.len(),
        Change::Truncate { len } => *len,
    });
    ends.max().unwrap_or(0).max(file.durable.len()).div_ceil(sector)
}

/// The file when sector `i` was written back after `moments[i]` changes, and the length after `length` changes.
fn mixed(file: &File, moments: &[usize], length: usize, sector: usize) -> Vec<u8> {
    let mut bytes = (*file.durable).clone();
    bytes.resize(bytes.len().max(sectors(file, sector) * sector), 0);
    let mut end = file.durable.len();
    for (at, change) in file.pending.iter().enumerate() {
        change.write(&mut bytes, &|place| at < moments.get(place).copied().unwrap_or(0), sector);
        if at < length {
            end = change.end();
        }
    }
    bytes.resize(end, 0);
    bytes
}

impl Change {
    /// Length of the file after the change.
    fn end(&self) -> usize {
        match self {
            Change::Write { offset, bytes } => offset + bytes.len(),
            Change::Truncate { len } => *len,
        }
    }

    /// Does the change in the sectors that `reaches` names, and to the length.
    fn apply(&self, file: &mut Vec<u8>, reaches: &dyn Fn(usize) -> bool, sector: usize) {
        file.resize(file.len().max(self.end()), 0);
        self.write(file, reaches, sector);
        file.truncate(self.end());
    }

    /// Does the change in the sectors that `reaches` names; the length stays.
    fn write(&self, file: &mut [u8], reaches: &dyn Fn(usize) -> bool, sector: usize) {
        match self {
            Change::Write { offset, bytes } => {
                for (at, byte) in bytes.iter().enumerate().filter(|(at, _)| reaches((offset + at) / sector)) {
                    file[offset + at] = *byte;
                }
            }
            Change::Truncate { len } => {
                let places = file.iter_mut().enumerate().skip(*len);
                places.filter(|(at, _)| reaches(at / sector)).for_each(|(_, byte)| *byte = 0);
            }
        }
    }
}
