"""Exact neighbours equal those of an independent search, and recall counts what it should."""

from __future__ import annotations

import numpy as np
import pytest
from drift.simulate import Insert, Search, Workload
from drift.simulate.steps import Live
from drift.simulate.truth import hits

from tests import oracle
from tests.simulate.cases import NAMES, replayed, small


def assert_exact(workload: Workload) -> None:
    for (step, live), found in zip(replayed(workload), workload.truth(), strict=True):
        ids = np.fromiter(live, np.int64)
        rows = workload.vectors[[live[row_id] for row_id in ids.tolist()]]
        queries = workload.queries[step.start : step.end]
        _, expected = oracle.nearest(workload.metric, queries, rows, 10)
        assert found.shape == (len(queries), 10)
        table = oracle.distances(workload.metric, queries, workload.vectors)
        measured = np.array([[table[at, live[i]] for i in row] for at, row in enumerate(found.tolist())])
        np.testing.assert_allclose(measured, expected, atol=1e-9, rtol=1e-9)
        assert all(len(set(row)) == 10 for row in found.tolist())


@pytest.mark.parametrize("name", NAMES)
def test_truth_is_that_of_brute_force(name: str) -> None:
    assert_exact(small(name))


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_truth_follows_the_metric(metric: str) -> None:
    assert_exact(small("churn", metric=metric))


def test_truth_keeps_its_digits_far_from_the_origin() -> None:
    random = np.random.default_rng(1)
    rows = (random.normal(size=(3_000, 8)) + 3_000).astype(np.float32)
    steps = (Insert(np.arange(2_990)), Search(0, 10))
    assert_exact(Workload(name="far", vectors=rows, queries=rows[2_990:], steps=steps))


def test_fewer_rows_than_neighbours_are_padded() -> None:
    rows = np.eye(4, dtype=np.float32)
    steps = (Insert(np.array([1, 3])), Search(0, 1))
    truth = Workload(name="few", vectors=rows, queries=rows[3:], steps=steps).truth()
    assert truth[0].tolist() == [[3, 1] + [-1] * 8]


def test_recall_counts_ties_once_and_finds_dead_ids() -> None:
    # Rows 0 to 19 are one point, rows 20 to 29 another, farther away; 30 to 39 do not live.
    rows = np.repeat(np.array([[0.0], [1.0]], np.float32), (20, 20), axis=0)
    steps = (Insert(np.arange(30)), Search(0, 1))
    workload = Workload(name="ties", vectors=rows, queries=rows[:1], steps=steps)
    live, step = Live(40), Search(0, 1)
    live.apply(steps[0], 0)
    truth = workload.truth()[0]

    def measured(*ids: int) -> tuple[float, int]:
        answer = np.full((1, 10), -1)
        answer[0, : len(ids)] = ids
        recall, dead = hits(workload, live, step, truth, answer)
        return float(recall[0]), dead

    assert measured(*range(10, 20)) == (1.0, 0)
    assert measured(*[3] * 10) == (0.1, 0)
    assert measured(*range(5), *range(20, 25)) == (0.5, 0)
    assert measured(*range(9), 35) == (0.9, 1)
    assert measured() == (0.0, 0)
