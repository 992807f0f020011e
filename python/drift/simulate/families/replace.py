"""Replacement: living ids get other vectors, while the number of rows stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from drift.simulate.families.base import Arranged, Family, portions
from drift.simulate.steps import Insert, Replace, Search, Step, indices

if TYPE_CHECKING:
    from drift.simulate.source import Source

__all__ = ["Replacement"]


@dataclass(frozen=True, kw_only=True)
class Replacement(Family):
    """Half of the source is inserted; then each step gives random ids the vectors of rows not used before."""

    name: ClassVar[str] = "replace"
    origin: ClassVar[str] = "big-ann-benchmarks, random_replace_runbook"

    def arrange(self, source: Source, random: np.random.Generator) -> Arranged:
        """Return the vectors, the queries and the steps."""
        kept, queries = self.hold_out(source, random)
        half = len(kept) // 2
        steps: list[Step] = [Insert(indices(np.arange(half))), Search(0, len(queries))]
        for rows in portions(indices(np.arange(half, len(kept))), self.steps):
            ids = np.sort(random.choice(half, size=min(len(rows), half), replace=False))
            steps += [Replace(indices(ids), rows[: len(ids)]), Search(0, len(queries))]
        return Arranged(kept.vectors, queries, steps)
