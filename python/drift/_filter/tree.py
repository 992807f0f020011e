"""The tree of a filter: nested tuples of plain values, how they are built, and their bounds.

A tree is one of::

    ("and", (t1, ...))  ("or", (t1, ...))  ("not", t)
    ("eq" | "ne" | "lt" | "le" | "gt" | "ge", field, value)
    ("in", field, (v1, ...))  ("between", field, low, high)            # both ends belong to it
    ("contains", field, value)  ("startswith", field, text)  ("exists", field)  ("null", field)

A value is a bool, an int, a float, a str, or ``("timestamp", microseconds since 1970 in UTC)``. The functions here are
the only ones that make trees, so that equal conditions have equal trees: nested ``and`` and ``or`` are flattened, one
condition alone is not wrapped, two negations cancel, and ``null`` and ``exists`` are each other's negation.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final, TypeAlias
from uuid import UUID

import numpy as np

from drift._errors import InvalidArgumentError

Tree: TypeAlias = tuple[Any, ...]
Value: TypeAlias = "bool | int | float | str | tuple[str, int]"

# The engine evaluates a filter by recursion, and so do its printers here; 64 levels are far beyond what people write.
DEPTH_MAX: Final = 64
# Each condition costs a pass over a column; a filter with more of them is a list of values, which `in` does in one.
TERMS_MAX: Final = 4_096
# As many as a search may return: a filter on the results of a search fits.
VALUES_MAX: Final = 65_536
# What an id may have; names of fields and JSON paths are shorter.
FIELD_BYTES_MAX: Final = 1_024
# A longer text is a document, and belongs into a search rather than a filter.
TEXT_BYTES_MAX: Final = 65_536

COMPARISONS: Final = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
EVERYTHING: Final[Tree] = ("and", ())

_MISSING: Final = "is_null() finds missing values"
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)


def field(name: object) -> str:
    """Return the name of a field, checked: 1 to 1,024 bytes, parts between dots not empty."""
    if not isinstance(name, str):
        raise InvalidArgumentError(f"field is {name!r}: its name must be a str")
    if not name or "" in name.split("."):
        raise InvalidArgumentError(f"field is {name!r}: its name, and each part between dots, must not be empty")
    if len(_bytes(name, "field")) > FIELD_BYTES_MAX:
        raise InvalidArgumentError(f"field {name[:20]!r}... is longer than {FIELD_BYTES_MAX:,} bytes")
    return str.__str__(name)


def value(given: object, name: str) -> Value:
    """Return a value as trees have it.

    Parameters
    ----------
    given : bool, int, float, str, datetime, date or NumPy scalar
        A date is its first instant. Datetimes without a time zone are UTC, as those of NumPy are; what is finer
        than a microsecond is cut off.
    name : str
        The field that it is compared with, for messages.

    Raises
    ------
    InvalidArgumentError
        When it is of another type, NaN, an int beyond int64, or a text of more than 65,536 bytes.
    """
    if isinstance(given, np.datetime64):
        return _numpy_time(given, name)
    if isinstance(given, np.timedelta64):
        # Of nanoseconds NumPy would make an integer.
        raise InvalidArgumentError(f"{name} is compared with {_shown(given)}: {_instead(given)}")
    if isinstance(given, np.generic):
        given = given.item()
    if isinstance(given, bool):
        return given
    if isinstance(given, int):
        if not -(2**63) <= given < 2**63:
            raise InvalidArgumentError(f"{name} is compared with {given}: ints must be in the range of int64")
        return int(given)
    if isinstance(given, float):
        if math.isnan(given):
            raise InvalidArgumentError(
                f"{name} is compared with NaN, which nothing equals; is_null() finds missing values"
            )
        return float(given)
    if isinstance(given, str):
        if len(_bytes(given, name)) > TEXT_BYTES_MAX:
            raise InvalidArgumentError(f"{name} is compared with a text of more than {TEXT_BYTES_MAX:,} bytes")
        return str.__str__(given)
    if isinstance(given, dt.datetime):
        return _time(given, name)
    if isinstance(given, dt.date):
        return "timestamp", (dt.datetime(given.year, given.month, given.day, tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND
    raise InvalidArgumentError(f"{name} is compared with {_shown(given)}: {_instead(given)}")


def compare(op: str, name: object, given: object) -> Tree:
    """Return the tree of one comparison; with None, ``eq`` is ``null`` and ``ne`` is ``exists``."""
    checked = field(name)
    if given is None and op in ("eq", "ne"):
        return ("null" if op == "eq" else "exists", checked)
    if given is None:
        raise InvalidArgumentError(
            f"{checked} {COMPARISONS[op]} None: None has no order; is_null() finds missing values"
        )
    converted = value(given, checked)
    if isinstance(converted, bool) and op not in ("eq", "ne"):
        raise InvalidArgumentError(f"{checked} {COMPARISONS[op]} {given!r}: booleans have no order, use == or !=")
    return op, checked, converted


def is_in(name: object, given: object) -> Tree:
    """Return the tree of ``field in values``; no values match no row."""
    checked = field(name)
    if isinstance(given, np.ndarray) and given.ndim == 1 and given.dtype.kind != "M":
        given = given.tolist()
    if isinstance(given, (str, bytes, dict)) or not isinstance(given, Iterable):
        raise InvalidArgumentError(f"{checked} in {_shown(given)}: pass a list of values")
    values: list[Value] = []
    for one in given:
        if one is None:
            raise InvalidArgumentError(f"{checked} in a list with None: add | col({checked!r}).is_null() instead")
        if len(values) == VALUES_MAX:
            raise InvalidArgumentError(f"{checked} in a list of more than {VALUES_MAX:,} values, the most there may be")
        values.append(value(one, checked))
    return "in", checked, tuple(values)


def between(name: object, low: object, high: object) -> Tree:
    """Return the tree of ``low <= field <= high``; both must be numbers, texts or times."""
    checked = field(name)
    bounds = value(low, checked), value(high, checked)
    kinds = [_kind(bound) for bound in bounds]
    if "bool" in kinds or kinds[0] != kinds[1]:
        raise InvalidArgumentError(
            f"{checked} between {low!r} and {high!r}: both must be numbers, or both texts, or both times"
        )
    return ("between", checked, *bounds)


def contains(name: object, given: object) -> Tree:
    """Return the tree of ``field contains value``: an element of a list field, or a part of a text."""
    checked = field(name)
    if given is None or (not isinstance(given, (str, np.generic)) and isinstance(given, Iterable)):
        raise InvalidArgumentError(f"{checked} contains {_shown(given)}: pass one value; join several with & or |")
    return "contains", checked, value(given, checked)


def startswith(name: object, given: object) -> Tree:
    """Return the tree of ``field starts with text``."""
    checked = field(name)
    if not isinstance(given, str):
        raise InvalidArgumentError(f"{checked} starts with {_shown(given)}: it must be a str")
    return "startswith", checked, value(given, checked)


def exists(name: object) -> Tree:
    """Return the tree of ``field is there and not None``; an empty list is there."""
    return "exists", field(name)


def null(name: object) -> Tree:
    """Return the tree of ``field is missing or None``."""
    return "null", field(name)


def join(op: str, terms: Iterable[Tree]) -> Tree:
    """Return ``and`` or ``or`` of trees, flat; of one tree, that tree."""
    flat: list[Tree] = []
    for term in terms:
        flat.extend(term[1] if term[0] == op else (term,))
    return flat[0] if len(flat) == 1 else (op, tuple(flat))


def negate(term: Tree) -> Tree:
    """Return the negation of a tree."""
    if term[0] == "not":
        inner: Tree = term[1]
        return inner
    if term[0] in ("null", "exists"):
        return ("exists" if term[0] == "null" else "null", term[1])
    return "not", term


def children(tree: Tree) -> tuple[Tree, ...]:
    """Return the trees inside a tree."""
    if tree[0] == "not":
        return (tree[1],)
    inner: tuple[Tree, ...] = tree[1] if tree[0] in ("and", "or") else ()
    return inner


def fields(tree: Tree) -> set[str]:
    """Return the names of the fields of a tree."""
    if tree[0] in ("and", "or", "not"):
        return {name for inner in children(tree) for name in fields(inner)}
    return {tree[1]}


def measure(tree: Tree) -> tuple[int, int]:
    """Return the levels and the conditions of a tree; of levels at most one more than `DEPTH_MAX` are counted."""
    level, depth, terms = [tree], 0, 0
    while level and depth <= DEPTH_MAX:
        depth += 1
        terms += sum(not children(one) for one in level)
        level = [inner for one in level for inner in children(one)]
    return depth, terms


def check(tree: Tree) -> Tree:
    """Return a tree of at most `DEPTH_MAX` levels and `TERMS_MAX` conditions.

    Raises
    ------
    InvalidArgumentError
        When it has more.
    """
    depth, terms = measure(tree)
    if depth > DEPTH_MAX:
        raise InvalidArgumentError(f"filter is nested more than {DEPTH_MAX} levels deep, the most it may be")
    if terms > TERMS_MAX:
        raise InvalidArgumentError(
            f"filter has {terms:,} conditions, at most {TERMS_MAX:,} are allowed: is_in takes a list of values as one"
        )
    return tree


def _kind(one: Value) -> str:
    if isinstance(one, bool):
        return "bool"
    if isinstance(one, (int, float)):
        return "number"
    return "text" if isinstance(one, str) else "time"


def _time(given: dt.datetime, name: str) -> Value:
    try:
        aware = given.replace(tzinfo=dt.UTC) if given.utcoffset() is None else given
        return "timestamp", (aware - _EPOCH) // _MICROSECOND
    except (TypeError, ValueError) as error:  # pandas.NaT is a datetime.
        raise InvalidArgumentError(f"{name} is compared with {given!r}: {error}") from error


def _numpy_time(given: np.datetime64, name: str) -> Value:
    if np.isnat(given):
        raise InvalidArgumentError(f"{name} is compared with NaT, which nothing equals; {_MISSING}")
    micros = given.astype("datetime64[us]")
    # Units that reach months alone fit, and NumPy has no way from them to years.
    is_short = np.datetime_data(given.dtype)[0] in ("ps", "fs", "as")
    if not is_short and micros.astype("datetime64[Y]") != given.astype("datetime64[Y]"):
        raise InvalidArgumentError(f"{name} is compared with {given!r}, which microseconds in int64 do not reach")
    return "timestamp", int(micros.astype(np.int64))


def _bytes(text: str, name: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"{name}: {text[:20]!r} is no text that UTF-8 can hold: {error.reason}") from error


def _shown(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _instead(given: object) -> str:
    if isinstance(given, Decimal):
        return "pass float(value)"
    if isinstance(given, UUID):
        return "pass str(value)"
    if isinstance(given, (list, tuple, set, frozenset, np.ndarray)):
        return "for any of several values use is_in ($in, IN)"
    if isinstance(given, dict):
        return "reach into JSON fields with dots in the name"
    return f"values are bool, int, float, str, datetime or date, not {type(given).__name__}"
