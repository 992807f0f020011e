//! Coded centroids: 1-bit blocks that estimate all scores at once, SQ8 rows that settle the best few.
//!
//! Layer 5. Few centroids are one group. Many are grouped by k-means, and a query estimates those of the nearest groups
//! first: a second level of routing. Within its group, centroid `n` is entry `n / blocks` of block `n % blocks`, so that
//! neighbours in the table, which are often neighbours in space, are spread over the blocks.

use super::BucketTable;
use crate::kernels::BLOCK_ENTRIES;
use crate::quant::bits::{self, BitCode, BitQuery, Blocks};
use crate::quant::kmeans::{self, Assigner, KmeansOptions};
use crate::quant::sq8::{self, Clip, Factors};
use crate::types::{Lines, Metric};

/// Centroids up to which one pass over all of them costs less than choosing groups.
pub const FLAT_MAX: usize = 16_384;

/// Centroids of a group, on average: two blocks and a half.
const GROUP_CENTROIDS: usize = 80;

/// No centroid, in the list of positions.
pub const NONE: u32 = u32::MAX;

/// The centroids of a table, coded.
pub struct CentroidCodes {
    /// 1-bit codes, group by group.
    blocks: Lines,
    /// First block of each group, and the end of the last.
    starts: Vec<u32>,
    /// 1-bit codes of the centres of the groups; empty when there is one group.
    centres: Lines,
    /// Table position of each entry of `blocks`, or [`NONE`].
    positions: Vec<u32>,
    block_bytes: usize,
    stride: usize,
    codes: Lines,
    factors: Vec<Factors>,
}

impl CentroidCodes {
    /// Codes the centroids of `table` relative to `origin`.
    pub fn new(table: &BucketTable, dim: usize, origin: &[f32]) -> CentroidCodes {
        let stride = sq8::code_stride(dim);
        let mut codes = Lines::zeroed(table.len() * stride);
        let bytes = codes.as_mut_slice().chunks_exact_mut(stride);
        let encode = |(centroid, bytes)| sq8::encode(centroid, Clip::default(), bytes);
        let factors = table.centroids.chunks_exact(dim).zip(bytes).map(encode).collect();
        let (groups, centres) = group(&table.centroids, dim);
        let mut starts = vec![0u32];
        let mut positions = Vec::new();
        for members in &groups {
            let blocks = members.len().div_ceil(BLOCK_ENTRIES);
            let start = positions.len();
            positions.resize(start + blocks * BLOCK_ENTRIES, NONE);
            for (n, &member) in members.iter().enumerate() {
                positions[start + n % blocks * BLOCK_ENTRIES + n / blocks] = member;
            }
            starts.push((positions.len() / BLOCK_ENTRIES) as u32);
        }
        let rows = positions.iter().map(|&position| (position != NONE).then(|| table.centroid(position as usize)));
        let blocks = code_blocks(rows, positions.len(), dim, origin);
        let centres = code_blocks(centres.chunks_exact(dim).map(Some), centres.len() / dim, dim, origin);
        let block_bytes = 2 * bits::half_bytes(dim);
        CentroidCodes { blocks, starts, centres, positions, block_bytes, stride, codes, factors }
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.starts.len() - 1
    }

    /// The entries of a group.
    pub fn entries(&self, group: usize) -> std::ops::Range<usize> {
        self.starts[group] as usize * BLOCK_ENTRIES..self.starts[group + 1] as usize * BLOCK_ENTRIES
    }

    /// Table positions of entries, [`NONE`] where there is no centroid.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// Estimates the distances of the centres of the groups.
    pub fn estimate_groups(&self, query: &BitQuery, out: &mut Vec<f32>) {
        out.resize(self.centres.len() / self.block_bytes * BLOCK_ENTRIES, 0.0);
        query.estimates(self.centres.as_slice(), out);
        out.truncate(self.groups());
    }

    /// Estimates the distances of a group's entries.
    pub fn estimate(&self, group: usize, query: &BitQuery, out: &mut [f32]) {
        let (start, end) = (self.starts[group] as usize, self.starts[group + 1] as usize);
        query.estimates(&self.blocks.as_slice()[start * self.block_bytes..end * self.block_bytes], out);
    }

    /// SQ8 code of the centroid at `position`.
    pub fn code(&self, position: usize) -> &[u8] {
        &self.codes.as_slice()[position * self.stride..][..self.stride]
    }

    /// Factors of the centroid at `position`.
    pub fn factors(&self, position: usize) -> &Factors {
        &self.factors[position]
    }

    /// Bytes of heap memory in use.
    pub fn heap_bytes(&self) -> usize {
        let lines = [&self.blocks, &self.centres, &self.codes];
        lines.map(Lines::heap_bytes).iter().sum::<usize>()
            + 4 * (self.starts.capacity() + self.positions.capacity())
            + size_of::<Factors>() * self.factors.capacity()
    }
}

/// The centroids of each group, and the centres of the groups unless there is one only.
fn group(centroids: &[f32], dim: usize) -> (Vec<Vec<u32>>, Vec<f32>) {
    let count = centroids.len() / dim;
    if count <= FLAT_MAX {
        return (vec![(0..count as u32).collect()], Vec::new());
    }
    let centres = kmeans::train(centroids, dim, count.div_ceil(GROUP_CENTROIDS), KmeansOptions::default());
    let mut groups = vec![Vec::new(); centres.len() / dim];
    for (position, group) in Assigner::new(&centres, dim).assign(centroids).0.into_iter().enumerate() {
        groups[group as usize].push(position as u32);
    }
    (groups, centres)
}

/// Whole blocks with an entry for each of the `count` rows that is there.
fn code_blocks<'a>(rows: impl Iterator<Item = Option<&'a [f32]>>, count: usize, dim: usize, origin: &[f32]) -> Lines {
    let mut lines = Lines::zeroed(count.div_ceil(BLOCK_ENTRIES) * 2 * bits::half_bytes(dim));
    let mut blocks = Blocks::clear(lines.as_mut_slice(), dim);
    let mut code = BitCode::default();
    for (at, row) in rows.enumerate() {
        if let Some(row) = row {
            code.set(Metric::L2, row, origin, origin);
            code.write(&mut blocks, at);
        }
    }
    lines
}
