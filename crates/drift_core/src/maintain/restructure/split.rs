//! Centres for the children of a bucket.
//!
//! Layer 6, pure. K-means, kept from making crumbs: a child that would be merged again at once is no gain. A bucket whose
//! rows are (all but) copies of each other has no children; the test is a ratio, so it does not depend on scale.

use crate::kernels::kernels;
use crate::maintain::policy::{MERGE_SHARE, SPLIT_FACTOR};
use crate::quant::kmeans::{self, Assigner, KmeansOptions};

/// Least share of the rows that the smaller of two children gets, for their centres.
const BALANCE: f64 = 0.35;

/// Least squared distance of two children in units of the smaller one's mean squared radius.
const APART_MIN: f32 = 1e-3;

/// Mean squared radius in units of the mean squared length of a row below which rows are copies of each other: the
/// resolution of SQ8.
const RADIUS_MIN: f32 = 1e-6;

/// Mean of some rows, and their mean squared distance from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Centre {
    pub point: Vec<f32>,
    pub spread: f32,
}

/// The centre of at least one row.
pub fn mean(rows: &[f32], dim: usize) -> Centre {
    let mut sums = vec![0.0f64; dim];
    for row in rows.chunks_exact(dim) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let count = (rows.len() / dim) as f64;
    let point: Vec<f32> = sums.iter().map(|sum| (sum / count) as f32).collect();
    let spread: f64 = rows.chunks_exact(dim).map(|row| f64::from((kernels().l2)(row, &point))).sum();
    Centre { spread: (spread / count) as f32, point }
}

/// Centres of the children, two or more, none of them much larger or smaller than `target` rows if that can be had; none
/// when the rows cannot be told apart.
pub fn split(rows: &[f32], dim: usize, target: usize, seed: u64) -> Option<Vec<Centre>> {
    let all = mean(rows, dim);
    let length2 = (kernels().dot)(rows, rows) / (rows.len() / dim) as f32;
    if all.spread.is_nan() || all.spread <= RADIUS_MIN * length2 {
        return None;
    }
    let mut found = Vec::new();
    divide(rows, dim, target, seed, &mut found);
    let mut children: Vec<Centre> = Vec::with_capacity(found.len());
    for child in found {
        if children.iter().all(|other| are_apart(other, &child)) {
            children.push(child);
        }
    }
    (children.len() > 1).then_some(children)
}

/// Whether two children tell rows apart, at the scale of the tighter one.
fn are_apart(a: &Centre, b: &Centre) -> bool {
    let distance = (kernels().l2)(&a.point, &b.point);
    distance > 0.0 && distance > APART_MIN * a.spread.min(b.spread)
}

/// Appends the centres of what `rows` are to be divided into; of what is left too large by k-means, again.
fn divide(rows: &[f32], dim: usize, target: usize, seed: u64, children: &mut Vec<Centre>) {
    let count = ((rows.len() / dim + target / 2) / target).max(2);
    let centroids = kmeans::train(rows, dim, count, KmeansOptions { seed, ..KmeansOptions::default() });
    let nearest =
        if count == 2 { balanced(rows, dim, &centroids) } else { without_crumbs(rows, dim, target, centroids) };
    let mut parts: Vec<Vec<f32>> = vec![Vec::new(); count];
    for (row, child) in rows.chunks_exact(dim).zip(nearest) {
        parts[child as usize].extend_from_slice(row);
    }
    parts.retain(|part| !part.is_empty());
    let whole = parts.len() == 1;
    for part in parts {
        if !whole && (part.len() / dim) as f64 > SPLIT_FACTOR * target as f64 {
            divide(&part, dim, target, seed.wrapping_add(1), children);
        } else {
            children.push(mean(&part, dim));
        }
    }
}

