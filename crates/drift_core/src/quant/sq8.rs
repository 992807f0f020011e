//! SQ8: one byte per dimension, the code of record.
//!
//! Layer 2. A rotated row x becomes u8 codes c and two factors: x̂_i = mid + delta (c_i - 128), the row's own range
//! [low, high] cut into 255 steps. Per-row factors need no training, so no drift can make them stale.
//!
//! Asymmetric distance: the query is quantised once to seven-bit integers p with step s, q_i ≈ s p_i, and
//! <q, x̂> ≈ mid Σq + delta s (Σ c_i p_i - 128 Σ p_i), whose one sum per row is an integer product
//! ([`Kernels::sq8_dots`](crate::kernels::Kernels::sq8_dots)); centring the codes at 128 keeps the query's rounding
//! error out of the mean. Then |q - x̂|² = |q|² + |x̂|² - 2 <q, x̂>.
//!
//! Error (unclipped rows): |x_i - x̂_i| <= delta / 2, |q_i - s p_i| <= s / 2; see [`QueryCode::l2_error_bound`].

use crate::kernels::{CODE_ALIGN, QUERY_CODE_MAX};
use bytemuck::{Pod, Zeroable};

/// Code that stands for `mid`; also fills the padding of a row.
pub const CODE_CENTRE: u8 = 128;

/// Bytes of one row's codes: the dimension rounded up to [`CODE_ALIGN`].
pub fn code_stride(dim: usize) -> usize {
    dim.next_multiple_of(CODE_ALIGN)
}

/// What a row's codes mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Factors {
    /// Value of code 128.
    pub mid: f32,
    /// Step between neighbouring codes.
    pub delta: f32,
    /// Squared norm of the reconstruction, |x̂|².
    pub norm2: f32,
}

/// Percentiles of a row's values that bound its range; values outside are clipped to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    /// Lower percentile, 0 to 50.
    pub low_percent: f32,
    /// Upper percentile, 50 to 100.
    pub high_percent: f32,
}

impl Clip {
    /// Nothing is clipped.
    pub const NONE: Clip = Clip { low_percent: 0.0, high_percent: 100.0 };

    /// The 1st and 99th percentile, as the sources have it.
    pub const ONE_PERCENT: Clip = Clip { low_percent: 1.0, high_percent: 99.0 };
}

impl Default for Clip {
    /// [`Clip::NONE`]: rotated rows have no heavy tails, and clipping them costs more than it gains
    /// (docs/decisions/0001-sq8-clip.md).
    fn default() -> Clip {
        Clip::NONE
    }
}

fn range(row: &[f32], clip: Clip) -> (f32, f32) {
    if clip == Clip::NONE {
        return row
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &value| (low.min(value), high.max(value)));
    }
    let mut sorted = row.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = |percent: f32| {
        let place = percent / 100.0 * (sorted.len() - 1) as f32;
        let (below, part) = (place.floor() as usize, place.fract());
        let above = (below + 1).min(sorted.len() - 1);
        sorted[below] + (sorted[above] - sorted[below]) * part
    };
    (at(clip.low_percent), at(clip.high_percent))
}

/// Encodes a rotated row. `codes` has [`code_stride`] bytes.
pub fn encode(row: &[f32], clip: Clip, codes: &mut [u8]) -> Factors {
    assert_eq!(codes.len(), code_stride(row.len()), "codes of one padded row");
    let (low, high) = range(row, clip);
    let delta = (high - low) / 255.0;
    let inverse = if delta > 0.0 { 1.0 / delta } else { 0.0 };
    for (code, &value) in codes.iter_mut().zip(row) {
        // `as` saturates, which clips.
        *code = ((value - low) * inverse + 0.5) as u8;
    }
    codes[row.len()..].fill(CODE_CENTRE);
    let mid = low + delta * f32::from(CODE_CENTRE);
    let (mut sum, mut squares) = (0i64, 0i64);
    for &code in &codes[..row.len()] {
        let centred = i64::from(code) - i64::from(CODE_CENTRE);
        sum += centred;
        squares += centred * centred;
    }
    let (mid64, delta64) = (f64::from(mid), f64::from(delta));
    let norm2 =
        row.len() as f64 * mid64 * mid64 + 2.0 * mid64 * delta64 * sum as f64 + delta64 * delta64 * squares as f64;
    Factors { mid, delta, norm2: norm2 as f32 }
}

/// Writes the reconstruction x̂ of a row into `out`, which has the row's dimension.
pub fn reconstruct(codes: &[u8], factors: &Factors, out: &mut [f32]) {
    for (out, &code) in out.iter_mut().zip(codes) {
        *out = factors.mid + factors.delta * (f32::from(code) - f32::from(CODE_CENTRE));
    }
}

/// A quantised query.
#[derive(Clone, Debug)]
pub struct QueryCode {
    codes: Vec<i8>,
    dim: usize,
    step: f32,
    sum: f32,
    norm2: f32,
    centre: i32,
}

