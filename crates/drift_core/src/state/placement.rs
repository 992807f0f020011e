//! Puts rows into buckets: rotate, assign, encode, sort by bucket, write runs.
//!
//! Layer 5, between the router and the segment writer; flush, bulk load and rewriting all place rows this way, so a
//! row's code and bucket never depend on how it came in.

use super::NO_BUCKET;
use super::homes::Homes;
use super::{CollectionState, ResidualSums, Router};
use crate::error::Result;
use crate::quant::sq8::{self, Clip, Factors};
use crate::segment::{RunRows, SegmentWriter};
use crate::sync::install_here;
use crate::types::{BucketId, Floats, Ids, Precision, Seq, VectorBuf, Vectors};
use rayon::prelude::*;

/// Rows rotated and assigned at a time: 24 MiB of f32 at d = 384.
const BLOCK_ROWS: usize = 16_384;

/// Rows of raw vectors with their ids and seqs, and, once assigned, bucket and code of each.
pub struct Placement {
    /// External ids.
    pub ids: Ids,
    /// Seqs.
    pub seqs: Vec<Seq>,
    /// Raw vectors as given.
    pub vectors: VectorBuf,
    /// Bucket of each row.
    pub buckets: Vec<BucketId>,
    codes: Vec<u8>,
    factors: Vec<Factors>,
    /// Second bucket of each row; empty at precision sq8.
    seconds: Vec<u32>,
}

impl CollectionState {
    /// Converts raw vectors into rotated prepared f32 rows.
    pub fn rotate_rows(&self, raw: &Vectors<'_>) -> Floats {
        let dim = self.schema.dim;
        let mut rows = Floats::zeroed(raw.values());
        install_here(&self.pool, || {
            rows.par_chunks_mut(256 * dim).enumerate().for_each(|(chunk, rows)| {
                let start = chunk * 256 * dim;
                raw.slice(start, start + rows.len()).copy_to_f32(rows);
                for row in rows.chunks_exact_mut(dim) {
                    self.prepare(row);
                    self.rotation.apply(row);
                }
            });
        });
        rows
    }

    /// Encodes every row and assigns it to the nearest bucket of `router`, whose `sums` are added to.
    pub fn place(
        &self,
        ids: Ids,
        seqs: Vec<Seq>,
        vectors: VectorBuf,
        router: &Router,
        sums: &mut ResidualSums,
    ) -> Placement {
        let rows = ids.len();
        let mut placement = self.unplaced(ids, seqs, vectors);
        placement.buckets.reserve_exact(rows);
        self.encode_blocks(&mut placement, |placement, rotated| {
            let homes = install_here(&self.pool, || router.homes(rotated));
            sums.add(&homes);
            self.add_homes(placement, router, &homes);
        });
        placement
    }

    /// Assigns every row anew, to buckets of another `router`; codes stay.
    pub fn place_again(&self, placement: &mut Placement, router: &Router) {
        let dim = self.schema.dim;
        placement.buckets.clear();
        placement.seconds.clear();
        for start in (0..placement.ids.len()).step_by(BLOCK_ROWS) {
            let end = placement.ids.len().min(start + BLOCK_ROWS);
            let rotated = self.rotate_rows(&placement.vectors.as_ref().slice(start * dim, end * dim));
            let homes = install_here(&self.pool, || router.homes(&rotated));
            self.add_homes(placement, router, &homes);
        }
    }

    fn add_homes(&self, placement: &mut Placement, router: &Router, homes: &[Homes]) {
        placement.buckets.extend(homes.iter().map(|homes| router.table().ids[homes.first as usize]));
        if self.schema.precision == Precision::OneBit {
            let second = |homes: &Homes| homes.second.map_or(NO_BUCKET, |at| router.table().ids[at as usize].0);
            placement.seconds.extend(homes.iter().map(second));
        }
    }

    fn unplaced(&self, ids: Ids, seqs: Vec<Seq>, vectors: VectorBuf) -> Placement {
        let rows = ids.len();
        Placement {
            ids,
            seqs,
            vectors,
            buckets: Vec::new(),
            codes: vec![0; rows * sq8::code_stride(self.schema.dim)],
            factors: vec![Factors::default(); rows],
            seconds: Vec::new(),
        }
    }

    fn encode_blocks(&self, placement: &mut Placement, mut each: impl FnMut(&mut Placement, &[f32])) {
        let (dim, stride) = (self.schema.dim, sq8::code_stride(self.schema.dim));
        let rows = placement.ids.len();
        for start in (0..rows).step_by(BLOCK_ROWS) {
            let end = rows.min(start + BLOCK_ROWS);
            let rotated = self.rotate_rows(&placement.vectors.as_ref().slice(start * dim, end * dim));
            let codes = &mut placement.codes[start * stride..end * stride];
            let factors = &mut placement.factors[start..end];
            install_here(&self.pool, || {
                rotated
                    .par_chunks_exact(dim)
                    .zip(codes.par_chunks_exact_mut(stride))
                    .zip(factors)
                    .for_each(|((row, code), factors)| *factors = sq8::encode(row, Clip::default(), code));
            });
            each(placement, &rotated);
        }
    }
}

impl Placement {
    /// Rows in the order in which [`Placement::write`] writes them: by bucket, then by seq.
    pub fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.ids.len() as u32).collect();
        order.sort_unstable_by_key(|&row| (self.buckets[row as usize], self.seqs[row as usize]));
        order
    }

    /// Writes the rows of `order` as runs.
    pub fn write(&self, order: &[u32], dim: usize, writer: &mut SegmentWriter) -> Result<()> {
        let stride = sq8::code_stride(dim);
        let vectors = self.vectors.as_ref();
        for run in order.chunk_by(|a, b| self.buckets[*a as usize] == self.buckets[*b as usize]) {
            let mut ids = Ids::empty(self.ids.id_type());
            let mut seqs = Vec::with_capacity(run.len());
            let mut raw = VectorBuf::with_capacity(vectors.element_type(), run.len() * dim);
            let mut codes = Vec::with_capacity(run.len() * stride);
            let mut factors = Vec::with_capacity(run.len());
            let mut seconds = Vec::with_capacity(run.len());
            for &row in run {
                let row = row as usize;
                ids.push(self.ids.get(row));
                seqs.push(self.seqs[row]);
                raw.extend(&vectors.slice(row * dim, (row + 1) * dim));
                codes.extend_from_slice(&self.codes[row * stride..(row + 1) * stride]);
                factors.push(self.factors[row]);
                seconds.extend(self.seconds.get(row));
            }
            let bucket = self.buckets[run[0] as usize];
            let rows = RunRows {
                ids: &ids,
                seqs: &seqs,
                vectors: raw.as_ref(),
                codes: &codes,
                factors: &factors,
                seconds: &seconds,
            };
            writer.push_run(bucket, rows)?;
        }
        Ok(())
    }
}
