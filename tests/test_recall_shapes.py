"""Recall, distances and full answers on rows of shapes that embeddings do not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pytest

from tests.oracle import nearest

if TYPE_CHECKING:
    from collections.abc import Callable

QUERIES = 200


def _recall(c: drift.Collection, queries: Any, truth: Any, k: int, **options: Any) -> float:
    """Return the share of the true neighbours that are found; one as near as the last of them counts."""
    found = c.search(queries, k=k, **options).distances
    limit = truth[:, k - 1 : k]
    return float(np.mean(found <= limit + 1e-5 * np.abs(limit)))


def _offset(random: np.random.Generator, n: int) -> Any:
    return 1_000 + random.normal(size=(n, 32))


def _tight(random: np.random.Generator, n: int) -> Any:
    return (10 * random.normal(size=(20, 8)))[random.integers(0, 20, n)] + 0.01 * random.normal(size=(n, 8))


def _line(random: np.random.Generator, n: int) -> Any:
    return random.random((n, 1)) * np.linspace(-1, 1, 32)


def _circle(random: np.random.Generator, n: int) -> Any:
    angles = random.random(n) * 2 * np.pi
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@pytest.mark.parametrize("shape", [_offset, _tight, _line, _circle])
@pytest.mark.parametrize("rows", [900, 4_000])
def test_rows_that_codes_do_not_tell_apart_are_found(shape: Callable[..., Any], rows: int) -> None:
    vectors = shape(np.random.default_rng(1), rows + QUERIES).astype(np.float32)
    queries = vectors[rows:]
    with drift.connect(f"memory://shapes-{shape.__name__}-{rows}") as db:
        c = db.create_collection("c", dim=vectors.shape[1], metric="l2")
        c.load([(np.arange(rows), vectors[:rows])])
        truth = c.search(queries, k=50, exact=True).distances
        for k in (1, 10, 50):
            assert _recall(c, queries, truth, k) >= 0.94, k
        explained = c.explain(queries[0], k=10)
        assert np.array_equal(explained.result.ids, c.search(queries[0], k=10).ids)
        assert explained.stop in ("all", "difference", "budget")


def test_what_tells_rows_apart_is_known_after_a_restart(path: str) -> None:
    vectors = _offset(np.random.default_rng(2), 3_000 + QUERIES).astype(np.float32)
    with drift.connect(path) as db:
        db.create_collection("c", dim=32, metric="l2").load([(np.arange(3_000), vectors[:3_000])])
    for read_only in (False, True):
        with drift.connect(path, read_only=read_only) as db:
            truth = db["c"].search(vectors[3_000:], k=10, exact=True).distances
            assert _recall(db["c"], vectors[3_000:], truth, 10) >= 0.94


@pytest.mark.parametrize("metric", ["l2", "dot"])
@pytest.mark.parametrize("dim", [8, 96])
def test_an_answer_has_as_many_rows_as_are_asked_for(metric: Any, dim: int) -> None:
    random = np.random.default_rng(3)
    # The few longest rows are all that a query asks for under dot, and a query far away has few rows near it under l2.
    lengths = np.exp(2 * random.normal(size=(4_000 + QUERIES, 1)))
    vectors = (random.normal(size=(4_000 + QUERIES, dim)) * lengths).astype(np.float32)
    with drift.connect(f"memory://full-{metric}-{dim}") as db:
        c = db.create_collection("c", dim=dim, metric=metric)
        c.load([(np.arange(4_000), vectors[:4_000])])
        truth = c.search(vectors[4_000:], k=100, exact=True).distances
        for k in (10, 50, 100):
            for recall in (0.5, 0.8):
                assert (c.search(vectors[4_000:], k=k, recall=recall).ids >= 0).all(), (k, recall)
            assert _recall(c, vectors[4_000:], truth, k, recall=0.8) >= 0.77, k


def test_queries_from_afar_find_many_neighbours_too() -> None:
    random = np.random.default_rng(4)
    rows, queries = random.normal(size=(4_000, 96)), 0.5 * random.normal(size=(QUERIES, 96)) + 3
    with drift.connect("memory://afar") as db:
        c = db.create_collection("c", dim=96, metric="l2")
        c.load([(np.arange(4_000), rows.astype(np.float32))])
        truth = c.search(queries, k=50, exact=True).distances
        assert _recall(c, queries, truth, 50) >= 0.9


def test_rules_hold_right_after_a_load() -> None:
    random = np.random.default_rng(5)
    rows, queries = random.normal(size=(2, 6_000, 2)).astype(np.float32)
    with drift.connect("memory://right-after") as db:
        c = db.create_collection("c", dim=2, metric="dot")
        c.load([(np.arange(6_000), rows)])
        truth = c.search(queries[:QUERIES], k=10, exact=True).distances
        assert _recall(c, queries[:QUERIES], truth, 10, recall=0.9) >= 0.86


@pytest.mark.parametrize("k", [1, 10])
def test_rules_give_way_to_deletes_and_new_buckets(k: int) -> None:
    random = np.random.default_rng(6)
    with drift.connect(f"memory://gives-way-{k}") as db:
        c = db.create_collection("c", dim=16, metric="l2")
        c.load([(np.arange(6_000), (0.7 * random.normal(size=(6_000, 16)) + 3).astype(np.float32))])
        for step in range(1, 7):
            centre = 3 - 1.5 * step
            rows, queries = (0.7 * random.normal(size=(n, 16)) + centre for n in (1_500, QUERIES))
            c.upsert(np.arange(1_500) + 1_500 * (step + 3), rows)
            c.delete(np.arange(1_500) + 1_500 * (step - 1))
            if step % 2 == 0:
                c.flush()
            truth = c.search(queries, k=10, exact=True).distances
            assert _recall(c, queries, truth, k) >= 0.88, step


def test_the_nearest_alone_is_found_as_often_as_asked() -> None:
    random = np.random.default_rng(7)
    centres = 2 * random.normal(size=(60, 100))
    vectors = centres[random.integers(0, 60, 9_600)] + random.normal(size=(9_600, 100))
    with drift.connect("memory://nearest-alone") as db:
        c = db.create_collection("c", dim=100, metric="l2")
        c.load([(np.arange(9_000), vectors[:9_000].astype(np.float32))])
        truth = c.search(vectors[9_000:], k=10, exact=True).distances
        assert _recall(c, vectors[9_000:], truth, 1, recall=0.8) >= 0.77
        assert _recall(c, vectors[9_000:], truth, 1, recall=0.95) >= 0.92


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("flushed", [False, True])
def test_cosine_distances_of_near_rows_keep_their_digits(exact: bool, flushed: bool) -> None:
    random = np.random.default_rng(8)
    query = random.normal(size=24).astype(np.float32)
    steps = 10.0 ** np.arange(-3, 0)[:, None] * random.normal(size=24)
    rows = np.concatenate([query[None], query + steps]).astype(np.float32)
    with drift.connect(f"memory://digits-{exact}-{flushed}") as db:
        c = db.create_collection("c", dim=24, metric="cosine")
        c.upsert(np.arange(len(rows)), rows)
        if flushed:
            c.flush()
        found = c.search(query, k=len(rows), exact=exact)
        ids, distances = nearest("cosine", query[None], rows, len(rows))
        assert found.ids.tolist() == ids[0].tolist()
        assert found.distances[0] == 0.0
        np.testing.assert_allclose(found.distances[1:], distances[0][1:], rtol=1e-3)


def test_a_vector_that_is_not_zero_is_not_called_so() -> None:
    with drift.connect("memory://short") as db:
        c = db.create_collection("c", dim=2, metric="cosine")
        with pytest.raises(drift.InvalidArgumentError, match="row 0 is too short"):
            c.upsert([1], [[1e-20, 1e-20]])
        with pytest.raises(drift.InvalidArgumentError, match="row 0 is zero"):
            c.upsert([1], [[0.0, 0.0]])


def test_a_far_longer_row_is_found_under_dot() -> None:
    random = np.random.default_rng(9)
    rows, queries = random.normal(size=(6_000, 8)), random.normal(size=(QUERIES, 8))
    rows[5] *= 1e6 / np.linalg.norm(rows[5])
    with drift.connect("memory://far-longer") as db:
        c = db.create_collection("c", dim=8, metric="dot")
        c.load([(np.arange(6_000), rows.astype(np.float32))])
        c.maintenance.run_once()
        asks = queries[queries @ rows[5] > 0]
        assert np.mean(c.search(asks, k=1, recall=0.95).ids == 5) >= 0.95
