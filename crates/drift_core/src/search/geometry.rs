//! The geometric estimate of what a search has covered: shares of the k-th neighbour's ball (Quake, Mohoney et al. 2025).
//!
//! Layer 6. With c0 the centroid nearest to the query q and rho the distance of the k-th row so far, the boundary between c0's
//! bucket and that of c_i is h_i = (|q - c_i|^2 - |q - c0|^2) / (2 |c_i - c0|) away, and the cap of the ball beyond it has the
//! share v_i = I(1 - (h_i / rho)^2; (d + 1) / 2, 1 / 2) / 2 of its volume. The nearest bucket is given p_0 = prod (1 - v_i), the
//! others share the rest in proportion to v_i. The search stops when the scanned ones have the target. The shares are computed
//! anew when the k-th distance has changed by more than a hundredth. It assumes rows that fill the ball evenly in all d dimensions,
//! which embeddings do not, and knows nothing of second entries.

use super::scratch::Scratch;
use crate::kernels::kernels;
use crate::state::{Order, Version};

/// Entries of the table of cap shares.
const CAPS: usize = 1024;

/// Heights up to which caps are tabled, in units of 1 / sqrt(d): a cap beyond eight of them has no share that f32 adds up.
const HEIGHT_MAX: f64 = 8.0;

/// Share of the buckets that are candidates, and the least number of them: the others are given no share of the ball, so a
/// search never goes beyond them. At recall .99 calibrated searches scan a twentieth.
const CANDIDATES_SHARE: f64 = 0.1;
const CANDIDATES_MIN: usize = 64;

/// Change of the k-th distance after which shares are computed anew.
const CHANGE: f32 = 0.01;

/// Memory of the estimate, kept between queries.
#[derive(Default)]
pub struct Geometry {
    caps: Caps,
    /// Heights of the boundaries of the candidates, by rank.
    heights: Vec<f32>,
    /// Shares of the scanned candidates, cumulated: `covered[n]` is that of the first `n`.
    covered: Vec<f32>,
    /// Rank of the nearest centroid.
    nearest: usize,
    /// Squared k-th distance that `covered` is for.
    threshold: f32,
}

/// Shares of the caps of a ball, by their height in units of its radius.
#[derive(Default)]
struct Caps {
    /// Entries per unit of height.
    scale: f32,
    shares: Vec<f32>,
}

/// Ranks the candidates and measures their boundaries; all buckets are candidates when everything is to be covered.
pub fn begin(version: &Version, target: f32, scratch: &mut Scratch) {
    let router = &version.index.router;
    let wanted = if target >= 1.0 { router.len() } else { (router.len() as f64 * CANDIDATES_SHARE) as usize };
    while scratch.rank.ranked.len() < wanted.max(CANDIDATES_MIN).min(router.len()) {
        router.rank_more(Order::Score, &scratch.code, &scratch.bits, &mut scratch.rank);
    }
    measure(version, scratch);
}

/// Measures the boundaries of all buckets that are ranked.
pub fn measure(version: &Version, scratch: &mut Scratch) {
    let Scratch { rank, geometry, query, .. } = scratch;
    let table = version.index.router.table();
    if geometry.caps.shares.is_empty() {
        geometry.caps = Caps::new(query.rotated.len());
    }
    geometry.threshold = f32::INFINITY;
    geometry.heights.clear();
    let by_distance =
        |a: &usize, b: &usize| rank.ranked[*a].centre.distance.total_cmp(&rank.ranked[*b].centre.distance);
    let Some(nearest) = (0..rank.ranked.len()).min_by(by_distance) else { return };
    geometry.nearest = nearest;
    let first = rank.ranked[nearest];
    let centroid = table.centroid(first.position as usize);
    geometry.heights.extend(rank.ranked.iter().map(|ranked| {
        let between = (kernels().l2)(table.centroid(ranked.position as usize), centroid).sqrt();
        // Two buckets of one centroid have no boundary: each is as likely as the other.
        let further = ranked.centre.distance - first.centre.distance;
        if between > 0.0 { (further / (2.0 * between)).max(0.0) } else { 0.0 }
    }));
}

/// Share of the ball of squared radius `threshold` in the first `scanned` ranked buckets.
pub fn covered(geometry: &mut Geometry, scanned: usize, threshold: f32) -> f32 {
    if threshold.is_infinite() || geometry.heights.is_empty() {
        return 0.0;
    }
    let changed = (geometry.threshold - threshold).abs() > CHANGE * threshold;
    if changed || geometry.threshold.is_infinite() {
        geometry.threshold = threshold;
        cover(geometry);
    }
    geometry.covered[scanned.min(geometry.covered.len() - 1)]
}

