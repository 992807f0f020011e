"""add, upsert, delete, get, ids, len, in: what they take, what they return, and that a refused call changes nothing."""

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
ROWS = np.round(oracle.vectors(5, DIM), 2).astype(np.float16).astype(np.float32)
IDS = [3, 1, 4, 15, 9]


def fixed_list(rows: oracle.F32, kind: pa.DataType) -> pa.FixedSizeListArray:
    """Rows as an Arrow fixed-size list of ``kind``."""
    flat = rows.astype(np.float16) if kind == pa.float16() else rows
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1), type=kind), rows.shape[1])


VECTOR_FORMS: dict[str, Callable[[oracle.F32], Any]] = {
    "lists": lambda rows: rows.tolist(),
    "list of arrays": lambda rows: list(rows),
    "f16": lambda rows: rows.astype(np.float16),
    "f32": lambda rows: rows,
    "f64": lambda rows: rows.astype(np.float64),
    "fortran order": lambda rows: np.asfortranarray(rows),
    "strided view": lambda rows: np.repeat(np.repeat(rows, 2, axis=0), 3, axis=1)[::2, ::3],
    "negative stride": lambda rows: np.ascontiguousarray(rows[::-1])[::-1],
    "read-only": lambda rows: np.frombuffer(rows.tobytes(), np.float32).reshape(rows.shape),
    "big endian": lambda rows: rows.astype(">f4"),
    "arrow f16": lambda rows: fixed_list(rows, pa.float16()),
    "arrow f32": lambda rows: fixed_list(rows, pa.float32()),
    "arrow f64": lambda rows: fixed_list(rows, pa.float64()),
    "arrow slice": lambda rows: fixed_list(np.concatenate([rows[:2], rows]), pa.float32()).slice(2),
    "arrow chunks": lambda rows: pa.chunked_array(
        [fixed_list(rows[:2], pa.float32()), fixed_list(rows[2:], pa.float32())]
    ),
    "arrow list": lambda rows: pa.array(rows.tolist(), type=pa.list_(pa.float32())),
    "polars": lambda rows: pl.Series(rows.tolist(), dtype=pl.Array(pl.Float32, rows.shape[1])),
}

ID_FORMS: dict[str, Callable[[list[int]], Any]] = {
    "list": list,
    "tuple": tuple,
    "i64": lambda ids: np.array(ids, np.int64),
    "i32": lambda ids: np.array(ids, np.int32),
    "u64": lambda ids: np.array(ids, np.uint64),
    "range-like view": lambda ids: np.repeat(np.array(ids), 2)[::2],
    "arrow i64": lambda ids: pa.array(ids, pa.int64()),
    "arrow u64": lambda ids: pa.array(ids, pa.uint64()),
    "arrow chunks": lambda ids: pa.chunked_array([ids[:1], ids[1:]], pa.int64()),
    "polars": lambda ids: pl.Series(ids),
    "pandas": lambda ids: pd.Series(ids),
}

STR_FORMS: dict[str, Callable[[list[str]], Any]] = {
    "list": list,
    "numpy unicode": np.array,
    "numpy object": lambda ids: np.array(ids, dtype=object),
    "arrow string": lambda ids: pa.array(ids, pa.string()),
    "arrow large string": lambda ids: pa.array(ids, pa.large_string()),
    "polars": pl.Series,
}


@pytest.mark.parametrize("form", VECTOR_FORMS)
@pytest.mark.parametrize("call", ["add", "upsert"])
def test_vectors_are_taken_in_every_form(docs: drift.Collection, form: str, call: str) -> None:
    getattr(docs, call)(IDS, VECTOR_FORMS[form](ROWS))
    got = docs.get(IDS)
    assert got.vectors.dtype == np.float32
    assert got.vectors.shape == ROWS.shape
    np.testing.assert_array_equal(got.vectors, ROWS)


