"""Texts that are compared with fields of times, read as times: ``updated >= '2024-06-01'``, as databases do.

Values of different types are never equal and have no order, so a text left as it is would match nothing.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from drift._errors import InvalidArgumentError
from drift._filter.tree import children, value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drift._filter.tree import Tree

_ORDERED = ("eq", "ne", "lt", "le", "gt", "ge", "in", "between")


def with_times(tree: Tree, fields: Callable[[], Mapping[str, str]]) -> Tree:
    """Return the tree with times in place of the texts that fields of timestamps are compared with.

    Parameters
    ----------
    tree : tuple
        A tree, see `drift._filter.tree`.
    fields : callable
        Returns the type of each field. Called only when the tree compares with a text.

    Raises
    ------
    InvalidArgumentError
        When such a text is no time in the form of ISO 8601; the message names the field.

    Examples
    --------
    >>> with_times(("ge", "updated", "2024-06-01"), lambda: {"updated": "timestamp"})
    ('ge', 'updated', ('timestamp', 1717200000000000))
    """
    return _read(tree, fields()) if _has_text(tree) else tree


def _has_text(tree: Tree) -> bool:
    if inner := children(tree):
        return any(map(_has_text, inner))
    return tree[0] in _ORDERED and any(isinstance(one, str) for one in _values(tree))


def _values(tree: Tree) -> tuple[Any, ...]:
    return tuple(tree[2]) if tree[0] == "in" else tree[2:]


def _read(tree: Tree, fields: Mapping[str, str]) -> Tree:
    op = tree[0]
    if op == "not":
        return op, _read(tree[1], fields)
    if op in ("and", "or"):
        return op, tuple(_read(inner, fields) for inner in tree[1])
    if op not in _ORDERED or fields.get(tree[1]) != "timestamp":
        return tree
    values = tuple(_time(one, tree[1]) if isinstance(one, str) else one for one in _values(tree))
    return (op, tree[1], values) if op == "in" else (op, tree[1], *values)


def _time(text: str, name: str) -> Any:
    try:
        return value(dt.datetime.fromisoformat(text), name)
    except ValueError:
        raise InvalidArgumentError(
            f"the field {name!r} holds times, and is compared with the text {text[:40]!r}: write ISO 8601, such as "
            "'2024-06-01' or '2024-06-01T12:00:00Z'"
        ) from None
