//! AVX-512 kernels (F, BW, VL, VNNI).
//!
//! Layer 1. SQ8 uses `vpdpbusd`: 64 products of u8 and i8 added into 16 i32 lanes in one instruction. Four rows share
//! each load of the query.

use super::{CODE_ALIGN, Kernels};
use std::arch::x86_64::*;

/// The AVX-512 table; call its functions only where [`is_available`].
pub static KERNELS: Kernels = Kernels { name: "avx512", l2, dot, sq8_dots };

/// Whether the processor has every extension that the kernels use.
pub fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
        && super::avx2::is_available()
}

fn l2(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    // SAFETY: the table is only handed out where is_available() holds; lengths are equal by the line above.
    unsafe { l2_avx512(a, b) }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    // SAFETY: the table is only handed out where is_available() holds; lengths are equal by the line above.
    unsafe { dot_avx512(a, b) }
}

fn sq8_dots(codes: &[u8], query: &[i8], out: &mut [i32]) {
    assert_eq!(codes.len(), out.len() * query.len(), "one code row per result");
    assert!(query.len().is_multiple_of(CODE_ALIGN), "a query is padded to the code stride");
    if query.is_empty() {
        return;
    }
    // SAFETY: the table is only handed out where is_available() holds; sizes were checked by the lines above.
    unsafe { sq8_dots_avx512(codes, query, out) }
}

/// Preconditions: AVX-512F; `a.len() == b.len()`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn l2_avx512(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [_mm512_setzero_ps(); 4];
    let blocks = a.len() / 64;
    for block in 0..blocks {
        for (lane, acc) in sums.iter_mut().enumerate() {
            let at = block * 64 + lane * 16;
            // SAFETY: at + 16 <= blocks * 64 <= len of both slices.
            let (x, y) = unsafe { (_mm512_loadu_ps(a.as_ptr().add(at)), _mm512_loadu_ps(b.as_ptr().add(at))) };
            let d = _mm512_sub_ps(x, y);
            *acc = _mm512_fmadd_ps(d, d, *acc);
        }
    }
    for at in (blocks * 64..a.len()).step_by(16) {
        let mask = tail_mask(a.len() - at);
        // SAFETY: the mask admits only the lanes below the end of both slices.
        let (x, y) = unsafe {
            (_mm512_maskz_loadu_ps(mask, a.as_ptr().add(at)), _mm512_maskz_loadu_ps(mask, b.as_ptr().add(at)))
        };
        let d = _mm512_sub_ps(x, y);
        sums[0] = _mm512_fmadd_ps(d, d, sums[0]);
    }
    _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])))
}

/// Preconditions: AVX-512F; `a.len() == b.len()`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn dot_avx512(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [_mm512_setzero_ps(); 4];
    let blocks = a.len() / 64;
    for block in 0..blocks {
        for (lane, acc) in sums.iter_mut().enumerate() {
            let at = block * 64 + lane * 16;
            // SAFETY: at + 16 <= blocks * 64 <= len of both slices.
            let (x, y) = unsafe { (_mm512_loadu_ps(a.as_ptr().add(at)), _mm512_loadu_ps(b.as_ptr().add(at))) };
            *acc = _mm512_fmadd_ps(x, y, *acc);
        }
    }
    for at in (blocks * 64..a.len()).step_by(16) {
        let mask = tail_mask(a.len() - at);
        // SAFETY: the mask admits only the lanes below the end of both slices.
        let (x, y) = unsafe {
            (_mm512_maskz_loadu_ps(mask, a.as_ptr().add(at)), _mm512_maskz_loadu_ps(mask, b.as_ptr().add(at)))
        };
        sums[0] = _mm512_fmadd_ps(x, y, sums[0]);
    }
    _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])))
}

fn tail_mask(rest: usize) -> __mmask16 {
    if rest >= 16 { 0xffff } else { (1 << rest) - 1 }
}

/// Preconditions: AVX-512 with VNNI; `codes.len() == out.len() * query.len()`; `query.len()` a positive multiple of 32.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn sq8_dots_avx512(codes: &[u8], query: &[i8], out: &mut [i32]) {
    let stride = query.len();
    let mut row = 0;
    while row + 4 <= out.len() {
        // SAFETY: rows row..row + 4 are within codes, by the caller's length check.
        let sums = unsafe { row_sums::<4>(codes.as_ptr().add(row * stride), query) };
        for (lane, sum) in sums.into_iter().enumerate() {
            out[row + lane] = _mm512_reduce_add_epi32(sum);
        }
        row += 4;
    }
    while row < out.len() {
        // SAFETY: row is within codes, by the caller's length check.
        let [sum] = unsafe { row_sums::<1>(codes.as_ptr().add(row * stride), query) };
        out[row] = _mm512_reduce_add_epi32(sum);
        row += 1;
    }
}

/// Lane sums of `ROWS` consecutive rows. Preconditions: `codes` points to `ROWS * query.len()` readable bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn row_sums<const ROWS: usize>(codes: *const u8, query: &[i8]) -> [__m512i; ROWS] {
    let stride = query.len();
    let mut sums = [_mm512_setzero_si512(); ROWS];
    let whole = stride / 64 * 64;
    for at in (0..whole).step_by(64) {
        // SAFETY: at + 64 <= stride, within the query and within each row.
        unsafe {
            let q = _mm512_loadu_si512(query.as_ptr().add(at).cast());
            for (row, sum) in sums.iter_mut().enumerate() {
                *sum = _mm512_dpbusd_epi32(*sum, _mm512_loadu_si512(codes.add(row * stride + at).cast()), q);
            }
        }
    }
    if whole < stride {
        // SAFETY: the stride is a multiple of 32, so 32 bytes are left, and the mask admits just these.
        unsafe {
            let q = _mm512_maskz_loadu_epi8(0xffff_ffff, query.as_ptr().add(whole));
            for (row, sum) in sums.iter_mut().enumerate() {
                let code = _mm512_maskz_loadu_epi8(0xffff_ffff, codes.add(row * stride + whole).cast());
                *sum = _mm512_dpbusd_epi32(*sum, code, q);
            }
        }
    }
    sums
}
