//! The kernels in AVX2 with FMA, and a second table whose byte products use AVX-VNNI.
//!
//! Layer 1, private to `kernels`. The tables are handed out by `available` alone, after it found the features; that is
//! what makes the calls of the functions compiled for them sound. The two tables differ in the byte products only:
//! `vpmaddubsw` + `vpmaddwd` + `vpaddd` against one `vpdpbusd` on 256 bits.

mod bits;

use super::{
    CODE_ALIGN, CodeSums, HALF_ENTRIES, Kernels, check_blocks, check_codes, check_hadamard, check_pair, check_products,
    half::{self, check_half},
    half_blocks, scalar,
};
use std::arch::x86_64::*;

/// The AVX2 table.
pub(super) static KERNELS: Kernels = Kernels {
    name: "avx2",
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
        unsafe { maddubs::sq8_dot(codes, query) }
    },
    sq8_dots: |codes, query, out| {
        check_codes(codes, query, out.len());
        // SAFETY: as for sq8_dot.
        unsafe { maddubs::sq8_dots(codes, query, out) }
    },
    sq8_products: |codes, queries, stride, out| {
        let rows = check_products(codes, queries, stride, out);
        // SAFETY: features as for sq8_dot; check_products established the lengths.
        unsafe { maddubs::sq8_products(codes, queries, stride, rows, out) }
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

/// The AVX2 table with byte products by AVX-VNNI, for processors that have it without AVX-512.
pub(super) static VNNI_KERNELS: Kernels = Kernels {
    name: "avxvnni",
    sq8_dot: |codes, query| {
        check_codes(codes, query, 1);
        // SAFETY: the table exists only where `available` found AVX-VNNI; check_codes established the lengths.
        unsafe { vnni::sq8_dot(codes, query) }
    },
    sq8_dots: |codes, query, out| {
        check_codes(codes, query, out.len());
        // SAFETY: as for sq8_dot.
        unsafe { vnni::sq8_dots(codes, query, out) }
    },
    sq8_products: |codes, queries, stride, out| {
        let rows = check_products(codes, queries, stride, out);
        // SAFETY: features as for sq8_dot; check_products established the lengths.
        unsafe { vnni::sq8_products(codes, queries, stride, rows, out) }
    },
    ..KERNELS
};

const LANES: usize = 8;

#[inline]
#[target_feature(enable = "avx2,fma")]
fn sum_f32(x: __m256) -> f32 {
    let half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
    _mm_cvtss_f32(_mm_add_ss(quarter, _mm_shuffle_ps::<1>(quarter, quarter)))
}

/// SAFETY of the caller: `block[at..at + 8]` is in bounds.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(block: &[f32], at: usize) -> __m256 {
    // SAFETY: the caller keeps the range in bounds.
    unsafe { _mm256_loadu_ps(block.as_ptr().add(at)) }
}

macro_rules! sum_pairs {
    ($name:ident, $step:expr, $last:expr) => {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $name(a: &[f32], b: &[f32]) -> f32 {
            let step = $step;
            let zero = _mm256_setzero_ps();
            // Four named sums, not an array: indexed, they would live in memory between the steps.
            let (mut s0, mut s1, mut s2, mut s3) = (zero, zero, zero, zero);
            let (a_blocks, a_rest) = a.as_chunks::<{ 4 * LANES }>();
            let (b_blocks, b_rest) = b.as_chunks::<{ 4 * LANES }>();
            for (x, y) in a_blocks.iter().zip(b_blocks) {
                // SAFETY: both blocks are 32 floats.
                unsafe {
                    s0 = step(load(x, 0), load(y, 0), s0);
                    s1 = step(load(x, LANES), load(y, LANES), s1);
                    s2 = step(load(x, 2 * LANES), load(y, 2 * LANES), s2);
                    s3 = step(load(x, 3 * LANES), load(y, 3 * LANES), s3);
                }
            }
            let (a_blocks, a_rest) = a_rest.as_chunks::<LANES>();
            let (b_blocks, b_rest) = b_rest.as_chunks::<LANES>();
            for (x, y) in a_blocks.iter().zip(b_blocks) {
                // SAFETY: both blocks are 8 floats.
                s0 = unsafe { step(load(x, 0), load(y, 0), s0) };
            }
            let rest: f32 = a_rest.iter().zip(b_rest).map($last).sum();
            sum_f32(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3))) + rest
        }
    };
}

