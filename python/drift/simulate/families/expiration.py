"""Expiration times: each row is inserted with a time to live that is drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from drift.simulate.families.base import Arranged, Family, portions
from drift.simulate.steps import Delete, Insert, Search, Step, indices

if TYPE_CHECKING:
    from drift.simulate.source import Source

__all__ = ["Expiration"]

NEVER, LONG = 1 / 26, 5 / 26
"""Shares of the rows that never expire and that live long, as in the runbook of msmarco-100M."""


@dataclass(frozen=True, kw_only=True)
class Expiration(Family):
    """Rows come in equal parts and expire: 1/26 never, 5/26 after a fifth of the run, 20/26 after a twentieth."""

    name: ClassVar[str] = "expiration"
    origin: ClassVar[str] = "big-ann-benchmarks, msmarco-100M_expirationtime"

    def arrange(self, source: Source, random: np.random.Generator) -> Arranged:
        """Return the vectors, the queries and the steps."""
        kept, queries = self.hold_out(source, random)
        parts = portions(indices(np.arange(len(kept))), self.steps)
        draw = random.random(len(kept))
        life = np.full(len(kept), max(1, self.steps // 20), dtype=np.int64)
        life[draw < NEVER + LONG] = max(2, self.steps // 5)
        life[draw < NEVER] = self.steps
        ends = np.repeat(np.arange(self.steps), [len(part) for part in parts]) + life
        steps: list[Step] = []
        for number, part in enumerate(parts):
            steps += [Insert(part), Delete(indices(np.flatnonzero(ends == number))), Search(0, len(queries))]
        return Arranged(kept.vectors, queries, steps)
