"""Mistakes of newcomers: each gets one error of drift that names what is wrong, and most what to do instead."""

from __future__ import annotations

import datetime as dt
import os
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drift import _input

if TYPE_CHECKING:
    from collections.abc import Callable

DIM = 4
ROWS = np.arange(12, dtype=np.float32).reshape(3, DIM) + 1
IDS = [1, 2, 3]


class Tensor:
    """What a tensor library gives: an array, or a complaint that says what to do."""

    def __init__(self, values: np.ndarray[Any, Any], complaint: Exception | None = None) -> None:
        self.values, self.complaint = values, complaint

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        if self.complaint is not None:
            raise self.complaint
        return self.values

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Any:
        return (Tensor(row, self.complaint) for row in self.values)


CUDA = TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
GRAD = RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy()")


@pytest.fixture
def c(db: drift.Database) -> drift.Collection:
    """Return an empty collection of four dimensions."""
    return db.create_collection("docs", dim=DIM, metric="l2")


def refused(call: Callable[[], object], *words: str) -> None:
    """Fail unless the call raises one line that has all these words."""
    with pytest.raises((drift.InvalidArgumentError, drift.NotFoundError)) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text


WRONG_VECTORS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "none": (None, ("vectors", "None")),
    "text": ("how do I parse json", ("vectors", "embed it first")),
    "texts": (["a", "b", "c"], ("row 0", "'a'", "embed")),
    "json": (["[1,2,3,4]"] * 3, ("row 0", "parse")),
    "numbers as text": ([["1", "2", "3", "4"]] * 3, ("row 0, column 0", "'1'")),
    "text array": (np.array([["1"] * 4] * 3), ("dtype <U1", "float32")),
    "none among rows": ([[1.0] * 4, None, [1.0] * 4], ("row 1", "None")),
    "none among values": ([[1.0] * 4, [1.0, None, 1.0, 1.0], [1.0] * 4], ("row 1, column 1", "None")),
    "ragged": ([[1.0] * 4, [1.0] * 3, [1.0] * 4], ("row 1 has 3 values", "row 0 has 4")),
    "ragged arrays": ([np.ones(4), np.ones(3), np.ones(4)], ("row 1 has 3 values", "row 0 has 4")),
    "dict of columns": ({"embedding": ROWS.tolist()}, ("dict", "not a vector")),
    "rows as dicts": ([{"embedding": [1.0] * 4}] * 3, ("row 0", "dict")),
    "set": ([{1.0, 2.0, 3.0, 4.0}] * 3, ("row 0", "set")),
    "generator": (([1.0] * 4 for _ in range(3)), ("generator", "list")),
    "wrong dim": (np.ones((3, 5)), ("5 columns", "dim is 4")),
    "transposed": (ROWS.T, ("3 columns", "dim is 4")),
    "flat": (ROWS.reshape(-1), ("shape (12,)", ".reshape(-1, 4)")),
    "one vector for three ids": (ROWS[0], ("shape (4,)", "(n, 4)")),
    "three axes": (ROWS[:, None], ("shape (3, 1, 4)", ".reshape(-1, 4)")),
    "too few": (ROWS[:1], ("3 ids", "1 vector:")),
    "nan": (np.where(ROWS == 6, np.nan, ROWS), ("row 1", "column 1", "NaN")),
    "beyond float32": (
        np.where(ROWS == 6, 1e300, ROWS.astype(np.float64)),
        ("row 1", "column 1", "1e+300", "float32", "scale"),
    ),
    "infinite": (np.where(ROWS == 6, np.inf, ROWS.astype(np.float64)), ("row 1", "column 1", "inf", "finite")),
    "too long for float32": (np.where(ROWS == 6, 1e30, ROWS), ("row 1", "too long", "scale")),
    "masked": (np.ma.masked_array(ROWS, mask=ROWS == 6), ("masked",)),
    "complex": (ROWS.astype(complex), ("complex128", "float32")),
    "bool": (ROWS > 1, ("bool", "float32")),
    "on a gpu": (Tensor(ROWS, CUDA), ("vectors", "Tensor", "Tensor.cpu()")),
    "rows on a gpu": (list(Tensor(ROWS, CUDA)), ("row 0", "Tensor.cpu()")),
    "with gradients": (Tensor(ROWS, GRAD), ("vectors", "tensor.detach()")),
    "null in polars": (pl.Series([[1.0] * 4, None, [1.0] * 4]), ("vectors", "row 1", "null", "leave the row out")),
    "beyond float32 in polars": (
        pl.Series([[1.0] * 4, [1.0, 1e39, 1.0, 1.0]] * 2),
        ("row 1", "value 1", "1e39", "float32"),
    ),
}


