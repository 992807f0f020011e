"""Answers in the frames of other libraries, and back: each has every row, type and value, whichever library it is."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

import drift
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DIM = 4
VECTORS = np.eye(6, DIM, dtype=np.float32) + np.arange(6, dtype=np.float32)[:, None]
START = dt.datetime(2026, 1, 1, 12, 30, 0, 250, tzinfo=dt.UTC)
METADATA: list[dict[str, Any]] = [
    {
        "n": 2**53 + row,
        "half": row / 2,
        "name": f"größe {row}",
        "even": row % 2 == 0,
        "tags": ["a", "b"][: row % 3],
        "when": START + dt.timedelta(days=row),
    }
    for row in range(5)
] + [{}]


@pytest.fixture
def answers(docs_of: drift.Collection) -> dict[str, Any]:
    """Return one query's hits, several queries' hits, rows and a page."""
    return {
        "hits": docs_of.search(VECTORS[0], k=9, exact=True, include=True),
        "several": docs_of.search(VECTORS[:2], k=3, exact=True, include=["n", "when"]),
        "rows": docs_of.get(range(6), include=True),
        "page": docs_of.scroll(limit=6, vectors=True),
    }


@pytest.fixture
def docs_of(db: drift.Database) -> drift.Collection:
    """Return six rows, one of them without metadata, half of them flushed."""
    made = db.create_collection("docs", dim=DIM, metric="l2")
    made.add(range(3), VECTORS[:3], metadata=METADATA[:3])
    made.flush()
    made.add(range(3, 6), VECTORS[3:], metadata=METADATA[3:])
    return made


def plain(value: Any) -> Any:
    """Return a value as plain Python has it; every library's missing one is None."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(one) for one in value]
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value


def records(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: plain(value) for name, value in row.items()} for row in rows]


