"""Metadata between Python and the extension: rows of dictionaries, or columns, to typed columns and back.

The extension takes and gives a list of (name, type, values), None where a row lacks the field. Timestamps are integers
there, microseconds since 1970 UTC, and JSON values are text.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drift import _core, _input
from drift._errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from drift._types import Include, MetadataLike

Field: TypeAlias = tuple[str, str, list[Any]]

# The field of the moment at which a row expires.
EXPIRES = "_expires"

TYPES = ("bool", "int", "float", "str", "timestamp", "list", "json")

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def fields(declared: object) -> list[tuple[str, str]]:
    """Return the declared fields of a collection as the extension takes them."""
    if declared is None:
        return []
    if not isinstance(declared, Mapping):
        raise InvalidArgumentError(f"fields are {_input.shown(declared)}: pass a dict of names and types")
    for name, kind in declared.items():
        if not isinstance(name, str) or kind not in TYPES:
            raise InvalidArgumentError(f"fields[{name!r}] is {kind!r}: names are str, types one of {', '.join(TYPES)}")
    return list(declared.items())


def columns(metadata: MetadataLike | None, rows: int | None, known: Callable[[], dict[str, str]]) -> list[Field] | None:
    """Return the metadata of a write as typed columns; None when there is none.

    Parameters
    ----------
    metadata : sequence of mappings, mapping of columns, Arrow table, optional
        One mapping (or None) per row; or one column per field; or a table.
    rows : int, optional
        Number of ids that it belongs to, when known.
    known : callable
        Gives the types of the collection's fields.

    Raises
    ------
    InvalidArgumentError
        When a field's values are of several types; the message names the field and the row.
    """
    if metadata is None:
        return None
    given = _columns(metadata, rows)
    types = {EXPIRES: "timestamp"} | known()
    return (
        [typed(name, values, types.get(name)) for name, values in given.items()] if isinstance(given, dict) else given
    )


def changes(
    metadata: MetadataLike, rows: int | None, known: Callable[[], dict[str, str]]
) -> tuple[list[Field], list[tuple[int, str]]]:
    """Return what an update sets, as `columns` does, and the (row, field) pairs that it removes: those of None."""
    removed: list[tuple[int, str]] = []
    if isinstance(metadata, Sequence) and not isinstance(metadata, str):
        for row, one in enumerate(metadata):
            if isinstance(one, Mapping):
                removed.extend((row, name) for name, value in one.items() if value is None)
    typed = columns(metadata, rows, known) or []
    if not isinstance(metadata, Sequence):
        removed.extend((row, name) for name, _, values in typed for row, value in enumerate(values) if value is None)
    return typed, removed


def _columns(metadata: MetadataLike, rows: int | None) -> dict[str, list[Any]] | list[Field]:
    """Return columns of plain values by name, or typed columns when they come from Arrow."""
    if _input.is_arrow(metadata) and not isinstance(metadata, Mapping):
        return _core.arrow_fields(metadata)
    if isinstance(metadata, Mapping):
        return {_name(name): _values(name, values, rows) for name, values in metadata.items()}
    if isinstance(metadata, (str, bytes)) or not isinstance(metadata, Sequence):
        raise InvalidArgumentError(
            f"metadata is {_input.shown(metadata)}: pass a list of dicts, one per row, a dict of columns, or a table"
        )
    if rows is not None and len(metadata) != rows:
        raise InvalidArgumentError(f"{rows:,} ids came with metadata of {len(metadata):,} rows: give as many")
    given: dict[str, list[Any]] = {}
    for row, one in enumerate(metadata):
        if one is None:
            continue
        if not isinstance(one, Mapping):
            raise InvalidArgumentError(f"metadata of row {row} is {_input.shown(one)}: it must be a dict or None")
        for name, value in one.items():
            if value is not None:
                given.setdefault(_name(name), [None] * len(metadata))[row] = value
    return given


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidArgumentError(f"a metadata field is named {_input.shown(name)}: names are str")
    return name


def _values(name: object, values: Any, rows: int | None) -> list[Any]:
    if isinstance(values, np.ndarray):
        listed = _times(values) if values.dtype.kind == "M" else values.tolist()
    elif hasattr(values, "to_pylist"):
        listed = values.to_pylist()
    elif hasattr(values, "tolist"):
        listed = values.tolist()
    elif isinstance(values, (list, tuple, range)):
        listed = list(values)
    else:
        raise InvalidArgumentError(
            f"metadata[{name!r}] is {_input.shown(values)}: a column is a list or an array with a value for each row; "
            f"dictionaries stand in a list, one for each row: metadata=[{{{name!r}: ...}}]"
        )
    if not isinstance(listed, list) or (rows is not None and len(listed) != rows):
        count = f"{len(listed):,} values" if isinstance(listed, list) else "one value"
        raise InvalidArgumentError(f"metadata[{name!r}] has {count} for {rows:,} ids: give one per row")
    return listed


def _times(values: np.ndarray[Any, np.dtype[Any]]) -> list[Any]:
    """Return datetime64 values as aware datetimes, NaT as None."""
    micros = values.astype("datetime64[us]").astype(np.int64)
    nat = np.isnat(values)
    return [None if at else _EPOCH + int(value) * _MICROSECOND for value, at in zip(micros, nat, strict=True)]


def typed(name: str, values: list[Any], known: str | None) -> Field:
    """Return one column with its type: the field's when it has one, else that of its values."""
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    if known == "json":
        return name, known, [None if value is None else _json(name, row, value) for row, value in enumerate(plain)]
    kind = None
    for row, value in enumerate(plain):
        if value is None:
            continue
        own = _kind(value)
        if kind is None or {kind, own} == {"int", "float"}:
            kind = own if kind is None else "float"
        elif {kind, own} == {"list", "json"}:
            kind = "json"
        elif own != kind:
            first = next(at for at, value in enumerate(plain) if value is not None)
            raise InvalidArgumentError(
                f"metadata {name!r} is {kind} at row {first} and {own} at row {row}: a field has one type; convert "
                f'one, or declare it with create_collection(..., fields={{{name!r}: "json"}})'
            )
    kind = kind or known or "str"
    if kind == "float" or (kind == "int" and known == "float"):
        return name, "float", [None if value is None else float(value) for value in plain]
    if kind == "timestamp":
        return name, kind, [None if value is None else micros(value) for value in plain]
    if kind == "list":
        return name, kind, [None if value is None else list(value) for value in plain]
    if kind == "json":
        return name, kind, [None if value is None else _json(name, row, value) for row, value in enumerate(plain)]
    return name, kind, plain


