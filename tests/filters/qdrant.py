"""Trees as filters of Qdrant, whose in-memory mode is the evaluator that nobody here wrote.

Qdrant has no order of texts and no comparison of an integer with a float by `match`: numbers are compared by ranges,
and the trees of `chosen` order no texts. Qdrant counts an empty list as missing where drift counts it as present, so
the payloads of `chosen` have none; `test_filter_meaning` settles those cases.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from qdrant_client import models

from tests.filters.chosen import FIELDS
from tests.filters.spell import plain

RANGES = {"lt": "lt", "le": "lte", "gt": "gt", "ge": "gte"}


def payload(row: dict[str, Any]) -> dict[str, Any]:
    """Return a payload as Qdrant keeps it: times as ISO 8601."""
    return {
        key: payload(value)
        if isinstance(value, dict)
        else value.isoformat(timespec="microseconds")
        if isinstance(value, dt.datetime)
        else value
        for key, value in row.items()
    }


def condition(tree: tuple[Any, ...]) -> Any:
    """Return the condition of Qdrant that a tree means."""
    op = tree[0]
    if op in ("and", "or", "not"):
        terms: Any = [condition(term) for term in (tree[1] if op != "not" else [tree[1]])]
        if op == "not":
            return models.Filter(must_not=terms)
        return models.Filter(must=terms) if op == "and" else models.Filter(should=terms)
    field = tree[1]
    if op == "null":
        return models.IsEmptyCondition(is_empty=models.PayloadField(key=field))
    if op in ("exists", "ne"):
        return models.Filter(must_not=[condition(("null" if op == "exists" else "eq", *tree[1:]))])
    if op == "in":
        return models.Filter(should=[condition(("eq", field, one)) for one in tree[2]])
    if op == "eq" and not isinstance(tree[2], (bool, str)):
        return between(field, gte=tree[2], lte=tree[2])
    if op == "between":
        return between(field, gte=tree[2], lte=tree[3])
    if op in RANGES:
        return between(field, **{RANGES[op]: tree[2]})
    match: Any = models.MatchValue(value=tree[2]) if op == "eq" or FIELDS[field] == "texts" else None
    if op == "startswith":
        match = models.MatchPrefix(prefix=tree[2])
    elif match is None:
        match = models.MatchSubstring(substring=tree[2])
    return models.FieldCondition(key=field, match=match)


def between(field: str, **bounds: Any) -> Any:
    """Return a range of numbers or of times."""
    times = any(isinstance(bound, tuple) for bound in bounds.values())
    kind = models.DatetimeRange if times else models.Range
    return models.FieldCondition(key=field, range=kind(**{name: plain(bound) for name, bound in bounds.items()}))


def as_filter(tree: tuple[Any, ...]) -> Any:
    """Return the filter of Qdrant that a tree means."""
    made = condition(tree)
    return made if isinstance(made, models.Filter) else models.Filter(must=[made])
