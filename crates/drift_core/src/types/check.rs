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
        match vectors {
            Vectors::F32(values) => self.check_rows(what, values, |value: &f32| *value),
            Vectors::F16(values) => self.check_rows(what, values, |value: &f16| value.to_f32()),
        }
    }

    /// Squares are summed first: the sum is finite only if every value is, so a good row costs one pass.
    fn check_rows<T>(&self, what: &str, values: &[T], to_f32: impl Fn(&T) -> f32 + Copy) -> Result<()> {
        for (row, vector) in values.chunks_exact(self.dim).enumerate() {
            let norm2 = sum_of_squares(vector, to_f32);
            if !norm2.is_finite() {
                let column = vector.iter().position(|value| !to_f32(value).is_finite());
                return Err(Error::invalid(match column {
                    Some(column) => format!(
                        "{what} at row {row} has {} in column {column}: values must be finite",
                        to_f32(&vector[column])
                    ),
                    None => format!("{what} at row {row} is too long: its squared norm does not fit a float32"),
                }));
            }
            if self.metric == Metric::Cosine && norm2 < f32::MIN_POSITIVE {
                return Err(Error::invalid(format!(
                    "{what} at row {row} is zero: under the cosine metric it has no direction; leave it out, or use l2"
                )));
            }
        }
        Ok(())
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
