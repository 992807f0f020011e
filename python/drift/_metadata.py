"""Metadata between Python and the extension: rows of dictionaries, or columns, to typed columns and back.

The extension takes and gives a list of (name, type, values), None where a row lacks the field. Timestamps are integers
there, microseconds since 1970 UTC, and JSON values are text.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drift import _core, _input, _polars
from drift._checks import text
from drift._errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from drift._types import Include, MetadataLike

Field: TypeAlias = tuple[str, str, list[Any]]

# The field of the moment at which a row expires.
EXPIRES = "_expires"

TYPES = ("bool", "int", "float", "str", "timestamp", "list", "json")

# What the engine reads of JSON: a deeper value, or one with a larger integer, would be missing for filters.
JSON_DEPTH_MAX = 100
JSON_INT_MIN, JSON_INT_MAX = -(2**63), 2**64 - 1

_TOO_DEEP = f"is JSON of more than {JSON_DEPTH_MAX} levels, the most there may be: flatten it, or make it a text"
_TOO_LARGE = "has an integer beyond those of 64 bits, from -2**63 to 2**64 - 1: make it a float or a text"

# What most values are, and is taken as it is: told apart first, as every value of a write is looked at.
_PLAIN = frozenset({bool, int, float, str, list, dict, dt.datetime})

# Scalars that NumPy makes integers of, or nothing plainer.
_NO_JSON = (np.datetime64, np.timedelta64, np.longdouble, np.clongdouble)

# What a datetime can hold, and so what may come back.
MOMENTS = "in the years 1 to 9999 of UTC"

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_MICROS_MIN = (dt.datetime.min.replace(tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND
_MICROS_MAX = (dt.datetime.max.replace(tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND

# An integer of fewer digits is within the bounds.
_LONG_INT = re.compile(r"\d{19}")


def fields(declared: object) -> list[tuple[str, str]]:
    """Return the declared fields of a collection as the extension takes them."""
    if declared is None:
        return []
    if not isinstance(declared, Mapping):
        raise InvalidArgumentError(f"fields are {_input.shown(declared)}: pass a dict of names and types")
    for name, kind in declared.items():
        if not isinstance(name, str) or kind not in TYPES:
            raise InvalidArgumentError(f"fields[{name!r}] is {kind!r}: names are str, types one of {', '.join(TYPES)}")
        if text("a name in fields", name) == EXPIRES and kind != "timestamp":
            raise InvalidArgumentError(
                f"fields[{name!r}] is {kind!r}: {EXPIRES} is the timestamp at which rows expire, use another name"
            )
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
                removed.extend((row, name) for name, value in one.items() if missing(value))
    typed = columns(metadata, rows, known) or []
    if not isinstance(metadata, Sequence):
        removed.extend((row, name) for name, _, values in typed for row, value in enumerate(values) if value is None)
    return typed, removed


def _columns(metadata: MetadataLike, rows: int | None) -> dict[str, list[Any]] | list[Field]:
    """Return columns of plain values by name, or typed columns when they come from Arrow."""
    if _input.is_arrow(metadata) and not isinstance(metadata, Mapping):
        return _core.arrow_fields(_polars.typed(metadata))
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
            if missing(value):
                continue
            if name not in given:
                given[_name(name)] = [None] * len(metadata)
            given[name][row] = value
    return given


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidArgumentError(f"a metadata field is named {_input.shown(name)}: names are str")
    return text("a metadata field's name", name)


def missing(value: object) -> bool:
    """Whether a value stands for none: None, NaT of NumPy, NaT and NA of pandas."""
    kind = type(value)
    if kind in _PLAIN:
        return False
    if isinstance(value, np.datetime64):
        return bool(np.isnat(value))
    return value is None or (kind.__name__ in ("NaTType", "NAType") and kind.__module__.partition(".")[0] == "pandas")


def _values(name: object, values: Any, rows: int | None) -> list[Any]:
    if isinstance(values, np.ndarray) and values.ndim > 0 and values.dtype.kind in "mM":
        # As integers, which NumPy makes of nanoseconds, they would be no times any more.
        listed = _times(str(name), values) if values.dtype.kind == "M" and values.ndim == 1 else list(values)
    elif isinstance(values, np.ndarray):
        listed = values.tolist()
    elif hasattr(values, "to_pylist"):
        listed = values.to_pylist()
    elif hasattr(values, "tolist"):
        listed = values.tolist()
        if hasattr(values, "isna") and getattr(getattr(values, "dtype", None), "kind", "") != "f":
            # Texts of pandas have NaN for what is missing; in a column of floats it is a value.
            listed = [None if gone else value for value, gone in zip(listed, values.isna().tolist(), strict=True)]
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


def _times(name: str, values: np.ndarray[Any, np.dtype[Any]], first: int = 0) -> list[Any]:
    """Return datetime64 values, those of the rows from `first` on, as aware datetimes, NaT as None."""
    if np.datetime_data(values.dtype)[0] in ("ps", "fs", "as"):
        values = values.astype("datetime64[us]")  # They reach months, and NumPy has no way from them to years.
    years = values.astype("datetime64[Y]").astype(np.int64) + 1970
    beyond = np.flatnonzero(~np.isnat(values) & ((years < 1) | (years > 9999)))
    if beyond.size:
        row = int(beyond[0])
        raise _beyond(name, first + row, values[row])
    micros = values.astype("datetime64[us]").astype(np.int64)
    nat = np.isnat(values)
    return [None if at else _EPOCH + int(value) * _MICROSECOND for value, at in zip(micros, nat, strict=True)]


def typed(name: str, values: list[Any], known: str | None) -> Field:
    """Return one column with its type: the field's when it has one, else that of its values."""
    if known == "json":
        return name, known, [None if missing(value) else _json(name, row, value) for row, value in enumerate(values)]
    plain = [value if type(value) in _PLAIN else _plain_value(name, row, value) for row, value in enumerate(values)]
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
        return name, "float", [None if value is None else _float(name, row, value) for row, value in enumerate(plain)]
    if kind == "timestamp":
        return name, kind, [None if value is None else _micros(name, row, value) for row, value in enumerate(plain)]
    if kind == "list":
        return name, kind, [None if value is None else list(value) for value in plain]
    if kind == "json":
        return name, kind, [None if value is None else _json(name, row, value) for row, value in enumerate(plain)]
    return name, kind, plain


