"""Filters of Haystack as filters of drift: ``{"field": "meta.year", "operator": ">=", "value": 2024}`` and their logic.

Dates are compared as the ISO 8601 texts that documents keep, so they must all be written in one form.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from haystack.errors import FilterError

from drift._errors import InvalidArgumentError
from drift._filter import tree as build
from drift.adapters._haystack_mixed import MIXED, ask_both
from drift.adapters._rows import as_filter

if TYPE_CHECKING:
    from drift._filter import Expression, Tree

__all__ = ["CONTENT", "HIDDEN", "TIME", "to_filter"]

# Fields of rows that are no meta: the content, the time in a form that can be compared, values of other types than
# their fields, and when a row expires.
CONTENT = "_content"
TIME = "_time"
HIDDEN = frozenset({CONTENT, TIME, MIXED, "_expires"})

_ORDERS = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_NOTHING: Tree = ("or", ())


def to_filter(filters: dict[str, Any] | None, *, mixed: bool = False) -> Expression | None:
    """Return filters of Haystack as an expression; None when there are none.

    With `mixed` they ask values that stand apart from their fields, too.

    Raises
    ------
    FilterError
        When a key is missing, an operator is unknown, or a value does not fit its operator.
    """
    if not filters:
        return None
    try:
        tree = _tree(filters)
        return as_filter(ask_both(tree, HIDDEN) if mixed else tree)
    except InvalidArgumentError as error:
        raise FilterError(str(error)) from error


def _tree(filters: object) -> Tree:
    if not isinstance(filters, dict):
        raise FilterError(f"a filter must be a dict, not {type(filters).__name__}")
    if "field" in filters:
        return _comparison(filters)
    operator, conditions = filters.get("operator"), filters.get("conditions")
    if operator not in ("AND", "OR", "NOT") or not isinstance(conditions, list) or not conditions:
        raise FilterError(f"{filters} needs a field, or an operator AND, OR or NOT with a list of conditions")
    terms = [_tree(one) for one in conditions]
    joined = build.join("or" if operator == "OR" else "and", terms)
    return build.negate(joined) if operator == "NOT" else joined


def _comparison(filters: dict[str, Any]) -> Tree:
    missing = {"field", "operator", "value"} - filters.keys()
    if missing:
        raise FilterError(f"{filters} lacks {', '.join(sorted(missing))}")
    field, operator, value = _field(filters["field"]), filters["operator"], filters["value"]
    if operator in ("==", "!="):
        return build.compare("eq" if operator == "==" else "ne", field, value)
    if operator in ("in", "not in"):
        return _membership(field, operator, value)
    if operator not in _ORDERS:
        raise FilterError(f"unknown operator {operator!r}: there are ==, !=, <, <=, >, >=, in and not in")
    if value is None:
        return _NOTHING
    if isinstance(value, str):
        _date(value, operator)
    return build.compare(_ORDERS[operator], field, value)


def _membership(field: str, operator: str, value: object) -> Tree:
    if not isinstance(value, list):
        raise FilterError(f"{operator} takes a list, not {value!r}")
    tree = build.is_in(field, [one for one in value if one is not None])
    if None in value:
        tree = build.join("or", [tree, build.null(field)])
    return tree if operator == "in" else build.negate(tree)


def _field(name: object) -> str:
    if name == "content":
        return CONTENT
    if name in ("id", "embedding", "blob", "score"):
        raise FilterError(f"documents are filtered by their meta and content, not by {name}")
    return build.field(name).removeprefix("meta.")


def _date(value: str, operator: str) -> None:
    try:
        dt.datetime.fromisoformat(value)
    except ValueError as error:
        raise FilterError(f"{operator} compares numbers and dates in ISO 8601, not {value!r}") from error
