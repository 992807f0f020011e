"""Checks of plain arguments: whole numbers and texts. Their upper bounds and choices are the engine's to check."""

from __future__ import annotations

import numpy as np

from drift._errors import InvalidArgumentError


def natural(name: str, value: object, least: int = 0) -> int:
    """Return `value` when it is an int of at least `least`; the engine checks the upper bound."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value < 2**63:
        raise InvalidArgumentError(f"{name} is {value!r}: it must be an int, {least} or more")
    return int(value)


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