impl QueryCode {
    /// A zero query of `dim` dimensions.
    pub fn new(dim: usize) -> QueryCode {
        QueryCode { codes: vec![0; code_stride(dim)], dim, step: 0.0, sum: 0.0, norm2: 0.0, centre: 0 }
    }

    /// Quantises a rotated query; allocates nothing. Panics when its length is not the dimension.
    pub fn set(&mut self, query: &[f32]) {
        assert_eq!(query.len(), self.dim, "a query of the collection's dimension");
        let largest = query.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        self.step = largest / QUERY_CODE_MAX as f32;
        let inverse = if self.step > 0.0 { 1.0 / self.step } else { 0.0 };
        let mut sum_codes = 0i32;
        for (code, &value) in self.codes.iter_mut().zip(query) {
            *code = (value * inverse).round_ties_even() as i8;
            sum_codes += i32::from(*code);
        }
        self.centre = i32::from(CODE_CENTRE) * sum_codes;
        self.sum = query.iter().sum();
        self.norm2 = (crate::kernels::kernels().dot)(query, query);
    }

    /// The codes, padded with zeros to the row stride.
    pub fn codes(&self) -> &[i8] {
        &self.codes
    }

    /// |q|².
    pub fn norm2(&self) -> f32 {
        self.norm2
    }

    /// Estimate of <q, x̂> from the raw integer product of the codes.
    #[inline]
    pub fn dot(&self, product: i32, factors: &Factors) -> f32 {
        factors.mid * self.sum + factors.delta * self.step * (product - self.centre) as f32
    }

    /// Estimate of |q - x̂|² from the raw integer product of the codes.
    #[inline]
    pub fn l2(&self, product: i32, factors: &Factors) -> f32 {
        self.norm2 + factors.norm2 - 2.0 * self.dot(product, factors)
    }

    /// Largest |estimate - |q - x|²| of an unclipped row x at true squared distance `distance`: with e_x = delta √d / 2
    /// and e_q = step √d / 2 it is 2 e_q |x̂ - mid| + 2 √distance e_x + e_x², where |x̂ - mid| <= 128 delta √d.
    pub fn l2_error_bound(&self, distance: f32, factors: &Factors) -> f32 {
        let root = (self.dim as f32).sqrt();
        let (e_x, e_q) = (0.5 * factors.delta * root, 0.5 * self.step * root);
        2.0 * e_q * 128.0 * factors.delta * root + 2.0 * distance.sqrt() * e_x + e_x * e_x
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::kernels;
    use proptest::prelude::*;

    fn product(codes: &[u8], query: &QueryCode) -> i32 {
        let mut out = [0];
        (kernels().sq8_dots)(codes, query.codes(), &mut out);
        out[0]
    }

    proptest! {
        #[test]
        fn estimates_stay_within_the_stated_bound(
            pairs in prop::collection::vec((-3.0f32..3.0, -3.0f32..3.0), 1..200)
        ) {
            let (row, query): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let mut codes = vec![0; code_stride(row.len())];
            let factors = encode(&row, Clip::NONE, &mut codes);
            let mut code = QueryCode::new(row.len());
            code.set(&query);
            let truth: f32 = row.iter().zip(&query).map(|(x, q)| (x - q) * (x - q)).sum();
            let estimate = code.l2(product(&codes, &code), &factors);
            let rounding = 1e-4 * (1.0 + truth + code.norm2() + factors.norm2);
            prop_assert!((estimate - truth).abs() <= code.l2_error_bound(truth, &factors) + rounding);
        }

        #[test]
        fn reconstruction_is_within_half_a_step(row in prop::collection::vec(-5.0f32..5.0, 1..200)) {
            let mut codes = vec![0; code_stride(row.len())];
            let factors = encode(&row, Clip::NONE, &mut codes);
            let mut back = vec![0.0; row.len()];
            reconstruct(&codes, &factors, &mut back);
            for (x, y) in row.iter().zip(&back) {
                prop_assert!((x - y).abs() <= 0.5 * factors.delta + 1e-5, "{} {}", x, y);
            }
            let norm2: f32 = back.iter().map(|x| x * x).sum();
            prop_assert!((norm2 - factors.norm2).abs() <= 1e-4 * (1.0 + norm2));
        }
    }

    #[test]
    fn clipping_cuts_the_range_at_the_percentiles() {
        let mut row: Vec<f32> = (0..101).map(|n| n as f32).collect();
        row[100] = 10_000.0;
        let mut codes = vec![0; code_stride(row.len())];
        let factors = encode(&row, Clip::ONE_PERCENT, &mut codes);
        assert!((factors.delta - 98.0 / 255.0).abs() < 1e-4, "{factors:?}");
        assert_eq!((codes[0], codes[100]), (0, 255));
    }

    #[test]
    fn a_constant_row_is_exact() {
        let row = [0.75f32; 40];
        let mut codes = vec![0; code_stride(40)];
        let factors = encode(&row, Clip::NONE, &mut codes);
        let mut back = [0.0; 40];
        reconstruct(&codes, &factors, &mut back);
        assert_eq!(back, row);
    }
}
