"""UUIDs as ids: wherever an id is given they are their canonical text, and collections of int ids refuse them."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import drift
import numpy as np
import pandas as pd
import pytest
from drift import aio

IDS = [UUID(int=at << 64 | 7) for at in range(4)]
TEXTS = [str(one) for one in IDS]
ROWS = np.eye(4, dtype=np.float32)


@pytest.fixture
def c(db: drift.Database) -> drift.Collection:
    """Return a collection of four UUIDs."""
    c = db.create_collection("c", dim=4, metric="l2", id_type="str")
    c.add(IDS, ROWS, {"n": [0, 1, 2, 3]})
    return c


def test_a_uuid_is_its_canonical_text_wherever_an_id_is_given(c: drift.Collection) -> None:
    assert sorted(c.ids().tolist()) == TEXTS
    assert IDS[0] in c
    assert TEXTS[0] in c
    assert UUID(int=99) not in c
    assert c.get(IDS[1]).ids.tolist() == c.get([TEXTS[1]]).ids.tolist() == [TEXTS[1]]
    mixed: list[list[Any]] = [[UUID(int=99), IDS[2], TEXTS[3]], [IDS[0], "plain"]]
    assert c.get(mixed[0], missing="skip").ids.tolist() == TEXTS[2:]
    c.upsert(mixed[1], ROWS[:2])
    assert len(c) == 5
    c.update_metadata(IDS[3], {"n": 30})
    c.update_metadata([IDS[2]], [{"n": 20}])
    assert [row["n"] for row in c.get(IDS[2:], include=True).metadata] == [20, 30]
    ranked = drift.rank(c.search(ROWS[1], k=5), "l2")
    assert ranked.boost({IDS[3]: 50.0, TEXTS[2]: 40.0}).ids.tolist()[:2] == [TEXTS[3], TEXTS[2]]
    assert c.scroll(limit=2, cursor=IDS[1]).ids.tolist() == TEXTS[2:]
    assert c.delete(IDS[0]) == 1
    assert c.delete([*IDS, UUID(int=99)]) == 3
    assert c.ids().tolist() == ["plain"]


@pytest.mark.parametrize(
    "given",
    [np.array(IDS, dtype=object), pd.Series(IDS), pd.Index(IDS), tuple(IDS), iter(IDS)],
    ids=["array", "series", "index", "tuple", "iterator"],
)
def test_every_sequence_of_uuids_is_taken(db: drift.Database, given: Any) -> None:
    c = db.create_collection("given", dim=4, metric="l2", id_type="str")
    c.upsert(given, ROWS)
    assert sorted(c.ids().tolist()) == TEXTS


def test_loads_and_asyncio_take_uuids(db: drift.Database) -> None:
    c = db.create_collection("loaded", dim=4, metric="l2", id_type="str")
    c.load([(IDS[:2], ROWS[:2]), (IDS[2:], ROWS[2:])])
    assert sorted(c.ids().tolist()) == TEXTS

    async def found() -> tuple[bool, int]:
        async with aio.connect("memory://aio-uuids") as opened:
            a = await opened.create_collection("c", dim=4, id_type="str")
            await a.add(IDS, ROWS)
            return await a.contains(IDS[0]), await a.delete(IDS[:2])

    assert asyncio.run(found()) == (True, 2)


def test_a_uuid_given_twice_or_beside_its_text_is_one_id(c: drift.Collection) -> None:
    mixed: Any = [IDS[0], 5]
    twice: Any = [UUID(int=9), str(UUID(int=9))]
    with pytest.raises(drift.AlreadyExistsError, match=TEXTS[0]):
        c.add([IDS[0]], ROWS[:1])
    with pytest.raises(drift.AlreadyExistsError):
        c.add(twice, ROWS[:2])
    with pytest.raises(drift.InvalidArgumentError, match=r"id at row 1 is 5 \(int\), not a str"):
        c.get(mixed)


def test_collections_of_int_ids_refuse_uuids_and_say_what_takes_them(db: drift.Database) -> None:
    c = db.create_collection("ints", dim=4)
    c.add(range(4), ROWS)
    mixed: Any = [1, IDS[0]]
    calls: list[Any] = [
        lambda: c.add(mixed, ROWS[:2]),
        lambda: c.upsert(mixed, ROWS[:2]),
        lambda: c.get(mixed),
        lambda: c.delete(mixed),
        lambda: c.update_metadata(mixed, [{}, {}]),
    ]
    for call in calls:
        with pytest.raises(drift.InvalidArgumentError) as caught:
            call()
        assert str(caught.value) == (
            f"id at row 1 is the UUID {IDS[0]}, not an int: UUIDs are ids of collections that are created "
            'with id_type="str"'
        )
    with pytest.raises(drift.InvalidArgumentError, match="cursor of the page before"):
        c.scroll(cursor=IDS[0])
    assert IDS[0] not in c
    assert len(c) == 4
