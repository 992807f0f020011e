"""hnswlib: a graph whose deleted rows are marked and whose places later insertions take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drift.simulate.engines.base import GRAPH_EFFORTS, Peer

if TYPE_CHECKING:
    from drift.simulate.steps import F32, I64

__all__ = ["Hnswlib"]


class Hnswlib(Peer):
    """M 16, ef_construction 200, ``replace_deleted``.

    Each insertion has a label of its own: when a deleted label comes back under ``replace_deleted``, hnswlib 0.8 may
    lose it later, with the place that still bears it.
    """

    key = "hnswlib"
    module = distribution = "hnswlib"
    efforts = GRAPH_EFFORTS
    index: Any

    def build(self, ids: I64, vectors: F32) -> None:
        """Make the index and add the first rows."""
        import hnswlib

        self.label_of = np.full(self.rows, -1, dtype=np.int64)
        self.id_of = np.empty(0, dtype=np.int64)
        self.alive = 0
        self.index = hnswlib.Index(space="l2" if self.metric == "l2" else "ip", dim=self.dim)
        self.index.init_index(
            max_elements=self.rows_max, M=16, ef_construction=200, random_seed=1, allow_replace_deleted=True
        )
        self.insert(ids, vectors)

    def insert(self, ids: I64, vectors: F32) -> None:
        """Add, in the places of deleted rows where there are any."""
        labels = np.arange(len(ids)) + len(self.id_of)
        threads = self.settings.threads
        self.index.add_items(self.prepared(vectors), labels, num_threads=threads, replace_deleted=True)
        self.label_of[ids] = labels
        self.id_of = np.concatenate([self.id_of, ids])
        self.alive += len(ids)

    def delete(self, ids: I64) -> None:
        """Mark as deleted."""
        for label in self.label_of[ids].tolist():
            self.index.mark_deleted(label)
        self.alive -= len(ids)

    def set_effort(self, effort: int) -> None:
        """Set ef."""
        self.index.set_ef(effort)

    def search(self, query: F32, k: int) -> I64:
        """Search."""
        labels, _ = self.index.knn_query(self.prepared(query), k=min(k, self.alive), num_threads=1)
        return np.asarray(self.id_of[labels[0].astype(np.int64)])

    def describe(self) -> str:
        """Return its parameters."""
        return "M 16, ef_construction 200, replace_deleted"
