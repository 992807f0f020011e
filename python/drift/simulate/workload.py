"""A workload: vectors, queries and the steps over them; a folder on disk.

The folder holds ``vectors.npy`` and ``queries.npy`` (float32), ``runbook.yaml`` (the steps), ``truth/NNNN.npy`` (int64,
the ids of the true neighbours at each search step, numbered from 0) and ``workload.json`` (the rest, with a digest of
vectors, queries and steps, so that true neighbours of other data are refused).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drift._errors import InvalidArgumentError, NotFoundError
from drift.simulate import runbook, truth
from drift.simulate.steps import F32, I64, Live, Search, Step, merged

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from drift.simulate.progress import Told

__all__ = ["METRICS", "Workload"]

METRICS = ("l2", "cosine", "dot")


@dataclass(frozen=True, eq=False, kw_only=True)
class Workload:
    """Vectors, queries and steps. Checked when made: no step deletes an absent id or inserts a living one.

    Attributes
    ----------
    name : str
        What it is called in results.
    vectors : ndarray of float32, shape (n, dim)
        The rows; the number of a row is its id when it is inserted.
    queries : ndarray of float32, shape (m, dim)
        The queries; each search step names a range of them.
    steps : tuple of Step
        What happens, in order, as `merged` leaves it.
    metric : {"l2", "cosine", "dot"}
        Which distance.
    seed : int
        What its random choices followed from.
    parameters : mapping of str to a number or str
        What it was made with, for the record.

    Raises
    ------
    InvalidArgumentError
        When shapes do not fit, a value is not finite or a step is not valid.

    Examples
    --------
    >>> import numpy as np
    >>> from drift.simulate import Insert, Search, Workload
    >>> rows = np.eye(4, dtype=np.float32)
    >>> w = Workload(name="tiny", vectors=rows, queries=rows[:1], steps=(Insert(np.arange(4)), Search(0, 1)))
    >>> w.truth()[0].tolist()
    [[0, 1, 2, 3, -1, -1, -1, -1, -1, -1]]
    """

    name: str
    vectors: F32
    queries: F32
    steps: tuple[Step, ...]
    metric: str = "l2"
    seed: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    _truth: list[tuple[I64, ...]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        for what in ("vectors", "queries"):
            object.__setattr__(self, what, _matrix(what, getattr(self, what)))
        object.__setattr__(self, "steps", merged(self.steps))
        if self.vectors.shape[1] != self.queries.shape[1]:
            raise InvalidArgumentError(
                f"vectors have {self.vectors.shape[1]} dimensions, but queries {self.queries.shape[1]}"
            )
        if self.metric not in METRICS:
            raise InvalidArgumentError(f"metric is {self.metric!r}: it must be one of {', '.join(METRICS)}")
        live = Live(len(self.vectors))
        for number, step in enumerate(self.steps):
            live.apply(step, number)
            if isinstance(step, Search) and not 0 <= step.start < step.end <= len(self.queries):
                raise InvalidArgumentError(
                    f"step {number}: queries {step.start} to {step.end} are not among the {len(self.queries)} queries"
                )

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return int(self.vectors.shape[1])

    @property
    def searches(self) -> int:
        """Number of search steps."""
        return sum(isinstance(step, Search) for step in self.steps)

    @property
    def rows_max(self) -> int:
        """Largest number of rows that live at once."""
        live, most = Live(len(self.vectors)), 0
        for number, step in enumerate(self.steps):
            live.apply(step, number)
            most = max(most, len(live))
        return most

    def truth(self, progress: Told = None) -> tuple[I64, ...]:
        """Return the ids of the true neighbours at each search step, computed at the first call.

        Parameters
        ----------
        progress : bool or callable, optional
            True shows a bar over the search steps; a callable gets a line of text after each.

        Returns
        -------
        tuple of ndarray of int64, shape (queries of the step, 10)
            Ids from the nearest to the farthest, padded with -1.
        """
        if not self._truth:
            self._truth.append(truth.compute(self, progress))
        return self._truth[0]

    def digest(self) -> str:
        """Return a digest of the vectors, the queries, the metric and the steps."""
        state = hashlib.sha256(f"{self.metric} {self.vectors.shape} {self.queries.shape}".encode())
        state.update(self.vectors.data)
        state.update(self.queries.data)
        state.update(runbook.text(self).encode())
        return state.hexdigest()

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the workload and its true neighbours to a folder, which is made when it does not exist."""
        path = Path(folder)
        (path / "truth").mkdir(parents=True, exist_ok=True)
        for stale in (path / "truth").glob("*.npy"):
            stale.unlink()
        np.save(path / "vectors.npy", self.vectors)
        np.save(path / "queries.npy", self.queries)
        runbook.write(self, path / "runbook.yaml")
        for number, ids in enumerate(self.truth()):
            np.save(path / "truth" / f"{number:04}.npy", ids)
        facts = {
            "name": self.name,
            "metric": self.metric,
            "seed": self.seed,
            "parameters": dict(self.parameters),
            "digest": self.digest(),
        }
        (path / "workload.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Workload:
        """Read what `save` wrote. Needs PyYAML (extra ``simulate``).

        Raises
        ------
        NotFoundError
            When a file is missing.
        InvalidArgumentError
            When a file is not what its name says, or the files do not belong together.
        """
        path = Path(folder)
        try:
            facts = json.loads((path / "workload.json").read_text(encoding="utf-8"))
            vectors, queries = (np.load(path / f"{what}.npy", allow_pickle=False) for what in ("vectors", "queries"))
            steps = runbook.read(path / "runbook.yaml", len(queries))
            ids = [np.load(file, allow_pickle=False) for file in sorted((path / "truth").glob("*.npy"))]
        except FileNotFoundError as error:
            raise NotFoundError(f"{path} is no workload: {error.filename} is missing") from None
        except (ValueError, KeyError) as error:
            raise InvalidArgumentError(f"{path} is no workload: {error}") from None
        found = cls(
            name=facts["name"],
            vectors=vectors,
            queries=queries,
            steps=steps,
            metric=facts["metric"],
            seed=facts["seed"],
            parameters=facts["parameters"],
        )
        if found.digest() != facts["digest"] or len(ids) != found.searches:
            raise InvalidArgumentError(f"{path}: the files are not those that workload.json describes")
        found._truth.append(tuple(ids))
        return found


def _matrix(what: str, values: Any) -> F32:
    array = np.ascontiguousarray(values, dtype=np.float32)
    if array.ndim != 2 or not array.size:
        raise InvalidArgumentError(f"{what} have shape {array.shape}: they must be two-dimensional and not empty")
    if not np.isfinite(array).all():
        raise InvalidArgumentError(f"{what}: row {int(np.argwhere(~np.isfinite(array))[0, 0])} is not finite")
    return array
