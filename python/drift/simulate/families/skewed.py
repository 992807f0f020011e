"""A skewed walk: inserts, deletes and queries fall on a few popular clusters, and which are popular changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from drift._errors import InvalidArgumentError
from drift.simulate.families.base import Arranged, Family
from drift.simulate.source import clusters_of
from drift.simulate.steps import F64, I64, Delete, Insert, Search, Step, indices

if TYPE_CHECKING:
    from drift.simulate.source import Source

__all__ = ["SkewedWalk"]

INSERT, DELETE = 0.4, 0.1
"""Shares of the operations; the rest are searches."""


@dataclass(frozen=True, kw_only=True)
class SkewedWalk(Family):
    """Operations are .4 inserts, .1 deletes and .5 searches, all on popular clusters, and popularity walks.

    The popularity of clusters follows Zipf's law along a circle, and its peak moves by one cluster at each operation.
    A tenth of the source is inserted at the start, a random one.

    Attributes
    ----------
    clusters : int
        Number of clusters.
    skew : float
        Exponent of Zipf's law, 0 or more: 0 makes all clusters equal.
    """

    name: ClassVar[str] = "skewed-walk"
    origin: ClassVar[str] = "Quake (Mohoney et al. 2025): skewed, walking workload"

    clusters: int = 64
    skew: float = 1.0

    def arrange(self, source: Source, random: np.random.Generator) -> Arranged:
        """Return the vectors, the queries and the steps."""
        if self.clusters < 1 or self.skew < 0:
            raise InvalidArgumentError(f"clusters is {self.clusters} and skew {self.skew}: 1 and 0 at least")
        labels = clusters_of(source, self.clusters, random)
        order = random.permutation(len(source))
        asked, kept = order[: self.queries], np.sort(order[self.queries :])
        popularity = (1.0 + np.arange(self.clusters)) ** -self.skew
        row_cluster, query_cluster = labels[kept], labels[asked]
        ids = indices(np.arange(len(kept)))
        first = indices(np.sort(random.choice(ids, size=len(ids) // 10, replace=False)))
        alive = np.zeros(len(ids), dtype=bool)
        alive[first] = True
        batch = max(1, round(0.9 * len(ids) / (2 * INSERT * self.steps)))
        steps: list[Step] = [Insert(first)]
        chosen: list[I64] = []
        waiting = np.ones(len(ids), dtype=bool)
        waiting[first] = False
        for number in range(2 * self.steps):
            weights = np.roll(popularity, number % self.clusters)
            draw = random.random()
            if number == 2 * self.steps - 1 or draw >= INSERT + DELETE:
                part = _drawn(query_cluster, weights, np.ones(len(asked), dtype=bool), self._per_search(), random)
                steps.append(Search(len(chosen) * self._per_search(), (len(chosen) + 1) * self._per_search()))
                chosen.append(part)
            elif draw < INSERT:
                part = _drawn(row_cluster, weights, waiting, batch, random)
                waiting[part], alive[part] = False, True
                steps.append(Insert(part))
            else:
                part = _drawn(row_cluster, weights, alive, min(batch, int(alive.sum()) // 2), random)
                alive[part] = False
                steps.append(Delete(part))
        queries = source.vectors[asked[np.concatenate(chosen)]]
        return Arranged(source.vectors[kept], queries, steps)

    def _per_search(self) -> int:
        """Return the queries of one search: half of those held out, so that popular ones can be preferred."""
        return max(1, self.queries // 2)


def _drawn(labels: I64, weights: F64, among: np.ndarray, count: int, random: np.random.Generator) -> I64:
    """Return at most `count` different positions where `among` holds, drawn by their clusters' weights, ascending.

    Efraimidis and Spirakis: the largest keys u ** (1 / w) are a weighted sample without replacement.
    """
    places = np.flatnonzero(among)
    keys = np.log(random.random(len(places))) / weights[labels[places]]
    return indices(np.sort(places[np.argsort(-keys, kind="stable")[:count]]))
