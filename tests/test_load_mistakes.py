"""Mistakes of newcomers who load a table or a file: one error names file, column and row, and changes nothing."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.refusals import DIM, IDS, ROWS, parquet, refused

if TYPE_CHECKING:
    import drift


@pytest.fixture
def c(db: drift.Database) -> drift.Collection:
    """Return an empty collection of four dimensions."""
    return db.create_collection("docs", dim=DIM, metric="l2")


WRONG_SOURCES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "none": (None, ("source is NoneType", "Parquet")),
    "absent": ("absent.parquet", ("no file absent.parquet", "it would be /")),
    "empty file": ("folder/empty.parquet", ("empty.parquet is empty", "cut off")),
    "tiny file": ("folder/tiny.parquet", ("tiny.parquet", "no Parquet file", '"x"')),
    "cut file": ("folder/cut.parquet", ("cut.parquet", "does not end", "copy it again")),
    "bare marks": ("folder/marks.parquet", ("marks.parquet", "does not end")),
    "folder": ("folder", ("folder 'folder'", "glob.glob")),
    "pattern": ("folder/*.parquet", ("folder/*.parquet", "glob.glob")),
    "address": ("https://example.com/a.parquet", ("https://", "local")),
    "text file": ("folder/rows.csv", ("rows.csv is no Parquet file", '"id,e"', "pandas")),
    "dict of columns": ({"id": IDS, "embedding": ROWS}, ("dict", "pyarrow.table")),
    "rows as dicts": ([{"id": 1, "embedding": [1.0] * 4}], ("batch 0", "dict", "from_pylist")),
    "matrix": (ROWS, ("ndarray", "ids", "upsert")),
    "one pair": ((IDS, ROWS), ("batch 0", "list", "upsert")),
    "bytes": (b"PAR1", ("source is bytes",)),
    "zero byte": ("a\0b.parquet", ("a\\x00b.parquet", "zero byte")),
    "triples": ([(IDS, ROWS, "x")], ("batch 0", "metadata", "list of dicts")),
    "paths from a generator": ((Path(name) for name in ["a.parquet"]), ("batch 0", "paths as a list")),
    "second batch": ([(IDS, ROWS), ([4, 5], ROWS[:1])], ("batch 1", "2 ids", "1 vector")),
    "floats as ids": ([(IDS, ROWS), ([4, 5.5], ROWS[:2])], ("batch 1", "row 1", "5.5")),
    "other names": (pd.DataFrame({"key": IDS, "vec": list(ROWS)}), ('"id"', "key", "id= and vector=")),
}


@pytest.mark.parametrize("case", WRONG_SOURCES)
def test_wrong_sources_are_refused_and_change_nothing(
    c: drift.Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "rows.csv").write_text("id,embedding\n1,2\n")
    (tmp_path / "folder" / "empty.parquet").touch()
    (tmp_path / "folder" / "tiny.parquet").write_bytes(b"x")
    (tmp_path / "folder" / "marks.parquet").write_bytes(b"PAR1PAR1")
    whole = parquet(tmp_path, id=IDS, embedding=list(ROWS))
    (tmp_path / "folder" / "cut.parquet").write_bytes(whole.read_bytes()[:-20])
    source, words = WRONG_SOURCES[case]
    refused(lambda: c.load(source), *words)
    assert len(c) == 0


ODD_METADATA: dict[str, tuple[pa.Array, tuple[str, ...]]] = {
    "decimal": (pa.array([Decimal("1.25")] * 3), ("Decimal128", "float64", 'metadata=["name"]')),
    "time of day": (pa.array([dt.time(1)] * 3), ("Time64", "text")),
    "duration": (pa.array([dt.timedelta(1)] * 3), ("Duration", "integers")),
    "bytes": (pa.array([b"x"] * 3), ("Binary", "text")),
    "uuid bytes": (pa.array([bytes(16)] * 3, pa.binary(16)), ("FixedSizeBinary", "hex")),
    "vectors": (pa.array([[1.0, 2.0]] * 3), ("List", "looks like vectors", "leave it out")),
    "uint64": (pa.array([1, 2, 2**63], pa.uint64()), ("row 2", "out of range", "int64")),
    "nan in a struct": (pa.array([{"a": 1.0}, {"a": float("nan")}, {"a": 1.0}]), ("row 1", "NaN", "JSON")),
}


@pytest.mark.parametrize("case", ODD_METADATA)
def test_odd_metadata_is_refused_by_column_with_what_to_do(c: drift.Collection, tmp_path: Path, case: str) -> None:
    column, words = ODD_METADATA[case]
    file = parquet(tmp_path, id=IDS, embedding=list(ROWS), name=["a", "b", "c"], odd=column)
    refused(lambda: c.load(file, metadata=True), 'own.parquet, column "odd"', *words)
    refused(lambda: c.upsert(IDS, ROWS, metadata=pa.table({"odd": column})), 'column "odd"')
    assert len(c) == 0
    assert c.load(file, metadata=["name"])["rows"] == 3


def test_a_compression_that_is_not_read_is_refused_where_a_column_needs_it(c: drift.Collection, tmp_path: Path) -> None:
    table = pa.table({"id": IDS, "embedding": list(ROWS), "name": ["a", "b", "c"]})
    for codec in ("none", "snappy", "zstd", "gzip", "lz4"):
        pq.write_table(table, tmp_path / "own.parquet", compression=codec)
        assert c.load(tmp_path / "own.parquet", metadata=True)["rows"] == 3
    pq.write_table(table, tmp_path / "own.parquet", compression={"id": "snappy", "name": "brotli"})
    refused(
        lambda: c.load(tmp_path / "own.parquet", metadata=True),
        'own.parquet, column "name" is compressed with brotli',
        "write the file again with snappy, zstd",
    )
    assert c.load(tmp_path / "own.parquet")["rows"] == 3


def test_the_vectors_are_no_metadata_and_an_unknown_column_is_told(c: drift.Collection, tmp_path: Path) -> None:
    file = parquet(tmp_path, id=IDS, embedding=list(ROWS), name=["a", "b", "c"])
    refused(lambda: c.load(file, metadata=["embedding"]), 'column "embedding"', "leave it out")
    refused(lambda: c.load(file, metadata="all"), 'no column "all"', '"name"', "metadata=True")


UTC = dt.UTC
NESTED: dict[str, tuple[pa.Array, str | None, list[Any]]] = {
    "int8": (pa.array([1, None, 3], pa.int8()), "int", [1, None, 3]),
    "float16": (pa.array(np.array([0.5, 1, 2], np.float16)), "float", [0.5, 1.0, 2.0]),
    "large string": (pa.array(["a", None, "c"], pa.large_string()), "str", ["a", None, "c"]),
    "categorical": (pa.array(["a", None, "a"]).dictionary_encode(), "str", ["a", None, "a"]),
    "categorical without a value": (pa.array([None] * 3, pa.dictionary(pa.int32(), pa.string())), None, [None] * 3),
    "date": (pa.array([dt.date(2024, 2, 29)] * 3), "timestamp", [dt.datetime(2024, 2, 29, tzinfo=UTC)] * 3),
    "zoned time": (
        pa.array([dt.datetime(2024, 2, 29, 12, tzinfo=UTC)] * 3, pa.timestamp("ms", "Europe/Berlin")),
        "timestamp",
        [dt.datetime(2024, 2, 29, 12, tzinfo=UTC)] * 3,
    ),
    "list of text": (pa.array([["a"], None, []], pa.list_(pa.large_string())), "list", [["a"], None, []]),
    "fixed list of text": (
        pa.array([["a", "b"], None, ["c", "d"]], pa.list_(pa.string(), 2)),
        "list",
        [["a", "b"], None, ["c", "d"]],
    ),
    "struct": (
        pa.array([{"w": 1, "t": dt.datetime(2024, 2, 29)}, None, {"w": None, "t": None}]),
        "json",
        [{"w": 1, "t": "2024-02-29T00:00:00+00:00"}, None, {"w": None, "t": None}],
    ),
    "list of ints": (pa.array([[1, None], None, []], pa.large_list(pa.int16())), "json", [[1, None], None, []]),
    "structs in lists": (pa.array([[{"a": ["x"]}], [None], None]), "json", [[{"a": ["x"]}], [None], None]),
    "map": (
        pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        "json",
        [{"k": 1}, None, {}],
    ),
}


@pytest.mark.parametrize("case", NESTED)
def test_columns_of_every_other_type_become_metadata(c: drift.Collection, tmp_path: Path, case: str) -> None:
    column, kind, wanted = NESTED[case]
    c.load(parquet(tmp_path, id=IDS, embedding=list(ROWS), odd=column), metadata=True)
    assert c.fields == ({} if kind is None else {"odd": kind})
    assert [row.get("odd") for row in c.get(IDS, include=True).metadata] == wanted
    c.upsert(IDS, ROWS, metadata=pa.table({"odd": column}).slice(0))
    assert [row.get("odd") for row in c.get(IDS, include=True).metadata] == wanted


OWN_FILES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "other column": ({"id": IDS, "vector": list(ROWS)}, ('"embedding"', '"vector"', "vector=")),
    "other dim": ({"id": IDS, "embedding": [[1.0] * 5] * 3}, ("row 0", "5 values", "dim is 4")),
    "ragged": ({"id": IDS, "embedding": [[1.0] * 4, [1.0] * 3, [1.0] * 4]}, ("row 1", "3 values", "dim is 4")),
    "json": ({"id": IDS, "embedding": ["[1,2,3,4]"] * 3}, ('"embedding"', "float32", "parse it")),
    "bytes": ({"id": IDS, "embedding": [bytes(16)] * 3}, ('"embedding"', "numpy.frombuffer")),
    "in a struct": ({"id": IDS, "embedding": [{"v": [1.0] * 4}] * 3}, ('"embedding"', "out of the struct")),
    "nested": ({"id": IDS, "embedding": [[[1.0] * 4]] * 3}, ('"embedding"', "flatten")),
    "numbers": ({"id": IDS, "embedding": [1.0] * 3}, ('"embedding"', "in one list")),
    "decimals": ({"id": IDS, "embedding": [[Decimal(1)] * 4] * 3}, ('"embedding"', "list<float32>")),
    "uuid ids": (
        {"id": pa.array([bytes(16)] * 3, pa.binary(16)), "embedding": list(ROWS)},
        ('"id"', "UUIDs as strings"),
    ),
    "categorical ids": (
        {"id": pa.array(["a", "b", "c"]).dictionary_encode(), "embedding": list(ROWS)},
        ('"id"', "id_type", "make them integers"),
    ),
    "negative categorical id": (
        {"id": pa.array([1, -2, 3]).dictionary_encode(), "embedding": list(ROWS)},
        ("row 1", "-2", ">= 0"),
    ),
    "null categorical id": (
        {"id": pa.array([1, None, 3]).dictionary_encode(), "embedding": list(ROWS)},
        ("row 1", "null"),
    ),
    "null": ({"id": IDS, "embedding": [[1.0] * 4, None, [1.0] * 4]}, ("row 1", "null", "leave the row out")),
    "null id": ({"id": [1, None, 3], "embedding": list(ROWS)}, ('"id"', "row 1", "null", "leave the row out")),
    "swapped": ({"id": list(ROWS), "embedding": IDS}, ('"id"', "swapped?")),
    "beyond float32": (
        {"id": IDS, "embedding": [[1.0] * 4, [1.0, 1e39, 1.0, 1.0], [1.0] * 4]},
        ("row 1", "value 1", "1e39"),
    ),
    "null value": ({"id": IDS, "embedding": [[1.0] * 4, [1.0, None, 1.0, 1.0], [1.0] * 4]}, ("row 1", "value 1")),
    "nan": ({"id": IDS, "embedding": np.where(ROWS == 6, np.nan, ROWS).tolist()}, ("row 1", "column 1", "NaN")),
    "float ids": ({"id": [1.0, 2.0, 3.0], "embedding": list(ROWS)}, ('"id"', "integers or strings", "int64")),
    "string ids": ({"id": ["a", "b", "c"], "embedding": list(ROWS)}, ('"id"', "id_type", "make them integers")),
    "negative id": ({"id": [1, -2, 3], "embedding": list(ROWS)}, ("row 1", "-2", ">= 0")),
}


@pytest.mark.parametrize("case", OWN_FILES)
def test_a_wrong_file_is_named_with_column_and_row(c: drift.Collection, tmp_path: Path, case: str) -> None:
    columns, words = OWN_FILES[case]
    file = parquet(tmp_path, **columns)
    refused(lambda: c.load(file), "own.parquet", *words)
    assert len(c) == 0


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64(), pa.int8(), pa.uint64()], ids=str)
@pytest.mark.parametrize("fixed", [False, True], ids=["list", "fixed_size_list"])
def test_both_kinds_of_lists_load_from_a_file(
    c: drift.Collection, tmp_path: Path, fixed: bool, kind: pa.DataType
) -> None:
    flat = pa.array(ROWS.reshape(-1)).cast(kind)
    column = pa.FixedSizeListArray.from_arrays(flat, DIM)
    c.load(parquet(tmp_path, id=IDS, embedding=column if fixed else column.cast(pa.list_(kind))))
    np.testing.assert_array_equal(c.get(IDS).vectors, ROWS)


def test_categorical_ids_load_from_a_file(db: drift.Database, c: drift.Collection, tmp_path: Path) -> None:
    c.load(parquet(tmp_path, id=pa.array([7, 8, 9], pa.uint8()).dictionary_encode(), embedding=list(ROWS)))
    assert sorted(c.ids().tolist()) == [7, 8, 9]
    named = db.create_collection("named", dim=DIM, id_type="str")
    named.load(parquet(tmp_path, id=pa.array(["x", "y", "z"]).dictionary_encode(), embedding=list(ROWS)))
    assert sorted(named.ids().tolist()) == ["x", "y", "z"]


def test_an_open_file_is_refused(c: drift.Collection, tmp_path: Path) -> None:
    with parquet(tmp_path, id=IDS, embedding=list(ROWS)).open("rb") as file:
        refused(lambda: c.load(file), "open file", "path")  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "value"), [("id", None), ("vector", 1)])
def test_a_column_name_that_is_no_text_is_refused(c: drift.Collection, tmp_path: Path, name: str, value: Any) -> None:
    file = parquet(tmp_path, id=IDS, embedding=list(ROWS))
    refused(lambda: c.load(file, **{name: value}), f"{name} is {value!r}", "str")


@pytest.mark.parametrize("progress", ["bar", 1])
def test_a_progress_that_is_no_function_is_refused(c: drift.Collection, progress: Any) -> None:
    refused(lambda: c.load([(IDS, ROWS)], progress=progress), "progress is", "function")
