"""Faiss: inverted lists of several codes, and its HNSW, under L2 of normalised rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benches.data import F32, I64, K
from benches.engines.base import GRAPH_STEPS, LIST_STEPS, Engine, Setting, Sweep, along

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

REFINED = tuple(along("nprobe", LIST_STEPS, k_factor=factor) for factor in (4, 10))
"""With ``k_factor`` times k rows compared exactly: more than 10 k gained nothing on 20,000 rows."""


class Faiss(Engine):
    """Inverted lists, 4 sqrt(n) of them as Faiss's guidelines say, trained on at most 64 rows a list."""

    module = "faiss"
    distribution = "faiss-cpu"
    sweeps: ClassVar[Sequence[Sweep]] = (along("nprobe", LIST_STEPS),)
    codes: ClassVar[str]
    """How the factory calls what follows the lists, with the dimension and the number of 4-dimension parts."""
    index: Any

    def build(self, folder: Path, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        rows = np.load(folder / "rows.npy")
        lists, dim = 4 * math.isqrt(len(rows)), rows.shape[1]
        self.key = self.codes.format(lists=lists, dim=dim, parts=dim // 4)
        self.index = faiss.index_factory(dim, self.key)
        count = min(len(rows), 64 * lists)
        self.index.train(rows[np.sort(np.random.default_rng(1).choice(len(rows), count, replace=False))])
        self.index.add(rows)
        self.lists = faiss.extract_index_ivf(self.index)

    def set(self, setting: Setting) -> None:
        self.lists.nprobe = int(setting["nprobe"])
        if "k_factor" in setting:
            self.index.k_factor = setting["k_factor"]

    def set_threads(self, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)

    def one(self, query: F32) -> Any:
        return self.index.search(query[None], K)

    def batch(self, queries: F32) -> I64:
        return np.asarray(self.index.search(queries, K)[1], np.int64)

    def describe(self) -> str:
        return self.key


class FaissIvfSq8(Faiss):
    """8-bit scalar codes."""

    name = "faiss IVF,SQ8"
    codes = "IVF{lists},SQ8"


class FaissIvfPqFastScan(Faiss):
    """4-bit product codes scanned by SIMD, 4 dimensions a code, then exact distances."""

    name = "faiss IVF,PQfs+refine"
    codes = "IVF{lists},PQ{parts}x4fs,RFlat"
    sweeps = REFINED


class FaissIvfRaBitQFastScan(Faiss):
    """One-bit codes scanned by SIMD, after a random rotation as Faiss advises for them, then exact distances."""

    name = "faiss IVF,RaBitQfs+refine"
    codes = "RR{dim},IVF{lists},RaBitQfs,RFlat"
    sweeps = REFINED


class FaissHnsw(Faiss):
    """Faiss's graph with the parameters of hnswlib's."""

    name = "faiss HNSW16 efC200"
    sweeps = (along("efSearch", GRAPH_STEPS),)

    def build(self, folder: Path, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        rows = np.load(folder / "rows.npy")
        self.key = "HNSW16,Flat efConstruction 200"
        self.index = faiss.IndexHNSWFlat(rows.shape[1], 16)
        self.index.hnsw.efConstruction = 200
        self.index.add(rows)

    def set(self, setting: Setting) -> None:
        self.index.hnsw.efSearch = int(setting["efSearch"])
