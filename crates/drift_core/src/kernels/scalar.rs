//! The kernels in plain Rust: the oracle of the tests and the fallback of every processor.
//!
//! Layer 1, private to `kernels`. The loops keep independent partial sums so that the compiler may vectorise them with
//! whatever the target has as a baseline (SSE2 or NEON).

use super::{
    BLOCK_ENTRIES, BLOCK_FACTOR_BYTES, BlockLimit, CodeSums, Kernels, TableScale, check_blocks, check_codes,
    check_hadamard, check_pair, check_table, prefetch, table_levels,
};
use crate::types::LINE_BYTES;

/// The scalar table.
pub(super) static KERNELS: Kernels = Kernels {
    name: "scalar",
    l2,
    dot,
    sq8_dot,
    sq8_dots,
    sq8_encode,
    min_max,
    bits_table,
    bits_scan,
    bits_estimates,
    between: |values, low, high, found| between(values, low, high, found, 0),
    hadamard,
};

/// Partial sums of the float kernels: as many as the widest register has lanes.
const LANES: usize = 16;

#[inline(always)]
fn sum_pairs(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    check_pair(a, b);
    let mut partial = [0.0f32; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            partial[lane] += term(a[lane], b[lane]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(&a, &b)| term(a, b)).sum();
    partial.iter().sum::<f32>() + rest
}

fn l2(a: &[f32], b: &[f32]) -> f32 {
    sum_pairs(a, b, |a, b| (a - b) * (a - b))
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum_pairs(a, b, |a, b| a * b)
}

#[inline(always)]
fn sq8_row(codes: &[u8], query: &[i8]) -> i32 {
    codes.iter().zip(query).map(|(&code, &query)| i32::from(code) * i32::from(query)).sum()
}

fn sq8_dot(codes: &[u8], query: &[i8]) -> i32 {
    check_codes(codes, query, 1);
    sq8_row(codes, query)
}

fn sq8_dots(codes: &[u8], query: &[i8], out: &mut [i32]) {
    check_codes(codes, query, out.len());
    if query.is_empty() {
        out.fill(0);
        return;
    }
    for (row, out) in codes.chunks_exact(query.len()).zip(out) {
        *out = sq8_row(row, query);
    }
}

/// `value` rounded to a whole number, ties to even, for magnitudes below 2^22: adding 1.5 * 2^23 leaves no room for a
/// fraction. Baseline x86-64 has no rounding instruction and would call a function for each value.
#[inline(always)]
fn nearest_whole(value: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (value + SHIFT) - SHIFT
}

/// Encodes a tail or a whole row; the vector kernels end with it.
#[inline(always)]
pub(super) fn sq8_encode(values: &[f32], mid: f32, scale: f32, codes: &mut [u8]) -> CodeSums {
    check_pair(values, codes);
    let mut sums = CodeSums::default();
    for (&value, code) in values.iter().zip(codes) {
        let level = nearest_whole(((value - mid) * scale).clamp(-128.0, 127.0)) as i32;
        *code = (level + 128) as u8;
        sums.sum += i64::from(level);
        sums.squares += i64::from(level * level);
    }
    sums
}

/// Range of a tail or a whole row; the vector kernels end with it.
#[inline(always)]
pub(super) fn min_max(values: &[f32]) -> (f32, f32) {
    values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| {
        (if value < low { value } else { low }, if value > high { value } else { high })
    })
}

/// Dimensions that share a table of 16 values.
const GROUP: usize = 4;

/// Sign of each of four dimensions in each of the 16 patterns of their bits.
const SIGNS: [[f32; 16]; GROUP] = {
    let mut signs = [[-1.0; 16]; GROUP];
    let mut pattern = 0;
    while pattern < 16 {
        let mut bit = 0;
        while bit < GROUP {
            if pattern >> bit & 1 == 1 {
                signs[bit][pattern] = 1.0;
            }
            bit += 1;
        }
        pattern += 1;
    }
    signs
};

/// The table of `sum +-q_i` over each four dimensions, in whole levels; wider tables inline it under their own
/// instruction set, so all agree to the bit.
#[inline(always)]
pub(super) fn bits_table(query: &[f32], table: &mut [u8]) -> TableScale {
    check_table(query, table);
    let span = |group: &[f32]| group.iter().map(|value| value.abs()).sum::<f32>();
    let (widest, total) = query
        .chunks(GROUP)
        .map(span)
        .fold((0.0f32, 0.0), |(widest, total), span| (if span > widest { span } else { widest }, total + span));
    let levels = f32::from(table_levels(table.len() / LINE_BYTES));
    let inverse = levels / (2.0 * widest);
    let (step, inverse) = if inverse.is_finite() { (2.0 * widest / levels, inverse) } else { (0.0, 0.0) };
    let (patterns, _) = table.as_chunks_mut::<16>();
    let (whole, rest) = query.as_chunks::<GROUP>();
    let mut last = [0.0; GROUP];
    last[..rest.len()].copy_from_slice(rest);
    let padding = std::iter::once(&last).chain(std::iter::repeat(&[0.0; GROUP]));
    for (values, q) in patterns.iter_mut().zip(whole.iter().chain(padding)) {
        let span = span(q);
        for pattern in 0..16 {
            let pairs = (SIGNS[0][pattern] * q[0] + SIGNS[1][pattern] * q[1])
                + (SIGNS[2][pattern] * q[2] + SIGNS[3][pattern] * q[3]);
            // The lowest byte of the sum is the whole number nearest to the value; see `nearest_whole`.
            values[pattern] = ((pairs + span) * inverse + 12_582_912.0).to_bits() as u8;
        }
    }
    TableScale { offset: -total, step }
}