@pytest.mark.parametrize("case", WRONG_VECTORS)
def test_wrong_vectors_are_refused_with_their_place(c: drift.Collection, case: str) -> None:
    vectors, words = WRONG_VECTORS[case]
    refused(lambda: c.add(IDS, vectors), *words)
    assert len(c) == 0


FLAWLESS_VECTORS: dict[str, Any] = {
    "list": ROWS.tolist(),
    "arrays": list(ROWS),
    "integers": ROWS.astype(np.int8),
    "lists of integers": ROWS.astype(int).tolist(),
    "f16": ROWS.astype(np.float16),
    "f64": ROWS.astype(np.float64),
    "big-endian": ROWS.astype(">f4"),
    "objects": np.array([None, *ROWS], dtype=object)[1:],
    "tensor": Tensor(ROWS),
    "tensors": list(Tensor(ROWS)),
    "nothing masked": np.ma.masked_array(ROWS, mask=np.zeros_like(ROWS, dtype=bool)),
    "pandas column": pd.Series(ROWS.tolist()),
    "pandas matrix": pd.DataFrame(ROWS),
    "polars column": pl.Series(ROWS.tolist()),
    "polars matrix": pl.DataFrame(ROWS),
    "arrow table of a matrix": pa.table(dict(zip("abcd", ROWS.T, strict=True))),
}


@pytest.mark.parametrize("case", FLAWLESS_VECTORS)
def test_what_can_be_read_without_doubt_is_read(c: drift.Collection, case: str) -> None:
    c.add(IDS, FLAWLESS_VECTORS[case])
    np.testing.assert_array_equal(c.get(IDS).vectors, ROWS)
    one = FLAWLESS_VECTORS[case][0] if "arrow" not in case and "matrix" not in case and case != "tensor" else ROWS[0]
    assert c.search(one, k=1, exact=True).ids.tolist() == [1]


WRONG_IDS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "none": (None, ("ids", "NoneType")),
    "floats": ([1.0, 2.0, 3.0], ("row 0", "1.0 (float)", "an int")),
    "float array": (np.array([1.0, 2.0, 3.0]), ("float64", ".astype(int)")),
    "negative": ([1, -2, 3], ("id -2 at row 1", ">= 0")),
    "beyond int64": ([1, 2, 2**63], ("row 2", "out of range")),
    "a none": ([1, None, 3], ("row 1", "None")),
    "text": (["a", "b", "c"], ("ids are str", "id_type is int", 'id_type="str"')),
    "text in polars": (pl.Series(["a", "b", "c"]), ("ids", 'id_type is "int"', "make them integers")),
    "mixed": ([1, "2", 3], ("row 1", "'2' (str)", "an int")),
    "bools": ([True, False, True], ("row 0", "True (bool)")),
    "column": (np.array([[1], [2], [3]]), ("shape (3, 1)", "one-dimensional")),
    "dict": ({1: 2}, ("ids", "dict")),
    "set": ({1, 2, 3}, ("set", "no order", "list")),
    "rows": (ROWS, ("ids", "shape (3, 4)")),
    "vectors in polars": (pl.Series(ROWS.tolist()), ("ids", "swapped?")),
    "float series": (pd.Series([1.0, None, 3.0]), ("ids", "integers")),
    "null in a series": (pl.Series([1, None, 3]), ("ids", "row 1", "null")),
    "masked": (np.ma.masked_array(np.array(IDS), mask=np.array([False, True, False])), ("ids", "masked")),
}


