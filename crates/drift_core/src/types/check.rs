//! Checks on vectors that callers hand in: shape, finite values, a direction where the metric needs one.
//!
//! Layer 0. Used at the door of every write and search, before anything is changed; an error names the row and the
//! column and says what to fix.

use super::{Metric, Schema, Vectors};
use crate::error::{Error, Result};
use half::slice::HalfFloatSliceExt;

/// Largest squared norm under l2: the squared distance of two vectors is up to four times as much, and sums of some such fit a
/// float32 as well.
const L2_NORM2_MAX: f32 = f32::MAX / 16.0;

impl Schema {
    /// Checks `rows` vectors; `what` is what an error calls one ("vector", "query").
    pub fn check_vectors(&self, what: &str, rows: usize, vectors: &Vectors<'_>) -> Result<()> {
        if vectors.values() != rows * self.dim {
            return Err(Error::invalid(format!(
                "{} values for {rows} rows: a {what} of this collection has dimension {}, so {} are needed",
                vectors.values(),
                self.dim,
                rows * self.dim
            )));
        }
        match self.find_bad_row(vectors) {
            None => Ok(()),
            Some((row, problem)) => Err(Error::invalid(format!("{what} at row {row} {problem}"))),
        }
    }

    /// The first vector that cannot be stored or searched for: its row, and what is wrong with it.
    pub fn find_bad_row(&self, vectors: &Vectors<'_>) -> Option<(usize, String)> {
        match vectors {
            Vectors::F32(values) => values.chunks_exact(self.dim).enumerate().find_map(|row| self.problem(row)),
            Vectors::F16(values) => {
                let mut row = vec![0.0f32; self.dim];
                values.chunks_exact(self.dim).enumerate().find_map(|(number, vector)| {
                    vector.convert_to_f32_slice(&mut row);
                    self.problem((number, &row))
                })
            }
        }
    }

    /// Squares are summed first: the sum is finite only if every value is, so a good row costs one pass.
    fn problem(&self, (row, vector): (usize, &[f32])) -> Option<(usize, String)> {
        let norm2 = sum_of_squares(vector);
        let largest = if self.metric == Metric::L2 { L2_NORM2_MAX } else { f32::MAX };
        if norm2.is_nan() || norm2 > largest {
            let column = vector.iter().position(|value| !value.is_finite());
            let problem = match column {
                Some(column) => format!("has {} in column {column}: values must be finite", vector[column]),
                None => format!("is too long: its squared norm may be up to {largest:.1e}: scale the vectors down"),
            };
            return Some((row, problem));
        }
        (self.metric == Metric::Cosine && norm2 < f32::MIN_POSITIVE).then(|| {
            let problem = match vector.iter().all(|value| *value == 0.0) {
                true => "is zero: under the cosine metric it has no direction; leave it out, or use l2",
                false => "is too short: its squared norm is below what a float32 has (1.2e-38): scale the vectors up",
            };
            (row, problem.to_owned())
        })
    }
}

/// Eight partial sums, so that the compiler can keep them in one register.
fn sum_of_squares(vector: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (chunks, rest) = vector.as_chunks::<8>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value * value;
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|value| value * value).sum::<f32>()
}
