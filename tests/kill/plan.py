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
        if self.kind in ("add", "upsert"):
            after.update(dict.fromkeys(self.ids, self.version))
        elif self.kind == "delete":
            for id_ in self.ids:
                after.pop(id_, None)
        return after


def choose(random: np.random.Generator, model: Model, version: int) -> Operation:
    """Return the next operation: mostly writes, some deletes, a flush or an optimize now and then."""
    kind = str(random.choice(["upsert", "add", "delete", "flush", "optimize"], p=[0.45, 0.2, 0.23, 0.1, 0.02]))
    if kind in ("flush", "optimize"):
        return Operation(kind, (), version)
    size = int(random.integers(1, BATCH_MAX + 1))
    pool = np.arange(ID_COUNT)
    if kind == "add":
        pool = np.array([id_ for id_ in range(ID_COUNT) if id_ not in model])
        size = min(size, len(pool))
        if size == 0:
            return Operation("flush", (), version)
    ids = random.choice(pool, size=size, replace=False)
    return Operation(kind, tuple(ids.tolist()), version)
