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
        Codes and memtable rows compared per query, or None for an engine that does not count.
    """

    found: I64
    seconds: list[float]
    codes: float | None


def ask(index: Engine, queries: F32) -> Asked:
    """Ask queries of shape (n, dim), n 1 or more, in this thread."""
    found = np.full((len(queries), K), -1, dtype=np.int64)
    seconds: list[float] = []
    before = index.counters().get("rows_scanned")
    for at, query in enumerate(queries):
        start = time.perf_counter()
        ids = index.search(query, K)
        seconds.append(time.perf_counter() - start)
        found[at, : len(ids)] = ids
    if before is None:
        return Asked(found, seconds, None)
    scanned = index.counters()["rows_scanned"] - before
    return Asked(found, seconds, scanned / len(queries) + index.gauges().get("memtable_rows", 0))
