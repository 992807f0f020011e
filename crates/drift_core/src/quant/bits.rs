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

use crate::kernels::{BLOCK_ENTRIES, BLOCK_FACTOR_BYTES, BlockLimit, TableScale, kernels};
use crate::types::{LINE_BYTES, Lines, Metric};

/// Dimensions of a table of 16 values, hence of half a byte of an entry.
const GROUP: usize = 4;

/// Upper half of f32 infinity: the A of an entry that is none, which no limit admits.
const NEVER: u16 = 0x7f80;

/// Bytes of the codes of a block, and of a query's table.
pub fn table_bytes(dim: usize) -> usize {
    dim.div_ceil(16) * LINE_BYTES
}

/// Bytes of a block.
pub fn block_bytes(dim: usize) -> usize {
    table_bytes(dim) + BLOCK_FACTOR_BYTES
}

/// Errors, in units of `B |q - c|`, that a scan allows for. Few dimensions leave fewer entries between a bucket's
/// neighbours and the rest, so that a wrong refusal costs more.
pub fn slack(dim: usize) -> f32 {
    const WIDE: (f32, f32) = (256.0, 0.9);
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
        self.groups.clear();
        let (mut norm2, mut sum, mut signed_centre, mut product) = (0.0f32, 0.0f32, 0.0f32, 0.0f32);
        let groups = row.chunks(GROUP).zip(centre.chunks(GROUP)).zip(origin.chunks(GROUP));
        for ((row, centre), origin) in groups {
            let mut bits = 0;
            for (at, ((&x, &c), &mean)) in row.iter().zip(centre).zip(origin).enumerate() {
                let residual = x - c;
                let c = c - mean;
                let positive = residual >= 0.0;
                bits |= u8::from(positive) << at;
                norm2 += residual * residual;
                sum += residual.abs();
                signed_centre += if positive { c } else { -c };
                product += residual * c;
            }
            self.groups.push(bits);
        }
        let factor = if sum > 0.0 { norm2 / sum } else { 0.0 };
        (self.a, self.b) = match metric {
            Metric::L2 | Metric::Cosine => (norm2 + 2.0 * factor * signed_centre, 2.0 * factor),
            Metric::Dot => (factor * signed_centre - product, factor),
        };
    }

    /// Adds to the distance that the entry stands for.
    pub fn add(&mut self, distance: f32) {
        self.a += distance;
    }

    /// Writes the code as entry `at` of a block that has none there.
    pub fn write(&self, block: &mut [u8], at: usize) {
        for (group, &bits) in self.groups.iter().enumerate() {
            block[code_byte(group, at)] |= bits << code_shift(at);
        }
        // Beyond the range of f32 an entry is never refused: its row is then read for nothing, not lost.
        let a = if self.a.is_finite() { self.a } else { f32::MIN };
        write_factor(block, at, upper_half(a));
        write_factor(block, BLOCK_ENTRIES + at, upper_half(self.b));
    }
}

fn code_byte(group: usize, entry: usize) -> usize {
    group * (LINE_BYTES / GROUP) + entry % (BLOCK_ENTRIES / 2)
}

fn code_shift(entry: usize) -> usize {
    if entry < BLOCK_ENTRIES / 2 { 0 } else { GROUP }
}

/// The nearest number whose lower half is zero; finite for finite values.
fn upper_half(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.saturating_add(0x7fff + (bits >> 16 & 1));
    let half = (rounded >> 16) as u16;
    if half & 0x7fff >= NEVER { (bits >> 16) as u16 } else { half }
}

fn factor_at(block: &[u8], at: usize) -> usize {
    block.len() - BLOCK_FACTOR_BYTES + 2 * at
}

fn write_factor(block: &mut [u8], at: usize, value: u16) {
    let start = factor_at(block, at);
    block[start..start + 2].copy_from_slice(&value.to_le_bytes());
}

/// Makes every entry of a block none.
pub fn clear(block: &mut [u8]) {
    block.fill(0);
    (0..BLOCK_ENTRIES).for_each(|entry| write_factor(block, entry, NEVER));
}

/// Whether entry `at` of a block is none.
pub fn is_clear(block: &[u8], at: usize) -> bool {
    let start = factor_at(block, at);
    block[start..start + 2] == NEVER.to_le_bytes()
}

/// Copies entry `source` of a block to place `target`, which is none, of another.
pub fn copy(from: &[u8], source: usize, to: &mut [u8], target: usize) {
    let codes = from.len() - BLOCK_FACTOR_BYTES;
    for group in 0..codes / (LINE_BYTES / GROUP) {
        let bits = from[code_byte(group, source)] >> code_shift(source) & 0x0f;
        to[code_byte(group, target)] |= bits << code_shift(target);
    }
    for shift in [0, BLOCK_ENTRIES] {
        let start = factor_at(from, shift + source);
        let value = u16::from_le_bytes([from[start], from[start + 1]]);
        write_factor(to, shift + target, value);
    }
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
        let mut blocks = vec![0; rows.len().div_ceil(BLOCK_ENTRIES) * block_bytes(dim)];
        blocks.chunks_exact_mut(block_bytes(dim)).for_each(clear);
        let mut code = BitCode::default();
        for (at, row) in rows.iter().enumerate() {
            code.set(metric, row, centre, origin);
            code.write(&mut blocks[at / BLOCK_ENTRIES * block_bytes(dim)..][..block_bytes(dim)], at % BLOCK_ENTRIES);
        }
        let mut bits = BitQuery::new(dim);
        bits.set(query, origin);
        let mut out = vec![0.0; rows.len().next_multiple_of(BLOCK_ENTRIES)];
        bits.estimates(&blocks, &mut out);
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
    fn entries_move_between_blocks() {
        let dim = 70;
        let (centre, origin) = (vector(dim, 1, 1.0), vector(dim, 2, 0.1));
        let (mut from, mut to) = (vec![0; block_bytes(dim)], vec![0; block_bytes(dim)]);
        clear(&mut from);
        clear(&mut to);
        let mut code = BitCode::default();
        for at in 0..BLOCK_ENTRIES {
            code.set(Metric::L2, &vector(dim, 50 + at as u64, 1.0), &centre, &origin);
            code.write(&mut from, at);
        }
        for at in 0..BLOCK_ENTRIES {
            assert!(is_clear(&to, 31 - at) && !is_clear(&from, at));
            copy(&from, at, &mut to, 31 - at);
        }
        let mut bits = BitQuery::new(dim);
        bits.set(&vector(dim, 3, 1.0), &origin);
        let (mut a, mut b) = ([0.0; BLOCK_ENTRIES], [0.0; BLOCK_ENTRIES]);
        bits.estimates(&from, &mut a);
        bits.estimates(&to, &mut b);
        b.reverse();
        assert_eq!(a, b);
    }

    #[test]
    fn a_row_on_its_centre_and_one_beyond_range_are_never_lost() {
        let centre = vec![1.0; 20];
        let found = estimates(Metric::L2, &[centre.clone(), vec![1e30; 20]], &centre, &[0.0; 20], &vec![3.0; 20]);
        assert!((found[0] - 80.0).abs() < 1.0 && found[1] < 0.0, "{found:?}");
    }
}