sum_pairs!(dot, |x, y, sum| _mm256_fmadd_ps(x, y, sum), |(x, y)| x * y);
sum_pairs!(
    l2,
    |x, y, sum| {
        let difference = _mm256_sub_ps(x, y);
        _mm256_fmadd_ps(difference, difference, sum)
    },
    |(x, y)| (x - y) * (x - y)
);

/// The sums of four registers.
#[inline]
#[target_feature(enable = "avx2")]
fn sum_of_each(a: __m256i, b: __m256i, c: __m256i, d: __m256i) -> __m128i {
    let halves = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves))
}

/// The byte products once per instruction that forms them.
macro_rules! sq8 {
    ($module:ident, $features:literal, $products:expr) => {
        mod $module {
            use super::*;

            /// Rows per step of [`sq8_dots`]: each query register is loaded once for four rows.
            const ROWS: usize = 4;

            /// The products of `N` consecutive rows with the query, eight partial sums a row.
            ///
            /// SAFETY of the caller: `N * query.len()` bytes are readable at `codes`, and the length is a multiple of
            /// 32.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn rows<const N: usize>(codes: *const u8, query: &[i8]) -> [__m256i; N] {
                let add_products = $products;
                let stride = query.len();
                let mut sums = [_mm256_setzero_si256(); N];
                let mut at = 0;
                while at < stride {
                    // SAFETY: at + 32 <= stride in the query and in each row.
                    unsafe {
                        let part = _mm256_loadu_si256(query.as_ptr().add(at).cast());
                        for (row, sum) in sums.iter_mut().enumerate() {
                            let line = _mm256_loadu_si256(codes.add(row * stride + at).cast());
                            *sum = add_products(*sum, line, part);
                        }
                    }
                    at += CODE_ALIGN;
                }
                sums
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn sq8_dot(codes: &[u8], query: &[i8]) -> i32 {
                // SAFETY: codes is as long as query, a multiple of 32 (check_codes).
                let [sum] = unsafe { rows::<1>(codes.as_ptr(), query) };
                let half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
                let quarter = _mm_add_epi32(half, _mm_shuffle_epi32::<0b01_00_11_10>(half));
                _mm_cvtsi128_si32(_mm_add_epi32(quarter, _mm_shuffle_epi32::<0b10_11_00_01>(quarter)))
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn sq8_dots(codes: &[u8], query: &[i8], out: &mut [i32]) {
                let stride = query.len();
                let (blocks, rest) = out.as_chunks_mut::<ROWS>();
                let done = blocks.len() * ROWS;
                for (block, out) in blocks.iter_mut().enumerate() {
                    // SAFETY: block * 4 + 3 < rows, and codes holds rows * stride bytes (check_codes).
                    let [a, b, c, d] = unsafe { rows::<ROWS>(codes.as_ptr().add(block * ROWS * stride), query) };
                    // SAFETY: out is four i32, 16 bytes.
                    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), sum_of_each(a, b, c, d)) };
                }
                for (row, out) in rest.iter_mut().enumerate() {
                    let start = (done + row) * stride;
                    // SAFETY: the sub-slice is one row of stride codes.
                    *out = unsafe { sq8_dot(&codes[start..start + stride], query) };
                }
            }

            /// Codes stay in L1 while two queries at a time pass them.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn sq8_products(
                codes: &[u8],
                queries: &[i8],
                stride: usize,
                rows: usize,
                out: &mut [i32],
            ) {
                let count = queries.len() / stride;
                let (whole_rows, whole_queries) = (rows - rows % ROWS, count - count % QUERIES);
                for row in (0..whole_rows).step_by(ROWS) {
                    for query in (0..whole_queries).step_by(QUERIES) {
                        // SAFETY: four rows and two queries from here on are within codes and queries.
                        let sums = unsafe {
                            tile(codes.as_ptr().add(row * stride), queries.as_ptr().add(query * stride), stride)
                        };
                        for (at, sums) in sums.into_iter().enumerate() {
                            // SAFETY: row + 3 < rows and query + at < count, and out holds rows * count numbers.
                            unsafe { _mm_storeu_si128(out.as_mut_ptr().add((query + at) * rows + row).cast(), sums) };
                        }
                    }
                }
                for (number, query) in queries.chunks_exact(stride).enumerate() {
                    let from = if number < whole_queries { whole_rows } else { 0 };
                    let out = &mut out[number * rows + from..(number + 1) * rows];
                    // SAFETY: whole rows of stride codes, as many as numbers in out.
                    unsafe { sq8_dots(&codes[from * stride..], query, out) };
                }
            }

            /// Queries per step of [`sq8_products`]: eight sums and what they are formed from fill the registers.
            const QUERIES: usize = 2;

            /// The products of four consecutive rows with each of two consecutive queries.
            ///
            /// SAFETY of the caller: `4 * stride` bytes are readable at `codes`, `2 * stride` at `queries`; `stride` is a multiple
            /// of 32.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn tile(codes: *const u8, queries: *const i8, stride: usize) -> [__m128i; QUERIES] {
                let add_products = $products;
                let mut sums = [[_mm256_setzero_si256(); ROWS]; QUERIES];
                let mut at = 0;
                while at < stride {
                    // SAFETY: at + 32 <= stride in each of the rows and queries.
                    unsafe {
                        let parts: [__m256i; QUERIES] =
                            std::array::from_fn(|query| _mm256_loadu_si256(queries.add(query * stride + at).cast()));
                        for row in 0..ROWS {
                            let line = _mm256_loadu_si256(codes.add(row * stride + at).cast());
                            for (sums, part) in sums.iter_mut().zip(parts) {
                                sums[row] = add_products(sums[row], line, part);
                            }
                        }
                    }
                    at += CODE_ALIGN;
                }
                sums.map(|[a, b, c, d]| sum_of_each(a, b, c, d))
            }
        }
    };
}

