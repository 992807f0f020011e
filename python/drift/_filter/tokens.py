"""Tokens of SQL conditions, and the errors that point at their characters."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from drift._errors import InvalidArgumentError

# Long lists of values belong into `is_in` or `$in`, which nobody has to parse.
TEXT_CHARS_MAX: Final = 262_144

# Of a longer text this much before and after the place of an error is shown.
_CHARS_AROUND: Final = 60

KEYWORDS: Final = frozenset(
    ("AND", "OR", "NOT", "IN", "BETWEEN", "IS", "NULL", "LIKE", "TRUE", "FALSE", "TIMESTAMP", "DATE", "ESCAPE", "ILIKE")
)

_PATTERN: Final = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>[+-]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)
      | (?P<string>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*")
      | (?P<word>[^\W\d]\w*)
      | (?P<sign><>|!=|<=|>=|==|=|<|>|\(|\)|,|\.)""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """A token and where it stands.

    `kind` is ``word``, ``keyword``, ``quoted``, ``number``, ``string``, ``sign`` or ``end``; keywords are upper-case,
    quotes are taken off.
    """

    kind: str
    text: str
    at: int


def wrong(message: str, sql: str, at: int) -> InvalidArgumentError:
    """Return the error for the character `at`, with a caret below it."""
    # A line break or tab takes one place, so that the caret stands where it should.
    line = re.sub(r"\s", " ", sql)
    start, stop = max(0, at - _CHARS_AROUND), at + _CHARS_AROUND
    before, after = "..." * (start > 0), "..." * (stop < len(line))
    caret = " " * (len(before) + at - start)
    return InvalidArgumentError(
        f"filter, character {at + 1}: {message}\n  {before}{line[start:stop]}{after}\n  {caret}^"
    )


def tokens(sql: str) -> list[Token]:
    """Return the tokens of a text; the last one is ``end``.

    Raises
    ------
    InvalidArgumentError
        When the text is too long, or a character begins no token; the message points at it.
    """
    if len(sql) > TEXT_CHARS_MAX:
        raise InvalidArgumentError(
            f"filter has {len(sql):,} characters, at most {TEXT_CHARS_MAX:,} are parsed: pass a long list of values to "
            "drift.col(name).is_in"
        )
    found, at = [], 0
    while at < len(sql):
        match = _PATTERN.match(sql, at)
        if match is None:
            raise wrong(_no_token(sql, at), sql, at)
        kind, text = match.lastgroup or "", match.group()
        if kind != "space":
            found.append(_token(kind, text, at))
        at = match.end()
    return [*found, Token("end", "the end", len(sql))]


def _token(kind: str, text: str, at: int) -> Token:
    if kind == "word" and text.upper() in KEYWORDS:
        return Token("keyword", text.upper(), at)
    if kind in ("string", "quoted"):
        quote = text[0]
        return Token(kind, text[1:-1].replace(quote * 2, quote), at)
    return Token(kind, text, at)


def _no_token(sql: str, at: int) -> str:
    character = sql[at]
    if character in "'\"":
        what = "text" if character == "'" else "name"
        return f"this {what} has no closing {character}"
    if character == "`":
        return 'names are quoted with "'
    if character in "{[":
        return "a text is read as SQL, such as year >= 2024; a dictionary is passed as one"
    if sql.startswith(("&&", "||"), at):
        return "write AND or OR"
    if character == "?":
        return "placeholders are not filled in; use drift.col for values that come from elsewhere"
    return f"{character!r} does not belong into a condition"
