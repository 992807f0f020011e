"""Backups: what they hold, what they copy, what they refuse, and what a kill or damage at any place makes of them.

A restored database is compared with the rows that were acknowledged before the call: ids, vectors and exact search.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pytest
from drift import aio

from tests import oracle
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

DIM = 12
QUERIES = oracle.vectors(5, DIM, 71)


@pytest.fixture
def store(tmp_path: Path) -> str:
    """Where a test keeps its backups."""
    return str(tmp_path / "kept")


@pytest.fixture
def targets(tmp_path: Path) -> Iterator[str]:
    """Yield paths to restore to."""
    return (str(tmp_path / f"restored-{at}") for at in itertools.count())


def fill(c: drift.Collection, ids: range, version: int = 1) -> None:
    """Write rows that follow from their id and version."""
    c.upsert(ids, oracle.vector_of(ids, [version] * len(ids), DIM))


def check(c: drift.Collection, versions: dict[int, int]) -> None:
    """Fail unless the collection holds these versions of these ids, and nothing else."""
    ids = sorted(versions)
    assert oracle.ids_of(c) == ids
    rows = oracle.vector_of(ids, [versions[id_] for id_ in ids], DIM)
    np.testing.assert_array_equal(c.get(ids).vectors, rows)
    oracle.assert_exact(c.search(QUERIES, k=9, exact=True), "l2", QUERIES, ids, rows, 9)
    assert oracle.problems(c) == []


def restored(store: str, target: str, at: int | datetime | str | None = None) -> drift.Database:
    """Restore and open for writing."""
    drift.restore(store, target, at=at)
    return drift.connect(target, durability="os")


def files(folder: str, pattern: str) -> list[Path]:
    """Return files of a folder, sorted."""
    return sorted(path for path in Path(folder).rglob(pattern) if path.is_file())


@pytest.mark.parametrize("durability", ["always", "interval", "os", "none"])
def test_a_restore_equals_the_state_at_the_call(
    path: str, store: str, targets: Iterator[str], durability: drift._types.Durability
) -> None:
    with drift.connect(path, durability=durability) as db:
        docs = db.create_collection("docs", dim=DIM, metric="l2")
        fill(docs, range(300))
        docs.flush()
        docs.delete(range(50))
        fill(docs, range(100, 120), 2)
        named = db.create_collection("named", dim=DIM, metric="l2", id_type="str")
        named.add(["a", "b"], oracle.vectors(2, DIM, 72))
        db.create_collection("empty", dim=3)
        backup = db.backup(store)
        assert (backup.number, backup.collections) == (1, ("docs", "named", "empty"))
        assert (backup.files_copied, backup.bytes_copied) == (backup.files, backup.bytes)
        fill(docs, range(1000, 1010))
        named.delete(["a"])
        with restored(store, next(targets)) as again:
            assert again.list_collections() == ["docs", "empty", "named"]
            check(again["docs"], {id_: 2 if 100 <= id_ < 120 else 1 for id_ in range(50, 300)})
            assert again["named"].ids().tolist() == ["a", "b"]
            assert (again["named"].get(["b"]).vectors == oracle.vectors(2, DIM, 72)[1]).all()
            assert (len(again["empty"]), again["empty"].dim) == (0, 3)
            fill(again["docs"], range(5))
            assert oracle.ids_of(again["docs"])[:6] == [0, 1, 2, 3, 4, 50]
        check(docs, {id_: 2 if 100 <= id_ < 120 else 1 for id_ in [*range(50, 300), *range(1000, 1010)]})


def test_an_incremental_backup_copies_what_is_new_and_a_full_one_everything(
    path: str, store: str, targets: Iterator[str]
) -> None:
    with drift.connect(path, durability="os") as db:
        docs = db.create_collection("docs", dim=DIM, metric="l2")
        fill(docs, range(2_000))
        docs.flush()
        docs.maintenance.run_once()  # What is due would otherwise be done between two backups.
        first = db.backup(store)
        same = db.backup(store)
        assert (same.files, same.bytes) == (first.files, first.bytes)
        assert (same.files_copied, same.bytes_copied) == (0, 0)
        fill(docs, range(3_000, 3_010))
        more = db.backup(store)
        assert more.files_copied == 1, "the newest log alone"
        assert 0 < more.bytes_copied < first.bytes / 10
        full = db.backup(store, incremental=False)
        assert (full.files_copied, full.bytes_copied) == (full.files, full.bytes)
        assert drift.backups(store) == [first, same, more, full]
        assert [backup.incremental for backup in drift.backups(store)] == [True, True, True, False]
    assert drift.verify_backups(store) == []
    for number, extra in ((1, 0), (2, 0), (3, 10), (4, 10)):
        with restored(store, next(targets), number) as again:
            check(again["docs"], dict.fromkeys([*range(2_000), *range(3_000, 3_000 + extra)], 1))


def test_restores_go_to_any_kept_moment(path: str, store: str, targets: Iterator[str]) -> None:
    with drift.connect(path, durability="os") as db:
        docs = db.create_collection("docs", dim=DIM, metric="l2")
        for version in (1, 2, 3):
            fill(docs, range(40), version)
            docs.flush()
            docs.optimize()
            db.backup(store)
    taken = drift.backups(store)
    moments = [backup.time for backup in taken]
    assert moments == sorted(moments)
    assert abs(datetime.now(UTC) - moments[-1]) < timedelta(hours=1)
    second: Any = np.int64(2)
    for at, version in (
        (None, 3),
        (2, 2),
        (second, 2),
        (moments[1], 2),
        (moments[1].isoformat(), 2),
        (moments[1].astimezone().replace(tzinfo=None), 2),
        (moments[2] - timedelta(microseconds=1), 2),
        (moments[2] + timedelta(days=1), 3),
    ):
        with restored(store, next(targets), at) as again:
            check(again["docs"], dict.fromkeys(range(40), version))
    target = next(targets)
    for at, words in ((moments[0] - timedelta(seconds=1), "so early"), (4, "1 to 3")):
        with pytest.raises(drift.NotFoundError, match=words):
            drift.restore(store, target, at=at)
    for wrong, words in (
        (0, "begin with 1"),
        ("noon", "2026-"),
        (np.timedelta64(1, "s"), "timedelta64"),
        (1.5, "1.5"),
        (True, "True"),
    ):
        with pytest.raises(drift.InvalidArgumentError, match=words):
            drift.restore(store, target, at=wrong)  # type: ignore[arg-type]
    assert not Path(target).exists()


def test_a_restored_database_goes_on_in_the_same_folder_of_backups(
    path: str, store: str, targets: Iterator[str]
) -> None:
    with drift.connect(path, durability="os") as db:
        fill(db.create_collection("docs", dim=DIM, metric="l2"), range(50))
        db["docs"].flush()
        db.backup(store)
        fill(db["docs"], range(50, 80))
        db["docs"].flush()
        db.backup(store)
    with restored(store, next(targets), 1) as other:
        # Files of the same names as the first database's, with other bytes.
        fill(other["docs"], range(100, 140), 7)
        other["docs"].flush()
        other.backup(store)
    expected = [dict.fromkeys(range(50), 1), dict.fromkeys(range(80), 1)]
    expected.append(expected[0] | dict.fromkeys(range(100, 140), 7))
    for number, versions in enumerate(expected, start=1):
        with restored(store, next(targets), number) as again:
            check(again["docs"], versions)


def test_writes_and_maintenance_go_on_meanwhile(path: str, store: str, targets: Iterator[str]) -> None:
    with drift.connect(path, durability="os") as db:
        docs = db.create_collection("docs", dim=DIM, metric="l2")
        fill(docs, range(500))
        acknowledged, stop = [1], threading.Event()

        def write() -> None:
            while not stop.is_set():
                version = acknowledged[0] + 1
                fill(docs, range(500), version)
                acknowledged[0] = version
                if version % 3 == 0:
                    docs.flush()
                if version % 7 == 0:
                    docs.optimize()

        def load() -> None:
            for at in itertools.count():
                if stop.is_set():
                    return
                ids = range(1000 + 50 * at, 1050 + 50 * at)
                docs.load([(ids, oracle.vector_of(ids, [1] * 50, DIM))])

        threads = [threading.Thread(target=work) for work in (write, load)]
        for thread in threads:
            thread.start()
        try:
            bounds = []
            for _ in range(12):
                low = acknowledged[0]
                db.backup(store)
                bounds.append((low, acknowledged[0] + 1))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert drift.verify_backups(store) == []
    for number, (low, high) in enumerate(bounds, start=1):
        with restored(store, next(targets), number) as again:
            c = again["docs"]
            rows = c.get(range(500)).vectors
            versions = [v for v in range(low, high + 1) if (oracle.vector_of([0], [v], DIM) == rows[0]).all()]
            assert len(versions) == 1, f"backup {number} has a version outside {low}..{high}"
            loaded = sorted(id_ for id_ in oracle.ids_of(c) if id_ >= 1000)
            assert loaded == list(range(1000, 1000 + len(loaded))), "loads come in order"
            assert len(loaded) % 50 == 0, "a load is whole"
            check(c, dict.fromkeys(range(500), versions[0]) | dict.fromkeys(loaded, 1))


def test_a_reader_in_another_process_can_back_up_beside_the_writer(
    path: str, store: str, targets: Iterator[str], python: str
) -> None:
    with drift.connect(path, durability="os") as db:
        fill(db.create_collection("docs", dim=DIM, metric="l2"), range(100))
        command = [python, "-m", "drift", "backup", path, store, "--json"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        fill(db["docs"], range(100, 110))
    with restored(store, next(targets)) as again:
        check(again["docs"], dict.fromkeys(range(100), 1))


def test_a_dropped_collection_is_left_out_and_its_older_backups_stay(
    path: str, store: str, targets: Iterator[str]
) -> None:
    with drift.connect(path, durability="os") as db:
        for name in ("a", "b"):
            fill(db.create_collection(name, dim=DIM, metric="l2"), range(20))
        db.backup(store)
        db.drop_collection("a")
        assert db.backup(store).collections == ("b",)
    with restored(store, next(targets), 1) as again:
        check(again["a"], dict.fromkeys(range(20), 1))
    with restored(store, next(targets)) as again:
        assert again.list_collections() == ["b"]


KILLED = """
import sys, drift
from tests import oracle
db = drift.connect(sys.argv[1], durability="os")
c = db.open_collection("docs")
print("ready", flush=True)
while True:
    backup = db.backup(sys.argv[2], incremental=False)
    print(backup.number, flush=True)
