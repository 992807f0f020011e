"""Values of NumPy that look like others: lengths of time, which count as integers there, and arrays out of line."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pytest

from tests import oracle

if TYPE_CHECKING:
    from collections.abc import Callable

DIM = 4
ROWS = oracle.vectors(6, DIM, 49)
DAY: Any = np.timedelta64(1, "D")


@pytest.fixture
def c(db: drift.Database) -> drift.Collection:
    """Return six rows under int ids."""
    made = db.create_collection("docs", dim=DIM, metric="l2", time="written")
    made.add(range(6), ROWS)
    return made


LENGTHS = {
    np.timedelta64(2, "W"): dt.timedelta(weeks=2),
    np.timedelta64(7, "D"): dt.timedelta(days=7),
    np.timedelta64(3, "h"): dt.timedelta(hours=3),
    np.timedelta64(90, "m"): dt.timedelta(minutes=90),
    np.timedelta64(5, "s"): dt.timedelta(seconds=5),
    np.timedelta64(5, "ms"): dt.timedelta(milliseconds=5),
    np.timedelta64(5, "us"): dt.timedelta(microseconds=5),
    np.timedelta64(10**9, "ns"): dt.timedelta(seconds=1),
    np.timedelta64(10**12, "ps"): dt.timedelta(seconds=1),
}


@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_of_time_is_as_long_as_its_unit_says(db: drift.Database, length: Any) -> None:
    made = db.create_collection("docs", dim=DIM, metric="l2", time="written", ttl=length)
    assert made.ttl == LENGTHS[length]
    made.add(range(2), ROWS[:2], metadata={"written": [dt.datetime.now(dt.UTC)] * 2})
    assert drift.Decay(length, 0.5).half_life == length
    at = "2030-01-01"
    faded = [made.search(ROWS[0], decay=drift.Decay(of, 0.5, at=at)).distances for of in (length, LENGTHS[length])]
    assert faded[0].tolist() == faded[1].tolist()


def test_a_length_of_time_counts_its_units_as_it_says(db: drift.Database) -> None:
    assert db.create_collection("a", dim=1, time="t", ttl=np.timedelta64(3, ("s", 25))).ttl == dt.timedelta(seconds=75)
    with pytest.raises(drift.InvalidArgumentError, match="at most 292,000 years"):
        db.create_collection("b", dim=1, time="t", ttl=np.timedelta64(2**62, "W"))


@pytest.mark.parametrize("length", [np.timedelta64("NaT"), np.timedelta64("NaT", "s"), np.timedelta64(1, "Y")])
@pytest.mark.parametrize("of", ["ttl", "half_life"])
def test_a_length_of_time_of_no_certain_length_is_refused(db: drift.Database, of: str, length: Any) -> None:
    taken: dict[str, Callable[[], object]] = {
        "ttl": lambda: db.create_collection("docs", dim=DIM, time="written", ttl=length),
        "half_life": lambda: drift.Decay(length, 0.5),
    }
    with pytest.raises(drift.InvalidArgumentError, match=rf"^{of} is .*one of the units W, D"):
        taken[of]()


NUMBERS: dict[str, Callable[[drift.Collection], object]] = {
    "k": lambda c: c.search(ROWS[0], k=DAY),
    "k of explain": lambda c: c.explain(ROWS[0], k=DAY),
    "recall": lambda c: c.search(ROWS[0], recall=DAY),
    "nprobe": lambda c: c.search(ROWS[0], nprobe=DAY),
    "threads": lambda c: c.search(ROWS, threads=DAY),
    "limit": lambda c: c.scroll(limit=DAY),
    "cursor": lambda c: c.scroll(cursor=DAY),
    "dim": lambda c: c.database.create_collection("other", dim=DAY),
    "memory_limit": lambda _: drift.connect("memory://", memory_limit=DAY * 2**30),
    "weight": lambda _: drift.Decay(1.0, weight=DAY),
    "id at row 0": lambda c: c.get(DAY),
    "id at row 1": lambda c: c.delete([1, DAY]),
    "ids have dtype": lambda c: c.get(np.array([1, 2], dtype="timedelta64[s]")),
    "column 1": lambda c: c.upsert([9], [[0.0, DAY, 0.0, 0.0]]),
    "year is compared": lambda c: c.count(drift.col("year") == np.timedelta64(5, "ns")),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_length_of_time_is_no_number(c: drift.Collection, name: str) -> None:
    with pytest.raises(drift.InvalidArgumentError, match=name.removesuffix(" of explain")):
        NUMBERS[name](c)
    assert len(c) == 6


def test_a_length_of_time_is_no_id(c: drift.Collection) -> None:
    assert np.timedelta64(1, "s") not in c
    assert np.int64(1) in c


def unaligned(array: Any) -> Any:
    """Return the same values, which begin one byte past where their type would."""
    raw = np.frombuffer(b"x" + array.tobytes(), dtype=np.uint8)[1:]
    moved = raw.view(array.dtype).reshape(array.shape)
    assert not moved.flags.aligned
    return moved


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int16])
def test_arrays_out_of_line_are_read_as_others_are(c: drift.Collection, kind: Any) -> None:
    given = (ROWS * 8).astype(kind)
    c.upsert(unaligned(np.arange(20, 26)), unaligned(given))
    assert c.get(unaligned(np.arange(20, 26))).vectors.tolist() == given.astype(np.float32).tolist()
    assert c.search(unaligned(given), k=1).ids.tolist() == c.search(given.astype(np.float32), k=1).ids.tolist()
    assert c.search(unaligned(given[0]), k=1).ids.tolist() == [20]
    assert c.explain(unaligned(given[0]), k=1).result.ids.tolist() == [20]
    assert c.delete(unaligned(np.arange(20, 26, dtype=np.uint64))) == 6
    assert c.load([(unaligned(np.arange(20, 26)), unaligned(given))])["rows"] == 6
