"""zvec, the embedded database: graphs and lists, over rows as given or over RaBitQ codes.

A collection is written, optimised, and opened again for reading, since its fastest call, which returns numbers of rows
in an array, needs that. It has no call for many queries: a batch is as many threads that ask one by one.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from benches.data import F32, I64, K
from benches.engines.base import GRAPH_STEPS, LIST_STEPS, Engine, Setting, along

if TYPE_CHECKING:
    from pathlib import Path

_ROWS_AT_ONCE = 1_000
"""Rows of a call of insert: zvec takes 1,024 at most."""


class Zvec(Engine):
    """HNSW with 16 links, 200 candidates while adding."""

    name = "zvec HNSW M16 efC200"
    module = distribution = "zvec"
    sweeps = (along("ef", GRAPH_STEPS),)
    collection: Any

    def index(self) -> Any:
        import zvec

        return zvec.HnswIndexParam(metric_type=zvec.MetricType.IP, m=16, ef_construction=200)

    def param(self, setting: Setting) -> Any:
        import zvec

        return zvec.HnswQueryParam(ef=int(setting["ef"]))

    def build(self, folder: Path, threads: int) -> None:
        import zvec

        rows = np.load(folder / "rows.npy")
        zvec.init(log_level=zvec.LogLevel.ERROR, query_threads=threads, optimize_threads=threads)
        vector = zvec.VectorSchema("vector", zvec.DataType.VECTOR_FP32, rows.shape[1], self.index())
        path = str(folder / f"{self.__class__.__name__}-{os.getpid()}")
        writer = zvec.create_and_open(path, zvec.CollectionSchema("rows", vectors=vector))
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            writer.insert([zvec.Doc(str(start + at), vectors={"vector": row}) for at, row in enumerate(part)])
        writer.optimize(zvec.OptimizeOption(concurrency=threads))
        writer.flush()
        writer.close()
        self.collection = zvec.open(path, zvec.CollectionOption(read_only=True))
        self.ids = np.asarray(self.collection.resolve_internal_ids(np.arange(len(rows))), np.int64)

    def set(self, setting: Setting) -> None:
        self.setting = self.param(setting)

    def one(self, query: F32) -> Any:
        import zvec

        asked = zvec.Query("vector", vector=query, param=self.setting)
        return self.collection.query_internal_ids(asked, topk=K)

    def batch(self, queries: F32) -> I64:
        with ThreadPoolExecutor(self.threads) as pool:
            found = np.stack(list(pool.map(self.one, queries)))
        ids: I64 = self.ids[found]
        return ids

    def describe(self) -> str:
        return "f32, m 16, ef_construction 200, query_internal_ids"


class ZvecRabitq(Zvec):
    """The same graph over RaBitQ codes of seven bits."""

    name = "zvec HNSW-RaBitQ"

    def index(self) -> Any:
        import zvec

        return zvec.HnswRabitqIndexParam(metric_type=zvec.MetricType.IP, m=16, ef_construction=200)

    def param(self, setting: Setting) -> Any:
        import zvec

        return zvec.HnswRabitqQueryParam(ef=int(setting["ef"]))

    def describe(self) -> str:
        return "7 bits, m 16, ef_construction 200, query_internal_ids"


class ZvecIvfRabitq(Zvec):
    """Lists of RaBitQ codes of seven bits."""

    name = "zvec IVF-RaBitQ"
    sweeps = (along("nprobe", LIST_STEPS),)

    def index(self) -> Any:
        import zvec

        return zvec.IvfRabitqIndexParam(metric_type=zvec.MetricType.IP)

    def param(self, setting: Setting) -> Any:
        import zvec

        return zvec.IvfRabitqQueryParam(nprobe=int(setting["nprobe"]))

    def describe(self) -> str:
        return "7 bits, 1,024 lists, query_internal_ids"