@pytest.mark.parametrize("form", ID_FORMS)
def test_int_ids_are_taken_in_every_form(docs: drift.Collection, form: str) -> None:
    ids = ID_FORMS[form](IDS)
    docs.add(ids, ROWS)
    got = docs.get(ids)
    assert got.ids.dtype == np.int64
    assert got.ids.tolist() == IDS
    np.testing.assert_array_equal(got.vectors, ROWS)
    assert docs.delete(ids) == 5
    assert len(docs) == 0


@pytest.mark.parametrize("form", STR_FORMS)
def test_string_ids_are_taken_in_every_form(db: drift.Database, form: str) -> None:
    names = ["a", "Ω", "a longer name than sixteen bytes", "🚀", "with space"]
    c = db.create_collection("named", dim=DIM, metric="l2", id_type="str")
    c.add(STR_FORMS[form](names), ROWS)
    got = c.get(STR_FORMS[form](names))
    assert oracle.as_list(got.ids) == names
    assert "Ω" in c
    assert "absent" not in c
    np.testing.assert_array_equal(got.vectors, ROWS)
    assert c.search(ROWS[3], k=1, exact=True).ids.tolist() == ["🚀"]
    assert c.delete(STR_FORMS[form](names)) == 5


def test_float64_is_rounded_to_float32(docs: drift.Collection) -> None:
    row = np.full((1, DIM), 1 / 3)
    docs.upsert([1], row)
    np.testing.assert_array_equal(docs.get([1]).vectors, row.astype(np.float32))


def test_the_engine_keeps_its_own_copy(docs: drift.Collection) -> None:
    mine = ROWS.copy()
    docs.upsert(IDS, mine)
    mine[:] = 99
    np.testing.assert_array_equal(docs.get(IDS).vectors, ROWS)


def test_len_in_and_ids_follow_the_writes(docs: drift.Collection) -> None:
    assert len(docs) == 0
    assert 3 not in docs
    assert oracle.as_list(docs.ids()) == []
    docs.add(IDS, ROWS)
    assert len(docs) == 5
    assert 3 in docs
    assert 2 not in docs
    assert docs.ids().dtype == np.int64
    assert oracle.ids_of(docs) == sorted(IDS)
    assert docs.delete([3, 1, 777]) == 2
    assert len(docs) == 3
    assert 3 not in docs
    assert oracle.ids_of(docs) == [4, 9, 15]


def test_id_of_another_type_is_not_in_the_collection(docs: drift.Collection) -> None:
    docs.add([0], ROWS[:1])
    assert "0" not in docs
    assert -1 not in docs
    assert 1.5 not in docs
    assert None not in docs


def test_add_refuses_an_existing_id_whole_and_names_it(docs: drift.Collection) -> None:
    docs.add([4], ROWS[:1])
    docs.add([15], ROWS[1:2])
    with pytest.raises(drift.AlreadyExistsError, match="15"):
        docs.add([3, 15, 9], ROWS[:3])
    assert oracle.ids_of(docs) == [4, 15]
    np.testing.assert_array_equal(docs.get([15]).vectors, ROWS[1:2])


def test_add_finds_an_existing_id_in_flushed_rows_too(docs: drift.Collection) -> None:
    docs.add([4], ROWS[:1])
    docs.flush()
    with pytest.raises(drift.AlreadyExistsError, match="4"):
        docs.add([5, 4], ROWS[:2])
    docs.delete([4])
    docs.add([4], ROWS[1:2])
    np.testing.assert_array_equal(docs.get([4]).vectors, ROWS[1:2])


def test_add_refuses_an_id_twice_in_one_call(docs: drift.Collection) -> None:
    with pytest.raises((drift.AlreadyExistsError, drift.InvalidArgumentError), match="7"):
        docs.add([6, 7, 7], ROWS[:3])
    assert len(docs) == 0


