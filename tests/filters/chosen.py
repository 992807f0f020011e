"""Random filters and payloads over one schema, from a seed: what the comparisons of evaluators run on.

Fields of every type, missing in a tenth of the rows and None in another, few distinct values so that conditions match.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from tests.filters.reference import EPOCH

if TYPE_CHECKING:
    import numpy as np

WORDS = ["en", "de", "fr", "english", "ende", "de_AT", "100%", "Ünïcode", "it's", ""]
TAGS = ["new", "old", "newer", "sale", "ne"]
FIELDS = {
    "lang": "text",
    "year": "int",
    "score": "float",
    "pinned": "bool",
    "seen": "time",
    "tags": "texts",
    "author.name": "text",
    "author.age": "int",
}
# As fine as microseconds, before and after 1970.
TIMES = [
    dt.timedelta(days=days, microseconds=micros) for days in (-400, 0, 19_000, 19_001) for micros in (0, 1, 999_999)
]


def value(random: np.random.Generator, kind: str) -> Any:
    """Return a value of a kind, a timestamp as datetime."""
    if kind == "text":
        return WORDS[random.integers(len(WORDS))]
    if kind == "int":
        return int(random.integers(-3, 4))
    if kind == "float":
        return float(random.integers(-6, 7)) / 2
    if kind == "bool":
        return bool(random.integers(2))
    if kind == "time":
        return EPOCH + TIMES[random.integers(len(TIMES))]
    return TAGS[random.integers(len(TAGS))]


def payload(random: np.random.Generator) -> dict[str, Any]:
    """Return the payload of a row."""
    row: dict[str, Any] = {}
    for field, kind in FIELDS.items():
        fate = random.random()
        if fate < 0.1:
            continue
        target, _, last = row, None, field
        if "." in field:
            outer, last = field.split(".")
            target = row.setdefault(outer, {})
        if fate < 0.2:
            target[last] = None
        elif kind == "texts":
            target[last] = [value(random, kind) for _ in range(random.integers(1, 4))]
        else:
            target[last] = value(random, kind)
    return row


def tree(random: np.random.Generator, depth: int = 3) -> tuple[Any, ...]:
    """Return a random tree, in the form that spellings become."""
    if depth and random.random() < 0.6:
        op = ["and", "or", "not"][random.integers(3)]
        if op == "not":
            return negated(tree(random, depth - 1))
        terms: list[Any] = []
        for _ in range(random.integers(2, 4)):
            term = tree(random, depth - 1)
            terms.extend(term[1] if term[0] == op else [term])
        return op, tuple(terms)
    return leaf(random)


def negated(inner: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the negation in the form that spellings become."""
    if inner[0] in ("null", "exists"):
        return ("exists" if inner[0] == "null" else "null", inner[1])
    opened: tuple[Any, ...] = inner[1] if inner[0] == "not" else ("not", inner)
    return opened


def given(random: np.random.Generator, kind: str) -> Any:
    """Return a value as trees have it."""
    chosen = value(random, kind)
    if isinstance(chosen, dt.datetime):
        return "timestamp", (chosen - EPOCH) // dt.timedelta(microseconds=1)
    return chosen


def leaf(random: np.random.Generator) -> tuple[Any, ...]:
    """Return one condition: its values are mostly of the field's type, of another one in a tenth of them."""
    field = list(FIELDS)[random.integers(len(FIELDS))]
    # Qdrant keeps times as texts, so conditions on texts say nothing about them there.
    other = ["int", "bool", "text"][random.integers(2 if FIELDS[field] == "time" else 3)]
    kind = FIELDS[field] if random.random() < 0.9 else other
    ops = ["eq", "ne", "in", "exists", "null"]
    ops += ["lt", "le", "gt", "ge", "between"] if kind in ("int", "float", "time") else []
    ops += ["contains"] if kind in ("text", "texts") else []
    ops += ["startswith"] if kind == "text" else []
    op = ops[random.integers(len(ops))]
    if op in ("exists", "null"):
        return op, field
    if op == "in":
        return op, field, tuple(given(random, kind) for _ in range(random.integers(1, 5)))
    if op == "between":
        return op, field, given(random, kind), given(random, kind)
    return op, field, given(random, kind)
