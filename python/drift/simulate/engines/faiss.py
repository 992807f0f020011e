"""Faiss inverted lists whose centroids and codes are trained on the first rows and stay."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from drift.simulate.engines.base import LIST_EFFORTS, Peer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drift.simulate.steps import F32, I64

__all__ = ["FaissFlat", "FaissPq"]

SAMPLE = 64
"""Rows for each list that centroids are trained on."""


class FaissFlat(Peer):
    """Exact vectors in 4 sqrt(n) lists, n the number of first rows."""

    key = "faiss-ivf"
    module = "faiss"
    distribution = "faiss-cpu"
    efforts = LIST_EFFORTS
    codes: ClassVar[str] = "Flat"
    index: Any

    def build(self, ids: I64, vectors: F32) -> None:
        """Train on a sample of the first rows and add them all."""
        import faiss

        faiss.omp_set_num_threads(self.settings.threads)
        lists = max(1, min(4 * math.isqrt(len(ids)), len(ids) // 8))
        # A product code has as many parts as divide the dimension, 4 dimensions each where that fits.
        parts = next(parts for parts in range(max(1, self.dim // 4), 0, -1) if self.dim % parts == 0)
        self.factory = f"IVF{lists},{self.codes.format(parts=parts)}"
        inner = faiss.METRIC_L2 if self.metric == "l2" else faiss.METRIC_INNER_PRODUCT
        self.index = faiss.index_factory(self.dim, self.factory, inner)
        prepared = np.ascontiguousarray(self.prepared(vectors))
        chosen = np.random.default_rng(1).permutation(len(ids))[: SAMPLE * lists]
        self.index.train(prepared[np.sort(chosen)])
        self.index.add_with_ids(prepared, ids)
        faiss.omp_set_num_threads(1)

    def insert(self, ids: I64, vectors: F32) -> None:
        """Add."""
        import faiss

        faiss.omp_set_num_threads(self.settings.threads)
        self.index.add_with_ids(np.ascontiguousarray(self.prepared(vectors)), ids)
        faiss.omp_set_num_threads(1)

    def delete(self, ids: I64) -> None:
        """Remove, by one pass over all lists."""
        self.index.remove_ids(ids)

    def set_effort(self, effort: int) -> None:
        """Set nprobe."""
        self.index.nprobe = effort

    def search(self, query: F32, k: int) -> I64:
        """Search."""
        return np.asarray(self.index.search(self.prepared(query)[None], k)[1][0], dtype=np.int64)

    def counters(self) -> Mapping[str, int]:
        """Return the codes that searches compared."""
        import faiss

        totals: Any = faiss.cvar
        return {"rows_scanned": int(totals.indexIVF_stats.ndis)}

    def gauges(self) -> Mapping[str, float]:
        """Return the number of lists."""
        return {"buckets": int(self.index.nlist)}

    def describe(self) -> str:
        """Return the string of its factory."""
        return self.factory


class FaissPq(FaissFlat):
    """4-bit product codes scanned by SIMD, the best rows measured exactly.

    Faiss's own refining index cannot remove rows, so the exact vectors are kept here and measured by NumPy.
    """

    key = "faiss-pqfs"
    codes = "PQ{parts}x4fs"
    refined: ClassVar[int] = 100
    """Rows measured exactly: ten for each result."""

    def build(self, ids: I64, vectors: F32) -> None:
        """Train, add, and keep the vectors."""
        self.exact = np.zeros((self.rows, self.dim), dtype=np.float32)
        self.exact[ids] = self.prepared(vectors)
        super().build(ids, vectors)

    def insert(self, ids: I64, vectors: F32) -> None:
        """Add, and keep the vectors."""
        self.exact[ids] = self.prepared(vectors)
        super().insert(ids, vectors)

    def search(self, query: F32, k: int) -> I64:
        """Search by codes, then measure the best exactly."""
        found = super().search(query, self.refined)
        found = found[found >= 0]
        rows, point = self.exact[found], self.prepared(query)
        scores = -np.square(rows - point).sum(axis=1) if self.metric == "l2" else rows @ point
        return np.asarray(found[np.argsort(-scores, kind="stable")[:k]])

    def describe(self) -> str:
        """Return the string of its factory."""
        return f"{self.factory}, {self.refined} rows measured exactly by NumPy"
