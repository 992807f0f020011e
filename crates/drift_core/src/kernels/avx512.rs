//! The kernels in AVX-512 with VNNI (F, BW, DQ, VL, VNNI): 16 floats or 64 byte products an instruction.
//!
//! Layer 1, private to `kernels`. [`KERNELS`] is handed out by `available` alone, after it found the features; that is
//! what makes the calls of the functions compiled for them sound. Tails are masked, so any length stays in registers.

mod bits;

use super::{
    CODE_ALIGN, CodeSums, HALF_ENTRIES, Kernels, check_blocks, check_codes, check_hadamard, check_pair, check_products,
    half::{self, check_half},
    half_blocks, scalar,
};
use std::arch::x86_64::*;

/// The AVX-512 table.
pub(super) static KERNELS: Kernels = Kernels {
    name: "avx512",
    l2: |a, b| {
        check_pair(a, b);
        // SAFETY: the table exists only where `available` found the features; the lengths are equal.
        unsafe { l2(a, b) }
    },
    dot: |a, b| {
        check_pair(a, b);
        // SAFETY: as for l2.
        unsafe { dot(a, b) }
    },
    widen: |bytes, out| {
        check_half(bytes, out);
        // SAFETY: features as for l2; the lengths fit together.
        unsafe { half::f16c(bytes, out) }
    },
    sq8_dot: |codes, query| {
        check_codes(codes, query, 1);
        // SAFETY: features as for l2; check_codes established the lengths.
        unsafe { sq8_dot(codes, query) }
    },
    sq8_dots: |codes, query, out| {
        check_codes(codes, query, out.len());
        // SAFETY: as for sq8_dot.
        unsafe { sq8_dots(codes, query, out) }
    },
    sq8_products: |codes, queries, stride, out| {
        let rows = check_products(codes, queries, stride, out);
        // SAFETY: features as for l2; check_products established the lengths.
        unsafe { sq8_products(codes, queries, stride, rows, out) }
    },
    sq8_encode: |values, mid, scale, codes| {
        check_pair(values, codes);
        // SAFETY: as for l2.
        unsafe { sq8_encode(values, mid, scale, codes) }
    },
    bits_encode: |row, centre, origin, signs| {
        // SAFETY: features as for l2; the body is safe code.
        unsafe { bits::encode(row, centre, origin, signs) }
    },
    bits_table: |query, table| {
        // SAFETY: features as for l2; the body is safe code.
        unsafe { bits::table(query, table) }
    },
    bits_scan: |blocks, table, limit, ahead, masks| {
        let halves = half_blocks(blocks, table);
        check_blocks(blocks, table, halves);
        assert_eq!(masks.len(), halves.div_ceil(2), "a mask for every block");
        // SAFETY: features as for l2; check_blocks established the lengths.
        unsafe { bits::scan(blocks, table, limit, ahead, masks) }
    },
    bits_estimates: |blocks, table, scale, out| {
        assert!(out.len().is_multiple_of(HALF_ENTRIES), "an estimate for every entry");
        check_blocks(blocks, table, out.len() / HALF_ENTRIES);
        // SAFETY: as for bits_scan.
        unsafe { bits::estimates(blocks, table, scale, out) }
    },
    block_scores: |scores, weight, offset, addends, minima| {
        // SAFETY: features as for l2; the body is safe code.
        unsafe { bits::scores(scores, weight, offset, addends, minima) }
    },
    between: |values, low, high, found| {
        check_pair(values, found);
        // SAFETY: features as for l2; the lengths are equal.
        unsafe { bits::between(values, low, high, found) }
    },
    min_max: |values| {
        // SAFETY: features as for l2; one slice has no length to agree with.
        unsafe { min_max(values) }
    },
    hadamard: |values, weights| {
        check_hadamard(values, weights);
        // SAFETY: as for l2.
        unsafe { hadamard(values, weights) }
    },
};

const LANES: usize = 16;

/// Mask of the lanes below `count`, for 0 to 16.
#[inline(always)]
fn lanes_below(count: usize) -> __mmask16 {
    ((1u32 << count) - 1) as __mmask16
}

