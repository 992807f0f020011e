//! What a flush takes out of a memtable.
//!
//! Layer 4.

use super::arena::Row;
use crate::types::{Columns, ElementType, Ids, Seq, VectorBuf, Vectors};
use half::f16;
use half::slice::HalfFloatSliceExt;

/// Live rows and tombstones of a memtable.
pub struct Extract {
    /// Places of the rows in the memtable.
    pub rows: Vec<u32>,
    /// Their ids.
    pub ids: Ids,
    /// Their seqs, ascending.
    pub seqs: Vec<Seq>,
    /// Their vectors: f16 if all of them were given so, else f32.
    pub vectors: VectorBuf,
    /// Their payload.
    pub payload: Columns,
    /// Deleted ids.
    pub tombstone_ids: Ids,
    /// Seqs of the deletes.
    pub tombstone_seqs: Vec<Seq>,
}

impl Extract {
    /// Adds the rows that a reader at `snapshot` sees.
    pub(super) fn fill(&mut self, rows: &boxcar::Vec<Row>, snapshot: Seq) {
        let visible = || rows.iter().filter(|(_, row)| row.is_visible(snapshot));
        let half = visible().all(|(_, row)| row.element_type() == ElementType::F16);
        if !half {
            self.vectors = VectorBuf::F32(Vec::new());
        }
        let mut narrow = Vec::new();
        for (place, row) in visible() {
            self.rows.push(place as u32);
            self.ids.push(row.id());
            self.seqs.push(row.seq());
            self.payload.push_row(row.payload());
            if half {
                narrow.resize(row.vector().len(), f16::ZERO);
                narrow.convert_from_f32_slice(row.vector());
                self.vectors.extend(&Vectors::F16(&narrow));
            } else {
                self.vectors.extend(&Vectors::F32(row.vector()));
            }
        }
        self.payload.level();
    }
}
