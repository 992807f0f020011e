//! Which rows have been superseded, and by which write.
//!
//! Layer 4. Eight bytes a row, but only in pages of rows that have a dead one. The seq is what lets a reader with an
//! older snapshot still see the row.

use crate::sync::AtomicU64;
use crate::types::Seq;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

const PAGE_ROWS: usize = 4096;

/// Deaths of a segment's rows.
pub struct Deaths {
    rows: usize,
    pages: Box<[OnceLock<Box<[AtomicU64]>>]>,
    count: AtomicU64,
}

impl Deaths {
    /// No deaths among `rows`.
    pub fn new(rows: usize) -> Deaths {
        let pages = (0..rows.div_ceil(PAGE_ROWS)).map(|_| OnceLock::new()).collect();
        Deaths { rows, pages, count: AtomicU64::new(0) }
    }

    /// Notes that `seq` superseded a row; the first death counts.
    pub fn mark(&self, row: u32, seq: Seq) {
        let page = row as usize / PAGE_ROWS;
        let deaths = self.pages[page].get_or_init(|| {
            let rows = PAGE_ROWS.min(self.rows - page * PAGE_ROWS);
            (0..rows).map(|_| AtomicU64::new(0)).collect()
        });
        let death = &deaths[row as usize % PAGE_ROWS];
        if death.compare_exchange(0, seq, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The write that superseded a row, or 0.
    #[inline]
    pub fn get(&self, row: u32) -> Seq {
        self.pages[row as usize / PAGE_ROWS]
            .get()
            .map_or(0, |deaths| deaths[row as usize % PAGE_ROWS].load(Ordering::Acquire))
    }

    /// Number of dead rows.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Bytes of heap memory in use.
    pub fn bytes(&self) -> usize {
        let used = self.pages.iter().filter(|page| page.get().is_some()).count();
        self.pages.len() * size_of::<OnceLock<Box<[AtomicU64]>>>() + used * PAGE_ROWS * 8
    }
}
