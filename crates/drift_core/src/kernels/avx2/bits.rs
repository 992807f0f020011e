//! Blocks of 1-bit codes in AVX2: a line is two registers of two groups of dimensions each.
//!
//! Layer 1, private to `kernels`.

use crate::kernels::{
    BLOCK_ENTRIES, BYTE_SUM_LINES, BlockLimit, ResidualSums, TableScale, prefetch, scalar, split_blocks,
};
use crate::types::LINE_BYTES;
use std::arch::x86_64::*;

/// Cache lines to be asked for.
struct Ahead<'a>(&'a [u8]);

impl Ahead<'_> {
    #[inline(always)]
    fn next(&mut self) {
        if let Some((line, rest)) = self.0.split_at_checked(LINE_BYTES) {
            prefetch(line);
            self.0 = rest;
        }
    }
}

#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn encode(row: &[f32], centre: &[f32], origin: &[f32], signs: &mut [u8]) -> ResidualSums {
    scalar::bits_encode(row, centre, origin, signs)
}

#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn scores(scores: &mut [f32], weight: f32, offset: f32, addends: &[f32], minima: &mut [f32]) {
    scalar::block_scores(scores, weight, offset, addends, minima)
}

#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn table(query: &[f32], table: &mut [u8]) -> TableScale {
    scalar::bits_table(query, table)
}

/// Adds the two lanes of two registers of byte sums: 16 sums of 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn fold(first: __m256i, second: __m256i) -> __m256i {
    let widen = |lane| _mm256_cvtepu8_epi16(lane);
    let first = _mm256_add_epi16(widen(_mm256_castsi256_si128(first)), widen(_mm256_extracti128_si256::<1>(first)));
    let second = _mm256_add_epi16(widen(_mm256_castsi256_si128(second)), widen(_mm256_extracti128_si256::<1>(second)));
    _mm256_add_epi16(first, second)
}

/// Eight of 16 sums of 16 bits as floats.
#[inline]
#[target_feature(enable = "avx2")]
fn floats(sums: __m128i) -> __m256 {
    _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(sums))
}

/// Sums of the table values of entries 0..8, 8..16, 16..24 and 24..32.
///
/// SAFETY of the caller: `table.len()` bytes, whole lines, are readable at `codes`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sums(codes: *const u8, table: &[u8], ahead: &mut Ahead<'_>) -> [__m256; 4] {
    const HALF: usize = LINE_BYTES / 2;
    let (nibble, zero) = (_mm256_set1_epi8(0x0f), _mm256_setzero_si256());
    let (mut low_sums, mut high_sums) = (zero, zero);
    let mut at = 0;
    while at < table.len() {
        let end = table.len().min(at + BYTE_SUM_LINES * LINE_BYTES);
        let (mut low0, mut low1, mut high0, mut high1) = (zero, zero, zero, zero);
        while at < end {
            ahead.next();
            // SAFETY: at + 64 <= table.len(), and codes has as many bytes.
            let (line0, line1, values0, values1) = unsafe {
                let (codes, values) = (codes.add(at), table.as_ptr().add(at));
                (
                    _mm256_loadu_si256(codes.cast()),
                    _mm256_loadu_si256(codes.add(HALF).cast()),
                    _mm256_loadu_si256(values.cast()),
                    _mm256_loadu_si256(values.add(HALF).cast()),
                )
            };
            low0 = _mm256_add_epi8(low0, _mm256_shuffle_epi8(values0, _mm256_and_si256(line0, nibble)));
            low1 = _mm256_add_epi8(low1, _mm256_shuffle_epi8(values1, _mm256_and_si256(line1, nibble)));
            let upper0 = _mm256_and_si256(_mm256_srli_epi16::<4>(line0), nibble);
            let upper1 = _mm256_and_si256(_mm256_srli_epi16::<4>(line1), nibble);
            high0 = _mm256_add_epi8(high0, _mm256_shuffle_epi8(values0, upper0));
            high1 = _mm256_add_epi8(high1, _mm256_shuffle_epi8(values1, upper1));
            at += LINE_BYTES;
        }
        low_sums = _mm256_add_epi16(low_sums, fold(low0, low1));
        high_sums = _mm256_add_epi16(high_sums, fold(high0, high1));
    }
    [
        floats(_mm256_castsi256_si128(low_sums)),
        floats(_mm256_extracti128_si256::<1>(low_sums)),
        floats(_mm256_castsi256_si128(high_sums)),
        floats(_mm256_extracti128_si256::<1>(high_sums)),
    ]
}

/// Sums of the table values of entries 0..8 and 8..16 of half a block.
///
/// SAFETY of the caller: `table.len() / 2` bytes, whole lines, are readable at `codes`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn half_sums(codes: *const u8, table: &[u8]) -> [__m256; 2] {
    const HALF: usize = LINE_BYTES / 2;
    let (nibble, zero) = (_mm256_set1_epi8(0x0f), _mm256_setzero_si256());
    let mut all = zero;
    let mut at = 0;
    while at < table.len() {
        let end = table.len().min(at + 2 * BYTE_SUM_LINES * LINE_BYTES);
        let (mut even0, mut even1, mut odd0, mut odd1) = (zero, zero, zero, zero);
        while at < end {
            // SAFETY: at + 128 <= table.len(), whole pairs of lines, and codes has half as many bytes.
            let load = |pointer: *const u8| unsafe { _mm256_loadu_si256(pointer.cast()) };
            // SAFETY: as above.
            let (line, values) = unsafe { (codes.add(at / 2), table.as_ptr().add(at)) };
            let step = |half: usize| {
                // SAFETY: half is 0 or 32, within the lines above.
                let (line, lower, upper) =
                    unsafe { (load(line.add(half)), load(values.add(half)), load(values.add(LINE_BYTES + half))) };
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(line), nibble);
                (_mm256_shuffle_epi8(lower, _mm256_and_si256(line, nibble)), _mm256_shuffle_epi8(upper, high))
            };
            let ((lower0, upper0), (lower1, upper1)) = (step(0), step(HALF));
            even0 = _mm256_add_epi8(even0, lower0);
            even1 = _mm256_add_epi8(even1, lower1);
            odd0 = _mm256_add_epi8(odd0, upper0);
            odd1 = _mm256_add_epi8(odd1, upper1);
            at += 2 * LINE_BYTES;
        }
        all = _mm256_add_epi16(all, _mm256_add_epi16(fold(even0, even1), fold(odd0, odd1)));
    }
    [floats(_mm256_castsi256_si128(all)), floats(_mm256_extracti128_si256::<1>(all))]
}

