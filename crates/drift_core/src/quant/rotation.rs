//! A seeded orthogonal rotation that spreads every vector evenly over its dimensions.
//!
//! Layer 2. After it all coordinates of a row are alike (nearly normal, one scale), so one scale per row fits all
//! dimensions, with nothing to train that drift could make stale. Two rounds of {random signs; Hadamard transform of
//! the first 2^m coordinates; random signs; Hadamard transform of the last 2^m}, 2^m the largest power of two within
//! the dimension (PERFORMANCE.md, section 2; the fast Johnson-Lindenstrauss rotation of Ailon and Chazelle 2009).
//! Orthogonal: distances and inner products are kept up to rounding.

use crate::clock;
use rand::RngExt;

const ROUNDS: usize = 2;

/// The rotation of one collection.
#[derive(Clone, Debug)]
pub struct Rotation {
    dim: usize,
    block: usize,
    /// One sign (+1 or -1, scaled) per round, half-round and coordinate.
    signs: Vec<f32>,
}

impl Rotation {
    /// The rotation of `dim` dimensions that `seed` gives; it is the same on every machine and for ever.
    pub fn new(dim: usize, seed: u64) -> Rotation {
        let mut rng = clock::rng(seed);
        let block = 1 << dim.ilog2();
        let scale = 1.0 / (block as f32).sqrt();
        let mut signs = Vec::with_capacity(2 * ROUNDS * dim);
        for half in 0..2 * ROUNDS {
            let start = if half % 2 == 0 { 0 } else { dim - block };
            for at in 0..dim {
                let sign = if rng.random::<bool>() { 1.0 } else { -1.0 };
                // The transform multiplies lengths by sqrt(block); the signs of its coordinates undo that.
                signs.push(if (start..start + block).contains(&at) { sign * scale } else { sign });
            }
        }
        Rotation { dim, block, signs }
    }

    /// Dimension of the vectors.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Rotates `vector` in place. Panics when its length is not the dimension.
    pub fn apply(&self, vector: &mut [f32]) {
        assert_eq!(vector.len(), self.dim, "a vector of the collection's dimension");
        for (half, signs) in self.signs.chunks_exact(self.dim).enumerate() {
            vector.iter_mut().zip(signs).for_each(|(value, sign)| *value *= sign);
            let start = if half % 2 == 0 { 0 } else { self.dim - self.block };
            hadamard(&mut vector[start..start + self.block]);
        }
    }
}

/// Unnormalised Walsh-Hadamard transform in place; the length is a power of two.
fn hadamard(values: &mut [f32]) {
    let mut width = 1;
    while width < values.len() && width < 8 {
        for pair in values.chunks_exact_mut(2 * width) {
            butterfly(pair, width);
        }
        width *= 2;
    }
    while width < values.len() {
        for pair in values.chunks_exact_mut(2 * width) {
            butterfly(pair, width);
        }
        width *= 2;
    }
}

#[inline(always)]
fn butterfly(pair: &mut [f32], width: usize) {
    let (left, right) = pair.split_at_mut(width);
    for (left, right) in left.iter_mut().zip(right) {
        (*left, *right) = (*left + *right, *left - *right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_rotation_keeps_inner_products(dim in 1usize..300, seed in any::<u64>()) {
            let mut rng = clock::rng(seed);
            let mut draw = || (0..dim).map(|_| rng.random_range(-1.0f32..1.0)).collect::<Vec<_>>();
            let (mut a, mut b) = (draw(), draw());
            let before: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            let rotation = Rotation::new(dim, seed);
            rotation.apply(&mut a);
            rotation.apply(&mut b);
            let after: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            prop_assert!((before - after).abs() < 1e-5 * dim as f32, "{} {}", before, after);
        }
    }

    #[test]
    fn a_spike_is_spread_over_all_dimensions() {
        let mut vector = vec![0.0; 384];
        vector[7] = 1.0;
        Rotation::new(384, 1).apply(&mut vector);
        let largest = vector.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        assert!(largest < 0.35, "{largest}");
    }

    #[test]
    fn the_same_seed_gives_the_same_rotation() {
        let mut vectors = [vec![0.25; 100], vec![0.25; 100]];
        vectors.iter_mut().for_each(|vector| Rotation::new(100, 9).apply(vector));
        assert_eq!(vectors[0], vectors[1]);
    }
}
