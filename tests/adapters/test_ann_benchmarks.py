"""drift as ann-benchmarks runs it: its definitions made of our configuration, and the calls of its runner in its order.

ann-benchmarks is no package of PyPI, and its code is not copied here: `definitions` and `run` do what
`ann_benchmarks/definitions.py` and `ann_benchmarks/runner.py` of its repository do with an algorithm.
"""

from __future__ import annotations

import importlib.util
import itertools
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pytest
import yaml
from drift.adapters.ann_benchmarks import Drift, write

from tests import oracle

if TYPE_CHECKING:
    from pathlib import Path


def definitions(folder: Path, metric: str) -> list[tuple[Any, list[Any], list[list[Any]]]]:
    """Return constructor, arguments and groups of query arguments of each definition that a folder has."""
    file = importlib.util.spec_from_file_location("written", folder / "module.py")
    assert file is not None
    assert file.loader is not None
    module = importlib.util.module_from_spec(file)
    file.loader.exec_module(module)
    made = []
    for algorithm in yaml.safe_load((folder / "config.yml").read_text())["float"]["any"]:
        assert {"docker_tag", "module", "constructor", "name", "run_groups"} <= algorithm.keys()
        for group in algorithm["run_groups"].values():
            for arguments in itertools.product(*group["args"]):
                given = [metric if one == "@metric" else one for one in [*algorithm["base_args"], *arguments]]
                queried = [list(one) for one in itertools.product(*group["query_args"])]
                made.append((getattr(module, algorithm["constructor"]), given, queried))
    return made


def run(definition: tuple[Any, list[Any], list[list[Any]]], rows: Any, queries: Any, batch: bool) -> list[Any]:
    """Make the algorithm and call it as the runner does; return for each group of query arguments what it stores."""
    constructor, arguments, groups = definition
    algorithm = constructor(*arguments)
    stored = []
    try:
        before = algorithm.get_memory_usage()
        algorithm.fit(rows)
        size = algorithm.get_memory_usage() - before
        for group in groups:
            algorithm.set_query_arguments(*group)
            if batch:
                algorithm.batch_query(queries, 10)
                found = algorithm.get_batch_results()
            else:
                found = [algorithm.query(query, 10) for query in queries]
            assert all(len(ids) == len(set(ids)) for ids in found)
            numbers = [[int(row) for row in ids] for ids in found]
            assert all(0 <= row < len(rows) for ids in numbers for row in ids)
            table = np.array([ids + [-1] * (10 - len(ids)) for ids in numbers])
            stored.append((table, {"name": str(algorithm), "index_size": size, **algorithm.get_additional()}))
    finally:
        algorithm.done()
    return stored


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize(("metric", "ours"), [("angular", "cosine"), ("euclidean", "l2")])
def test_runs_of_every_definition_find_the_true_neighbours(metric: str, ours: str, batch: bool, tmp_path: Path) -> None:
    rows = oracle.vectors(3_000, 32, 91)
    queries = rows[::75] + 0.5 * oracle.rng(92).normal(size=(40, 32)).astype(np.float32)
    expected, _ = oracle.nearest(ours, queries, rows, 10)
    made = definitions(write(tmp_path), metric)
    assert [arguments for _, arguments, _ in made] == [[metric, "1bit"], [metric, "sq8"]]
    for definition in made:
        stored = run(definition, rows, queries, batch)
        assert len({attributes["name"] for _, attributes in stored}) == len(definition[2]) >= 8
        for _, attributes in stored:
            assert attributes["index_size"] > 0
            assert attributes["rows_scanned"] > 0
            # What a file of HDF5 takes as an attribute.
            assert all(isinstance(value, (str, int, float)) for value in attributes.values())
        recalls = [oracle.recall(found, expected) for found, _ in stored]
        assert min(recalls[-3:]) > 0.95
        assert recalls[0] < recalls[-1]


def test_an_algorithm_ends_though_its_rows_are_refused() -> None:
    with pytest.raises(drift.InvalidArgumentError, match="zero"):
        run((Drift, ["angular"], [[0.9]]), np.zeros((10, 4), np.float32), np.ones((1, 4), np.float32), batch=False)


def test_a_metric_that_drift_lacks_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="jaccard"):
        Drift("jaccard")


def test_the_files_for_a_checkout_are_written(tmp_path: Path) -> None:
    folder = write(tmp_path)
    assert folder == tmp_path / "ann_benchmarks" / "algorithms" / "drift"
    assert {file.name for file in folder.iterdir()} == {"__init__.py", "module.py", "config.yml", "Dockerfile"}
    assert {constructor for constructor, _, _ in definitions(folder, "euclidean")} == {Drift}
