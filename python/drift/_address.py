"""Addresses of databases and of folders of backups."""

from __future__ import annotations

import os
from urllib.parse import unquote

from drift._checks import text
from drift._errors import InvalidArgumentError


def address(uri: object) -> str:
    """Return the URI, or the absolute path with ``~`` for the home folder written out; a ``file://`` URI as its path.

    Raises
    ------
    InvalidArgumentError
        When it is no text or empty, has a zero byte in its path, or is a ``file://`` URI that names another host.
    """
    if not isinstance(uri, (str, os.PathLike)):
        raise InvalidArgumentError(f"uri is {uri!r}: it must be a str or a path")
    given = os.fspath(uri)
    if not isinstance(given, str):
        raise InvalidArgumentError(f"uri is {given!r}: it must be a str or a path of str")
    if not given:
        raise InvalidArgumentError("uri is empty: it must name a folder, or be memory://")
    if given == ":memory:":
        raise InvalidArgumentError("uri is ':memory:': a database in memory is memory://, or memory://name")
    text("uri", given)
    if given.startswith("file://"):
        return _path(given)
    if "://" in given:
        return given
    return _absolute(uri, os.path.expanduser(given))  # noqa: PTH111 - as `os.path.abspath`.


def _path(uri: str) -> str:
    """Return the path of a ``file://`` URI, whose escapes such as %20 are those of RFC 8089 and `Path.as_uri`."""
    host, slash, path = uri.removeprefix("file://").partition("/")
    if host not in ("", "localhost") or not slash:
        raise InvalidArgumentError(f"uri is {uri!r}: an absolute path follows file://, as in file:///home/me/database")
    try:
        return _absolute(uri, slash + unquote(path, errors="strict"))
    except UnicodeDecodeError:
        raise InvalidArgumentError(f"uri is {uri!r}: what is escaped with % must be UTF-8") from None


def _absolute(uri: object, path: str) -> str:
    if "\0" in path:
        raise InvalidArgumentError(f"uri is {uri!r}: a path has no zero byte")
    return os.path.abspath(path)  # noqa: PTH100 - Path.resolve would follow links.
