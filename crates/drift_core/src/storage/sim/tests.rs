//! That the simulated disk loses what a real one may lose, and nothing else.

use super::*;
use crate::storage::{Backend, LocalBackend};
use std::collections::BTreeSet;

/// Enough draws to meet every corner: the rarest below comes about once in a hundred.
const SEEDS: u64 = 2_000;

fn path(name: &str) -> &Path {
    Path::new(name)
}

/// A disk with the durable file `/f` of `bytes`, and the file open.
fn with_file(bytes: &[u8]) -> (SimFs, Box<dyn FsFile>) {
    let fs = SimFs::default();
    let file = fs.create_new(path("/f")).unwrap();
    file.write_all(bytes).unwrap();
    file.sync().unwrap();
    fs.sync_dir(path("/")).unwrap();
    (fs, file)
}

fn content(fs: &SimFs, name: &str) -> Option<Vec<u8>> {
    let file = fs.open_read(path(name)).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    Some(bytes)
}

/// What is left of `name` after a power loss now, over many seeds.
fn outcomes(fs: &SimFs, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..SEEDS).map(|seed| content(&fs.after_power_loss(fs.operations(), seed), name)).collect()
}

#[test]
fn what_was_synced_with_its_name_survives_every_power_loss() {
    let (fs, file) = with_file(b"durable");
    file.write_all(b" and more").unwrap();
    let outcomes = outcomes(&fs, "/f");
    assert!(outcomes.iter().all(|left| left.as_ref().is_some_and(|bytes| bytes.starts_with(b"durable"))));
    assert!(outcomes.contains(&Some(b"durable".to_vec())) && outcomes.contains(&Some(b"durable and more".to_vec())));
}

#[test]
fn a_name_needs_its_own_sync() {
    let fs = SimFs::default();
    fs.create_dir(path("/a")).unwrap();
    let file = fs.create_new(path("/a/f")).unwrap();
    file.write_all(b"x").unwrap();
    file.sync().unwrap();
    fs.sync_dir(path("/a")).unwrap();
    assert_eq!(outcomes(&fs, "/a/f"), [None, Some(b"x".to_vec())].into());
    fs.sync_dir(path("/")).unwrap();
    assert_eq!(outcomes(&fs, "/a/f"), [Some(b"x".to_vec())].into());
    fs.link(path("/a/f"), path("/a/g")).unwrap();
    fs.remove(path("/a/f")).unwrap();
    let mut both = BTreeSet::new();
    for seed in 0..SEEDS {
        let left = fs.after_power_loss(fs.operations(), seed);
        both.insert((content(&left, "/a/f").is_some(), content(&left, "/a/g").is_some()));
    }
    assert_eq!(both, [(true, false), (true, true), (false, true), (false, false)].into());
}

#[test]
fn unsynced_bytes_are_torn_reordered_and_zeroed_by_sector() {
    let (fs, file) = with_file(&[1; 1_000]);
    (0..20).for_each(|_| file.write_all(&[2; 1_000]).unwrap());
    let now = [vec![1; 1_000], vec![2; 20_000]].concat();
    let outcomes: Vec<Vec<u8>> = outcomes(&fs, "/f").into_iter().flatten().collect();
    let (mut torn, mut reordered, mut zeros) = (BTreeSet::new(), false, false);
    for bytes in &outcomes {
        assert_eq!(bytes[..1_000], now[..1_000]);
        assert!(bytes.len() >= 1_000 && bytes.len() <= now.len());
        assert!(bytes.iter().zip(&now).all(|(left, now)| left == now || *left == 0));
        if bytes[..] == now[..bytes.len()] && !bytes.len().is_multiple_of(1_000) {
            torn.insert(if bytes.len().is_multiple_of(4_096) { 4_096 } else { 512 });
            assert!(bytes.len().is_multiple_of(512));
        }
        let first_zero = bytes.iter().position(|byte| *byte == 0);
        let last_new = bytes.iter().rposition(|byte| *byte == 2);
        reordered |= first_zero.zip(last_new).is_some_and(|(zero, new)| zero < new);
        zeros |= bytes.len() == now.len() && bytes[1_000..].iter().all(|byte| *byte == 0);
    }
    assert_eq!((torn, reordered, zeros), ([512, 4_096].into(), true, true));
}

#[test]
fn a_cut_file_may_have_its_old_end_again() {
    let (fs, file) = with_file(&[1; 6_000]);
    file.truncate(100).unwrap();
    let lengths: BTreeSet<usize> = outcomes(&fs, "/f").into_iter().flatten().map(|bytes| bytes.len()).collect();
    assert!(lengths.contains(&100) && lengths.contains(&6_000));
    file.sync().unwrap();
    assert_eq!(outcomes(&fs, "/f"), [Some(vec![1; 100])].into());
}

