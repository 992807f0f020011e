"""Rows, held-out queries and their true neighbours, for every engine the same.

Vectors are read from a Parquet file, taken as float32 and normalised, so that squared L2, cosine and inner product rank
alike and each engine may use the one it is fastest with. Held-out rows are chosen by the seed. What workers need lies
in a scratch folder: `rows.npy`, `queries.npy`, `truth.npy` for the peers, `rows.parquet` for drift's own bulk load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]

K = 10


@dataclass(frozen=True)
class Workload:
    """What one run measures on."""

    folder: Path
    rows: int
    dim: int
    queries: int


def read_vectors(table: pa.Table, column: str) -> F32:
    """Return the column as a float32 matrix."""
    values = table[column].combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = values.chunk(0)
    return np.asarray(values.flatten()).reshape(len(table), -1).astype(np.float32)


def true_neighbours(rows: F32, queries: F32, k: int) -> I64:
    """Positions of the ``k`` nearest rows of each query by inner product, by BLAS in blocks of 100 queries."""
    found = np.empty((len(queries), k), np.int64)
    for start in range(0, len(queries), 100):
        scores = queries[start : start + 100] @ rows.T
        best = np.argpartition(-scores, k, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        found[start : start + 100] = np.take_along_axis(best, order, axis=1)
    return found


def prepare(source: Path, folder: Path, *, queries: int, seed: int, vector: str, rows_max: int | None) -> Workload:
    """Write the scratch files of a run."""
    table = pq.read_table(source, columns=[vector])
    random = np.random.default_rng(seed)
    order = random.permutation(len(table))
    held_out, kept = order[:queries], np.sort(order[queries:])
    if rows_max is not None:
        kept = np.sort(random.choice(kept, size=min(rows_max, len(kept)), replace=False))
    part = table.take(pa.array(kept))
    pq.write_table(part.add_column(0, "id", pa.array(np.arange(len(kept)))), folder / "rows.parquet")
    rows = normalised(read_vectors(part, vector))
    asked = normalised(read_vectors(table.take(pa.array(held_out)), vector))
    np.save(folder / "rows.npy", rows)
    np.save(folder / "queries.npy", asked)
    np.save(folder / "truth.npy", true_neighbours(rows, asked, K))
    return Workload(folder, len(rows), rows.shape[1], len(asked))


def normalised(vectors: F32) -> F32:
    """Vectors of length one."""
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def recall(found: I64, truth: I64) -> float:
    """Share of the true neighbours that were found."""
    hits = sum(len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True))
    return hits / truth.size
