"""search: shapes, dtypes, padding, order, options, the three metrics, and the forms in which results leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests import oracle

if TYPE_CHECKING:
    from collections.abc import Callable

DIM = 8
ROWS = oracle.vectors(60, DIM, 1)
IDS = list(range(100, 160))
QUERIES = oracle.vectors(7, DIM, 2)


@pytest.fixture(params=["memtable", "segment"])
def full(request: pytest.FixtureRequest, docs: drift.Collection) -> drift.Collection:
    """Sixty rows, in the memtable or flushed."""
    docs.upsert(IDS, ROWS)
    if request.param == "segment":
        docs.flush()
    return docs


@pytest.mark.parametrize("exact", [False, True])
def test_one_query_gives_one_row_of_results(full: drift.Collection, exact: bool) -> None:
    r = full.search(QUERIES[0], k=5, exact=exact)
    assert r.ids.shape == r.distances.shape == (5,)
    assert r.ids.dtype == np.int64
    assert r.distances.dtype == np.float32
    assert (r.distances[1:] >= r.distances[:-1]).all()
    assert set(r.ids.tolist()) <= set(IDS)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_many_queries_give_a_table(full: drift.Collection, exact: bool, count: int) -> None:
    r = full.search(QUERIES[:count], k=5, exact=exact)
    assert r.ids.shape == r.distances.shape == (count, 5)
    for at in range(count):
        one = full.search(QUERIES[at], k=5, exact=exact)
        np.testing.assert_array_equal(r.ids[at], one.ids)
        np.testing.assert_allclose(r.distances[at], one.distances, rtol=1e-5)


def test_k_defaults_to_ten(full: drift.Collection) -> None:
    assert full.search(QUERIES[0]).ids.shape == (10,)


@pytest.mark.parametrize("exact", [False, True])
def test_k_zero_gives_empty_arrays(full: drift.Collection, exact: bool) -> None:
    one, many = full.search(QUERIES[0], k=0, exact=exact), full.search(QUERIES, k=0, exact=exact)
    assert one.ids.shape == one.distances.shape == (0,)
    assert many.ids.shape == many.distances.shape == (7, 0)


@pytest.mark.parametrize("exact", [False, True])
def test_k_above_n_pads(full: drift.Collection, exact: bool) -> None:
    r = full.search(QUERIES, k=70, exact=exact, recall=1.0)
    assert r.ids.shape == (7, 70)
    assert (r.ids[:, 60:] == -1).all()
    assert np.isinf(r.distances[:, 60:]).all()
    for ids in r.ids[:, :60].tolist():
        assert sorted(ids) == IDS


@pytest.mark.parametrize("exact", [False, True])
def test_string_results_are_padded_with_none(db: drift.Database, exact: bool) -> None:
    c = db.create_collection("named", dim=DIM, metric="l2", id_type="str")
    c.upsert(["a", "b"], ROWS[:2])
    r = c.search(ROWS[1], k=3, exact=exact)
    assert r.ids.dtype == object
    assert r.ids.tolist() == ["b", "a", None]
    assert np.isinf(r.distances[2])


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("once_full", [False, True])
def test_empty_collection_gives_no_hits(docs: drift.Collection, exact: bool, once_full: bool) -> None:
    if once_full:
        docs.upsert(IDS, ROWS)
        docs.flush()
        docs.delete(IDS)
    r = docs.search(QUERIES, k=3, exact=exact)
    assert r.ids.shape[0] == 7
    assert (r.ids == -1).all()
    assert np.isinf(r.distances).all()


QUERY_FORMS: dict[str, Callable[[oracle.F32], Any]] = {
    "list": lambda q: q.tolist(),
    "f16": lambda q: q.astype(np.float16),
    "f64": lambda q: q.astype(np.float64),
    "strided": lambda q: np.repeat(q, 2, axis=-1)[..., ::2],
    "arrow": lambda q: pa.array(q) if q.ndim == 1 else pa.FixedSizeListArray.from_arrays(pa.array(q.reshape(-1)), DIM),
}


@pytest.mark.parametrize("form", QUERY_FORMS)
def test_queries_are_taken_in_every_form(full: drift.Collection, form: str) -> None:
    queries = QUERIES.astype(np.float16).astype(np.float32)
    many, one = full.search(QUERY_FORMS[form](queries), k=4, exact=True), full.search(queries, k=4, exact=True)
    np.testing.assert_array_equal(many.ids, one.ids)
    if form != "arrow":
        np.testing.assert_array_equal(full.search(QUERY_FORMS[form](queries[2]), k=4, exact=True).ids, one.ids[2])


@pytest.mark.core
@pytest.mark.parametrize("metric", oracle.METRICS)
@pytest.mark.parametrize("dim", [1, 3, 8, 31, 32, 33, 100])
def test_exact_search_equals_brute_force(db: drift.Database, metric: Any, dim: int) -> None:
    rows, queries = oracle.vectors(700, dim, 3), oracle.vectors(20, dim, 4)
    ids = list(range(0, 1400, 2))
    c = db.create_collection("docs", dim=dim, metric=metric)
    c.upsert(ids[:400], rows[:400])
    c.flush()
    c.upsert(ids[400:], rows[400:])
    oracle.assert_exact(c.search(queries, k=13, exact=True), metric, queries, ids, rows, 13)
    c.flush()
    oracle.assert_exact(c.search(queries, k=13, exact=True), metric, queries, ids, rows, 13)


@pytest.mark.core
@pytest.mark.parametrize("metric", oracle.METRICS)
def test_exact_search_equals_brute_force_on_the_sample(db: drift.Database, sample: Any, metric: Any) -> None:
    c = db.create_collection("packages", dim=384, metric=metric)
    c.load(sample.table)
    result = c.search(sample.queries, k=10, exact=True)
    oracle.assert_exact(result, metric, sample.queries, sample.ids.tolist(), sample.rows, 10)


@pytest.mark.core
@pytest.mark.parametrize("metric", oracle.METRICS)
def test_reported_distances_of_a_default_search_are_true(db: drift.Database, sample: Any, metric: Any) -> None:
    c = db.create_collection("packages", dim=384, metric=metric)
    c.load(sample.table)
    r = c.search(sample.queries, k=10)
    table = oracle.distances(metric, sample.queries, sample.rows)
    place = {id_: at for at, id_ in enumerate(sample.ids.tolist())}
    for query, (ids, found) in enumerate(zip(r.ids.tolist(), r.distances, strict=True)):
        assert len(set(ids)) == 10
        assert (found[1:] >= found[:-1]).all()
        true = [table[query, place[id_]] for id_ in ids]
        np.testing.assert_allclose(found, true, atol=oracle.tolerance(metric, sample.queries, sample.rows))


@pytest.mark.parametrize(
    ("query", "pattern"),
    [
        (np.zeros(5), "8"),
        (np.zeros((2, 9)), "8"),
        (np.zeros((2, 2, 8)), None),
        (np.float32(1.0), None),
        ([[1.0] * 8, [np.nan] * 8], "row 1"),
        ([np.inf] * 8, None),
        ("text", None),
        (None, None),
    ],
)
def test_bad_queries_are_refused(full: drift.Collection, query: Any, pattern: str | None) -> None:
    with pytest.raises(drift.InvalidArgumentError, match=pattern):
        full.search(query)


def test_zero_query_is_refused_under_cosine(db: drift.Database) -> None:
    c = db.create_collection("cos", dim=DIM, metric="cosine")
    c.upsert(IDS, ROWS)
    with pytest.raises(drift.InvalidArgumentError, match="zero"):
        c.search(np.zeros(DIM))


@pytest.mark.parametrize(
    "options",
    [
        {"k": -1},
        {"k": 10**9},
        {"recall": 0.0},
        {"recall": 1.5},
        {"recall": float("nan")},
        {"nprobe": 0},
        {"threads": 0},
    ],
)
def test_options_out_of_range_are_refused_by_name(full: drift.Collection, options: dict[str, Any]) -> None:
    with pytest.raises(drift.InvalidArgumentError, match=next(iter(options))):
        full.search(QUERIES[0], **options)


def test_expert_options_are_taken(full: drift.Collection) -> None:
    assert full.search(QUERIES, k=5, recall=0.5, threads=2).ids.shape == (7, 5)
    assert full.search(QUERIES, k=5, nprobe=1).ids.shape == (7, 5)


def test_recall_one_is_exact(full: drift.Collection) -> None:
    oracle.assert_exact(full.search(QUERIES, k=10, recall=1.0), "l2", QUERIES, IDS, ROWS, 10)


def test_results_leave_as_arrow_pandas_polars_and_lists(full: drift.Collection) -> None:
    r = full.search(QUERIES[0], k=3)
    arrow = pa.table(r.to_arrow())
    assert arrow["id"].to_pylist() == r.ids.tolist()
    np.testing.assert_array_equal(arrow["distance"].to_numpy(), r.distances)
    frame = r.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert frame["id"].tolist() == r.ids.tolist()
    polars = r.to_polars()
    assert isinstance(polars, pl.DataFrame)
    assert polars["id"].to_list() == r.ids.tolist()
    assert len(r.to_list()) == 3
    assert pa.table(r)["id"].to_pylist() == r.ids.tolist(), "__arrow_c_stream__"


def test_results_of_many_queries_keep_their_query_in_arrow(full: drift.Collection) -> None:
    r = full.search(QUERIES, k=3)
    table = pa.table(r)
    assert table["id"].to_pylist() == r.ids.reshape(-1).tolist()
    assert table["query"].to_pylist() == [query for query in range(7) for _ in range(3)]
    assert [len(hits) for hits in r.to_list()] == [3] * 7


def test_padding_does_not_leave_in_tables(docs: drift.Collection) -> None:
    docs.upsert([1, 2], ROWS[:2])
    r = docs.search(QUERIES[:2], k=5)
    assert r.ids.shape == (2, 5)
    assert sorted(pa.table(r)["id"].to_pylist()) == [1, 1, 2, 2]
    assert [len(hits) for hits in r.to_list()] == [2, 2]


def test_stats_count_rows_and_queries(full: drift.Collection) -> None:
    assert full.stats()["search_ms"] is None
    full.search(QUERIES, k=3)
    full.search(QUERIES[0])
    full.delete(IDS[:10])
    stats = full.stats()
    assert stats["rows"] == 50
    assert stats["queries"] >= 7
    times = stats["search_ms"]
    assert times["calls"] == 2, "a call of several queries is one"
    assert 0 < times["p50"] <= times["p95"] <= times["p99"]
    # Another job may end between the two calls.
    assert full.health().jobs[: len(stats["jobs"])] == stats["jobs"]
    assert stats["poisoned"] is None
    assert stats["degraded"] is None
