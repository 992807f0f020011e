//! Blocks of 1-bit codes in AVX-512: a line of four groups of dimensions and its tables are one register each.
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

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) unsafe fn table(query: &[f32], table: &mut [u8]) -> TableScale {
    scalar::bits_table(query, table)
}

/// Adds the four lanes of byte sums: 16 sums of 16 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn fold(sums: __m512i) -> __m256i {
    let low = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(sums));
    let high = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64::<1>(sums));
    let both = _mm512_add_epi16(low, high);
    _mm256_add_epi16(_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64::<1>(both))
}

/// Sums of the table values of entries 0..16 and 16..32.
///
/// SAFETY of the caller: `table.len()` bytes, whole lines, are readable at `codes`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn sums(codes: *const u8, table: &[u8], ahead: &mut Ahead<'_>) -> (__m512, __m512) {
    let nibble = _mm512_set1_epi8(0x0f);
    let (mut low_sums, mut high_sums) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    let mut at = 0;
    while at < table.len() {
        let end = table.len().min(at + BYTE_SUM_LINES * LINE_BYTES);
        let (mut low, mut high) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        while at < end {
            ahead.next();
            // SAFETY: at + 64 <= table.len(), and codes has as many bytes.
            let (line, values) = unsafe {
                (_mm512_loadu_si512(codes.add(at).cast()), _mm512_loadu_si512(table.as_ptr().add(at).cast()))
            };
            low = _mm512_add_epi8(low, _mm512_shuffle_epi8(values, _mm512_and_si512(line, nibble)));
            let upper = _mm512_and_si512(_mm512_srli_epi16::<4>(line), nibble);
            high = _mm512_add_epi8(high, _mm512_shuffle_epi8(values, upper));
            at += LINE_BYTES;
        }
        low_sums = _mm256_add_epi16(low_sums, fold(low));
        high_sums = _mm256_add_epi16(high_sums, fold(high));
    }
    (_mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(low_sums)), _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(high_sums)))
}

/// 16 numbers that are the upper halves of f32.
///
/// SAFETY of the caller: 32 bytes are readable at `numbers`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn widen(numbers: *const u8) -> __m512 {
    // SAFETY: the caller's promise.
    let numbers = unsafe { _mm256_loadu_si256(numbers.cast()) };
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(numbers)))
}

#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn scan(blocks: &[u8], table: &[u8], limit: BlockLimit, ahead: &[u8], masks: &mut [u32]) {
    let mut ahead = Ahead(ahead);
    let (limits, offset, step) =
        (_mm512_set1_ps(limit.limit), _mm512_set1_ps(limit.offset), _mm512_set1_ps(limit.step));
    for (block, mask) in blocks.chunks_exact(table.len() + BLOCK_FACTOR_BYTES).zip(masks) {
        let codes = block.as_ptr();
        // SAFETY: the block is table.len() bytes of codes, then 64 bytes of A, then 64 bytes of B.
        let (low, high, factors) = unsafe {
            let (low, high) = sums(codes, table, &mut ahead);
            (low, high, codes.add(table.len()))
        };
        let half = |sums: __m512, a: __m512, b: __m512| {
            let product = _mm512_add_ps(offset, _mm512_mul_ps(step, sums));
            _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, _mm512_add_ps(limits, _mm512_mul_ps(b, product)))
        };
        // SAFETY: four times 32 bytes of factors.
        let (low, high) = unsafe {
            (
                half(low, widen(factors), widen(factors.add(64))),
                half(high, widen(factors.add(32)), widen(factors.add(96))),
            )
        };
        *mask = u32::from(low) | u32::from(high) << 16;
    }
    prefetch(ahead.0);
}

#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn estimates(blocks: &[u8], table: &[u8], scale: TableScale, out: &mut [[f32; BLOCK_ENTRIES]]) {
    let (offset, step) = (_mm512_set1_ps(scale.offset), _mm512_set1_ps(scale.step));
    for (block, out) in blocks.chunks_exact(table.len() + BLOCK_FACTOR_BYTES).zip(out) {
        let codes = block.as_ptr();
        let half = |sums: __m512, a: __m512, b: __m512| {
            let product = _mm512_add_ps(offset, _mm512_mul_ps(step, sums));
            _mm512_sub_ps(a, _mm512_mul_ps(b, product))
        };
        // SAFETY: the block is table.len() bytes of codes, then 64 bytes of A, then 64 bytes of B; out has 32 floats.
        unsafe {
            let (low, high) = sums(codes, table, &mut Ahead(&[]));
            let factors = codes.add(table.len());
            _mm512_storeu_ps(out.as_mut_ptr(), half(low, widen(factors), widen(factors.add(64))));
            _mm512_storeu_ps(out.as_mut_ptr().add(16), half(high, widen(factors.add(32)), widen(factors.add(96))));
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn between(values: &[f32], low: f32, high: f32, found: &mut [u32]) -> usize {
    const LANES: usize = 16;
    let (lows, highs) = (_mm512_set1_ps(low), _mm512_set1_ps(high));
    let mut indices = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut count = 0;
    for block in blocks {
        // SAFETY: the block is 16 floats.
        let x = unsafe { _mm512_loadu_ps(block.as_ptr()) };
        let within = _mm512_mask_cmp_ps_mask::<_CMP_LT_OQ>(_mm512_cmp_ps_mask::<_CMP_LE_OQ>(lows, x), x, highs);
        let packed = _mm512_maskz_compress_epi32(within, indices);
        // SAFETY: count is at most 16 times the blocks before this one, so 16 places of `found` are left.
        unsafe { _mm512_storeu_si512(found.as_mut_ptr().add(count).cast(), packed) };
        count += within.count_ones() as usize;
        indices = _mm512_add_epi32(indices, _mm512_set1_epi32(LANES as i32));
    }
    let done = values.len() - rest.len();
    count + scalar::between(rest, low, high, &mut found[count..count + rest.len()], done as u32)
}