"""


def test_a_backup_that_is_killed_is_not_listed_and_the_others_stay_whole(
    path: str, store: str, targets: Iterator[str], python: str
) -> None:
    with drift.connect(path, durability="os") as db:
        c = db.create_collection("docs", dim=DIM, metric="l2")
        for start in range(0, 900, 300):
            fill(c, range(start, start + 300))
            c.flush()
    random = oracle.rng(73)
    reported = 0
    for _ in range(12):
        child = subprocess.Popen(
            [python, "-c", KILLED, path, store], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ.copy()
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        lines = int(random.integers(0, 4))
        for _ in range(lines):
            reported = max(reported, int(child.stdout.readline()))
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()
        child.wait()
        child.stdout.close()
        reported = max([reported, *(int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n"))])
        listed = [backup.number for backup in drift.backups(store)] if Path(store, "backups").exists() else []
        assert listed == list(range(1, len(listed) + 1))
        assert len(listed) in (reported, reported + 1), "what was reported is listed, and at most the next one"
    assert drift.verify_backups(store) == []
    with drift.connect(path, durability="os") as db:
        last = db.backup(store)
    folders = {path.name for path in Path(store, "files").iterdir()}
    assert {int(name) for name in folders} <= set(range(1, last.number + 1)), "files of killed backups are removed"
    with restored(store, next(targets)) as again:
        check(again["docs"], dict.fromkeys(range(900), 1))


RESTORING = """
import sys, drift
def progress(done, total):
    print(done, flush=True)
    if done >= int(sys.argv[3]):
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
drift.restore(sys.argv[1], sys.argv[2], progress=progress)
"""


@pytest.mark.parametrize("done", [1, 10**9])
def test_a_restore_that_is_killed_does_not_open_and_can_be_made_again(
    path: str, store: str, targets: Iterator[str], python: str, done: int
) -> None:
    with drift.connect(path, durability="os") as db:
        fill(db.create_collection("docs", dim=DIM, metric="l2"), range(200))
        db["docs"].flush()
        total = db.backup(store).bytes
    target = next(targets)
    command = [python, "-c", RESTORING, store, target, str(min(done, total))]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    for read_only in (False, True):
        with pytest.raises(drift.CorruptionError, match="restore that did not finish"):
            drift.connect(target, read_only=read_only)
    with restored(store, target) as again:
        check(again["docs"], dict.fromkeys(range(200), 1))


def backed_up(path: str, store: str) -> None:
    """Make a backup that has every kind of file."""
    with drift.connect(path, durability="os") as db:
        c = db.create_collection("docs", dim=DIM, metric="l2")
        fill(c, range(200))
        c.flush()
        c.delete(range(20))
        c.flush()
        fill(c, range(300, 320))
        db.backup(store)


@pytest.mark.parametrize("kind", ["manifest", "wal", "segments", "bitstore", "buckets", "tombstones", "backups"])
@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_damage_to_a_backup_is_named_and_restores_nothing(
    path: str, store: str, targets: Iterator[str], kind: str, how: str
) -> None:
    backed_up(path, store)
    victim = next(file for file in files(store, "*") if file.parent.name == kind)
    content = bytearray(victim.read_bytes())
    if how == "remove":
        victim.unlink()
    else:
        content[len(content) // 2] ^= 1
        victim.write_bytes(content[:-1] if how == "cut" else content)
    target = next(targets)
    if kind == "backups" and how == "remove":
        assert drift.backups(store) == []
        with pytest.raises(drift.NotFoundError, match="no backup in"):
            drift.restore(store, target)
        return
    with pytest.raises(drift.CorruptionError, match=victim.name):
        drift.restore(store, target)
    with drift.connect(target) as fresh:
        assert fresh.list_collections() == [], "nothing was left of it"
    if kind != "backups":
        (problem,) = drift.verify_backups(store)
        assert victim.name in problem


@pytest.mark.parametrize("kind", ["wal", "segments", "buckets", "tombstones"])
def test_damage_to_the_database_is_named_and_no_backup_is_listed(path: str, store: str, kind: str) -> None:
    backed_up(path, store)
    with drift.connect(path, read_only=True) as db:
        victim = next(file for file in files(path, "*") if file.parent.name == kind)
        content = bytearray(victim.read_bytes())
        content[len(content) // 2 if kind != "wal" else 100] ^= 1
        victim.write_bytes(content)
        with pytest.raises(drift.CorruptionError, match=victim.stem):
            db.backup(store, incremental=False)
    assert len(drift.backups(store)) == 1


def test_a_damaged_bitstore_is_left_out_and_built_again(path: str, store: str, targets: Iterator[str]) -> None:
    backed_up(path, store)
    for victim in (file for file in files(path, "*") if file.parent.name == "bitstore"):
        victim.write_bytes(b"x" + victim.read_bytes()[1:])
    with drift.connect(path, read_only=True) as db:
        db.backup(store, incremental=False)
    assert not any(file.parent.name == "bitstore" for file in files(f"{store}/files/{2:020}", "*"))
    with restored(store, next(targets)) as again:
        ids = [*range(20, 200), *range(300, 320)]
        assert oracle.ids_of(again["docs"]) == ids
        np.testing.assert_array_equal(again["docs"].get(ids).vectors, oracle.vector_of(ids, [1] * 200, DIM))
        assert {Path(problem.partition(":")[0]).parent.name for problem in oracle.problems(again["docs"])} == {
            "bitstore"
        }


def test_nothing_that_exists_is_overwritten(path: str, store: str, tmp_path: Path) -> None:
    backed_up(path, store)
    before = {file: file.read_bytes() for file in files(path, "*")}
    with pytest.raises(drift.AlreadyExistsError, match="is not empty"):
        drift.restore(store, path)
    assert {file: file.read_bytes() for file in files(path, "*")} == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(drift.AlreadyExistsError, match=r"thesis\.txt"):
        drift.restore(store, tmp_path / "mine")
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    (tmp_path / "empty").mkdir()
    assert drift.restore(store, tmp_path / "empty").number == 1


def test_wrong_folders_are_refused_and_say_what_to_do(path: str, store: str, tmp_path: Path) -> None:
    backed_up(path, store)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with drift.connect(path) as db:
        for folder in (path, f"{path}/backups"):
            with pytest.raises(drift.InvalidArgumentError, match="in the database itself"):
                db.backup(folder)
        with pytest.raises(drift.InvalidArgumentError, match=r"no folder of backups, it has thesis\.txt"):
            db.backup(tmp_path / "mine")
        with pytest.raises(drift.InvalidArgumentError, match="incremental is 'no'"):
            db.backup(store, incremental="no")  # type: ignore[arg-type]
        with pytest.raises(drift.InvalidArgumentError, match="name it"):
            db.backup("memory://")
    with (
        drift.connect(tmp_path / "other") as other,
        pytest.raises(drift.InvalidArgumentError, match="another database"),
    ):
        other.backup(store)
    with pytest.raises(drift.InvalidArgumentError, match=r"folder of backups.*drift\.restore"):
        drift.connect(store)
    with pytest.raises(drift.NotFoundError, match="no folder of backups"):
        drift.backups(tmp_path / "absent")
    with pytest.raises(drift.NotFoundError, match="no folder of backups"):
        drift.restore(tmp_path / "absent", tmp_path / "target")
    assert not (tmp_path / "target").exists()
    assert len(drift.backups(store)) == 1


def test_one_backup_at_a_time_and_a_stopped_one_is_not_listed(path: str, store: str, tmp_path: Path) -> None:
    class Stop(Exception):  # noqa: N818 - it is no error
        pass

    with drift.connect(path, durability="os") as db:
        fill(db.create_collection("docs", dim=DIM, metric="l2"), range(50))
        seen: list[tuple[int, int | None]] = []

        def progress(done: int, total: int | None) -> None:
            seen.append((done, total))
            with pytest.raises(drift.LockedError, match="another backup"):
                db.backup(store)

        assert db.backup(store, progress=progress).bytes == seen[-1][0] == seen[-1][1]

        def stop(_done: int, _total: int | None) -> None:
            raise Stop

        with pytest.raises(Stop):
            db.backup(store, progress=stop)
        assert len(drift.backups(store)) == 1
        with pytest.raises(Stop):
            drift.restore(store, tmp_path / "stopped", progress=stop)
        drift.restore(store, tmp_path / "stopped")


def test_memory_backs_up_to_disk_and_comes_back(store: str) -> None:
    with drift.connect("memory://backup-source-of-a-test") as db:
        fill(db.create_collection("docs", dim=DIM, metric="l2"), range(30))
        db.backup(store)
    drift.restore(store, "memory://backup-target-of-a-test")
    with drift.connect("memory://backup-target-of-a-test") as db:
        check(db["docs"], dict.fromkeys(range(30), 1))


def test_asyncio_backs_up_and_a_cancelled_backup_is_not_listed(path: str, store: str) -> None:
    async def main() -> None:
        async with aio.connect(path, durability="os") as db:
            c = await db.create_collection("docs", dim=DIM, metric="l2")
            await c.upsert(range(50), oracle.vector_of(range(50), [1] * 50, DIM))
            begun, go_on = threading.Event(), threading.Event()

            def progress(_done: int, _total: int | None) -> None:
                begun.set()
                go_on.wait(60)

            task = asyncio.create_task(db.backup(store, progress=progress))
            await asyncio.to_thread(begun.wait, 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go_on.set()
            while True:
                try:
                    assert (await db.backup(store)).number == 1
                    break
                except drift.LockedError:
                    await asyncio.to_thread(go_on.wait, 60)

    asyncio.run(main())
    assert [backup.number for backup in drift.backups(store)] == [1]
