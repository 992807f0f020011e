"""usearch, HNSW over f32 rows or over rows rounded to eight bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benches.data import F32, I64, K
from benches.engines.base import GRAPH_STEPS, Engine, Setting, along

if TYPE_CHECKING:
    from pathlib import Path


class Usearch(Engine):
    """Connectivity 16, expansion 200 while adding."""

    name = "usearch f32"
    module = distribution = "usearch"
    sweeps = (along("expansion", GRAPH_STEPS),)
    dtype: ClassVar[str] = "f32"
    index: Any

    def build(self, folder: Path, threads: int) -> None:
        from usearch.index import Index

        rows = np.load(folder / "rows.npy")
        self.index = Index(ndim=rows.shape[1], metric="ip", dtype=self.dtype, connectivity=16, expansion_add=200)
        self.index.add(np.arange(len(rows)), rows, threads=threads)

    def set(self, setting: Setting) -> None:
        self.index.expansion_search = int(setting["expansion"])

    def one(self, query: F32) -> Any:
        return self.index.search(query, K, threads=1)

    def batch(self, queries: F32) -> I64:
        return np.asarray(self.index.search(queries, K, threads=self.threads).keys, np.int64)

    def describe(self) -> str:
        return f"{self.dtype}, connectivity 16, expansion_add 200"


class UsearchI8(Usearch):
    """Rows rounded to eight bits and never compared exactly, which puts a ceiling on recall.

    On 20,000 rows of 384 it was .945; inner product was 1.3 to 1.6 times as fast as cosine, with .003 less recall.
    """

    name = "usearch i8"
    dtype = "i8"
