"""Exceptions of drift, one class for each thing that a caller can do about a failure.

The extension module maps the engine's error kinds onto these classes by name. Messages name the row, column, file or
offset; nothing was changed when a call raises, unless its documentation says otherwise.
"""

from __future__ import annotations

import builtins

__all__ = [
    "AlreadyExistsError",
    "ClosedError",
    "CorruptionError",
    "DriftError",
    "FencedError",
    "ForkError",
    "InvalidArgumentError",
    "LockedError",
    "NotFoundError",
    "ReadOnlyError",
    "ResourceExhaustedError",
    "TimeoutError",
    "UnsupportedFormatError",
]


class DriftError(Exception):
    """Base of all exceptions of drift; raised itself when the storage fails."""

    def __str__(self) -> str:
        # KeyError would show the message quoted and escaped.
        return str(self.args[0]) if len(self.args) == 1 else super().__str__()


class InvalidArgumentError(DriftError, ValueError):
    """The input is wrong: fix it and call again."""


class NotFoundError(DriftError, KeyError):
    """No such collection, id or file."""


class AlreadyExistsError(DriftError):
    """The collection or id exists already."""


class CorruptionError(DriftError):
    """Stored bytes are damaged: restore from a backup, or see ``Collection.verify``."""


class LockedError(DriftError):
    """Another handle has the database open for writing, or this thread is in a call that the new one would wait for."""


class FencedError(DriftError):
    """A newer writer has taken over; this handle can write no more."""


class ReadOnlyError(DriftError):
    """The database was opened with ``read_only=True``, or its storage is read-only."""


class ClosedError(DriftError):
    """The handle was closed: open it anew."""


class ForkError(DriftError):
    """The process was forked after the handle was opened: open the database anew in the child."""


class ResourceExhaustedError(DriftError):
    """A limit was reached (disk, memory, queue): free some and try again."""


class TimeoutError(DriftError, builtins.TimeoutError):  # noqa: A001 - its name is part of the API.
    """The call waited as long as it was allowed to."""


class UnsupportedFormatError(DriftError):
    """The files were written in a format that this version does not read."""