/// Loads a full register, or the `count` values that are left.
///
/// SAFETY of the caller: `values[at..at + min(16, count)]` is in bounds.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(values: &[f32], at: usize, count: usize) -> __m512 {
    // SAFETY: the caller keeps the range in bounds; masked lanes are not touched.
    unsafe {
        let pointer = values.as_ptr().add(at);
        if count >= LANES { _mm512_loadu_ps(pointer) } else { _mm512_maskz_loadu_ps(lanes_below(count), pointer) }
    }
}

macro_rules! sum_pairs {
    ($name:ident, $step:expr) => {
        #[target_feature(enable = "avx512f")]
        unsafe fn $name(a: &[f32], b: &[f32]) -> f32 {
            let step = $step;
            let zero = _mm512_setzero_ps();
            // Four named sums, not an array: indexed, they would live in memory between the steps.
            let (mut s0, mut s1, mut s2, mut s3) = (zero, zero, zero, zero);
            let (a_blocks, a_rest) = a.as_chunks::<{ 4 * LANES }>();
            let (b_blocks, b_rest) = b.as_chunks::<{ 4 * LANES }>();
            for (x, y) in a_blocks.iter().zip(b_blocks) {
                // SAFETY: both blocks are 64 floats.
                unsafe {
                    s0 = step(load(x, 0, LANES), load(y, 0, LANES), s0);
                    s1 = step(load(x, LANES, LANES), load(y, LANES, LANES), s1);
                    s2 = step(load(x, 2 * LANES, LANES), load(y, 2 * LANES, LANES), s2);
                    s3 = step(load(x, 3 * LANES, LANES), load(y, 3 * LANES, LANES), s3);
                }
            }
            for (x, y) in a_rest.chunks(LANES).zip(b_rest.chunks(LANES)) {
                // SAFETY: load takes the values of the chunk and no more; both chunks have the same length (check_pair).
                s0 = unsafe { step(load(x, 0, x.len()), load(y, 0, y.len()), s0) };
            }
            _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3)))
        }
    };
}

sum_pairs!(dot, |x, y, sum| _mm512_fmadd_ps(x, y, sum));
sum_pairs!(l2, |x, y, sum| {
    let difference = _mm512_sub_ps(x, y);
    _mm512_fmadd_ps(difference, difference, sum)
});

