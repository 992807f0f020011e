//! One bit a dimension: the filter code that a scan reads first (RaBitQ, Gao and Long 2024, with FastScan blocks).
//!
//! Layer 2. Rows and centroids have such codes; `state` keeps them in blocks of [`BLOCK_ENTRIES`]. They are derived data.
//!
//! An entry codes the residual `o = x - c` of a rotated vector `x` to a centre `c`: `b` is its vector of signs, and `f o' =
//! f b` with `f = |o|^2 / sum |o_i|` an unbiased estimate of `o` within inner products. With the numbers A and B of an
//! entry and a number that all entries of a centre share,
//!
//! ```text
//! |q - x|^2 ~ A + |q - c|^2 - B <q, b>      A = |o|^2 + 2 f <c, b>        B = 2 f
//!   -<q, x> ~ A - <q, c>    - B <q, b>      A = f <c, b> - <o, c>         B = f
//! ```
//!
//! so one lookup table a query ([`BitQuery`]) serves the entries of every centre. The error of an estimate is about 0.6 B
//! |q - c| at one standard deviation whatever the data (PERFORMANCE.md, section 2), so the bound that a scan uses is the
//! estimate less `slack * B * |q - c|`. Vectors are taken relative to an origin near the mean of the data,
//! which keeps A small against the differences that matter; under dot, where it would not cancel, it is zero.

use crate::kernels::{
    BLOCK_DIMS, BLOCK_ENTRIES, BlockLimit, HALF_ENTRIES, ResidualSums, TableScale, half_block_bytes, kernels,
};
use crate::types::{LINE_BYTES, Lines, Metric};

/// Fewest dimensions that 1-bit codes are scanned for: below, their error hides most of the distance between neighbours, and
/// an exact row is hardly longer than an entry.
pub const DIM_MIN: usize = 64;

/// Dimensions of a table of 16 values, hence of half a byte of an entry.
const GROUP: usize = 4;

/// Upper half of f32 infinity: the A of an entry that is none, which no limit admits.
const NEVER: u16 = 0x7f80;

/// Bytes of the codes of a block, and of a query's table.
fn table_bytes(dim: usize) -> usize {
    dim.div_ceil(BLOCK_DIMS) * 2 * LINE_BYTES
}

/// Bytes of half a block.
pub fn half_bytes(dim: usize) -> usize {
    half_block_bytes(table_bytes(dim))
}

/// Half blocks that `entries` entries take.
pub fn halves(entries: usize) -> usize {
    entries.div_ceil(HALF_ENTRIES)
}

/// Errors, in units of `B |q - c|`, that a scan allows for. Few dimensions leave fewer entries between a bucket's
/// neighbours and the rest, so that a wrong refusal costs more.
pub fn slack(dim: usize) -> f32 {
    const WIDE: (f32, f32) = (256.0, 1.0);
    const NARROW: (f32, f32) = (128.0, 1.2);
    let share = ((dim as f32 - NARROW.0) / (WIDE.0 - NARROW.0)).clamp(0.0, 1.0);
    NARROW.1 + share * (WIDE.1 - NARROW.1)
}

/// The code of one entry before it goes into a block.
#[derive(Clone, Debug, Default)]
pub struct BitCode {
    /// Four signs each, lowest bit first.
    groups: Vec<u8>,
    a: f32,
    b: f32,
}

impl BitCode {
    /// Codes the rotated `row` relative to `centre`, both less `origin` where that is not zero.
    pub fn set(&mut self, metric: Metric, row: &[f32], centre: &[f32], origin: &[f32]) {
        self.groups.resize(row.len().div_ceil(GROUP), 0);
        let ResidualSums { norm2, absolute, signed_centre, product } =
            (kernels().bits_encode)(row, centre, origin, &mut self.groups);
        let factor = if absolute > 0.0 { norm2 / absolute } else { 0.0 };
        (self.a, self.b) = match metric {
            Metric::L2 | Metric::Cosine => (norm2 + 2.0 * factor * signed_centre, 2.0 * factor),
            Metric::Dot => (factor * signed_centre - product, factor),
        };
    }

