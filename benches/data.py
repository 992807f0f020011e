"""Rows, held-out queries and their true neighbours, for every engine the same.

Vectors are read from a Parquet file, transformed if asked for, taken as float32 and normalised, so that squared L2,
cosine and inner product rank alike and each engine may use the one it is fastest with. Held-out rows are chosen by the
seed. What workers need lies in a scratch folder: `rows.npy`, `queries.npy`, `truth.npy` for the peers, `rows.parquet`
for drift's own bulk load, its vectors in the element type and the order of the file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    import argparse

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
Transform = Literal["none", "pca128", "join768"]

K = 10
ROOT = Path(__file__).resolve().parent.parent
VECTOR = "embedding"
"""The vector column of `rows.parquet`, whatever it is called in the source."""
PCA_SAMPLE = 20_000
"""Rows at most that principal components are fitted on, 50 for each of 384 dimensions."""


@dataclass(frozen=True)
class Workload:
    """What one run measures on."""

    folder: Path
    rows: int
    dim: int
    queries: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says which rows and queries a run is on, for `prepared`."""
    parser.add_argument("--data", type=Path, default=ROOT / "examples/data/packages_5k.parquet", help="Parquet file")
    parser.add_argument("--vector", default="embedding", help="name of the vector column")
    parser.add_argument(
        "--transform",
        choices=get_args(Transform),
        default="none",
        help="dimension: as in the file, 128 principal components, or each row joined with the next",
    )
    parser.add_argument("--rows", type=int, help="use only this many rows, chosen by the seed")
    parser.add_argument("--queries", type=int, default=1_000, help="rows held out as queries")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("DRIFT_SEED", "1")), help="default: DRIFT_SEED")


def prepared(options: argparse.Namespace, folder: Path) -> Workload:
    """Write the scratch files that the options of `add_arguments` ask for."""
    return prepare(
        options.data,
        folder,
        queries=options.queries,
        seed=options.seed,
        vector=options.vector,
        rows_max=options.rows,
        transform=options.transform,
    )


def column(table: pa.Table, name: str) -> pa.Array:
    """Return a column as one array."""
    values = table[name].combine_chunks()
    return values.chunk(0) if isinstance(values, pa.ChunkedArray) else values


def matrix(values: pa.Array) -> F32:
    """Return a column of vectors as a float32 matrix."""
    return np.asarray(values.flatten()).reshape(len(values), -1).astype(np.float32)


def read_vectors(table: pa.Table, name: str) -> F32:
    """Return the column as a float32 matrix."""
    return matrix(column(table, name))


def true_neighbours(rows: F32, queries: F32, k: int) -> I64:
    """Positions of the ``k`` nearest rows of each query by inner product, by BLAS in blocks of 100 queries."""
    found = np.empty((len(queries), k), np.int64)
    for start in range(0, len(queries), 100):
        scores = queries[start : start + 100] @ rows.T
        best = np.argpartition(-scores, k, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        found[start : start + 100] = np.take_along_axis(best, order, axis=1)
    return found


def transformed(vectors: F32, kept: I64, kind: Transform, random: np.random.Generator) -> F32:
    """Vectors of another dimension made of real ones.

    `pca128`: the 128 principal components, fitted on a sample of the rows that are kept. `join768`: each vector
    followed by the next one of the file (the last by the first).
    """
    if kind == "pca128":
        sample = vectors[random.choice(kept, min(len(kept), PCA_SAMPLE), replace=False)]
        mean = sample.mean(axis=0)
        _, directions = np.linalg.eigh(np.cov(sample - mean, rowvar=False))  # By ascending variance.
        return normalised((vectors - mean) @ directions[:, :-129:-1].astype(np.float32))
    if kind == "join768":
        return normalised(np.hstack([vectors, np.roll(vectors, -1, axis=0)]))
    return vectors


def prepare(
    source: Path,
    folder: Path,
    *,
    queries: int,
    seed: int,
    vector: str,
    rows_max: int | None,
    transform: Transform = "none",
) -> Workload:
    """Write the scratch files of a run."""
    vectors = column(pq.read_table(source, columns=[vector]), vector)
    random = np.random.default_rng(seed)
    order = random.permutation(len(vectors))
    held_out, kept = order[:queries], np.sort(order[queries:])
    if rows_max is not None:
        kept = np.sort(random.choice(kept, size=min(rows_max, len(kept)), replace=False))
    if transform != "none":
        values = transformed(matrix(vectors), kept, transform, random)
        element = vectors.type.value_type
        flat = pa.array(values.reshape(-1).astype(element.to_pandas_dtype()), element)
        vectors = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    part = vectors.take(pa.array(kept))
    pq.write_table(pa.table({"id": np.arange(len(kept)), VECTOR: part}), folder / "rows.parquet")
    rows = normalised(matrix(part))
    asked = normalised(matrix(vectors.take(pa.array(held_out))))
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
