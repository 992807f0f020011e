"""Ids in every form that integers and texts have: what is taken, and what is refused with its row."""

from __future__ import annotations

import datetime as dt
from enum import Enum, IntEnum, StrEnum
from typing import Any

import drift
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.refusals import DIM, ROWS, refused


class Text(str):
    """A text of a class of its own, as parsers give."""

    __slots__ = ()


class Word(StrEnum):
    ONE = "one"


class Name(str, Enum):  # noqa: UP042 - its text for people is another than its value.
    ONE = "one"


class Number(IntEnum):
    ONE = 1


@pytest.fixture
def c(db: drift.Database) -> drift.Collection:
    """Return an empty collection of ids that are ints."""
    return db.create_collection("docs", dim=DIM, metric="l2")


@pytest.mark.parametrize("one", [Text("one"), Word.ONE, Name.ONE, np.str_("one")], ids=lambda one: type(one).__name__)
def test_a_text_of_any_class_is_an_id(db: drift.Database, one: Any) -> None:
    c = db.create_collection("named", dim=DIM, metric="l2", id_type="str")
    c.add([one], ROWS[:1])
    c.upsert([one, "two"], ROWS[:2], [{"n": 1}, {"n": 2}])
    c.load([([one, Text("three")], ROWS[:2])])
    c.update_metadata([one], [{"n": 3}])
    assert sorted(c.ids().tolist()) == ["one", "three", "two"]
    assert c.get([one]).ids.tolist() == c.get(one).ids.tolist() == ["one"]
    assert [type(one) for one in c.get([one]).ids.tolist()] == [str]
    assert one in c
    refused(lambda: c.get([one, 2]), "row 1", "2 (int)", "a str")
    assert c.delete([one]) == 1
    refused(lambda: db.create_collection("docs", dim=DIM).upsert([one], ROWS[:1]), "ids are str", "id_type is int")


def test_an_int_of_any_class_is_an_id_but_no_bool(c: drift.Collection) -> None:
    ids: Any = [Number.ONE, np.int8(2)]
    c.add(ids, ROWS[:2])
    c.load([([Number.ONE], ROWS[:1])])
    assert c.get([Number.ONE, 2]).ids.tolist() == [1, 2]
    refused(lambda: c.get([Number.ONE, True]), "row 1", "True (bool)")
    assert c.delete([Number.ONE]) == 1


def test_a_range_beyond_int64_is_refused_with_its_row(c: drift.Collection) -> None:
    c.upsert(range(2**63 - 2, 2**63), ROWS[:2])
    assert c.get(range(2**63 - 1, 2**63 - 3, -1)).ids.tolist() == [2**63 - 1, 2**63 - 2]
    for ids, words in (
        (range(2**63, 2**63 + 2), (f"id {2**63} at row 0",)),
        (range(2**63 - 3, 2**63 + 7, 2), (f"id {2**63 + 1} at row 2",)),
        (range(0, 2**70, 2**62), (f"id {2**63} at row 2",)),
        (range(5, -(2**70), -3), ("id -1 at row 2",)),
        (range(-1, 3), ("id -1 at row 0",)),
    ):
        refused(lambda ids=ids: c.get(ids), *words, "out of range")  # type: ignore[misc]
    assert c.get(range(2**80, 2**80)).ids.size == 0


class Capsule:
    """Ids that only Arrow can read."""

    def __init__(self, ids: list[int]) -> None:
        self.array = pa.array(ids)

    def __arrow_c_array__(self, requested_schema: object | None = None) -> object:
        return self.array.__arrow_c_array__(requested_schema)

    def __getitem__(self, part: slice) -> Capsule:
        return Capsule(self.array[part].to_pylist())


@pytest.mark.parametrize(
    "ids",
    [
        [1, 2, 1],
        np.array([1, 2, 1]),
        pa.array([1, 2, 1]),
        pl.Series([1, 2, 1]),
        pd.Series([1, 2, 1]),
        Capsule([1, 2, 1]),
    ],
    ids=type,
)
def test_an_update_names_an_id_that_is_given_twice_and_changes_nothing(c: drift.Collection, ids: Any) -> None:
    c.upsert([1, 2], ROWS[:2], [{"a": 0}, {"a": 0}])
    refused(lambda: c.update_metadata(ids, [{"a": 2}, {"a": 3}, {"b": 2}]), "id 1", "rows 0 and 2", "once")
    assert c.get([1, 2], include=True).metadata == [{"a": 0}, {"a": 0}]
    assert c.update_metadata(ids[:2], [{"a": 2}, {"a": 3}]) == 2


def test_an_update_of_an_unknown_id_offers_no_option_that_it_lacks(c: drift.Collection) -> None:
    with pytest.raises(drift.NotFoundError, match=r'^id 99 at row 0 is not in collection "docs"$'):
        c.update_metadata([99], [{"a": 1}])


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([1, 2]),
        pa.table({"id": [1, 2]}),
        pl.Series([1, 2]),
        pa.RecordBatchReader.from_stream(pa.table({"id": [1, 2]})),
    ],
    ids=type,
)
def test_one_moment_is_that_of_all_arrow_ids(c: drift.Collection, ids: Any) -> None:
    at = dt.datetime(2201, 1, 1, tzinfo=dt.UTC)
    c.upsert(ids, ROWS[:2], expires=at)
    assert c.get([1, 2], include=True).metadata == [{"_expires": at}] * 2