@pytest.mark.parametrize("case", WRONG_IDS)
def test_wrong_ids_are_refused_with_their_place(c: drift.Collection, case: str) -> None:
    ids, words = WRONG_IDS[case]
    refused(lambda: c.upsert(ids, ROWS), *words)
    assert len(c) == 0


@pytest.mark.parametrize(
    "rows", [ROWS, ROWS.tolist(), list(ROWS), pl.DataFrame(ROWS)], ids=lambda rows: type(rows).__name__
)
@pytest.mark.parametrize(
    "ids", [IDS, np.array(IDS), ["a", "b", "c"], pd.Series(IDS)], ids=lambda ids: type(ids).__name__
)
def test_swapped_arguments_are_told(db: drift.Database, c: drift.Collection, rows: Any, ids: Any) -> None:
    named = db.create_collection("named", dim=DIM, id_type="str")
    for call in (c.add, c.upsert, named.add, lambda ids, rows: c.load([(ids, rows)])):
        refused(lambda call=call: call(rows, ids), "swap the two", "ids come first")  # type: ignore[misc]
    assert len(c) == len(named) == 0


def test_wrong_string_ids_are_refused_with_their_place(db: drift.Database) -> None:
    c = db.create_collection("named", dim=DIM, id_type="str")
    refused(lambda: c.add(IDS, ROWS), "ids are int", "id_type is str", 'id_type="int"')
    refused(lambda: c.add(pl.Series(IDS), ROWS), "Int64", 'id_type is "str"', "make them strings")
    refused(lambda: c.add(["a", 2, "c"], ROWS), "row 1", "2 (int)", "a str")  # type: ignore[arg-type]
    refused(lambda: c.add(["a", "", "c"], ROWS), "row 1", "0 bytes")
    refused(lambda: c.add([b"a", b"b", b"c"], ROWS), "row 0", "bytes", "a str")  # type: ignore[arg-type]
    assert len(c) == 0


def test_an_id_given_twice_or_again_is_named(c: drift.Collection) -> None:
    with pytest.raises(drift.AlreadyExistsError, match=r"id 1 .*rows 0 and 2"):
        c.add([1, 2, 1], ROWS)
    c.add(IDS, ROWS)
    with pytest.raises(drift.AlreadyExistsError, match=r"id 1 .*row 0.*upsert\(\)"):
        c.add(IDS, ROWS)


WRONG_QUERIES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "text": ("how do I parse json", ("query", "embed it first")),
    "texts": (["how do I parse json"], ("query", "row 0", "embed")),
    "none": (None, ("query", "None")),
    "a number": (3.0, ("query", "3.0", "sequence")),
    "a none": ([1.0, None, 1.0, 1.0], ("query", "value 1", "None")),
    "wrong dim": (np.ones(5), ("query", "(5,)", "(4,) or (n, 4)")),
    "column": (np.ones((4, 1)), ("query", "(4, 1)", "(4,)")),
    "ragged": ([[1.0] * 4, [1.0] * 3], ("query", "row 1 has 3 values")),
    "dict": ({"vector": [1.0] * 4}, ("query", "dict")),
    "on a gpu": (Tensor(ROWS, CUDA), ("query", "Tensor.cpu()")),
    "nan": ([np.nan] * 4, ("query", "NaN")),
    "beyond float32": ([1.0, 1e39, 1.0, 1.0], ("query", "column 1", "1e+39", "float32")),
}


