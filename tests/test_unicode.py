"""Text that UTF-8 cannot hold, half of a surrogate pair: refused by name wherever text is given, and no row's id."""

from __future__ import annotations

from functools import partial
from typing import Any

import drift
import pytest

from tests.refusals import DIM, ROWS, refused

HALF = "\ud800"


def test_it_names_no_row_and_no_collection(db: drift.Database) -> None:
    c = db.create_collection("docs", dim=DIM, id_type="str")
    assert HALF not in c
    assert HALF not in db
    refused(lambda: c.upsert([HALF], ROWS[:1]), "id at row 0", "Unicode")


CALLS: dict[str, Any] = {
    "connect": lambda _db, _c: drift.connect(HALF),
    "connect to a URI": lambda _db, _c: drift.connect(f"memory://{HALF}"),
    "open": lambda db, _c: db[HALF],
    "create": lambda db, _c: db.create_collection(HALF, dim=1),
    "drop": lambda db, _c: db.drop_collection(HALF),
    "fields": lambda db, _c: db.create_collection("other", dim=1, fields={HALF: "int"}),
    "time": lambda db, _c: db.create_collection("other", dim=1, time=HALF),
    "include": lambda _db, c: c.get([1], include=[HALF]),
    "include one": lambda _db, c: c.search(ROWS[0], include=HALF),
    "load id": lambda _db, c: c.load([([1], ROWS[:1])], id=HALF),
    "load metadata": lambda _db, c: c.load([([1], ROWS[:1])], metadata=[HALF]),
    "load path": lambda _db, c: c.load(f"{HALF}.parquet"),
    "field of a row": lambda _db, c: c.upsert([1], ROWS[:1], [{HALF: 1}]),
    "field of a column": lambda _db, c: c.upsert([1], ROWS[:1], {HALF: [1]}),
    "value": lambda _db, c: c.upsert([1], ROWS[:1], [{"a": HALF}]),
    "list": lambda _db, c: c.upsert([1], ROWS[:1], [{"a": ["b", HALF]}]),
    "JSON": lambda _db, c: c.upsert([1], ROWS[:1], [{"a": {"b": HALF}}]),
    "decay": lambda _db, c: c.search(ROWS[0], decay=drift.Decay(1, 1, field=HALF)),
}


@pytest.mark.parametrize("case", CALLS)
def test_it_is_refused_by_name(db: drift.Database, case: str) -> None:
    c = db.create_collection("docs", dim=DIM)
    refused(partial(CALLS[case], db, c), r"\ud800")
    assert len(c) == 0
    assert db.list_collections() == ["docs"]
