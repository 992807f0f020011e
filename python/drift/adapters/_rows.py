"""What the adapters of document stores share: pages of matching rows, filters made of trees, and times."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from drift import _time
from drift._errors import InvalidArgumentError
from drift._filter import Expression
from drift._filter.tree import EVERYTHING, check, exists, fields, join

if TYPE_CHECKING:
    from collections.abc import Iterator

    import drift
    from drift._filter import Tree

# Rows that are held at once while all matching rows are read.
PAGE_ROWS = 1_000


def check_text_ids(collection: drift.Collection, framework: str) -> None:
    """Refuse a collection whose ids are not text, as those of the framework are."""
    if collection.id_type != "str":
        raise InvalidArgumentError(
            f'collection {collection.name!r} has ids of type int: {framework} needs id_type="str"'
        )


def as_filter(tree: Tree) -> Expression:
    """Return the expression of a tree whose fields may be unknown: for frameworks nothing matches those, and no more.

    A collection refuses misspelt names, but none whose existence is asked; so each field gets a condition that asks
    for it, and always holds.
    """
    allowed = (join("or", (EVERYTHING, exists(name))) for name in sorted(fields(tree)))
    return Expression.of(check(join("and", (tree, *allowed))))


def matching(collection: drift.Collection, filter: Expression | None) -> Iterator[Any]:  # noqa: A002
    """Yield the rows that match, page by page, with vectors and metadata."""
    opened: Any = collection
    cursor = None
    while True:
        page = opened.scroll(filter=filter, limit=PAGE_ROWS, cursor=cursor)
        if len(page.ids):
            yield opened.get(page.ids, missing="skip", include=True)
        cursor = page.cursor
        if cursor is None:
            return


def present(metadata: dict[str, Any] | None) -> dict[str, Any]:
    """Return metadata without missing values."""
    return {name: value for name, value in (metadata or {}).items() if value is not None}


def times(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a search that frameworks hand on: ``since``, ``until`` and ``decay``.

    Raises
    ------
    InvalidArgumentError
        When there is another: it would do nothing.
    """
    for name in options:
        if name not in ("since", "until", "decay"):
            raise InvalidArgumentError(f"searches have no option {name!r}: there are since, until and decay")
    return options


def instant(name: str, value: object) -> object:
    """Return a time as a datetime where it is text in ISO 8601, as frameworks keep times in metadata."""
    if not isinstance(value, str):
        return value
    return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=_time.moment(name, value))


def timed(metadata: dict[str, Any], time: str | None) -> dict[str, Any]:
    """Return metadata whose field `time` is a datetime where it was text."""
    if time is None or time not in metadata:
        return metadata
    return {**metadata, time: instant(time, metadata[time])}
