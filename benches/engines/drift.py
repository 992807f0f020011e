"""drift through its public API: bulk load of the Parquet file, swept over the recall asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benches.data import F32, I64, VECTOR, K
from benches.engines.base import Engine, Setting, along

if TYPE_CHECKING:
    from pathlib import Path

RECALLS = (0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995)
"""Those that the engine measures its stop rule at; one between takes the next."""


class Drift(Engine):
    """Default settings, durable."""

    name = "drift"
    module = "drift"
    distribution = "drift-vector"
    sweeps = (along("recall", RECALLS),)
    options: ClassVar[dict[str, Any]] = {}
    """Passed to ``create_collection``."""
    opening: ClassVar[dict[str, Any]] = {}
    """Passed to ``connect``."""

    def build(self, folder: Path, threads: int) -> None:  # noqa: ARG002 - drift uses all cores by itself.
        import drift

        dim = np.load(folder / "queries.npy", mmap_mode="r").shape[1]
        self.db = drift.connect(folder / f"drift-{os.getpid()}", **self.opening)
        self.collection = self.db.create_collection("rows", dim=dim, metric="cosine", **self.options)
        self.collection.load(folder / "rows.parquet", vector=VECTOR)

    def set(self, setting: Setting) -> None:
        self.recall = setting["recall"]

    def one(self, query: F32) -> Any:
        return self.collection.search(query, k=K, recall=self.recall, threads=1)

    def batch(self, queries: F32) -> I64:
        return np.asarray(self.collection.search(queries, k=K, recall=self.recall, threads=self.threads).ids, np.int64)

    def counters(self) -> dict[str, int]:
        stats = self.collection.stats()
        return {key: value for key, value in stats.items() if isinstance(value, int) and not isinstance(value, bool)}

    def close(self) -> None:
        self.db.close()

    def describe(self) -> str:
        parts = [f"{key} {value}" for key, value in {**self.opening, **self.options, **self.environment}.items()]
        return ", ".join(parts) or "defaults"


class DriftSq8(Drift):
    """Eight-bit codes in the buckets instead of one bit."""

    name = "drift sq8"
    options: ClassVar[dict[str, Any]] = {"precision": "sq8"}


class DriftMemory(Drift):
    """The exact vectors in memory, as the peers have them."""

    name = "drift, rows in memory"
    opening: ClassVar[dict[str, Any]] = {"exact_rows": "memory"}


class DriftAvx2(Drift):
    """The default with the kernels of processors without AVX-512."""

    name = "drift AVX2"
    environment: ClassVar[dict[str, str]] = {"DRIFT_SIMD": "avx2"}