def _kind(value: object) -> str:
    """Return the field type that a value has; whatever is no plain value is JSON."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "str"
    if isinstance(value, dt.date):
        return "timestamp"
    if isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(item, str) for item in value):
        return "list"
    return "json"


def micros(value: dt.date) -> int:
    """Return microseconds since 1970 UTC; what has no time zone is UTC."""
    if not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    elif value.tzinfo is None:
        value = value.replace(tzinfo=dt.UTC)
    return (value - _EPOCH) // _MICROSECOND


def _json(name: str, row: int, value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"metadata {name!r} at row {row} is no JSON: {error}") from None


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form: make it a number or a text")


def include(value: Include) -> list[str] | bool | None:
    """Return which fields an answer has as the extension takes it: None, True or names."""
    if value is None or value is False:
        return None
    if value is True:
        return True
    if isinstance(value, str):
        return [value]
    if isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(name, str) for name in value):
        return list(value)
    raise InvalidArgumentError(f"include is {_input.shown(value)}: pass True for all fields, or a list of names")


def rows(fields: Iterable[Field], count: int) -> list[dict[str, Any]]:
    """Return the metadata of `count` rows as dictionaries without the fields that a row lacks."""
    out: list[dict[str, Any]] = [{} for _ in range(count)]
    for name, kind, values in fields:
        for row, value in zip(out, values, strict=True):
            if value is not None:
                row[name] = _python(kind, value)
    return out


def _python(kind: str, value: Any) -> Any:
    if kind == "timestamp":
        return _EPOCH + value * _MICROSECOND
    return json.loads(value) if kind == "json" else value
