"""drift itself: a database in a folder, written and searched as an application does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import drift
from drift._errors import DriftError
from drift.simulate.engines.base import Engine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drift.simulate.steps import F32, I64

__all__ = ["Drift"]

CALLS_MAX = 100
"""Calls of `run_once`, each of which does all that is due, before one search step; more mean that it never rests."""
COUNTERS = ("queries", "rows_scanned", "buckets_scanned", "rows_reranked", "rows_refined", "flushes")
GAUGES = ("buckets", "segments", "dead_rows", "memtable_rows", "disk_bytes", "memory_bytes")


class Drift(Engine):
    """Recall is asked for at each search; nothing is tuned, and `optimize` is never called."""

    key = "drift"
    module = "drift"
    distribution = "drift-vector"
    concurrent = True
    background = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.database = drift.connect(self.folder / "database", durability=self.settings.durability)
        self.collection = self.database.create_collection("rows", self.dim, self.metric)  # type: ignore[arg-type]

    @classmethod
    def version(cls) -> str:
        """Return the version of the engine."""
        return drift.__version__

    def build(self, ids: I64, vectors: F32) -> None:
        """Load in bulk."""
        batch = self.settings.batch
        self.collection.load((ids[at : at + batch], vectors[at : at + batch]) for at in range(0, len(ids), batch))

    def insert(self, ids: I64, vectors: F32) -> None:
        """Add."""
        self.collection.add(ids, vectors)

    def delete(self, ids: I64) -> None:
        """Delete."""
        deleted = self.collection.delete(ids)
        if deleted != len(ids):
            raise DriftError(f"{deleted} of {len(ids)} living rows were deleted")

    def replace(self, ids: I64, vectors: F32) -> None:
        """Upsert."""
        self.collection.upsert(ids, vectors)

    def search(self, query: F32, k: int) -> I64:
        """Search at the recall of the run."""
        found = self.collection.search(query, k, recall=self.settings.recall, threads=1)
        return np.asarray(found.ids, dtype=np.int64)

    def settle(self) -> None:
        """Flush, then run jobs until none is due."""
        self.collection.flush()
        maintenance = getattr(self.collection, "maintenance", None)
        if maintenance is None:
            return
        for _ in range(CALLS_MAX):
            if not maintenance.run_once():
                return
        raise DriftError(f"maintenance is still at work after {CALLS_MAX} calls")

    def counters(self) -> Mapping[str, int]:
        """Return the engine's own counts."""
        stats = self.collection.stats()
        counted = {name: int(stats[name]) for name in COUNTERS}
        return {**counted, "bytes_written": int(stats["segment_bytes_written"])}

    def gauges(self) -> Mapping[str, float]:
        """Return the engine's own sizes, and the recall that it measures of itself where it does."""
        stats = self.collection.stats()
        sizes: dict[str, float] = {name: int(stats[name]) for name in GAUGES}
        found = self.collection.health()
        sizes |= {"bytes_inserted": found.bytes_inserted, "bytes_moved": found.bytes_moved}
        if found.recall is not None:
            sizes["health_recall"] = found.recall
        return sizes

    def describe(self) -> str:
        """Return the settings of the collection."""
        return f"{self.metric}, {self.collection.precision}, durability {self.settings.durability}"

    def close(self) -> None:
        """Close the database."""
        self.database.close()
