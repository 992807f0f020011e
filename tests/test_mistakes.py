"""Mistakes of newcomers: each gets one error of drift that names what is wrong, and most what to do instead."""

from __future__ import annotations

import os
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
    "beyond float32": (np.where(ROWS == 6, 1e300, ROWS.astype(np.float64)), ("row 1", "column 1", "inf")),
    "masked": (np.ma.masked_array(ROWS, mask=ROWS == 6), ("masked",)),
    "complex": (ROWS.astype(complex), ("complex128", "float32")),
    "bool": (ROWS > 1, ("bool", "float32")),
    "on a gpu": (Tensor(ROWS, CUDA), ("vectors", "Tensor", "Tensor.cpu()")),
    "rows on a gpu": (list(Tensor(ROWS, CUDA)), ("row 0", "Tensor.cpu()")),
    "with gradients": (Tensor(ROWS, GRAD), ("vectors", "tensor.detach()")),
    "null in polars": (pl.Series([[1.0] * 4, None, [1.0] * 4]), ("vectors", "row 1", "null")),
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
    "text": (["a", "b", "c"], ("ids are str", "id_type is int")),
    "mixed": ([1, "2", 3], ("row 1", "'2' (str)", "an int")),
    "bools": ([True, False, True], ("row 0", "True (bool)")),
    "column": (np.array([[1], [2], [3]]), ("shape (3, 1)", "one-dimensional")),
    "dict": ({1: 2}, ("ids", "dict")),
    "set": ({1, 2, 3}, ("set", "no order", "list")),
    "swapped arguments": (ROWS, ("ids", "shape (3, 4)")),
    "float series": (pd.Series([1.0, None, 3.0]), ("ids", "integers")),
    "null in a series": (pl.Series([1, None, 3]), ("ids", "row 1", "null")),
    "masked": (np.ma.masked_array(np.array(IDS), mask=np.array([False, True, False])), ("ids", "masked")),
}


@pytest.mark.parametrize("case", WRONG_IDS)
def test_wrong_ids_are_refused_with_their_place(c: drift.Collection, case: str) -> None:
    ids, words = WRONG_IDS[case]
    refused(lambda: c.upsert(ids, ROWS), *words)
    assert len(c) == 0


def test_wrong_string_ids_are_refused_with_their_place(db: drift.Database) -> None:
    c = db.create_collection("named", dim=DIM, id_type="str")
    refused(lambda: c.add(IDS, ROWS), "ids are int", "id_type is str")
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
        ({"recall": 95}, ("recall is 95", "at most 1")),
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
        ({"metric": "euclidean"}, ("euclidean", '"l2"')),
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
    refused(lambda: drift.connect(path, memory_limit="1GB"), "memory_limit is '1GB'", "int")  # type: ignore[arg-type]


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    pq.write_table(pa.table({"id": IDS, "embedding": list(ROWS)}), tmp_path / "rows.parquet")
    with drift.connect("~/database") as db:
        assert db.uri == str(tmp_path / "database")
        assert db.create_collection("docs", dim=DIM).load("~/rows.parquet")["rows"] == 3


WRONG_SOURCES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "none": (None, ("source is NoneType", "Parquet")),
    "absent": ("absent.parquet", ("absent.parquet",)),
    "folder": ("folder", ("folder 'folder'", "glob.glob")),
    "pattern": ("folder/*.parquet", ("folder/*.parquet", "glob.glob")),
    "address": ("https://example.com/a.parquet", ("https://", "local")),
    "text file": ("folder/rows.csv", ("rows.csv", "Parquet")),
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
    source, words = WRONG_SOURCES[case]
    refused(lambda: c.load(source), *words)
    assert len(c) == 0


def parquet(folder: Path, **columns: Any) -> Path:
    """Return a Parquet file of these columns."""
    pq.write_table(pa.table(columns), folder / "own.parquet")
    return folder / "own.parquet"


OWN_FILES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "other column": ({"id": IDS, "vector": list(ROWS)}, ('"embedding"', '"vector"', "vector=")),
    "other dim": ({"id": IDS, "embedding": [[1.0] * 5] * 3}, ("row 0", "5 values", "dim is 4")),
    "ragged": ({"id": IDS, "embedding": [[1.0] * 4, [1.0] * 3, [1.0] * 4]}, ("row 1", "3 values", "dim is 4")),
    "json": ({"id": IDS, "embedding": ["[1,2,3,4]"] * 3}, ('"embedding"', "float32")),
    "null": ({"id": IDS, "embedding": [[1.0] * 4, None, [1.0] * 4]}, ("row 1", "null")),
    "null value": ({"id": IDS, "embedding": [[1.0] * 4, [1.0, None, 1.0, 1.0], [1.0] * 4]}, ("row 1", "value 1")),
    "nan": ({"id": IDS, "embedding": np.where(ROWS == 6, np.nan, ROWS).tolist()}, ("row 1", "column 1", "NaN")),
    "float ids": ({"id": [1.0, 2.0, 3.0], "embedding": list(ROWS)}, ('"id"', "integers or strings")),
    "string ids": ({"id": ["a", "b", "c"], "embedding": list(ROWS)}, ('"id"', "id_type")),
    "negative id": ({"id": [1, -2, 3], "embedding": list(ROWS)}, ("row 1", "-2", ">= 0")),
}


@pytest.mark.parametrize("case", OWN_FILES)
def test_a_wrong_file_is_named_with_column_and_row(c: drift.Collection, tmp_path: Path, case: str) -> None:
    columns, words = OWN_FILES[case]
    file = parquet(tmp_path, **columns)
    refused(lambda: c.load(file), "own.parquet", *words)
    assert len(c) == 0


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()], ids=str)
@pytest.mark.parametrize("fixed", [False, True], ids=["list", "fixed_size_list"])
def test_both_kinds_of_lists_load_from_a_file(
    c: drift.Collection, tmp_path: Path, fixed: bool, kind: pa.DataType
) -> None:
    flat = pa.array(ROWS.reshape(-1)).cast(kind)
    column = pa.FixedSizeListArray.from_arrays(flat, DIM)
    c.load(parquet(tmp_path, id=IDS, embedding=column if fixed else column.cast(pa.list_(kind))))
    np.testing.assert_array_equal(c.get(IDS).vectors, ROWS)


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
    with pytest.raises(drift.LockedError, match=r"database.* is locked: another handle or process"):
        drift.connect(os.path.relpath(path))
    c.close()
    with pytest.raises(drift.ClosedError, match=r'"docs" is closed: open it again'):
        len(c)
    db.close()
    with pytest.raises(drift.ClosedError, match="closed"):
        db.list_collections()
