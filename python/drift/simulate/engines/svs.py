"""SVS (PyPI: scalable-vs): the dynamic Vamana graph over float32 rows.

Where a run settles, deleted rows leave the graph before each search step (`consolidate`), and later insertions take
their slots; `compact` is not needed for that and not called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drift.simulate.engines.base import GRAPH_EFFORTS, Peer

if TYPE_CHECKING:
    from drift.simulate.steps import F32, I64

__all__ = ["SvsDynamic"]


class SvsDynamic(Peer):
    """32 edges a row, window 64 while building."""

    key = "svs"
    module = "svs"
    distribution = "scalable-vs"
    efforts = GRAPH_EFFORTS
    index: Any
    deleted: bool = False

    def build(self, ids: I64, vectors: F32) -> None:
        """Build the graph of the first rows."""
        import svs

        euclidean = self.metric == "l2"
        # Under inner product alpha must not exceed 1.
        parameters = svs.VamanaBuildParameters(graph_max_degree=32, window_size=64, alpha=1.2 if euclidean else 0.95)
        distance = svs.DistanceType.L2 if euclidean else svs.DistanceType.MIP
        self.index = svs.DynamicVamana.build(
            parameters, self.prepared(vectors), ids.astype(np.uint64), distance, self.settings.threads
        )

    def insert(self, ids: I64, vectors: F32) -> None:
        """Add."""
        self.index.num_threads = self.settings.threads
        self.index.add(self.prepared(vectors), ids.astype(np.uint64))
        self.index.num_threads = 1

    def delete(self, ids: I64) -> None:
        """Mark as deleted."""
        self.index.delete(ids.astype(np.uint64))
        self.deleted = True

    def settle(self) -> None:
        """Remove deleted rows from the graph."""
        if self.deleted:
            self.index.num_threads = self.settings.threads
            self.index.consolidate()
            self.deleted = False
        self.index.num_threads = 1

    def set_effort(self, effort: int) -> None:
        """Set the window of searches."""
        import svs

        self.index.search_parameters = svs.VamanaSearchParameters(
            svs.SearchBufferConfig(effort, effort), prefetch_lookahead=4, prefetch_step=1
        )

    def search(self, query: F32, k: int) -> I64:
        """Search."""
        ids, _ = self.index.search(self.prepared(query), k)
        return np.asarray(ids[0]).astype(np.int64)

    def describe(self) -> str:
        """Return its parameters."""
        return "f32, graph_max_degree 32, window_size 64, consolidated before each search step"