def by_duckdb(answer: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = duckdb.from_arrow(answer).to_arrow_table().to_pylist()
    return rows


FRAMES: dict[str, Callable[[Any], list[dict[str, Any]]]] = {
    "pyarrow": lambda answer: answer.to_arrow().to_pylist(),
    "pyarrow, by its protocol": lambda answer: pa.table(answer).to_pylist(),
    "polars": lambda answer: answer.to_polars().to_dicts(),
    "polars, by its protocol": lambda answer: pl.DataFrame(answer).to_dicts(),
    "pandas": lambda answer: answer.to_pandas().to_dict("records"),
    "duckdb": by_duckdb,
}


@pytest.mark.parametrize("frame", FRAMES)
def test_every_library_shows_the_same_rows(frame: str, answers: dict[str, Any]) -> None:
    for name, answer in answers.items():
        found = records(FRAMES[frame](answer))
        wanted = records(FRAMES["pyarrow"](answer))
        # Libraries keep the moment; whether they say UTC or the zone's name is theirs.
        assert found == wanted, name
        if name in ("rows", "page"):
            assert [{key: row[key] for key in METADATA[0]} for row in found[:5]] == METADATA[:5]
            assert all(value is None for key, value in found[5].items() if key in METADATA[0])
            np.testing.assert_array_equal(np.array([row["vector"] for row in found], np.float32), VECTORS)


def test_pandas_takes_answers_by_its_protocol(answers: dict[str, Any]) -> None:
    for answer in answers.values():
        frame = pd.DataFrame.from_arrow(answer)
        # What it makes of missing integers is floats: `to_pandas` keeps them as they are.
        assert frame["id"].tolist() == answer.to_arrow()["id"].to_pylist()
        assert list(frame.columns) == list(answer.to_pandas().columns)


def test_duckdb_asks_answers_in_sql(answers: dict[str, Any]) -> None:
    hits = answers["hits"]
    found = duckdb.sql("select id, distance from hits where n > 9007199254740993 and 'a' = any(tags) order by distance")
    assert found.fetchall() == [(row, hits.distances[hits.ids.tolist().index(row)]) for row in (2, 4)]
    rows = answers["rows"]
    assert duckdb.sql("select count(*), max(half) from rows").fetchall() == [(6, 2.0)]
    assert rows.metadata[5] == {}


class Relation:
    """What has rows and columns and the Arrow protocol, but is no array."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.shape = table.shape

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, at: object) -> Any:
        raise RuntimeError(f"no column {at}")

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


def test_a_relation_is_a_query_as_it_is_vectors(db: drift.Database) -> None:
    table = pa.table({"embedding": pa.array(VECTORS.tolist(), pa.list_(pa.float32()))})
    for name, relation, one in (
        ("class", Relation(table), Relation(table[:1])),
        ("duckdb", duckdb.from_arrow(table), duckdb.from_arrow(table).limit(1)),
    ):
        c = db.create_collection(name, dim=DIM, metric="l2")
        c.upsert(range(len(VECTORS)), relation)
        assert c.search(relation, k=1, exact=True).ids.ravel().tolist() == list(range(len(VECTORS)))
        assert c.explain(one, k=1).k == 1


@pytest.mark.parametrize("through", ["pyarrow", "polars", "pandas", "duckdb", "rows"])
def test_a_frame_of_rows_is_loaded_again(through: str, docs_of: drift.Collection, db: drift.Database) -> None:
    rows = docs_of.get(range(6), include=True)
    frames: dict[str, Callable[[], Any]] = {
        "pyarrow": rows.to_arrow,
        "polars": rows.to_polars,
        "pandas": lambda: pa.Table.from_pandas(rows.to_pandas()),
        "duckdb": lambda: duckdb.from_arrow(rows).filter("id >= 0"),
        "rows": lambda: rows,
    }
    again = db.create_collection("again", dim=DIM, metric="l2")
    assert again.load(frames[through](), vector="vector", metadata=True)["rows"] == 6
    copied = again.get(range(6), include=True)
    np.testing.assert_array_equal(copied.vectors, VECTORS)
    assert copied.metadata == METADATA
    assert again.fields == docs_of.fields


@pytest.mark.parametrize("through", ["pyarrow", "polars", "parquet", "rows"])
def test_json_comes_back_as_json(through: str, db: drift.Database, tmp_path: Path) -> None:
    nested: list[dict[str, Any]] = [{"j": {"a": [1, {"b": None}]}}, {"j": {"c": "é"}}, {}]
    made = db.create_collection("nested", dim=DIM, metric="l2")
    made.add(range(3), VECTORS[:3], metadata=nested)
    rows = made.get(range(3), include=True)
    assert rows.to_arrow().schema.field("j").type == pa.json_()
    pq.write_table(rows.to_arrow(), tmp_path / "rows.parquet")
    frames: dict[str, Any] = {
        "pyarrow": rows.to_arrow(),
        "polars": rows.to_polars(),
        "parquet": tmp_path / "rows.parquet",
        "rows": rows,
    }
    again = db.create_collection("again", dim=DIM, metric="l2")
    again.load(frames[through], vector="vector", metadata=True)
    assert again.fields == {"j": "json"}
    assert again.get(range(3), include=True).metadata == nested
    assert again.count("j.a = 1") == 1


def test_text_that_is_said_to_be_json_and_is_none_is_refused(db: drift.Database) -> None:
    said = pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}", "{"]))
    table = pa.table({"id": [0, 1], "vector": pa.array(VECTORS[:2].tolist(), pa.list_(pa.float32())), "j": said})
    c = db.create_collection("c", dim=DIM, metric="l2")
    with pytest.raises(drift.InvalidArgumentError, match=r'"j" has a value that is no JSON'):
        c.load(table, vector="vector", metadata=True)
    assert len(c) == 0


def test_columns_of_polars_without_any_value_are_read_as_those_of_others(db: drift.Database) -> None:
    made = db.create_collection("empty", dim=DIM, metric="l2", id_type="str")
    frame = pl.DataFrame(
        {
            "id": ["a", "b"],
            "embedding": VECTORS[:2].tolist(),
            "note": [None, None],
            "tags": [[], []],
            "size": [{"w": None}, None],
        }
    ).with_columns(pl.Series("pair", [[None, None], None], dtype=pl.Array(pl.Null, 2)))
    assert made.load(frame)["rows"] == 2
    assert made.load([frame], metadata=["note"])["rows"] == 2
    assert made.get(["a", "b"], include=True).metadata == [{}, {}]
    made.upsert(["c"], VECTORS[:1], metadata=pl.DataFrame({"year": [None]}))
    assert made.get(["c"], include=True).metadata == [{}]
    with pytest.raises(drift.InvalidArgumentError, match="row 0: is null"):
        made.upsert(pl.Series([None]), VECTORS[:1])
    kept = frame.select("id", "embedding", "note", "tags", "size")
    assert made.load(kept, metadata=True)["rows"] == 2
    assert made.get(["a"], include=True).metadata == [{"tags": [], "size": {"w": None}}]
    assert frame.schema["note"] == pl.Null, "the caller's frame is as it was"
