"""What a family of workloads is: named parameters, and a pure function of a source and the seed to a workload."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from drift._errors import InvalidArgumentError
from drift.simulate.source import Source, gaussian
from drift.simulate.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from drift.simulate.steps import F32, I64, Step

__all__ = ["Arranged", "Family", "portions"]


class Arranged(NamedTuple):
    """What a family makes of a source."""

    vectors: F32
    queries: F32
    steps: Sequence[Step]


def portions(ids: I64, count: int) -> list[I64]:
    """Split ids into `count` parts of nearly equal size, in order."""
    return np.array_split(ids, count)


@dataclass(frozen=True, kw_only=True)
class Family(ABC):
    """A family of workloads; its fields are its parameters.

    Attributes
    ----------
    steps : int
        Steps, 2 or more: about as many searches as the run has.
    queries : int
        Queries of each search, 1 or more.
    seed : int
        What every random choice follows from.
    """

    name: ClassVar[str]
    """What it is called on the command line."""
    origin: ClassVar[str]
    """Where it comes from."""

    steps: int = 20
    queries: int = 200
    seed: int = 7

    def __post_init__(self) -> None:
        for name, least in (("steps", 2), ("queries", 1), ("seed", 0)):
            value = getattr(self, name)
            if value < least:
                raise InvalidArgumentError(f"{name} is {value}: it must be {least} or more")

    @classmethod
    def summary(cls) -> str:
        """Return what happens in it, in one line."""
        return (cls.__doc__ or "").strip().splitlines()[0].rstrip(".")

    def synthetic(self, rows: int, dim: int) -> Source:
        """Return the vectors that are used when no file is named: `rows` to write and enough beyond for queries."""
        return gaussian(rows + self.queries, dim, self.seed)

    @abstractmethod
    def arrange(self, source: Source, random: np.random.Generator) -> Arranged:
        """Return the vectors, the queries and the steps."""

    def make(self, source: Source) -> Workload:
        """Return the workload of this family over a source.

        Parameters
        ----------
        source : Source
            At least 8 rows for each step, besides as many as there are queries.

        Raises
        ------
        InvalidArgumentError
            When the source has too few rows or lacks what the family needs.
        """
        least = 8 * self.steps + self.queries
        if len(source) < least:
            raise InvalidArgumentError(
                f"{self.name} with {self.steps} steps and {self.queries} queries needs {least} rows of source, not "
                f"{len(source)}"
            )
        random = np.random.default_rng([self.seed, zlib.crc32(self.name.encode())])
        vectors, queries, steps = self.arrange(source, random)
        return Workload(
            name=self.name,
            vectors=vectors,
            queries=queries,
            steps=tuple(steps),
            metric=source.metric,
            seed=self.seed,
            parameters={**asdict(self), "source": source.name},
        )

    def hold_out(self, source: Source, random: np.random.Generator) -> tuple[Source, F32]:
        """Return the source without `queries` random rows, its order kept, and the vectors of those rows."""
        order = random.permutation(len(source))
        kept = np.sort(order[self.queries :])
        return source.take(kept), source.vectors[order[: self.queries]]

    def share(self, name: str) -> float:
        """Return a parameter that must lie between 0 and 1, both excluded."""
        value = float(getattr(self, name))
        if not 0 < value < 1:
            raise InvalidArgumentError(f"{name} is {value}: it must be between 0 and 1")
        return value