@pytest.mark.parametrize("case", WRONG_QUERIES)
def test_wrong_queries_are_refused_and_say_so(c: drift.Collection, case: str) -> None:
    query, words = WRONG_QUERIES[case]
    c.add(IDS, ROWS)
    refused(lambda: c.search(query), *words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": 5.0}, ("k is 5.0", "int")),
        ({"k": "5"}, ("k is '5'", "int")),
        ({"recall": 95}, ("recall is 95", "at most 1", "95 % is 0.95")),
        ({"recall": 1.5}, ("recall is 1.5", "at most 1")),
        ({"recall": 0}, ("recall is 0", "above 0")),
        ({"recall": "0.95"}, ("recall is '0.95'", "number")),
        ({"exact": "yes"}, ("exact is 'yes'", "True or False")),
        ({"nprobe": 1.5}, ("nprobe is 1.5", "int")),
        ({"threads": "all"}, ("threads is 'all'", "int")),
    ],
)
def test_wrong_options_are_refused_by_name(
    c: drift.Collection, options: dict[str, Any], words: tuple[str, ...]
) -> None:
    refused(lambda: c.search(ROWS[0], **options), *words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metric": "euclidean"}, ("euclidean", 'did you mean "l2"?', '"cosine" or "dot"')),
        ({"metric": "L2"}, ("L2", 'did you mean "l2"?')),
        ({"metric": "ip"}, ("ip", 'did you mean "dot"?')),
        ({"metric": "inner_product"}, ("inner_product", 'did you mean "dot"?')),
        ({"metric": "angular"}, ("angular", 'did you mean "cosine"?')),
        ({"metric": "hamming"}, ("hamming", 'use "l2", "cosine" or "dot"')),
        ({"id_type": "string"}, ("string", 'did you mean "str"?')),
        ({"id_type": "uuid"}, ("uuid", 'did you mean "str"?')),
        ({"id_type": "int64"}, ("int64", 'did you mean "int"?')),
        ({"precision": "int8"}, ("int8", 'did you mean "sq8"?')),
        ({"precision": "float32"}, ("float32", 'use "1bit" or "sq8"')),
        ({"metric": None}, ("metric is None", '"l2"')),
        ({"id_type": int}, ("id_type", '"int" or "str"')),
        ({"precision": 8}, ("precision is 8", '"sq8"')),
        ({"dim": 384.0}, ("dim is 384.0", "int")),
        ({"dim": "384"}, ("dim is '384'", "int")),
        ({"name": 7}, ("name is 7", "str")),
    ],
)
def test_wrong_schemas_are_refused_by_name(db: drift.Database, options: dict[str, Any], words: tuple[str, ...]) -> None:
    refused(lambda: db.create_collection(**{"name": "docs", "dim": DIM, **options}), *words)


def test_wrong_lookups_are_refused_by_name(c: drift.Collection, db: drift.Database) -> None:
    refused(lambda: c.get([12345]), "12345", "docs", "skip")
    refused(lambda: c.get([1], missing=None), "missing is None", '"skip"')  # type: ignore[arg-type]
    refused(lambda: db["dosc"], "dosc", "docs")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        (None, ("uri is None", "path")),
        (5, ("uri is 5", "path")),
        ("", ("uri is empty", "memory://")),
        (":memory:", (":memory:", "memory://")),
        (b"bytes", ("bytes", "str")),
        ("s3://bucket/db", ("s3://", "memory://")),
    ],
)
def test_wrong_addresses_are_refused_and_create_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: Any, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(lambda: drift.connect(uri), *words)
    assert list(tmp_path.iterdir()) == []


def test_wrong_durability_and_limit_are_refused_by_name(path: str) -> None:
    refused(lambda: drift.connect(path, durability=True), "durability is True", '"always"')  # type: ignore[arg-type]
    refused(lambda: drift.connect(path, durability="fsync"), 'did you mean "always"?')  # type: ignore[arg-type]
    refused(lambda: drift.connect(path, memory_limit="1GB"), "memory_limit is '1GB'", "int")  # type: ignore[arg-type]


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_is_no_database(tmp_path: Path, read_only: bool) -> None:
    (tmp_path / "data.db").write_text("rows")
    (tmp_path / "rows.parquet").write_text("PAR1")
    for uri in (tmp_path / "data.db", tmp_path / "data.db" / "below", f"file://{tmp_path}/data.db"):
        refused(lambda uri=uri: drift.connect(uri, read_only=read_only), "data.db is a file", "folder")  # type: ignore[misc]
    refused(lambda: drift.connect(tmp_path / "rows.parquet", read_only=read_only), "is a file", "load()")
    assert (tmp_path / "data.db").read_text() == "rows"


