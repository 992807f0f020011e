"""Checks of plain arguments: numbers, truth values, texts. Upper bounds and choices are the engine's to check."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drift._errors import InvalidArgumentError

if TYPE_CHECKING:
    from typing import Any, TypeGuard


def is_int(value: object) -> TypeGuard[int | np.integer[Any]]:
    """Whether `value` is a whole number. NumPy counts lengths of time among its integers, Python truth values."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.timedelta64))


def is_number(value: object) -> TypeGuard[float | np.integer[Any] | np.floating[Any]]:
    """Whether `value` is a real number, and neither a truth value nor a length of time."""
    return is_int(value) or isinstance(value, (float, np.floating))


def natural(name: str, value: object, least: int = 0) -> int:
    """Return `value` when it is an int of at least `least`; the engine checks the upper bound."""
    if not is_int(value) or not least <= value < 2**63:
        raise InvalidArgumentError(f"{name} is {value!r}: it must be an int, {least} or more")
    return int(value)


def flag(name: str, value: object) -> bool:
    """Return `value` when it is a truth value: what a text or a number means as one is anybody's guess."""
    if not isinstance(value, (bool, np.bool_)):
        raise InvalidArgumentError(f"{name} is {value!r}: it must be True or False")
    return bool(value)


def is_unicode(value: str) -> bool:
    """Whether UTF-8 can hold the text, which it cannot with half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def text(name: str, value: object, *choices: str) -> str:
    """Return `value` when it is a str that UTF-8 can hold; the engine checks that it is one of `choices`."""
    if not isinstance(value, str):
        wanted = " or ".join(f'"{choice}"' for choice in choices) if choices else "a str"
        raise InvalidArgumentError(f"{name} is {value!r}: it must be {wanted}")
    if not is_unicode(value):
        raise InvalidArgumentError(f"{name} is {value!r}, which is no text that UTF-8 can hold")
    return value
