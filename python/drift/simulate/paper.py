"""The tables of drift's sources, taken again: what the density term and healing are worth under 50 % churn.

The sources rank buckets by ``exp(-lambda d) (1 - exp(-live / tau))`` and claim that the density term keeps a search
out of buckets that churn has emptied, and that background jobs ("healing") keep buckets small. Here half of the rows
is replaced, once by rows of the same distribution (oldest first) and once region by region, by rows of clusters that
were not there before. Then the same queries are asked with and without the term, with jobs paused from the first write
on and with jobs done; beside it the geometric stop of Quake and drift's own calibrated rule. Every seed makes data and
queries of its own; the figures are means over seeds, with the standard deviation.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import drift
from drift._errors import DriftError
from drift.simulate.progress import telling
from drift.simulate.source import CLUSTERS, clusters_of, gaussian, positive
from drift.simulate.truth import K, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from drift.simulate.progress import Told
    from drift.simulate.source import Source
    from drift.simulate.steps import F32, I64

__all__ = ["Cell", "Summary", "paper", "summarize"]

BATCH = 1_000
CALLS_MAX = 100
"""Calls of `run_once`, each of which does all that is due; more mean that it never rests."""

CHURNS = ("none", "oldest", "regional")
METHODS: dict[str, dict[str, Any]] = {
    "density": {},
    "distance alone": {"tau": 0.0},
    "geometric": {"routing": "geometric"},
}
"""Options beside `target_confidence`."""
CALIBRATED = "calibrated"


@dataclass(frozen=True)
class Cell:
    """What one seed, churn, state and method gave, per query."""

    seed: int
    churn: str
    healing: bool
    method: str
    recall: float
    buckets: float
    """Buckets scanned."""
    codes: float
    """Codes scanned."""
    buckets_total: int
    dead_rows: int


@dataclass(frozen=True)
class Summary:
    """The cells of all seeds."""

    churn: str
    healing: bool
    method: str
    recall: float
    recall_sd: float
    buckets: float
    buckets_sd: float
    codes: float
    buckets_total: float
    dead_rows: float


def paper(
    seeds: Iterable[int],
    *,
    rows: int = 20_000,
    dim: int = 64,
    queries: int = 200,
    target: float = 0.95,
    source: Source | None = None,
    progress: Told = None,
) -> list[Cell]:
    """Run the experiment.

    Parameters
    ----------
    seeds : iterable of int
        One run for each.
    rows, dim : int
        Shape of the vectors to make when there is no source: two thirds live at a time.
    queries : int
        Queries, drawn like the rows that live after the churn.
    target : float
        Confidence of the models and recall of the calibrated rule, in (0, 1].
    source : Source, optional
        Vectors to use instead.
    progress : bool or callable, optional
        True shows a bar over the runs; a callable gets a line of text for each.

    Returns
    -------
    list of Cell
        For each seed, churn, state and method.

    Examples
    --------
    >>> from drift.simulate.paper import paper
    >>> cells = paper([1], rows=900, dim=8, queries=10)
    >>> sorted({cell.method for cell in cells})
    ['calibrated', 'density', 'distance alone', 'geometric']
    """
    positive(queries=queries)
    chosen = list(seeds)
    # Without churn there is nothing to heal.
    states = [(churn, healing) for churn in CHURNS for healing in (False, True) if churn != "none" or not healing]
    cells: list[Cell] = []
    runs = 0
    with telling(progress) as told:
        for seed in chosen:
            table = gaussian(rows, dim, seed) if source is None else source
            plans = {churn: _plan(table, churn, queries, seed) for churn in CHURNS}
            for churn, healing in states:
                told.bar("runs", runs, len(chosen) * len(states))
                cells += _run(table, plans[churn], healing, seed, churn, target)
                runs += 1
                told.bar("runs", runs, len(chosen) * len(states))
                told.line(f"seed {seed}, churn {churn}, healing {'on' if healing else 'off'}")
    return cells


@dataclass(frozen=True)
class _Plan:
    first: I64
    coming: I64
    going: I64
    queries: I64


def _plan(source: Source, churn: str, queries: int, seed: int) -> _Plan:
    """Return which rows are loaded, inserted, deleted and asked for.

    Half of those loaded are replaced, in whatever order the churn has.
    """
    random = np.random.default_rng([seed, len(source)])
    order = random.permutation(len(source))
    if churn == "regional":
        labels = clusters_of(source, CLUSTERS, random)
        order = order[np.argsort(random.permutation(CLUSTERS)[labels[order]], kind="stable")]
    # Oldest first: a third of the rows comes as the first third goes.
    third = len(order) // 3
    first, coming = order[: 2 * third], order[2 * third :]
    if churn == "none":
        coming = coming[:0]
    going = order[: len(coming)]
    alive = order[len(going) : 2 * third + len(coming)]
    asked = random.choice(alive, size=min(queries, len(alive) // 2), replace=False)
    keep = ~np.isin(first, asked)
    return _Plan(np.sort(first[keep]), coming[~np.isin(coming, asked)], going, np.sort(asked))


def _run(source: Source, plan: _Plan, healing: bool, seed: int, churn: str, target: float) -> Iterator[Cell]:
    vectors, queries = source.vectors, source.vectors[plan.queries]
    with drift.connect("memory://") as db:
        c = db.create_collection("rows", vectors.shape[1], source.metric)  # type: ignore[arg-type]
        c.load((plan.first[at : at + BATCH], vectors[plan.first[at : at + BATCH]]) for at in _steps(plan.first))
        _settle(c)
        if not healing:
            c.maintenance.pause()
        for at in _steps(plan.coming):
            ids = np.sort(plan.coming[at : at + BATCH])
            c.add(ids, vectors[ids])
            c.delete(np.sort(plan.going[at : at + BATCH]))
            if healing:
                _settle(c)
        c.flush()
        if healing:
            _settle(c)
        alive = np.sort(c.ids().astype(np.int64))
        truth = alive[nearest(source.metric, queries, vectors, alive)]
        for method in (*METHODS, CALIBRATED):
            options = {"recall": target} if method == CALIBRATED else {"target_confidence": target, **METHODS[method]}
            yield _ask(c, queries, truth, options, Cell(seed, churn, healing, method, 0, 0, 0, 0, 0))


def _steps(ids: I64) -> range:
    return range(0, len(ids), BATCH)


def _settle(c: drift.Collection) -> None:
    c.flush()
    for _ in range(CALLS_MAX):
        if not c.maintenance.run_once():
            return
    raise DriftError(f"maintenance is still at work after {CALLS_MAX} calls")


def _ask(c: drift.Collection, queries: F32, truth: I64, options: dict[str, Any], cell: Cell) -> Cell:
    before = c.stats()
    found = [c.search(query, K, threads=1, **options).ids.tolist() for query in queries]
    after = c.stats()
    hits = [len(set(ids) & set(true)) for ids, true in zip(found, truth.tolist(), strict=True)]
    return Cell(
        **{
            **asdict(cell),
            "recall": float(np.mean(hits)) / K,
            "buckets": (after["buckets_scanned"] - before["buckets_scanned"]) / len(queries),
            "codes": (after["rows_scanned"] - before["rows_scanned"]) / len(queries),
            "buckets_total": after["buckets"],
            "dead_rows": after["dead_rows"],
        }
    )


def summarize(cells: Iterable[Cell]) -> list[Summary]:
    """Return means and standard deviations over seeds, in the order in which the cells came."""
    groups: dict[tuple[str, bool, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[cell.churn, cell.healing, cell.method].append(cell)

    def mean(group: list[Cell], name: str) -> float:
        return float(np.mean([getattr(cell, name) for cell in group]))

    def deviation(group: list[Cell], name: str) -> float:
        return float(np.std([getattr(cell, name) for cell in group]))

    return [
        Summary(
            churn,
            healing,
            method,
            mean(group, "recall"),
            deviation(group, "recall"),
            mean(group, "buckets"),
            deviation(group, "buckets"),
            mean(group, "codes"),
            mean(group, "buckets_total"),
            mean(group, "dead_rows"),
        )
        for (churn, healing, method), group in groups.items()
    ]
