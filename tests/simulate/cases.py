"""Small workloads of every family, and an independent replay of their steps."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from drift.simulate import FAMILIES, Delete, Insert, Replace, Search, Source, Workload, gaussian, generate

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = tuple(FAMILIES)


@cache
def small(name: str, seed: int = 7, metric: str = "l2") -> Workload:
    """Return a workload of 2,000 rows x 16 and 8 steps with 30 queries each."""
    options: dict[str, Any] = {"steps": 8, "queries": 30, "seed": seed}
    if name == "replay" or metric != "l2":
        rows = gaussian(2_000, 16, seed, metric=metric)
        times = np.random.default_rng(seed).integers(200001, 200013, size=len(rows))
        source = Source(name="times", vectors=rows.vectors, labels=rows.labels, times=times, metric=metric)
        return generate(name, source=source, **options)
    return generate(name, rows=2_000, dim=16, **options)


def replayed(workload: Workload) -> Iterator[tuple[Search, dict[int, int]]]:
    """Yield each search step with a dictionary id -> row, asserting that every write is allowed."""
    live: dict[int, int] = {}
    for step in workload.steps:
        if isinstance(step, Search):
            yield step, dict(live)
            continue
        ids = step.ids.tolist()
        assert len(set(ids)) == len(ids) > 0
        if isinstance(step, Insert):
            assert not set(ids) & live.keys()
            live.update(zip(ids, ids, strict=True))
        else:
            assert set(ids) <= live.keys()
            if isinstance(step, Replace):
                live.update(zip(ids, step.rows.tolist(), strict=True))
            else:
                assert isinstance(step, Delete)
                for row_id in ids:
                    del live[row_id]


def plain(workload: Workload) -> list[Any]:
    """Return the steps as lists, which compare."""
    return [
        (step.start, step.end)
        if isinstance(step, Search)
        else (type(step).__name__, step.ids.tolist(), step.rows.tolist() if isinstance(step, Replace) else None)
        for step in workload.steps
    ]
