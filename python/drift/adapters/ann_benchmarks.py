"""An algorithm of ann-benchmarks.

``python -m drift.adapters.ann_benchmarks FOLDER`` writes ``module.py``, ``config.yml`` and ``Dockerfile`` into
``FOLDER/ann_benchmarks/algorithms/drift``. The class has every method of ``BaseANN`` and needs nothing of its
repository.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import drift

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CONFIG", "DOCKERFILE", "Drift", "write"]

CONFIG = """float:
  any:
  - base_args: ['@metric']
    constructor: Drift
    disabled: false
    docker_tag: ann-benchmarks-drift
    module: ann_benchmarks.algorithms.drift
    name: drift
    run_groups:
      1bit:
        args: [[1bit]]
        query_args: [[0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999]]
      sq8:
        args: [[sq8]]
        query_args: [[0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999]]
"""

DOCKERFILE = """FROM ann-benchmarks
RUN pip3 install drift-vector
RUN python3 -c 'import drift'
"""

_METRICS = {"angular": "cosine", "euclidean": "l2", "ip": "dot", "normalized": "cosine"}


class Drift:
    """drift as ann-benchmarks runs it: one thread per query, rows in a folder that goes with the object.

    Parameters
    ----------
    metric : {"angular", "euclidean", "ip", "normalized"}
        Distance of the data set.
    precision : {"1bit", "sq8"}
        As in `Database.create_collection`.
    """

    def __init__(self, metric: str, precision: str = "1bit") -> None:
        if metric not in _METRICS:
            raise NotImplementedError(f"drift has no metric {metric}; it has {', '.join(_METRICS)}")
        self._metric = _METRICS[metric]
        self._precision = precision
        self._recall = 0.95
        self._found: list[NDArray[np.int64]] = []
        self._database: drift.Database | None = None
        self.name = f"drift({precision})"

    def fit(self, X: NDArray[np.float32]) -> None:  # noqa: N803 - its name there.
        """Build the index of rows, shape (n, dim)."""
        rows = np.ascontiguousarray(X, dtype=np.float32)
        self._folder = tempfile.TemporaryDirectory(prefix="drift-ann-")
        self._database = drift.connect(self._folder.name, durability="none")
        options: dict[str, Any] = {"metric": self._metric, "precision": self._precision}
        self._collection = self._database.create_collection("rows", dim=rows.shape[1], **options)
        self._collection.load([(np.arange(len(rows)), rows)])

    def set_query_arguments(self, recall: float) -> None:
        """Choose the recall to aim at."""
        self._recall = recall
        self.name = f"drift({self._precision}, recall={recall})"

    def query(self, q: NDArray[np.float32], n: int) -> NDArray[np.int64]:
        """Return the numbers of the `n` nearest rows, fewer where a low recall finds no more."""
        found = self._collection.search(np.ascontiguousarray(q, dtype=np.float32), n, recall=self._recall, threads=1)
        return _found(found.ids)

    def batch_query(self, X: NDArray[np.float32], n: int) -> None:  # noqa: N803
        """Search with all rows of `X` at once, on all cores."""
        queries = np.ascontiguousarray(X, dtype=np.float32)
        self._found = [_found(ids) for ids in self._collection.search(queries, n, recall=self._recall).ids]

    def get_batch_results(self) -> list[NDArray[np.int64]]:
        """Return what `batch_query` found, the numbers of each query's rows."""
        return self._found

    def get_additional(self) -> dict[str, Any]:
        """Return the codes and buckets that were scanned so far."""
        stats = self._collection.stats()
        return {name: stats[name] for name in ("rows_scanned", "buckets_scanned") if name in stats}

    def get_memory_usage(self) -> float:
        """Return the kilobytes of memory that the index takes; the runner asks before `fit`, too."""
        if self._database is None:
            return 0.0
        return float(self._collection.stats()["memory_bytes"]) / 1024

    def done(self) -> None:
        """Close the database and remove its folder; after a `fit` that failed, too."""
        if self._database is not None:
            self._database.close()
            self._folder.cleanup()

    def __str__(self) -> str:
        return self.name


def _found(ids: NDArray[Any]) -> NDArray[np.int64]:
    """Return numbers of rows without the -1 that stand for none: ann-benchmarks would take them for the last row."""
    return np.asarray(ids[ids >= 0], dtype=np.int64)


def write(repository: Path) -> Path:
    """Write the files of the algorithm into a checkout of ann-benchmarks, and return their folder."""
    folder = repository / "ann_benchmarks" / "algorithms" / "drift"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").touch()
    (folder / "module.py").write_text("from drift.adapters.ann_benchmarks import Drift\n\n__all__ = ['Drift']\n")
    (folder / "config.yml").write_text(CONFIG)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return folder


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m drift.adapters.ann_benchmarks FOLDER_OF_ANN_BENCHMARKS")
    print(write(Path(sys.argv[1])))
