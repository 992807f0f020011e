"""The commands that read and delete rows by id or by filter: ``get``, ``count``, ``scroll`` and ``delete``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypedDict

import drift
from drift import _cli

if TYPE_CHECKING:
    import argparse

# Values of a vector that people are shown.
VALUES_SHOWN = 6


def add_to(commands: Any) -> None:
    """Add the commands to the parser of the command line."""
    command = _cli._command(
        commands, _get, "get", "print stored rows", "drift get ./db packages 17 18 --include name,month --json"
    )
    command.add_argument("ids", metavar="ID", nargs="+", help="id of a row")
    add_include(command)
    command.add_argument("--skip-missing", action="store_true", help="leave unknown ids out instead of failing")

    command = _cli._command(
        commands, _count, "count", "count rows", 'drift count ./db packages --filter "month >= 202001"'
    )
    add_filter(command, "count only rows that match it")
    add_window(command)

    command = _cli._command(
        commands,
        _scroll,
        "scroll",
        "print rows in order of id, a page at a time",
        'drift scroll ./db packages --filter "month >= 202001" --limit 20',
    )
    add_filter(command, "print only rows that match it")
    add_window(command)
    add_include(command)
    command.add_argument("--limit", metavar="N", type=int, default=20, help="rows of a page (%(default)s)")
    command.add_argument("--cursor", metavar="ID", help="print what follows this id: the cursor of the page before")
    command.add_argument("--vectors", action="store_true", help="print the vectors too")

    command = _cli._command(
        commands, _delete, "delete", "delete rows by id, filter or time", "drift delete ./db packages 17 18"
    )
    command.add_argument("ids", metavar="ID", nargs="*", help="id of a row")
    add_filter(command, "delete the rows that match it, in place of ids")
    add_window(command)


def add_filter(command: argparse.ArgumentParser, use: str) -> None:
    """Add ``--filter``."""
    command.add_argument(
        "--filter", metavar="CONDITION", help=f"{use}: SQL such as \"year >= 2024 AND lang IN ('en', 'de')\""
    )


def add_window(command: argparse.ArgumentParser) -> None:
    """Add ``--since`` and ``--until``."""
    command.add_argument("--since", metavar="TIME", help='only rows of then or later: ISO 8601, such as "2024-06-01"')
    command.add_argument("--until", metavar="TIME", help="only rows of before")


class Window(TypedDict):
    """What ``--since`` and ``--until`` say."""

    since: str | None
    until: str | None


def window(arguments: argparse.Namespace) -> Window:
    """Return what ``--since`` and ``--until`` say, as keyword arguments."""
    return {"since": arguments.since, "until": arguments.until}


def add_query(command: argparse.ArgumentParser, use: str) -> None:
    """Add the query, ``-k`` and ``--recall``."""
    query = command.add_mutually_exclusive_group(required=True)
    query.add_argument("--id", help=f"{use} by example: the vector of the row with this id")
    query.add_argument("--vector", help='a .npy or .json file, "-" for JSON from stdin, or JSON such as "[0.1, 0.2]"')
    command.add_argument("-k", metavar="N", type=int, default=10, help="results per query (%(default)s)")
    command.add_argument(
        "--recall", metavar="R", type=float, default=0.95, help="recall to aim at, in (0, 1] (%(default)s)"
    )


def add_include(command: argparse.ArgumentParser) -> None:
    """Add ``--include``."""
    command.add_argument(
        "--include", metavar="FIELDS", help='metadata to print: fields with commas between them, or "all"'
    )


def note_doubts(c: drift.Collection, condition: str | None, found: int) -> None:
    """Tell people on stderr why a filter may have found nothing."""
    if condition is not None and not found:
        for doubt in c.check_filter(condition):
            sys.stderr.write(f"drift: note: {doubt}\n")


def include(text: str | None) -> bool | list[str] | None:
    """Return what ``--include`` or ``--metadata`` names."""
    if text is None:
        return None
    return True if text == "all" else [name.strip() for name in text.split(",")]


def spread(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with their metadata as columns of their own; every row has every column."""
    fields = list(dict.fromkeys(name for row in rows for name in row.get("metadata") or ()))
    out = []
    for row in rows:
        metadata = row.get("metadata") or {}
        own = {name: value for name, value in row.items() if name != "metadata"}
        out.append({**own, **{f"{name}_" if name in own else name: metadata.get(name) for name in fields}})
    return out


def _shorten(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with vectors as a person reads them."""
    out = []
    for row in spread(rows):
        vector = row.get("vector")
        if vector is not None:
            dots = " ..." if len(vector) > VALUES_SHOWN else ""
            shown = " ".join(f"{value:.4g}" for value in vector[:VALUES_SHOWN]) + dots
            row = {f"vector ({len(vector)} values)" if name == "vector" else name: value for name, value in row.items()}
            row[f"vector ({len(vector)} values)"] = shown
        out.append(row)
    return out


def print_rows(rows: list[dict[str, Any]], empty: list[str]) -> None:
    """Print rows as a table."""
    _cli._print_table(list(rows[0]) if rows else empty, [list(row.values()) for row in rows])


def _get(arguments: argparse.Namespace) -> int:
    with drift.connect(arguments.database, read_only=True) as db:
        c = db[arguments.collection]
        missing: Any = "skip" if arguments.skip_missing else "error"
        found = c.get(_cli._ids(c, arguments.ids), missing=missing, include=include(arguments.include)).to_list()
    if arguments.json:
        return _cli._print_json(found)
    print_rows(_shorten(found), ["id", "vector"])
    return 0


def _count(arguments: argparse.Namespace) -> int:
    with drift.connect(arguments.database, read_only=True) as db:
        c = db[arguments.collection]
        rows = c.count(arguments.filter, **window(arguments))
        note_doubts(c, arguments.filter, rows)
    return _cli._print_facts({"rows": rows}, arguments.json)


def _scroll(arguments: argparse.Namespace) -> int:
    with drift.connect(arguments.database, read_only=True) as db:
        c = db[arguments.collection]
        cursor = None if arguments.cursor is None else _cli._ids(c, [arguments.cursor])[0]
        wanted = True if arguments.include is None else include(arguments.include)
        page = c.scroll(
            arguments.filter,
            **window(arguments),
            limit=arguments.limit,
            cursor=cursor,
            include=wanted,
            vectors=arguments.vectors,
        )
        note_doubts(c, arguments.filter, len(page))
    rows = page.to_list()
    if arguments.json:
        return _cli._print_json({"rows": rows, "cursor": page.cursor})
    print_rows(_shorten(rows), ["id"])
    if page.cursor is not None:
        _cli._print_line(f"more rows follow: --cursor {page.cursor}")
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    wanted = {"filter": arguments.filter, **window(arguments)}
    if bool(arguments.ids) == any(value is not None for value in wanted.values()):
        raise _cli.UsageError("delete takes either ids or --filter, --since, --until")
    with _cli.writer(arguments.database) as db:
        c = db[arguments.collection]
        deleted = c.delete(_cli._ids(c, arguments.ids)) if arguments.ids else c.delete(**wanted)
        note_doubts(c, arguments.filter, deleted)
    return _cli._print_facts({"deleted": deleted}, arguments.json)
