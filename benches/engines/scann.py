"""ScaNN: partitions, asymmetric hashing, exact reordering.

As its documentation advises: sqrt(n) leaves, two dimensions a block, anisotropic threshold .2. With SOAR (each row in a
second leaf), which on 20,000 rows of 384 read half the leaves for the same recall.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from benches.data import F32, I64, K
from benches.engines.base import LIST_STEPS, Engine, Setting, along

if TYPE_CHECKING:
    from pathlib import Path


class Scann(Engine):
    """Tree, 4-bit hashing and reordering, inner product of normalised rows."""

    name = "ScaNN tree-AH SOAR+reorder"
    module = distribution = "scann"
    sweeps = tuple(along("leaves", LIST_STEPS, reorder=count) for count in (30, 100))
    searcher: Any

    def build(self, folder: Path, threads: int) -> None:
        from scann import scann_ops_pybind

        rows = np.load(folder / "rows.npy")
        self.leaves = math.isqrt(len(rows))
        self.searcher = (
            scann_ops_pybind.builder(rows, K, "dot_product")
            .tree(
                num_leaves=self.leaves,
                num_leaves_to_search=LIST_STEPS[0],
                training_sample_size=len(rows),
                soar_lambda=1.5,
            )
            .score_ah(2, anisotropic_quantization_threshold=0.2)
            .reorder(100)
            .set_n_training_threads(threads)
            .build()
        )

    def set(self, setting: Setting) -> None:
        self.read, self.reorder = int(setting["leaves"]), int(setting["reorder"])

    def set_threads(self, threads: int) -> None:
        self.searcher.set_num_threads(threads)

    def one(self, query: F32) -> Any:
        return self.searcher.search(query, K, self.reorder, self.read)

    def batch(self, queries: F32) -> I64:
        return np.asarray(self.searcher.search_batched_parallel(queries, K, self.reorder, self.read)[0], np.int64)

    def describe(self) -> str:
        return f"{self.leaves} leaves, soar_lambda 1.5, 2 dimensions a block, threshold .2"
