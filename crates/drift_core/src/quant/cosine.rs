//! The cosine distance, with as many digits as its operands have.
//!
//! Layer 2. `1 - <q, x>` keeps none of the digits of a distance of a millionth: of near rows half the squared distance of the
//! unit vectors is taken, which is the same number and loses nothing. A row is then at 0 from itself.

use crate::kernels::kernels;

/// Distances below this are measured by differences: `1 - <q, x>` is off by some 1e-7, a hundred-thousandth of it.
const NEAR: f32 = 0.01;

/// What a vector is multiplied by to have length 1; 0 for the zero vector.
pub fn scale(vector: &[f32]) -> f32 {
    let norm2 = (kernels().dot)(vector, vector);
    if norm2 > 0.0 { norm2.sqrt().recip() } else { 0.0 }
}

/// 1 - cos between a query of length 1 and a vector whose [`scale`] is given.
#[inline]
pub fn distance(query: &[f32], vector: &[f32], scale: f32) -> f32 {
    let distance = 1.0 - (kernels().dot)(query, vector) * scale;
    if distance < NEAR { near(query, vector, scale) } else { distance }
}

/// The same by differences.
fn near(query: &[f32], vector: &[f32], scale: f32) -> f32 {
    let mut sums = [0.0f32; 8];
    let ((queries, query), (vectors, vector)) = (query.as_chunks::<8>(), vector.as_chunks::<8>());
    let square = |q: &f32, x: &f32| {
        let difference = q - x * scale;
        difference * difference
    };
    for (query, vector) in queries.iter().zip(vectors) {
        for (sum, (q, x)) in sums.iter_mut().zip(query.iter().zip(vector)) {
            *sum += square(q, x);
        }
    }
    0.5 * (sums.iter().sum::<f32>() + query.iter().zip(vector).map(|(q, x)| square(q, x)).sum::<f32>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_distances_keep_their_digits() {
        for dim in [2, 9, 128] {
            let query: Vec<f32> = (0..dim).map(|at| 3.0 + (at as f32).sin()).collect();
            let unit: Vec<f32> = query.iter().map(|value| value * scale(&query)).collect();
            assert_eq!(distance(&unit, &query, scale(&query)), 0.0);
            for step in [1e-4f32, 1e-3, 1e-2, 0.3, 3.0] {
                let mut other = query.clone();
                other[1] += step;
                let product =
                    |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
                let cos = product(&query, &other) / (product(&query, &query) * product(&other, &other)).sqrt();
                let (found, expected) = (f64::from(distance(&unit, &other, scale(&other))), 1.0 - cos);
                // What rounding the unit vectors makes of it.
                let error = 3e-7 * if expected < f64::from(NEAR) { expected.sqrt() } else { 1.0 } + 1e-14;
                assert!((found - expected).abs() <= error, "{dim} {step}: {found} {expected}");
            }
        }
    }
}
