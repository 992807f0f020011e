"""The MCP server as a client of the official package sees it, in one process."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import drift
import pytest

from tests import oracle

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

mcp = pytest.importorskip("mcp", reason="the extra suites is not installed")

from drift.adapters.mcp import server  # noqa: E402
from mcp import Client, StdioServerParameters  # noqa: E402

DIM = 4
ROWS = oracle.vectors(20, DIM, 81)


def answer(result: Any) -> Any:
    """Return what a tool answered."""
    assert not result.is_error, result.content
    content = result.structured_content
    return content["result"] if set(content) == {"result"} else content


def refusal(result: Any) -> str:
    assert result.is_error
    return str(result.content[0].text)


@pytest.fixture
def database(db: drift.Database) -> drift.Database:
    db.create_collection("docs", dim=DIM, metric="l2").upsert(range(20), ROWS)
    db.create_collection("names", dim=DIM, id_type="str").upsert(["a"], ROWS[:1])
    return db


def talk(database: drift.Database, conversation: Callable[[Any], Coroutine[Any, Any, None]], **options: Any) -> None:
    async def run() -> None:
        async with Client(server(database, **options)) as client:
            await conversation(client)

    asyncio.run(run())


def test_a_model_finds_its_way_through_the_tools(database: drift.Database) -> None:
    async def conversation(client: Any) -> None:
        tools = (await client.list_tools()).tools
        assert {tool.name for tool in tools} == {"list_collections", "search", "get", "stats", "upsert"}
        assert all(tool.description for tool in tools)
        listed = answer(await client.call_tool("list_collections", {}))
        described = {"name": "docs", "rows": 20, "dim": DIM, "metric": "l2", "id_type": "int"}
        assert listed[0] == {**described, "fields": {}, "time": None}
        near = answer(await client.call_tool("search", {"collection": "docs", "vector": ROWS[3].tolist(), "k": 2}))
        assert near[0]["id"] == 3
        assert near[0]["distance"] <= near[1]["distance"]
        like = answer(await client.call_tool("search", {"collection": "docs", "like_id": 7, "k": 1, "exact": True}))
        assert like[0]["id"] == 7
        written = {"collection": "docs", "ids": [99], "vectors": [[100.0] * DIM]}
        assert answer(await client.call_tool("upsert", written)) == {"rows": 21}
        got = answer(await client.call_tool("get", {"collection": "docs", "ids": [99, 12_345], "vectors": True}))
        assert [(row["id"], row["vector"]) for row in got] == [(99, [100.0] * DIM)]
        names = answer(await client.call_tool("get", {"collection": "names", "ids": ["a"]}))
        assert names[0]["id"] == "a"
        assert answer(await client.call_tool("stats", {"collection": "docs"}))["rows"] == 21

    talk(database, conversation)


def test_a_model_asks_by_time(db: drift.Database) -> None:
    db.create_collection("news", dim=DIM, metric="l2", time="at")

    async def conversation(client: Any) -> None:
        assert answer(await client.call_tool("list_collections", {}))[0]["time"] == "at"
        written: dict[str, Any] = {"collection": "news", "ids": [1, 2, 3], "vectors": ROWS[:3].tolist()}
        written["metadata"] = [{"at": "2026-03-01"}, {"at": "2026-02-01T12:00:00Z"}, {"at": "2024-01-01"}]
        assert answer(await client.call_tool("upsert", written)) == {"rows": 3}

        async def ids(**options: Any) -> list[int]:
            near = {"collection": "news", "vector": ROWS[2].tolist(), **options}
            return [row["id"] for row in answer(await client.call_tool("search", near))]

        assert (await ids())[0] == 3
        assert sorted(await ids(since="2026-01-01")) == [1, 2]
        assert await ids(since="2026-01-01", until="2026-03-01") == [2]
        assert await ids(half_life_seconds=86_400 * 365, age_weight=1e6) == [1, 2, 3]
        expiring = {**written, "ids": [9, 10, 11], "expires": "2020-01-01T00:00:00Z"}
        assert answer(await client.call_tool("upsert", expiring)) == {"rows": 3}
        wrong = {"collection": "news", "vector": ROWS[2].tolist(), "since": "Monday"}
        assert "ISO 8601" in refusal(await client.call_tool("search", wrong))
        wrong = {"collection": "news", "vector": ROWS[2].tolist(), "age_weight": 1.0}
        assert "both of them" in refusal(await client.call_tool("search", wrong))

    talk(db, conversation)


def test_metadata_are_written_filtered_and_returned(database: drift.Database) -> None:
    async def conversation(client: Any) -> None:
        written = {"collection": "docs", "ids": [70, 71], "vectors": ROWS[:2].tolist()}
        written["metadata"] = [{"year": 2020}, {"year": 2024, "tags": ["new"]}]
        assert answer(await client.call_tool("upsert", written)) == {"rows": 22}
        for filter in ({"year": {"$gte": 2021}}, "year >= 2021"):  # noqa: A001 - the tool's argument.
            asked = {"collection": "docs", "vector": ROWS[0].tolist(), "filter": filter}
            near = answer(await client.call_tool("search", asked))
            assert [(row["id"], row["metadata"]) for row in near] == [(71, {"year": 2024, "tags": ["new"]})]
        got = answer(await client.call_tool("get", {"collection": "docs", "ids": [70]}))
        assert got == [{"id": 70, "metadata": {"year": 2020}}]
        wrong = {"collection": "docs", "like_id": 3, "filter": "year >="}
        assert "a value must stand here" in refusal(await client.call_tool("search", wrong))

    talk(database, conversation)


def test_texts_are_searched_and_written_with_an_embedding_function(database: drift.Database) -> None:
    def embed(text: str) -> list[float]:
        return [float(len(text)), 1.0, 0.0, 0.0]

    async def conversation(client: Any) -> None:
        written = {"collection": "docs", "ids": [50, 51], "texts": ["x" * 40, "x" * 60]}
        assert answer(await client.call_tool("upsert", written)) == {"rows": 22}
        near = answer(await client.call_tool("search", {"collection": "docs", "text": "y" * 59, "k": 1}))
        assert near[0]["id"] == 51

    talk(database, conversation, embed=embed)


@pytest.mark.parametrize(
    ("tool", "given", "message"),
    [
        ("search", {"collection": "none", "vector": [0.0] * DIM}, "none"),
        ("search", {"collection": "docs"}, "exactly one"),
        ("search", {"collection": "docs", "text": "x"}, "no embedding function"),
        ("search", {"collection": "docs", "vector": [0.0] * 3}, "shape"),
        ("search", {"collection": "docs", "vector": [0.0] * DIM, "k": 101}, "100"),
        ("search", {"collection": "docs", "like_id": 12_345}, "12345"),
        ("upsert", {"collection": "docs", "ids": [1]}, "vectors or texts"),
        ("upsert", {"collection": "docs", "ids": [-1], "vectors": [[0.0] * DIM]}, "-1"),
        ("get", {"collection": "docs", "ids": ["a"]}, "a"),
    ],
)
def test_a_mistake_is_an_answer_that_says_what_to_do(
    database: drift.Database, tool: str, given: dict[str, Any], message: str
) -> None:
    async def conversation(client: Any) -> None:
        assert message in refusal(await client.call_tool(tool, given))

    talk(database, conversation)
    assert len(database["docs"]) == 20


def test_a_read_only_database_is_served_without_writes(database: drift.Database, path: str) -> None:
    database.close()

    async def conversation(client: Any) -> None:
        assert "upsert" not in {tool.name for tool in (await client.list_tools()).tools}

    with drift.connect(path, read_only=True) as reader:
        talk(reader, conversation)


def test_the_command_serves_over_standard_input(database: drift.Database, path: str, python: str) -> None:
    database.close()

    async def run() -> None:
        # The client passes little of the environment on, and drift may be found by PYTHONPATH alone.
        arguments = ["-m", "drift.adapters.mcp", path, "--read-only"]
        command = StdioServerParameters(command=python, args=arguments, env=dict(os.environ))
        async with Client(command) as client:
            listed = answer(await client.call_tool("list_collections", {}))
            assert json.loads(json.dumps(listed))[1]["name"] == "names"

    asyncio.run(run())