sq8!(maddubs, "avx2,fma", |sum, codes, query| {
    _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, query), _mm256_set1_epi16(1)))
});
sq8!(vnni, "avx2,fma,avxvnni", |sum, codes, query| _mm256_dpbusd_avx_epi32(sum, codes, query));

#[inline]
#[target_feature(enable = "avx2")]
fn sum_i32(x: __m256i) -> i64 {
    let half = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
    let quarter = _mm_add_epi32(half, _mm_shuffle_epi32::<0b01_00_11_10>(half));
    i64::from(_mm_cvtsi128_si32(_mm_add_epi32(quarter, _mm_shuffle_epi32::<0b10_11_00_01>(quarter))))
}

#[target_feature(enable = "avx2,fma")]
unsafe fn sq8_encode(values: &[f32], mid: f32, scale: f32, codes: &mut [u8]) -> CodeSums {
    let (mids, scales) = (_mm256_set1_ps(mid), _mm256_set1_ps(scale));
    let (low, high) = (_mm256_set1_ps(-128.0), _mm256_set1_ps(127.0));
    let (mut sum, mut squares) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    let (blocks, rest) = values.as_chunks::<LANES>();
    let (code_blocks, code_rest) = codes.as_chunks_mut::<LANES>();
    for (values, codes) in blocks.iter().zip(code_blocks) {
        // SAFETY: the block is 8 floats.
        let x = unsafe { _mm256_loadu_ps(values.as_ptr()) };
        // Clamped before the conversion rounds: the bounds are whole, so both orders give the same level.
        let scaled = _mm256_mul_ps(_mm256_sub_ps(x, mids), scales);
        let level = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(scaled, low), high));
        sum = _mm256_add_epi32(sum, level);
        squares = _mm256_add_epi32(squares, _mm256_mullo_epi32(level, level));
        let wide = _mm256_add_epi32(level, _mm256_set1_epi32(128));
        let words = _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256::<1>(wide));
        // SAFETY: the block is 8 bytes, what a low-half store writes.
        unsafe { _mm_storel_epi64(codes.as_mut_ptr().cast(), _mm_packus_epi16(words, words)) };
    }
    let mut sums = scalar::sq8_encode(rest, mid, scale, code_rest);
    sums.sum += sum_i32(sum);
    sums.squares += sum_i32(squares);
    sums
}