/// Which child each row is in, when those that would be merged again at once are none.
fn without_crumbs(rows: &[f32], dim: usize, target: usize, centroids: Vec<f32>) -> Vec<u32> {
    let (nearest, _) = Assigner::new(&centroids, dim).assign(rows);
    let mut sizes = vec![0usize; centroids.len() / dim];
    nearest.iter().for_each(|&child| sizes[child as usize] += 1);
    let large = |size: &usize| *size as f64 >= 1.5 * MERGE_SHARE * target as f64;
    if sizes.iter().all(large) || !sizes.iter().any(large) {
        return nearest;
    }
    let kept = centroids.chunks_exact(dim).zip(&sizes).filter(|(_, size)| large(size));
    let kept: Vec<f32> = kept.flat_map(|(centroid, _)| centroid.iter().copied()).collect();
    Assigner::new(&kept, dim).assign(rows).0
}

/// Which of two children each row is in, when none gets less than its share: rows in order of the difference of their
/// distances.
fn balanced(rows: &[f32], dim: usize, centroids: &[f32]) -> Vec<u32> {
    let (a, b) = centroids.split_at(dim);
    let mut order: Vec<(f32, usize)> = rows
        .chunks_exact(dim)
        .enumerate()
        .map(|(at, row)| ((kernels().l2)(row, a) - (kernels().l2)(row, b), at))
        .collect();
    order.sort_unstable_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
    let least = ((order.len() as f64 * BALANCE) as usize).max(1);
    let cut = order.partition_point(|(difference, _)| *difference <= 0.0).clamp(least, order.len() - least);
    let mut child = vec![1; order.len()];
    order[..cut].iter().for_each(|&(_, at)| child[at] = 0);
    child
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    fn rows(count: usize, dim: usize, scale: f32, spread: f32) -> Vec<f32> {
        let mut rng = crate::clock::rng(5);
        (0..count * dim).map(|at| scale * ((at / dim % 2) as f32 + spread * (rng.random::<f32>() - 0.5))).collect()
    }

    #[test]
    fn two_groups_become_two_children_at_any_scale() {
        for scale in [1e-20, 1.0, 1e15] {
            let children = split(&rows(60, 8, scale, 0.2), 8, 32, 1).unwrap();
            let mut means: Vec<f32> = children.iter().map(|child| child.point[0] / scale).collect();
            means.sort_by(f32::total_cmp);
            assert!(means[0].abs() < 0.1 && (means[1] - 1.0).abs() < 0.1, "{means:?}");
        }
    }

    #[test]
    fn copies_of_one_row_are_not_split() {
        for scale in [1e-20, 1.0, 1e15] {
            let row = rows(1, 8, scale, 0.2);
            assert_eq!(split(&row.repeat(70), 8, 32, 1), None);
        }
    }

    #[test]
    fn an_outlier_does_not_become_a_child_alone() {
        let mut rows = rows(60, 8, 1.0, 0.2);
        rows[..8].fill(100.0);
        let children = split(&rows, 8, 32, 1).unwrap();
        assert!(children.iter().all(|child| child.point[0] < 10.0), "{children:?}");
    }

    #[test]
    fn children_of_many_rows_are_about_as_large_as_wanted() {
        let mut rng = crate::clock::rng(9);
        // Half of the rows in a twentieth of the space.
        let rows: Vec<f32> = (0..3_000)
            .flat_map(|row| {
                let scale = if row % 2 == 0 { 0.05 } else { 1.0 };
                std::array::from_fn::<f32, 8, _>(|_| scale * rng.random::<f32>())
            })
            .collect();
        let children = split(&rows, 8, 32, 1).unwrap();
        let centres: Vec<f32> = children.iter().flat_map(|child| child.point.iter().copied()).collect();
        let mut sizes = vec![0; children.len()];
        Assigner::new(&centres, 8).assign(&rows).0.iter().for_each(|&child| sizes[child as usize] += 1);
        sizes.sort_unstable();
        assert!((60..150).contains(&sizes.len()) && sizes[0] >= 3 && sizes[sizes.len() - 1] <= 100, "{sizes:?}");
    }
}
