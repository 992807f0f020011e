"""Metadata at the bounds of what a field can hold: times, missing values, integers and levels of JSON, reserved names.

What is beyond them is refused with its field and row before anything is changed.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import drift
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.refusals import DIM, IDS, ROWS, refused

DAY = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def c(db: drift.Database) -> drift.Collection:
    """Return an empty collection of four dimensions."""
    return db.create_collection("docs", dim=DIM, metric="l2")


@pytest.mark.parametrize("unit", ["Y", "D", "s", "ms", "us", "ns", "ps"])
def test_a_datetime64_of_any_unit_is_a_timestamp(c: drift.Collection, unit: str) -> None:
    day = DAY if unit != "ps" else dt.datetime(1970, 1, 2, tzinfo=dt.UTC)
    array = np.array([day.date(), "NaT", day.date()], dtype=f"datetime64[{unit}]")
    forms: list[Any] = [[{"t": at} for at in array], {"t": list(array)}, {"t": array}, {"t": array.astype(object)}]
    for metadata in forms[:3] if unit in ("Y", "ns", "ps") else forms:
        c.upsert(IDS, ROWS, metadata=metadata)
        assert c.fields == {"t": "timestamp"}
        assert c.get(IDS, include=True).metadata == [{"t": day}, {}, {"t": day}]
        assert [c.count(drift.col("t") <= array[0]), c.count({"t": {"$gt": array[0]}})] == [2, 0]
    c.update_metadata(IDS[:1], [{"t": array[1]}])
    assert c.get(IDS[:1], include=True).metadata == [{}]
    c.upsert(IDS[:1], ROWS[:1], metadata=[{"j": {"at": array[0], "none": array[1]}}])
    found = c.get(IDS[:1], include=True).metadata[0]["j"]
    assert found["none"] is None
    assert found["at"].startswith(str(day.date()))


def test_lengths_of_time_are_refused_and_say_what_to_give(c: drift.Collection) -> None:
    for unit in ("s", "us", "ns"):
        array = np.array([1, 2, 3], dtype=f"timedelta64[{unit}]")
        for metadata in ({"t": array}, {"t": list(array)}, [{}, {"t": array[1]}, {}]):
            refused(lambda metadata=metadata: c.upsert(IDS, ROWS, metadata=metadata), "'t' at row", "seconds")  # type: ignore[misc]
        refused(lambda one=array[0]: c.upsert([1], ROWS[:1], [{"j": {"t": one}}]), "'j' at row 0", "no JSON")  # type: ignore[misc]
    refused(lambda: c.upsert([1], ROWS[:1], [{"t": dt.timedelta(1)}]), "'t' at row 0", "timedelta")
    assert len(c) == 0


@pytest.mark.parametrize(
    "late",
    [
        dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-1))),
        dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=1))),
        np.datetime64("20000-01-01", "s"),
        np.datetime64("-0001-01-01", "us"),
        np.datetime64("400000-01-01", "s"),
    ],
    ids=str,
)
def test_a_time_that_no_datetime_can_hold_is_refused(c: drift.Collection, late: Any) -> None:
    columns: list[Any] = [[{"t": DAY}, {"t": late}, {}], {"t": [None, late, None]}]
    if isinstance(late, np.datetime64):
        columns.append({"t": np.array(["NaT", late, "NaT"], dtype=late.dtype)})
    for metadata in columns:
        refused(lambda metadata=metadata: c.upsert(IDS, ROWS, metadata), "'t' at row 1", "years 1 to 9999")  # type: ignore[misc]
    with pytest.raises(drift.InvalidArgumentError, match="expires of row 1 is"):
        c.upsert(IDS, ROWS, expires=[None, late, None])
    assert len(c) == 0


def test_the_first_and_the_last_moment_come_back(c: drift.Collection) -> None:
    ends = [dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)]
    c.upsert([1, 2], ROWS[:2], {"t": ends})
    c.upsert([3, 4], ROWS[:2], {"t": np.array([at.replace(tzinfo=None) for at in ends], dtype="datetime64[us]")})
    assert [row["t"] for row in c.get([1, 2, 3, 4], include=True).metadata] == ends * 2


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


BEYOND: dict[str, tuple[Any, tuple[str, ...]]] = {
    "above": ({"q": 2**64}, ("-2**63 to 2**64 - 1",)),
    "below": ({"q": [-(2**63) - 1]}, ("-2**63 to 2**64 - 1",)),
    "far above": ({"q": 10**400}, ("-2**63 to 2**64 - 1",)),
    "without a text": ({"q": 10**5000}, ("-2**63 to 2**64 - 1",)),
    "deep": ({"q": nested(100)}, ("100 levels",)),
    "deeper": (nested(2000), ("100 levels",)),
    "far deeper": (nested(200_000), ("100 levels",)),
}


@pytest.mark.parametrize("case", BEYOND)
@pytest.mark.parametrize("declared", [False, True])
def test_json_that_filters_could_not_read_is_refused(db: drift.Database, case: str, declared: bool) -> None:
    c = db.create_collection("docs", dim=DIM, metric="l2", fields={"j": "json"} if declared else None)
    value, words = BEYOND[case]
    c.upsert([1], ROWS[:1], [{"j": {"q": 1}}])
    for write in (
        lambda: c.upsert([1, 2], ROWS[:2], [{"j": {"q": 2}}, {"j": value}]),
        lambda: c.add([2, 3], ROWS[:2], {"j": [None, value]}),
        lambda: c.load([([1, 2], ROWS[:2], [{}, {"j": value}])]),
    ):
        refused(write, "'j' at row 1", *words)
    refused(lambda: c.update_metadata(filter="j.q = 1", metadata={"j": value}), "'j' at row 0", *words)
    assert c.get(c.ids(), include=True).metadata == [{"j": {"q": 1}}]


def test_json_within_the_bounds_is_found_by_filters(c: drift.Collection) -> None:
    values = [{"q": 1, "w": -(2**63)}, {"q": 2, "w": 2**64 - 1, "digits": "9" * 500}, {"q": 3, "w": nested(99)}]
    c.upsert(IDS, ROWS, {"j": values})
    c.upsert([4], ROWS[:1], [{"j": {"q": 4, "w": ["[" * 500, 1e300, [[]] * 300]}}])
    assert c.delete(filter="NOT j.q >= 1") == 0
    assert [row["j"] for row in c.get(IDS, include=True).metadata] == values


@pytest.mark.parametrize(
    ("value", "word"),
    [(np.longdouble(1), "longdouble"), (np.clongdouble(1), "clongdouble"), ({"x": [np.longdouble(1)]}, "longdouble")],
    ids=["alone", "complex", "inside"],
)
def test_numbers_that_python_lacks_are_refused(c: drift.Collection, value: Any, word: str) -> None:
    refused(lambda: c.upsert([1], ROWS[:1], [{"a": value}]), "'a' at row 0", word, "float")
    refused(lambda: c.upsert([1], ROWS[:1], {"a": [value]}), "'a' at row 0", word, "float")


def test_an_int_beside_floats_fits_a_float(c: drift.Collection) -> None:
    refused(lambda: c.upsert([1, 2], ROWS[:2], [{"a": 0.5}, {"a": 10**400}]), "'a' at row 1", "float64")


@pytest.mark.parametrize(
    ("column", "wanted"),
    [
        (pd.Series([DAY, pd.NaT, DAY]), DAY),
        (pd.Series([1, pd.NA, 1], dtype="Int64"), 1),
        (pd.Series([True, pd.NA, True], dtype="boolean"), True),
        (pd.Series([0.5, pd.NA, 0.5], dtype="Float64"), 0.5),
        (pd.Series(["a", pd.NA, "a"], dtype="string"), "a"),
        (pd.Series(["a", None, "a"]), "a"),
        (pd.Series(["a", None, "a"], dtype="category"), "a"),
    ],
    ids=lambda one: str(getattr(one, "dtype", "")),
)
def test_what_pandas_has_for_missing_values_is_missing(c: drift.Collection, column: Any, wanted: object) -> None:
    rows = [{"a": wanted}, {}, {"a": wanted}]
    forms: list[Any] = [{"a": column}, {"a": pd.Index(column)}, pd.DataFrame({"a": column})]
    if not isinstance(column.tolist()[1], float):
        forms += [{"a": list(column)}, [{"a": one} for one in column]]
    for metadata in forms:
        c.upsert(IDS, ROWS, metadata)
        assert c.get(IDS, include=True).metadata == rows
    c.upsert(IDS, ROWS, {"a": [wanted] * 3})
    c.update_metadata(IDS, {"a": column})
    assert c.get(IDS, include=True).metadata == rows


def test_nan_in_a_column_of_floats_stays(c: drift.Collection) -> None:
    c.upsert([1, 2], ROWS[:2], {"a": pd.Series([0.5, np.nan])})
    assert np.isnan(c.get([2], include=True).metadata[0]["a"])


def test_the_field_of_expiry_is_a_timestamp(db: drift.Database) -> None:
    refused(lambda: db.create_collection("docs", dim=1, fields={"_expires": "int"}), "'_expires'", "another name")
    assert db.list_collections() == []
    c = db.create_collection("docs", dim=1, fields={"_expires": "timestamp"})
    c.upsert([1], [[1.0]], expires="2201-01-01")
    same: Any = c.fields
    assert db.create_collection("docs", dim=1, fields=same, exist_ok=True).fields == {"_expires": "timestamp"}


def test_ints_that_floats_do_not_hold_are_kept_or_refused(c: drift.Collection) -> None:
    big = 2**60 + 1
    c.upsert([1], ROWS[:1], [{"uid": big, "n": 2**60}])
    for place in ("in memory", "flushed"):
        refused(lambda: c.upsert([2], ROWS[:1], [{"uid": 0.5}]), "uid", str(big), "float64")
        refused(lambda: c.load([([2], ROWS[:1], {"uid": [0.5]})]), "uid", str(big), "float64")
        refused(lambda: c.update_metadata([1], [{"uid": 0.5}]), "uid", str(big), "float64")
        assert (c.fields["uid"], c.get([1], include=True).metadata[0]["uid"], len(c)) == ("int", big, 1), place
        assert (c.count({"uid": big}), c.count({"uid": 2**60})) == (1, 0), place
        c.flush()
    # A power of two is a float.
    c.upsert([2], ROWS[:1], [{"n": 0.5}])
    assert c.fields["n"] == "float"
    refused(lambda: c.upsert([3], ROWS[:1], [{"n": big}]), "n", str(big), "float64")
    refused(lambda: c.upsert([3, 4], ROWS[:2], [{"m": big}, {"m": 0.5}]), "m", str(big), "float64")
    refused(lambda: c.load([([3], ROWS[:1], pa.table({"n": [big]}))]), "n", str(big), "float64")
    mixed: list[Any] = [([3], ROWS[:1], {"m": [big]}), ([4], ROWS[:1], {"m": [0.5]})]
    refused(lambda: c.load(mixed), "m", str(big), "float64")
    assert set(c.fields) == {"uid", "n"}
    assert len(c) == 2


def test_a_column_without_values_gives_a_field_no_type(c: drift.Collection, db: drift.Database) -> None:
    c.add([1], ROWS[:1], {"year": [None]})
    c.update_metadata([1], {"year": [None]})
    c.add([2], ROWS[:1], pa.table({"year": pa.nulls(1)}))
    assert c.fields == {}
    batches: list[Any] = [([id], ROWS[:1], {"year": [year]}) for id, year in ((3, None), (4, 2024), (5, None))]  # noqa: A001
    c.load(batches)
    c.upsert([6], ROWS[:1], pa.table({"year": pa.nulls(1, pa.string())}))
    c.update_metadata([4], pa.table({"month": pa.nulls(1, pa.string())}))
    assert c.fields == {"year": "int"}
    c.flush()
    c.optimize()
    assert c.get([1, 3, 4, 6], include=True).metadata == [{}, {}, {"year": 2024}, {}]
    declared = db.create_collection("declared", dim=DIM, metric="l2", fields={"year": "int"})
    declared.add([1], ROWS[:1], {"year": [None]})
    refused(lambda: declared.add([2], ROWS[:1], {"month": [None]}), "month")
