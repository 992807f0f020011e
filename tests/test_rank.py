"""Ranking by scores: fusion, weights, boosts and decay, against sums over dictionaries."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import drift
import numpy as np
import pytest
from drift import SearchResult
from hypothesis import given
from hypothesis import strategies as st

BEST: Any = "best"
NOW = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)


def result(ids: list[Any], distances: list[float], k: int = 0) -> SearchResult:
    """Return a result padded to `k`."""
    texts = any(isinstance(one, str) for one in ids)
    padding = [None if texts else -1] * (k - len(ids))
    kept = np.array([*ids, *padding], dtype=object if texts else np.int64)
    return SearchResult(kept, np.array([*distances, *[math.inf] * len(padding)], dtype=np.float32))


RESULTS = st.lists(
    st.lists(st.integers(0, 12), unique=True, max_size=8).map(
        lambda ids: result(ids, [float(place) for place in range(len(ids))], 8)
    ),
    min_size=1,
    max_size=4,
)


@given(RESULTS, st.lists(st.floats(0.1, 3), min_size=4, max_size=4), st.floats(1, 100))
def test_reciprocal_rank_fusion_is_the_sum_over_places(
    results: list[SearchResult], weights: list[float], constant: float
) -> None:
    expected: dict[int, float] = {}
    for one, weight in zip(results, weights, strict=False):
        for place, found in enumerate(one.ids[one.ids >= 0].tolist(), 1):
            expected[found] = expected.get(found, 0.0) + weight / (constant + place)
    fused = drift.fuse(results, weights=weights[: len(results)], constant=constant)
    assert {row["id"]: pytest.approx(row["score"]) for row in fused.to_list()} == expected
    assert (np.diff(fused.scores) <= 0).all()
    texts = [
        result([f"{one:02}" for one in r.ids if one >= 0] or [], r.distances[r.ids >= 0].tolist(), 8) for r in results
    ]
    if all(one.ids.dtype == object for one in texts):
        again = drift.fuse(texts, weights=weights[: len(results)], constant=constant)
        assert [int(row["id"]) for row in again.to_list()] == [row["id"] for row in fused.to_list()]


def test_weighted_fusion_scales_each_result_to_one() -> None:
    near = result([1, 2, 3], [10.0, 20.0, 30.0])
    far = result([3, 4], [0.001, 0.002])
    fused = drift.fuse([near, far], method="weighted", weights=[3, 1])
    assert fused.to_list() == [
        {"id": 1, "score": 0.75},
        {"id": 2, "score": 0.375},
        {"id": 3, "score": 0.25},
        {"id": 4, "score": 0.0},
    ]
    same = drift.fuse([result([1, 2], [5.0, 5.0])], method="weighted")
    assert same.scores.tolist() == [1.0, 1.0]
    assert drift.fuse([result([], [], 3)], method="weighted").to_list() == []


def test_several_queries_are_fused_each_on_its_own_and_padded() -> None:
    a = SearchResult(np.array([[1, 2], [3, -1]]), np.array([[0, 1], [0, np.inf]], dtype=np.float32))
    b = SearchResult(np.array([[2, 5], [3, -1]]), np.array([[0, 1], [0, np.inf]], dtype=np.float32))
    fused = drift.fuse([a, b], k=2)
    assert fused.ids.tolist() == [[2, 1], [3, -1]]
    assert np.isneginf(fused.scores[1, 1])
    assert repr(fused) == "Ranking(2 queries, k=2)"
    assert [len(rows) for rows in fused.to_list()] == [2, 1]
    assert "<td>3</td>" in fused._repr_html_()


@pytest.mark.parametrize("metric", ["cosine", "l2", "dot"])
def test_scores_fall_as_distances_grow(metric: str) -> None:
    distances = {"cosine": [0.0, 0.5, 2.0], "l2": [0.0, 1.0, 1e30], "dot": [-1e30, 0.0, 1e30]}[metric]
    ranked = drift.rank(result([1, 2, 3], distances, 5), metric)
    assert ranked.ids.tolist() == [1, 2, 3, -1, -1]
    assert (np.diff(ranked.scores[:3]) < 0).all()
    assert ((ranked.scores[:3] >= 0) & (ranked.scores[:3] <= 1)).all()
    assert np.isneginf(ranked.scores[3:]).all()


def test_boosts_reorder_and_padding_stays_last() -> None:
    ranked = drift.rank(result([1, 2, 3], [0.0, 1.0, 3.0], 4), "l2")
    assert ranked.boost({3: 8.0}).to_list()[0] == {"id": 3, "score": 2.0}
    assert ranked.boost([1.0, 3.0, 0.0, 5.0]).ids.tolist() == [2, 1, 3, -1]
    assert ranked.boost(np.zeros(4)).ids.tolist() == [1, 2, 3, -1]
    assert repr(ranked.top(1)) == "Ranking(1 row, best 1 at 1)"


def test_metadata_come_along() -> None:
    with drift.connect("memory://rank-metadata") as db:
        c = db.create_collection("c", dim=2, metric="l2")
        c.upsert([1, 2], [[0.0, 0.0], [0.0, 0.0]], metadata={"at": [NOW - dt.timedelta(days=1), NOW]})
        found = c.search([0.0, 0.0], k=3, include=True)
    ranked = drift.rank(found, "l2").boost({2: 2.0})
    assert ranked.ids.tolist() == [2, 1, -1]
    assert ranked.metadata == [{"at": NOW}, {"at": NOW - dt.timedelta(days=1)}, None]
    fused = drift.fuse([result([1, 3], [0.0, 1.0]), found])
    assert fused.ids.tolist() == [1, 3, 2]
    assert fused.metadata == [{"at": NOW - dt.timedelta(days=1)}, None, {"at": NOW}], "whoever has them gives them"
    assert drift.fuse([result([1, 3], [0.0, 1.0])]).metadata is None


PAYLOADS: list[dict[str, Any]] = [
    {"lang": "en", "stars": 4, "seen": NOW, "tags": ["a", "b"], "author": {"name": "Ada"}, "id": 1.5},
    {"lang": "de", "stars": 1, "author": {"name": "Bo"}},
    {"lang": "en", "stars": None, "tags": []},
    {},
]


@pytest.fixture
def found(db: drift.Database) -> drift.SearchResult:
    """Return a search of four rows, padded to five, with all metadata."""
    c = db.create_collection("c", dim=1, metric="l2")
    c.upsert(range(4), [[0.0], [1.0], [2.0], [3.0]], PAYLOADS)
    return c.search([0.0], k=5, include=True)


def test_rankings_become_tables_with_what_the_search_carried(found: drift.SearchResult) -> None:
    ranked = drift.rank(found, "l2")
    table, expected = ranked.to_arrow(), found.to_arrow()
    assert table.column_names == ["id", "score", *expected.column_names[2:]]
    assert table.drop_columns("score").equals(expected.drop_columns("distance")), "types and values"
    assert table["score"].to_pylist() == ranked.scores[:4].tolist()
    frame = ranked.to_pandas()
    assert list(frame.columns) == table.column_names
    assert str(frame["seen"].dtype) == str(found.to_pandas()["seen"].dtype)
    assert ranked.to_polars().columns == table.column_names
    assert ranked.to_list() == [
        {"id": at, "score": score, "metadata": {name: value for name, value in row.items() if value is not None}}
        for at, (score, row) in enumerate(zip(ranked.scores.tolist(), PAYLOADS, strict=False))
    ]
    html = ranked._repr_html_()
    assert "<th>lang</th>" in html
    assert "<th>query</th>" not in html
    assert "Ada" in html
    assert "metadata" not in drift.rank(result([1], [0.5]), "l2").to_list()[0]


def test_rankings_of_several_queries_name_the_query(db: drift.Database) -> None:
    c = db.create_collection("c", dim=1, metric="l2", id_type="str")
    c.upsert(["a", "b"], [[0.0], [1.0]], [{"n": 1}, {"n": 2}])
    ranked = drift.rank(c.search([[0.0], [1.0]], k=3, include=["n"]), "l2")
    assert ranked.to_arrow().to_pydict() == {
        "query": [0, 0, 1, 1],
        "id": ["a", "b", "b", "a"],
        "score": [1.0, 0.5, 1.0, 0.5],
        "n": [1, 2, 2, 1],
    }
    assert ranked.boost("n").ids.tolist() == [["a", "b", None], ["b", "a", None]]
    assert ranked.boost(5.0, filter="n = 2").ids.tolist() == [["b", "a", None], ["b", "a", None]]


def test_fields_of_several_types_become_numbers_or_json(db: drift.Database) -> None:
    sources = []
    for name, metadata in (("a", {"n": 1, "at": NOW}), ("b", {"n": 0.5, "at": "June"})):
        c = db.create_collection(name, dim=1, metric="l2")
        c.upsert([1 if name == "a" else 2], [[0.0]], [metadata])
        sources.append(c.search([0.0], k=1, include=True))
    table = drift.fuse(sources).to_arrow()
    assert table["n"].to_pylist() == [1.0, 0.5]
    assert table["at"].to_pylist() == ['"2024-06-01T00:00:00+00:00"', '"June"']


@pytest.mark.parametrize(
    ("condition", "matching"),
    [
        ("lang = 'en'", [0, 2]),
        ("NOT lang = 'en'", [1, 3]),
        ({"stars": {"$gte": 2}}, [0]),
        (drift.col("tags").contains("a"), [0]),
        ("author.name = 'Bo'", [1]),
        ("seen >= '2024-06-01'", [0]),
        ("stars IS NULL", [2, 3]),
        ({}, [0, 1, 2, 3]),
    ],
)
def test_a_filter_boosts_the_rows_that_it_matches(
    found: drift.SearchResult, condition: Any, matching: list[int]
) -> None:
    ranked = drift.rank(found, "l2")
    boosted = ranked.boost(100.0, filter=condition)
    assert boosted.ids.tolist()[: len(matching)] == matching
    assert boosted.ids[-1] == -1
    by_id = {row["id"]: row["score"] for row in boosted.to_list()}
    assert by_id == {row["id"]: row["score"] * (100.0 if row["id"] in matching else 1.0) for row in ranked.to_list()}
    doubled = ranked.boost({0: 3.0, 1: 3.0}, filter=condition)
    assert doubled.scores.max() == (3.0 if 0 in matching else max(ranked.scores[0], 1.5 if 1 in matching else 0))


def test_a_field_of_numbers_boosts(found: drift.SearchResult) -> None:
    ranked = drift.rank(found, "l2")
    by_id = {row["id"]: row["score"] for row in ranked.boost("stars").to_list()}
    scores = ranked.scores.tolist()
    assert by_id == {0: scores[0] * 4, 1: scores[1], 2: scores[2], 3: scores[3]}
    assert ranked.boost(2.0).scores[:4].tolist() == [2 * score for score in scores[:4]]


def test_a_row_that_has_expired_since_is_boosted_all_the_same(db: drift.Database) -> None:
    c = db.create_collection("c", dim=1, metric="l2")
    c.upsert([1, 2], [[0.0], [1.0]], {"n": [1, 2]}, expires=dt.datetime.now(dt.UTC) + dt.timedelta(days=1))
    found = c.search([0.0], k=2, include=True)
    assert found._fields is not None
    past = [(name, kind, [0, 0] if name == "_expires" else values) for name, kind, values in found._fields]
    ranked = drift.rank(SearchResult(found.ids, found.distances, past), "l2")
    assert ranked.boost(9.0, filter="n = 2").ids.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: drift.fuse([]), "one search result or more"),
        (lambda r: drift.fuse([r], method=BEST), '"rrf" or "weighted"'),
        (lambda r: drift.fuse([r], constant=0), "above 0"),
        (lambda r: drift.fuse([r, r], weights=[1]), "2 results need one each"),
        (lambda r: drift.fuse([r], weights=[-1]), "0 or more"),
        (lambda r: drift.fuse([r], weights=[0]), "not all 0"),
        (lambda r: drift.fuse([r, result(["a"], [0.0])]), "ids of one type"),
        (lambda r: drift.fuse([r], k=0), "1 or more"),
        (lambda r: drift.rank(r, "euclid"), "c.metric"),
        (lambda r: drift.rank(r, "l2").boost([1.0]), "shape (1,)"),
        (lambda r: drift.rank(r, "l2").boost({1: -1.0}), "0 or more"),
        (lambda r: drift.rank(r, "l2").boost(-2.0), "0 or more"),
        (lambda r: drift.rank(r, "l2").boost("stars"), "field 'stars', they carry no metadata: search with include="),
        (lambda r: drift.rank(r, "l2").boost(2, filter="lang = 'en'"), "field 'lang', they carry no metadata"),
        (lambda r: drift.rank(r, "l2").boost(2, filter="lang ="), "a value must stand here"),
    ],
)
def test_what_cannot_be_ranked_is_refused(make: Any, message: str) -> None:
    with pytest.raises(drift.InvalidArgumentError) as caught:
        make(result([1, 2], [0.0, 1.0]))
    assert message in str(caught.value)


def test_a_field_that_is_no_factor_is_refused(found: drift.SearchResult) -> None:
    ranked = drift.rank(found, "l2")
    calls: dict[str, Any] = {
        "factors is the field 'lang', which has 'en' (str): give numbers": lambda: ranked.boost("lang"),
        "do not carry the field 'price', they carry ": lambda: ranked.boost("price"),
        "do not carry the field 'langs'": lambda: ranked.boost(2, filter="langs = 'en'"),
        "do not carry the field 'lang.x'": lambda: ranked.boost(2, filter="lang.x = 'en'"),
    }
    misspelt: Any = {"where": "lang = 'en'"}
    with pytest.raises(TypeError, match="'where': it is called filter here"):
        ranked.boost(2, **misspelt)
    for message, call in calls.items():
        with pytest.raises(drift.InvalidArgumentError) as caught:
            call()
        assert message in str(caught.value)
