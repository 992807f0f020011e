"""A runbook over a table of vectors, made a workload."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drift.simulate import runbook
from drift.simulate.source import Source, read
from drift.simulate.steps import F32, Replace, Search, Step
from drift.simulate.workload import Workload

if TYPE_CHECKING:
    import os

__all__ = ["of_runbook"]


def of_runbook(
    path: str | os.PathLike[str],
    source: Source,
    *,
    query_file: str | os.PathLike[str] | None = None,
    queries: int = 200,
    dataset: str | None = None,
    seed: int = 7,
) -> Workload:
    """Return the workload of a runbook. Needs PyYAML (extra ``simulate``).

    Parameters
    ----------
    path : str or path
        The runbook.
    source : Source
        The vectors that it numbers.
    query_file : str or path, optional
        A ``.npy`` file of queries, all of which are used. Without it, `queries` rows that the runbook never inserts, or
        random rows where it leaves too few.
    queries : int
        Number of queries to choose when there is no file.
    dataset : str, optional
        Which dataset of the runbook, when it has several.
    seed : int
        What the choice of queries follows from.

    Raises
    ------
    NotFoundError
        When a file or the dataset does not exist.
    InvalidArgumentError
        When the runbook is none, or numbers a row that `source` does not have.
    """
    asked = None if query_file is None else read(query_file).vectors
    steps = runbook.read(path, queries if asked is None else len(asked), dataset)
    return Workload(
        name=runbook.names(path)[0] if dataset is None else dataset,
        vectors=source.vectors,
        queries=_chosen(source, steps, queries, seed) if asked is None else asked,
        steps=steps,
        metric=source.metric,
        seed=seed,
        parameters={"runbook": str(path), "source": source.name},
    )


def _chosen(source: Source, steps: tuple[Step, ...], count: int, seed: int) -> F32:
    """Return rows that no step writes, or random ones where there are too few."""
    used = np.zeros(len(source), dtype=bool)
    for step in steps:
        if not isinstance(step, Search):
            rows = step.rows if isinstance(step, Replace) else step.ids
            used[rows[rows < len(source)]] = True
    free = np.flatnonzero(~used)
    among = free if len(free) >= count else np.arange(len(source))
    random = np.random.default_rng([seed, len(source)])
    rows = np.sort(random.choice(among, size=min(count, len(among)), replace=False))
    return np.asarray(source.vectors[rows])
