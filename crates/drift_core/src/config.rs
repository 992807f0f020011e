//! Settings as plain values, each with its default, its bounds and the reason.
//!
//! Layer 0. Settings are checked once, at open; nothing deeper reads the environment.

use crate::error::{Error, Result};
use crate::types::unknown_choice;

/// What durabilities are called elsewhere.
const DURABILITIES: [(&str, &str); 6] = [
    ("fsync", "always"),
    ("sync", "always"),
    ("full", "always"),
    ("async", "interval"),
    ("periodic", "interval"),
    ("off", "none"),
];

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After fsync; many writers share one. Survives power loss.
    Always,
    /// After the write to the log; fsync follows within [`Config::sync_interval_ms`]. Survives the process's death.
    Interval,
    /// After the write to the log; the operating system decides when it reaches the disk. Survives the process's death.
    Os,
    /// After the write to memory; `flush()` or closing makes it durable.
    None,
}

impl Durability {
    /// Reads the name used in the Python API.
    pub fn parse(name: &str) -> Result<Durability> {
        match name {
            "always" => Ok(Durability::Always),
            "interval" => Ok(Durability::Interval),
            "os" => Ok(Durability::Os),
            "none" => Ok(Durability::None),
            _ => Err(unknown_choice("durability", name, &["always", "interval", "os", "none"], &DURABILITIES)),
        }
    }

    /// The name used in the Python API.
    pub fn name(self) -> &'static str {
        match self {
            Durability::Always => "always",
            Durability::Interval => "interval",
            Durability::Os => "os",
            Durability::None => "none",
        }
    }
}

/// What opening does with damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Damage is an error, and nothing is changed.
    Strict,
    /// A damaged collection is replaced by a copy of what can be read of it.
    Salvage,
}

impl Recovery {
    /// Reads the name used in the Python API.
    pub fn parse(name: &str) -> Result<Recovery> {
        match name {
            "strict" => Ok(Recovery::Strict),
            "salvage" => Ok(Recovery::Salvage),
            _ => Err(Error::invalid(format!("unknown recovery {name:?}: use \"strict\" or \"salvage\""))),
        }
    }
}

/// Where the exact vectors of flushed rows are read from; they are on disk in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExactRows {
    /// The segment files: a search reads the dozen rows that it re-ranks.
    Disk,
    /// Memory: the bytes of all rows beside their codes, and no system call in a search.
    Memory,
}

impl ExactRows {
    /// Reads the name used in the Python API.
    pub fn parse(name: &str) -> Result<ExactRows> {
        match name {
            "disk" => Ok(ExactRows::Disk),
            "memory" => Ok(ExactRows::Memory),
            _ => Err(unknown_choice("exact_rows", name, &["disk", "memory"], &[("ram", "memory"), ("file", "disk")])),
        }
    }
}

