"""Churn: rows come and the oldest go, while the distribution stays as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from drift.simulate.families.base import Arranged, Family
from drift.simulate.steps import Delete, Insert, Search, Step, indices

if TYPE_CHECKING:
    from drift.simulate.source import Source

__all__ = ["Churn"]


@dataclass(frozen=True, kw_only=True)
class Churn(Family):
    """A share of the rows is inserted and as many of the oldest deleted, under a distribution that stays.

    Half of the source lives. Rows come in one random order, round and round, so that ids that were deleted come back.

    Attributes
    ----------
    turnover : float
        Share of the living rows that a step deletes and inserts, between 0 and 1.
    """

    name: ClassVar[str] = "churn"
    origin: ClassVar[str] = "the sources of drift: churn with oldest-first deletion"

    turnover: float = 0.2

    def arrange(self, source: Source, random: np.random.Generator) -> Arranged:
        """Return the vectors, the queries and the steps."""
        kept, queries = self.hold_out(source, random)
        order = random.permutation(len(kept))
        alive = len(kept) // 2
        moved = max(1, min(round(self.share("turnover") * alive), len(kept) - alive))
        steps: list[Step] = [Insert(indices(order[:alive])), Search(0, len(queries))]
        for number in range(self.steps):
            at = np.arange(moved) + number * moved
            coming, going = order[(at + alive) % len(kept)], order[at % len(kept)]
            steps += [Insert(np.sort(indices(coming))), Delete(np.sort(indices(going))), Search(0, len(queries))]
        return Arranged(kept.vectors, queries, steps)
