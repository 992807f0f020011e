"""Writes that replace or delete particular rows do not undo a bulk load that runs beside them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import drift
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 500


def load_beside(c: drift.Collection, write: Callable[[], object]) -> None:
    """Replace all rows by a load, and write from another thread once the load has taken its place among the writes."""
    vectors = np.full((ROWS, 8), 2, dtype=np.float32)
    writer = threading.Thread(target=write)

    reports: list[int] = []

    def progress(_done: int, total: int | None) -> None:
        reports.append(0 if total is None else 1)
        # The first report with a total is of training, the second of writing.
        if sum(reports) == 2 and writer.ident is None:
            writer.start()
            # It waits for the load, which is in here: only a write that does not wait would end.
            writer.join(timeout=0.5)

    c.load([(np.arange(ROWS), vectors, {"batch": [2] * ROWS})], progress=progress)
    assert writer.ident is not None
    writer.join()


def filled() -> drift.Collection:
    """Rows of a first batch."""
    c = drift.connect("memory://").create_collection("c", dim=8, metric="l2")
    c.upsert(np.arange(ROWS), np.ones((ROWS, 8), dtype=np.float32), metadata={"batch": [1] * ROWS})
    return c


def test_an_update_of_metadata_keeps_the_vectors_of_a_load() -> None:
    c = filled()
    load_beside(c, lambda: c.update_metadata([7, 8], {"note": ["seen", "seen"]}))
    rows = c.get([7, 8, 9], include=True)
    assert rows.vectors.tolist() == [[2.0] * 8] * 3
    assert rows.metadata is not None
    assert [row["batch"] for row in rows.metadata] == [2, 2, 2]
    assert [row.get("note") for row in rows.metadata] == ["seen", "seen", None]


def test_a_delete_by_filter_spares_rows_that_a_load_has_replaced() -> None:
    c = filled()
    load_beside(c, lambda: c.delete(filter=drift.col("batch") == 1))
    assert len(c) == ROWS
    assert c.count(drift.col("batch") == 2) == ROWS


def test_whoever_asks_how_a_collection_does_waits_for_no_load() -> None:
    c = filled()
    found: list[object] = []

    def ask() -> None:
        found.extend([c.health().rows, c.stats()["rows"], len(c), c.count(), repr(c)])

    def progress(done: int, total: int | None) -> None:
        if total is None or found:
            return
        if done > 0:
            asking = threading.Thread(target=ask)
            asking.start()
            # The load, which is in here, goes on only once it is answered.
            asking.join(timeout=60)
            assert not asking.is_alive()

    c.load([(np.arange(ROWS, 2 * ROWS), np.zeros((ROWS, 8), dtype=np.float32))], progress=progress)
    assert found[:4] == [ROWS] * 4
