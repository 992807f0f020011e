"""Filters: conditions on the metadata of rows, in three spellings that become one tree.

``drift.col("year") >= 2024`` (`expression`), ``{"year": {"$gte": 2024}}`` (`mapping`) and ``"year >= 2024"`` (`sql`)
all become the tuple ``("ge", "year", 2024)`` (`tree`), which the engine evaluates. `to_tree` is the only entrance.

A filter has two values: a row matches or it does not. A comparison with a field that a row lacks is false, and
negations (``!=``, ``not in``, ``not``) are true wherever what they negate is false, so also for rows that lack the
field. On a list field a condition holds when it holds for one of the elements. Integers and floats compare by value;
values of different types are never equal and have no order. Names with dots reach into JSON fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from drift._errors import InvalidArgumentError
from drift._filter.expression import Column, Expression, col
from drift._filter.mapping import from_mapping
from drift._filter.sql import from_sql
from drift._filter.tree import Tree, check

__all__ = ["Column", "Expression", "FilterLike", "Tree", "col", "to_tree"]

FilterLike: TypeAlias = Expression | Mapping[str, object] | str


def to_tree(filter: FilterLike) -> Tree:  # noqa: A002 - the name of the argument that callers know.
    """Return the tree of a filter in any of its spellings.

    Parameters
    ----------
    filter : Expression, mapping or str
        An expression of `col`, a dictionary with operators such as ``$gte``, or the text of an SQL condition.

    Raises
    ------
    InvalidArgumentError
        When it is none of them, or wrong in itself; the message names the operator, the field or the character.

    Examples
    --------
    >>> from drift._filter import col, to_tree
    >>> to_tree(col("year") >= 2024)
    ('ge', 'year', 2024)
    >>> to_tree({"year": {"$gte": 2024}}) == to_tree("year >= 2024") == to_tree(col("year") >= 2024)
    True
    """
    if isinstance(filter, Expression):
        return filter.tree
    if isinstance(filter, str):
        return check(from_sql(filter))
    if isinstance(filter, Mapping):
        return check(from_mapping(filter))
    if isinstance(filter, Column):
        raise InvalidArgumentError(f"filter is {filter!r}, a field alone: compare it, such as {filter!r} == True")
    if isinstance(filter, bool):
        raise InvalidArgumentError(
            f"filter is {filter!r}: a comparison of plain Python values, not of a field; begin with drift.col(name)"
        )
    kind = type(filter).__name__
    raise InvalidArgumentError(
        f"filter is {kind}: it must be an expression (drift.col('year') >= 2024), a dict "
        "({'year': {'$gte': 2024}}) or SQL text ('year >= 2024')"
    )
