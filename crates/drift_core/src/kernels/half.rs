//! Half-precision floats as stored to f32: exact, so all instruction sets agree to the bit.
//!
//! Layer 1, private to `kernels`; checked at the door that [`check_half`] is.

use ::half::f16;

/// The door: two bytes for each value.
#[inline(always)]
pub(super) fn check_half(bytes: &[u8], out: &[f32]) {
    assert_eq!(Some(bytes.len()), out.len().checked_mul(2), "two bytes for every value");
}

/// Value by value.
pub(super) fn scalar(bytes: &[u8], out: &mut [f32]) {
    check_half(bytes, out);
    let (pairs, _) = bytes.as_chunks::<2>();
    out.iter_mut().zip(pairs).for_each(|(out, pair)| *out = f16::from_le_bytes(*pair).to_f32());
}

/// Eight at a time, in AVX-512's table too: rows come from memory, and wider registers would wait for it as long.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
pub(super) fn f16c(bytes: &[u8], out: &mut [f32]) {
    use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};
    let (blocks, rest) = bytes.as_chunks::<16>();
    let (outs, out_rest) = out.as_chunks_mut::<8>();
    for (block, out) in blocks.iter().zip(outs) {
        // SAFETY: the arrays are as long as what is loaded and stored, and need no alignment.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(block.as_ptr().cast()))) };
    }
    scalar(rest, out_rest);
}
