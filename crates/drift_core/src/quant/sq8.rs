//! SQ8, the code of record: one byte a dimension, scaled per row, scored against a 7-bit query by integer products.
//!
//! Layer 2. Segments and memtables store [`Factors`] and codes; searches hold a [`QueryCode`].
//!
//! A row is reconstructed as `x^_i = mid + delta (code_i - 128)`, where `[mid - 128 delta, mid + 127 delta]` is the
//! range of its values, or a percentile range ([`Clip`]); values outside are clipped. A query is coded as `q_i ~ step *
//! u_i` with whole `u_i` in -63..=63 ([`QUERY_CODE_MAX`]), and with the kernels' `raw = sum code_i u_i`
//!
//! ```text
//! <q, x^>   ~ mid sum q + delta step (raw - 128 sum u)
//! |q - x^|^2 = |q|^2 - 2 <q, x^> + |x^|^2
//! ```
//!
//! Only the query's rounding is estimated: the distance is otherwise the exact one to `x^`, because `norm2 = |x^|^2`.
//! Rows are padded to [`code_stride`] bytes with code 128 against query code 0, which adds nothing. All vectors here
//! are rotated (`quant::rotation`), so that no single dimension stretches the range of a row.

use crate::kernels::{CODE_ALIGN, QUERY_CODE_MAX, kernels};

/// The code of `mid`, and of padding.
const CODE_ZERO: u8 = 128;

/// Bytes of a row's codes: `dim` rounded up to whole 32-byte registers.
pub fn code_stride(dim: usize) -> usize {
    dim.next_multiple_of(CODE_ALIGN)
}

/// What turns a row's codes back into values. 12 bytes, stored as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Factors {
    /// The value of code 128.
    pub mid: f32,
    /// The distance of neighbouring codes; 0 when all values are equal.
    pub delta: f32,
    /// Squared length of the reconstruction.
    pub norm2: f32,
}

/// The percentiles of a row's values that its codes span.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    /// Percent of the values below the lowest code, 0 to 50.
    pub low_percent: f32,
    /// Percent of the values up to the highest code, 50 to 100.
    pub high_percent: f32,
}

impl Clip {
    /// Smallest to largest value: nothing is clipped.
    pub const NONE: Clip = Clip { low_percent: 0.0, high_percent: 100.0 };
}

impl Default for Clip {
    fn default() -> Clip {
        Clip::NONE
    }
}

/// Encodes a rotated row; `codes` has [`code_stride`] bytes.
///
/// # Panics
/// When `codes` has another length.
pub fn encode(rotated: &[f32], clip: Clip, codes: &mut [u8]) -> Factors {
    assert_eq!(codes.len(), code_stride(rotated.len()), "code_stride(dim) bytes");
    let (low, high) = if clip == Clip::NONE { (kernels().min_max)(rotated) } else { percentiles(rotated, clip) };
    // 255 steps span the range; in f64 no range of finite f32 values overflows.
    let step = ((f64::from(high) - f64::from(low)) / 255.0) as f32;
    let inverse = 1.0 / step;
    // A range too small for its inverse to be a number is no range.
    let (delta, scale) = if step > 0.0 && inverse.is_finite() { (step, inverse) } else { (0.0, 0.0) };
    let mid = (f64::from(low) + 128.0 * f64::from(delta)) as f32;
    let (values, padding) = codes.split_at_mut(rotated.len());
    let sums = (kernels().sq8_encode)(rotated, mid, scale, values);
    padding.fill(CODE_ZERO);
    let (sum, squares) = (sums.sum as f64, sums.squares as f64);
    let (wide_mid, wide_delta) = (f64::from(mid), f64::from(delta));
    let norm2 = rotated.len() as f64 * wide_mid * wide_mid
        + 2.0 * wide_mid * wide_delta * sum
        + wide_delta * wide_delta * squares;
    Factors { mid, delta, norm2: norm2 as f32 }
}

/// The values at the percentiles of `clip`, by nearest rank.
fn percentiles(values: &[f32], clip: Clip) -> (f32, f32) {
    let mut sorted = values.to_vec();
    let last = sorted.len() - 1;
    let rank = |percent: f32| ((f64::from(percent) / 100.0 * last as f64).round() as usize).min(last);
    let (low, high) = (rank(clip.low_percent), rank(clip.high_percent));
    let low_value = *sorted.select_nth_unstable_by(low, f32::total_cmp).1;
    let high_value = *sorted.select_nth_unstable_by(high, f32::total_cmp).1;
    (low_value, high_value)
}

/// The values that codes stand for; `codes` may be padded, `out` is not.
///
/// # Panics
/// When there are fewer codes than values.
pub fn reconstruct(codes: &[u8], factors: &Factors, out: &mut [f32]) {
    assert!(codes.len() >= out.len(), "a code for each value");
    for (value, &code) in out.iter_mut().zip(codes) {
        *value = factors.mid + factors.delta * (f32::from(code) - f32::from(CODE_ZERO));
    }
}

