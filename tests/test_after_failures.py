"""What has failed leaves nothing behind, in files or in what is decided on, and is done once the disk works again."""

from __future__ import annotations

import datetime as dt
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import drift
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIM = 16

# Far beyond the second that it takes.
PATIENCE_SECONDS = 240


class StoppedError(Exception):
    """Raised by a callback to stop a call."""


def vectors(rows: int, seed: int = 0, dim: int = DIM) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)


def folder_of(path: Path) -> Path:
    return next((path / "collections").glob("*/manifest")).parent


@contextmanager
def no_commits(path: Path) -> Iterator[None]:
    """Take the folder of manifests away for a while, so that every commit fails."""
    folder = folder_of(path)
    (folder / "manifest").rename(folder / "away")
    try:
        yield
    finally:
        (folder / "away").rename(folder / "manifest")


@pytest.fixture
def c(tmp_path: Path) -> Iterator[drift.Collection]:
    """Yield an empty collection, whose jobs are paused."""
    with drift.connect(tmp_path, durability="os") as db:
        made = db.create_collection("c", dim=DIM, metric="l2")
        made.maintenance.pause()
        yield made


def test_restructuring_that_failed_is_done_later_and_leaves_no_files(tmp_path: Path, c: drift.Collection) -> None:
    rows = vectors(1_000)
    for at in range(0, 1_000, 100):
        c.upsert(np.arange(at, at + 100), rows[at : at + 100])
        c.flush()
    with no_commits(tmp_path):
        for _ in range(12):
            with pytest.raises(drift.DriftError):
                c.maintenance.run_once()
    c.maintenance.run_once()
    health = c.health()
    assert sum(health.backlog.values()) == 0
    assert max(health.bucket_rows) <= 70, "no bucket of more than twice what it aims at"
    files = [file for name in ("buckets", "moves") for file in (folder_of(tmp_path) / name).iterdir()]
    assert len(files) <= 8
    assert c.verify()["problems"] == []


def test_rules_whose_commit_failed_are_measured_again(tmp_path: Path, c: drift.Collection) -> None:
    centres = 4 * vectors(60, 1)
    rows = centres[np.random.default_rng(2).integers(0, 60, 20_000)] + vectors(20_000, 3)
    for at in range(0, len(rows), 10_000):
        c.upsert(np.arange(at, at + 10_000), rows[at : at + 10_000])

    def measuring(done: int, total: int | None) -> None:
        if done == total:
            (folder_of(tmp_path) / "manifest").rename(folder_of(tmp_path) / "away")

    folder = folder_of(tmp_path)
    try:
        with pytest.raises(drift.DriftError):
            c.optimize(progress=measuring)
    finally:
        (folder / "away").rename(folder / "manifest")
    c.maintenance.run_once()
    before = c.stats()["rows_scanned"]
    for query in rows[:50]:
        c.search(query, k=10)
    assert (c.stats()["rows_scanned"] - before) / 50 < 5_000, "a rule, and not all rows"


def test_a_load_that_is_stopped_beside_a_damaged_manifest_deletes_nothing_that_is_needed(
    tmp_path: Path, c: drift.Collection
) -> None:
    rows = vectors(900)
    # Few at the end, after which the bitstore is not saved anew: nothing but the newest manifest names their segment.
    for first, last in ((0, 880), (880, 890), (890, 900)):
        c.upsert(np.arange(first, last), rows[first:last])
        c.flush()
    newest = max((folder_of(tmp_path) / "manifest").iterdir())
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    newest.write_bytes(damaged)

    def stop(_done: int, total: int | None) -> None:
        if total is not None:
            raise StoppedError

    with pytest.raises(StoppedError):
        c.load([(np.arange(1_000, 1_100), rows[:100])], progress=stop)
    assert len(c.verify()["problems"]) > 0
    assert c.verify(repair=True)["problems"] == []
    c.database.close()
    with drift.connect(tmp_path) as db:
        assert len(db["c"]) == 900
        assert db["c"].verify()["problems"] == []


def test_a_load_that_is_stopped_changes_no_field(c: drift.Collection) -> None:
    big = 2**60 + 1
    c.upsert(range(200), vectors(200), metadata={"n": list(range(200))})
    c.flush()

    def stop(done: int, total: int | None) -> None:
        if done == total:
            raise StoppedError

    with pytest.raises(StoppedError):
        c.load([(np.arange(300, 400), vectors(100), {"n": [0.5] * 100, "new": ["text"] * 100})], progress=stop)
    assert c.fields == {"n": "int"}
    c.delete(range(100))
    c.flush()
    c.optimize()
    c.upsert([500], vectors(1), metadata={"new": [5], "n": [big]})
    assert c.fields == {"n": "int", "new": "int"}
    assert c.get([500, 150], include=True).metadata == [{"new": 5, "n": big}, {"n": 150}]


def test_a_budget_that_is_changed_ends_the_pause_that_the_one_before_set(c: drift.Collection) -> None:
    hour = dt.datetime.now(dt.UTC).hour
    c.maintenance.budget = drift.Budget(quiet_hours=((hour - 2) % 24, (hour + 4) % 24))
    c.maintenance.resume()
    for at in range(10):
        c.upsert(np.arange(at * 100, at * 100 + 100), vectors(100, at))
        c.flush()
    assert c.stats()["segments"] == 10
    c.maintenance.budget = drift.Budget()
    begun = time.monotonic()
    while c.stats()["segments"] > 5:
        assert time.monotonic() - begun < PATIENCE_SECONDS, "no job begins"
