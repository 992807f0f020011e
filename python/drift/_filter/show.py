"""Trees as text: as the Python code that makes them, and as an outline for people."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from drift._filter.tree import COMPARISONS

if TYPE_CHECKING:
    from drift._filter.tree import Tree

# Values of a long list beyond these tell a reader nothing.
VALUES_SHOWN = 20

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def code(tree: Tree) -> str:
    """Return the Python expression that makes a tree; lists of more than 20 values are cut."""
    op = tree[0]
    if op in ("and", "or"):
        if not tree[1]:
            return "{}"
        return (" & " if op == "and" else " | ").join(_inner(term) for term in tree[1])
    if op == "not":
        return _not(tree[1])
    name = f"col({tree[1]!r})"
    if op in COMPARISONS:
        return f"{name} {COMPARISONS[op]} {_value(tree[2])}"
    if op == "in":
        return f"{name}.is_in([{_list(tree[2])}])"
    method = "is_null" if op == "null" else op
    return f"{name}.{method}({', '.join(_value(one) for one in tree[2:])})"


def _not(term: Tree) -> str:
    if term[0] == "in":
        return f"col({term[1]!r}).not_in([{_list(term[2])}])"
    inner = code(term)
    return f"~({inner})" if term[0] in COMPARISONS or term[0] in ("and", "or") else f"~{inner}"


def _inner(term: Tree) -> str:
    inner = code(term)
    return f"({inner})" if term[0] in COMPARISONS or term[0] in ("and", "or") else inner


def _list(values: tuple[object, ...]) -> str:
    shown = [_value(one) for one in values[:VALUES_SHOWN]]
    return ", ".join(shown + ["..."] * (len(values) > VALUES_SHOWN))


def _value(value: object) -> str:
    if not isinstance(value, tuple):
        return f"float('{value}')" if value in (float("inf"), float("-inf")) else repr(value)
    moment = _moment(value[1])
    return f"np.datetime64({value[1]}, 'us')" if moment is None else f"datetime.fromisoformat({moment.isoformat()!r})"


def _moment(micros: int) -> dt.datetime | None:
    try:
        return _EPOCH + dt.timedelta(microseconds=micros)
    except OverflowError:  # Years beyond 1 to 9999.
        return None


def outline(tree: Tree, indent: int = 0) -> str:
    """Return a tree as lines, one a condition, indented by two spaces a level."""
    space, op = "  " * indent, tree[0]
    if op == "not":
        return f"{space}not\n{outline(tree[1], indent + 1)}"
    if op in ("and", "or"):
        if not tree[1]:
            return f"{space}every row" if op == "and" else f"{space}no row"
        return "\n".join([space + op, *(outline(term, indent + 1) for term in tree[1])])
    return space + _line(tree)


def _line(tree: Tree) -> str:
    op, name = tree[0], tree[1]
    if op in COMPARISONS:
        return f"{name} {COMPARISONS[op]} {_plain(tree[2])}"
    if op == "in":
        shown = ", ".join(_plain(one) for one in tree[2][:VALUES_SHOWN])
        left = len(tree[2]) - VALUES_SHOWN
        return f"{name} in ({shown}{f', and {left:,} more' if left > 0 else ''})"
    if op == "between":
        return f"{name} between {_plain(tree[2])} and {_plain(tree[3])}"
    if op in ("exists", "null"):
        return f"{name} {'exists' if op == 'exists' else 'is null'}"
    return f"{name} {'starts with' if op == 'startswith' else op} {_plain(tree[2])}"


def _plain(value: object) -> str:
    if not isinstance(value, tuple):
        return repr(value)
    moment = _moment(value[1])
    return f"{value[1]} us" if moment is None else moment.isoformat()
