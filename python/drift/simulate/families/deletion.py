"""Index rot: half of the rows is deleted in steps, at random or region by region, and as many new ones follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from drift.simulate.families.base import Arranged, Family, portions
from drift.simulate.source import clusters_of
from drift.simulate.steps import I64, Delete, Insert, Search, Step, indices

if TYPE_CHECKING:
    from drift.simulate.source import Source

__all__ = ["RandomDeletion", "RegionalDeletion"]


@dataclass(frozen=True, kw_only=True)
class RandomDeletion(Family):
    """Half of the rows is deleted at random, in steps; then as many new rows are inserted, in steps."""

    name: ClassVar[str] = "random-deletion"
    origin: ClassVar[str] = "the sources of drift: index rot, 50 % random deletion"

    def arrange(self, source: Source, random: np.random.Generator) -> Arranged:
        """Return the vectors, the queries and the steps."""
        kept, queries = self.hold_out(source, random)
        order = indices(random.permutation(len(kept)))
        first = 2 * len(kept) // 3
        half = first // 2
        steps: list[Step] = [Insert(np.sort(order[:first])), Search(0, len(queries))]
        deletions = self.steps // 2
        for going in portions(self.doomed(kept, order[:first], random)[:half], deletions):
            steps += [Delete(np.sort(going)), Search(0, len(queries))]
        for coming in portions(order[first : first + half], self.steps - deletions):
            steps += [Insert(np.sort(coming)), Search(0, len(queries))]
        return Arranged(kept.vectors, queries, steps)

    def doomed(self, source: Source, ids: I64, random: np.random.Generator) -> I64:  # noqa: ARG002 - see below.
        """Return the living ids in the order in which they are deleted."""
        return indices(random.permutation(ids))


@dataclass(frozen=True, kw_only=True)
class RegionalDeletion(RandomDeletion):
    """Half of the rows is deleted cluster by cluster, in steps; then as many new rows are inserted, in steps.

    Attributes
    ----------
    clusters : int
        Number of clusters that the rows fall into.
    """

    name: ClassVar[str] = "regional-deletion"
    origin: ClassVar[str] = "the sources of drift: index rot, 50 % regional deletion"

    clusters: int = 64

    def doomed(self, source: Source, ids: I64, random: np.random.Generator) -> I64:
        """Return the living ids, one cluster after the other."""
        rank = random.permutation(self.clusters)[clusters_of(source, self.clusters, random)]
        return ids[np.argsort(rank[ids], kind="stable")]
