"""Where a workload's vectors come from: clustered Gaussians that follow from a seed, or a file.

A source is a table of vectors, with a label of its cluster or a time for each where they are known. Families of
workloads arrange it; they neither read files nor make vectors, except those whose vectors are their point.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drift._errors import InvalidArgumentError, NotFoundError

if TYPE_CHECKING:
    import os

    from drift.simulate.steps import F32, I64

__all__ = ["Source", "clusters_of", "gaussian", "read"]

CLUSTERS = 64
SPREAD = 1.5
"""Standard deviation of cluster centres, in units of the first, largest axis of a cluster."""
LLOYD_ROUNDS = 10
LLOYD_SAMPLE = 256
"""Rows for each cluster that centres are fitted on."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """Vectors, and what is known about each.

    Attributes
    ----------
    name : str
        For the record.
    vectors : ndarray of float32, shape (n, dim)
        The vectors.
    labels : ndarray of int64, shape (n,), optional
        Number of the cluster of each.
    times : ndarray of int64, shape (n,), optional
        Time of each, in any unit.
    metric : {"l2", "cosine", "dot"}
        Which distance they are meant for.
    """

    name: str
    vectors: F32
    labels: I64 | None = None
    times: I64 | None = None
    metric: str = "l2"

    def __len__(self) -> int:
        """Return the number of vectors."""
        return len(self.vectors)

    def take(self, rows: I64) -> Source:
        """Return the source of these rows, in this order."""
        return replace(
            self,
            vectors=self.vectors[rows],
            labels=None if self.labels is None else self.labels[rows],
            times=None if self.times is None else self.times[rows],
        )


def axes(dim: int) -> F32:
    """Return the deviations of a cluster along its axes, shape (dim,): they fall, as those of embeddings do."""
    return np.asarray((1 + np.arange(dim)) ** -0.5, dtype=np.float32)


def gaussian(rows: int, dim: int, seed: int, *, clusters: int = CLUSTERS, metric: str = "l2") -> Source:
    """Return clustered Gaussians in random order, with their labels.

    Parameters
    ----------
    rows, dim : int
        Shape of the vectors.
    seed : int
        What they follow from.
    clusters : int
        Number of clusters, all of one expected size.
    metric : {"l2", "cosine", "dot"}
        Which distance they are meant for.
    """
    positive(rows=rows, dim=dim, clusters=clusters)
    random = np.random.default_rng([seed, rows, dim, clusters])
    scale = axes(dim)
    centres = random.normal(size=(clusters, dim)) * scale * SPREAD
    labels = random.integers(clusters, size=rows)
    vectors = centres[labels] + random.normal(size=(rows, dim)) * scale
    return Source(name="gaussian", vectors=vectors.astype(np.float32), labels=labels.astype(np.int64), metric=metric)


def read(
    path: str | os.PathLike[str],
    *,
    vector: str = "embedding",
    time: str | None = None,
    rows: int | None = None,
    seed: int = 0,
    metric: str = "l2",
) -> Source:
    """Read vectors from a ``.npy`` file or a Parquet file (extra ``simulate``).

    Parameters
    ----------
    path : str or path
        The file.
    vector : str
        Name of the Parquet column of the vectors.
    time : str, optional
        Name of the Parquet column of the times: integers, dates or timestamps.
    rows : int, optional
        Use only this many rows, chosen by the seed, in the order of the file.
    seed : int
        What the choice follows from.
    metric : {"l2", "cosine", "dot"}
        Which distance they are meant for.

    Raises
    ------
    NotFoundError
        When there is no such file.
    InvalidArgumentError
        When it has no such column, or the column is not what it should be.
    """
    file = Path(path)
    if not file.is_file():
        raise NotFoundError(f"no file {file}")
    if file.suffix == ".npy":
        if time is not None:
            raise InvalidArgumentError(f"{file} has no columns, so no times in {time!r}")
        found = Source(name=file.name, vectors=_npy(file), metric=metric)
    else:
        vectors, times = _parquet(file, vector, time)
        found = Source(name=file.name, vectors=vectors, times=times, metric=metric)
    if rows is not None and rows < len(found):
        positive(rows=rows)
        random = np.random.default_rng([seed, len(found)])
        found = found.take(np.sort(random.choice(len(found), size=rows, replace=False)))
    return found


def _npy(file: Path) -> F32:
    try:
        array = np.load(file, allow_pickle=False)
    except ValueError as error:
        raise InvalidArgumentError(f"{file} is no .npy file of numbers: {error}") from None
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise InvalidArgumentError(f"{file} has shape {array.shape} of {array.dtype}: it must be a matrix of numbers")
    return np.ascontiguousarray(array, dtype=np.float32)


def _parquet(file: Path, vector: str, time: str | None) -> tuple[F32, I64 | None]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise InvalidArgumentError("Parquet is read with pyarrow: pip install 'drift-vector[simulate]'") from None
    try:
        names = pq.read_schema(file).names
    except pa.ArrowInvalid as error:
        raise InvalidArgumentError(f"{file} is no Parquet file: {error}") from None
    columns = [vector] if time is None else [vector, time]
    absent = [name for name in columns if name not in names]
    if absent:
        raise InvalidArgumentError(f"{file}: no column {absent[0]!r}; it has {names}")
    table = pq.read_table(file, columns=columns)
    values = _one(table[vector])
    if not pa.types.is_fixed_size_list(values.type) or values.null_count:
        raise InvalidArgumentError(f"{file}: column {vector!r} is {values.type}: it must be a fixed-size list")
    flat = np.asarray(values.flatten()).astype(np.float32).reshape(len(values), -1)
    if time is None:
        return flat, None
    times = _one(table[time])
    if times.null_count or not (pa.types.is_integer(times.type) or pa.types.is_temporal(times.type)):
        raise InvalidArgumentError(f"{file}: column {time!r} is {times.type}: it must be integers or times, none null")
    return flat, np.asarray(times).astype(np.int64)


def _one(column: Any) -> Any:
    """Return a column as one array."""
    values = column.combine_chunks()
    return values.chunk(0) if hasattr(values, "chunk") else values


def clusters_of(source: Source, count: int, random: np.random.Generator) -> I64:
    """Return a label from 0 to `count` - 1 for each row: the source's own, or by k-means.

    Centres are fitted on a sample by Lloyd's algorithm from random rows; a cluster may stay empty.
    """
    if source.labels is not None and int(source.labels.max(initial=0)) < count:
        return source.labels
    sample = source.vectors[random.permutation(len(source))[: count * LLOYD_SAMPLE]]
    centres = sample[:count].copy()
    for _ in range(LLOYD_ROUNDS):
        labels = _nearest_centre(sample, centres)
        for cluster in np.unique(labels):
            centres[cluster] = sample[labels == cluster].mean(axis=0)
    return _nearest_centre(source.vectors, centres)


def _nearest_centre(vectors: F32, centres: F32) -> I64:
    scores = 2 * vectors @ centres.T - np.einsum("ij,ij->i", centres, centres)
    return np.asarray(scores.argmax(axis=1), dtype=np.int64)


def positive(**values: int) -> None:
    """Refuse numbers below 1, by their names."""
    for name, value in values.items():
        if value < 1:
            raise InvalidArgumentError(f"{name} is {value}: it must be 1 or more")
