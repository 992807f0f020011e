"""Filters as dictionaries, with the operators of MongoDB and Chroma: ``{"year": {"$gte": 2024}, "lang": "en"}``.

Several keys are joined by ``and``. A value without an operator is compared by ``$eq``; None asks for a missing field.
Where MongoDB would compare whole lists or documents, the dictionary is refused with what to write instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from drift._errors import InvalidArgumentError
from drift._filter import tree as build

if TYPE_CHECKING:
    from collections.abc import Callable

    from drift._filter.tree import Tree

_COMPARISONS: Final = {"$eq": "eq", "$ne": "ne", "$lt": "lt", "$lte": "le", "$gt": "gt", "$gte": "ge"}


def from_mapping(given: Mapping[str, object]) -> Tree:
    """Return the tree of a dictionary; an empty one matches every row.

    Raises
    ------
    InvalidArgumentError
        When an operator is unknown or its value is wrong; the message names both.

    Examples
    --------
    >>> from_mapping({"year": {"$gte": 2020, "$lt": 2024}, "lang": {"$nin": ["en"]}})
    ('and', (('ge', 'year', 2020), ('lt', 'year', 2024), ('not', ('in', 'lang', ('en',)))))
    """
    return _all(given, 1)


def _all(given: Mapping[str, object], depth: int) -> Tree:
    if depth > build.DEPTH_MAX:
        raise InvalidArgumentError(f"filter is nested more than {build.DEPTH_MAX} levels deep, the most it may be")
    return build.join("and", [_one(key, inner, depth) for key, inner in given.items()])


def _one(key: object, inner: object, depth: int) -> Tree:
    if key in ("$and", "$or", "$nor"):
        joined = build.join("and" if key == "$and" else "or", [_all(one, depth + 1) for one in _filters(key, inner)])
        return build.negate(joined) if key == "$nor" else joined
    if key == "$not":
        if not isinstance(inner, Mapping):
            raise InvalidArgumentError(f"$not takes a dict of conditions, not {inner!r}")
        return build.negate(_all(inner, depth + 1))
    if isinstance(key, str) and key.startswith("$"):
        if key in _OPERATORS:
            raise InvalidArgumentError(f"{key} stands under a field: {{'field': {{{key!r}: {inner!r}}}}}")
        raise _unknown(key, ["$and", "$or", "$nor", "$not"])
    return _field(build.field(key), inner, depth)


def _filters(key: object, inner: object) -> Sequence[Mapping[str, object]]:
    fits = isinstance(inner, (list, tuple)) and all(isinstance(one, Mapping) for one in inner)
    if not isinstance(inner, (list, tuple)) or not fits or not inner:
        raise InvalidArgumentError(f"{key} takes a list of one dict or more, not {inner!r}")
    return inner


def _field(name: str, inner: object, depth: int) -> Tree:
    if isinstance(inner, Mapping):
        return _operators(name, inner, depth)
    if isinstance(inner, (list, tuple, set, frozenset, np.ndarray)):
        raise InvalidArgumentError(f"{name} is compared with a list: write {{{name!r}: {{'$in': [...]}}}}")
    return build.compare("eq", name, inner)


def _operators(name: str, inner: Mapping[str, object], depth: int) -> Tree:
    if depth > build.DEPTH_MAX:
        raise InvalidArgumentError(f"filter is nested more than {build.DEPTH_MAX} levels deep, the most it may be")
    if not inner:
        raise InvalidArgumentError(f"{name} has no operator: {{}} under a field compares with nothing")
    terms = []
    for operator, given in inner.items():
        if not isinstance(operator, str) or not operator.startswith("$"):
            if f"${operator}" in _OPERATORS:
                raise InvalidArgumentError(
                    f"{name} has the operator {operator!r}: write {{{name!r}: {{'${operator}': ...}}}}"
                )
            raise InvalidArgumentError(
                f"{name} is compared with a dict: reach into JSON fields with dots, {{'{name}.{operator}': ...}}"
            )
        if operator == "$not":
            if not isinstance(given, Mapping):
                raise InvalidArgumentError(f"$not under {name} takes a dict of operators, not {given!r}")
            terms.append(build.negate(_operators(name, given, depth + 1)))
        elif operator in _OPERATORS:
            terms.append(_OPERATORS[operator](name, given))
        else:
            raise _unknown(operator, ["$not", *_OPERATORS])
    return build.join("and", terms)


def _between(name: str, given: object) -> Tree:
    if not isinstance(given, (list, tuple)) or len(given) != 2:
        raise InvalidArgumentError(f"$between under {name} takes [low, high], not {given!r}")
    return build.between(name, given[0], given[1])


def _exists(name: str, given: object) -> Tree:
    if not isinstance(given, bool):
        raise InvalidArgumentError(f"$exists under {name} takes True or False, not {given!r}")
    return build.exists(name) if given else build.null(name)


def _every(name: str, given: object) -> Tree:
    if not isinstance(given, (list, tuple)) or not given:
        raise InvalidArgumentError(f"$all under {name} takes a list of one value or more, not {given!r}")
    return build.join("and", [build.compare("eq", name, one) for one in given])


_OPERATORS: Final[dict[str, Callable[[str, object], Tree]]] = {
    **{key: partial(build.compare, op) for key, op in _COMPARISONS.items()},
    "$in": build.is_in,
    "$nin": lambda name, given: build.negate(build.is_in(name, given)),
    "$all": _every,
    "$between": _between,
    "$contains": build.contains,
    "$not_contains": lambda name, given: build.negate(build.contains(name, given)),
    "$startswith": build.startswith,
    "$exists": _exists,
}


def _unknown(operator: str, known: list[str]) -> InvalidArgumentError:
    near = difflib.get_close_matches(operator, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return InvalidArgumentError(f"unknown operator {operator}: {hint}there are {', '.join(known)}")
