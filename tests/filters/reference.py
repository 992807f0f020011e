"""What filters mean: an evaluator of trees over plain dictionaries, written from the documentation alone.

Nothing of drift is imported, so that an error of the engine or of the parsers cannot be shared.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ORDERS = {
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


def matches(tree: tuple[Any, ...], payload: dict[str, Any]) -> bool:
    """Whether a row with this payload matches."""
    op = tree[0]
    if op == "and":
        return all(matches(term, payload) for term in tree[1])
    if op == "or":
        return any(matches(term, payload) for term in tree[1])
    if op == "not":
        return not matches(tree[1], payload)
    found = lookup(payload, tree[1])
    if op in ("exists", "null"):
        return bool((found is not None) == (op == "exists"))
    if op == "ne":
        return not matches(("eq", *tree[1:]), payload)
    if op == "contains" and isinstance(found, str):
        return isinstance(tree[2], str) and found.find(tree[2]) >= 0
    if op == "contains":
        return isinstance(found, list) and any(equal(one, tree[2]) for one in found)
    return any(holds(op, one, tree[2:]) for one in (found if isinstance(found, list) else [found]))


def holds(op: str, found: Any, given: tuple[Any, ...]) -> bool:
    """Whether a condition holds for one value."""
    if op == "eq":
        return equal(found, given[0])
    if op == "in":
        return any(equal(found, one) for one in given[0])
    if op == "between":
        return ordered("ge", found, given[0]) and ordered("le", found, given[1])
    if op == "startswith":
        return isinstance(found, str) and found.startswith(given[0])
    return ordered(op, found, given[0])


def lookup(payload: dict[str, Any], field: str) -> Any:
    """Return the value of a field, None when it is missing; dots go into dictionaries."""
    found: Any = payload
    for part in field.split("."):
        if not isinstance(found, dict) or part not in found:
            return None
        found = found[part]
    return found


def typed(value: Any) -> tuple[str, Any] | None:
    """Return the kind of a value, and the value as it is compared."""
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, (int, float)):
        return "number", value
    if isinstance(value, str):
        return "text", value
    if isinstance(value, dt.datetime):
        return "time", (value - EPOCH) // dt.timedelta(microseconds=1)
    if isinstance(value, tuple):
        return "time", value[1]
    return None


def equal(found: Any, given: Any) -> bool:
    """Whether two values are of one type and equal."""
    return typed(found) is not None and typed(found) == typed(given)


def ordered(op: str, found: Any, given: Any) -> bool:
    """Whether two values are of one type and in this order."""
    left, right = typed(found), typed(given)
    return left is not None and right is not None and left[0] == right[0] and bool(ORDERS[op](left[1], right[1]))
