//! Products of many rows with many columns, through the `gemm` crate (which chooses its own instruction set).
//!
//! Layer 1, private to `kernels`; [`dots`] is the safe door. Clustering and batch assignment use it. One call stays on
//! its thread: callers split their rows among threads, so an answer does not depend on the number of threads.

/// `out[i * columns + j] = <rows[i], columns[j]>` for vectors of `dim` values that lie one behind the other.
///
/// # Panics
/// When `dim` is 0 or the lengths do not fit together.
pub fn dots(rows: &[f32], columns: &[f32], dim: usize, out: &mut [f32]) {
    assert!(dim > 0 && rows.len().is_multiple_of(dim) && columns.len().is_multiple_of(dim), "whole vectors");
    let (row_count, column_count) = (rows.len() / dim, columns.len() / dim);
    assert_eq!(Some(out.len()), row_count.checked_mul(column_count), "rows * columns products");
    if out.is_empty() {
        return;
    }
    let stride = dim as isize;
    // SAFETY: each pointer is walked with strides that stay within its slice: rows are row_count x dim, columns are
    // dim x column_count (transposed by its strides), out is row_count x column_count; the asserts above fix the
    // lengths, and out is borrowed exclusively, so it overlaps neither input.
    unsafe {
        gemm::gemm(
            row_count,
            column_count,
            dim,
            out.as_mut_ptr(),
            1,
            column_count as isize,
            false,
            rows.as_ptr(),
            1,
            stride,
            columns.as_ptr(),
            stride,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
