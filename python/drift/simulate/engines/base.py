"""What every engine can do, and what the peers share.

An engine is an empty index when made; the first insertion of a workload is its `build`, so that those that train on
rows do it there, once: their centroids and codes stay fixed for the run.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from drift.simulate.settings import Settings
    from drift.simulate.steps import F32, I64

__all__ = ["GRAPH_EFFORTS", "LIST_EFFORTS", "Engine", "Peer"]

GRAPH_EFFORTS = (10, 15, 20, 30, 45, 60, 80, 120, 160, 240, 320, 480, 640, 960)
"""Rows that a graph search keeps in view."""
LIST_EFFORTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Inverted lists that a search reads."""


class Engine(ABC):
    """An index under a workload. Ids are int64 below `rows`; vectors float32.

    Parameters
    ----------
    rows : int
        Number of vectors of the workload: every id is smaller.
    rows_max : int
        Most rows that live at once.
    dim : int
        Dimension.
    metric : {"l2", "cosine", "dot"}
        Which distance.
    settings : Settings
        Those of the run.
    folder : path
        An empty folder for its files.
    """

    key: ClassVar[str]
    """What it is called on the command line and in results."""
    module: ClassVar[str]
    distribution: ClassVar[str]
    efforts: ClassVar[Sequence[int]] = ()
    """Values to try for the one setting that trades speed for recall, ascending; none when the engine finds its own."""
    concurrent: ClassVar[bool] = False
    """Whether searches may run beside writes."""
    background: ClassVar[bool] = False
    """Whether the work of its other threads is maintenance, and not part of the calls."""

    def __init__(self, rows: int, rows_max: int, dim: int, metric: str, settings: Settings, folder: Path) -> None:
        self.rows = rows
        self.rows_max = rows_max
        self.dim = dim
        self.metric = metric
        self.settings = settings
        self.folder = folder

    @classmethod
    def unavailable(cls) -> str | None:
        """Return why it cannot run here, or None."""
        if importlib.util.find_spec(cls.module) is None:
            return f"not installed: pip install {cls.distribution}"
        return None

    @classmethod
    def version(cls) -> str:
        """Return the version of the library."""
        return importlib.metadata.version(cls.distribution)

    @abstractmethod
    def build(self, ids: I64, vectors: F32) -> None:
        """Load the first rows into the empty index, shapes (n,) and (n, dim)."""

    @abstractmethod
    def insert(self, ids: I64, vectors: F32) -> None:
        """Insert rows whose ids do not live."""

    @abstractmethod
    def delete(self, ids: I64) -> None:
        """Delete rows whose ids live."""

    @abstractmethod
    def replace(self, ids: I64, vectors: F32) -> None:
        """Give living ids other vectors."""

    @abstractmethod
    def search(self, query: F32, k: int) -> I64:
        """Return the ids nearest to a query of shape (dim,), in one thread: at most `k`, padded with -1 or not."""

    def set_effort(self, effort: int) -> None:  # noqa: B027 - an engine without efforts has nothing to set.
        """Set what trades speed for recall to one of `efforts`."""

    def settle(self) -> None:  # noqa: B027 - nothing is due where writes do all the work.
        """Finish the maintenance that is due."""

    def counters(self) -> Mapping[str, int]:
        """Return counts of work that only grow; ``rows_scanned`` and ``bytes_written`` have a meaning in reports."""
        return {}

    def gauges(self) -> Mapping[str, float]:
        """Return what the index is like now."""
        return {}

    def describe(self) -> str:
        """Return its parameters."""
        return ""

    def close(self) -> None:  # noqa: B027 - memory is released with the object.
        """Release everything."""


class Peer(Engine):
    """An engine other than drift. Under cosine its vectors and queries are normalised and it ranks by inner product."""

    def prepared(self, vectors: F32) -> F32:
        """Return vectors or a query as the index wants them."""
        if self.metric != "cosine":
            return vectors
        return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), dtype=np.float32)

    def replace(self, ids: I64, vectors: F32) -> None:
        """Delete, then insert."""
        self.delete(ids)
        self.insert(ids, vectors)