#[test]
fn the_same_seed_leaves_the_same_disk() {
    let (fs, file) = with_file(b"durable");
    file.write_all(&[3; 9_000]).unwrap();
    fs.create_new(path("/g")).unwrap();
    let left = |seed| fs.after_power_loss(fs.operations(), seed).files();
    assert!((0..SEEDS).all(|seed| left(seed) == left(seed)));
    assert!((1..SEEDS).any(|seed| left(seed) != left(0)));
}

#[test]
fn a_kill_keeps_the_page_cache_and_a_later_power_loss_takes_it() {
    let (fs, file) = with_file(b"durable");
    file.write_all(b" unsynced").unwrap();
    let killed = fs.after_kill(fs.operations());
    assert_eq!(content(&killed, "/f").unwrap(), b"durable unsynced");
    assert!(outcomes(&killed, "/f").contains(&Some(b"durable".to_vec())));
    assert_eq!(content(&fs.after_kill(1), "/f").unwrap(), b"");
    assert_eq!(content(&fs.after_kill(0), "/f"), None);
}

#[test]
fn a_failed_sync_may_not_be_mended_by_a_later_one() {
    let (fs, file) = with_file(b"durable");
    file.write_all(b" lost").unwrap();
    for (fault, mended) in [(Fault::Lost, false), (Fault::Io, true)] {
        let fs = fs.after_kill(fs.operations());
        let file = fs.open_append(path("/f")).unwrap();
        fs.fail(fs.calls()..fs.calls() + 1, fault);
        assert!(file.sync().is_err());
        assert!(outcomes(&fs, "/f").contains(&Some(b"durable".to_vec())));
        file.sync().unwrap();
        assert_eq!(!outcomes(&fs, "/f").contains(&Some(b"durable".to_vec())), mended);
        assert_eq!(content(&fs, "/f").unwrap(), b"durable lost");
    }
}

#[test]
fn a_fault_hits_the_calls_that_it_fits() {
    let fs = SimFs::default();
    fs.fail(0..u64::MAX, Fault::Full);
    assert_eq!(fs.create_new(path("/f")).err().unwrap().kind(), ErrorKind::StorageFull);
    assert!(fs.list(path("/")).unwrap().is_empty());
    fs.fail(0..u64::MAX, Fault::IoAfter);
    assert!(fs.create_new(path("/f")).is_err());
    fs.heal();
    assert_eq!(fs.create_new(path("/f")).err().unwrap().kind(), ErrorKind::AlreadyExists);
    let file = fs.open_append(path("/f")).unwrap();
    fs.fail(0..u64::MAX, Fault::Short);
    assert!(file.write_all(b"1234").is_err());
    assert_eq!(content(&fs, "/f").unwrap(), b"12");
    assert_eq!(fs.call(0).unwrap(), Call { action: Action::Create, path: "/f".into() });
}

#[test]
fn it_is_a_disk_for_the_local_backend() {
    let fs = SimFs::default();
    let open = |fs: &SimFs| LocalBackend::open(path("/a/b"), Arc::new(fs.clone()), true, false).unwrap();
    let backend = open(&fs);
    let guard = backend.lock("LOCK").unwrap();
    assert!(open(&fs).lock("LOCK").is_err());
    backend.put_if_absent("x/1", b"1").unwrap();
    assert!(backend.put_if_absent("x/1", b"2").is_err());
    for seed in 0..SEEDS {
        let left = open(&fs.after_power_loss(fs.operations(), seed));
        let _guard = left.lock("LOCK").unwrap();
        assert_eq!(left.read("x/1").unwrap(), b"1");
    }
    drop(guard);
    open(&fs).lock("LOCK").unwrap();
    backend.delete_tree("x").unwrap();
    assert_eq!(backend.list("").unwrap(), ["LOCK"]);
}

#[test]
fn regression_folders_above_a_database_survive_a_kill_while_they_are_made() {
    let fs = SimFs::default();
    let open = |fs: &SimFs| LocalBackend::open(path("/a/b/c"), Arc::new(fs.clone()), true, false).unwrap();
    open(&fs);
    for operation in 0..=fs.operations() {
        let killed = fs.after_kill(operation);
        open(&killed).put_if_absent("x/1", b"1").unwrap();
        for seed in 0..SEEDS / 10 {
            let left = killed.after_power_loss(killed.operations(), seed);
            assert_eq!(open(&left).read("x/1").unwrap(), b"1", "killed after operation {operation}, seed {seed}");
        }
    }
}
