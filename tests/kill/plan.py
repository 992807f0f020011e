"""Operations of the child, as both sides know them: one line of JSON, and what it does to a model id -> version.

The child chooses an operation, tells it, runs it, tells that it was acknowledged. The parent applies told operations to
its own model, so both sides agree on what the database must hold without sharing anything but the pipe.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

DIM = 16

# Kinds of operations that do more than to append to the log.
JOBS = ("flush", "load", "optimize", "maintain")

Model = dict[int, int]


@dataclass(frozen=True)
class Operation:
    """One call: its kind, the ids it names, and the version that its rows get.

    A lapse writes rows that have expired already: to readers it is a delete, and maintenance makes it one.
    """

    kind: str
    ids: tuple[int, ...]
    version: int

    def line(self) -> str:
        """Return the operation as one line."""
        return json.dumps([self.kind, self.ids, self.version])

    @classmethod
    def read(cls, line: str) -> Operation:
        """Read what `line` wrote."""
        kind, ids, version = json.loads(line)
        return cls(kind, tuple(ids), version)

    def apply(self, model: Model) -> Model:
        """Return the model after this operation."""
        after = dict(model)
        if self.kind in ("add", "upsert", "load"):
            after.update(dict.fromkeys(self.ids, self.version))
        elif self.kind in ("delete", "lapse"):
            for id_ in self.ids:
                after.pop(id_, None)
        return after


KINDS = ("upsert", "add", "delete", "lapse", "flush", "load", "optimize", "maintain")


@dataclass(frozen=True)
class Life:
    """What the children of a database do: ids there are, rows of a batch at most, and shares of calls by kind."""

    ids: int
    batch_max: int
    shares: tuple[float, ...]

    def choose(self, random: np.random.Generator, model: Model, version: int) -> Operation:
        """Return the next operation."""
        sums = np.cumsum(self.shares)
        kind = KINDS[min(int(np.searchsorted(sums, random.random(), side="right")), len(KINDS) - 1)]
        if kind in ("flush", "optimize", "maintain"):
            return Operation(kind, (), version)
        size = int(random.integers(1, self.batch_max + 1))
        free = [id_ for id_ in range(self.ids) if id_ not in model] if kind == "add" else range(self.ids)
        if not free:
            return Operation("flush", (), version)
        places = random.choice(len(free), size=min(size, len(free)), replace=False)
        return Operation(kind, tuple(free[place] for place in places.tolist()), version)


# Mostly writes, some deletes, a flush, a load or jobs now and then.
SMALL = Life(400, 40, (0.36, 0.18, 0.22, 0.04, 0.09, 0.05, 0.03, 0.03))

# More than the 1,000 rows beyond which buckets are defined anew, and jobs in every third call.
LARGE = Life(2_400, 800, (0.34, 0.06, 0.06, 0.1, 0.06, 0.06, 0.1, 0.22))

# One database in so many is large: its calls take longer.
LARGE_ONE_IN = 4


def life_of(number: int) -> Life:
    """Return what the children of a database do."""
    return LARGE if number % LARGE_ONE_IN == LARGE_ONE_IN - 1 else SMALL