/// Adds the products of 64 codes at `codes + at` and `query + at`, or of the 32 that are left.
///
/// SAFETY of the caller: both pointers have `min(64, left)` readable bytes at `at`, and `left` is 32 or at least 64.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn add_products(sum: __m512i, codes: *const u8, query: __m512i, left: usize) -> __m512i {
    // SAFETY: the caller keeps the bytes readable.
    let codes = unsafe {
        if left >= 2 * CODE_ALIGN {
            _mm512_loadu_si512(codes.cast())
        } else {
            _mm512_zextsi256_si512(_mm256_loadu_si256(codes.cast()))
        }
    };
    _mm512_dpbusd_epi32(sum, codes, query)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn load_query(query: &[i8], at: usize) -> __m512i {
    // SAFETY: the length is a multiple of 32 (check_codes) and at < len, so 32 bytes or 64 are there.
    unsafe {
        let pointer = query.as_ptr().add(at);
        if query.len() - at >= 2 * CODE_ALIGN {
            _mm512_loadu_si512(pointer.cast())
        } else {
            _mm512_zextsi256_si512(_mm256_loadu_si256(pointer.cast()))
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn sq8_dot(codes: &[u8], query: &[i8]) -> i32 {
    const LINE: usize = 2 * CODE_ALIGN;
    let (mut even, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    let mut at = 0;
    while at + 2 * LINE <= query.len() {
        // SAFETY: at + 128 <= len of the query, and codes is as long (check_codes).
        unsafe {
            even = add_products(even, codes.as_ptr().add(at), load_query(query, at), LINE);
            odd = add_products(odd, codes.as_ptr().add(at + LINE), load_query(query, at + LINE), LINE);
        }
        at += 2 * LINE;
    }
    while at < query.len() {
        // SAFETY: at < len, a multiple of 32 in codes and query alike (check_codes).
        even = unsafe { add_products(even, codes.as_ptr().add(at), load_query(query, at), query.len() - at) };
        at += LINE;
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(even, odd))
}

/// Rows per step of [`sq8_dots`]: each query register is loaded once for four rows, and four independent chains hide
/// the latency of `vpdpbusd`.
const ROWS: usize = 4;

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn sq8_dots(codes: &[u8], query: &[i8], out: &mut [i32]) {
    let stride = query.len();
    let (blocks, rest) = out.as_chunks_mut::<ROWS>();
    let done = blocks.len() * ROWS;
    for (block, out) in blocks.iter_mut().enumerate() {
        // SAFETY: block * 4 + 3 < rows, and codes holds rows * stride bytes (check_codes).
        let sums = unsafe { four_rows(codes.as_ptr().add(block * ROWS * stride), query) };
        // SAFETY: out is four i32, 16 bytes.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), sums) };
    }
    for (row, out) in rest.iter_mut().enumerate() {
        let start = (done + row) * stride;
        // SAFETY: the sub-slice is one row of stride codes.
        *out = unsafe { sq8_dot(&codes[start..start + stride], query) };
    }
}

/// The lower half plus the upper half.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves(sum: __m512i) -> __m256i {
    _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum))
}

/// The products of four consecutive rows with the query.
///
/// SAFETY of the caller: `4 * query.len()` bytes are readable at `codes`; the length is a multiple of 32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn four_rows(codes: *const u8, query: &[i8]) -> __m128i {
    let stride = query.len();
    let zero = _mm512_setzero_si512();
    // Four named sums, not an array: indexed, they would live in memory between the steps.
    let (mut s0, mut s1, mut s2, mut s3) = (zero, zero, zero, zero);
    let mut at = 0;
    while at < stride {
        let left = stride - at;
        // SAFETY: at < stride, a multiple of 32, in the query and in each of the four rows, so 32 bytes or 64 are there.
        unsafe {
            let part = load_query(query, at);
            let codes = codes.add(at);
            s0 = add_products(s0, codes, part, left);
            s1 = add_products(s1, codes.add(stride), part, left);
            s2 = add_products(s2, codes.add(2 * stride), part, left);
            s3 = add_products(s3, codes.add(3 * stride), part, left);
        }
        at += 2 * CODE_ALIGN;
    }
    sum_of_each([s0, s1, s2, s3])
}

/// Queries per step of [`sq8_products`]: with four rows, sixteen sums and what they are formed from stay in registers.
const QUERIES: usize = 4;

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn sq8_products(codes: &[u8], queries: &[i8], stride: usize, rows: usize, out: &mut [i32]) {
    let count = queries.len() / stride;
    let (whole_rows, whole_queries) = (rows - rows % ROWS, count - count % QUERIES);
    for row in (0..whole_rows).step_by(ROWS) {
        for query in (0..whole_queries).step_by(QUERIES) {
            // SAFETY: four rows and four queries from here on are within codes and queries.
            let sums = unsafe { tile(codes.as_ptr().add(row * stride), queries.as_ptr().add(query * stride), stride) };
            for (at, sums) in sums.into_iter().enumerate() {
                // SAFETY: row + 3 < rows and query + at < count, and out holds rows * count numbers.
                unsafe { _mm_storeu_si128(out.as_mut_ptr().add((query + at) * rows + row).cast(), sums) };
            }
        }
    }
    for (number, query) in queries.chunks_exact(stride).enumerate() {
        let from = if number < whole_queries { whole_rows } else { 0 };
        // SAFETY: whole rows of stride codes, as many as numbers in out.
        unsafe { sq8_dots(&codes[from * stride..], query, &mut out[number * rows + from..(number + 1) * rows]) };
    }
}

