"""What is likely wrong with a filter that nothing matches: fields that no row has, values of another type than theirs.

Neither is an error (a row may lack any field, and values of different types are never equal). The engine refuses only
names that are nearly those of fields, unless a filter asks for their existence.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from drift._filter.tree import Tree

# The types of values that a field of a type can equal or be in order with; JSON fields hold anything.
_FITTING = {
    "bool": ("bool",),
    "int": ("int", "float"),
    "float": ("int", "float"),
    "str": ("str",),
    "list": ("str",),
    "timestamp": ("timestamp", "str"),  # A text is read as a time, or refused.
}


def doubts(tree: Tree, fields: Mapping[str, str]) -> list[str]:
    """Return a sentence for each condition that cannot match because of its field or the type of its value.

    Examples
    --------
    >>> doubts(("ge", "yaer", 2024), {"year": "int"})
    ["no row has the field 'yaer': did you mean 'year'?"]
    >>> doubts(("eq", "year", "2024"), {"year": "int"})
    ["the field 'year' is int and is compared with the text '2024': write it as a number, without quotes"]
    """
    return list(dict.fromkeys(_walk(tree, fields)))


def _walk(tree: Tree, fields: Mapping[str, str]) -> Iterator[str]:
    op = tree[0]
    if op in ("and", "or"):
        for one in tree[1]:
            yield from _walk(one, fields)
    elif op == "not":
        yield from _walk(tree[1], fields)
    else:
        yield from _condition(tree[1], _values(tree), fields)


def _values(tree: Tree) -> tuple[Any, ...]:
    op = tree[0]
    if op in ("exists", "null"):
        return ()
    return tuple(tree[2]) if op == "in" else tree[2:]


def _condition(name: str, values: tuple[Any, ...], fields: Mapping[str, str]) -> Iterator[str]:
    kind = fields.get(name)
    if kind is None:
        root = name.split(".", 1)[0]
        if fields.get(root) == "json":
            return
        close = get_close_matches(name, fields, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"rows have {', '.join(map(repr, fields)) or 'no metadata'}"
        yield f"no row has the field {name!r}: {hint}"
        return
    fitting = _FITTING.get(kind)
    for value in values:
        own = "timestamp" if isinstance(value, tuple) else type(value).__name__
        if fitting is not None and own not in fitting:
            yield f"the field {name!r} is {kind} and is compared with {_shown(value, own)}: {_remedy(kind, own)}"
            return


def _shown(value: Any, own: str) -> str:
    noun = {"str": "the text", "timestamp": "a time", "bool": "the truth value"}.get(own, "the number")
    text = repr(value)
    return noun if own == "timestamp" else f"{noun} {text if len(text) <= 40 else text[:37] + '...'}"


def _remedy(kind: str, own: str) -> str:
    if kind == "timestamp":
        return "write a datetime, or a text in the form of ISO 8601"
    if kind in ("int", "float") and own == "str":
        return "write it as a number, without quotes"
    return "write it as a text, in quotes" if kind in ("str", "list") else f"only {kind} values can equal it"
