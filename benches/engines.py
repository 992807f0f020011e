"""drift and its peers behind one interface: build from the scratch files, set an effort, ask one query or all.

Each is set up as its own documentation advises for this kind of data; only the effort parameter is swept. An engine is
made in a process of its own (`worker`), so nothing of one is in the memory of another.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benches.data import F32, I64, K

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GRAPH_EFFORTS = (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)
LIST_EFFORTS = (4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


class Engine(ABC):
    """An index under measurement."""

    name: ClassVar[str]
    effort_name: ClassVar[str]
    efforts: ClassVar[Sequence[float]]

    @abstractmethod
    def build(self, folder: Path, threads: int) -> None:
        """Build the index of the rows in ``folder``, ready to be searched, and drop the raw rows."""

    @abstractmethod
    def set_effort(self, effort: float) -> None:
        """Set the parameter that trades recall for speed."""

    @abstractmethod
    def one(self, query: F32) -> Any:
        """Search for one query on one thread; what the engine's API returns, unconverted."""

    @abstractmethod
    def batch(self, queries: F32, threads: int) -> I64:
        """Search for all queries; ids of shape (n, K)."""

    def describe(self) -> str:
        """Return the parameters that were built with."""
        return ""


class Drift(Engine):
    """drift through its public API, default settings: bulk load of the Parquet file, effort is the recall asked for."""

    name = "drift"
    effort_name = "recall"
    efforts = (0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.965, 0.98, 0.99, 0.995)
    durability: ClassVar[Any] = "always"

    def build(self, folder: Path, threads: int) -> None:  # noqa: ARG002 - drift uses all cores by itself.
        import drift

        self.db = drift.connect(folder / f"drift-{os.getpid()}", durability=self.durability)
        self.collection = self.db.create_collection(
            "rows", dim=np.load(folder / "queries.npy").shape[1], metric="cosine"
        )
        self.collection.load(folder / "rows.parquet", vector=os.environ.get("BENCH_VECTOR", "embedding"))

    def set_effort(self, effort: float) -> None:
        self.recall = effort

    def one(self, query: F32) -> Any:
        return self.collection.search(query, k=K, recall=self.recall, threads=1)

    def batch(self, queries: F32, threads: int) -> I64:
        return np.asarray(self.collection.search(queries, k=K, recall=self.recall, threads=threads).ids, np.int64)


class Hnswlib(Engine):
    """hnswlib, M 16, ef_construction 200, inner product of normalised rows."""

    name = "hnswlib M16 efC200"
    effort_name = "ef"
    efforts = GRAPH_EFFORTS

    def build(self, folder: Path, threads: int) -> None:
        import hnswlib

        rows = np.load(folder / "rows.npy")
        self.index = hnswlib.Index(space="ip", dim=rows.shape[1])
        self.index.init_index(max_elements=len(rows), M=16, ef_construction=200, random_seed=1)
        self.index.add_items(rows, num_threads=threads)

    def set_effort(self, effort: float) -> None:
        self.index.set_ef(int(effort))

    def one(self, query: F32) -> Any:
        return self.index.knn_query(query, k=K, num_threads=1)

    def batch(self, queries: F32, threads: int) -> I64:
        return np.asarray(self.index.knn_query(queries, k=K, num_threads=threads)[0], np.int64)


class Faiss(Engine):
    """A Faiss index made by its factory under L2, trained on at most 64 rows a list."""

    effort_name = "nprobe"
    efforts = LIST_EFFORTS
    refine: ClassVar[bool] = False
    index: Any

    def factory(self, rows: int, dim: int) -> str:
        """Return the factory string."""
        raise NotImplementedError

    def build(self, folder: Path, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        rows = np.load(folder / "rows.npy")
        self.key = self.factory(*rows.shape)
        self.index = faiss.index_factory(rows.shape[1], self.key)
        self.train(rows)
        self.index.add(rows)

    def train(self, rows: F32) -> None:
        """Trains lists and codes on a sample."""
        lists = 4 * math.isqrt(len(rows))
        count = min(len(rows), 64 * lists)
        self.index.train(rows[np.sort(np.random.default_rng(1).choice(len(rows), count, replace=False))])

    def set_effort(self, effort: float) -> None:
        import faiss

        inner: Any = faiss.downcast_index(self.index.base_index) if self.refine else self.index
        inner.nprobe = int(effort)

    def one(self, query: F32) -> Any:
        return self.index.search(query[None], K)

    def batch(self, queries: F32, threads: int) -> I64:
        import faiss

        faiss.omp_set_num_threads(threads)
        found = self.index.search(queries, K)[1]
        faiss.omp_set_num_threads(1)
        return np.asarray(found, np.int64)

    def describe(self) -> str:
        return self.key


class FaissIvfSq8(Faiss):
    """Inverted lists, 4 sqrt(n) of them, of 8-bit scalar codes."""

    name = "faiss IVF,SQ8"

    def factory(self, rows: int, dim: int) -> str:  # noqa: ARG002 - the same for every dimension.
        return f"IVF{4 * math.isqrt(rows)},SQ8"


class FaissIvfPqFastScan(Faiss):
    """Inverted lists of 4-bit product codes scanned by SIMD, 4 dimensions a code, then exact distances of 10 k."""

    name = "faiss IVF,PQfs+refine"
    refine = True

    def factory(self, rows: int, dim: int) -> str:
        return f"IVF{4 * math.isqrt(rows)},PQ{dim // 4}x4fs,RFlat"

    def build(self, folder: Path, threads: int) -> None:
        super().build(folder, threads)
        self.index.k_factor = 10


class FaissHnsw(Faiss):
    """Faiss's graph with the parameters of hnswlib's."""

    name = "faiss HNSW16 efC200"
    effort_name = "efSearch"
    efforts = GRAPH_EFFORTS

    def build(self, folder: Path, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        rows = np.load(folder / "rows.npy")
        self.key = "HNSW16,Flat efConstruction 200"
        self.index = faiss.IndexHNSWFlat(rows.shape[1], 16)
        self.index.hnsw.efConstruction = 200
        self.index.add(rows)

    def set_effort(self, effort: float) -> None:
        self.index.hnsw.efSearch = int(effort)


class Usearch(Engine):
    """usearch on f32, connectivity 16, expansion 200 while adding."""

    name = "usearch f32"
    effort_name = "expansion"
    efforts = GRAPH_EFFORTS
    index: Any

    def build(self, folder: Path, threads: int) -> None:
        from usearch.index import Index

        rows = np.load(folder / "rows.npy")
        self.index = Index(ndim=rows.shape[1], metric="ip", dtype="f32", connectivity=16, expansion_add=200)
        self.index.add(np.arange(len(rows)), rows, threads=threads)

    def set_effort(self, effort: float) -> None:
        self.index.expansion_search = int(effort)

    def one(self, query: F32) -> Any:
        return self.index.search(query, K, threads=1)

    def batch(self, queries: F32, threads: int) -> I64:
        return np.asarray(self.index.search(queries, K, threads=threads).keys, np.int64)


ENGINES: dict[str, type[Engine]] = {
    "drift": Drift,
    "hnswlib": Hnswlib,
    "faiss-ivf-sq8": FaissIvfSq8,
    "faiss-ivf-pqfs": FaissIvfPqFastScan,
    "faiss-hnsw": FaissHnsw,
    "usearch": Usearch,
}
