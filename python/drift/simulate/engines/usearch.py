"""usearch: a graph over float32 rows, with removal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drift.simulate.engines.base import GRAPH_EFFORTS, Peer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drift.simulate.steps import F32, I64

__all__ = ["Usearch"]


class Usearch(Peer):
    """Connectivity 16, expansion 200 while adding."""

    key = "usearch"
    module = distribution = "usearch"
    efforts = GRAPH_EFFORTS
    index: Any
    measured: int = 0

    def build(self, ids: I64, vectors: F32) -> None:
        """Make the index and add the first rows."""
        from usearch.index import Index

        metric = "l2sq" if self.metric == "l2" else "ip"
        self.index = Index(ndim=self.dim, metric=metric, dtype="f32", connectivity=16, expansion_add=200)
        self.insert(ids, vectors)

    def insert(self, ids: I64, vectors: F32) -> None:
        """Add."""
        self.index.add(ids, self.prepared(vectors), threads=self.settings.threads)

    def delete(self, ids: I64) -> None:
        """Remove."""
        self.index.remove(ids, threads=self.settings.threads)

    def set_effort(self, effort: int) -> None:
        """Set the expansion of searches."""
        self.index.expansion_search = effort

    def search(self, query: F32, k: int) -> I64:
        """Search."""
        found = self.index.search(self.prepared(query), k, threads=1)
        self.measured += int(found.computed_distances)
        return np.asarray(found.keys, dtype=np.int64)

    def counters(self) -> Mapping[str, int]:
        """Return the distances that searches measured."""
        return {"rows_scanned": self.measured}

    def describe(self) -> str:
        """Return its parameters."""
        return "f32, connectivity 16, expansion_add 200"
