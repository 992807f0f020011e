"""Readers beside writers and flushes: no id twice, no dead id, distances that belong to a row's version.

Every version of a row is known from (id, version); writers raise versions, so what a reader sees can be checked
against the versions that were current while it looked: at least the one acknowledged before, at most the one begun.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from tests import oracle

if TYPE_CHECKING:
    from collections.abc import Callable

    import drift

DIM = 12
IDS_PER_WRITER = 60
WRITERS = 3
ROUNDS = 60


class Ledger:
    """Per id: the version last begun and the version last acknowledged; 0 means absent, as does a negative one."""

    def __init__(self, count: int) -> None:
        self.begun = [0] * count
        self.acknowledged = [0] * count


def write(c: drift.Collection, ledger: Ledger, writer: int) -> None:
    """Raise versions of this writer's ids in batches; every fifth round it delete and add instead."""
    random = oracle.rng(40 + writer)
    first = writer * IDS_PER_WRITER
    for round_ in range(1, ROUNDS + 1):
        ids = np.sort(random.choice(np.arange(first, first + IDS_PER_WRITER), size=15, replace=False))
        for id_ in ids.tolist():
            ledger.begun[id_] = round_
        if round_ % 5 == 0:
            c.delete(ids)
            c.add(ids, oracle.vector_of(ids, [round_] * len(ids), DIM))
        else:
            c.upsert(ids, oracle.vector_of(ids, [round_] * len(ids), DIM))
        for id_ in ids.tolist():
            ledger.acknowledged[id_] = round_
        if round_ % 7 == writer:
            c.flush()


def check_hit(query: oracle.F32, id_: int, distance: float, low: int, high: int) -> None:
    """Fail unless the distance is of a version that was current while the search ran."""
    versions = np.arange(max(low, 1), high + 1)
    true = oracle.distances("l2", query, oracle.vector_of([id_] * len(versions), versions, DIM))[0]
    assert np.isclose(true, distance, atol=1e-4).any(), f"id {id_}: {distance} is of no version in {low}..{high}"


def read(c: drift.Collection, ledger: Ledger, stop: threading.Event, reader: int) -> int:
    """Search until told to stop, checking every result."""
    random = oracle.rng(50 + reader)
    looked = 0
    while not stop.is_set() or looked < 5:
        low = list(ledger.acknowledged)
        query = random.normal(size=DIM).astype(np.float32)
        exact = bool(looked % 2)
        r = c.search(query, k=20, exact=exact)
        high = list(ledger.begun)
        hits = [(id_, distance) for id_, distance in zip(r.ids.tolist(), r.distances.tolist(), strict=True) if id_ >= 0]
        assert len({id_ for id_, _ in hits}) == len(hits), f"an id twice: {r.ids}"
        assert (r.distances[1:] >= r.distances[:-1]).all()
        for id_, distance in hits:
            assert high[id_] > 0, f"{id_} was never written"
            check_hit(query, id_, distance, low[id_], high[id_])
        looked += 1
    return looked


def with_readers(c: drift.Collection, ledger: Ledger, work: Callable[[], None]) -> None:
    """Run ``work`` while three readers look on; errors of any thread are raised here."""
    stop = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read, c, ledger, stop, reader) for reader in range(3)]
        try:
            work()
        finally:
            stop.set()
        assert all(reader.result() >= 5 for reader in readers)


def test_readers_see_whole_rows_once_during_writes_and_flushes(db: drift.Database) -> None:
    c = db.create_collection("docs", dim=DIM, metric="l2")
    ledger = Ledger(WRITERS * IDS_PER_WRITER)

    def work() -> None:
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(lambda writer: write(c, ledger, writer), range(WRITERS)))

    with_readers(c, ledger, work)
    written = [id_ for id_, version in enumerate(ledger.acknowledged) if version]
    versions = [ledger.acknowledged[id_] for id_ in written]
    assert oracle.ids_of(c) == written
    np.testing.assert_array_equal(c.get(written).vectors, oracle.vector_of(written, versions, DIM))
    assert oracle.problems(c) == []


def test_readers_never_miss_a_row_during_flush_and_optimize(db: drift.Database) -> None:
    c = db.create_collection("docs", dim=DIM, metric="l2")
    ids = list(range(WRITERS * IDS_PER_WRITER))
    ledger = Ledger(len(ids))
    c.upsert(ids, oracle.vector_of(ids, [1] * len(ids), DIM))
    ledger.begun = [1] * len(ids)
    ledger.acknowledged = [1] * len(ids)
    rows = oracle.vector_of(ids, [1] * len(ids), DIM)
    queries = oracle.vectors(4, DIM, 60)

    def work() -> None:
        for _ in range(15):
            c.upsert(ids[:40], rows[:40])
            c.flush()
            oracle.assert_exact(c.search(queries, k=30, exact=True), "l2", queries, ids, rows, 30)
            c.optimize()
            assert len(c) == len(ids)

    with_readers(c, ledger, work)
    oracle.assert_exact(c.search(queries, k=30, exact=True), "l2", queries, ids, rows, 30)