/// A query in the form that the byte kernels take. Made once per thread, then [`QueryCode::set`] for each query.
///
/// ```
/// use drift_core::kernels::kernels;
/// use drift_core::quant::sq8::{Clip, QueryCode, code_stride, encode};
///
/// let row: Vec<f32> = (0..48).map(|i| (i as f32 * 0.7).sin()).collect();
/// let mut codes = vec![0; code_stride(row.len())];
/// let factors = encode(&row, Clip::default(), &mut codes);
///
/// let mut query = QueryCode::new(row.len());
/// query.set(&row);
/// let raw = (kernels().sq8_dot)(&codes, query.codes());
/// assert!(query.l2(raw, &factors).abs() <= 2.0 * query.error_bound(&factors) + 0.01);
/// ```
#[derive(Clone, Debug)]
pub struct QueryCode {
    dim: usize,
    codes: Vec<i8>,
    step: f32,
    /// `128 sum u`, what the offset of the stored codes adds to every raw product.
    offset: i32,
    sum: f32,
    norm2: f32,
    /// `dim` ones, which turn a dot product into a sum.
    ones: Vec<f32>,
}

/// The numbers of a [`QueryCode`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Terms {
    sum: f32,
    step: f32,
    offset: i32,
}

impl Terms {
    /// [`QueryCode::dot`] with a row whose factors are `mid` and `delta`.
    #[inline(always)]
    pub fn dot(&self, raw: i32, mid: f32, delta: f32) -> f32 {
        mid * self.sum + delta * self.step * (raw - self.offset) as f32
    }
}

impl QueryCode {
    /// Room for a query of `dim` dimensions; it is the zero vector until it is set.
    pub fn new(dim: usize) -> QueryCode {
        let codes = vec![0; code_stride(dim)];
        QueryCode { dim, codes, step: 0.0, offset: 0, sum: 0.0, norm2: 0.0, ones: vec![1.0; dim] }
    }

    /// Encodes a rotated query in place; allocates nothing.
    ///
    /// # Panics
    /// When its length is not the dimension.
    pub fn set(&mut self, rotated: &[f32]) {
        assert_eq!(rotated.len(), self.dim, "a query of the code's dimension");
        let (low, high) = (kernels().min_max)(rotated);
        let largest = high.max(-low);
        let inverse = f32::from(QUERY_CODE_MAX) / largest;
        let (step, inverse) =
            if inverse.is_finite() { (largest / f32::from(QUERY_CODE_MAX), inverse) } else { (0.0, 0.0) };
        let dim = self.dim;
        let codes: &mut [u8] = &mut bytemuck::cast_slice_mut(&mut self.codes)[..dim];
        let sums = (kernels().sq8_encode)(rotated, 0.0, inverse, codes);
        // The kernel writes u + 128; flipping the top bit makes it a signed u.
        codes.iter_mut().for_each(|code| *code ^= CODE_ZERO);
        self.step = step;
        self.offset = i32::from(CODE_ZERO) * sums.sum as i32;
        self.sum = (kernels().dot)(rotated, &self.ones);
        self.norm2 = (kernels().dot)(rotated, rotated);
    }

    /// The codes, [`code_stride`] of them, for the kernels.
    #[inline(always)]
    pub fn codes(&self) -> &[i8] {
        &self.codes
    }

    /// What [`QueryCode::dot`] needs besides the raw product and the row's factors.
    pub fn terms(&self) -> Terms {
        Terms { sum: self.sum, step: self.step, offset: self.offset }
    }

    /// Squared length of the query itself, before coding.
    #[inline(always)]
    pub fn norm2(&self) -> f32 {
        self.norm2
    }

    /// Estimate of `<q, x^>` from the raw product of a row.
    #[inline(always)]
    pub fn dot(&self, raw: i32, factors: &Factors) -> f32 {
        self.terms().dot(raw, factors.mid, factors.delta)
    }

    /// Estimate of `|q - x^|^2` from the raw product of a row; may fall below 0 by the error bound.
    #[inline(always)]
    pub fn l2(&self, raw: i32, factors: &Factors) -> f32 {
        self.norm2 + factors.norm2 - 2.0 * self.dot(raw, factors)
    }

    /// Largest error of [`QueryCode::dot`] against `<q, x^>`, but for rounding; half the largest error of
    /// [`QueryCode::l2`] against `|q - x^|^2`.
    ///
    /// The term of `mid` is exact, so the error is `<q - step u, x^ - mid 1>`; rounding moves no value by more than half
    /// a step, so Cauchy-Schwarz and the triangle inequality bound it by `step / 2 sqrt d (|x^| + |mid| sqrt d)`. Typical
    /// errors are sqrt(3 d) times smaller.
    pub fn error_bound(&self, factors: &Factors) -> f32 {
        let root = (self.dim as f32).sqrt();
        0.5 * self.step * root * (factors.norm2.max(0.0).sqrt() + factors.mid.abs() * root)
    }

