//! Inner products of many rows with many rows, through the `gemm` crate.
//!
//! Layer 1: that crate's entry point takes raw pointers.

use gemm::Parallelism;

/// `out[i][j] = <a_i, b_j>` for row-major `a` (m x dim), `b` (n x dim), `out` (m x n), on the calling thread. Panics
/// when the sizes do not fit.
pub fn products(a: &[f32], b: &[f32], dim: usize, out: &mut [f32]) {
    assert!(dim > 0, "a dimension");
    let (m, n) = (a.len() / dim, b.len() / dim);
    assert!(a.len() == m * dim && b.len() == n * dim && out.len() == m * n, "sizes of one product");
    if m == 0 || n == 0 {
        return;
    }
    let (dim_stride, out_stride) = (dim as isize, n as isize);
    // SAFETY: out is m x n with row stride n, a is m x dim with row stride dim, b transposed is dim x n with column
    // stride dim; the sizes were checked above, and out overlaps neither as it is borrowed mutably.
    unsafe {
        gemm::gemm(
            m,
            n,
            dim,
            out.as_mut_ptr(),
            1,
            out_stride,
            false,
            a.as_ptr(),
            1,
            dim_stride,
            b.as_ptr(),
            dim_stride,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
