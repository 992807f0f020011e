"""Metadata through the Python API: what rows carry, in every form that it is given and asked for."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UTC = dt.UTC
DIM = 4
ROWS: list[dict[str, Any]] = [
    {"year": 2020, "name": "alpha", "score": 0.5, "tags": ["a", "b"], "fresh": True},
    {"year": 2024, "at": dt.datetime(2024, 5, 1, 12, tzinfo=UTC), "meta": {"a": {"b": [1, 2.5, "x"]}}},
    {},
    {"name": "βήτα", "tags": [], "meta": [1, None]},
]


def vectors(count: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)


@pytest.fixture
def c(tmp_path: Path) -> Iterator[drift.Collection]:
    with drift.connect(tmp_path / "db", durability="os") as db:
        yield db.create_collection("c", dim=DIM, metric="l2")


def test_rows_come_back_as_they_were_given_from_memory_disk_and_a_reopening(tmp_path: Path) -> None:
    with drift.connect(tmp_path / "db") as db:
        c = db.create_collection("c", dim=DIM, metric="l2")
        c.add([0, 1, 2, 3], vectors(4), metadata=ROWS)
        assert c.get([0, 1, 2, 3], include=True).metadata == ROWS
        c.flush()
        assert c.get([3, 0], include=True).metadata == [ROWS[3], ROWS[0]]
        types = {"year": "int", "name": "str", "score": "float", "tags": "list", "fresh": "bool"}
        assert c.fields == types | {"at": "timestamp", "meta": "json"}
        c.upsert([0], vectors(1), metadata=[{"year": 1}])
        c.optimize()
    with drift.connect(tmp_path / "db", read_only=True) as db:
        c = db["c"]
        assert c.get([0, 1, 2, 3], include=True).metadata == [{"year": 1}, *ROWS[1:]]
        assert c.get([1, 2], include="year").metadata == [{"year": 2024}, {}]


def test_a_row_that_is_replaced_loses_what_it_had(c: drift.Collection) -> None:
    c.upsert([1], vectors(1), metadata=[{"a": 1}])
    c.upsert([1], vectors(1))
    assert c.get([1], include=True).metadata == [{}]


def test_results_carry_the_fields_that_are_asked_for(c: drift.Collection) -> None:
    c.upsert([0, 1, 2, 3], vectors(4), metadata=ROWS)
    one = c.search(vectors(4)[0], k=5, include=["year", "name"])
    assert one.metadata[0] == {"year": 2020, "name": "alpha"}
    assert one.metadata[4] is None
    several = c.search(vectors(4)[:2], k=2, include=True)
    assert [rows[0] for rows in several.metadata] == ROWS[:2]
    assert several.to_list()[1][0] == {"id": 1, "distance": 0.0, "metadata": ROWS[1]}
    with pytest.raises(drift.InvalidArgumentError, match="include=True"):
        _ = c.search(vectors(4)[0]).metadata
    with pytest.raises(drift.NotFoundError, match="yaer"):
        c.search(vectors(4)[0], include=["yaer"])


def test_tables_have_typed_columns(c: drift.Collection) -> None:
    c.upsert([0, 1, 2, 3], vectors(4), metadata=ROWS)
    result = c.search(vectors(4)[1], k=6, include=True)
    table = result.to_arrow()
    wanted = ["id", "distance", "year", "name", "score", "tags", "fresh", "at", "meta"]
    assert table.column_names == wanted
    assert table.schema.field("at").type == pa.timestamp("us", "UTC")
    assert table.schema.field("tags").type.value_type == pa.string()
    by_id = {row["id"]: row for row in table.to_pylist()}
    assert by_id[1]["at"] == ROWS[1]["at"]
    assert by_id[3]["tags"] == []
    assert by_id[2]["tags"] is None
    frame = result.to_pandas().set_index("id")
    assert frame.loc[0, "year"] == 2020
    assert frame["at"].dt.tz is not None
    assert frame["year"].isna().sum() == 2
    assert pl.DataFrame(result).height == 4


@pytest.mark.parametrize(
    "columns",
    [
        {"year": np.array([1, 2, 3]), "name": ["a", None, "c"]},
        pa.table({"year": pa.array([1, 2, 3], pa.int16()), "name": pa.array(["a", None, "c"]).dictionary_encode()}),
        pl.DataFrame({"year": [1, 2, 3], "name": ["a", None, "c"]}),
    ],
    ids=["dict", "arrow", "polars"],
)
def test_columns_and_tables_are_metadata_too(c: drift.Collection, columns: Any) -> None:
    c.upsert([1, 2, 3], vectors(3), metadata=columns)
    assert c.get([1, 2, 3], include=True).metadata == [{"year": 1, "name": "a"}, {"year": 2}, {"year": 3, "name": "c"}]


def test_times_of_every_kind_are_one_type(c: drift.Collection) -> None:
    given = [dt.date(2024, 1, 2), dt.datetime(2024, 1, 2), dt.datetime.fromisoformat("2024-01-02T02:00:00+02:00")]
    c.upsert([0, 1, 2], vectors(3), metadata={"at": given})
    c.upsert([3], vectors(1), metadata={"at": np.array(["2024-01-02"], dtype="datetime64[D]")})
    assert {row["at"] for row in c.get(c.ids(), include=True).metadata} == {dt.datetime(2024, 1, 2, tzinfo=UTC)}
    assert c.count({"at": {"$gte": dt.date(2024, 1, 2), "$lt": dt.date(2024, 1, 3)}}) == 4


def test_filters_have_three_spellings_everywhere(c: drift.Collection) -> None:
    c.upsert(
        range(100), vectors(100), metadata={"year": list(range(2000, 2100)), "even": [n % 2 == 0 for n in range(100)]}
    )
    c.flush()
    spelled: list[Any] = [
        (drift.col("year") >= 2090) & (drift.col("even") == True),  # noqa: E712
        {"year": {"$gte": 2090}, "even": True},
        "year >= 2090 AND even = TRUE",
    ]
    for filter in spelled:  # noqa: A001
        assert c.count(filter) == 5
        assert sorted(c.search(vectors(1), k=10, filter=filter).ids[0].tolist()) == [-1] * 5 + [90, 92, 94, 96, 98]
        assert c.scroll(filter, limit=2).ids.tolist() == [90, 92]
    assert c.delete(filter=spelled[0]) == 5
    assert c.delete(filter=spelled[0]) == 0
    assert len(c) == 95


def test_pages_cover_all_rows_once_in_order(tmp_path: Path) -> None:
    with drift.connect(tmp_path / "db") as db:
        c = db.create_collection("c", dim=DIM, id_type="str")
        names = [f"row {n:02}" for n in np.random.default_rng(0).permutation(30)]
        c.upsert(names[:20], vectors(20), metadata={"n": list(range(20))})
        c.flush()
        c.upsert(names[20:], vectors(10))
        seen: list[str] = []
        page = c.scroll(limit=7, vectors=True)
        while True:
            assert page.vectors is not None
            assert np.array_equal(page.vectors, c.get(page.ids).vectors)
            seen += page.ids.tolist()
            if page.cursor is None:
                break
            page = c.scroll(limit=7, cursor=page.cursor, vectors=True)
        assert seen == sorted(names)
        with pytest.raises(drift.InvalidArgumentError, match="cursor"):
            c.scroll(cursor=3)


def test_updates_change_what_they_name_alone(c: drift.Collection) -> None:
    c.upsert([1, 2], vectors(2), metadata=[{"a": 1, "b": "x"}, {"a": 2}])
    c.flush()
    c.update_metadata([1, 2], [{"a": None, "c": 0.5}, {"b": "y"}])
    assert c.get([1, 2], include=True).metadata == [{"b": "x", "c": 0.5}, {"a": 2, "b": "y"}]
    assert np.array_equal(c.get([1, 2]).vectors, vectors(2))
    with pytest.raises(drift.NotFoundError, match="9"):
        c.update_metadata([1, 9], [{"a": 5}, {"a": 5}])
    with pytest.raises(drift.InvalidArgumentError, match='"a" is int'):
        c.update_metadata([1], [{"a": "text"}])
    assert c.get([1], include=True).metadata == [{"b": "x", "c": 0.5}]


def test_an_update_by_filter_gives_each_row_that_matches_the_same(c: drift.Collection) -> None:
    c.upsert(range(6), vectors(6), metadata={"a": [1, 2, 3, 4, 5, None], "b": ["x", "y"] * 3})
    c.flush()
    assert c.update_metadata(filter="a >= 3", metadata={"b": None, "c": True}) == 3
    rows = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, *({"a": a, "c": True} for a in (3, 4, 5)), {"b": "y"}]
    assert c.get(range(6), include=True).metadata == rows
    assert c.update_metadata(filter={"a": {"$lte": 2}}, metadata={"b": None}) == 2
    assert c.update_metadata(filter="a > 9", metadata={"b": "z"}) == 0
    assert c.count("b IS NULL") == 5
    assert np.array_equal(c.get(range(6)).vectors, vectors(6))
    before = c.get(range(6), include=True).metadata
    for options, words in (
        ({"filter": "a > 1"}, "metadata is missing"),
        ({"metadata": {"b": "z"}}, "either ids or filter="),
        ({"ids": [1], "metadata": [{"b": "z"}], "filter": "a > 1"}, "either ids or filter="),
        ({"metadata": [{"b": "z"}], "filter": "a > 1"}, "pass one dict"),
        ({"metadata": {"a": "z"}, "filter": "a > 1"}, '"a" is int'),
    ):
        with pytest.raises(drift.InvalidArgumentError, match=words):
            c.update_metadata(**options)
    assert c.get(range(6), include=True).metadata == before


def test_loads_take_columns_as_metadata(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": [5, 6],
            "embedding": pa.FixedSizeListArray.from_arrays(vectors(2).ravel(), DIM),
            "title": ["a", "b"],
            "when": pa.array([dt.date(2024, 1, 1), None]),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    with drift.connect(tmp_path / "db") as db:
        for name, metadata, wanted in [
            ("none", None, [{}, {}]),
            ("some", ["title"], [{"title": "a"}, {"title": "b"}]),
            ("all", True, [{"title": "a", "when": dt.datetime(2024, 1, 1, tzinfo=UTC)}, {"title": "b"}]),
        ]:
            for source in (tmp_path / "rows.parquet", table):
                c = db.create_collection(f"{name} {type(source).__name__}", dim=DIM)
                c.load(source, metadata=metadata)
                assert c.get([5, 6], include=True).metadata == wanted
        c = db.create_collection("batches", dim=DIM)
        batches: list[Any] = [([1], vectors(1), [{"n": 1}]), ([2], vectors(1)), ([3], vectors(1), {"n": [2.5]})]
        c.load(batches)
        assert c.get([1, 2, 3], include=True).metadata == [{"n": 1.0}, {}, {"n": 2.5}]
        with pytest.raises(drift.InvalidArgumentError, match="nowhere"):
            c.load(table, metadata=["nowhere"])


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ([{"a": 1}], ["2 ids", "1 rows"]),
        ({"a": [1]}, ["'a'", "1 values"]),
        ({"a": 1}, ["'a'", "list"]),
        ([{"a": 1}, {"a": "x"}], ["'a'", "int at row 0", "str at row 1"]),
        ([{"a": 2**63}, None], ['"a"', "row 0", "int64"]),
        ([{"a": object()}, None], ["'a'", "JSON"]),
        ([{1: 2}, None], ["names are str"]),
        ("text", ["list of dicts"]),
        ([{"": 1}, None], ["0 bytes"]),
    ],
)
def test_wrong_metadata_is_refused_and_changes_nothing(c: drift.Collection, metadata: Any, words: list[str]) -> None:
    with pytest.raises(drift.InvalidArgumentError) as caught:
        c.upsert([1, 2], vectors(2), metadata=metadata)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert len(c) == 0
    assert c.fields == {}


def test_fields_have_one_type_for_ever_but_ints_become_floats(c: drift.Collection) -> None:
    c.upsert([1], vectors(1), metadata=[{"a": 1}])
    c.flush()
    with pytest.raises(drift.InvalidArgumentError, match="is int"):
        c.upsert([2], vectors(1), metadata=[{"a": "x"}])
    c.upsert([2], vectors(1), metadata=[{"a": 1.5}])
    assert c.fields == {"a": "float"}
    assert c.count(drift.col("a") >= 1) == 2
    c.optimize()
    assert c.get([1, 2], include=True).metadata == [{"a": 1.0}, {"a": 1.5}]


def test_declared_fields_refuse_others(tmp_path: Path) -> None:
    with drift.connect(tmp_path / "db") as db:
        c = db.create_collection("c", dim=DIM, fields={"year": "int", "extra": "json"})
        c.upsert([1], vectors(1), metadata=[{"year": 1, "extra": "text"}])
        assert c.get([1], include=True).metadata == [{"year": 1, "extra": "text"}]
        with pytest.raises(drift.InvalidArgumentError, match="yaer"):
            c.upsert([2], vectors(1), metadata=[{"yaer": 1}])
        with pytest.raises(drift.InvalidArgumentError, match="yaer"):
            c.search(vectors(1)[0], filter="yaer = 1")
        with pytest.raises(drift.InvalidArgumentError, match="other metadata fields"):
            db.create_collection("c", dim=DIM, fields={"year": "str"}, exist_ok=True)
        assert db.create_collection("c", dim=DIM, exist_ok=True).fields == {"year": "int", "extra": "json"}
        with pytest.raises(drift.InvalidArgumentError, match="timestamp"):
            db.create_collection("d", dim=DIM, fields={"a": "date"})  # type: ignore[dict-item]
