"""Compares the index at the end of a run with a new one of the same rows."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from drift.simulate.ask import Asked, ask
from drift.simulate.record import Fresh
from drift.simulate.steps import I64, Live, Search
from drift.simulate.truth import K, hits, nearest

if TYPE_CHECKING:
    from drift.simulate.engines import Engine
    from drift.simulate.workload import Workload

__all__ = ["compare"]

PASSES = 5
"""Both indexes take turns, so that a disturbance of the machine meets both; of each, the fastest pass counts."""


def compare(workload: Workload, index: Engine, live: Live, effort: int | None) -> Fresh:
    """Load the living rows into a new index and ask both the queries of the last search step.

    Parameters
    ----------
    workload : Workload
        What was run.
    index : Engine
        The index at the end of the run.
    live : Live
        The rows at the end.
    effort : int, optional
        The effort of the run, which the new index gets too.
    """
    step = next(step for step in reversed(workload.steps) if isinstance(step, Search))
    queries, truth = workload.queries[step.start : step.end], _truth(workload, live, step)
    ids = live.ids()
    with tempfile.TemporaryDirectory(prefix="drift-simulate-fresh-") as folder:
        new = type(index)(len(workload.vectors), len(ids), workload.dim, workload.metric, index.settings, Path(folder))
        try:
            new.build(ids, workload.vectors[live.row_of[ids]])
            new.settle()
            if effort is not None:
                new.set_effort(effort)
            pairs: list[tuple[Asked, Asked]] = [(ask(index, queries), ask(new, queries)) for _ in range(PASSES)]
        finally:
            new.close()
    old, fresh = pairs[0]
    times = [min(sum(asked.seconds) for asked in column) for column in zip(*pairs, strict=True)]
    counted = old.codes is not None and fresh.codes is not None and min(old.codes, fresh.codes) >= K
    ratio = old.codes / fresh.codes if counted and old.codes is not None and fresh.codes is not None else None
    return Fresh(
        recall=float(hits(workload, live, step, truth, old.found)[0].mean()),
        fresh_recall=float(hits(workload, live, step, truth, fresh.found)[0].mean()),
        codes=old.codes,
        fresh_codes=fresh.codes,
        fresh_ratio=ratio,
        speed_ratio=times[1] / times[0],
    )


def _truth(workload: Workload, live: Live, step: Search) -> I64:
    """Return the true neighbours of a search step among the rows at the end, which later writes may have changed."""
    ids = live.ids()
    places = nearest(workload.metric, workload.queries[step.start : step.end], workload.vectors, live.row_of[ids])
    return np.where(places >= 0, ids[places], -1)