    /// Adds to the distance that the entry stands for.
    pub fn add(&mut self, distance: f32) {
        self.a += distance;
    }

    /// Writes the code as entry `at` of blocks that have none there.
    pub fn write(&self, blocks: &mut Blocks<'_>, at: usize) {
        let place = blocks.place(at);
        for (group, &bits) in self.groups.iter().enumerate() {
            let (byte, shift) = place.code(group);
            blocks.bytes[byte] |= bits << shift;
        }
        // Beyond the range of f32 an entry is never refused: its row is then read for nothing, not lost.
        let a = if self.a.is_finite() { self.a } else { f32::MIN };
        write_number(blocks.bytes, place.a, upper_half(a));
        write_number(blocks.bytes, place.b, upper_half(self.b));
    }
}

/// The nearest number whose lower half is zero; finite for finite values.
fn upper_half(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.saturating_add(0x7fff + (bits >> 16 & 1));
    let half = (rounded >> 16) as u16;
    if half & 0x7fff >= NEVER { (bits >> 16) as u16 } else { half }
}

fn write_number(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

/// Where an entry stands in the bytes of blocks.
struct Place {
    /// Its byte of the first line.
    byte: usize,
    /// Its place within the block.
    entry: usize,
    whole: bool,
    /// Its number A.
    a: usize,
    /// Its number B.
    b: usize,
}

impl Place {
    fn new(blocks: usize, half: usize, at: usize) -> Place {
        let codes = half - 2 * 2 * HALF_ENTRIES;
        let (block, entry) = (at / BLOCK_ENTRIES, at % BLOCK_ENTRIES);
        let start = block * 2 * half;
        if block < blocks / (2 * half) {
            let a = start + 2 * codes + 2 * entry;
            Place { byte: start + entry % HALF_ENTRIES, entry, whole: true, a, b: a + 2 * BLOCK_ENTRIES }
        } else {
            let a = start + codes + 2 * entry;
            Place { byte: start + entry, entry, whole: false, a, b: a + 2 * HALF_ENTRIES }
        }
    }

    /// Byte and shift of the bits of four dimensions.
    fn code(&self, group: usize) -> (usize, usize) {
        if self.whole {
            (self.byte + 16 * group, if self.entry < HALF_ENTRIES { 0 } else { GROUP })
        } else {
            (self.byte + group / 8 * LINE_BYTES + group % 4 * 16, if group % 8 < 4 { 0 } else { GROUP })
        }
    }
}

/// Blocks of entries under construction: whole ones, then at most one half.
pub struct Blocks<'a> {
    bytes: &'a mut [u8],
    half: usize,
}

impl Blocks<'_> {
    /// Blocks without entries over `bytes`, a multiple of [`half_bytes`] of `dim`.
    pub fn clear(bytes: &mut [u8], dim: usize) -> Blocks<'_> {
        bytes.fill(0);
        let half = half_bytes(dim);
        let blocks = Blocks { bytes, half };
        for at in 0..blocks.bytes.len() / half * HALF_ENTRIES {
            let place = blocks.place(at);
            write_number(blocks.bytes, place.a, NEVER);
        }
        blocks
    }

    fn place(&self, at: usize) -> Place {
        Place::new(self.bytes.len(), self.half, at)
    }

    /// Copies entry `source` of other blocks of the same dimension to place `at`, which is none.
    pub fn copy(&mut self, at: usize, from: &[u8], source: usize) {
        let (to, source) = (self.place(at), Place::new(from.len(), self.half, source));
        for group in 0..(self.half - 2 * 2 * HALF_ENTRIES) / 8 {
            let ((byte, shift), (from_byte, from_shift)) = (to.code(group), source.code(group));
            self.bytes[byte] |= (from[from_byte] >> from_shift & 0x0f) << shift;
        }
        for (to, source) in [(to.a, source.a), (to.b, source.b)] {
            self.bytes[to..to + 2].copy_from_slice(&from[source..source + 2]);
        }
    }

    /// Copies whole block `source` of other blocks of the same dimension to whole block `at`.
    pub fn copy_whole(&mut self, at: usize, from: &[u8], source: usize) {
        let bytes = 2 * self.half;
        self.bytes[at * bytes..][..bytes].copy_from_slice(&from[source * bytes..][..bytes]);
    }
}

