"""Needles in a large set: small tight groups of rows that every search must find among all the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from drift._errors import InvalidArgumentError
from drift.simulate.families.base import Arranged, Family, portions
from drift.simulate.steps import Insert, Search, Step, indices
from drift.simulate.truth import K

if TYPE_CHECKING:
    from drift.simulate.source import Source

__all__ = ["Needles"]


@dataclass(frozen=True, kw_only=True)
class Needles(Family):
    """Groups of ten near-equal rows are hidden in a growing set; each query asks for one group.

    A group lies around a row of the source that is not itself inserted; its rows and its query are that row with noise.
    Groups come a few in each step, among the rows of the source, and each search asks for all groups so far.

    Attributes
    ----------
    radius : float
        Root mean square distance of a group's rows from its centre, in units of the vectors' own, 0 to 1.
    """

    name: ClassVar[str] = "needles"
    origin: ClassVar[str] = "the sources of drift: needles in a large set"

    radius: float = 0.05

    def arrange(self, source: Source, random: np.random.Generator) -> Arranged:
        """Return the vectors, the queries and the steps."""
        if not 0 < self.radius <= 1:
            raise InvalidArgumentError(f"radius is {self.radius}: it must be in (0, 1]")
        hay, centres = self.hold_out(source, random)
        deviation = float(np.sqrt(np.square(hay.vectors - hay.vectors.mean(axis=0)).mean()))

        def around(points: np.ndarray) -> np.ndarray:
            return points + random.normal(size=points.shape) * deviation * self.radius

        queries = around(centres).astype(np.float32)
        groups = around(np.repeat(centres, K, axis=0)).astype(np.float32)
        ids = np.arange(len(hay), len(hay) + len(groups)).reshape(-1, K)
        steps: list[Step] = []
        straws = portions(indices(random.permutation(len(hay))), self.steps)
        asked = 0
        for straw, number in zip(straws, portions(indices(np.arange(len(centres))), self.steps), strict=True):
            steps.append(Insert(np.concatenate([np.sort(straw), indices(ids[number])])))
            asked += len(number)
            steps.append(Search(0, max(1, asked)))
        return Arranged(np.vstack([hay.vectors, groups]), queries, steps)
