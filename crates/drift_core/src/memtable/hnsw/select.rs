//! Which of the nearest nodes to link to (Algorithm 4 of the paper, pruned ones kept).
//!
//! Layer 4.

use super::Space;

/// Up to `count` of `near` (ascending by distance): a node is taken if it is nearer to the new one than to any taken
/// before, so that links lead in different directions; if too few are, the nearest others fill up.
pub fn diverse(near: &[(f32, u32)], count: usize, space: &impl Space) -> Vec<(f32, u32)> {
    let mut taken: Vec<(f32, u32)> = Vec::with_capacity(count);
    let mut left = Vec::new();
    for &(distance, node) in near {
        if taken.len() == count {
            break;
        }
        if taken.iter().all(|&(_, other)| space.between(node, other) > distance) {
            taken.push((distance, node));
        } else {
            left.push((distance, node));
        }
    }
    let missing = count - taken.len();
    taken.extend(left.into_iter().take(missing));
    taken
}
