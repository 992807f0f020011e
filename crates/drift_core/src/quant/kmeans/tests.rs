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
    let (one, _) = train_flat(&rows, 16, 600, 8, &mut rng(1));
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
fn grouped_assignment_is_nearly_exact() {
    let rows = clustered(20_000, 32, 700, 0.8, 13);
    let centroids = train(&rows, 32, 1_000, KmeansOptions { iterations: 3, ..KmeansOptions::default() });
    let expected = exact(&rows, &centroids, 32);
    let assigner = Assigner::new(&centroids, 32);
    // A large call measures how many groups it must probe, a small one probes half.
    for count in [20_000, 1_000] {
        let (nearest, distances) = assigner.assign(&rows[..count * 32]);
        let same = nearest.iter().zip(&expected).filter(|(found, (index, _))| *found == index).count();
        assert!(same as f64 >= 0.95 * count as f64, "{same} of {count}");
        let sum = |values: &[f32]| values.iter().map(|&value| f64::from(value)).sum::<f64>();
        let least: Vec<f32> = expected[..count].iter().map(|(_, distance)| *distance).collect();
        assert!(sum(&distances) <= 1.002 * sum(&least), "{} against {}", sum(&distances), sum(&least));
        for (row, (&index, &distance)) in rows.chunks_exact(32).zip(nearest.iter().zip(&distances)) {
            assert_eq!(distance, (kernels().l2)(row, &centroids[index as usize * 32..][..32]));
        }
    }
}

#[test]
fn refining_evens_sizes_out() {
    // Half of the rows are in one tight clump, which proportion alone would leave to few clusters.
    let mut rows = clustered(6_000, 16, 1, 0.4, 21);
    rows.extend(clustered(6_000, 16, 3_000, 0.1, 22));
    let sizes = |centroids: &[f32]| {
        let mut sizes = vec![0usize; 600];
        Assigner::new(centroids, 16).assign(&rows).0.iter().for_each(|&cluster| sizes[cluster as usize] += 1);
        (sizes.iter().filter(|&&size| size < 5).count(), sizes.iter().filter(|&&size| size > 40).count())
    };
    let options = KmeansOptions { refinements: 0, ..KmeansOptions::default() };
    let (small, large) = sizes(&train(&rows, 16, 600, options));
    let (small_after, large_after) = sizes(&train(&rows, 16, 600, KmeansOptions::default()));
    assert!(small_after < small / 2 && large_after < large / 2, "{small} {large} became {small_after} {large_after}");
}

#[test]
fn shares_add_up_and_never_exceed_their_part() {
    for (sizes, total) in [(vec![5, 0, 100, 1], 50), (vec![1, 1, 1], 3), (vec![1000, 1], 1001), (vec![3, 3, 3], 2)] {
        let shares = share_out(&sizes, total);
        assert_eq!(shares.iter().sum::<usize>(), total);
        assert!(shares.iter().zip(&sizes).all(|(share, size)| share <= size), "{shares:?} of {sizes:?}");
    }
}
