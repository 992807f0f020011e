//! Training and assignment on synthetic rows: quality, counts, determinism, degenerate input.

use super::*;

/// `count` rows around `centres` random points.
fn clustered(count: usize, dim: usize, centres: usize, spread: f32, seed: u64) -> Vec<f32> {
    let mut rng = rng(seed);
    let points: Vec<f32> = (0..centres * dim).map(|_| rng.random_range(-1.0f32..1.0)).collect();
    let mut rows = Vec::with_capacity(count * dim);
    for _ in 0..count {
        let centre = rng.random_range(0..centres);
        for value in &points[centre * dim..][..dim] {
            rows.push(value + spread * rng.random_range(-1.0f32..1.0));
        }
    }
    rows
}

/// Nearest centroid by the definition.
fn exact(rows: &[f32], centroids: &[f32], dim: usize) -> Vec<(u32, f32)> {
    let l2 = kernels().l2;
    rows.chunks_exact(dim)
        .map(|row| {
            let distances = centroids.chunks_exact(dim).map(|centroid| l2(row, centroid));
            let nearest = distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).expect("centroids");
            (nearest.0 as u32, nearest.1)
        })
        .collect()
}

fn mean_distance(rows: &[f32], centroids: &[f32], dim: usize) -> f64 {
    let found = exact(rows, centroids, dim);
    found.iter().map(|&(_, distance)| f64::from(distance)).sum::<f64>() / found.len() as f64
}

#[test]
fn separate_clusters_are_found() {
    let rows = clustered(3_000, 24, 20, 0.05, 3);
    let centroids = train(&rows, 24, 40, KmeansOptions::default());
    assert_eq!(centroids.len(), 40 * 24);
    // A row is 24 dimensions of variance 0.05^2 / 3 away from its point.
    assert!(mean_distance(&rows, &centroids, 24) < 24.0 * 0.05 * 0.05 / 3.0 * 1.1);
}

#[test]
fn training_is_the_same_for_any_number_of_threads() {
    let rows = clustered(6_000, 16, 300, 0.3, 5);
    for clusters in [64, 700] {
        let train_with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| train(&rows, 16, clusters, KmeansOptions { seed: 9, ..KmeansOptions::default() }))
        };
        assert_eq!(train_with(1), train_with(3), "{clusters} clusters");
    }
}

#[test]
fn two_levels_cost_little_error_and_give_every_cluster() {
    let rows = clustered(12_000, 16, 400, 0.4, 7);
    let two = train(&rows, 16, 600, KmeansOptions::default());
    assert_eq!(two.len(), 600 * 16);
    let one = train_flat(&rows, 16, 600, 8, &mut rng(1));
    let (one, two_error) = (mean_distance(&rows, &one, 16), mean_distance(&rows, &two, 16));
    // Rows in tight clumps, about as many as centroids, are the worst case: a group can only use its own share.
    assert!(two_error < 1.2 * one, "{two_error} against {one}");
    let used: std::collections::HashSet<u32> = exact(&rows, &two, 16).into_iter().map(|(index, _)| index).collect();
    assert!(used.len() > 580, "{} of 600 centroids have rows", used.len());
}

#[test]
fn degenerate_input_gives_finite_centroids() {
    let equal = vec![0.5f32; 1_000 * 8];
    for clusters in [1, 10, 999, 1_000, 2_000] {
        let centroids = train(&equal, 8, clusters, KmeansOptions::default());
        assert_eq!(centroids.len(), clusters * 8);
        assert!(centroids.iter().all(|&value| (value - 0.5).abs() < 1e-6), "{clusters} clusters");
    }
    assert_eq!(train(&[], 4, 3, KmeansOptions::default()), vec![0.0; 12]);
    assert!(train(&equal, 8, 0, KmeansOptions::default()).is_empty());
}

#[test]
fn flat_assignment_is_exact() {
    let rows = clustered(2_000, 33, 50, 0.8, 11);
    let centroids = train(&rows, 33, 100, KmeansOptions::default());
    let (nearest, distances) = Assigner::new(&centroids, 33).assign(&rows);
    for ((nearest, distance), expected) in nearest.iter().zip(&distances).zip(exact(&rows, &centroids, 33)) {
        assert!((distance - expected.1).abs() < 1e-3 * (1.0 + expected.1));
        assert!(*nearest == expected.0 || (distance - expected.1).abs() < 1e-4);
    }
}

#[test]
fn grouped_assignment_agrees_with_exact_assignment() {
    let rows = clustered(20_000, 32, 700, 0.8, 13);
    let centroids = train(&rows, 32, 1_000, KmeansOptions { iterations: 3, ..KmeansOptions::default() });
    let assigner = Assigner::new(&centroids, 32);
    let expected = assigner.assign_exact(&rows);
    for (nearest, part) in [(assigner.assign(&rows).0, rows.len() / 32), (assigner.assign(&rows[..32_000]).0, 1_000)] {
        let same = nearest.iter().zip(&expected.0).filter(|(a, b)| a == b).count();
        assert!(same as f64 >= 0.995 * part as f64, "{same} of {part}");
    }
    let by_definition = exact(&rows[..3_200], &centroids, 32);
    for (place, (_, distance)) in by_definition.into_iter().enumerate() {
        assert!((distance - expected.1[place]).abs() < 1e-3);
    }
}

#[test]
fn shares_add_up_and_never_exceed_their_part() {
    for (sizes, total) in [(vec![5, 0, 100, 1], 50), (vec![1, 1, 1], 3), (vec![1000, 1], 1001), (vec![3, 3, 3], 2)] {
        let shares = share_out(&sizes, total);
        assert_eq!(shares.iter().sum::<usize>(), total);
        assert!(shares.iter().zip(&sizes).all(|(share, size)| share <= size), "{shares:?} of {sizes:?}");
    }
}