def test_upsert_of_an_id_twice_in_one_call_keeps_the_last(docs: drift.Collection) -> None:
    docs.upsert([7, 6, 7], ROWS[:3])
    assert oracle.ids_of(docs) == [6, 7]
    np.testing.assert_array_equal(docs.get([7, 6]).vectors, ROWS[[2, 1]])
    docs.flush()
    np.testing.assert_array_equal(docs.get([7, 6]).vectors, ROWS[[2, 1]])
    oracle.assert_exact(docs.search(ROWS[0], k=5, exact=True), "l2", ROWS[:1], [7, 6], ROWS[[2, 1]], 5)


@pytest.mark.parametrize("flushed", [False, True])
def test_upsert_replaces(docs: drift.Collection, flushed: bool) -> None:
    docs.upsert([1, 2], ROWS[:2])
    if flushed:
        docs.flush()
    docs.upsert([2, 3], ROWS[2:4])
    assert len(docs) == 3
    np.testing.assert_array_equal(docs.get([1, 2, 3]).vectors, ROWS[[0, 2, 3]])
    oracle.assert_exact(docs.search(ROWS[1], k=3, exact=True), "l2", ROWS[1:2], [1, 2, 3], ROWS[[0, 2, 3]], 3)


@pytest.mark.parametrize("flushed", [False, True])
def test_delete_counts_what_existed_once(docs: drift.Collection, flushed: bool) -> None:
    docs.upsert(IDS, ROWS)
    if flushed:
        docs.flush()
    assert docs.delete([3, 3, 1, 1000]) == 2
    assert docs.delete([3]) == 0
    assert docs.delete([]) == 0
    assert oracle.ids_of(docs) == [4, 9, 15]
    assert not {1, 3} & set(docs.search(ROWS[0], k=5, exact=True).ids.tolist())
    docs.add([3], ROWS[4:])
    np.testing.assert_array_equal(docs.get([3]).vectors, ROWS[4:])


def test_get_keeps_the_order_asked_for_and_handles_unknown_ids(docs: drift.Collection) -> None:
    docs.upsert(IDS, ROWS)
    got = docs.get([9, 3])
    assert got.ids.tolist() == [9, 3]
    np.testing.assert_array_equal(got.vectors, ROWS[[4, 0]])
    with pytest.raises(drift.NotFoundError, match="404"):
        docs.get([9, 404])
    skipped = docs.get([404, 3, 405, 9], missing="skip")
    assert skipped.ids.tolist() == [3, 9]
    np.testing.assert_array_equal(skipped.vectors, ROWS[[0, 4]])
    assert docs.get([], missing="skip").vectors.shape == (0, DIM)
    assert docs.get([404], missing="skip").vectors.shape == (0, DIM)
    with pytest.raises(drift.InvalidArgumentError, match="missing"):
        docs.get([3], missing="perhaps")  # type: ignore[arg-type]


def test_get_returns_raw_vectors_under_cosine(db: drift.Database) -> None:
    c = db.create_collection("cos", dim=DIM, metric="cosine")
    c.upsert(IDS, ROWS * 7)
    for _ in range(2):
        np.testing.assert_array_equal(c.get(IDS).vectors, ROWS * 7)
        c.flush()


def test_empty_calls_do_nothing(docs: drift.Collection) -> None:
    docs.add([], np.zeros((0, DIM), np.float32))
    docs.upsert([], [])
    assert docs.delete(np.array([], np.int64)) == 0
    docs.flush()
    docs.optimize()
    assert len(docs) == 0
    assert oracle.problems(docs) == []


