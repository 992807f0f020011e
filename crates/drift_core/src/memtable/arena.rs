//! Rows and the batches that hold their ids and vectors.
//!
//! Layer 4.

use crate::kernels::kernels;
use crate::quant::cosine;
use crate::sync::AtomicU64;
use crate::types::{Columns, ElementType, IdRef, Ids, Metric, Predicate, Seq, Vectors};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What came in one call.
pub struct Batch {
    dim: usize,
    ids: Ids,
    vectors: Vec<f32>,
    /// 1 / |x| under cosine, otherwise empty.
    inverse_norms: Vec<f32>,
    element_type: ElementType,
    payload: Option<Columns>,
}

impl Batch {
    /// Copies a call's ids, vectors and payload.
    pub fn new(dim: usize, metric: Metric, ids: &Ids, given: Vectors<'_>, payload: Option<&Columns>) -> Arc<Batch> {
        let mut vectors = vec![0.0; given.values()];
        given.copy_to_f32(&mut vectors);
        let inverse_norms = match metric {
            Metric::Cosine => vectors.chunks_exact(dim).map(|row| (kernels().dot)(row, row).sqrt().recip()).collect(),
            Metric::L2 | Metric::Dot => Vec::new(),
        };
        let (ids, payload) = (ids.clone(), payload.cloned());
        Arc::new(Batch { dim, ids, vectors, inverse_norms, element_type: given.element_type(), payload })
    }

    /// Bytes of heap memory in use.
    pub fn bytes(&self) -> usize {
        let payload = self.payload.as_ref().map_or(0, Columns::bytes);
        self.ids.bytes() + 4 * (self.vectors.len() + self.inverse_norms.len()) + payload
    }
}

/// One row.
pub struct Row {
    batch: Arc<Batch>,
    at: u32,
    seq: Seq,
    death: AtomicU64,
}

impl Row {
    /// Row `at` of a batch.
    pub fn new(batch: &Arc<Batch>, at: usize, seq: Seq) -> Row {
        Row { batch: batch.clone(), at: at as u32, seq, death: AtomicU64::new(0) }
    }

    /// Its id.
    pub fn id(&self) -> IdRef<'_> {
        self.batch.ids.get(self.at as usize)
    }

    /// Its seq.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The write that superseded it, or 0.
    pub fn death(&self) -> Seq {
        self.death.load(Ordering::Acquire)
    }

    /// Notes that `seq` superseded it; false if another write did before.
    pub fn die(&self, seq: Seq) -> bool {
        self.death.compare_exchange(0, seq, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether a reader at `snapshot` sees it.
    pub fn is_visible(&self, snapshot: Seq) -> bool {
        let death = self.death();
        self.seq <= snapshot && (death == 0 || death > snapshot)
    }

    /// Whether its payload satisfies a predicate.
    pub fn satisfies(&self, predicate: &Predicate) -> bool {
        predicate.holds(self.batch.payload.as_ref(), self.at as usize)
    }

    /// Its payload: columns, and its place in them.
    pub fn payload(&self) -> Option<(&Columns, usize)> {
        self.batch.payload.as_ref().map(|columns| (columns, self.at as usize))
    }

    /// Its raw vector.
    pub fn vector(&self) -> &[f32] {
        let dim = self.batch.dim;
        &self.batch.vectors[self.at as usize * dim..(self.at as usize + 1) * dim]
    }

    /// Type of its elements as given.
    pub fn element_type(&self) -> ElementType {
        self.batch.element_type
    }

    /// What its values are multiplied by to be as the metric uses them.
    pub fn scale(&self) -> f32 {
        self.batch.inverse_norms.get(self.at as usize).copied().unwrap_or(1.0)
    }

    /// Reported distance to a prepared query.
    pub fn distance(&self, metric: Metric, query: &[f32]) -> f32 {
        match metric {
            Metric::L2 => (kernels().l2)(query, self.vector()),
            Metric::Dot => -(kernels().dot)(query, self.vector()),
            Metric::Cosine => cosine::distance(query, self.vector(), self.batch.inverse_norms[self.at as usize]),
        }
    }

    /// Distance between two rows.
    pub fn between(&self, metric: Metric, other: &Row) -> f32 {
        match metric {
            Metric::Cosine => {
                let own = self.batch.inverse_norms[self.at as usize];
                let others = other.batch.inverse_norms[other.at as usize];
                1.0 - (kernels().dot)(self.vector(), other.vector()) * own * others
            }
            _ => other.distance(metric, self.vector()),
        }
    }
}
