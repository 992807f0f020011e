"""Clustered insert and delete: the shape of the final of the streaming track of NeurIPS'23."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from drift._errors import InvalidArgumentError
from drift.simulate.families.base import Arranged, Family, portions
from drift.simulate.source import clusters_of
from drift.simulate.steps import I64, Delete, Insert, Search, Step, indices

if TYPE_CHECKING:
    from drift.simulate.source import Source

__all__ = ["Clustered"]

DELETED_MAX = 0.9
"""Largest share of a cluster that one round deletes, as in the final."""


@dataclass(frozen=True, kw_only=True)
class Clustered(Family):
    """Cluster after cluster is inserted in part, then cluster after cluster deleted in part, over five rounds.

    The part of a cluster that a round inserts follows a symmetric Dirichlet distribution over the rounds; the round
    then deletes a random share, up to .9, of the cluster's living rows, the oldest first.

    Attributes
    ----------
    clusters : int
        Number of clusters.
    rounds : int
        Number of rounds.
    concentration : float
        Parameter of the Dirichlet distribution: small values give rounds that differ much.
    """

    name: ClassVar[str] = "clustered"
    origin: ClassVar[str] = "big-ann-benchmarks, final_runbook of the NeurIPS'23 streaming track"

    clusters: int = 64
    rounds: int = 5
    concentration: float = 1.0

    def arrange(self, source: Source, random: np.random.Generator) -> Arranged:
        """Return the vectors, the queries and the steps."""
        if self.clusters < 1 or self.rounds < 1 or self.concentration <= 0:
            raise InvalidArgumentError("clusters and rounds must be 1 or more, and concentration above 0")
        kept, queries = self.hold_out(source, random)
        # Rows are numbered by cluster, as in the final, so that a runbook has one operation for each.
        labels = clusters_of(kept, self.clusters, random)
        order = indices(np.argsort(labels, kind="stable"))
        sizes = np.bincount(labels, minlength=self.clusters)
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        shares = random.dirichlet(np.full(self.rounds, self.concentration), size=self.clusters).cumsum(axis=1)
        ends = np.minimum(np.round(shares * sizes[:, None]), sizes[:, None]).astype(np.int64)
        ends[:, -1] = sizes
        inserted, deleted = np.zeros(self.clusters, dtype=np.int64), np.zeros(self.clusters, dtype=np.int64)
        groups = portions(indices(np.arange(self.clusters)), max(1, self.steps // (2 * self.rounds)))
        steps: list[Step] = []
        for number in range(self.rounds):
            for group in groups:
                steps += [Insert(_ranges(starts, inserted, ends[:, number], group)), Search(0, len(queries))]
            inserted = ends[:, number]
            last = deleted + (random.uniform(0, DELETED_MAX, self.clusters) * (inserted - deleted)).astype(np.int64)
            for group in groups:
                steps += [Delete(_ranges(starts, deleted, last, group)), Search(0, len(queries))]
            deleted = last
        return Arranged(kept.vectors[order], queries, steps)


def _ranges(starts: I64, first: I64, last: I64, group: I64) -> I64:
    """Return the ids of each cluster of a group from its `first` to its `last` row."""
    return indices(np.concatenate([np.arange(starts[c] + first[c], starts[c] + last[c]) for c in group]))