    /// Standard deviation of [`QueryCode::l2`] against `|q - x|^2`, and twice that of [`QueryCode::dot`] against `<q, x>`, of
    /// rows that were coded without clipping: the query's rounding (its typical error, [`QueryCode::error_bound`]) and the
    /// row's, a uniform error of half a `delta` either way in each dimension, which meets what is `length2` long: `q - x`
    /// under L2, `q` under dot.
    pub fn deviation(&self, factors: &Factors, length2: f32) -> f32 {
        let query = self.error_bound(factors) / (3.0 * self.dim as f32).sqrt();
        let row = factors.delta * (length2.max(0.0) / 12.0).sqrt();
        2.0 * query.hypot(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn coded(row: &[f32], clip: Clip) -> (Vec<u8>, Factors) {
        let mut codes = vec![7; code_stride(row.len())];
        let factors = encode(row, clip, &mut codes);
        (codes, factors)
    }

    proptest! {
        #[test]
        fn reconstruction_is_within_half_a_step_without_clipping(row in vec(-5.0f32..5.0, 1..200)) {
            let (codes, factors) = coded(&row, Clip::NONE);
            let mut back = vec![0.0; row.len()];
            reconstruct(&codes, &factors, &mut back);
            for (value, back) in row.iter().zip(&back) {
                prop_assert!((value - back).abs() <= 0.5 * factors.delta + 1e-5, "{value} {back}");
            }
            let norm2: f64 = back.iter().map(|&value| f64::from(value).powi(2)).sum();
            prop_assert!((norm2 - f64::from(factors.norm2)).abs() < 1e-4 * norm2 + 1e-6);
            prop_assert!(codes[row.len()..].iter().all(|&code| code == CODE_ZERO));
        }

        #[test]
        fn estimates_stay_within_their_bound(
            pairs in vec((-2.0f32..2.0, -2.0f32..2.0), 1..300), shift in -1.0f32..1.0, clipped in any::<bool>(),
        ) {
            let (row, query): (Vec<f32>, Vec<f32>) = pairs.into_iter().map(|(x, q)| (x + shift, q)).unzip();
            let clip = if clipped { Clip { low_percent: 1.0, high_percent: 99.0 } } else { Clip::NONE };
            let (codes, factors) = coded(&row, clip);
            let mut back = vec![0.0; row.len()];
            reconstruct(&codes, &factors, &mut back);
            let mut code = QueryCode::new(row.len());
            code.set(&query);
            let raw = (kernels().sq8_dot)(&codes, code.codes());
            let dot: f64 = query.iter().zip(&back).map(|(&q, &x)| f64::from(q) * f64::from(x)).sum();
            let l2: f64 = query.iter().zip(&back).map(|(&q, &x)| (f64::from(q) - f64::from(x)).powi(2)).sum();
            let bound = f64::from(code.error_bound(&factors));
            prop_assert!((f64::from(code.dot(raw, &factors)) - dot).abs() <= bound + 1e-3);
            prop_assert!((f64::from(code.l2(raw, &factors)) - l2).abs() <= 2.0 * bound + 2e-3);
        }
    }

    #[test]
    fn errors_have_their_deviation() {
        let dim = 96;
        let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
        let mut vector = || -> Vec<f32> { (0..dim).map(|_| random.random::<f32>() - random.random::<f32>()).collect() };
        let mut code = QueryCode::new(dim);
        let mut squares = 0.0;
        let rounds = 2_000;
        for _ in 0..rounds {
            let (row, query) = (vector(), vector());
            let (codes, factors) = coded(&row, Clip::NONE);
            code.set(&query);
            let estimate = code.l2((kernels().sq8_dot)(&codes, code.codes()), &factors);
            let exact = (kernels().l2)(&query, &row);
            squares += f64::from((estimate - exact) / code.deviation(&factors, exact)).powi(2);
        }
        let ratio = (squares / f64::from(rounds)).sqrt();
        assert!((0.85..1.1).contains(&ratio), "{ratio} times the deviation");
    }

    #[test]
    fn query_codes_are_seven_bits_wide_and_padded_with_zero() {
        let mut code = QueryCode::new(40);
        code.set(&[-3.0; 40]);
        assert!(code.codes()[..40].iter().all(|&unit| unit == -QUERY_CODE_MAX));
        assert!(code.codes()[40..].iter().all(|&unit| unit == 0));
    }

    #[test]
    fn constant_zero_and_extreme_rows_give_finite_factors() {
        for value in [0.0, 2.5, -1e-40, 1e15] {
            let (codes, factors) = coded(&[value; 33], Clip::default());
            assert_eq!(factors.delta, 0.0);
            assert!(factors.norm2.is_finite());
            assert!(codes.iter().all(|&code| code == CODE_ZERO));
            let mut code = QueryCode::new(33);
            code.set(&[value; 33]);
            assert!(code.l2((kernels().sq8_dot)(&codes, code.codes()), &factors).is_finite());
        }
        let (_, factors) = coded(&[f32::MIN, f32::MAX], Clip::default());
        assert!(factors.delta.is_finite() && factors.mid.is_finite());
    }

    #[test]
    fn percentile_clip_ignores_outliers() {
        let mut row: Vec<f32> = (0..1000).map(|i| i as f32 / 1000.0).collect();
        row[500] = 1e6;
        let (_, factors) = coded(&row, Clip { low_percent: 1.0, high_percent: 99.0 });
        assert!(factors.delta < 0.01);
    }
}
