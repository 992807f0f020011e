"""A client of VectorDBBench: `DriftClient`, `DriftConfig` and `DriftCaseConfig`.

VectorDBBench's commands choose from an enumeration of databases, ``vectordb_bench.backend.clients.DB``, which drift is
not in. ``python -m drift.adapters.vectordb_bench --uri FOLDER`` takes all options of those commands and runs their
cases with drift; ``--help`` lists them. Rows are written by one process; searching processes open the database to read.
Needs the extra ``vectordb-bench``.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from vectordb_bench.backend.clients.api import DBCaseConfig, DBConfig, MetricType, VectorDB
from vectordb_bench.backend.filter import Filter, FilterOp
from vectordb_bench.base import BaseModel

import drift

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DriftCaseConfig", "DriftClient", "DriftConfig"]

_METRICS = {MetricType.L2: "l2", MetricType.COSINE: "cosine", MetricType.IP: "dot", MetricType.DP: "dot"}


class DriftConfig(DBConfig):  # type: ignore[misc]
    """Where the database is."""

    uri: str

    def to_dict(self) -> dict[str, Any]:
        """Return what `DriftClient` takes as `db_config`."""
        return {"uri": self.uri}


class DriftCaseConfig(BaseModel, DBCaseConfig):  # type: ignore[misc]
    """How a case searches: its metric, the codes that are read first, and the recall aimed at."""

    metric_type: MetricType | None = MetricType.COSINE
    precision: str = "1bit"
    recall: float = 0.95

    def to_dict(self) -> dict[str, Any]:
        """Return the settings."""
        return {**self.index_param(), **self.search_param()}

    def index_param(self) -> dict[str, Any]:
        """Return the options of a collection."""
        return {"metric": _METRICS[self.metric_type], "precision": self.precision}

    def search_param(self) -> dict[str, Any]:
        """Return the options of a search."""
        return {"recall": self.recall}


class DriftClient(VectorDB):  # type: ignore[misc]
    """drift as VectorDBBench runs it.

    `init` opens nothing: the first insertion opens the database to write, the first search of another process to read,
    so that many searching processes stand beside each other.
    """

    name = "drift"
    thread_safe = True
    supported_filter_types: ClassVar[list[FilterOp]] = [FilterOp.NonFilter, FilterOp.NumGE, FilterOp.StrEqual]

    def __init__(
        self,
        dim: int,
        db_config: dict[str, Any],
        db_case_config: DriftCaseConfig | None,
        collection_name: str = "vectordb_bench",
        drop_old: bool = False,
        **_: Any,
    ) -> None:
        self._uri = str(db_config["uri"])
        self._case = db_case_config or DriftCaseConfig()
        self._collection_name = collection_name
        self._options: dict[str, Any] = {}
        self._opened: Any = None
        self._writes = False
        self._opening = threading.Lock()
        with drift.connect(self._uri) as database:
            if drop_old and collection_name in database:
                database.drop_collection(collection_name)
            database.create_collection(collection_name, dim, **self._case.index_param(), exist_ok=True)

    @contextmanager
    def init(self) -> Iterator[None]:
        """Close, at its end, what was opened within."""
        try:
            yield
        finally:
            if self._opened is not None:
                self._opened.database.close()
            self._opened = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings alone: each process opens the database itself."""
        return {name: value for name, value in vars(self).items() if name != "_opening"} | {"_opened": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _opening=threading.Lock())

    def prepare_filter(self, filters: Filter) -> None:
        """Keep the filter of the searches to come."""
        if filters.type == FilterOp.NonFilter:
            self._options = {}
        elif filters.type == FilterOp.NumGE:
            self._options = {"filter": drift.col(filters.int_field) >= filters.int_value}
        else:
            self._options = {"filter": drift.col(filters.label_field) == filters.label_value}

    def insert_embeddings(
        self,
        embeddings: list[list[float]],
        metadata: list[int],
        labels_data: list[str] | None = None,
        **_: Any,
    ) -> tuple[int, Exception | None]:
        """Insert rows, and return their number and None, or 0 and what went wrong."""
        fields = {"id": metadata} if labels_data is None else {"id": metadata, "labels": labels_data}
        try:
            self._collection(writes=True).upsert(metadata, np.asarray(embeddings, np.float32), fields)
        except drift.DriftError as error:
            return 0, error
        return len(metadata), None

    def search_embedding(self, query: list[float], k: int = 100, **_: Any) -> list[int]:
        """Return the ids of the `k` nearest rows, one thread."""
        found = self._collection(writes=False).search(
            np.asarray(query, np.float32), k, threads=1, **self._case.search_param(), **self._options
        )
        ids: list[int] = found.ids[found.ids >= 0].tolist()
        return ids

    def optimize(self, data_size: int | None = None) -> None:  # noqa: ARG002 - its name there.
        """Bring everything to disk and into buckets."""
        self._collection(writes=True).optimize()

    def _collection(self, *, writes: bool) -> Any:
        # The first insertions come from several threads at once.
        with self._opening:
            if self._opened is not None and writes and not self._writes:
                self._opened.database.close()
                self._opened = None
            if self._opened is None:
                self._opened = drift.connect(self._uri, read_only=not writes)[self._collection_name]
                self._writes = writes
            return self._opened


if __name__ == "__main__":
    from drift.adapters._vectordb_bench_run import main

    main()