/// Settings of a database.
#[derive(Clone, Debug)]
pub struct Config {
    /// When a write is acknowledged.
    pub durability: Durability,
    /// Refuse every write.
    pub read_only: bool,
    /// What opening does with damage.
    pub recovery: Recovery,
    /// Where searches read exact vectors.
    pub exact_rows: ExactRows,
    /// Longest time between a write and its fsync under [`Durability::Interval`], milliseconds, 1 to 60,000. 100 ms
    /// costs at most ten fsyncs a second and a tenth of a second of writes.
    pub sync_interval_ms: u64,
    /// Bytes that the engine may hold in memory for a bulk load and the memtables, 64 MiB or more. A bulk load above
    /// it goes through a spool file; writes that would take the memtables above their share wait for a flush, and are
    /// refused when it fails.
    pub memory_limit_bytes: usize,
    /// Bytes of a bulk load's vectors that stay in memory, at most, 1 or more; a share of the memory limit bounds them, too.
    pub load_bytes_max: usize,
    /// Rows of a memtable before it is frozen and flushed, 16 to 1,000,000. A flush of 16k rows
    /// writes each bucket of half a million rows once on average.
    pub memtable_rows_max: usize,
    /// Bytes of a memtable before it is frozen and flushed, whatever the row count.
    pub memtable_bytes_max: usize,
    /// Frozen memtables before writers wait for the flush, 1 to 64.
    pub frozen_memtables_max: usize,
    /// Longest wait of a writer for room, milliseconds.
    pub write_timeout_ms: u64,
    /// Rows of a memtable from which an HNSW graph is built beside it. Below, a scan of 1-bit codes is faster: at d = 384 it
    /// takes about 2 ns a row.
    pub hnsw_rows_min: usize,
    /// Rows per bucket that a small collection aims at, 8 to 65,536; larger ones grow with it (`state::train`). Many near buckets beat few
    /// wide ones: 32 rows scan half of what 4 sqrt(n) lists do at equal recall (PERFORMANCE.md, section 2).
    pub bucket_rows_target: usize,
    /// Recall that a search aims at when it names none, in (0, 1].
    pub recall_default: f32,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            durability: Durability::Always,
            read_only: false,
            recovery: Recovery::Strict,
            exact_rows: ExactRows::Disk,
            sync_interval_ms: 100,
            memory_limit_bytes: 1 << 30,
            load_bytes_max: usize::MAX,
            memtable_rows_max: 16_384,
            memtable_bytes_max: 64 << 20,
            frozen_memtables_max: 4,
            write_timeout_ms: 60_000,
            hnsw_rows_min: 65_536,
            bucket_rows_target: 32,
            recall_default: 0.95,
        }
    }
}

/// Of the memory limit, a half is for memtables; the other is for the flush, which has copies of one memtable's rows.
const MEMTABLES_SHARE: usize = 2;

/// Of the memory limit, the part of one memtable: its flush takes some three times as much.
const MEMTABLE_SHARE: usize = 8;

/// Of the memory limit, the part of a bulk load's vectors; encoding and training need the rest.
const LOAD_SHARE: usize = 3;

impl Config {
    /// Bytes of a bulk load's vectors in memory before they go to a spool file.
    pub fn load_bytes(&self) -> usize {
        self.load_bytes_max.min(self.memory_limit_bytes / LOAD_SHARE)
    }

    /// Bytes of all memtables before writers wait.
    pub fn memtables_bytes_max(&self) -> usize {
        self.memory_limit_bytes / MEMTABLES_SHARE
    }

    /// Bytes of a memtable before it is frozen and flushed.
    pub fn memtable_bytes(&self) -> usize {
        self.memtable_bytes_max.min(self.memory_limit_bytes / MEMTABLE_SHARE)
    }

    /// Checks every bound; the error names the setting, its value and its range.
    pub fn validate(&self) -> Result<()> {
        let ranges = [
            ("sync_interval_ms", self.sync_interval_ms as usize, 1, 60_000),
            ("memory_limit_bytes", self.memory_limit_bytes, 64 << 20, usize::MAX),
            ("load_bytes_max", self.load_bytes_max, 1, usize::MAX),
            ("memtable_rows_max", self.memtable_rows_max, 16, 1_000_000),
            ("memtable_bytes_max", self.memtable_bytes_max, 1 << 20, 4 << 30),
            ("frozen_memtables_max", self.frozen_memtables_max, 1, 64),
            ("write_timeout_ms", self.write_timeout_ms as usize, 1, 86_400_000),
            ("hnsw_rows_min", self.hnsw_rows_min, 16, usize::MAX),
            ("bucket_rows_target", self.bucket_rows_target, 8, 65_536),
        ];
        for (name, value, min, max) in ranges {
            if value < min || value > max {
                return Err(Error::invalid(format!("{name} is {value}: it must be between {min} and {max}")));
            }
        }
        if self.recovery == Recovery::Salvage && self.read_only {
            return Err(Error::invalid("recovery=\"salvage\" writes a copy of what can be read: pass read_only=False"));
        }
        if !(self.recall_default > 0.0 && self.recall_default <= 1.0) {
            return Err(Error::invalid(format!(
                "recall_default is {}: it must be above 0 and at most 1",
                self.recall_default
            )));
        }
        Ok(())
    }
}
