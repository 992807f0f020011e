"""Conversion of what callers give into what the extension module takes.

The extension takes C-contiguous float32 and float16 arrays, int64 arrays, lists of ``str`` and Arrow PyCapsule
objects; those pass through here untouched and are not copied. Everything else (lists, float64, strided arrays, other
integers, UUIDs, which become their canonical text) is converted once. Whatever could be mistaken for something else is
refused: bools and floats as ids, strings and integers-with-holes as vectors.
"""

from __future__ import annotations

from collections.abc import Sized
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

import numpy as np

from drift import _polars
from drift._checks import is_int, is_number
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


def _is_column(value: object) -> bool:
    """Whether `value` is best read through the Arrow PyCapsule interface: pandas needs pyarrow for that."""
    if not is_arrow(value) or isinstance(value, np.ndarray):
        return False
    if type(value).__module__.partition(".")[0] != "pandas":
        return True
    return find_spec("pyarrow") is not None and not _holds_uuids(value)


def _holds_uuids(series: Any) -> bool:
    """Whether a pandas Series has UUIDs, which pyarrow takes for no type of its own."""
    kind = getattr(getattr(series, "dtype", None), "kind", "")
    return kind == "O" and isinstance(next(iter(series), None), UUID)


def pair(ids_given: object, vectors_given: object, id_type: str, dim: int) -> tuple[Ids, Vectors]:
    """Return the ids and the vectors of one write, as `ids` and `vectors` do.

    Raises
    ------
    InvalidArgumentError
        As they do, and when the ids are a set, whose order could not be that of the vectors.
    """
    if isinstance(ids_given, (set, frozenset)):
        raise InvalidArgumentError("ids are a set, which has no order: pass a list in the order of the vectors")
    _refuse_swapped(ids_given, vectors_given)
    converted = ids(ids_given, id_type)
    rows = len(converted) if isinstance(converted, (np.ndarray, list)) else None
    return converted, vectors(vectors_given, dim, rows)


def _refuse_swapped(ids_given: object, vectors_given: object) -> None:
    """Refuse rows of numbers in the place of the ids when ids are in the place of the rows."""
    if _is_rows(ids_given) and _is_flat(vectors_given):
        raise InvalidArgumentError("ids are rows of numbers and vectors are ids: swap the two, ids come first")