/// Whether entry `at` of blocks is none.
pub fn is_clear(blocks: &[u8], dim: usize, at: usize) -> bool {
    let place = Place::new(blocks.len(), half_bytes(dim), at);
    blocks[place.a..place.a + 2] == NEVER.to_le_bytes()
}

/// What the entries of one centre share.
#[derive(Clone, Copy, Debug)]
pub struct Centre {
    /// `|q - c|^2`, or `-<q, c>` under dot.
    pub distance: f32,
    /// `|q - c|`.
    pub reach: f32,
}

/// A query in the form that the block kernels take. Made once per thread, then [`BitQuery::set`] for each query.
#[derive(Clone, Debug)]
pub struct BitQuery {
    table: Lines,
    scale: TableScale,
    slack: f32,
    shifted: Vec<f32>,
}

impl BitQuery {
    /// Room for a query of `dim` dimensions.
    pub fn new(dim: usize) -> BitQuery {
        BitQuery {
            table: Lines::zeroed(table_bytes(dim)),
            scale: TableScale::default(),
            slack: slack(dim),
            shifted: vec![0.0; dim],
        }
    }

    /// Builds the table of a rotated query; allocates nothing.
    pub fn set(&mut self, rotated: &[f32], origin: &[f32]) {
        for ((shifted, value), origin) in self.shifted.iter_mut().zip(rotated).zip(origin) {
            *shifted = value - origin;
        }
        self.scale = (kernels().bits_table)(&self.shifted, self.table.as_mut_slice());
    }

    /// The query less the origin.
    pub fn shifted(&self) -> &[f32] {
        &self.shifted
    }

    /// For each block of a bucket the entries that may be nearer than `threshold`; `ahead` is what will be read soon.
    #[inline]
    pub fn scan(&self, blocks: &[u8], centre: Centre, threshold: f32, ahead: &[u8], masks: &mut [u32]) {
        let limit = BlockLimit {
            limit: threshold - centre.distance,
            offset: self.scale.offset + self.slack * centre.reach,
            step: self.scale.step,
        };
        (kernels().bits_scan)(blocks, self.table.as_slice(), limit, ahead, masks);
    }

    /// The lowest distance that a scan takes an entry of `centre` for, but for the rounding of its numbers.
    pub fn bound(&self, code: &BitCode, centre: Centre) -> f32 {
        let level = |(group, &bits): (usize, &u8)| u32::from(self.table.as_slice()[16 * group + usize::from(bits)]);
        let sum: u32 = code.groups.iter().enumerate().map(level).sum();
        let product = self.scale.offset + self.slack * centre.reach + self.scale.step * sum as f32;
        code.a + centre.distance - code.b * product
    }

    /// Estimated distance of each entry, less what its centre adds.
    pub fn estimates(&self, blocks: &[u8], out: &mut [f32]) {
        (kernels().bits_estimates)(blocks, self.table.as_slice(), self.scale, out);
    }

