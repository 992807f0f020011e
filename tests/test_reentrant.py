"""Callbacks, sources and signal handlers that call the collection which calls them: an error or an answer, no hang."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pyarrow as pa
import pytest

from tests import oracle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DIM = 8
COUNT = 500
ROWS = oracle.vectors(COUNT, DIM, 21)
Batch = tuple[Any, oracle.F32]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[drift.Database]:
    with drift.connect(tmp_path / "db") as db:
        db.create_collection("docs", dim=DIM, metric="l2")
        yield db


def waiting(db: drift.Database) -> dict[str, Callable[[], object]]:
    """Every call that waits for a load, an optimize or a verify of the collection."""
    c = db["docs"]
    return {
        "load": lambda: c.load([(range(10), ROWS[:10])]),
        "flush": c.flush,
        "optimize": c.optimize,
        "verify": c.verify,
        "repair": lambda: c.verify(repair=True),
        "health": c.health,
        "run_once": c.maintenance.run_once,
        "delete": lambda: c.delete(filter=drift.col("missing").is_null()),
        "update_metadata": lambda: c.update_metadata([0], {"note": ["seen"]}),
        "drop": lambda: db.drop_collection("docs"),
        "close": c.close,
        "close the database": db.close,
    }


def refused(db: drift.Database) -> None:
    """Fail unless each of these calls is refused, and all others work."""
    c = db["docs"]
    for call in waiting(db).values():
        with pytest.raises(drift.LockedError, match="this thread is in the middle"):
            call()
    c.upsert([9_000], ROWS[:1])
    assert c.delete([9_000]) == 1
    assert c.search(ROWS[0], k=1, exact=True).distances.tolist() == [0.0]
    assert c.get([0]).vectors.tolist() == ROWS[:1].tolist()
    assert 0 in c
    assert c.stats()["rows"] == len(c)
    assert db.list_collections() == ["docs"]
    assert len(db.open_collection("docs")) == len(c)


class WhileWriting:
    """A progress callback that calls something once, when the load has begun to write."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call
        self.totals = 0
        self.calls = 0

    def __call__(self, _rows: int, total: int | None) -> None:
        # The first report with a total is of training, those behind it of writing.
        self.totals += total is not None
        if self.totals > 1 and self.calls == 0:
            self.calls += 1
            self.call()


def test_a_progress_callback_of_a_load_is_refused_what_would_wait_for_the_load(db: drift.Database) -> None:
    c = db["docs"]
    c.upsert([0], ROWS[:1])
    progress = WhileWriting(lambda: refused(db))
    assert c.load([(range(COUNT), ROWS)], progress=progress)["rows"] == COUNT
    assert progress.calls == 1
    assert len(c) == COUNT
    for name in ("health", "run_once", "flush", "verify", "optimize"):
        waiting(db)[name]()


def test_a_refusal_that_nobody_catches_stops_the_load_whole(db: drift.Database) -> None:
    c = db["docs"]
    c.upsert([0], ROWS[:1])
    progress = WhileWriting(db.close)
    with pytest.raises(drift.LockedError, match="call it when that has returned"):
        c.load([(range(COUNT), ROWS)], progress=progress)
    assert oracle.ids_of(c) == [0]
    assert oracle.problems(c) == []


def test_progress_callbacks_of_optimize_and_verify_are_refused_the_same(db: drift.Database) -> None:
    c = db["docs"]
    c.load([(range(COUNT), ROWS)])
    c.upsert(range(40), ROWS[:40])
    seen: list[int] = []

    def progress(done: int, total: int | None) -> None:
        # Flushing, the first step, is done before the locks are taken.
        if total is not None and 1 < done < total:
            seen.append(done)
            refused(db)

    def checked(done: int, _total: int | None) -> None:
        seen.append(done)
        refused(db)

    c.optimize(progress=progress)
    assert seen
    seen.clear()
    c.verify(progress=checked)
    assert seen
    assert oracle.problems(c) == []


def test_a_signal_handler_that_closes_the_database_stops_the_load_and_leaves_it_open(db: drift.Database) -> None:
    c = db["docs"]
    c.upsert([0], ROWS[:1])
    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: db.close())
    try:
        with pytest.raises(drift.LockedError):
            c.load([(range(COUNT), ROWS)], progress=WhileWriting(lambda: signal.raise_signal(signal.SIGUSR1)))
        assert oracle.ids_of(c) == [0]
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    with pytest.raises(drift.ClosedError):
        len(c)


def reader(batches: Iterator[Batch]) -> pa.RecordBatchReader:
    """Return an Arrow stream that takes each batch when it is asked for it."""
    schema = pa.schema({"id": pa.int64(), "embedding": pa.list_(pa.float32(), DIM)})

    def next_batches() -> Iterator[pa.RecordBatch]:
        for ids, rows in batches:
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), DIM)
            yield pa.record_batch([pa.array(np.asarray(ids)), vectors], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, next_batches())


@pytest.mark.parametrize("kind", ["generator", "reader"])
def test_a_source_may_call_the_collection_that_it_is_loaded_into(db: drift.Database, kind: str) -> None:
    c = db["docs"]

    def batches() -> Iterator[Batch]:
        for start in range(0, COUNT, 100):
            c.upsert([start, 7_000 + start], ROWS[:2])
            assert c.search(ROWS[1], k=1, exact=True).ids[0] >= 7_000
            assert c.delete([7_000 + start]) == 1
            c.load([([8_000], ROWS[5:6])])
            for name in ("flush", "optimize", "verify", "health", "run_once", "delete"):
                waiting(db)[name]()
            c.upsert([7_000 + start], ROWS[1:2])
            yield np.arange(start, start + 100), ROWS[start : start + 100]

    c.load(batches() if kind == "generator" else reader(batches()))
    np.testing.assert_array_equal(c.get(range(COUNT)).vectors, ROWS)
    assert oracle.problems(c) == []


@pytest.mark.parametrize("kind", ["generator", "reader"])
def test_a_source_that_closes_the_database_stops_the_load(db: drift.Database, kind: str) -> None:
    c = db["docs"]
    c.upsert([0], ROWS[:1])

    def batches() -> Iterator[Batch]:
        yield range(100), ROWS[:100]
        db.close()
        yield range(100, 200), ROWS[100:200]

    with pytest.raises(drift.ClosedError):
        c.load(batches() if kind == "generator" else reader(batches()))
    with drift.connect(db.uri) as again:
        assert oracle.ids_of(again["docs"]) == [0]
        assert oracle.problems(again["docs"]) == []
