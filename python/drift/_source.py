"""Sources of a load: which of its forms a caller's object has, and what is wrong with one that has none.

Paths, Arrow objects and batches are told apart here, before a byte is read. What looks like a source and is none (a
folder, a pattern, an open file, a dictionary of columns) is refused with the form that works.
"""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from drift import _input, _metadata, _polars
from drift._checks import text
from drift._errors import InvalidArgumentError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

FORMS = "it must be Parquet paths, an Arrow object (pyarrow, polars, pandas) or batches (ids, vectors)"


def are_paths(value: object) -> TypeGuard[Sequence[str | os.PathLike[str]]]:
    """Whether `value` is a list or tuple of paths, at least one."""
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(at, (str, os.PathLike)) for at in value)


def paths(values: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Return the paths of files, with ``~`` for the home folder written out.

    Raises
    ------
    InvalidArgumentError
        When one is a folder or an address.
    NotFoundError
        When one is a pattern that no file has for its name.
    """
    checked = []
    for value in values:
        path = os.path.expanduser(os.fspath(value))  # noqa: PTH111 - it leaves bytes for the error below.
        if not isinstance(path, str):
            raise InvalidArgumentError(f"source is {path!r}: a path must be a str or a path of str")
        text("source", path)
        if "\0" in path:
            raise InvalidArgumentError(f"source is {path!r}: a path has no zero byte")
        if "://" in path:
            raise InvalidArgumentError(f"source is {path!r}: load reads local files, so download it first")
        if os.path.isdir(path):  # noqa: PTH112
            files = os.path.join(path, "*.parquet")  # noqa: PTH118
            raise InvalidArgumentError(f"source is the folder {path!r}: pass its files, such as glob.glob({files!r})")
        if glob.has_magic(path) and not os.path.exists(path):  # noqa: PTH110
            raise NotFoundError(f"there is no file {path!r}: pass the files themselves, such as glob.glob({path!r})")
        checked.append(path)
    return checked


def refusal(source: object) -> InvalidArgumentError:
    """Return the error for a source that has none of the forms."""
    kind = type(source).__name__
    if isinstance(source, dict):
        return InvalidArgumentError(f"source is {kind}: {FORMS}; pyarrow.table(source) makes columns a table")
    if isinstance(source, np.ndarray):
        return InvalidArgumentError(f"source is {kind}: rows need ids, so pass [(ids, vectors)], or use upsert")
    if hasattr(source, "read"):
        return InvalidArgumentError(f"source is {kind}, an open file: pass its path")
    if hasattr(source, "__aiter__"):
        return InvalidArgumentError(f"source is {kind}, an asynchronous iterator: {FORMS}")
    return InvalidArgumentError(f"source is {kind}: {FORMS}")


def are_batches(source: object) -> TypeGuard[Iterable[object]]:
    """Whether `source` may be an iterable of batches."""
    return (
        hasattr(source, "__iter__")
        and not isinstance(source, (bytes, bytearray, dict, np.ndarray))
        and not hasattr(source, "read")
    )


def batches(source: Iterable[object], id_type: str, dim: int, known: Callable[[], dict[str, str]]) -> Iterator[object]:
    """Yield each batch of a load as the extension takes it: a tuple of ids, vectors and metadata, or an Arrow object.

    `known` gives the types of the collection's metadata fields; those of earlier batches are kept beside them.

    Raises
    ------
    InvalidArgumentError
        When an item is neither a pair of ids and vectors nor an Arrow object, or its ids or vectors are wrong; the
        message names the batch, counted from 0, and the row in it.
    """
    types = known()
    for at, item in enumerate(source):
        try:
            yield _batch(item, id_type, dim, types)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"batch {at}: {error}") from error


def _batch(item: Any, id_type: str, dim: int, types: dict[str, str]) -> object:
    if _input.is_arrow(item):
        return _polars.typed(item)
    if isinstance(item, (tuple, list)) and len(item) in (2, 3) and not isinstance(item[1], (str, int, float)):
        ids, vectors = _input.pair(item[0], item[1], id_type, dim)
        rows = len(ids) if isinstance(ids, (np.ndarray, list)) else None
        fields = _metadata.columns(item[2] if len(item) == 3 else None, rows, lambda: types)
        types.update({name: kind for name, kind, _ in fields or () if types.get(name) != "float"})
        return ids, vectors, fields
    shown = _input.shown(item)
    if isinstance(item, dict):
        raise InvalidArgumentError(
            f"{shown} is no batch: pass a pair (ids, vectors), or the rows as pyarrow.Table.from_pylist(rows)"
        )
    if isinstance(item, os.PathLike):
        raise InvalidArgumentError(f"{shown} is no batch: pass paths as a list")
    raise InvalidArgumentError(
        f"{shown} is no batch: it must be a pair (ids, vectors) or an Arrow table or batch; "
        "one pair alone goes into a list, or to upsert"
    )
