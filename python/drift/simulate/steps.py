"""The steps of a workload, and which rows live between them.

A workload's rows have numbers from 0; a row is inserted under its own number as its id, and a replacement gives a
living id the vector of another row. These are the semantics of the runbooks of big-ann-benchmarks, where the ids of
replaced rows are called tags. Everything here is pure: no engine, no files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from drift._errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

F32: TypeAlias = npt.NDArray[np.float32]
F64: TypeAlias = npt.NDArray[np.float64]
I64: TypeAlias = npt.NDArray[np.int64]

__all__ = ["F32", "F64", "I64", "Delete", "Insert", "Live", "Replace", "Search", "Step", "indices", "merged"]


@dataclass(frozen=True, eq=False)
class Insert:
    """Insert rows, each under its own number.

    Attributes
    ----------
    ids : ndarray of int64, shape (n,)
        Numbers of rows whose ids do not live.
    """

    ids: I64


@dataclass(frozen=True, eq=False)
class Delete:
    """Delete rows.

    Attributes
    ----------
    ids : ndarray of int64, shape (n,)
        Ids that live.
    """

    ids: I64


@dataclass(frozen=True, eq=False)
class Replace:
    """Give living ids other vectors.

    Attributes
    ----------
    ids : ndarray of int64, shape (n,)
        Ids that live.
    rows : ndarray of int64, shape (n,)
        Numbers of the rows whose vectors they get.

    Raises
    ------
    InvalidArgumentError
        When there are not as many rows as ids.
    """

    ids: I64
    rows: I64

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.rows):
            raise InvalidArgumentError(f"{len(self.ids)} ids are given {len(self.rows)} rows")


@dataclass(frozen=True)
class Search:
    """Search with the queries from `start` (inclusive) to `end` (exclusive)."""

    start: int
    end: int


Step: TypeAlias = Insert | Delete | Replace | Search


def indices(values: Any) -> I64:
    """Return row numbers or ids as an int64 array of shape (n,)."""
    return np.ascontiguousarray(values, dtype=np.int64).reshape(-1)


def merged(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return the steps with neighbouring writes of one kind made one, and empty writes left out.

    This form is the same before and after a runbook, in which ids that do not follow each other need several
    operations. Of an id that neighbouring replacements name twice, the last wins.
    """
    found: list[Step] = []
    parts: list[Insert | Delete | Replace] = []

    def close() -> None:
        if parts:
            found.append(_joined(parts))
            parts.clear()

    for step in steps:
        if isinstance(step, Search):
            close()
            found.append(step)
        elif step.ids.size:
            if parts and type(parts[-1]) is not type(step):
                close()
            parts.append(step)
    close()
    return tuple(found)


def _joined(parts: list[Insert | Delete | Replace]) -> Step:
    ids = np.concatenate([part.ids for part in parts])
    if isinstance(parts[0], Insert):
        return Insert(ids)
    if isinstance(parts[0], Delete):
        return Delete(ids)
    rows = np.concatenate([part.rows for part in parts if isinstance(part, Replace)])
    _, from_end = np.unique(ids[::-1], return_index=True)
    kept = np.sort(len(ids) - 1 - from_end)
    return Replace(ids[kept], rows[kept])


class Live:
    """Which ids live, and which row each of them has.

    Attributes
    ----------
    row_of : ndarray of int64, shape (rows,)
        Row of each id, -1 for an id that does not live.
    """

    __slots__ = ("row_of",)

    row_of: I64

    def __init__(self, rows: int) -> None:
        self.row_of = np.full(rows, -1, dtype=np.int64)

    def __len__(self) -> int:
        """Return the number of living ids."""
        return int(np.count_nonzero(self.row_of >= 0))

    def ids(self) -> I64:
        """Return the living ids, ascending."""
        return np.flatnonzero(self.row_of >= 0).astype(np.int64)

    def apply(self, step: Step, number: int) -> None:
        """Take a write into account; a search changes nothing.

        Parameters
        ----------
        step : Step
            What happens.
        number : int
            Position of the step, for messages.

        Raises
        ------
        InvalidArgumentError
            When an id is out of bounds or given twice, an inserted one lives, or a deleted or replaced one does not.
        """
        if isinstance(step, Search):
            return
        self._bounds(step.ids, f"step {number}: id")
        if len(np.unique(step.ids)) < len(step.ids):
            raise InvalidArgumentError(f"step {number}: an id is given twice")
        wrong = step.ids[(self.row_of[step.ids] >= 0) == isinstance(step, Insert)]
        if wrong.size:
            kind = type(step).__name__.lower()
            state = "lives already" if isinstance(step, Insert) else "does not live"
            raise InvalidArgumentError(f"step {number}: {kind} of id {wrong[0]}, which {state}")
        if isinstance(step, Insert):
            self.row_of[step.ids] = step.ids
        elif isinstance(step, Delete):
            self.row_of[step.ids] = -1
        else:
            self._bounds(step.rows, f"step {number}: row")
            self.row_of[step.ids] = step.rows

    def _bounds(self, values: I64, what: str) -> None:
        outside = values[(values < 0) | (values >= len(self.row_of))]
        if outside.size:
            raise InvalidArgumentError(f"{what} {outside[0]} is not one of the {len(self.row_of)} rows")
