"""LanceDB, the embedded database: partitions of quantised rows, with graphs within them or without."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benches.data import F32, I64, K
from benches.engines.base import Engine, Setting, Sweep, along

if TYPE_CHECKING:
    from pathlib import Path

# A query takes milliseconds: fewer steps than for other engines keep a run within minutes.
_EF = (40, 80, 160, 320, 640)
_NPROBES = (8, 16, 32, 64, 128)


class LanceHnsw(Engine):
    """Its defaults: graphs over eight-bit rows within partitions; three times the rows wanted are compared exactly."""

    name = "LanceDB IVF_HNSW_SQ"
    module = distribution = "lancedb"
    kind: ClassVar[str] = "IVF_HNSW_SQ"
    sweeps: ClassVar[tuple[Sweep, ...]] = (along("ef", _EF, nprobes=20, refine=3),)
    table: Any

    def build(self, folder: Path, threads: int) -> None:  # noqa: ARG002 - LanceDB uses all cores by itself.
        import lancedb
        import pyarrow as pa

        rows = np.load(folder / "rows.npy")
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
        table = pa.table({"id": np.arange(len(rows)), "vector": vectors})
        db = lancedb.connect(str(folder / f"{self.__class__.__name__}-{os.getpid()}"))
        self.table = db.create_table("rows", table)
        self.table.create_index(metric="dot", index_type=self.kind)

    def set(self, setting: Setting) -> None:
        self.setting = {name: int(value) for name, value in setting.items()}

    def one(self, query: F32) -> Any:
        asked = self.table.search(query).limit(K).select(["id", "_distance"]).nprobes(self.setting["nprobes"])
        if "ef" in self.setting:
            asked = asked.ef(self.setting["ef"])
        return asked.refine_factor(self.setting["refine"]).to_arrow()

    def batch(self, queries: F32) -> I64:
        def ids(query: F32) -> I64:
            found = self.one(query)["id"].to_numpy()
            return np.pad(found, (0, K - len(found)), constant_values=-1)

        with ThreadPoolExecutor(self.threads) as pool:
            return np.stack(list(pool.map(ids, queries)))

    def describe(self) -> str:
        return f"{self.kind}, defaults"


class LancePq(LanceHnsw):
    """Its defaults: partitions of product-quantised rows; ten times the rows wanted are compared exactly."""

    name = "LanceDB IVF_PQ"
    kind = "IVF_PQ"
    sweeps = (along("nprobes", _NPROBES, refine=10),)
