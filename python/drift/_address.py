"""Addresses of databases and of folders of backups."""

from __future__ import annotations

import os

from drift._errors import InvalidArgumentError


def address(uri: object) -> str:
    """Return the URI, or the absolute path with ``~`` for the home folder written out."""
    if not isinstance(uri, (str, os.PathLike)):
        raise InvalidArgumentError(f"uri is {uri!r}: it must be a str or a path")
    given = os.fspath(uri)
    if not isinstance(given, str):
        raise InvalidArgumentError(f"uri is {given!r}: it must be a str or a path of str")
    if not given:
        raise InvalidArgumentError("uri is empty: it must name a folder, or be memory://")
    if given == ":memory:":
        raise InvalidArgumentError("uri is ':memory:': a database in memory is memory://, or memory://name")
    if "://" in given:
        return given
    return os.path.abspath(os.path.expanduser(given))  # noqa: PTH100, PTH111 - Path.resolve would follow links.
