"""What objects show: one line as text, a small escaped table in notebooks, and results in every form."""

from __future__ import annotations

import asyncio
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from drift import aio
from drift._health import TargetRecall

from tests import oracle

if TYPE_CHECKING:
    from pathlib import Path

DIM = 8
ROWS = oracle.vectors(60, DIM, 40)
HOSTILE = "<script>alert(1)</script>&\"'"


class Table(HTMLParser):
    """The texts of one HTML table by their tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {"caption": [], "th": [], "td": []}
        self.feed(html)
        assert not self.open, "every tag is closed"
        self.rows = self.tags.count("tr") - 1

    def handle_starttag(self, tag: str, attrs: Any) -> None:  # noqa: ARG002
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts[self.open[-1]].append(data)


def shown(thing: Any) -> Table:
    """Return the HTML table of an object, checked to be small and to say what its repr does."""
    table = Table(thing._repr_html_())
    assert set(table.tags) == {"table", "caption", "thead", "tbody", "tr", "th"} | ({"td"} if table.rows else set())
    assert table.rows <= 21
    assert "".join(table.texts["caption"]) == repr(thing)
    assert "\n" not in repr(thing)
    return table


@pytest.fixture(params=["int", "str"])
def c(request: pytest.FixtureRequest, db: drift.Database) -> drift.Collection:
    """Sixty rows under either type of ids."""
    c = db.create_collection("docs", dim=DIM, metric="l2", id_type=request.param)
    c.upsert(ids_of(c), ROWS)
    return c


def ids_of(c: drift.Collection) -> Any:
    """Return sixty ids of the collection's type, the first of them with every sign that HTML has."""
    return list(range(1000, 1060)) if c.id_type == "int" else [HOSTILE, *(f"id-{at}" for at in range(1, 60))]


def test_databases_list_their_collections(db: drift.Database, path: str) -> None:
    assert repr(db) == f"Database({path!r}, 0 collections)"
    assert shown(db).rows == 0
    for at in range(25):
        db.create_collection(f"c&{at:02}", dim=1234, metric="dot").upsert([at], np.ones((1, 1234)))
    table = shown(db)
    assert table.texts["td"][:5] == ["c&00", "1", "1234", "dot", "int"]
    assert table.texts["td"][-1] == "and 5 more"
    db.close()
    assert repr(db) == f"Database({path!r}, closed)"
    assert shown(db).rows == 0


def test_collections_show_their_stats_and_why_they_have_none(c: drift.Collection) -> None:
    assert repr(c) == f"Collection('docs', 60 rows, dim=8, metric='l2', id_type={c.id_type!r})"
    cells = shown(c).texts["td"]
    assert cells[cells.index("rows") + 1] == "60"
    assert not any("search" in cell or "jobs" in cell for cell in cells)
    c.search(np.ones(8), k=1)
    searched = shown(c).texts["td"]
    assert float(searched[searched.index("search p99, ms") + 1]) > 0
    c.close()
    assert "closed" in repr(c)
    assert "open it again" in shown(c).texts["td"][1]


def test_health_and_maintenance_show_their_figures_and_outlive_the_collection(c: drift.Collection) -> None:
    health, maintenance = c.health(), c.maintenance
    cells = shown(health).texts["td"]
    assert cells[cells.index("rows") + 1] == "60"
    assert not any("due" in cell or "poisoned" in cell for cell in cells)
    measured = [TargetRecall(0.9, 0.95, 0.94, 0.96, 7, "nearest")]
    told = drift.Health(**{**vars(health), "recalls": measured, "backlog": {"split": 2}, "degraded": HOSTILE})
    assert {"recall for 0.9", "0.950 (0.940 to 0.960, 7 queries)", "due: split", HOSTILE} <= {*shown(told).texts["td"]}
    assert "share" in shown(maintenance).texts["td"]
    assert "running" in repr(maintenance)
    assert shown(maintenance.budget).rows == 4
    c.close()
    assert repr(maintenance) == "<drift.Maintenance closed>"
    assert "open it again" in shown(maintenance).texts["td"][1]


def test_maintenance_of_a_dropped_collection_and_of_asyncio_show_that_they_are_closed(
    db: drift.Database, docs: drift.Collection
) -> None:
    maintenance = docs.maintenance
    db.drop_collection("docs")
    assert repr(maintenance) == "<drift.Maintenance closed>"

    async def main() -> None:
        async with aio.connect("memory://show-maintenance") as other:
            awaitable = (await other.create_collection("docs", dim=2)).maintenance
            assert "running" in repr(awaitable)
            shown(awaitable)
        assert repr(awaitable) == "<drift.aio.Maintenance closed>"
        shown(awaitable)

    asyncio.run(main())


def test_backups_show_their_figures(db: drift.Database, tmp_path: Path) -> None:
    db.create_collection("a&b", dim=2)
    backup = db.backup(tmp_path / "backups")
    cells = shown(backup).texts["td"]
    assert cells[cells.index("collections") + 1] == "a&b"
    assert cells[cells.index("number") + 1] == "1"


def test_one_row_is_not_rows(docs: drift.Collection) -> None:
    docs.upsert([1], ROWS[:1])
    assert "1 row," in repr(docs)
    assert repr(docs.get([1])) == "Rows(1 row, dim=8)"
    assert repr(docs.search(ROWS[:1], k=3)) == "SearchResult(1 query, k=3)"
    assert repr(docs.search(ROWS[0], k=3)) == "SearchResult(1 result, nearest 1 at 0)"


