"""drift as ann-benchmarks runs it: the calls of its runner, in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml
from drift.adapters.ann_benchmarks import CONFIG, Drift, write

from tests import oracle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("metric", "ours"), [("angular", "cosine"), ("euclidean", "l2")])
def test_the_calls_of_the_runner_find_the_true_neighbours(metric: str, ours: str) -> None:
    rows, queries = oracle.vectors(3_000, 32, 91), oracle.vectors(40, 32, 92)
    expected, _ = oracle.nearest(ours, queries, rows, 10)
    settings = yaml.safe_load(CONFIG)["float"]["any"][0]
    assert settings["constructor"] == Drift.__name__
    for group in settings["run_groups"].values():
        algorithm = Drift(metric, *group["args"][0])
        algorithm.fit(rows)
        for recall in group["query_args"][0][-2:]:
            algorithm.set_query_arguments(recall)
            found = np.array([algorithm.query(query, 10) for query in queries])
            assert oracle.recall(found, expected) > 0.95
            algorithm.batch_query(queries, 10)
            assert oracle.recall(algorithm.get_batch_results(), expected) > 0.95
            assert str(recall) in str(algorithm)
        assert algorithm.get_additional()["rows_scanned"] > 0
        assert algorithm.get_memory_usage() > 0
        algorithm.done()


def test_a_metric_that_drift_lacks_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="jaccard"):
        Drift("jaccard")


def test_the_files_for_a_checkout_are_written(tmp_path: Path) -> None:
    folder = write(tmp_path)
    names = {file.name for file in folder.iterdir()}
    assert names == {"__init__.py", "module.py", "config.yml", "Dockerfile"}
    scope: dict[str, object] = {}
    exec((folder / "module.py").read_text(), scope)  # noqa: S102 - written by what is tested.
    assert scope["Drift"] is Drift
