//! All targets by name.

use crate::{files, operations};

/// A target: its name, which is its corpus folder's too, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 12] = [
    ("header", files::header),
    ("log", files::log),
    ("manifest", files::manifest),
    ("catalog", files::catalog),
    ("segment", files::segment),
    ("bitstore", files::bitstore),
    ("tombstones", files::tombstones),
    ("buckets", files::buckets),
    ("moves", files::moves),
    ("payload", files::payload),
    ("backup", files::backup),
    ("operations", operations::run),
];
