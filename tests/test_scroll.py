"""Pages: the cursor is None on the last one, also when the rows are a multiple of the limit."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pytest
from drift import _cli, _core, aio

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 12


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return a database of two collections of 12 rows, half of them flushed."""
    with drift.connect(tmp_path / "db") as db:
        for name, id_type in (("numbers", "int"), ("texts", "str")):
            c = db.create_collection(name, dim=2, metric="l2", id_type=id_type)  # type: ignore[arg-type]
            ids: Any = [f"{at:02}" for at in range(ROWS)] if id_type == "str" else list(range(ROWS))
            metadata = {"half": [at % 2 for at in range(ROWS)]}
            c.upsert(ids, np.full((ROWS, 2), 0.5), metadata)
            c.flush()
            c.upsert(ids[::2], np.full((ROWS // 2, 2), 1.5), {"half": [0] * (ROWS // 2)})
    return str(tmp_path / "db")


@pytest.mark.parametrize("name", ["numbers", "texts"])
@pytest.mark.parametrize("limit", [1, 3, 4, 5, 11, 12, 13])
@pytest.mark.parametrize("filter", [None, "half = 0"])
def test_pages_end_with_no_cursor_and_none_is_empty(path: str, name: str, limit: int, filter: str | None) -> None:  # noqa: A002
    with drift.connect(path) as db:
        c = db[name]
        expected = sorted(c.ids().tolist())[:: 1 if filter is None else 2]
        pages = [c.scroll(filter, limit=limit)]
        while pages[-1].cursor is not None:
            assert pages[-1].cursor == pages[-1].ids.tolist()[-1]
            pages.append(c.scroll(filter, limit=limit, cursor=pages[-1].cursor, vectors=True))
        assert [row for page in pages for row in page.ids.tolist()] == expected
        assert len(pages) == -(-len(expected) // limit)
        for page in pages:
            assert 0 < len(page) <= limit
            assert len(page.metadata) == len(page.to_list()) == page.to_arrow().num_rows == len(page)
            assert page.vectors is None or page.vectors.shape == (len(page), 2)


def test_an_empty_page_is_the_last() -> None:
    with drift.connect("memory://empty-page") as db:
        page = db.create_collection("c", dim=2).scroll(limit=5)
        assert (len(page), page.cursor) == (0, None)
        with pytest.raises(drift.InvalidArgumentError, match="limit is 65537: it must be between 1 and 65536"):
            db["c"].scroll(limit=65_537)


def test_the_largest_page_ends_too() -> None:
    most = _core.PAGE_ROWS_MAX
    with drift.connect("memory://largest-page") as db:
        c = db.create_collection("c", dim=1, metric="l2")
        c.upsert(np.arange(most), np.zeros((most, 1), dtype=np.float32))
        assert c.scroll(limit=most).cursor is None
        assert c.scroll(limit=most - 1).cursor == most - 2
        c.upsert([most], [[0.0]])
        first = c.scroll(limit=most)
        assert (len(first), first.cursor) == (most, most - 1)
        last = c.scroll(limit=most, cursor=first.cursor)
        assert (last.ids.tolist(), last.cursor) == ([most], None)


def test_a_cursor_that_is_no_id_is_refused(path: str) -> None:
    wrong: dict[str, list[Any]] = {"numbers": [2**63, -(2**63) - 1, 1.5, True, "5"], "texts": [5, b"05", "\ud800"]}
    with drift.connect(path, read_only=True) as db:
        for name, cursors in wrong.items():
            for cursor in cursors:
                with pytest.raises(drift.InvalidArgumentError, match="cursor is"):
                    db[name].scroll(cursor=cursor)
        assert db["numbers"].scroll(cursor=2**63 - 1).ids.size == 0
        first = db["numbers"].scroll(limit=3)
        assert db["numbers"].scroll(cursor=np.int16(first.ids[1])).ids[0] == first.ids[2]  # type: ignore[arg-type]


def test_pages_of_asyncio_end_too(path: str) -> None:
    async def cursors() -> list[Any]:
        async with aio.connect(path) as db:
            c = await db.open_collection("numbers")
            first = await c.scroll(limit=6)
            return [first.cursor, (await c.scroll(limit=6, cursor=first.cursor)).cursor]

    assert asyncio.run(cursors()) == [5, None]


def test_the_command_says_that_more_follow_only_where_they_do(capsys: pytest.CaptureFixture[str], path: str) -> None:
    def call(*arguments: str) -> str:
        assert _cli.main(["scroll", path, "texts", *arguments]) == 0
        return capsys.readouterr().out

    assert call("--limit", "6").splitlines()[-1] == "more rows follow: --cursor 05"
    assert "more rows follow" not in call("--limit", "6", "--cursor", "05")
    assert "more rows follow" not in call("--limit", "12")
    assert json.loads(call("--limit", "12", "--json"))["cursor"] is None
    assert json.loads(call("--limit", "11", "--json"))["cursor"] == "10"