#[target_feature(enable = "avx2")]
unsafe fn min_max(values: &[f32]) -> (f32, f32) {
    let mut low = _mm256_set1_ps(f32::INFINITY);
    let mut high = _mm256_set1_ps(f32::NEG_INFINITY);
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        // SAFETY: the block is 8 floats.
        let x = unsafe { _mm256_loadu_ps(block.as_ptr()) };
        low = _mm256_min_ps(low, x);
        high = _mm256_max_ps(high, x);
    }
    let (mut lows, mut highs) = ([0.0f32; LANES], [0.0f32; LANES]);
    // SAFETY: both arrays are 8 floats.
    unsafe {
        _mm256_storeu_ps(lows.as_mut_ptr(), low);
        _mm256_storeu_ps(highs.as_mut_ptr(), high);
    }
    let (low_rest, high_rest) = scalar::min_max(rest);
    (lows.into_iter().fold(low_rest, f32::min), highs.into_iter().fold(high_rest, f32::max))
}

#[target_feature(enable = "avx2,fma")]
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
        // SAFETY: both blocks are 8 floats.
        let x = unsafe { _mm256_mul_ps(_mm256_loadu_ps(block.as_ptr()), _mm256_loadu_ps(weights.as_ptr())) };
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(block.as_mut_ptr(), hadamard_8(x)) };
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
#[target_feature(enable = "avx2")]
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
                let (x, y, z, w) = (_mm256_loadu_ps(a), _mm256_loadu_ps(b), _mm256_loadu_ps(c), _mm256_loadu_ps(d));
                let (sum_xy, diff_xy) = (_mm256_add_ps(x, y), _mm256_sub_ps(x, y));
                let (sum_zw, diff_zw) = (_mm256_add_ps(z, w), _mm256_sub_ps(z, w));
                _mm256_storeu_ps(a, _mm256_add_ps(sum_xy, sum_zw));
                _mm256_storeu_ps(b, _mm256_add_ps(diff_xy, diff_zw));
                _mm256_storeu_ps(c, _mm256_sub_ps(sum_xy, sum_zw));
                _mm256_storeu_ps(d, _mm256_sub_ps(diff_xy, diff_zw));
            }
            at += LANES;
        }
        block += 4 * half;
    }
}

/// The transform of 8 values within one register: each stage blends `x + partner` with `partner - x` in the lanes whose
/// stage bit is set.
#[inline]
#[target_feature(enable = "avx2")]
fn hadamard_8(x: __m256) -> __m256 {
    let x = {
        let partner = _mm256_permute_ps::<0b10_11_00_01>(x);
        _mm256_blend_ps::<0b1010_1010>(_mm256_add_ps(x, partner), _mm256_sub_ps(partner, x))
    };
    let x = {
        let partner = _mm256_permute_ps::<0b01_00_11_10>(x);
        _mm256_blend_ps::<0b1100_1100>(_mm256_add_ps(x, partner), _mm256_sub_ps(partner, x))
    };
    let partner = _mm256_permute2f128_ps::<1>(x, x);
    _mm256_blend_ps::<0b1111_0000>(_mm256_add_ps(x, partner), _mm256_sub_ps(partner, x))
}
