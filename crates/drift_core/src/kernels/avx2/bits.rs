//! Blocks of 1-bit codes in AVX2: a line is two registers of two groups of dimensions each.
//!
//! Layer 1, private to `kernels`.

use crate::kernels::{BLOCK_ENTRIES, BLOCK_FACTOR_BYTES, BYTE_SUM_LINES, BlockLimit, TableScale, prefetch, scalar};
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
    for (block, mask) in blocks.chunks_exact(table.len() + BLOCK_FACTOR_BYTES).zip(masks) {
        let codes = block.as_ptr();
        *mask = 0;
        // SAFETY: the block is table.len() bytes of codes, then 64 bytes of A, then 64 bytes of B.
        for (part, sums) in unsafe { sums(codes, table, &mut ahead) }.into_iter().enumerate() {
            let product = _mm256_add_ps(offset, _mm256_mul_ps(step, sums));
            // SAFETY: as above; part is at most 3.
            let (a, b) = unsafe {
                let factors = codes.add(table.len() + 16 * part);
                (widen(factors), widen(factors.add(64)))
            };
            let below = _mm256_cmp_ps::<_CMP_LT_OQ>(a, _mm256_add_ps(limits, _mm256_mul_ps(b, product)));
            *mask |= (_mm256_movemask_ps(below) as u32) << (8 * part);
        }
    }
    prefetch(ahead.0);
}

#[target_feature(enable = "avx2")]
pub(super) unsafe fn estimates(blocks: &[u8], table: &[u8], scale: TableScale, out: &mut [[f32; BLOCK_ENTRIES]]) {
    let (offset, step) = (_mm256_set1_ps(scale.offset), _mm256_set1_ps(scale.step));
    for (block, out) in blocks.chunks_exact(table.len() + BLOCK_FACTOR_BYTES).zip(out) {
        let codes = block.as_ptr();
        // SAFETY: as in scan; out has 32 floats.
        for (part, sums) in unsafe { sums(codes, table, &mut Ahead(&[])) }.into_iter().enumerate() {
            let product = _mm256_add_ps(offset, _mm256_mul_ps(step, sums));
            // SAFETY: as above; part is at most 3.
            unsafe {
                let factors = codes.add(table.len() + 16 * part);
                let estimate = _mm256_sub_ps(widen(factors), _mm256_mul_ps(widen(factors.add(64)), product));
                _mm256_storeu_ps(out.as_mut_ptr().add(8 * part), estimate);
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