/// Sums of the table values of a block's entries.
#[inline(always)]
fn block_sums(codes: &[u8], table: &[u8]) -> [u16; BLOCK_ENTRIES] {
    let mut sums = [0u16; BLOCK_ENTRIES];
    let (codes, _) = codes.as_chunks::<16>();
    let (tables, _) = table.as_chunks::<16>();
    for (codes, values) in codes.iter().zip(tables) {
        for (lane, &code) in codes.iter().enumerate() {
            sums[lane] += u16::from(values[usize::from(code & 15)]);
            sums[lane + 16] += u16::from(values[usize::from(code >> 4)]);
        }
    }
    sums
}

/// The numbers A and B of a block, widened.
#[inline(always)]
fn block_factors(block: &[u8], at: usize) -> [(f32, f32); BLOCK_ENTRIES] {
    let (numbers, _) = block[at..].as_chunks::<2>();
    let number = |at: usize| f32::from_bits(u32::from(u16::from_le_bytes(numbers[at])) << 16);
    std::array::from_fn(|entry| (number(entry), number(entry + BLOCK_ENTRIES)))
}

fn bits_scan(blocks: &[u8], table: &[u8], limit: BlockLimit, ahead: &[u8], masks: &mut [u32]) {
    prefetch(ahead);
    check_blocks(blocks, table, masks.len());
    for (block, mask) in blocks.chunks_exact(table.len() + BLOCK_FACTOR_BYTES).zip(masks) {
        let sums = block_sums(&block[..table.len()], table);
        *mask = 0;
        for (entry, (&sum, (a, b))) in sums.iter().zip(block_factors(block, table.len())).enumerate() {
            let bound = limit.limit + b * (limit.offset + limit.step * f32::from(sum));
            *mask |= u32::from(a < bound) << entry;
        }
    }
}

fn bits_estimates(blocks: &[u8], table: &[u8], scale: TableScale, out: &mut [f32]) {
    assert!(out.len().is_multiple_of(BLOCK_ENTRIES), "an estimate for every entry");
    let count = out.len() / BLOCK_ENTRIES;
    check_blocks(blocks, table, count);
    for (block, out) in blocks.chunks_exact(table.len() + BLOCK_FACTOR_BYTES).zip(out.chunks_exact_mut(BLOCK_ENTRIES)) {
        let sums = block_sums(&block[..table.len()], table);
        for ((out, &sum), (a, b)) in out.iter_mut().zip(&sums).zip(block_factors(block, table.len())) {
            *out = a - b * (scale.offset + scale.step * f32::from(sum));
        }
    }
}

/// The indices, each plus `first`, of the values within bounds; the vector kernels end with it.
#[inline(always)]
pub(super) fn between(values: &[f32], low: f32, high: f32, found: &mut [u32], first: u32) -> usize {
    check_pair(values, found);
    let mut count = 0;
    for (at, &value) in values.iter().enumerate() {
        found[count] = first + at as u32;
        count += usize::from(low <= value && value < high);
    }
    count
}

fn hadamard(values: &mut [f32], weights: &[f32]) {
    check_hadamard(values, weights);
    weigh(values, weights);
    let mut half = 1;
    while half < values.len() {
        butterflies(values, half);
        half *= 2;
    }
}

/// Multiplies `values` by `weights`, one by one.
#[inline(always)]
pub(super) fn weigh(values: &mut [f32], weights: &[f32]) {
    for (value, weight) in values.iter_mut().zip(weights) {
        *value *= weight;
    }
}

/// One stage of the fast Walsh-Hadamard transform: sums and differences of elements `half` apart. Wider tables inline
/// it under their own instruction set; every table runs the stages in the same order, so all agree to the bit.
#[inline(always)]
pub(super) fn butterflies(values: &mut [f32], half: usize) {
    for block in values.chunks_exact_mut(2 * half) {
        let (low, high) = block.split_at_mut(half);
        for (a, b) in low.iter_mut().zip(high) {
            (*a, *b) = (*a + *b, *a - *b);
        }
    }
}