/// The products of four consecutive rows with each of four consecutive queries.
///
/// SAFETY of the caller: `4 * stride` bytes are readable at both pointers; `stride` is a multiple of 32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tile(codes: *const u8, queries: *const i8, stride: usize) -> [__m128i; QUERIES] {
    let mut sums = [[_mm512_setzero_si512(); ROWS]; QUERIES];
    let whole = stride - stride % (2 * CODE_ALIGN);
    let mut at = 0;
    while at < whole {
        // SAFETY: at + 64 <= stride in each of the rows and queries.
        unsafe {
            let rows: [__m512i; ROWS] =
                std::array::from_fn(|row| _mm512_loadu_si512(codes.add(row * stride + at).cast()));
            for (query, sums) in sums.iter_mut().enumerate() {
                let query = _mm512_loadu_si512(queries.add(query * stride + at).cast());
                for (sum, row) in sums.iter_mut().zip(rows) {
                    *sum = _mm512_dpbusd_epi32(*sum, row, query);
                }
            }
        }
        at += 2 * CODE_ALIGN;
    }
    if at < stride {
        // SAFETY: the last 32 bytes of each of the rows and queries.
        unsafe {
            for (query, sums) in sums.iter_mut().enumerate() {
                let query = _mm512_zextsi256_si512(_mm256_loadu_si256(queries.add(query * stride + at).cast()));
                for (row, sum) in sums.iter_mut().enumerate() {
                    *sum = add_products(*sum, codes.add(row * stride + at), query, CODE_ALIGN);
                }
            }
        }
    }
    sums.map(|sums| sum_of_each(sums))
}

/// The sums of four registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn sum_of_each([a, b, c, d]: [__m512i; ROWS]) -> __m128i {
    let quarters = _mm256_hadd_epi32(_mm256_hadd_epi32(halves(a), halves(b)), _mm256_hadd_epi32(halves(c), halves(d)));
    _mm_add_epi32(_mm256_castsi256_si128(quarters), _mm256_extracti128_si256::<1>(quarters))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn sq8_encode(values: &[f32], mid: f32, scale: f32, codes: &mut [u8]) -> CodeSums {
    let (mids, scales) = (_mm512_set1_ps(mid), _mm512_set1_ps(scale));
    let (low, high) = (_mm512_set1_ps(-128.0), _mm512_set1_ps(127.0));
    let (mut sum, mut squares) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    let (blocks, rest) = values.as_chunks::<LANES>();
    let (code_blocks, code_rest) = codes.as_chunks_mut::<LANES>();
    for (values, codes) in blocks.iter().zip(code_blocks) {
        // SAFETY: the block is 16 floats.
        let x = unsafe { _mm512_loadu_ps(values.as_ptr()) };
        // Clamped before the conversion rounds: the bounds are whole, so both orders give the same level.
        let scaled = _mm512_mul_ps(_mm512_sub_ps(x, mids), scales);
        let level = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(scaled, low), high));
        sum = _mm512_add_epi32(sum, level);
        squares = _mm512_add_epi32(squares, _mm512_mullo_epi32(level, level));
        let bytes = _mm512_cvtepi32_epi8(_mm512_add_epi32(level, _mm512_set1_epi32(128)));
        // SAFETY: the block is 16 bytes.
        unsafe { _mm_storeu_si128(codes.as_mut_ptr().cast(), bytes) };
    }
    let mut sums = scalar::sq8_encode(rest, mid, scale, code_rest);
    sums.sum += i64::from(_mm512_reduce_add_epi32(sum));
    sums.squares += i64::from(_mm512_reduce_add_epi32(squares));
    sums
}

