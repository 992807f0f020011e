"""A window that slides over rows in their order: the newest come, the oldest go, queries ask for the newest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from drift._errors import InvalidArgumentError
from drift.simulate.families.base import Arranged, Family, portions
from drift.simulate.source import Source, axes
from drift.simulate.steps import I64, Delete, Insert, Search, Step, indices

__all__ = ["Moving", "Replay", "SlidingWindow"]


@dataclass(frozen=True, kw_only=True)
class SlidingWindow(Family):
    """The second half of the source passes through a window, the oldest rows leaving, in the source's order.

    Queries are random rows of the whole source that are never inserted.
    """

    name: ClassVar[str] = "sliding-window"
    origin: ClassVar[str] = "big-ann-benchmarks, msturing-10M_slidingwindow"

    def arrange(self, source: Source, random: np.random.Generator) -> Arranged:
        """Return the vectors, the queries and the steps."""
        kept, queries = self.hold_out(source, random)
        ids = indices(np.arange(len(kept)))
        half = len(kept) // 2
        steps: list[Step] = [Insert(ids[:half]), Search(0, len(queries))]
        pairs = zip(portions(ids[half:], self.steps), portions(ids[: len(kept) - half], self.steps), strict=True)
        for coming, going in pairs:
            steps += [Insert(coming), Delete(going), Search(0, len(queries))]
        return Arranged(kept.vectors, queries, steps)


@dataclass(frozen=True, kw_only=True)
class Replay(Family):
    """Rows are replayed in the order of their times, and each search asks for the newest.

    Rows are sorted by time (rows of one time in the order of the source; without times, all of them) and cut into
    parts of one size. The first parts, as many as `window` says, are one insertion; then each step inserts a part and,
    below a window of 1, deletes as many of the oldest rows. The queries of a step are random rows of its newest part,
    at most half of it, which are never inserted.

    Attributes
    ----------
    window : float
        Share of the rows that lives, in (0, 1]; 1 deletes nothing and begins with half of the rows.
    """

    name: ClassVar[str] = "replay"
    origin: ClassVar[str] = "real time: rows with a time column, replayed in order"

    window: float = 0.5

    def synthetic(self, rows: int, dim: int) -> Source:  # noqa: ARG002 - a family that has nothing to make.
        """Raise: times cannot be made up."""
        raise InvalidArgumentError(f"{self.name} replays a file: name one with --source (and its time column, --time)")

    def arrange(self, source: Source, random: np.random.Generator) -> Arranged:
        """Return the vectors, the queries and the steps."""
        if not 0 < self.window <= 1:
            raise InvalidArgumentError(f"window is {self.window}: it must be in (0, 1]")
        if source.times is not None:
            source = source.take(indices(np.argsort(source.times, kind="stable")))
        first = min(self.window, 0.5)
        # Of n parts, the first `width` are there at the start and `steps` follow.
        width = max(1, round(self.steps * first / (1 - first)))
        parts = portions(indices(np.arange(len(source))), width + self.steps)
        count = min(self.queries, len(parts[-1]) // 2)
        asked = [_held_out(parts, at, count, random) for at in range(width - 1, len(parts))]
        order = np.concatenate(parts)
        ids = indices(np.arange(len(order)))
        at, gone = sum(map(len, parts[:width])), 0
        steps: list[Step] = [Insert(ids[:at]), Search(0, count)]
        for number, part in enumerate(parts[width:], start=1):
            steps.append(Insert(ids[at : at + len(part)]))
            at += len(part)
            if self.window < 1:
                steps.append(Delete(ids[gone : gone + len(part)]))
                gone += len(part)
            steps.append(Search(number * count, (number + 1) * count))
        return Arranged(source.vectors[order], source.vectors[np.concatenate(asked)], steps)


def _held_out(parts: list[I64], at: int, count: int, random: np.random.Generator) -> I64:
    """Take `count` random rows out of a part, and return them."""
    order = random.permutation(parts[at])
    parts[at] = np.sort(order[count:])
    return np.sort(order[:count])


@dataclass(frozen=True, kw_only=True)
class Moving(Replay):
    """Gaussian clusters whose centres move in straight lines; a window of the newest rows lives.

    Attributes
    ----------
    speed : float
        How far a centre moves in one step, in units of the root mean square radius of a cluster, 0 or more.
    clusters : int
        Number of clusters.
    """

    name: ClassVar[str] = "moving"
    origin: ClassVar[str] = "the sources of drift: moving Gaussian clusters"

    speed: float = 0.1
    clusters: int = 16

    def synthetic(self, rows: int, dim: int) -> Source:
        """Return rows in the order of time, those of the first window drifting too."""
        if self.speed < 0 or self.clusters < 1:
            raise InvalidArgumentError(f"speed is {self.speed} and clusters {self.clusters}: 0 and 1 at least")
        random = np.random.default_rng([self.seed, rows, dim, self.clusters])
        searches = self.steps + 1
        total = rows + searches * self.queries
        scale = axes(dim)
        radius = float(np.linalg.norm(scale))
        directions = random.normal(size=(self.clusters, dim)) * scale
        directions *= self.speed * radius / np.linalg.norm(directions, axis=1, keepdims=True)
        labels = random.integers(self.clusters, size=total)
        # With half of the rows in the window, the run is twice as long as its steps.
        times = np.arange(total) / total * 2 * self.steps
        starts = random.normal(size=(self.clusters, dim)) * scale * 1.5
        vectors = starts[labels] + times[:, None] * directions[labels] + random.normal(size=(total, dim)) * scale
        return Source(name="moving gaussian", vectors=vectors.astype(np.float32), labels=indices(labels))
