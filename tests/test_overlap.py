"""Writers, searches, flushes and maintenance from several threads at once come to an end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import drift
import numpy as np

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
