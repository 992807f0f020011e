"""Operations of the child, as both sides know them: one line of JSON, and what it does to a model id -> version.

The child chooses an operation, tells it, runs it, tells that it was acknowledged. The parent applies told operations to
its own model, so both sides agree on what the database must hold without sharing anything but the pipe.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

DIM = 16
ID_COUNT = 400
BATCH_MAX = 40

# Kinds of operations that do more than to append to the log.
JOBS = ("flush", "load", "optimize", "maintain")

Model = dict[int, int]


@dataclass(frozen=True)
class Operation:
    """One call: its kind, the ids it names, and the version that its rows get."""

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
        elif self.kind == "delete":
            for id_ in self.ids:
                after.pop(id_, None)
        return after


# Kinds of operations, and the sums of their probabilities up to each.
KINDS = ("upsert", "add", "delete", "flush", "load", "optimize", "maintain")
SUMS = np.cumsum([0.4, 0.18, 0.22, 0.09, 0.05, 0.03, 0.03])


def choose(random: np.random.Generator, model: Model, version: int) -> Operation:
    """Return the next operation: mostly writes, some deletes, a flush, a load or jobs now and then."""
    kind = KINDS[min(int(np.searchsorted(SUMS, random.random(), side="right")), len(KINDS) - 1)]
    if kind in ("flush", "optimize", "maintain"):
        return Operation(kind, (), version)
    size = int(random.integers(1, BATCH_MAX + 1))
    free = [id_ for id_ in range(ID_COUNT) if id_ not in model] if kind == "add" else range(ID_COUNT)
    if not free:
        return Operation("flush", (), version)
    places = random.choice(len(free), size=min(size, len(free)), replace=False)
    return Operation(kind, tuple(free[place] for place in places.tolist()), version)
