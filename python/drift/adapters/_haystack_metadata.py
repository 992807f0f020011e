"""What Haystack asks about the meta of documents: fields and their types, their values, least and greatest ones.

Answers are read from the matching rows, page by page; a document that lacks the field is not counted.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from drift.adapters._haystack_filters import HIDDEN
from drift.adapters._haystack_mixed import MIXED, together
from drift.adapters._rows import PAGE_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import drift
    from drift import Expression

# The names that Haystack's document stores use.
_TYPES = {
    "bool": "boolean",
    "int": "long",
    "float": "double",
    "str": "keyword",
    "timestamp": "date",
    "list": "keyword",
    "json": "object",
}


def plain_name(field: str) -> str:
    """Return the name of a meta field with or without its prefix ``meta.``."""
    return field.removeprefix("meta.")


def info(parts: Iterable[drift.Collection]) -> dict[str, dict[str, str]]:
    """Return the type of each meta field."""
    fields = {name: kind for part in parts for name, kind in part.fields.items() if name not in HIDDEN}
    return {name: {"type": _TYPES[kind]} for name, kind in fields.items()}


def values(
    parts: Iterable[drift.Collection], chosen: Expression | None, field: str, *, mixed: bool = True
) -> Iterator[Any]:
    """Yield the values that the field has in matching documents; of lists their elements.

    With `mixed` also those that are of another type than the field.
    """
    name = plain_name(field)
    for part in parts:
        if name not in part.fields:
            continue
        asked = [name, MIXED] if mixed and MIXED in part.fields else [name]
        cursor = None
        while True:
            page = part.scroll(chosen, limit=PAGE_ROWS, cursor=cursor, include=asked)
            for row in page.metadata:
                value = together(row).get(name)
                if isinstance(value, list):
                    yield from value
                elif value is not None:
                    yield value
            cursor = page.cursor
            if cursor is None:
                break


def distinct(found: Iterable[Any]) -> list[Any]:
    """Return each value once, values of one type in their order; ``1``, ``1.0`` and ``True`` are three."""
    once = {(type(value).__name__, _key(value)): value for value in found}
    return [once[key] for key in sorted(once)]


def _key(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, (dict, list)) else value


def extremes(found: Iterable[Any]) -> dict[str, Any]:
    """Return the least and the greatest value; None when there is none."""
    listed = list(found)
    return {"min": min(listed, default=None), "max": max(listed, default=None)}


def page(found: Iterable[Any], search_term: str | None, start: int, size: int) -> tuple[list[Any], int]:
    """Return a page of distinct values, those that have the term in them, and how many there are in all."""
    once = distinct(found)
    if search_term:
        term = search_term.lower()
        once = [value for value in once if term in str(value).lower()]
    return once[start : start + size], len(once)