    /// Makes of the estimates of the entries of `centre` the lowest distances that a scan takes them for, but for the rounding of its
    /// numbers; both less what the centre adds.
    pub fn lower(&self, blocks: &[u8], centre: Centre, estimates: &mut [f32]) {
        let codes = self.table.as_slice().len();
        let half = half_block_bytes(codes);
        let reach = self.slack * centre.reach;
        let (whole, rest) = blocks.split_at(blocks.len() / (2 * half) * 2 * half);
        let (outs, out) = estimates.as_chunks_mut::<BLOCK_ENTRIES>();
        for (block, out) in whole.chunks_exact(2 * half).zip(outs) {
            lower_by(reach, &block[codes + 2 * BLOCK_ENTRIES..], out);
        }
        if !rest.is_empty() {
            lower_by(reach, &rest[codes / 2 + 2 * HALF_ENTRIES..], out);
        }
    }
}

/// Lowers estimates by `reach` times the numbers B of their entries.
fn lower_by(reach: f32, numbers: &[u8], estimates: &mut [f32]) {
    for (estimate, number) in estimates.iter_mut().zip(numbers.as_chunks::<2>().0) {
        *estimate -= reach * f32::from_bits(u32::from(u16::from_le_bytes(*number)) << 16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::rng;
    use rand::RngExt;

    fn vector(dim: usize, seed: u64, scale: f32) -> Vec<f32> {
        let mut rng = rng(seed);
        (0..dim).map(|_| scale * (0..6).map(|_| rng.random_range(-1.0f32..1.0)).sum::<f32>()).collect()
    }

    fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f32 {
        match metric {
            Metric::Dot => -(kernels().dot)(a, b),
            _ => (kernels().l2)(a, b),
        }
    }

    /// Blocks with an entry for each row, and the query's estimates of them.
    fn estimates(metric: Metric, rows: &[Vec<f32>], centre: &[f32], origin: &[f32], query: &[f32]) -> Vec<f32> {
        let dim = centre.len();
        let mut bytes = vec![0; halves(rows.len()) * half_bytes(dim)];
        let mut blocks = Blocks::clear(&mut bytes, dim);
        let mut code = BitCode::default();
        for (at, row) in rows.iter().enumerate() {
            code.set(metric, row, centre, origin);
            code.write(&mut blocks, at);
        }
        let mut bits = BitQuery::new(dim);
        bits.set(query, origin);
        let mut out = vec![0.0; rows.len().next_multiple_of(HALF_ENTRIES)];
        bits.estimates(&bytes, &mut out);
        assert!(out[rows.len()..].iter().all(|estimate| *estimate == f32::INFINITY));
        out[..rows.len()].iter().map(|estimate| estimate + distance(metric, query, centre)).collect()
    }

    #[test]
    fn estimates_are_unbiased_and_within_their_error() {
        for metric in [Metric::L2, Metric::Dot] {
            for dim in [30, 128, 384, 777] {
                let centre = vector(dim, 1, 1.0);
                let origin = if metric == Metric::Dot { vec![0.0; dim] } else { vector(dim, 2, 0.2) };
                let query = vector(dim, 3, 1.0);
                let add = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<_>>();
                let rows: Vec<Vec<f32>> = (0..500).map(|n| add(&centre, &vector(dim, 10 + n, 0.5))).collect();
                let reach = (kernels().l2)(&query, &centre).sqrt();
                let errors: Vec<f32> = estimates(metric, &rows, &centre, &origin, &query)
                    .iter()
                    .zip(&rows)
                    .map(|(estimate, row)| {
                        let mut code = BitCode::default();
                        code.set(metric, row, &centre, &origin);
                        (estimate - distance(metric, &query, row)) / (code.b * reach)
                    })
                    .collect();
                let mean = errors.iter().sum::<f32>() / errors.len() as f32;
                let spread = (errors.iter().map(|error| error * error).sum::<f32>() / errors.len() as f32).sqrt();
                assert!(mean.abs() < 0.2, "{metric:?} {dim}: mean {mean}");
                assert!((0.4..0.9).contains(&spread), "{metric:?} {dim}: spread {spread}");
            }
        }
    }

    #[test]
    fn entries_move_between_whole_and_half_blocks() {
        let (dim, count) = (70, BLOCK_ENTRIES + HALF_ENTRIES);
        let (centre, origin) = (vector(dim, 1, 1.0), vector(dim, 2, 0.1));
        let (mut from, mut to) = (vec![0; 3 * half_bytes(dim)], vec![0; 3 * half_bytes(dim)]);
        let mut blocks = Blocks::clear(&mut from, dim);
        let mut code = BitCode::default();
        for at in 0..count {
            code.set(Metric::L2, &vector(dim, 50 + at as u64, 1.0), &centre, &origin);
            code.write(&mut blocks, at);
        }
        let mut moved = Blocks::clear(&mut to, dim);
        (0..count).for_each(|at| assert!(is_clear(moved.bytes, dim, at) && !is_clear(&from, dim, at)));
        (0..count).for_each(|at| moved.copy(count - 1 - at, &from, at));
        let mut bits = BitQuery::new(dim);
        bits.set(&vector(dim, 3, 1.0), &origin);
        let (mut a, mut b) = (vec![0.0; count], vec![0.0; count]);
        bits.estimates(&from, &mut a);
        bits.estimates(&to, &mut b);
        b.reverse();
        assert_eq!(a, b);
        Blocks::clear(&mut to, dim).copy_whole(0, &from, 0);
        bits.estimates(&to, &mut b);
        assert_eq!(a[..BLOCK_ENTRIES], b[..BLOCK_ENTRIES]);
        assert!(b[BLOCK_ENTRIES..].iter().all(|estimate| *estimate == f32::INFINITY));
    }

    #[test]
    fn lowered_estimates_are_what_a_scan_compares() {
        let (dim, rows) = (70, BLOCK_ENTRIES + HALF_ENTRIES - 3);
        let (middle, origin, query) = (vector(dim, 1, 1.0), vector(dim, 2, 0.1), vector(dim, 3, 1.0));
        let mut bytes = vec![0; 3 * half_bytes(dim)];
        let mut blocks = Blocks::clear(&mut bytes, dim);
        let mut code = BitCode::default();
        for at in 0..rows {
            code.set(Metric::L2, &vector(dim, 50 + at as u64, 1.0), &middle, &origin);
            code.write(&mut blocks, at);
        }
        let mut bits = BitQuery::new(dim);
        bits.set(&query, &origin);
        let away = distance(Metric::L2, &query, &middle);
        let centre = Centre { distance: away, reach: away.sqrt() };
        let mut lower = vec![0.0; BLOCK_ENTRIES + HALF_ENTRIES];
        bits.estimates(&bytes, &mut lower);
        bits.lower(&bytes, centre, &mut lower);
        assert!(lower[rows..].iter().all(|bound| *bound == f32::INFINITY));
        let mut ascending = lower[..rows].to_vec();
        ascending.sort_unstable_by(f32::total_cmp);
        for pair in ascending.windows(2).filter(|pair| pair[1] - pair[0] > 1e-4 * pair[1].abs()) {
            let limit = (pair[0] + pair[1]) / 2.0;
            let mut masks = [0; 2];
            bits.scan(&bytes, centre, limit + centre.distance, &[], &mut masks);
            let passes = |at: usize| masks[at / BLOCK_ENTRIES] >> (at % BLOCK_ENTRIES) & 1 == 1;
            assert!((0..lower.len()).all(|at| passes(at) == (lower[at] < limit)), "below {limit}");
        }
    }

    #[test]
    fn a_row_on_its_centre_and_one_beyond_range_are_never_lost() {
        let centre = vec![1.0; 20];
        let found = estimates(Metric::L2, &[centre.clone(), vec![1e30; 20]], &centre, &[0.0; 20], &[3.0; 20]);
        assert!((found[0] - 80.0).abs() < 1.0 && found[1] < 0.0, "{found:?}");
    }
}