def _is_rows(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and isinstance(value[0], (list, tuple, np.ndarray))
    return len(_shape(value)) == 2


def _is_flat(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and isinstance(value[0], (str, int, np.integer, UUID))
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return len(_shape(value)) == 1 and kind in tuple("iuU")


def _shape(value: object) -> tuple[int, ...]:
    shape = getattr(value, "shape", None)
    return shape if isinstance(shape, tuple) else ()


def ids(value: object, id_type: str) -> Ids:
    """Return ids as the extension takes them.

    Parameters
    ----------
    value : sequence of int, str or UUID, integer or string array, Arrow array, int, str or UUID
        A single id counts as one.
    id_type : {"int", "str"}
        Type of the collection's ids.

    Raises
    ------
    InvalidArgumentError
        When an id is neither an integer in the range of int64 nor a string or UUID; the message names the row.
    """
    if isinstance(value, np.ndarray):
        return _array_ids(_unmasked(value, "ids"), id_type)
    if _is_column(value):
        return _polars.typed(value)  # type: ignore[return-value]
    if isinstance(value, str):
        return [value]
    if isinstance(value, (int, np.integer, UUID)):
        return _list_ids([value], id_type)
    if isinstance(value, range):
        return _range_ids(value, id_type)
    if isinstance(value, (bytes, bytearray, dict)) or not hasattr(value, "__iter__"):
        raise InvalidArgumentError(f"ids must be a sequence of int or str, not {type(value).__name__}")
    if hasattr(value, "__array__"):
        return _array_ids(_as_array(value, "ids"), id_type)
    return _list_ids(list(value), id_type)


def _list_ids(values: Sequence[object], id_type: str) -> Ids:
    kinds = set(map(type, values))
    if any(issubclass(kind, UUID) for kind in kinds):
        return _list_ids(_uuid_texts(values, id_type), id_type)
    if all(issubclass(kind, str) for kind in kinds):
        texts = [str.__str__(value) for value in values]  # Enumerations have another text for people.
        return texts if texts or id_type == _STR else np.empty(0, dtype=np.int64)
    if kinds == {int}:
        try:
            return np.array(values, dtype=np.int64)
        except OverflowError:
            pass  # The loop below finds the row.
    if any(issubclass(kind, str) for kind in kinds) and id_type == _STR:
        row = next(row for row, value in enumerate(values) if not isinstance(value, str))
        raise InvalidArgumentError(f"id at row {row} is {shown(values[row])}, not a str")
    for row, value in enumerate(values):
        if not is_int(value):
            wanted = "a str" if id_type == _STR else "an int"
            raise InvalidArgumentError(f"id at row {row} is {shown(value)}, not {wanted}")
        if not 0 <= int(value) < 2**63:
            raise InvalidArgumentError(f"id {value} at row {row} is out of range: ids are int64 >= 0")
    return np.array([int(value) for value in values], dtype=np.int64)  # type: ignore[call-overload]


def _range_ids(values: range, id_type: str) -> Ids:
    if values and not (0 <= values[0] < 2**63 and 0 <= values[-1] < 2**63):
        ahead = 2**63 - 1 - values[0] if values.step > 0 else values[0]
        row = ahead // abs(values.step) + 1 if 0 <= values[0] < 2**63 else 0
        raise InvalidArgumentError(f"id {values[row]} at row {row} is out of range: ids are int64 >= 0")
    return _array_ids(np.arange(values.start, values.stop, values.step, dtype=np.int64), id_type)


def length(*columns: object) -> int | None:
    """Return the number of rows that the first of these columns which tells it has."""
    return next((len(column) for column in columns if isinstance(column, Sized)), None)


def _uuid_texts(values: Sequence[object], id_type: str) -> list[object]:
    """Return ids with the canonical text in place of each UUID."""
    if id_type != _STR:
        row = next(row for row, value in enumerate(values) if isinstance(value, UUID))
        raise InvalidArgumentError(
            f"id at row {row} is the UUID {values[row]}, not an int: UUIDs are ids of collections that are created "
            'with id_type="str"'
        )
    return [id_text(value) for value in values]


def id_text(value: object) -> object:
    """Return a UUID as the text that stands for it in collections, and any other id as it is."""
    return str(value) if isinstance(value, UUID) else value


def _array_ids(array: NDArray[Any], id_type: str) -> Ids:
    if array.ndim == 0:
        array = array.reshape(1)
    if array.ndim != 1:
        raise InvalidArgumentError(f"ids have shape {array.shape}: they must be one-dimensional")
    if array.size == 0 and array.dtype.kind in "fO":
        return _list_ids([], id_type)  # numpy.array([]) is float64.
    kind = array.dtype.kind
    if kind == "i":
        return _plain(array, _I64)
    if kind == "u":
        beyond = np.flatnonzero(array > np.uint64(2**63 - 1)) if array.dtype.itemsize == 8 else array[:0]
        if beyond.size:
            row = int(beyond[0])
            raise InvalidArgumentError(f"id {array[row]} at row {row} is out of range: ids are int64 >= 0")
        return np.ascontiguousarray(array, dtype=np.int64)
    if kind in "UTO":
        return _list_ids(array.tolist(), id_type)
    hint = "; whole numbers become integers with .astype(int)" if kind == "f" else ""
    raise InvalidArgumentError(f"ids have dtype {array.dtype}: they must be integers or strings{hint}")


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
    if _is_column(value):
        if not _is_matrix(value, dim):
            return _polars.typed(value)  # type: ignore[return-value]
        value = _as_array(value, "vectors")
    array = _floats(value, "vectors")
    if array.ndim == 1 and array.size == 0 and rows == 0:
        return array.reshape(0, dim)
    if array.ndim == 1 and rows == 1:
        array = array.reshape(1, -1)
    if array.ndim != 2:
        flat = dim > 1 and array.size and array.size % dim == 0 and array.size == (rows or 0) * dim
        hint = f"; .reshape(-1, {dim}) makes them so" if flat else ""
        raise InvalidArgumentError(f"vectors have shape {array.shape}: they must be two-dimensional, (n, {dim}){hint}")
    if array.shape[1] != dim:
        raise InvalidArgumentError(
            f"vectors have {array.shape[1]} columns, but the collection's dim is {dim}: create a collection with "
            f"dim={array.shape[1]}"
        )
    if rows is not None and array.shape[0] != rows:
        raise InvalidArgumentError(f"{_count(rows, 'id')} came with {_count(array.shape[0], 'vector')}: give as many")
    return array


def queries(value: object, dim: int) -> NDArray[np.float32] | ArrowArray | ArrowStream:
    """Return queries as a C-contiguous float32 array of shape ``(dim,)`` or ``(n, dim)``, or an Arrow list array.

    Raises
    ------
    InvalidArgumentError
        When the shape, the dtype or an element is wrong; the message names the row and column.
    """
    if type(value) is np.ndarray and value.dtype is _F32 and value.shape == (dim,):
        flags = value.flags
        if flags.c_contiguous and flags.aligned:
            return value
    if _is_column(value):
        if not hasattr(value, "__array__"):
            return value  # type: ignore[return-value]
        _refuse_nulls(value)
        plain = _as_array(value, "the query")
        if plain.dtype.kind not in "fiu":
            return _polars.typed(value)  # type: ignore[return-value]
        value = plain
    array = _floats(value, "the query")
    if array.ndim not in (1, 2) or array.shape[-1] != dim:
        if array.shape == (0,):
            return np.empty((0, dim), dtype=np.float32)
        raise InvalidArgumentError(f"the query has shape {array.shape}: it must be ({dim},) or (n, {dim})")
    return array.astype(np.float32, copy=False)


def _refuse_nulls(query: Any) -> None:
    """Refuse a query of one column that has a null, of which NumPy would make a NaN."""
    count = getattr(query, "null_count", 0)  # A method of polars; a table has none of it, or one for each column.
    count = count() if callable(count) else count
    if isinstance(count, int) and count > 0:
        values = query.to_pylist() if hasattr(query, "to_pylist") else query.to_list()
        raise InvalidArgumentError(f"the query: column {values.index(None)} is null: every value is a number")


def _floats(value: object, what: str) -> NDArray[np.float32] | NDArray[np.float16]:
    """Return a C-contiguous, native float32 or float16 array."""
    value = _unmasked(value, what) if isinstance(value, np.ndarray) else _sequence(value, what)
    if value.dtype == _F32 or value.dtype == _F16:
        return _plain(value, value.dtype.newbyteorder("="))
    if value.dtype.kind in "fiu":
        with np.errstate(over="ignore"):
            narrow = np.ascontiguousarray(value, dtype=np.float32)
        _refuse_beyond(value, narrow, what)
        return narrow
    if value.dtype.kind == "O":
        return _floats(
            _sequence([_sequence(row, what) for row in value] if value.ndim == 1 else value.tolist(), what), what
        )
    raise InvalidArgumentError(f"{what}: dtype {value.dtype} is not float16, float32 or float64")


def _plain(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array that is C-contiguous and aligned, as the extension borrows them: itself, or a copy."""
    array = np.ascontiguousarray(array, dtype=dtype)
    return array if array.flags.aligned else array.copy()


def _refuse_beyond(wide: NDArray[Any], narrow: NDArray[np.float32], what: str) -> None:
    """Refuse finite values that float32 makes infinite; infinite ones are the engine's to refuse."""
    infinite = np.isinf(narrow)
    if not infinite.any():
        return
    beyond = np.argwhere(infinite & np.isfinite(wide))
    if not len(beyond):
        return
    place = beyond[0].tolist()
    raise _beyond(what, place, f"{float(wide[tuple(place)]):g}")


def _beyond(what: str, place: Sequence[int], value: str) -> InvalidArgumentError:
    where = f"row {place[0]}, column {place[-1]}" if len(place) > 1 else f"column {place[0]}"
    return InvalidArgumentError(f"{what}: {where} is {value}, beyond float32 (up to 3.4e38): scale the vectors")


def _is_matrix(value: object, dim: int) -> bool:
    """Whether `value` is a table of `dim` columns that gives an array: a matrix, and not a column of vectors."""
    shape = _shape(value)
    return len(shape) == 2 and shape[1] == dim and dim > 1 and hasattr(value, "__array__")


def _unmasked(array: NDArray[Any], what: str) -> NDArray[Any]:
    """Return an array none of whose values is masked."""
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise InvalidArgumentError(f"{what}: some values are masked; fill them, or leave their rows out")
    return array


def _as_array(value: object, what: str) -> NDArray[Any]:
    """Return what an object gives as its array; its own complaint becomes part of the error."""
    try:
        return np.asarray(value)
    except Exception as error:
        # Tensors on a GPU or with gradients refuse, and say what to do about it.
        raise InvalidArgumentError(f"{what}: {type(value).__name__} gives no array: {error}") from error


def _sequence(value: object, what: str) -> NDArray[Any]:
    """Return nested sequences as an array; the error names the first row that does not fit."""
    if isinstance(value, str):
        raise InvalidArgumentError(f"{what}: {shown(value)} is text: embed it first, drift compares vectors")
    if isinstance(value, (bytes, dict, set, frozenset)) or value is None:
        raise InvalidArgumentError(f"{what}: {shown(value)} is not a vector")
    if hasattr(value, "__next__"):
        raise InvalidArgumentError(f"{what}: {type(value).__name__} is an iterator: make it a list first")
    if hasattr(value, "__array__"):
        array = _as_array(value, what)
        if array.dtype.kind == "O" and array.ndim > 0:
            return _sequence(array.tolist(), what)
    else:
        try:
            array = np.asarray(value)
        except Exception:
            wrong = _first_misfit(value) or "these are not rows of numbers of one length"
            raise InvalidArgumentError(f"{what}: {wrong}") from None
    if array.dtype.kind in "fiu" and array.ndim > 0:
        return _unmasked(array, what)
    if array.dtype.kind == "b":
        raise InvalidArgumentError(f"{what}: dtype bool is not float16, float32 or float64")
    misfit = _first_misfit(value)
    if misfit is not None:
        raise InvalidArgumentError(f"{what}: {misfit}")
    return _long_integers(value, what)


def _long_integers(value: Any, what: str) -> NDArray[Any]:
    """Return numbers among which are integers of more than 64 bits, which NumPy has no type for, as float64."""
    try:
        return np.asarray(value, dtype=np.float64)
    except OverflowError:
        numbers = np.asarray(value, dtype=object)
        most = float(np.finfo(np.float32).max)  # With a float of Python the comparison is exact.
        place = next(at for at, number in np.ndenumerate(numbers) if abs(number) > most)
        raise _beyond(what, place, shown(numbers[place])) from None


def _first_misfit(value: Any) -> str | None:
    """Return what is wrong with a nested sequence that is no matrix of numbers, and where; None when nothing is."""
    try:
        rows = list(value)
    except TypeError:
        return f"{shown(value)} is not a sequence of numbers"
    # Of one vector the elements are values, of several they are rows.
    one = bool(rows) and is_number(rows[0])
    length: int | None = None
    for row, values in enumerate(rows):
        if one:
            if not is_number(values):
                return f"value {row} is {shown(values)}, not a number"
            continue
        if isinstance(values, str):
            return f"row {row} is {shown(values)}, text and not numbers: embed it, or parse it, first"
        if isinstance(values, (bytes, dict, set, frozenset)) or not hasattr(values, "__len__"):
            return f"row {row} is {shown(values)}, not a sequence of numbers"
        if hasattr(values, "__array__"):
            try:
                np.asarray(values)
            except Exception as error:
                return f"row {row}: {type(values).__name__} gives no array: {error}"
        length = len(values) if length is None else length
        if len(values) != length:
            return f"row {row} has {len(values)} values, but row 0 has {length}"
        for column, number in enumerate(values):
            if not is_number(number):
                return f"row {row}, column {column} is {shown(number)}, not a number"
    return None


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"


def shown(value: object) -> str:
    """Return a value and its type, short enough for a message."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):
        text = "..."  # A list of lists that is too deep, or an integer of more than 4,300 digits.
    if "\n" in text:
        text = " ".join(text.split())  # Tables; texts have it escaped.
    return f"{text if len(text) <= 40 else text[:37] + '...'} ({type(value).__name__})"