#[target_feature(enable = "avx512f")]
unsafe fn min_max(values: &[f32]) -> (f32, f32) {
    let mut low = _mm512_set1_ps(f32::INFINITY);
    let mut high = _mm512_set1_ps(f32::NEG_INFINITY);
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        // SAFETY: the block is 16 floats.
        let x = unsafe { _mm512_loadu_ps(block.as_ptr()) };
        low = _mm512_min_ps(low, x);
        high = _mm512_max_ps(high, x);
    }
    let (low_rest, high_rest) = scalar::min_max(rest);
    (_mm512_reduce_min_ps(low).min(low_rest), _mm512_reduce_max_ps(high).max(high_rest))
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
unsafe fn hadamard(values: &mut [f32], weights: &[f32]) {
    if values.len() < LANES {
        scalar::weigh(values, weights);
        let mut half = 1;
        while half < values.len() {
            scalar::butterflies(values, half);
            half *= 2;
        }
        return;
    }
    let (blocks, _) = values.as_chunks_mut::<LANES>();
    let (weight_blocks, _) = weights.as_chunks::<LANES>();
    for (block, weights) in blocks.iter_mut().zip(weight_blocks) {
        // SAFETY: both blocks are 16 floats.
        let x = unsafe { _mm512_mul_ps(_mm512_loadu_ps(block.as_ptr()), _mm512_loadu_ps(weights.as_ptr())) };
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(block.as_mut_ptr(), hadamard_16(x)) };
    }
    let mut half = LANES;
    while 2 * half < values.len() {
        // SAFETY: half is LANES times a power of two, 4 * half at most the length, itself a power of two.
        unsafe { butterflies_twice(values, half) };
        half *= 4;
    }
    if half < values.len() {
        scalar::butterflies(values, half);
    }
}

/// Two stages at once (elements `half` and `2 * half` apart): half the passes over memory, the bits of two stages.
///
/// SAFETY of the caller: the length is a multiple of `4 * half`, and `half` of LANES.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn butterflies_twice(values: &mut [f32], half: usize) {
    let (base, length) = (values.as_mut_ptr(), values.len());
    let mut block = 0;
    while block < length {
        let mut at = block;
        while at < block + half {
            // SAFETY: at + 3 * half + LANES <= block + 4 * half <= length, by the caller's promise.
            unsafe {
                let (a, b) = (base.add(at), base.add(at + half));
                let (c, d) = (base.add(at + 2 * half), base.add(at + 3 * half));
                let (x, y, z, w) = (_mm512_loadu_ps(a), _mm512_loadu_ps(b), _mm512_loadu_ps(c), _mm512_loadu_ps(d));
                let (sum_xy, diff_xy) = (_mm512_add_ps(x, y), _mm512_sub_ps(x, y));
                let (sum_zw, diff_zw) = (_mm512_add_ps(z, w), _mm512_sub_ps(z, w));
                _mm512_storeu_ps(a, _mm512_add_ps(sum_xy, sum_zw));
                _mm512_storeu_ps(b, _mm512_add_ps(diff_xy, diff_zw));
                _mm512_storeu_ps(c, _mm512_sub_ps(sum_xy, sum_zw));
                _mm512_storeu_ps(d, _mm512_sub_ps(diff_xy, diff_zw));
            }
            at += LANES;
        }
        block += 4 * half;
    }
}

/// The transform of 16 values within one register. Each stage is `partner + (+-1) * x`: lanes whose stage bit is set
/// hold `partner - x`, where `partner` is the lower element.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn hadamard_16(x: __m512) -> __m512 {
    let x = {
        let partner = _mm512_permute_ps::<0b10_11_00_01>(x);
        _mm512_mask_sub_ps(_mm512_add_ps(x, partner), 0xAAAA, partner, x)
    };
    let x = {
        let partner = _mm512_permute_ps::<0b01_00_11_10>(x);
        _mm512_mask_sub_ps(_mm512_add_ps(x, partner), 0xCCCC, partner, x)
    };
    let x = {
        let partner = _mm512_shuffle_f32x4::<0b10_11_00_01>(x, x);
        _mm512_mask_sub_ps(_mm512_add_ps(x, partner), 0xF0F0, partner, x)
    };
    let partner = _mm512_shuffle_f32x4::<0b01_00_11_10>(x, x);
    _mm512_mask_sub_ps(_mm512_add_ps(x, partner), 0xFF00, partner, x)
}