/// Eight numbers that are the upper halves of f32.
///
/// SAFETY of the caller: 16 bytes are readable at `numbers`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn widen(numbers: *const u8) -> __m256 {
    // SAFETY: the caller's promise.
    let numbers = unsafe { _mm_loadu_si128(numbers.cast()) };
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(numbers)))
}

#[target_feature(enable = "avx2")]
pub(super) unsafe fn scan(blocks: &[u8], table: &[u8], limit: BlockLimit, ahead: &[u8], masks: &mut [u32]) {
    let mut ahead = Ahead(ahead);
    let (limits, offset, step) =
        (_mm256_set1_ps(limit.limit), _mm256_set1_ps(limit.offset), _mm256_set1_ps(limit.step));
    // SAFETY: whoever calls it has the numbers A of eight entries at `a` and their numbers B at `b`.
    let below = |sums: __m256, a: *const u8, b: *const u8| unsafe {
        let product = _mm256_add_ps(offset, _mm256_mul_ps(step, sums));
        let bound = _mm256_add_ps(limits, _mm256_mul_ps(widen(b), product));
        _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(widen(a), bound)) as u32
    };
    let (whole, half) = split_blocks(blocks, table);
    for (block, mask) in whole.zip(&mut *masks) {
        *mask = 0;
        // SAFETY: the block is table.len() bytes of codes, then 64 bytes of A, then 64 bytes of B.
        unsafe {
            for (part, sums) in sums(block.as_ptr(), table, &mut ahead).into_iter().enumerate() {
                let numbers = block.as_ptr().add(table.len() + 16 * part);
                *mask |= below(sums, numbers, numbers.add(64)) << (8 * part);
            }
        }
    }
    if let (false, Some(mask)) = (half.is_empty(), masks.last_mut()) {
        *mask = 0;
        // SAFETY: half a block is table.len() / 2 bytes of codes, then 32 bytes of A, then 32 bytes of B.
        unsafe {
            for (part, sums) in half_sums(half.as_ptr(), table).into_iter().enumerate() {
                let numbers = half.as_ptr().add(table.len() / 2 + 16 * part);
                *mask |= below(sums, numbers, numbers.add(32)) << (8 * part);
            }
        }
    }
    prefetch(ahead.0);
}

#[target_feature(enable = "avx2")]
pub(super) unsafe fn estimates(blocks: &[u8], table: &[u8], scale: TableScale, out: &mut [f32]) {
    let (offset, step) = (_mm256_set1_ps(scale.offset), _mm256_set1_ps(scale.step));
    // SAFETY: whoever calls it has the numbers A of eight entries at `a` and their numbers B at `b`.
    let estimate = |sums: __m256, a: *const u8, b: *const u8| unsafe {
        let product = _mm256_add_ps(offset, _mm256_mul_ps(step, sums));
        _mm256_sub_ps(widen(a), _mm256_mul_ps(widen(b), product))
    };
    let (whole, half) = split_blocks(blocks, table);
    let (outs, rest) = out.as_chunks_mut::<BLOCK_ENTRIES>();
    for (block, out) in whole.zip(outs) {
        // SAFETY: as in scan; out has 32 floats.
        unsafe {
            for (part, sums) in sums(block.as_ptr(), table, &mut Ahead(&[])).into_iter().enumerate() {
                let numbers = block.as_ptr().add(table.len() + 16 * part);
                _mm256_storeu_ps(out.as_mut_ptr().add(8 * part), estimate(sums, numbers, numbers.add(64)));
            }
        }
    }
    if !half.is_empty() {
        // SAFETY: as in scan; 16 floats are left, see check_blocks.
        unsafe {
            for (part, sums) in half_sums(half.as_ptr(), table).into_iter().enumerate() {
                let numbers = half.as_ptr().add(table.len() / 2 + 16 * part);
                _mm256_storeu_ps(rest.as_mut_ptr().add(8 * part), estimate(sums, numbers, numbers.add(32)));
            }
        }
    }
}

#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn between(values: &[f32], low: f32, high: f32, found: &mut [u32]) -> usize {
    const LANES: usize = 8;
    let (lows, highs) = (_mm256_set1_ps(low), _mm256_set1_ps(high));
    let (blocks, rest) = values.as_chunks::<LANES>();
    let (mut count, mut done) = (0, 0);
    for block in blocks {
        // SAFETY: the block is 8 floats.
        let x = unsafe { _mm256_loadu_ps(block.as_ptr()) };
        let within = _mm256_and_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(lows, x), _mm256_cmp_ps::<_CMP_LT_OQ>(x, highs));
        let mut mask = _mm256_movemask_ps(within) as u32;
        while mask != 0 {
            found[count] = done + mask.trailing_zeros();
            count += 1;
            mask &= mask - 1;
        }
        done += LANES as u32;
    }
    count + scalar::between(rest, low, high, &mut found[count..count + rest.len()], done)
}
