//! AVX2 + FMA kernels.
//!
//! Layer 1. SQ8 uses `vpmaddubsw`, which multiplies u8 by i8 and adds pairs into i16; query values of seven bits keep
//! it from saturating ([`super::QUERY_CODE_MAX`]).

use super::{CODE_ALIGN, Kernels};
use std::arch::x86_64::*;

/// The AVX2 table; call its functions only where [`is_available`].
pub static KERNELS: Kernels = Kernels { name: "avx2", l2, dot, sq8_dots };

/// Whether the processor has AVX2 and FMA.
pub fn is_available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

fn l2(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    // SAFETY: the table is only handed out where is_available() holds; lengths are equal by the line above.
    unsafe { l2_avx2(a, b) }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    // SAFETY: the table is only handed out where is_available() holds; lengths are equal by the line above.
    unsafe { dot_avx2(a, b) }
}

fn sq8_dots(codes: &[u8], query: &[i8], out: &mut [i32]) {
    assert_eq!(codes.len(), out.len() * query.len(), "one code row per result");
    assert!(query.len().is_multiple_of(CODE_ALIGN), "a query is padded to the code stride");
    if query.is_empty() {
        return;
    }
    // SAFETY: the table is only handed out where is_available() holds; sizes were checked by the lines above.
    unsafe { sq8_dots_avx2(codes, query, out) }
}

#[target_feature(enable = "avx2,fma")]
fn sum(v: __m256) -> f32 {
    let half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    let quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
    _mm_cvtss_f32(_mm_add_ss(quarter, _mm_shuffle_ps(quarter, quarter, 1)))
}

/// Preconditions: AVX2 and FMA; `a.len() == b.len()`.
#[target_feature(enable = "avx2,fma")]
unsafe fn l2_avx2(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [_mm256_setzero_ps(); 4];
    let blocks = a.len() / 32;
    for block in 0..blocks {
        for (lane, acc) in sums.iter_mut().enumerate() {
            let at = block * 32 + lane * 8;
            // SAFETY: at + 8 <= blocks * 32 <= len of both slices.
            let (x, y) = unsafe { (_mm256_loadu_ps(a.as_ptr().add(at)), _mm256_loadu_ps(b.as_ptr().add(at))) };
            let d = _mm256_sub_ps(x, y);
            *acc = _mm256_fmadd_ps(d, d, *acc);
        }
    }
    let total = sum(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
    a[blocks * 32..].iter().zip(&b[blocks * 32..]).fold(total, |total, (x, y)| total + (x - y) * (x - y))
}

/// Preconditions: AVX2 and FMA; `a.len() == b.len()`.
#[target_feature(enable = "avx2,fma")]
unsafe fn dot_avx2(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [_mm256_setzero_ps(); 4];
    let blocks = a.len() / 32;
    for block in 0..blocks {
        for (lane, acc) in sums.iter_mut().enumerate() {
            let at = block * 32 + lane * 8;
            // SAFETY: at + 8 <= blocks * 32 <= len of both slices.
            let (x, y) = unsafe { (_mm256_loadu_ps(a.as_ptr().add(at)), _mm256_loadu_ps(b.as_ptr().add(at))) };
            *acc = _mm256_fmadd_ps(x, y, *acc);
        }
    }
    let total = sum(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
    a[blocks * 32..].iter().zip(&b[blocks * 32..]).fold(total, |total, (x, y)| total + x * y)
}

/// Preconditions: AVX2; `codes.len() == out.len() * query.len()`; `query.len()` a positive multiple of 32.
#[target_feature(enable = "avx2")]
unsafe fn sq8_dots_avx2(codes: &[u8], query: &[i8], out: &mut [i32]) {
    let stride = query.len();
    let ones = _mm256_set1_epi16(1);
    for (row, out) in out.iter_mut().enumerate() {
        let (mut even, mut odd) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for at in (0..stride).step_by(32) {
            // SAFETY: at + 32 <= stride, so both loads stay within the query and within row `row` of the codes.
            let (code, q) = unsafe {
                (
                    _mm256_loadu_si256(codes.as_ptr().add(row * stride + at).cast()),
                    _mm256_loadu_si256(query.as_ptr().add(at).cast()),
                )
            };
            let pairs = _mm256_madd_epi16(_mm256_maddubs_epi16(code, q), ones);
            (even, odd) = (odd, _mm256_add_epi32(even, pairs));
        }
        let both = _mm256_add_epi32(even, odd);
        let half = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
        let quarter = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0b00_00_11_10));
        *out = _mm_cvtsi128_si32(_mm_add_epi32(quarter, _mm_shuffle_epi32(quarter, 1)));
    }
}