def _plain_value(name: str, row: int, value: object) -> Any:
    """Return a value without NumPy's scalars, and None for what is missing."""
    if missing(value):
        return None
    if isinstance(value, np.datetime64):
        return _times(name, np.asarray([value]), row)[0]
    if isinstance(value, np.timedelta64):
        raise InvalidArgumentError(
            f"metadata {name!r} at row {row} is {_input.shown(value)}, a length of time: give a number, such as that "
            'of its seconds, value / numpy.timedelta64(1, "s")'
        )
    return value.item() if isinstance(value, np.generic) else value


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


def _float(name: str, row: int, value: float) -> float:
    try:
        converted = float(value)
    except OverflowError:
        raise InvalidArgumentError(
            f"metadata {name!r} at row {row} is {_input.shown(value)}, beyond float64 (up to 1.8e308)"
        ) from None
    if isinstance(value, int) and converted != value:
        raise InvalidArgumentError(
            f"metadata {name!r} at row {row} is the integer {_input.shown(value)}, to which no float64 is equal, and "
            "the field is float: give it integers alone, or another field"
        )
    return converted


def _micros(name: str, row: int, value: dt.date) -> int:
    """Return microseconds since 1970 UTC; what has no time zone is UTC."""
    given = value
    if not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    elif value.tzinfo is None:
        value = value.replace(tzinfo=dt.UTC)
    micros = (value - _EPOCH) // _MICROSECOND
    if not is_moment(micros):
        raise _beyond(name, row, given)
    return micros


def is_moment(micros: int) -> bool:
    """Whether a datetime in UTC can hold a moment, in microseconds since 1970."""
    return _MICROS_MIN <= micros <= _MICROS_MAX


def _beyond(name: str, row: int, value: object) -> InvalidArgumentError:
    return InvalidArgumentError(f"metadata {name!r} at row {row} is {_input.shown(value)}: times must be {MOMENTS}")


def _json(name: str, row: int, value: object) -> str:
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
        problem = _json_problem(written)
    except RecursionError:
        problem = _TOO_DEEP
    except (TypeError, ValueError) as error:
        # Of more than 4,300 digits Python writes none.
        problem = _TOO_LARGE if "integer string conversion" in str(error) else f"is no JSON: {error}"
    if problem is not None:
        raise InvalidArgumentError(f"metadata {name!r} at row {row} {problem}")
    return written


def _json_problem(written: str) -> str | None:
    """Return why the engine could not read a JSON text, None when it can; most texts are too plain to need a look."""
    if written.count("[") + written.count("{") > JSON_DEPTH_MAX and _depth(json.loads(written)) > JSON_DEPTH_MAX:
        return _TOO_DEEP
    if _LONG_INT.search(written):
        integers: list[str] = []
        json.loads(written, parse_int=integers.append)
        # Python reads no more than 4,300 digits.
        if any(len(digits) > 20 or not JSON_INT_MIN <= int(digits) <= JSON_INT_MAX for digits in integers):
            return _TOO_LARGE
    return None


def _depth(value: object) -> int:
    """Return the levels of lists and objects of a JSON value."""
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, (list, dict))]:
        depth += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return depth


def _plain(value: object) -> object:
    if missing(value):
        return None
    plain: object = value
    if isinstance(value, np.datetime64):
        # Of nanoseconds NumPy would make an integer.
        plain = value.item() if isinstance(value.item(), dt.date) else value.astype("datetime64[us]").item()
    if isinstance(plain, dt.date):
        return plain.isoformat()
    if isinstance(value, np.generic) and not isinstance(value, _NO_JSON):
        return value.item()
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form: make it an int, a float or a text")


def include(value: Include) -> list[str] | bool | None:
    """Return which fields an answer has as the extension takes it: None, True or names."""
    if value is None or value is False:
        return None
    if value is True:
        return True
    if isinstance(value, str):
        return [text("include", value)]
    if isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(name, str) for name in value):
        return [text("a name in include", name) for name in value]
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