fn cover(geometry: &mut Geometry) {
    let Geometry { caps, heights, covered, nearest, threshold } = geometry;
    let radius = threshold.max(0.0).sqrt();
    let share = |(rank, height): (usize, &f32)| if rank == *nearest { 0.0 } else { caps.share(*height, radius) };
    let (mut total, mut none_other) = (0.0f64, 1.0f64);
    for share in heights.iter().enumerate().map(share) {
        total += f64::from(share);
        none_other *= 1.0 - f64::from(share);
    }
    // Without any share beyond a boundary the nearest bucket has it all.
    let scale = if total > 0.0 { (1.0 - none_other) / total } else { 0.0 };
    covered.clear();
    covered.push(0.0);
    let mut sum = 0.0;
    for (rank, height) in heights.iter().enumerate() {
        sum += if rank == *nearest { none_other } else { scale * f64::from(share((rank, height))) };
        covered.push(sum.min(1.0) as f32);
    }
}

impl Caps {
    /// By the integral of (1 - x^2)^((d - 1) / 2) over the heights of each cap.
    fn new(dim: usize) -> Caps {
        let end = (HEIGHT_MAX / (dim as f64).sqrt()).min(1.0);
        let step = end / CAPS as f64;
        let power = (dim as f64 - 1.0) / 2.0;
        let slice = |x: f64| (1.0 - x * x).max(0.0).powf(power);
        let mut beyond = vec![0.0f64; CAPS + 1];
        for at in (0..CAPS).rev() {
            let x = at as f64 * step;
            // Simpson's rule on each piece.
            beyond[at] = beyond[at + 1] + step / 6.0 * (slice(x) + 4.0 * slice(x + step / 2.0) + slice(x + step));
        }
        let ball = 2.0 * beyond[0];
        Caps { scale: (1.0 / step) as f32, shares: beyond.iter().map(|cap| (cap / ball) as f32).collect() }
    }

    /// Share of a ball's volume beyond a plane at `height` from its centre.
    fn share(&self, height: f32, radius: f32) -> f32 {
        if height >= radius {
            return if height > 0.0 { 0.0 } else { 0.5 };
        }
        self.shares.get((height / radius * self.scale) as usize).copied().unwrap_or(0.0)
    }
}

/// Whether the ranked buckets up to `scanned` cover the target.
pub fn is_enough(target: f32, scanned: usize, threshold: f32, geometry: &mut Geometry) -> bool {
    target < 1.0 && covered(geometry, scanned, threshold) >= target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_have_their_share_of_a_ball() {
        // In three dimensions the cap beyond h has (2 - 3 h + h^3) / 4 of the unit ball.
        let caps = Caps::new(3);
        for height in [0.0f32, 0.1, 0.5, 0.9] {
            let true_share = (2.0 - 3.0 * height + height.powi(3)) / 4.0;
            assert!((caps.share(height, 1.0) - true_share).abs() < 2e-3, "{height}");
            assert_eq!(caps.share(7.0 * height, 7.0), caps.share(height, 1.0), "shares have no unit");
        }
        assert_eq!(caps.share(1.0, 1.0), 0.0);
        // In many dimensions the heights of a ball's points are nearly normal: one standard deviation leaves 16 %.
        let caps = Caps::new(10_000);
        assert!((caps.share(0.01, 1.0) - 0.1587).abs() < 2e-3);
    }

    #[test]
    fn more_buckets_cover_more_and_a_smaller_ball_is_covered_sooner() {
        let mut geometry = Geometry {
            caps: Caps::new(16),
            heights: (0..50).map(|n| n as f32 / 50.0).collect(),
            ..Geometry::default()
        };
        geometry.threshold = f32::INFINITY;
        assert_eq!(covered(&mut geometry, 10, f32::INFINITY), 0.0, "without a k-th row nothing is known");
        let wide: Vec<f32> = (0..=50).map(|scanned| covered(&mut geometry, scanned, 1.0)).collect();
        assert!(wide.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!((wide[50] - 1.0).abs() < 1e-5);
        let narrow = covered(&mut geometry, 5, 0.04);
        assert!(narrow > wide[5], "{narrow} {}", wide[5]);
    }
}