def test_reading_what_is_not_there_says_how_it_comes_to_be(tmp_path: Path) -> None:
    refused(lambda: drift.connect(tmp_path / "absent", read_only=True), "absent", "open it for writing")
    refused(lambda: drift.connect(tmp_path, read_only=True), "no database at", "open it for writing")
    assert list(tmp_path.iterdir()) == []


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    pq.write_table(pa.table({"id": IDS, "embedding": list(ROWS)}), tmp_path / "rows.parquet")
    with drift.connect("~/database") as db:
        assert db.uri == str(tmp_path / "database")
        assert db.create_collection("docs", dim=DIM).load("~/rows.parquet")["rows"] == 3


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


def test_the_vectors_are_no_metadata_and_an_unknown_column_is_told(c: drift.Collection, tmp_path: Path) -> None:
    file = parquet(tmp_path, id=IDS, embedding=list(ROWS), name=["a", "b", "c"])
    refused(lambda: c.load(file, metadata=["embedding"]), 'column "embedding"', "leave it out")
    refused(lambda: c.load(file, metadata="all"), 'no column "all"', '"name"', "metadata=True")


UTC = dt.UTC
NESTED: dict[str, tuple[pa.Array, str, list[Any]]] = {
    "int8": (pa.array([1, None, 3], pa.int8()), "int", [1, None, 3]),
    "float16": (pa.array(np.array([0.5, 1, 2], np.float16)), "float", [0.5, 1.0, 2.0]),
    "large string": (pa.array(["a", None, "c"], pa.large_string()), "str", ["a", None, "c"]),
    "categorical": (pa.array(["a", None, "a"]).dictionary_encode(), "str", ["a", None, "a"]),
    "categorical without a value": (pa.array([None] * 3, pa.dictionary(pa.int32(), pa.string())), "str", [None] * 3),
    "date": (pa.array([dt.date(2024, 2, 29)] * 3), "timestamp", [dt.datetime(2024, 2, 29, tzinfo=UTC)] * 3),
    "zoned time": (
        pa.array([dt.datetime(2024, 2, 29, 12, tzinfo=UTC)] * 3, pa.timestamp("ms", "Europe/Berlin")),
        "timestamp",
        [dt.datetime(2024, 2, 29, 12, tzinfo=UTC)] * 3,
    ),
    "list of text": (pa.array([["a"], None, []], pa.list_(pa.large_string())), "list", [["a"], None, []]),
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
    assert c.fields == {"odd": kind}
    assert [row.get("odd") for row in c.get(IDS, include=True).metadata] == wanted
    c.upsert(IDS, ROWS, metadata=pa.table({"odd": column}).slice(0))
    assert [row.get("odd") for row in c.get(IDS, include=True).metadata] == wanted


def test_a_filter_that_finds_nothing_can_be_asked_why(c: drift.Collection) -> None:
    c.add(IDS, ROWS, metadata=[{"year": 2024, "name": "a", "at": dt.datetime(2024, 1, 1), "more": {"x": 1}}] * 3)
    for condition, words in {
        "yaer > 2020": ("'yaer'", "did you mean 'year'"),
        "price > 2020": ("'price'", "'year', 'name', 'at', 'more'"),
        "year > '2020'": ("'year' is int", "text '2020'", "without quotes"),
        "at >= 2024": ("'at' is timestamp", "number 2024", "ISO 8601"),
        "NOT (name IN ('a', 3))": ("'name' is str", "number 3", "in quotes"),
    }.items():
        (doubt,) = c.check_filter(condition)
        assert all(word in doubt for word in words), doubt
    for sound in (
        "year = 2024.5",
        "more.x = 'a'",
        "more.y IS NULL",
        {"name": {"$in": ["a"]}},
        drift.col("at").exists(),
    ):
        assert c.check_filter(sound) == []
    assert c.check_filter("qq = 1 AND zz = 2 OR qq = 1") == [
        f"no row has the field {name!r}: rows have 'year', 'name', 'at', 'more'" for name in ("qq", "zz")
    ]


@pytest.mark.parametrize("flushed", [False, True])
def test_a_text_that_is_compared_with_times_is_read_as_a_time(c: drift.Collection, flushed: bool) -> None:
    days = [dt.datetime(2024, 1, 1), dt.datetime(2024, 5, 31, 12), dt.datetime(2025, 1, 1)]
    c.add(IDS, ROWS, metadata={"at": days, "text": ["2024-01-01", "b", "c"]})
    if flushed:
        c.flush()
    at = drift.col("at")
    for condition, ids in (
        ("at >= '2024-05-31'", [2, 3]),
        ("NOT at < '2024-05-31T14:00:00+02:00'", [2, 3]),
        ("at BETWEEN '2024-01-01' AND '2024-12-31' AND text <> 'b'", [1]),
        ({"at": {"$in": ["2024-01-01", dt.date(2025, 1, 1)]}}, [1, 3]),
        ((at == "20250101") | (at < "2024-01-01 00:00:01Z"), [1, 3]),
        ("text = '2024-01-01'", [1]),
    ):
        assert c.scroll(filter=condition).ids.tolist() == ids, condition
        assert c.count(condition) == len(ids)
        assert sorted(c.search(ROWS[0], k=3, filter=condition).ids.tolist())[-len(ids) :] == ids
    for wrong in ("at >= 'soon'", {"at": {"$in": ["2024-01-01", "2024-13-01"]}}):
        for call in (c.count, lambda wrong: c.delete(filter=wrong), lambda wrong: c.search(ROWS[0], filter=wrong)):
            refused(partial(call, wrong), "'at' holds times", "ISO 8601", "2024-06-01")
    assert c.delete(filter=at < "2024-02-01") == 1


def parquet(folder: Path, **columns: Any) -> Path:
    """Return a Parquet file of these columns."""
    pq.write_table(pa.table(columns), folder / "own.parquet")
    return folder / "own.parquet"


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


def test_pandas_without_pyarrow_is_read_as_arrays(c: drift.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_input, "find_spec", lambda _name: None)
    c.add(pd.Series(IDS), pd.Series(ROWS.tolist()))
    c.upsert(pd.Series(IDS), pd.DataFrame(ROWS))
    np.testing.assert_array_equal(c.get(pd.Series(IDS)).vectors, ROWS)
    refused(lambda: c.add(pd.Series([1.0, None]), ROWS[:2]), "float64", ".astype(int)")


def test_closed_handles_and_a_second_writer_say_what_to_do(path: str) -> None:
    db = drift.connect(path)
    c = db.create_collection("docs", dim=DIM)
    with pytest.raises(drift.LockedError, match=r"database.* is locked: another handle or process.*read_only=True"):
        drift.connect(os.path.relpath(path))
    c.close()
    with pytest.raises(drift.ClosedError, match=r'"docs" is closed: open it again'):
        len(c)
    db.close()
    with pytest.raises(drift.ClosedError, match="closed"):
        db.list_collections()


def test_vectors_of_another_model_and_metadata_of_one_row_say_what_to_do(c: drift.Collection) -> None:
    with pytest.raises(drift.InvalidArgumentError, match=r"dim is \d+: create a collection with dim=3"):
        c.upsert([1], [[1.0, 2.0, 3.0]])
    with pytest.raises(drift.InvalidArgumentError, match=r"dim is \d+: create a collection with dim=3"):
        c.load(pa.table({"id": [1], "embedding": pa.FixedSizeListArray.from_arrays(np.ones(3, np.float32), 3)}))
    with pytest.raises(drift.InvalidArgumentError, match=r"one for each row: metadata=\[{'year': ...}\]"):
        c.upsert([1], [[1.0] * DIM], metadata={"year": 2024})
    assert len(c) == 0
