"""Filters as SQL text: the condition of a WHERE clause, read by recursive descent.

::

    or        = and { OR and }
    and       = not { AND not }
    not       = NOT not | "(" or ")" | condition
    condition = field sign literal
              | field [NOT] IN "(" literal { "," literal } ")"
              | field [NOT] BETWEEN literal AND literal
              | field [NOT] LIKE text                        -- 'prefix%' and '%part%' alone
              | field IS [NOT] NULL
              | (contains | starts_with) "(" field "," literal ")"
    field     = name { "." name }                            -- name or "name"
    literal   = number | 'text' | TRUE | FALSE | TIMESTAMP 'text' | DATE 'text'

Unlike in SQL, a condition on a missing field is false and its negation true: ``year <> 2024`` matches rows without a
year.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from drift._errors import InvalidArgumentError
from drift._filter import tree as build
from drift._filter.tokens import Token, tokens, wrong

if TYPE_CHECKING:
    from collections.abc import Callable

    from drift._filter.tree import Tree

_SIGNS: Final = {"=": "eq", "<>": "ne", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_FUNCTIONS: Final = {"contains": build.contains, "starts_with": build.startswith}


def from_sql(sql: str) -> Tree:
    """Return the tree of an SQL condition.

    Raises
    ------
    InvalidArgumentError
        When it is none; the message points at the character.

    Examples
    --------
    >>> from_sql("year >= 2024 AND lang NOT IN ('en', 'de')")
    ('and', (('ge', 'year', 2024), ('not', ('in', 'lang', ('en', 'de')))))
    """
    parser = _Parser(sql)
    if parser.next.kind == "end":
        raise InvalidArgumentError("filter is empty text: pass filter=None for every row")
    tree = parser.either(1)
    if parser.next.kind != "end":
        raise parser.refused("the condition ends before this; join conditions with AND or OR")
    return tree


class _Parser:
    """The tokens of a text and a place among them."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.tokens = tokens(sql)
        self.place = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.place]

    def refused(self, message: str, token: Token | None = None) -> InvalidArgumentError:
        """Return the error that points at a token, the next one unless given."""
        return wrong(message, self.sql, (token or self.next).at)

    def take(self) -> Token:
        token = self.next
        self.place += token.kind != "end"
        return token

    def took(self, kind: str, text: str) -> bool:
        """Take the next token if it is this one."""
        fits = self.next.kind == kind and self.next.text == text
        self.place += fits
        return fits

    def expect(self, kind: str, text: str, why: str) -> None:
        if not self.took(kind, text):
            raise self.refused(f"{text} must stand here, {why}")

    def built(self, at: Token, make: Callable[[], Tree]) -> Tree:
        """Return what `make` does; its errors point at the token."""
        try:
            return make()
        except InvalidArgumentError as error:
            raise wrong(str(error), self.sql, at.at) from None

    def either(self, depth: int) -> Tree:
        terms = [self.every(depth)]
        while self.took("keyword", "OR"):
            terms.append(self.every(depth))
        return build.join("or", terms)

    def every(self, depth: int) -> Tree:
        terms = [self.one(depth)]
        while self.took("keyword", "AND"):
            terms.append(self.one(depth))
        return build.join("and", terms)

    def one(self, depth: int) -> Tree:
        if depth > build.DEPTH_MAX:
            raise self.refused(f"the filter is nested more than {build.DEPTH_MAX} levels deep, the most it may be")
        if self.took("keyword", "NOT"):
            return build.negate(self.one(depth + 1))
        if self.took("sign", "("):
            inner = self.either(depth + 1)
            self.expect("sign", ")", "to close a parenthesis")
            return inner
        return self.condition()

    def condition(self) -> Tree:
        at = self.next
        function = _FUNCTIONS.get(at.text.lower()) if at.kind == "word" else None
        if function is not None and self.tokens[self.place + 1][:2] == ("sign", "("):
            return self.call(function)
        name = self.field()
        operator = self.take()
        if operator.kind == "sign" and operator.text in _SIGNS:
            return self.comparison(at, _SIGNS[operator.text], name)
        if operator.kind == "keyword" and operator.text == "IS":
            negated = self.took("keyword", "NOT")
            self.expect("keyword", "NULL", "after IS; other values are compared with = and <>")
            return build.exists(name) if negated else build.null(name)
        if operator.kind == "keyword" and operator.text == "NOT":
            return build.negate(self.range(at, self.take(), name))
        return self.range(at, operator, name)

    def comparison(self, at: Token, op: str, name: str) -> Tree:
        if self.next.kind == "keyword" and self.next.text == "NULL":
            raise self.refused("nothing equals NULL; write IS NULL or IS NOT NULL")
        given = self.literal()
        return self.built(at, lambda: build.compare(op, name, given))

    def range(self, at: Token, operator: Token, name: str) -> Tree:
        if operator.kind == "keyword" and operator.text == "IN":
            values = self.values()
            return self.built(at, lambda: build.is_in(name, values))
        if operator.kind == "keyword" and operator.text == "BETWEEN":
            low = self.literal()
            self.expect("keyword", "AND", "between the two ends of BETWEEN")
            high = self.literal()
            return self.built(at, lambda: build.between(name, low, high))
        if operator.kind == "keyword" and operator.text == "LIKE":
            return self.like(name)
        if operator.text == "==":
            raise self.refused("equality is written =", operator)
        if operator.kind == "keyword" and operator.text == "ILIKE":
            raise self.refused("texts are compared as they are; there is LIKE alone", operator)
        raise self.refused(self.no_operator(name, operator), operator)

    def no_operator(self, name: str, operator: Token) -> str:
        if operator.kind == "word" and operator.text.lower() in ("contains", "has", "includes"):
            return f"write contains({name}, 'text')"
        if operator.kind == "word" and operator.text.lower() in ("startswith", "starts_with", "begins"):
            return f"write starts_with({name}, 'text')"
        if operator.kind == "word":
            return f'a name of several words is quoted: "{name} {operator.text}"'
        return (
            "after a field comes =, <>, <, <=, >, >=, IN, BETWEEN, LIKE or IS; a field alone is no condition "
            "(write field = TRUE)"
        )

    def values(self) -> list[object]:
        self.expect("sign", "(", "after IN")
        if self.next.kind == "sign" and self.next.text == ")":
            raise self.refused("IN needs a value or more")
        values = [self.literal()]
        while self.took("sign", ","):
            values.append(self.literal())
        self.expect("sign", ")", "to close the list of IN, or a comma")
        return values

    def like(self, name: str) -> Tree:
        at = self.next
        if at.kind != "string":
            raise self.refused("LIKE takes a text in single quotes")
        pattern = self.take().text
        if self.next.kind == "keyword" and self.next.text == "ESCAPE":
            raise self.refused(
                "LIKE has no ESCAPE here; starts_with(field, 'text') and contains(field, 'text') take any text"
            )
        inside = pattern.strip("%")
        around = pattern.startswith("%"), pattern.endswith("%")
        if not inside or "%" in inside or "_" in inside or not around[1]:
            raise self.refused(
                "LIKE is there for 'prefix%' and '%part%' alone, without _ and other %; use = for whole texts, "
                "starts_with(field, 'text') or contains(field, 'text') for texts with _ or %",
                at,
            )
        make = build.contains if around[0] else build.startswith
        return self.built(at, lambda: make(name, inside))

    def call(self, function: Callable[[object, object], Tree]) -> Tree:
        at = self.take()
        self.expect("sign", "(", "after the name of a function")
        name = self.field()
        self.expect("sign", ",", f"between the field and the value of {at.text}")
        given = self.literal()
        self.expect("sign", ")", f"to close {at.text}")
        return self.built(at, lambda: function(name, given))

    def field(self) -> str:
        at = self.next
        parts = [self.name()]
        while self.took("sign", "."):
            parts.append(self.name())
        try:
            return build.field(".".join(parts))
        except InvalidArgumentError as error:
            raise wrong(str(error), self.sql, at.at) from None

    def name(self) -> str:
        if self.next.kind not in ("word", "quoted"):
            raise self.refused(self.no_name())
        return self.take().text

    def no_name(self) -> str:
        token = self.next
        if token.kind == "end":
            return "a condition must follow"
        if token.kind in ("number", "string") or token.text in ("TRUE", "FALSE", "NULL"):
            return (
                "a condition begins with a field, its value comes last, also where that is a list (field = 'text'); "
                'names of fields are quoted with "'
            )
        if token.kind == "keyword":
            return f'a field must stand here; quote "{token.text.lower()}" if it is the name of one'
        return "a field must stand here"

    def literal(self) -> object:
        token = self.take()
        if token.kind == "number":
            return _number(token.text)
        if token.kind == "string":
            return token.text
        if token.kind == "keyword" and token.text in ("TRUE", "FALSE"):
            return token.text == "TRUE"
        if token.kind == "keyword" and token.text in ("TIMESTAMP", "DATE"):
            return self.time(token)
        if token.kind == "keyword" and token.text == "NULL":
            raise self.refused("NULL is no value; write IS NULL", token)
        if token.kind == "quoted":
            raise self.refused(
                f"a value must stand here, and {token.text!r} in double quotes is the name of a field: texts are "
                "quoted with '",
                token,
            )
        if token.kind == "sign" and token.text in ("<", ">"):
            raise self.refused(f"write {token.text}=", token)
        if token.kind == "word":
            raise self.refused(
                "a value must stand here; texts are quoted with ', and fields are compared with values", token
            )
        raise self.refused("a value must stand here: a number, 'text', TRUE, FALSE or TIMESTAMP 'text'", token)

    def time(self, keyword: Token) -> dt.date:
        at = self.next
        if at.kind != "string":
            raise self.refused(f"a text in single quotes must follow {keyword.text}")
        text = self.take().text
        try:
            return dt.datetime.fromisoformat(text) if keyword.text == "TIMESTAMP" else dt.date.fromisoformat(text)
        except ValueError:
            form = "2024-05-31 12:30:00Z" if keyword.text == "TIMESTAMP" else "2024-05-31"
            message = f"{text!r} is no {keyword.text.lower()} in the form of ISO 8601, such as '{form}'"
            raise self.refused(message, at) from None


def _number(text: str) -> int | float:
    whole = text.lstrip("+-").isdigit()
    # Longer ints than int64's are refused where they are compared; int() itself refuses more than 4,300 digits.
    return int(text) if whole and len(text) <= 40 else float(text)
