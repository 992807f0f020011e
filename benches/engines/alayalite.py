"""AlayaLite: HNSW over f32 rows, and its graph over RaBitQ codes.

With ``quantization_type="rabitq"`` AlayaLite builds a quantised graph (SymphonyQG): the one-bit codes of a row's
neighbours lie beside the row, are scanned together, and each row visited is compared exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benches.data import F32, I64, K
from benches.engines.base import GRAPH_STEPS, Engine, Setting, along

if TYPE_CHECKING:
    from pathlib import Path


class AlayaLite(Engine):
    """HNSW over f32 rows, inner product of normalised rows, 32 edges (the default), ef_construction 200."""

    name = "AlayaLite HNSW"
    module = distribution = "alayalite"
    sweeps = (along("ef_search", GRAPH_STEPS),)
    quantization: ClassVar[str] = "none"
    index: Any

    def build(self, folder: Path, threads: int) -> None:
        from alayalite import Index
        from alayalite.schema import IndexParams

        rows = np.load(folder / "rows.npy")
        parameters = IndexParams(
            index_type="hnsw",
            data_type=np.float32,
            id_type=np.uint32,
            quantization_type=self.quantization,
            metric="ip",
            capacity=len(rows),
            max_nbrs=32,
        )
        self.index = Index("rows", parameters)
        self.index.fit(rows, ef_construction=200, num_threads=threads)

    def set(self, setting: Setting) -> None:
        self.ef = int(setting["ef_search"])

    def one(self, query: F32) -> Any:
        return self.index.search(query, K, self.ef)

    def batch(self, queries: F32) -> I64:
        return np.asarray(self.index.batch_search(queries, K, self.ef, self.threads), np.int64)

    def describe(self) -> str:
        return f"quantization {self.quantization}, max_nbrs 32, ef_construction 200"


class AlayaLiteQuantised(AlayaLite):
    """The graph over RaBitQ codes."""

    name = "AlayaLite QG RaBitQ"
    quantization = "rabitq"
