//! Blocks of 1-bit codes in AVX-512: a line of four groups of dimensions and its tables are one register each.
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

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) unsafe fn encode(row: &[f32], centre: &[f32], origin: &[f32], signs: &mut [u8]) -> ResidualSums {
    scalar::bits_encode(row, centre, origin, signs)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) unsafe fn scores(scores: &mut [f32], weight: f32, offset: f32, addends: &[f32], minima: &mut [f32]) {
    scalar::block_scores(scores, weight, offset, addends, minima)
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

/// Sums of the table values of the 16 entries of half a block.
///
/// SAFETY of the caller: `table.len() / 2` bytes, whole lines, are readable at `codes`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn half_sums(codes: *const u8, table: &[u8]) -> __m512 {
    let nibble = _mm512_set1_epi8(0x0f);
    let mut all = _mm256_setzero_si256();
    let mut at = 0;
    while at < table.len() {
        let end = table.len().min(at + 2 * BYTE_SUM_LINES * LINE_BYTES);
        let (mut even, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        while at < end {
            // SAFETY: at + 128 <= table.len(), whole pairs of lines, and codes has half as many bytes.
            let (line, lower, upper) = unsafe {
                let values = table.as_ptr().add(at);
                (
                    _mm512_loadu_si512(codes.add(at / 2).cast()),
                    _mm512_loadu_si512(values.cast()),
                    _mm512_loadu_si512(values.add(LINE_BYTES).cast()),
                )
            };
            even = _mm512_add_epi8(even, _mm512_shuffle_epi8(lower, _mm512_and_si512(line, nibble)));
            let high = _mm512_and_si512(_mm512_srli_epi16::<4>(line), nibble);
            odd = _mm512_add_epi8(odd, _mm512_shuffle_epi8(upper, high));
            at += 2 * LINE_BYTES;
        }
        all = _mm256_add_epi16(all, _mm256_add_epi16(fold(even), fold(odd)));
    }
    _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(all))
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
    let below = |sums: __m512, a: __m512, b: __m512| {
        let product = _mm512_add_ps(offset, _mm512_mul_ps(step, sums));
        u32::from(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, _mm512_add_ps(limits, _mm512_mul_ps(b, product))))
    };
    let (whole, half) = split_blocks(blocks, table);
    for (block, mask) in whole.zip(&mut *masks) {
        // SAFETY: the block is table.len() bytes of codes, then 64 bytes of A, then 64 bytes of B.
        unsafe {
            let (low, high) = sums(block.as_ptr(), table, &mut ahead);
            let numbers = block.as_ptr().add(table.len());
            let low = below(low, widen(numbers), widen(numbers.add(64)));
            let high = below(high, widen(numbers.add(32)), widen(numbers.add(96)));
            *mask = low | high << 16;
        }
    }
    if let (false, Some(mask)) = (half.is_empty(), masks.last_mut()) {
        // SAFETY: half a block is table.len() / 2 bytes of codes, then 32 bytes of A, then 32 bytes of B.
        unsafe {
            let numbers = half.as_ptr().add(table.len() / 2);
            *mask = below(half_sums(half.as_ptr(), table), widen(numbers), widen(numbers.add(32)));
        }
    }
    prefetch(ahead.0);
}

#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn estimates(blocks: &[u8], table: &[u8], scale: TableScale, out: &mut [f32]) {
    let (offset, step) = (_mm512_set1_ps(scale.offset), _mm512_set1_ps(scale.step));
    let estimate = |sums: __m512, a: __m512, b: __m512| {
        let product = _mm512_add_ps(offset, _mm512_mul_ps(step, sums));
        _mm512_sub_ps(a, _mm512_mul_ps(b, product))
    };
    let (whole, half) = split_blocks(blocks, table);
    let (outs, rest) = out.as_chunks_mut::<BLOCK_ENTRIES>();
    for (block, out) in whole.zip(outs) {
        // SAFETY: as in scan; out has 32 floats.
        unsafe {
            let (low, high) = sums(block.as_ptr(), table, &mut Ahead(&[]));
            let (numbers, out) = (block.as_ptr().add(table.len()), out.as_mut_ptr());
            _mm512_storeu_ps(out, estimate(low, widen(numbers), widen(numbers.add(64))));
            _mm512_storeu_ps(out.add(16), estimate(high, widen(numbers.add(32)), widen(numbers.add(96))));
        }
    }
    if !half.is_empty() {
        // SAFETY: as in scan; 16 floats are left, see check_blocks.
        unsafe {
            let numbers = half.as_ptr().add(table.len() / 2);
            let found = estimate(half_sums(half.as_ptr(), table), widen(numbers), widen(numbers.add(32)));
            _mm512_storeu_ps(rest.as_mut_ptr(), found);
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
