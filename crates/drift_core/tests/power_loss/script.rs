//! What is done to a database before it crashes: one script in which every job occurs, and random ones.

use crate::rows::NAMES;
use crate::world::Step;
use drift_core::clock::Rng;
use rand::RngExt;

/// Flushes, rotations, replaced and deleted rows, tombstones, bulk load, optimize, checkpoints, collections created and
/// dropped, clean closing and opening.
pub fn every_job() -> Vec<Step> {
    use Step::{Create, Delete, Drop, Flush, Lapse, Load, Maintain, Optimize, Reopen, Upsert};
    vec![
        Create("a"),
        Upsert("a", (0..5).collect()),
        Upsert("a", (5..18).collect()),
        Delete("a", vec![1, 6, 40]),
        Create("b"),
        Upsert("b", (0..3).collect()),
        Flush("a"),
        Upsert("a", (10..14).collect()),
        Delete("a", vec![2, 17]),
        Lapse("a", vec![3, 9, 70]),
        Reopen,
        Upsert("a", vec![1, 20, 20]),
        Upsert("a", (20..40).collect()),
        Flush("a"),
        Maintain("a"),
        Load("a", (30..46).collect()),
        Delete("a", vec![31, 45]),
        Lapse("a", vec![32, 45, 44]),
        Flush("a"),
        Maintain("a"),
        Drop("b"),
        Upsert("a", (0..9).collect()),
        Optimize("a"),
        Delete("a", (20..30).collect()),
        Create("b"),
        Load("b", (0..20).collect()),
        Upsert("b", (15..25).collect()),
        Flush("a"),
        Maintain("b"),
        Maintain("a"),
        Reopen,
        Upsert("a", vec![7]),
        Delete("b", vec![0, 24]),
        Optimize("b"),
        Upsert("b", (0..4).collect()),
        Upsert("a", (40..60).collect()),
    ]
}

/// Rows of [`retraining`]: above what is searched without buckets, so that these are defined anew.
const MANY_ROWS: i64 = 4_200;

/// A collection so large that maintenance defines its buckets anew after as many writes.
pub fn retraining() -> Vec<Step> {
    use Step::{Create, Delete, Flush, Load, Maintain, Upsert};
    vec![
        Create("a"),
        Load("a", (0..MANY_ROWS).collect()),
        Delete("a", (0..MANY_ROWS).step_by(7).collect()),
        Upsert("a", (0..MANY_ROWS).rev().collect()),
        Flush("a"),
        Maintain("a"),
        Upsert("a", (9..30).collect()),
    ]
}

/// Random steps; those on collections that do not exist do nothing.
pub fn random(rng: &mut Rng, count: usize) -> Vec<Step> {
    (0..count).map(|_| step(rng)).collect()
}

fn step(rng: &mut Rng) -> Step {
    let name = NAMES[usize::from(rng.random_ratio(1, 4))];
    match rng.random_range(0..20) {
        0..2 => Step::Create(name),
        2..9 => Step::Upsert(name, ids(rng, 20)),
        9 => Step::Lapse(name, ids(rng, 12)),
        10..12 => Step::Delete(name, ids(rng, 12)),
        12..14 => Step::Load(name, ids(rng, 40)),
        14..16 => Step::Flush(name),
        16 => Step::Optimize(name),
        17 => Step::Maintain(name),
        18 => Step::Reopen,
        _ if name == "b" => Step::Drop(name),
        _ => Step::Upsert(name, ids(rng, 2)),
    }
}

fn ids(rng: &mut Rng, count_max: usize) -> Vec<i64> {
    let count = rng.random_range(1..=count_max);
    (0..count).map(|_| rng.random_range(0..48)).collect()
}
