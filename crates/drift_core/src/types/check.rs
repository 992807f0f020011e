//! Checks on vectors that callers hand in: shape, finite values, a direction where the metric needs one.
//!
//! Layer 0. Used at the door of every write and search, before anything is changed; an error names the row and the
//! column and says what to fix.

use super::{Metric, Schema, Vectors};
use crate::error::{Error, Result};
use half::f16;

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
            Vectors::F32(values) => self.find_bad(values, |value: &f32| *value),
            Vectors::F16(values) => self.find_bad(values, |value: &f16| value.to_f32()),
        }
    }

    /// Squares are summed first: the sum is finite only if every value is, so a good row costs one pass.
    fn find_bad<T>(&self, values: &[T], to_f32: impl Fn(&T) -> f32 + Copy) -> Option<(usize, String)> {
        values.chunks_exact(self.dim).enumerate().find_map(|(row, vector)| {
            let norm2 = sum_of_squares(vector, to_f32);
            if !norm2.is_finite() {
                let column = vector.iter().position(|value| !to_f32(value).is_finite());
                return Some((
                    row,
                    match column {
                        Some(column) => {
                            format!("has {} in column {column}: values must be finite", to_f32(&vector[column]))
                        }
                        None => "is too long: its squared norm does not fit a float32 (up to 3.4e38): scale the vectors down".to_owned(),
                    },
                ));
            }
            (self.metric == Metric::Cosine && norm2 < f32::MIN_POSITIVE).then(|| {
                let problem = "is zero: under the cosine metric it has no direction; leave it out, or use l2";
                (row, problem.to_owned())
            })
        })
    }
}

/// Eight partial sums, so that the compiler can keep them in one register.
fn sum_of_squares<T>(vector: &[T], to_f32: impl Fn(&T) -> f32) -> f32 {
    let mut sums = [0.0f32; 8];
    let mut chunks = vector.chunks_exact(8);
    for chunk in &mut chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += to_f32(value) * to_f32(value);
        }
    }
    let rest: f32 = chunks.remainder().iter().map(|value| to_f32(value) * to_f32(value)).sum();
    sums.iter().sum::<f32>() + rest
}
