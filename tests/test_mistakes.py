"""Mistakes of newcomers: each gets one error of drift that names what is wrong, and most what to do instead."""

from __future__ import annotations

import datetime as dt
import os
from functools import partial
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drift import _input

from tests.refusals import DIM, IDS, ROWS, refused

if TYPE_CHECKING:
    from pathlib import Path


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
    "integer beyond float32": ([[1.0] * 4, [1, 10**39, 1, 1], [1.0] * 4], ("row 1, column 1", "1e+39", "float32")),
    "integer beyond float64": ([[1.0] * 4, [1, 1, 10**400, 1], [1.0] * 4], ("row 1, column 2", "1000", "float32")),
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
    "integer beyond float32": ([1, 10**39, 1, 1], ("query", "column 1", "1e+39", "float32")),
    "null in pyarrow": (pa.array([1.0, None, 1.0, 1.0]), ("query", "column 1 is null", "number")),
    "null in chunks": (pa.chunked_array([[1], [1, None, 1]]), ("query", "column 2 is null", "number")),
    "null in polars": (pl.Series([1.0, None, 1.0, 1.0]), ("query", "column 1 is null", "number")),
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
        ({"k": float("nan")}, ("k is nan", "int")),
        ({"k": True}, ("k is True", "number")),
        ({"recall": True}, ("recall is True", "number")),
        ({"nprobe": True}, ("nprobe is True", "number")),
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
    if not {"exact", "threads"} & set(options):
        refused(lambda: c.explain(ROWS[0], **options), *words)


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
        ("a\0b", ("'a\\x00b'", "zero byte")),
        ("file:///a%00b", ("file:///a%00b", "zero byte")),
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
    refused(lambda: drift.connect(path, read_only="yes"), "read_only is 'yes'", "True or False")  # type: ignore[arg-type]
    refused(lambda: drift.connect(path, storage_options=5), "storage_options is 5", "mapping")  # type: ignore[arg-type]
    refused(lambda: drift.connect(path, storage_options={"region": "eu"}), "storage_options (region)")


class NoCapsule:
    """An object that has the method of the Arrow PyCapsule interface, and no more."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return 5


class NoCapsules:
    """An object whose method for arrays returns one thing in place of two."""

    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return (5,)


@pytest.mark.parametrize("given", [NoCapsule(), NoCapsules()])
def test_objects_that_give_no_arrow_capsule_are_named(c: drift.Collection, given: Any) -> None:
    words = (type(given).__name__, "PyCapsule interface")
    refused(lambda: c.add(given, ROWS), *words)
    refused(lambda: c.add(IDS, given), *words)
    refused(lambda: c.add(IDS, ROWS, metadata=given), *words)
    refused(lambda: c.load(given), *words)
    refused(lambda: c.load([given]), *words)
    refused(lambda: c.search(given), *words)


def test_a_column_in_the_place_of_a_table_is_refused(c: drift.Collection) -> None:
    refused(lambda: c.load(pa.array(IDS)), "cannot be read as an Arrow table", "Int64")
    refused(lambda: c.load(pl.Series(IDS)), "Series cannot be read as an Arrow table")


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
