"""Asks an engine the queries of a search step, one a call, and counts what it compared."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from drift.simulate.truth import K

if TYPE_CHECKING:
    from drift.simulate.engines import Engine
    from drift.simulate.steps import F32, I64

__all__ = ["Asked", "ask"]


class Asked(NamedTuple):
    """What one pass over queries found.

    Attributes
    ----------
    found : ndarray of int64, shape (n, 10)
        Ids, padded with -1.
    seconds : list of float
        Time of each call.
    codes : float or None
        Codes compared per query as the engine counts them, with memtable rows; None for one that does not count.
    refined : float or None
        Rows per query whose second, finer code was read; None for an engine that does not count.
    """

    found: I64
    seconds: list[float]
    codes: float | None
    refined: float | None


def ask(index: Engine, queries: F32) -> Asked:
    """Ask queries of shape (n, dim), n 1 or more, in this thread."""
    found = np.full((len(queries), K), -1, dtype=np.int64)
    seconds: list[float] = []
    before = index.counters()
    for at, query in enumerate(queries):
        start = time.perf_counter()
        ids = index.search(query, K)
        seconds.append(time.perf_counter() - start)
        found[at, : len(ids)] = ids
    after = index.counters()
    spent = {name: (after[name] - before[name]) / len(queries) for name in before}
    codes = spent["rows_scanned"] + index.gauges().get("memtable_rows", 0) if "rows_scanned" in spent else None
    return Asked(found, seconds, codes, spent.get("rows_refined"))
