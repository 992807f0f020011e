//! The kernels in plain Rust: the oracle of the tests and the fallback of every processor.
//!
//! Layer 1, private to `kernels`. The loops keep independent partial sums so that the compiler may vectorise them with
//! whatever the target has as a baseline (SSE2 or NEON).

use super::{CodeSums, Kernels, check_codes, check_hadamard, check_pair};

/// The scalar table.
pub(super) static KERNELS: Kernels =
    Kernels { name: "scalar", l2, dot, sq8_dot, sq8_dots, sq8_encode, min_max, hadamard };

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
