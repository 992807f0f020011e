"""Meta whose values are of several types, such as ``1`` and ``"1"``: Haystack allows them, a field of drift does not.

A field has the type of its first value. A value of another type stands in the JSON field ``_mixed`` of its row, under
the name of its meta, and filters that name the meta ask both places. A collection that was never given such values has
no field ``_mixed``, and is written, filtered and read without any of this.

Times have no form in JSON, and paths into it are split at dots: meta with times among other values, and names with
dots, are refused as drift refuses them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drift._errors import InvalidArgumentError
from drift._filter import tree as build
from drift._metadata import _kind

if TYPE_CHECKING:
    from collections.abc import Callable

    import drift
    from drift._filter import Tree

__all__ = ["MIXED", "ask_both", "together", "write"]

MIXED = "_mixed"

# Values of both types of such a pair are of one type in a field.
_WIDENED = ({"int", "float"}, {"list", "json"})

# Conditions that hold where none of the values matches.
_NEGATIONS = ("ne", "null")


def write(part: drift.Collection, payloads: list[dict[str, Any]], call: Callable[[list[dict[str, Any]]], None]) -> None:
    """Call with the payloads, or, where values do not fit their fields, with those set apart.

    Only a collection that refuses payloads has them looked through, and one that has values apart already: there an
    update may have to remove some.
    """
    if MIXED not in part.fields:
        try:
            return call(payloads)
        except InvalidArgumentError:
            if not any(MIXED in one for one in _apart(payloads, part.fields)):
                raise
    return call(_apart(payloads, part.fields))


def together(payload: dict[str, Any]) -> dict[str, Any]:
    """Return the payload of a row with the values that stand apart under their own names."""
    return {**{name: value for name, value in payload.items() if name != MIXED}, **(payload.get(MIXED) or {})}


def ask_both(tree: Tree, hidden: frozenset[str]) -> Tree:
    """Return a filter that finds values in either place; fields in `hidden` are no meta."""
    if tree[0] == "not":
        return build.negate(ask_both(tree[1], hidden))
    if tree[0] in ("and", "or"):
        return build.join(tree[0], [ask_both(term, hidden) for term in tree[1]])
    if tree[1] in hidden:
        return tree
    apart = (tree[0], build.field(f"{MIXED}.{tree[1]}"), *tree[2:])
    return build.join("and" if tree[0] in _NEGATIONS else "or", [tree, apart])


def _apart(payloads: list[dict[str, Any]], known: dict[str, str]) -> list[dict[str, Any]]:
    """Return payloads whose values fit their fields; a None says that an update removes the field."""
    kinds: dict[str, list[str]] = {}
    for payload in payloads:
        for name, value in payload.items():
            if value is not None:
                kinds.setdefault(name, []).append(_of(value))
    own = {name: known.get(name, found[0]) for name, found in kinds.items() if _parts(name, found, known.get(name))}
    return [_one(payload, own, MIXED in known) for payload in payloads]


def _parts(name: str, found: list[str], known: str | None) -> bool:
    """Return whether values of these types in a field are to be told apart."""
    types = {*found, known or found[0]}
    return known != "json" and len(types) > 1 and types not in _WIDENED and "timestamp" not in types and "." not in name


def _one(payload: dict[str, Any], own: dict[str, str], some: bool) -> dict[str, Any]:
    def fits(name: str) -> bool:
        kind = own.get(name)
        value = payload[name]
        return kind is None or value is None or _of(value) == kind or (_of(value), kind) == ("int", "float")

    moved = {name: value for name, value in payload.items() if not fits(name)}
    if not moved and not some:
        return payload
    return {**payload, **dict.fromkeys(moved), MIXED: moved or None}


def _of(value: object) -> str:
    return _kind(value.item() if isinstance(value, np.generic) else value)
