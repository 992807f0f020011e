//! The kernels in plain Rust: the oracle of the tests and the fallback of every processor.
//!
//! Layer 1, private to `kernels`. The loops keep independent partial sums so that the compiler may vectorise them with
//! whatever the target has as a baseline (SSE2 or NEON).

use super::{
    BLOCK_ENTRIES, BlockLimit, CodeSums, HALF_ENTRIES, Kernels, ResidualSums, TableScale, check_blocks, check_codes,
    check_hadamard, check_pair, check_products, check_residual, check_scores, check_table, half, half_blocks, prefetch,
    split_blocks, table_levels,
};
use crate::types::LINE_BYTES;

/// The scalar table.
pub(super) static KERNELS: Kernels = Kernels {
    name: "scalar",
    l2,
    dot,
    widen: half::scalar,
    sq8_dot,
    sq8_dots,
    sq8_products,
    sq8_encode,
    min_max,
    bits_encode,
    bits_table,
    bits_scan,
    bits_estimates,
    block_scores,
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

fn sq8_products(codes: &[u8], queries: &[i8], stride: usize, out: &mut [i32]) {
    let rows = check_products(codes, queries, stride, out);
    for (query, out) in queries.chunks_exact(stride).zip(out.chunks_exact_mut(rows.max(1))) {
        sq8_dots(codes, query, out);
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

/// The signs and sums of a residual, sixteen dimensions at a time, each lane with sums of its own: compiled for wider registers, the
/// vector tables use it too, with the same bits.
#[inline(always)]
pub(super) fn bits_encode(row: &[f32], centre: &[f32], origin: &[f32], signs: &mut [u8]) -> ResidualSums {
    const LANES: usize = 16;
    check_residual(row, centre, origin, signs);
    let mut sums = [[0.0f32; LANES]; 4];
    let mut add = |row: &[f32; LANES], centre: &[f32; LANES], origin: &[f32; LANES]| {
        let mut bits = 0u16;
        for at in 0..LANES {
            let residual = row[at] - centre[at];
            let centre = centre[at] - origin[at];
            let is_positive = residual >= 0.0;
            bits |= u16::from(is_positive) << at;
            sums[0][at] += residual * residual;
            sums[1][at] += residual.abs();
            sums[2][at] += if is_positive { centre } else { -centre };
            sums[3][at] += residual * centre;
        }
        [bits & 15, bits >> 4 & 15, bits >> 8 & 15, bits >> 12].map(|bits| bits as u8)
    };
    let (rows, row_rest) = row.as_chunks::<LANES>();
    let (centres, centre_rest) = centre.as_chunks::<LANES>();
    let (origins, origin_rest) = origin.as_chunks::<LANES>();
    let (whole, signs_rest) = signs.split_at_mut(rows.len() * LANES / 4);
    for (((row, centre), origin), signs) in rows.iter().zip(centres).zip(origins).zip(whole.as_chunks_mut::<4>().0) {
        *signs = add(row, centre, origin);
    }
    if !row_rest.is_empty() {
        // What is missing adds nothing: its residual and its centre are zero.
        let padded = |rest: &[f32]| std::array::from_fn(|at| rest.get(at).copied().unwrap_or(0.0));
        let bits = add(&padded(row_rest), &padded(centre_rest), &padded(origin_rest));
        signs_rest.copy_from_slice(&bits[..signs_rest.len()]);
        if let (Some(last), rest @ 1..) = (signs_rest.last_mut(), row_rest.len() % 4) {
            *last &= (1 << rest) - 1;
        }
    }
    let [norm2, absolute, signed_centre, product] = sums.map(|lanes| lanes.iter().sum());
    ResidualSums { norm2, absolute, signed_centre, product }
}

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

/// Sums of the table values of half a block's entries.
#[inline(always)]
fn half_sums(codes: &[u8], table: &[u8]) -> [u16; HALF_ENTRIES] {
    let mut sums = [0u16; HALF_ENTRIES];
    let (codes, _) = codes.as_chunks::<16>();
    let (tables, _) = table.as_chunks::<16>();
    for (at, codes) in codes.iter().enumerate() {
        let (lower, upper) = (&tables[at / 4 * 8 + at % 4], &tables[at / 4 * 8 + 4 + at % 4]);
        for (sum, &code) in sums.iter_mut().zip(codes) {
            *sum += u16::from(lower[usize::from(code & 15)]) + u16::from(upper[usize::from(code >> 4)]);
        }
    }
    sums
}

/// The numbers A and B of each of `N` entries.
#[inline(always)]
fn factors<const N: usize>(numbers: &[u8]) -> [(f32, f32); N] {
    let (numbers, _) = numbers.as_chunks::<2>();
    let number = |at: usize| f32::from_bits(u32::from(u16::from_le_bytes(numbers[at])) << 16);
    std::array::from_fn(|entry| (number(entry), number(entry + N)))
}

fn bits_scan(blocks: &[u8], table: &[u8], limit: BlockLimit, ahead: &[u8], masks: &mut [u32]) {
    prefetch(ahead);
    let halves = half_blocks(blocks, table);
    check_blocks(blocks, table, halves);
    assert_eq!(masks.len(), halves.div_ceil(2), "a mask for every block");
    let below = |entry: usize, sum: u16, (a, b): (f32, f32)| {
        u32::from(a < limit.limit + b * (limit.offset + limit.step * f32::from(sum))) << entry
    };
    let (whole, half) = split_blocks(blocks, table);
    for (block, mask) in whole.zip(&mut *masks) {
        let (codes, numbers) = block.split_at(table.len());
        let entries = block_sums(codes, table).into_iter().zip(factors::<BLOCK_ENTRIES>(numbers)).enumerate();
        *mask = entries.map(|(entry, (sum, numbers))| below(entry, sum, numbers)).sum();
    }
    if let (false, Some(mask)) = (half.is_empty(), masks.last_mut()) {
        let (codes, numbers) = half.split_at(table.len() / 2);
        let entries = half_sums(codes, table).into_iter().zip(factors::<HALF_ENTRIES>(numbers)).enumerate();
        *mask = entries.map(|(entry, (sum, numbers))| below(entry, sum, numbers)).sum();
    }
}

fn bits_estimates(blocks: &[u8], table: &[u8], scale: TableScale, out: &mut [f32]) {
    assert!(out.len().is_multiple_of(HALF_ENTRIES), "an estimate for every entry");
    check_blocks(blocks, table, out.len() / HALF_ENTRIES);
    let estimate = |sum: u16, (a, b): (f32, f32)| a - b * (scale.offset + scale.step * f32::from(sum));
    let (whole, half) = split_blocks(blocks, table);
    let (outs, rest) = out.as_chunks_mut::<BLOCK_ENTRIES>();
    for (block, out) in whole.zip(outs) {
        let (codes, numbers) = block.split_at(table.len());
        let entries = block_sums(codes, table).into_iter().zip(factors::<BLOCK_ENTRIES>(numbers));
        entries.zip(out).for_each(|((sum, numbers), out)| *out = estimate(sum, numbers));
    }
    if !half.is_empty() {
        let (codes, numbers) = half.split_at(table.len() / 2);
        let entries = half_sums(codes, table).into_iter().zip(factors::<HALF_ENTRIES>(numbers));
        entries.zip(rest).for_each(|((sum, numbers), out)| *out = estimate(sum, numbers));
    }
}

/// Inlined into the tables of other instruction sets, whose registers it then uses.
#[inline(always)]
pub(super) fn block_scores(scores: &mut [f32], weight: f32, offset: f32, addends: &[f32], minima: &mut [f32]) {
    check_scores(scores, addends, minima);
    let (blocks, _) = scores.as_chunks_mut::<BLOCK_ENTRIES>();
    let (addends, _) = addends.as_chunks::<BLOCK_ENTRIES>();
    for (at, (scores, least)) in blocks.iter_mut().zip(minima).enumerate() {
        let addends = addends.get(at).unwrap_or(&[0.0; BLOCK_ENTRIES]);
        let mut lanes = [f32::INFINITY; HALF_ENTRIES];
        for (half, added) in
            scores.as_chunks_mut::<HALF_ENTRIES>().0.iter_mut().zip(addends.as_chunks::<HALF_ENTRIES>().0)
        {
            for ((score, addend), lane) in half.iter_mut().zip(added).zip(&mut lanes) {
                *score = *score * weight + (offset + addend);
                *lane = if *score < *lane { *score } else { *lane };
            }
        }
        *least = lanes.into_iter().fold(f32::INFINITY, |least, lane| if lane < least { lane } else { least });
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
