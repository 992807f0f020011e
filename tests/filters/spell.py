"""Trees spelled as expressions, dictionaries and SQL; the way back is what is tested."""

from __future__ import annotations

import datetime as dt
from functools import reduce
from operator import and_, or_
from typing import Any

import drift

from tests.filters.reference import EPOCH

SIGNS = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
MONGO = {"eq": "$eq", "ne": "$ne", "lt": "$lt", "le": "$lte", "gt": "$gt", "ge": "$gte"}


def plain(value: Any) -> Any:
    """Return a value as people write it: a timestamp as datetime."""
    return EPOCH + dt.timedelta(microseconds=value[1]) if isinstance(value, tuple) else value


def expression(tree: tuple[Any, ...]) -> drift.Expression:
    """Spell a tree in Python."""
    op = tree[0]
    if op in ("and", "or"):
        return reduce(and_ if op == "and" else or_, [expression(term) for term in tree[1]])
    if op == "not":
        return ~expression(tree[1])
    field = drift.col(tree[1])
    if op in SIGNS:
        signs = {
            "eq": field.__eq__,
            "ne": field.__ne__,
            "lt": field.__lt__,
            "le": field.__le__,
            "gt": field.__gt__,
            "ge": field.__ge__,
        }
        return signs[op](plain(tree[2]))
    if op == "in":
        return field.is_in([plain(one) for one in tree[2]])
    found = getattr(field, "is_null" if op == "null" else op)(*[plain(one) for one in tree[2:]])
    assert isinstance(found, drift.Expression)
    return found


def mapping(tree: tuple[Any, ...]) -> dict[str, Any]:
    """Spell a tree as a dictionary."""
    op = tree[0]
    if op in ("and", "or"):
        return {f"${op}": [mapping(term) for term in tree[1]]}
    if op == "not" and tree[1][0] == "or":
        return {"$nor": [mapping(term) for term in tree[1][1]]}
    if op == "not" and tree[1][0] in ("in", "contains"):
        inner = tree[1]
        operator = "$nin" if inner[0] == "in" else "$not_contains"
        given = [plain(one) for one in inner[2]] if inner[0] == "in" else plain(inner[2])
        return {inner[1]: {operator: given}}
    if op == "not" and tree[1][0] == "and":
        return {"$not": mapping(tree[1])}
    if op == "not":
        ((name, inner),) = mapping(tree[1]).items()
        return {name: {"$not": inner}}
    if op in SIGNS:
        return {tree[1]: {MONGO[op]: plain(tree[2])}}
    if op == "in":
        return {tree[1]: {"$in": [plain(one) for one in tree[2]]}}
    if op in ("exists", "null"):
        return {tree[1]: {"$exists": op == "exists"}}
    given = [plain(one) for one in tree[2:]]
    return {tree[1]: {f"${op}": given if op == "between" else given[0]}}


def literal(value: Any) -> str:
    """Spell a value in SQL."""
    if isinstance(value, tuple):
        return f"TIMESTAMP '{plain(value).isoformat()}'"
    if isinstance(value, bool):
        return str(value).upper()
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def sql(tree: tuple[Any, ...]) -> str:
    """Spell a tree in SQL, every name quoted."""
    op = tree[0]
    if op in ("and", "or"):
        return "(" + f" {op} ".join(sql(term) for term in tree[1]) + ")"
    if op == "not":
        return f"NOT ({sql(tree[1])})"
    name = ".".join('"' + part.replace('"', '""') + '"' for part in tree[1].split("."))
    if op in SIGNS:
        return f"{name} {SIGNS[op]} {literal(tree[2])}"
    if op == "in":
        return f"{name} IN ({', '.join(literal(one) for one in tree[2])})"
    if op == "between":
        return f"{name} BETWEEN {literal(tree[2])} AND {literal(tree[3])}"
    if op in ("exists", "null"):
        return f"{name} IS {'NOT ' * (op == 'exists')}NULL"
    return f"{'starts_with' if op == 'startswith' else op}({name}, {literal(tree[2])})"
