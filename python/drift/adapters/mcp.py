"""A server of the Model Context Protocol: search, get, upsert and stats for language models.

``python -m drift.adapters.mcp PATH`` serves a database over standard input and output; `server` makes one to be run
otherwise or with an embedding function, which lets models search by text. Needs the extra ``mcp``.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

import drift
from drift._time import decay_of
from drift.adapters._rows import timed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main", "server"]

# Answers are read by a model, whose attention is the limit.
K_MAX = 100
IDS_MAX = 1_000

_Ids: TypeAlias = "list[int] | list[str]"
_Filter: TypeAlias = "dict[str, Any] | str | None"

_INSTRUCTIONS = """Vector database of named collections. list_collections tells their names, sizes, metrics and \
fields; search finds the rows nearest to a text, a vector or a stored row, smaller distances being nearer, and in a \
collection with a time field those since or until a time, or newer ones first; get returns stored rows; upsert inserts \
or replaces rows; stats tells sizes and health."""


def server(
    database: drift.Database,
    *,
    embed: Callable[[str], Sequence[float]] | None = None,
    name: str = "drift",
) -> MCPServer[Any]:
    """Return a server of a database.

    Parameters
    ----------
    database : Database
        An open database, which stays open until its owner closes it. A read-only one is served without ``upsert``.
    embed : callable, optional
        Returns the vector of a text, of the dimension of every collection that is searched by text.
    name : str
        Name of the server.
    """
    made: MCPServer[Any] = MCPServer(name, instructions=_INSTRUCTIONS, version=drift.__version__)
    tools = _Tools(database, embed)
    for tool in (tools.list_collections, tools.search, tools.get, tools.stats):
        made.tool()(tool)
    if not database.read_only:
        made.tool()(tools.upsert)
    return made


class _Tools:
    """The tools; their docstrings and annotations are what a model reads."""

    def __init__(self, database: drift.Database, embed: Callable[[str], Sequence[float]] | None) -> None:
        self._database = database
        self._embed = embed

    def list_collections(self) -> list[dict[str, Any]]:
        """List the collections: rows, dimension, metric, type of ids, metadata fields, and which field is the time."""
        opened = [self._database[name] for name in self._database.list_collections()]
        return [
            {"name": c.name, "rows": len(c), "dim": c.dim, "metric": c.metric, "id_type": c.id_type}
            | {"fields": c.fields, "time": c.time}
            for c in opened
        ]

    def search(
        self,
        collection: str,
        text: Annotated[str | None, Field(description="find rows like this text")] = None,
        vector: Annotated[list[float] | None, Field(description="find rows near this vector")] = None,
        like_id: Annotated[int | str | None, Field(description="find rows near this stored row")] = None,
        k: Annotated[int, Field(ge=1, le=K_MAX, description="rows to return")] = 10,
        filter: Annotated[  # noqa: A002 - its name is part of the API.
            _Filter, Field(description='condition on metadata: {"year": {"$gte": 2024}} or "year >= 2024"')
        ] = None,
        since: Annotated[str | None, Field(description='only rows of this time or later: "2024-06-01"')] = None,
        until: Annotated[str | None, Field(description="only rows from before this time, in ISO 8601")] = None,
        half_life_seconds: Annotated[
            float | None, Field(description="rank newer rows first: the age that costs half of age_weight")
        ] = None,
        age_weight: Annotated[float | None, Field(description="what the oldest rows' distances grow by")] = None,
        exact: Annotated[bool, Field(description="compare with every row")] = False,
    ) -> list[dict[str, Any]]:
        """Find the rows nearest to a text, a vector or a stored row: give exactly one of the three."""
        opened = self._open(collection)
        with _told():
            query = self._query(opened, text, vector, like_id)
            decay = decay_of(half_life_seconds, age_weight)
            result = opened.search(
                query, k, exact=exact, filter=filter, since=since, until=until, decay=decay, include=True
            )
            found: list[dict[str, Any]] = result.to_list()
        return found

    def get(
        self,
        collection: str,
        ids: Annotated[_Ids, Field(max_length=IDS_MAX)],
        vectors: Annotated[bool, Field(description="return the vectors too")] = False,
    ) -> list[dict[str, Any]]:
        """Return stored rows by their ids; unknown ids are left out."""
        opened = self._open(collection)
        with _told():
            rows = opened.get(ids, missing="skip", include=True)
        answers = [
            {"id": row_id, "metadata": metadata}
            for row_id, metadata in zip(rows.ids.tolist(), rows.metadata, strict=True)
        ]
        if vectors:
            for answer, vector in zip(answers, rows.vectors.tolist(), strict=True):
                answer["vector"] = vector
        return answers

    def upsert(
        self,
        collection: str,
        ids: Annotated[_Ids, Field(max_length=IDS_MAX)],
        vectors: Annotated[list[list[float]] | None, Field(description="one for each id")] = None,
        texts: Annotated[list[str] | None, Field(description="texts to embed instead of vectors")] = None,
        metadata: Annotated[list[dict[str, Any]] | None, Field(description="one for each id")] = None,
        expires: Annotated[str | None, Field(description="when the rows vanish, in ISO 8601; never without it")] = None,
    ) -> dict[str, int]:
        """Insert rows, replacing those whose ids exist, all or none. Give vectors or texts."""
        opened = self._open(collection)
        with _told():
            if (vectors is None) == (texts is None):
                raise drift.InvalidArgumentError("give vectors or texts, one of them")
            values = [self._vector(text) for text in texts] if vectors is None and texts is not None else vectors
            payload = None if metadata is None else [timed(one, opened.time) for one in metadata]
            opened.upsert(ids, values or [], payload, expires=expires)
        return {"rows": len(opened)}

    def stats(self, collection: str) -> dict[str, Any]:
        """Return counts, sizes and what is wrong, if anything."""
        opened = self._open(collection)
        with _told():
            return opened.stats()

    def _open(self, collection: str) -> drift.Collection:
        with _told():
            return self._database.open_collection(collection)

    def _query(
        self, opened: drift.Collection, text: str | None, vector: list[float] | None, like_id: int | str | None
    ) -> Any:
        if sum(one is not None for one in (text, vector, like_id)) != 1:
            raise drift.InvalidArgumentError("give text, vector or like_id, exactly one of them")
        if like_id is not None:
            return opened.get(like_id).vectors[0]
        return self._vector(text) if text is not None else vector

    def _vector(self, text: str) -> Sequence[float]:
        if self._embed is None:
            raise drift.InvalidArgumentError("this server has no embedding function: give vectors instead of texts")
        return self._embed(text)


class _told:  # noqa: N801 - used as a function is.
    """Errors of drift become errors of the tool, whose messages the model reads and can act upon."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, drift.DriftError):
            raise ToolError(str(error)) from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve a database over standard input and output."""
    parser = argparse.ArgumentParser(prog="python -m drift.adapters.mcp", description=main.__doc__)
    parser.add_argument("database", metavar="DATABASE", help="folder of the database, or its URI")
    parser.add_argument("--read-only", action="store_true", help="offer no tool that writes")
    given = parser.parse_args(arguments)
    with drift.connect(given.database, read_only=given.read_only) as database:
        server(database).run("stdio")


if __name__ == "__main__":
    main()
