"""hnswlib, the reference implementation of HNSW."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benches.data import F32, I64, K
from benches.engines.base import GRAPH_STEPS, Engine, Setting, along

if TYPE_CHECKING:
    from pathlib import Path


class Hnswlib(Engine):
    """M 16, ef_construction 200, inner product of normalised rows."""

    name = "hnswlib M16 efC200"
    module = distribution = "hnswlib"
    sweeps = (along("ef", GRAPH_STEPS),)

    def build(self, folder: Path, threads: int) -> None:
        import hnswlib

        rows = np.load(folder / "rows.npy")
        self.index = hnswlib.Index(space="ip", dim=rows.shape[1])
        self.index.init_index(max_elements=len(rows), M=16, ef_construction=200, random_seed=1)
        self.index.add_items(rows, num_threads=threads)

    def set(self, setting: Setting) -> None:
        self.index.set_ef(int(setting["ef"]))

    def one(self, query: F32) -> Any:
        return self.index.knn_query(query, k=K, num_threads=1)

    def batch(self, queries: F32) -> I64:
        return np.asarray(self.index.knn_query(queries, k=K, num_threads=self.threads)[0], np.int64)

    def describe(self) -> str:
        return "M 16, ef_construction 200"
