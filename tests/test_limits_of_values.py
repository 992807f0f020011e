"""Values that could be stored but not be found or read again are refused; rows read together are of one moment."""

from __future__ import annotations

import datetime as dt
import signal
import threading
from typing import Any

import drift
import numpy as np
import pyarrow as pa
import pytest


def collection(dim: int = 2, **options: Any) -> drift.Collection:
    """Return an empty collection in memory."""
    return drift.connect("memory://").create_collection("c", dim=dim, metric="l2", **options)


@pytest.mark.parametrize("load", [False, True])
def test_vectors_whose_distances_do_not_fit_are_refused(load: bool) -> None:
    c = collection()
    vectors = np.array([[1, 0], [1.5e19, 0]], dtype=np.float32)
    with pytest.raises(drift.InvalidArgumentError, match=r"row 1.*too long"):
        c.load([([1, 2], vectors)]) if load else c.upsert([1, 2], vectors)
    assert len(c) == 0
    # The longest that there may be, on both sides.
    c.load([([1, 2], np.array([[4.6e18, 0], [-4.6e18, 0]], dtype=np.float32))])
    found = c.search([4.6e18, 0], k=2)
    assert found.ids.tolist() == [1, 2]
    assert np.isfinite(found.distances).all()


@pytest.mark.parametrize("moment", [10**12, -(10**12)])
def test_moments_that_no_datetime_has_are_refused(moment: int) -> None:
    c = collection(1)
    times = pa.array([0, moment], pa.timestamp("s"))
    table = pa.table({"id": [1, 2], "embedding": [[0.0], [1.0]], "t": times})
    with pytest.raises(drift.InvalidArgumentError, match=r"row 1: field .*years 1 to 9999"):
        c.load(table, metadata=True)
    last = dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC)
    first = dt.datetime(1, 1, 1, tzinfo=dt.UTC)
    c.upsert([1, 2], [[0.0], [1.0]], metadata=[{"t": first}, {"t": last}])
    assert [row["t"] for row in c.get([1, 2], include=True).metadata or []] == [first, last]


def test_json_that_filters_cannot_read_is_refused() -> None:
    c = collection(1)
    deep: Any = 1
    for _ in range(130):
        deep = [deep]
    for value in (10**400, deep):
        with pytest.raises(drift.InvalidArgumentError, match="j"):
            c.upsert([1, 2], [[0.0], [1.0]], metadata=[{"j": {"q": 1}}, {"j": {"q": 1, "n": value}}])
    assert len(c) == 0


def test_a_long_search_ends_at_ctrl_c() -> None:
    random = np.random.default_rng(1)
    rows = random.normal(size=(20_000, 128)).astype(np.float32)
    c = collection(128)
    c.load([(np.arange(len(rows)), rows)])
    # Minutes of work, were it not for the signal.
    queries = np.tile(rows, (20, 1))
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for options in ({"exact": True}, {"recall": 0.999}, {"exact": True, "threads": 1}):
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(KeyboardInterrupt):
                c.search(queries, k=10, **options)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_rows_read_together_are_as_of_one_moment() -> None:
    count = 500
    c = collection(4)
    vectors = np.zeros((count, 4), dtype=np.float32)
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            c.delete(range(count))
            c.upsert(range(count), vectors + number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(300):
            rows = c.get(range(count), missing="skip")
            assert len(rows) in (0, count)
            assert len(np.unique(rows.vectors)) <= 1
    finally:
        over.set()
        writer.join()
