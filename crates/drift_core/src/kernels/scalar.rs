//! Portable kernels: the oracle for the others, and what runs where no instruction set is known.
//!
//! Layer 1. Sums are kept in independent lanes so that LLVM vectorises them for the baseline target.

use super::Kernels;

/// The portable table.
pub static KERNELS: Kernels = Kernels { name: "scalar", l2, dot, sq8_dots };

const LANES: usize = 16;

fn l2(a: &[f32], b: &[f32]) -> f32 {
    sum_pairs(a, b, |a, b| (a - b) * (a - b))
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum_pairs(a, b, |a, b| a * b)
}

#[inline(always)]
fn sum_pairs(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    assert_eq!(a.len(), b.len(), "vectors of one length");
    let mut sums = [0.0f32; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_lanes.remainder().iter().zip(b_lanes.remainder()).map(|(a, b)| term(*a, *b)).sum();
    for (a, b) in a_lanes.zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane], b[lane]);
        }
    }
    sums.iter().sum::<f32>() + rest
}

fn sq8_dots(codes: &[u8], query: &[i8], out: &mut [i32]) {
    assert_eq!(codes.len(), out.len() * query.len(), "one code row per result");
    if query.is_empty() {
        return;
    }
    for (row, out) in codes.chunks_exact(query.len()).zip(out) {
        *out = row.iter().zip(query).map(|(code, query)| i32::from(*code) * i32::from(*query)).sum();
    }
}
