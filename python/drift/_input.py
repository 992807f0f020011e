"""Conversion of what callers give into what the extension module takes.

The extension takes C-contiguous float32 and float16 arrays, int64 arrays, lists of ``str`` and Arrow PyCapsule
objects; those pass through here untouched and are not copied. Everything else (lists, float64, strided arrays, other
integers) is converted once. Whatever could be mistaken for something else is refused: bools and floats as ids, strings
and integers-with-holes as vectors.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np

from drift._errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from drift._types import ArrowArray, ArrowStream

    Ids: TypeAlias = "NDArray[np.int64] | list[str] | ArrowArray | ArrowStream"
    Vectors: TypeAlias = "NDArray[np.float32] | NDArray[np.float16] | ArrowArray | ArrowStream"

_F32 = np.dtype(np.float32)
_F16 = np.dtype(np.float16)
_I64 = np.dtype(np.int64)
_STR = "str"


def is_arrow(value: object) -> bool:
    """Whether `value` offers the Arrow PyCapsule interface."""
    return hasattr(value, "__arrow_c_array__") or hasattr(value, "__arrow_c_stream__")


def are_paths(value: object) -> TypeGuard[Sequence[str | os.PathLike[str]]]:
    """Whether `value` is a list or tuple of paths, at least one."""
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(at, (str, os.PathLike)) for at in value)


def ids(value: object, id_type: str) -> Ids:
    """Return ids as the extension takes them.

    Parameters
    ----------
    value : sequence of int or str, integer or string array, Arrow array, int or str
        A single id counts as one.
    id_type : {"int", "str"}
        Type of the collection's ids.

    Raises
    ------
    InvalidArgumentError
        When an id is neither an integer in the range of int64 nor a string; the message names the row.
    """
    if isinstance(value, np.ndarray):
        return _array_ids(value, id_type)
    if is_arrow(value):
        return value  # type: ignore[return-value]
    if isinstance(value, str):
        return [value]
    if isinstance(value, (int, np.integer)):
        return _list_ids([value], id_type)
    if isinstance(value, range):
        return _array_ids(np.arange(value.start, value.stop, value.step, dtype=np.int64), id_type)
    if isinstance(value, (bytes, bytearray, dict)) or not hasattr(value, "__iter__"):
        raise InvalidArgumentError(f"ids must be a sequence of int or str, not {type(value).__name__}")
    if hasattr(value, "__array__"):
        return _array_ids(np.asarray(value), id_type)
    return _list_ids(list(value), id_type)


def _list_ids(values: Sequence[object], id_type: str) -> Ids:
    kinds = set(map(type, values))
    if kinds <= {str, np.str_}:
        return [str(value) for value in values] if values or id_type == _STR else np.empty(0, dtype=np.int64)
    if kinds == {int}:
        try:
            return np.array(values, dtype=np.int64)
        except OverflowError:
            pass  # The loop below finds the row.
    if any(issubclass(kind, (str, np.str_)) for kind in kinds) and id_type == _STR:
        row = next(row for row, value in enumerate(values) if not isinstance(value, str))
        raise InvalidArgumentError(f"id at row {row} is {_shown(values[row])}, not a str")
    for row, value in enumerate(values):
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
            wanted = "a str" if id_type == _STR else "an int"
            raise InvalidArgumentError(f"id at row {row} is {_shown(value)}, not {wanted}")
        if not 0 <= int(value) < 2**63:
            raise InvalidArgumentError(f"id {value} at row {row} is out of range: ids are int64 >= 0")
    return np.array([int(value) for value in values], dtype=np.int64)  # type: ignore[call-overload]


def _array_ids(array: NDArray[Any], id_type: str) -> Ids:
    if array.ndim == 0:
        array = array.reshape(1)
    if array.ndim != 1:
        raise InvalidArgumentError(f"ids have shape {array.shape}: they must be one-dimensional")
    if array.size == 0 and array.dtype.kind in "fO":
        return _list_ids([], id_type)  # numpy.array([]) is float64.
    kind = array.dtype.kind
    if kind == "i":
        return np.ascontiguousarray(array, dtype=np.int64)
    if kind == "u":
        beyond = np.flatnonzero(array > np.uint64(2**63 - 1)) if array.dtype.itemsize == 8 else array[:0]
        if beyond.size:
            row = int(beyond[0])
            raise InvalidArgumentError(f"id {array[row]} at row {row} is out of range: ids are int64 >= 0")
        return np.ascontiguousarray(array, dtype=np.int64)
    if kind in "UTO":
        return _list_ids(array.tolist(), id_type)
    raise InvalidArgumentError(f"ids have dtype {array.dtype}: they must be integers or strings")


def vectors(value: object, dim: int, rows: int | None = None) -> Vectors:
    """Return vectors as the extension takes them: shape ``(n, dim)``, or ``(dim,)`` when `rows` is 1.

    Parameters
    ----------
    value : array_like or Arrow array
        float16, float32 and float64 arrays, nested sequences of numbers, fixed-size lists of floats.
    dim : int
        Dimension of the collection.
    rows : int, optional
        Number of ids that the vectors belong to.

    Raises
    ------
    InvalidArgumentError
        When the shape, the dtype or an element is wrong; the message names the row and column.
    """
    if is_arrow(value) and not isinstance(value, np.ndarray):
        return value  # type: ignore[return-value]
    array = _floats(value, "vectors")
    if array.ndim == 1 and array.size == 0 and rows == 0:
        return array.reshape(0, dim)
    if array.ndim == 1 and rows == 1:
        array = array.reshape(1, -1)
    if array.ndim != 2:
        raise InvalidArgumentError(f"vectors have shape {array.shape}: they must be two-dimensional, (n, {dim})")
    if array.shape[1] != dim:
        raise InvalidArgumentError(f"vectors have {array.shape[1]} columns, but the collection's dim is {dim}")
    if rows is not None and array.shape[0] != rows:
        raise InvalidArgumentError(f"there are {rows} ids, but {array.shape[0]} vectors")
    return array


def queries(value: object, dim: int) -> NDArray[np.float32] | ArrowArray | ArrowStream:
    """Return queries as a C-contiguous float32 array of shape ``(dim,)`` or ``(n, dim)``, or an Arrow list array.

    Raises
    ------
    InvalidArgumentError
        When the shape, the dtype or an element is wrong; the message names the row and column.
    """
    if type(value) is np.ndarray and value.dtype is _F32 and value.shape == (dim,) and value.flags.c_contiguous:
        return value
    if is_arrow(value) and not isinstance(value, np.ndarray):
        plain = np.asarray(value)
        if plain.dtype.kind not in "fiu":
            return value  # type: ignore[return-value]
        value = plain
    array = _floats(value, "the query")
    if array.ndim not in (1, 2) or array.shape[-1] != dim:
        if array.shape == (0,):
            return np.empty((0, dim), dtype=np.float32)
        raise InvalidArgumentError(f"the query has shape {array.shape}: it must be ({dim},) or (n, {dim})")
    return array.astype(np.float32, copy=False)


def _floats(value: object, what: str) -> NDArray[np.float32] | NDArray[np.float16]:
    """Return a C-contiguous, native float32 or float16 array."""
    if not isinstance(value, np.ndarray):
        value = _sequence(value, what)
    if value.dtype == _F32 or value.dtype == _F16:
        return np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("="))
    if value.dtype.kind in "fiu":
        # A finite value beyond float32 becomes infinite here, and the engine refuses it with its row and column.
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(value, dtype=np.float32)
    if value.dtype.kind == "O":
        return _floats(
            _sequence([_sequence(row, what) for row in value] if value.ndim == 1 else value.tolist(), what), what
        )
    raise InvalidArgumentError(f"{what}: dtype {value.dtype} is not float16, float32 or float64")


def _sequence(value: object, what: str) -> NDArray[Any]:
    """Return nested sequences as an array; the error names the first row that does not fit."""
    if isinstance(value, (str, bytes, dict)) or value is None:
        raise InvalidArgumentError(f"{what}: {_shown(value)} is not a vector")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        array = None
    if array is not None and array.dtype.kind in "fiu" and array.ndim > 0:
        return array
    if array is not None and array.dtype.kind == "b":
        raise InvalidArgumentError(f"{what}: dtype bool is not float16, float32 or float64")
    raise InvalidArgumentError(f"{what}: {_first_misfit(value)}")


def _first_misfit(value: Any) -> str:
    """Return what is wrong with a nested sequence that is no matrix of numbers, and where."""
    try:
        rows = list(value)
    except TypeError:
        return f"{_shown(value)} is not a sequence of numbers"
    length: int | None = None
    for row, values in enumerate(rows):
        if isinstance(values, (str, bytes)) or values is None:
            return f"row {row} is {_shown(values)}, not a number or a sequence of numbers"
        if not hasattr(values, "__len__"):
            if length is not None:
                return f"row {row} is {_shown(values)}, but row 0 has {length} values"
            continue
        length = len(values) if length is None else length
        if len(values) != length:
            return f"row {row} has {len(values)} values, but row 0 has {length}"
        for column, number in enumerate(values):
            if isinstance(number, bool) or not isinstance(number, (int, float, np.number)):
                return f"row {row}, column {column} is {_shown(number)}, not a number"
    return "these are not rows of numbers of one length"


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 40 else text[:37] + '...'} ({type(value).__name__})"


def batch(item: object, id_type: str, dim: int) -> object:
    """Return one batch of a load: a tuple of ids and vectors, or an Arrow object.

    Raises
    ------
    InvalidArgumentError
        When the item is neither a pair of ids and vectors nor an Arrow object.
    """
    if is_arrow(item):
        return item
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise InvalidArgumentError(
            f"a batch is {type(item).__name__}: it must be a pair (ids, vectors) or an Arrow table or batch"
        )
    converted = ids(item[0], id_type)
    rows = None if is_arrow(converted) else len(converted)  # type: ignore[arg-type]
    return converted, vectors(item[1], dim, rows)
