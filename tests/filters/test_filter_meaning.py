"""What conditions mean, case by case, by the reference evaluator; the engine is held to the same cases."""

from __future__ import annotations

import datetime as dt
from typing import Any

import drift
import numpy as np
import pytest
from drift import col
from drift._filter import to_tree

from tests.filters.reference import matches

NOON = dt.datetime(2024, 5, 31, 12, tzinfo=dt.UTC)

# (filter, payload, whether it matches)
CASES: list[tuple[Any, dict[str, Any], bool]] = [
    ("year = 2024", {"year": 2024}, True),
    ("year = 2024.0", {"year": 2024}, True),
    ("year = 2024", {"year": 2024.5}, False),
    ("year = TRUE", {"year": 1}, False),
    ("flag = 1", {"flag": True}, False),
    ("flag = TRUE", {"flag": True}, True),
    ("flag <> TRUE", {"flag": False}, True),
    ("flag <> TRUE", {}, True),
    ("year = '2024'", {"year": 2024}, False),
    ("year <> '2024'", {"year": 2024}, True),
    ("year < 'a'", {"year": 1}, False),
    ("name >= 'b'", {"name": "c"}, True),
    ("name < 'é'", {"name": "z"}, True),
    ("year > 2000", {}, False),
    ("NOT year > 2000", {}, True),
    ("year <> 2000", {}, True),
    ("year NOT IN (2000)", {"year": None}, True),
    ("year NOT BETWEEN 1 AND 2", {}, True),
    ("year BETWEEN 1 AND 2", {"year": 2}, True),
    ("year BETWEEN 2 AND 1", {"year": 1.5}, False),
    ("year IS NULL", {"year": None}, True),
    ("year IS NOT NULL", {"year": 0}, True),
    ("tags IS NOT NULL", {"tags": []}, True),
    ("tags = 'a'", {"tags": []}, False),
    ("tags = 'a'", {"tags": ["b", "a"]}, True),
    ("tags <> 'a'", {"tags": ["b", "a"]}, False),
    ("tags IN ('a', 'z')", {"tags": ["b", "a"]}, True),
    ("tags NOT IN ('a', 'z')", {"tags": ["b"]}, True),
    ("tags BETWEEN 'b' AND 'c'", {"tags": ["a", "d"]}, False),
    ("tags LIKE 'ab%'", {"tags": ["x", "abc"]}, True),
    ({"tags": {"$contains": "ab"}}, {"tags": ["abc"]}, False),
    ({"tags": {"$contains": "ab"}}, {"tags": "xaby"}, True),
    ({"tags": {"$all": ["a", "b"]}}, {"tags": ["b", "c", "a"]}, True),
    ({"tags": {"$all": ["a", "b"]}}, {"tags": ["b", "c"]}, False),
    ("name LIKE '%b%'", {"name": "abc"}, True),
    ("name LIKE 'b%'", {"name": "abc"}, False),
    ({"name": {"$startswith": ""}}, {"name": ""}, True),
    ({"name": {"$startswith": ""}}, {}, False),
    ({}, {}, True),
    (col("seen") >= NOON, {"seen": NOON}, True),
    (col("seen") > NOON.replace(tzinfo=None), {"seen": NOON}, False),
    (col("seen") == dt.date(2024, 5, 31), {"seen": NOON.replace(hour=0)}, True),
    (col("seen") < np.datetime64("2024-06-01"), {"seen": NOON}, True),
    ("seen >= TIMESTAMP '2024-05-31 14:00:00+02:00'", {"seen": NOON}, True),
    ("seen = 1717156800000000", {"seen": NOON}, False),
    ("author.name = 'Ada'", {"author": {"name": "Ada"}}, True),
    ("author.name IS NULL", {"author": {}}, True),
    ("author.name <> 'Ada'", {"author": None}, True),
    ("author.tags = 'x'", {"author": {"tags": ["x"]}}, True),
    (col("in").is_in([]), {"in": 1}, False),
    (col("in").not_in([]), {}, True),
]


@pytest.mark.parametrize(("spelled", "payload", "expected"), CASES)
def test_the_reference_says_what_the_documentation_does(spelled: Any, payload: dict[str, Any], expected: bool) -> None:
    assert matches(to_tree(spelled), payload) is expected


@pytest.mark.parametrize(("spelled", "payload", "expected"), CASES)
def test_drift_says_what_the_documentation_does(
    spelled: Any, payload: dict[str, Any], expected: bool, db: drift.Database
) -> None:
    c: Any = db.create_collection("c", dim=1, metric="l2")
    c.upsert([1], [[1.0]], metadata=[payload])
    assert c.count(filter=spelled) == expected
    c.flush()
    assert c.count(filter=spelled) == expected
