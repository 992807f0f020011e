"""Expressions: filters written in Python, ``(drift.col("year") >= 2024) & drift.col("tags").contains("new")``.

Both classes are immutable. Python gives ``and``, ``or``, ``not``, ``in`` and chained comparisons no way to be
expressions, so these raise errors that say what to write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from drift._errors import InvalidArgumentError
from drift._filter import tree as build
from drift._filter.show import code, outline

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable
    from typing import TypeAlias

    import numpy as np

    from drift._filter.tree import Tree

    ValueLike: TypeAlias = bool | int | float | str | dt.date | np.generic

_NO_TRUTH = (
    "a filter has no truth value: join with & | ~ instead of and, or, not; write between(low, high) instead of a "
    "chained comparison"
)


def col(name: str) -> Column:
    """Return a field of the metadata, to compare.

    Parameters
    ----------
    name : str
        Its name, 1 to 1,024 bytes. Dots reach into JSON fields: ``"author.name"``.

    Examples
    --------
    >>> import drift
    >>> (drift.col("year") >= 2024) & ~drift.col("lang").is_in(["en", "de"])
    (col('year') >= 2024) & col('lang').not_in(['en', 'de'])
    """
    return Column(name)


class Expression:
    """A condition on the metadata of a row. Comparisons of `col` make it; ``&``, ``|`` and ``~`` join it.

    Expressions are immutable, hashable, and equal when their trees are.

    Examples
    --------
    >>> from drift import col
    >>> recent = col("year").between(2020, 2024)
    >>> recent | col("pinned").exists()
    col('year').between(2020, 2024) | col('pinned').exists()
    >>> print((recent & (col("lang") == "en")).explain())
    and
      year between 2020 and 2024
      lang == 'en'
    """

    __slots__ = ("_depth", "_terms", "_tree")

    _tree: Tree
    _depth: int
    _terms: int

    def __init__(self) -> None:
        raise TypeError("use drift.col(name) and compare it")

    @classmethod
    def _of(cls, tree: Tree, depth: int = 1, terms: int = 1) -> Expression:
        if depth > build.DEPTH_MAX or terms > build.TERMS_MAX:
            build.check(tree)
        self = object.__new__(cls)
        object.__setattr__(self, "_tree", tree)
        object.__setattr__(self, "_depth", depth)
        object.__setattr__(self, "_terms", terms)
        return self

    @classmethod
    def of(cls, tree: Tree) -> Expression:
        """Return the expression of a tree, as `tree` gives it."""
        return cls._of(tree, *build.measure(tree))

    @property
    def tree(self) -> Tree:
        """The condition as nested tuples, as the engine takes it."""
        return self._tree

    def _join(self, op: str, other: object) -> Expression:
        sign = "&" if op == "and" else "|"
        if isinstance(other, Column):
            raise InvalidArgumentError(f"... {sign} {other!r}: compare the field, such as {other!r} == True")
        if not isinstance(other, Expression):
            raise InvalidArgumentError(
                f"... {sign} {other!r}: only expressions can be joined; {sign} binds tighter than comparisons, so "
                "each comparison needs parentheses"
            )
        depth = 1 + max(one._depth - (one._tree[0] == op) for one in (self, other))
        return Expression._of(build.join(op, (self._tree, other._tree)), depth, self._terms + other._terms)

    def __and__(self, other: Expression) -> Expression:
        return self._join("and", other)

    def __or__(self, other: Expression) -> Expression:
        return self._join("or", other)

    def __rand__(self, other: object) -> NoReturn:
        raise InvalidArgumentError(f"{other!r} & ...: only expressions can be joined")

    def __ror__(self, other: object) -> NoReturn:
        raise InvalidArgumentError(f"{other!r} | ...: only expressions can be joined")

    def __invert__(self) -> Expression:
        tree = build.negate(self._tree)
        return Expression._of(tree, self._depth + (tree[0] == "not") - (self._tree[0] == "not"), self._terms)

    def __bool__(self) -> NoReturn:
        raise InvalidArgumentError(_NO_TRUTH)

    def __eq__(self, other: object) -> bool:
        return self._tree == other._tree if isinstance(other, Expression) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._tree)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"expressions are immutable: {name} cannot be set")

    def __reduce__(self) -> tuple[object, ...]:
        return Expression.of, (self._tree,)

    def __repr__(self) -> str:
        return code(self._tree)

    def explain(self) -> str:
        """Return the conditions as text, one a line, indented by their depth."""
        return outline(self._tree)


class Column:
    """A field of the metadata. `col` makes it; its comparisons are expressions.

    Values are bool, int, float, str, datetime, date or NumPy scalars. Datetimes without a time zone are UTC. Comparing
    with None asks whether the field is missing.
    """

    __slots__ = ("_name",)

    _name: str

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", build.field(name))

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    def _compare(self, op: str, other: object) -> Expression:
        if isinstance(other, (Column, Expression)):
            raise InvalidArgumentError(
                f"{self!r} {build.COMPARISONS[op]} {other!r}: a field is compared with a value, not with a field; "
                "& and | bind tighter than comparisons, so each comparison needs parentheses"
            )
        return Expression._of(build.compare(op, self._name, other))

    def __eq__(self, other: object) -> Expression:  # type: ignore[override] # It is a condition, not an answer.
        return self._compare("eq", other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override] # It is a condition, not an answer.
        return self._compare("ne", other)

    def __lt__(self, other: ValueLike) -> Expression:
        return self._compare("lt", other)

    def __le__(self, other: ValueLike) -> Expression:
        return self._compare("le", other)

    def __gt__(self, other: ValueLike) -> Expression:
        return self._compare("gt", other)

    def __ge__(self, other: ValueLike) -> Expression:
        return self._compare("ge", other)

    __hash__ = None  # type: ignore[assignment] # Equality of columns is a condition.

    def is_in(self, values: Iterable[ValueLike]) -> Expression:
        """Return whether the field is one of at most 65,536 `values`; none match no row."""
        return Expression._of(build.is_in(self._name, values))

    def not_in(self, values: Iterable[ValueLike]) -> Expression:
        """Return whether the field is none of `values`; also true for rows that lack it."""
        return ~self.is_in(values)

    def between(self, low: ValueLike, high: ValueLike) -> Expression:
        """Return whether ``low <= field <= high``."""
        return Expression._of(build.between(self._name, low, high))

    def contains(self, value: ValueLike) -> Expression:
        """Return whether a list field has the element `value`, or a text field has the part `value`."""
        return Expression._of(build.contains(self._name, value))

    def startswith(self, prefix: str) -> Expression:
        """Return whether a text field begins with `prefix`."""
        return Expression._of(build.startswith(self._name, prefix))

    def exists(self) -> Expression:
        """Return whether the row has the field, and not as None."""
        return Expression._of(build.exists(self._name))

    def is_null(self) -> Expression:
        """Return whether the row lacks the field, or has it as None."""
        return Expression._of(build.null(self._name))

    def _alone(self, *_: object) -> NoReturn:
        raise InvalidArgumentError(
            f"{self!r} alone is no condition: compare it, such as {self!r} == True, and put each comparison in "
            "parentheses, since & | ~ bind tighter"
        )

    __and__ = __rand__ = __or__ = __ror__ = __invert__ = _alone

    def __bool__(self) -> NoReturn:
        raise InvalidArgumentError(_NO_TRUTH)

    def __contains__(self, value: object) -> NoReturn:
        raise InvalidArgumentError(f"{value!r} in {self!r}: write {self!r}.contains({value!r})")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"columns are immutable: {name} cannot be set")

    def __reduce__(self) -> tuple[object, ...]:
        return Column, (self._name,)

    def __repr__(self) -> str:
        return f"col({self._name!r})"