BAD_WRITES: dict[str, tuple[Any, Any, str | None]] = {
    "wrong dimension": ([1, 2], ROWS[:2, :5], r"\b8\b"),
    "fewer vectors than ids": ([1, 2, 3], ROWS[:2], "2|3"),
    "ragged lists": ([1, 2], [[0.0] * DIM, [0.0] * 3], None),
    "nan": ([1, 2], np.where(np.arange(16).reshape(2, 8) == 13, np.nan, 1.0), r"row 1\b.*(column 5|5\b)"),
    "infinity": ([1, 2], np.where(np.arange(16).reshape(2, 8) == 2, np.inf, 1.0), r"row 0\b.*(column 2|2\b)"),
    "too large for float32": ([1], np.full((1, DIM), 1e300), "row 0"),
    "strings for vectors": ([1], [["a"] * DIM], None),
    "integers in a 3-d array": ([1], np.zeros((1, 1, DIM)), None),
    "no vectors": ([1], None, None),
    "negative id": ([1, -5], ROWS[:2], r"-5|row 1"),
    "id above int64": (np.array([1, 2**63], np.uint64), ROWS[:2], r"row 1|9223372036854775808"),
    "float ids": ([1.5, 2.0], ROWS[:2], None),
    "string ids": (["a", "b"], ROWS[:2], None),
    "missing id": ([1, None], ROWS[:2], None),
    "null id in arrow": (pa.array([1, None]), ROWS[:2], "row 1|null"),
    "null vector in arrow": ([1, 2], pa.array([[0.0] * DIM, None], pa.list_(pa.float32(), DIM)), "row 1|null"),
    "null value in arrow": ([1], pa.array([[None] + [0.0] * 7], pa.list_(pa.float32(), DIM)), "row 0|null"),
    "2-d ids": (np.array([[1], [2]]), ROWS[:2], None),
}


@pytest.mark.parametrize("case", BAD_WRITES)
@pytest.mark.parametrize("call", ["add", "upsert"])
def test_bad_rows_are_refused_with_a_place_and_change_nothing(docs: drift.Collection, call: str, case: str) -> None:
    docs.upsert([1], ROWS[:1])
    ids, vectors, pattern = BAD_WRITES[case]
    if call == "add" and len(ids) and ids[0] == 1:
        docs.delete([1])
        docs.upsert([50], ROWS[:1])
    before = oracle.ids_of(docs)
    with pytest.raises(drift.InvalidArgumentError, match=pattern):
        getattr(docs, call)(ids, vectors)
    assert oracle.ids_of(docs) == before


def test_zero_vectors_are_refused_under_cosine_only(db: drift.Database) -> None:
    rows = np.ones((3, 4), np.float32)
    rows[2] = 0
    cosine = db.create_collection("cosine", dim=4, metric="cosine")
    with pytest.raises(drift.InvalidArgumentError, match="row 2"):
        cosine.upsert([1, 2, 3], rows)
    assert len(cosine) == 0
    for metric in ("l2", "dot"):
        c = db.create_collection(metric, dim=4, metric=metric)
        c.upsert([1, 2, 3], rows)
        assert len(c) == 3


def test_ints_are_refused_by_a_string_collection(db: drift.Database) -> None:
    c = db.create_collection("named", dim=DIM, id_type="str")
    for ids in ([1, 2], np.array([1, 2]), pa.array([1, 2])):
        with pytest.raises(drift.InvalidArgumentError):
            c.upsert(ids, ROWS[:2])
    assert len(c) == 0


def test_the_largest_int_id_and_long_strings_work(db: drift.Database, docs: drift.Collection) -> None:
    docs.upsert([2**63 - 1, 0], ROWS[:2])
    assert oracle.ids_of(docs) == [0, 2**63 - 1]
    assert docs.search(ROWS[0], k=1, exact=True).ids.tolist() == [2**63 - 1]
    named = db.create_collection("named", dim=DIM, metric="l2", id_type="str")
    named.upsert(["x" * 500], ROWS[:1])
    assert "x" * 500 in named


@pytest.mark.parametrize("bad", [[-1], ["a"], [1.5], [None]])
def test_delete_and_get_check_their_ids(docs: drift.Collection, bad: list[Any]) -> None:
    docs.upsert([1], ROWS[:1])
    with pytest.raises(drift.InvalidArgumentError):
        docs.delete(bad)
    with pytest.raises(drift.InvalidArgumentError):
        docs.get(bad)
    assert len(docs) == 1


def test_a_single_id_counts_as_a_sequence_of_one(docs: drift.Collection) -> None:
    docs.upsert(7, ROWS[:1])
    np.testing.assert_array_equal(docs.get(7).vectors, ROWS[:1])
    assert docs.delete(7) == 1
