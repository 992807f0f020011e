//! A fast random rotation, so that one scale fits every dimension and no training can go stale.
//!
//! Layer 2. Used by everything that codes or routes: prepared vectors, queries and centroids go through the same
//! rotation, whose seed the manifest keeps.
//!
//! Two rounds of {random signs; Hadamard on the first 2^m dimensions; random signs; Hadamard on the last 2^m}, with 2^m
//! the largest power of two that fits `dim`, each transform scaled by 2^(-m/2) to stay orthogonal (PERFORMANCE.md,
//! section 2; Ailon and Chazelle 2009 for a single round). Cost is d log d additions: about 0.25 us at d = 384 with AVX-512, where a
//! dense rotation would read 590 KB.
//!
//! Invariants: lengths and inner products are kept up to rounding; equal `dim` and seed give equal bits on every
//! machine, because every kernel table runs the same additions in the same order.

use crate::clock::rng;
use crate::kernels::{Kernels, kernels};
use rand::RngExt;

/// Sign-and-transform steps of a rotation: two rounds of two.
const STEPS: usize = 4;

/// Mixed into the seed so that the signs share no stream with other users of the same seed.
const SEED_SALT: u64 = 0x726f_7461_7465_2121;

/// A random orthogonal transform of `dim` dimensions.
#[derive(Clone, Debug)]
pub struct Rotation {
    seed: u64,
    dim: usize,
    /// Length of the Hadamard transform.
    block: usize,
    /// Per step and dimension: a random sign, times 2^(-m/2) where the transform of the step acts.
    weights: Vec<f32>,
    kernels: &'static Kernels,
}

impl Rotation {
    /// The rotation that `seed` names.
    ///
    /// # Panics
    /// When `dim` is 0.
    pub fn new(dim: usize, seed: u64) -> Rotation {
        assert!(dim > 0, "a rotation has at least one dimension");
        let block = 1usize << dim.ilog2();
        let scale = 1.0 / (block as f32).sqrt();
        let mut rng = rng(seed ^ SEED_SALT);
        let mut weights = Vec::with_capacity(STEPS * dim);
        for step in 0..STEPS {
            let range = block_range(step, dim, block);
            weights.extend((0..dim).map(|i| {
                let sign = if rng.random::<bool>() { 1.0 } else { -1.0 };
                if range.contains(&i) { sign * scale } else { sign }
            }));
        }
        Rotation { seed, dim, block, weights, kernels: kernels() }
    }

    /// Rotates `vector` in place.
    ///
    /// # Panics
    /// When its length is not `dim`.
    pub fn apply(&self, vector: &mut [f32]) {
        assert_eq!(vector.len(), self.dim, "a vector of the rotation's dimension");
        for (step, weights) in self.weights.chunks_exact(self.dim).enumerate() {
            let range = block_range(step, self.dim, self.block);
            for outside in [0..range.start, range.end..self.dim] {
                for (value, weight) in vector[outside.clone()].iter_mut().zip(&weights[outside]) {
                    *value *= weight;
                }
            }
            (self.kernels.hadamard)(&mut vector[range.clone()], &weights[range]);
        }
    }

    /// The seed that names this rotation.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The dimension of its vectors.
    pub fn dim(&self) -> usize {
        self.dim
    }
}

/// The dimensions that the transform of a step acts on: the first 2^m, then the last 2^m.
fn block_range(step: usize, dim: usize, block: usize) -> std::ops::Range<usize> {
    if step.is_multiple_of(2) { 0..block } else { dim - block..dim }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(dim: usize, seed: u64) -> Vec<f32> {
        let mut rng = rng(seed);
        (0..dim).map(|_| rng.random_range(-1.0f32..1.0)).collect()
    }

    #[test]
    fn rotation_keeps_lengths_and_distances_at_every_dimension() {
        for dim in (1..70).chain([96, 100, 128, 255, 384, 768, 1000, 1536]) {
            let rotation = Rotation::new(dim, 7);
            let (mut a, mut b) = (vector(dim, 1), vector(dim, 2));
            let (norm, distance) = ((kernels().dot)(&a, &a), (kernels().l2)(&a, &b));
            rotation.apply(&mut a);
            rotation.apply(&mut b);
            assert!(((kernels().dot)(&a, &a) - norm).abs() < 1e-4 * norm, "dim {dim}");
            assert!(((kernels().l2)(&a, &b) - distance).abs() < 1e-4 * distance, "dim {dim}");
        }
    }

    #[test]
    fn rotation_is_named_by_its_seed() {
        let (mut a, mut b, mut c) = (vector(100, 1), vector(100, 1), vector(100, 1));
        Rotation::new(100, 5).apply(&mut a);
        Rotation::new(100, 5).apply(&mut b);
        Rotation::new(100, 6).apply(&mut c);
        assert_eq!(a, b);
        assert_ne!(a, c);
    }

    #[test]
    fn rotation_spreads_a_single_dimension_over_all() {
        for dim in [96, 128, 384, 1000] {
            for axis in [0, dim / 2, dim - 1] {
                let mut unit = vec![0.0; dim];
                unit[axis] = 1.0;
                Rotation::new(dim, 3).apply(&mut unit);
                let largest = unit.iter().fold(0.0f32, |max, value| max.max(value.abs()));
                assert!(largest * (dim as f32).sqrt() < 6.0, "dim {dim} axis {axis}: {largest}");
            }
        }
    }
}
