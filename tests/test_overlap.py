"""Writers, searches, flushes and maintenance from several threads at once come to an end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Literal

import drift
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS, DIM = 8_000, 16

# Far beyond the some seconds that it takes: only threads that wait for each other are still there then.
HANG_SECONDS = 240


def test_calls_that_share_threads_and_locks_do_not_wait_for_each_other(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(ROWS, DIM)).astype(np.float32)
    c = drift.connect(tmp_path / "db", durability="os").create_collection("c", dim=DIM, metric="l2")
    c.load([(np.arange(ROWS), vectors)])
    errors: list[BaseException] = []

    def write(turn: int) -> None:
        own = np.random.default_rng(turn)
        ids = np.unique(own.integers(0, ROWS, 400))
        c.upsert(ids, own.normal(size=(len(ids), DIM)).astype(np.float32))

    def repeat(rounds: int, call: Callable[[int], object]) -> None:
        try:
            for turn in range(rounds):
                call(turn)
        except BaseException as error:
            errors.append(error)

    work: list[tuple[int, Callable[[int], object]]] = [
        (200, write),
        (40, lambda turn: c.search(vectors[turn * 100 : turn * 100 + 100])),
        (4, lambda _: c.flush()),
        (4, lambda _: c.flush()),
        (3, lambda _: c.maintenance.run_once()),
    ]
    threads = [threading.Thread(target=repeat, args=part, daemon=True) for part in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=HANG_SECONDS)
    assert not errors
    assert not any(thread.is_alive() for thread in threads)
    assert len(c) == ROWS
    c.close()


@pytest.mark.parametrize("precision", ["1bit", "sq8"])
def test_rows_flushed_while_buckets_are_defined_anew_are_found(
    tmp_path: Path, precision: Literal["1bit", "sq8"]
) -> None:
    random = np.random.default_rng(2)

    def drawn(centres: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
        own = centres[random.integers(0, len(centres), count)]
        return (own + random.normal(size=own.shape)).astype(np.float32)

    # Those that come meanwhile are elsewhere: the buckets that are being defined know nothing of them.
    centres, later = 3 * random.normal(size=(100, DIM)), 40 + 3 * random.normal(size=(20, DIM))
    db = drift.connect(tmp_path / "db", durability="os")
    c = db.create_collection("c", dim=DIM, metric="l2", precision=precision)
    c.maintenance.pause()
    c.load([(np.arange(2 * ROWS), drawn(centres, 2 * ROWS))])
    c.upsert(np.arange(2 * ROWS), drawn(centres, 2 * ROWS))
    c.flush()
    jobs: list[str] = []
    worker = threading.Thread(target=lambda: jobs.extend(job["job"] for job in c.maintenance.run_once()))
    worker.start()
    first = 2 * ROWS
    while worker.is_alive():
        c.upsert(np.arange(first, first + 500), drawn(later, 500))
        c.delete(np.arange(first, first + 50))
        c.flush()
        first += 500
    worker.join()
    assert "retrain" in jobs
    rows = 2 * ROWS + (first - 2 * ROWS) // 500 * 450
    queries = drawn(later, 200)
    for _ in range(2):
        assert len(c) == rows
        found, exact = (c.search(queries, recall=0.95, exact=exact).ids.tolist() for exact in (False, True))
        recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, exact, strict=True)])
        # Rules were measured on other rows, and not again since maintenance is paused.
        assert recall >= 0.8, recall
        assert c.verify()["problems"] == []
        db.close()
        db = drift.connect(tmp_path / "db")
        c = db.open_collection("c")
    db.close()


def test_writes_and_flushes_do_not_wait_for_a_verify(tmp_path: Path) -> None:
    vectors = np.random.default_rng(4).normal(size=(ROWS, DIM)).astype(np.float32)
    c = drift.connect(tmp_path / "db", durability="os").create_collection("c", dim=DIM, metric="l2")
    c.load([(np.arange(ROWS), vectors)])
    ended: list[bool] = []

    def write() -> None:
        c.upsert(np.arange(100), vectors[100:200])
        c.delete(np.arange(100, 200))
        c.flush()

    def progress(_done: int, _total: int | None) -> None:
        if not ended:
            writer = threading.Thread(target=write, daemon=True)
            writer.start()
            writer.join(timeout=HANG_SECONDS)
            ended.append(not writer.is_alive())

    assert c.verify(progress=progress)["problems"] == []
    assert ended == [True]
    assert len(c) == ROWS - 100
    assert c.verify()["problems"] == []
    c.close()
