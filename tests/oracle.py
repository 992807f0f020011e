"""What drift is measured against: exact search by NumPy, vectors that follow from (id, version), the seed of a run.

Used by every test file here and by the kill harness. Nothing in it imports drift's internals, and distances are
computed in float64, so that an error of the engine cannot be shared.
"""

from __future__ import annotations

import os
import select
import time
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

METRICS = ("l2", "cosine", "dot")


def run_seed() -> int:
    """Return the seed of this run: ``DRIFT_SEED``, or 1."""
    return int(os.environ.get("DRIFT_SEED", "1"))


def await_output(pipe: IO[bytes], seconds: float) -> float:
    """Wait for something to read, at most so long; return the seconds that were left, 0 when there was nothing.

    Where all processes are stopped for a while and then go on, that counts as a second at most: the one that is waited
    for was stopped, too.
    """
    while seconds > 0:
        start = time.monotonic()
        found = select.select([pipe], [], [], min(seconds, 1.0))[0]
        seconds -= min(time.monotonic() - start, 1.0)
        if found:
            return max(seconds, 1e-9)
    return 0.0


def rng(offset: int = 0) -> np.random.Generator:
    """Return a generator that depends on the run's seed and on ``offset`` alone."""
    return np.random.default_rng([run_seed(), offset])


def vectors(rows: int, dim: int, offset: int = 0) -> F32:
    """Clustered vectors of shape (rows, dim): the kind of data an index meets, none of them zero."""
    random = rng(offset)
    centres = random.normal(size=(max(1, rows // 50), dim)) * 2
    chosen = centres[random.integers(len(centres), size=rows)] if rows else np.zeros((0, dim))
    return (chosen + random.normal(size=(rows, dim))).astype(np.float32)


def vector_of(ids: Sequence[int] | I64, versions: Sequence[int] | I64, dim: int) -> F32:
    """Return the vectors that rows (id, version) must have: a hash spread over the dimensions.

    splitmix64 of (id, version, dimension), mapped to [-1, 1) with 24 bits, which float32 holds exactly.
    """
    with np.errstate(over="ignore"):
        rows = np.asarray(ids, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        rows = rows ^ (np.asarray(versions, dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03))
        mixed = rows[:, None] + np.arange(1, dim + 1, dtype=np.uint64)[None, :] * np.uint64(0x8CB92BA72F3D8DD7)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return np.asarray((mixed >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1), np.float32)


def distances(metric: str, queries: npt.ArrayLike, rows: npt.ArrayLike) -> F64:
    """All distances, (queries, rows), in float64, as the API defines them."""
    q = np.atleast_2d(np.asarray(queries, dtype=np.float64))
    x = np.asarray(rows, dtype=np.float64)
    if metric == "dot":
        return np.asarray(-(q @ x.T))
    if metric == "cosine":
        norms = np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(x, axis=1)[None, :]
        return np.asarray(1 - (q @ x.T) / norms)
    return np.asarray(np.maximum((q**2).sum(1)[:, None] - 2 * (q @ x.T) + (x**2).sum(1)[None, :], 0))


def nearest(metric: str, queries: npt.ArrayLike, rows: npt.ArrayLike, k: int) -> tuple[I64, F64]:
    """Positions and distances of the ``k`` nearest rows of each query, ascending."""
    table = distances(metric, queries, rows)
    order = np.argsort(table, axis=1, kind="stable")[:, :k]
    return order.astype(np.int64), np.take_along_axis(table, order, axis=1)


def tolerance(metric: str, queries: npt.ArrayLike, rows: npt.ArrayLike) -> float:
    """How far a float32 distance may be from the float64 one: a few ulps of the largest term of the sum."""
    if metric == "cosine":
        return 2e-6
    q, x = np.atleast_2d(np.asarray(queries, np.float64)), np.asarray(rows, np.float64)
    largest = max((q**2).sum(1).max(initial=0), (x**2).sum(1).max(initial=0), 1.0)
    return float(4e-6 * largest)


def assert_exact(result: Any, metric: str, queries: F32, ids: Sequence[Any], rows: npt.ArrayLike, k: int) -> None:
    """Fails unless ``result`` is the exact answer: same distances, each id at its true distance, no id twice.

    Rows at (nearly) the same distance may change places, so ids are checked by their distance, not by position.
    """
    table = distances(metric, queries, rows)
    place = {id_: at for at, id_ in enumerate(ids)}
    found_ids, found = np.atleast_2d(result.ids), np.atleast_2d(result.distances)
    count = min(k, len(place))
    slack = tolerance(metric, queries, rows)
    for query in range(len(table)):
        expected = np.sort(table[query])[:count]
        np.testing.assert_allclose(found[query, :count], expected, atol=slack, rtol=0)
        answer = found_ids[query, :count].tolist()
        assert len(set(answer)) == count, f"query {query}: an id is returned twice: {answer}"
        true = [table[query, place[id_]] for id_ in answer]
        np.testing.assert_allclose(found[query, :count], true, atol=slack, rtol=0)
        assert np.isinf(found[query, count:]).all(), "padding distances are infinite"


def recall(found: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """Mean share of the expected ids that were found, row by row."""
    pairs = list(zip(np.atleast_2d(found).tolist(), np.atleast_2d(expected).tolist(), strict=True))
    return float(np.mean([len(set(f) & set(e)) / len(e) for f, e in pairs]))


def problems(collection: Any) -> list[str]:
    """Return what ``verify()`` reports as wrong: empty for a sound collection."""
    return list(collection.verify()["problems"])


def ids_of(collection: Any) -> list[Any]:
    """All ids of a collection, sorted."""
    return sorted(as_list(collection.ids()))


def as_list(values: Iterable[Any]) -> list[Any]:
    """Plain Python values of an array or list."""
    return list(np.asarray(values).tolist())
