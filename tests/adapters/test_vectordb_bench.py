"""The client of VectorDBBench under its own runners; runs where the package ``vectordb-bench`` is installed."""

from __future__ import annotations

import multiprocessing
from typing import Any

import pytest

pytest.importorskip("vectordb_bench", reason="vectordb-bench is not installed; it has no extra")

from drift.adapters.vectordb_bench import DriftCaseConfig, DriftClient, DriftConfig
from vectordb_bench.backend.clients.api import MetricType
from vectordb_bench.backend.filter import IntFilter, LabelFilter, NonFilter

from tests import oracle

DIM = 16
ROWS = oracle.vectors(2_000, DIM, 95)
QUERIES = oracle.vectors(20, DIM, 96)


def client(path: str) -> DriftClient:
    return DriftClient(DIM, DriftConfig(uri=path).to_dict(), DriftCaseConfig(metric_type=MetricType.L2), drop_old=True)


def filled(path: str, **options: Any) -> DriftClient:
    made = client(path)
    with made.init():
        for start in range(0, 2_000, 500):
            part = range(start, start + 500)
            assert made.insert_embeddings(ROWS[part].tolist(), list(part), **options) == (500, None)
        made.optimize(2_000)
    return made


def search(made: DriftClient) -> list[list[int]]:
    with made.init():
        return [made.search_embedding(query.tolist(), 10) for query in QUERIES]


def test_a_copy_in_another_process_finds_the_true_neighbours(path: str) -> None:
    made = filled(path)
    expected, _ = oracle.nearest("l2", QUERIES, ROWS, 10)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for found in pool.map(search, [made, made]):
            assert oracle.recall(found, expected) > 0.9
    assert search(made) == found


def test_the_serial_runner_measures_recall_against_its_ground_truth(path: str) -> None:
    from vectordb_bench.backend.runner import SerialSearchRunner

    made = filled(path)
    expected, _ = oracle.nearest("l2", QUERIES, ROWS, 10)
    runner = SerialSearchRunner(made, QUERIES.tolist(), expected.tolist(), 10, NonFilter())
    measured = runner.search((QUERIES.tolist(), expected.tolist()))
    assert measured[0] > 0.9


def test_filters_of_the_benchmark_are_applied(path: str) -> None:
    labels = ["label_25p" if at % 4 == 0 else "label_other" for at in range(500)]
    made = filled(path, labels_data=labels)
    made.prepare_filter(IntFilter(filter_rate=0.99, int_value=1_980))
    assert all(len(ids) == 10 and min(ids) >= 1_980 for ids in search(made))
    made.prepare_filter(LabelFilter(label_percentage=0.25))
    assert all(len(ids) == 10 and all(row_id % 4 == 0 for row_id in ids) for ids in search(made))
    made.prepare_filter(NonFilter())
    assert any(row_id % 4 for ids in search(made) for row_id in ids)


def test_what_cannot_be_inserted_is_returned_and_not_raised(path: str) -> None:
    made = client(path)
    with made.init():
        count, error = made.insert_embeddings([[0.0] * 3], [1])
    assert count == 0
    assert "dim" in str(error) or "shape" in str(error)