def test_results_and_rows_show_their_first_and_count_the_others(c: drift.Collection) -> None:
    ids = ids_of(c)
    one, many, rows = c.search(ROWS[0], k=30), c.search(ROWS[:3], k=30), c.get(ids)
    for thing, left, names in ((one, 10, ["id"]), (many, 70, ["query", "id"]), (rows, 40, ["id"])):
        table = shown(thing)
        assert table.texts["th"][: len(names)] == names
        assert str(ids[0]) in table.texts["td"], "escaped, and without thousands separators"
        assert table.texts["td"][-1] == f"and {left} more"
        assert "<script>" not in thing._repr_html_()


def test_empty_results_show_an_empty_table(docs: drift.Collection) -> None:
    for thing in (docs.search(ROWS[0]), docs.search(ROWS[:0]), docs.search(ROWS[:2]), docs.get([])):
        assert shown(thing).rows == 0


def test_results_leave_in_every_form_for_both_types_of_ids(c: drift.Collection) -> None:
    c.delete(ids_of(c)[3:])
    kind = pa.int64() if c.id_type == "int" else pa.string()
    for queries, query_columns in ((ROWS[0], []), (ROWS[:2], ["query"]), (ROWS[:0], ["query"])):
        for k in (0, 2, 5):
            r = c.search(queries, k=k)
            hits = (
                r.to_list()
                if r.ids.ndim == 1
                else [{"query": at, **hit} for at, row in enumerate(r.to_list()) for hit in row]
            )
            assert len(hits) == min(k, 3) * (1 if r.ids.ndim == 1 else len(queries)), "padding stays behind"
            table = r.to_arrow()
            assert table.schema.names == [*query_columns, "id", "distance"]
            assert table.schema.types == [pa.int64()] * len(query_columns) + [kind, pa.float32()]
            assert table.to_pylist() == pa.table(r).to_pylist() == r.to_polars().to_dicts() == hits
            frame = r.to_pandas()
            assert list(frame.columns) == table.schema.names
            assert frame.to_dict("records") == hits
            assert frame["distance"].dtype == np.float32
            assert not isinstance(frame.index, pd.MultiIndex)


def test_rows_leave_in_every_form_and_load_again(c: drift.Collection) -> None:
    ids = ids_of(c)
    kind = pa.int64() if c.id_type == "int" else pa.string()
    parts: list[list[Any]] = [ids, ids[5:6], []]
    for asked in parts:
        rows = c.get(asked)
        plain = rows.to_list()
        assert plain == [{"id": row_id, "vector": ROWS[ids.index(row_id)].tolist()} for row_id in asked]
        table = rows.to_arrow()
        assert table.schema.names == ["id", "vector"]
        assert (table.schema.types[0], table.schema.types[1].list_size) == (kind, DIM)
        assert table.to_pylist() == pa.table(rows).to_pylist() == plain
        assert [{**row, "vector": list(row["vector"])} for row in rows.to_polars().to_dicts()] == plain
        frame = rows.to_pandas()
        assert [
            {"id": row_id, "vector": v.tolist()} for row_id, v in zip(frame["id"], frame["vector"], strict=True)
        ] == plain
    again = c.database.create_collection("again", dim=DIM, metric="l2", id_type=c.id_type)  # type: ignore[arg-type]
    assert again.load(c.get(ids), vector="vector")["rows"] == len(ids)
    np.testing.assert_array_equal(again.get(ids).vectors, ROWS)


def test_metadata_stands_in_tables_and_in_every_form(db: drift.Database) -> None:
    c = db.create_collection("named", dim=2, metric="l2", id_type="str")
    metadata: list[dict[str, Any]] = [
        {"id": HOSTILE, "id_": 1, "vector": "v", "tags": ["a"], "long": "x" * 200},
        {"tags": []},
    ]
    c.upsert(["a", "b"], [[0, 0], [3, 4]], metadata=metadata)
    for thing, own in (
        (c.search([0, 0], k=3, include=True), ["id", "distance"]),
        (c.get(["a", "b"], include=True), ["id", "vector"]),
        (c.scroll(vectors=True), ["id", "vector"]),
        (c.scroll(), ["id"]),
    ):
        taken = "vector" if own == ["id", "distance"] else "vector_"
        names = [*own, "id__", "id_", taken, "tags", "long"]
        table = shown(thing)
        assert (table.texts["th"], table.rows) == (names, 2)
        assert HOSTILE in table.texts["td"]
        assert "x" * 77 + "..." in table.texts["td"]
        assert list(thing.to_pandas().columns) == thing.to_polars().columns == thing.to_arrow().column_names == names
        assert thing.to_arrow()["tags"].to_pylist() == [["a"], []]
        assert [row["metadata"] for row in thing.to_list()] == metadata
    assert "vector" not in c.scroll().to_list()[0]
    empty = c.scroll("id_ > 5", vectors=True)
    assert (len(empty.to_pandas()), empty.to_arrow().num_rows, empty.to_polars().height, empty.to_list()) == (
        0,
        0,
        0,
        [],
    )
    assert shown(empty).rows == 0


def test_asynchronous_handles_show_what_they_wrap(path: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with aio.connect(path) as db, db.create_collection("docs", dim=2) as c:
            for thing in (db, c):
                assert repr(thing).startswith("aio.")
                assert str(tmp_path) in repr(thing) or "docs" in repr(thing)
                Table(thing._repr_html_())

    asyncio.run(main())
