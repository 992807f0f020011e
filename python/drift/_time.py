"""Time: moments and lengths as arguments, the window of a query, when rows expire, ranking by age."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from drift import _input, _metadata
from drift._checks import is_int, is_number, text
from drift._errors import InvalidArgumentError
from drift._filter import to_tree
from drift._filter.times import with_times
from drift._filter.tree import check, join, value

if TYPE_CHECKING:
    from drift import _core
    from drift._filter import FilterLike, Tree
    from drift._types import ExpiresLike, TimeLike

__all__ = ["Decay"]

_MICROSECOND = dt.timedelta(microseconds=1)

# The units of NumPy's lengths of time that are always as long; of the finer ones nobody makes half-lives.
_PICOSECONDS = {
    "W": 7 * 24 * 3_600 * 10**12,
    "D": 24 * 3_600 * 10**12,
    "h": 3_600 * 10**12,
    "m": 60 * 10**12,
    "s": 10**12,
    "ms": 10**9,
    "us": 10**6,
    "ns": 10**3,
    "ps": 1,
}


@dataclass(frozen=True)
class Decay:
    """Ranking by distance and age: ``search(..., decay=drift.Decay(half_life, weight))``.

    A row is ranked by ``distance + weight * (1 - 2 ** (-age / half_life))``. The penalty of a new row is 0, of one that
    is a half-life old half the weight, and of one without a time the whole weight; a row from the future has age 0. The
    weight is in units of the collection's distance: with weight 0.2 under cosine an ancient row must be nearer by 0.2
    than a new one to stand before it.

    Parameters
    ----------
    half_life : timedelta, timedelta64 or float
        Above 0; a number is seconds.
    weight : float
        Penalty of a row of infinite age, above 0.
    field : str, optional
        Timestamp field that ages are told by; the collection's time field when None.
    at : datetime, date, datetime64 or ISO 8601 text, optional
        What ages count up to; the moment of the search when None. Without a time zone it is UTC.

    Raises
    ------
    InvalidArgumentError
        When a value is out of its bounds.

    Examples
    --------
    >>> import drift, datetime as dt
    >>> c = drift.connect("memory://decay").create_collection("c", dim=1, metric="l2", time="written")
    >>> written = [dt.datetime(2020, 1, 1), dt.datetime(2024, 1, 1)]
    >>> c.add([1, 2], [[1.0], [1.5]], metadata={"written": written})
    >>> c.search([1.0], k=2, decay=drift.Decay(dt.timedelta(days=365), weight=1.0, at="2024-01-01")).ids.tolist()
    [2, 1]
    """

    half_life: dt.timedelta | np.timedelta64 | float
    weight: float
    field: str | None = None
    at: TimeLike | None = None

    def __post_init__(self) -> None:
        duration("half_life", self.half_life)
        if not is_number(self.weight):
            raise InvalidArgumentError(f"weight is {_input.shown(self.weight)}: it must be a number above 0")
        # It becomes a float32, as distances are.
        if not 0 < self.weight <= float(np.finfo(np.float32).max):
            raise InvalidArgumentError(f"weight is {_input.shown(self.weight)}: it must be above 0 and finite")
        if self.field is not None and not isinstance(self.field, str):
            raise InvalidArgumentError(f"field is {self.field!r}: it must be the name of a timestamp field")
        if self.field is not None:
            text("field", self.field)
        if self.at is not None:
            moment("at", self.at)


def decay_of(half_life_seconds: float | None, age_weight: float | None) -> Decay | None:
    """Return a decay made of plain numbers, which configurations and command lines have; None without them."""
    if half_life_seconds is None and age_weight is None:
        return None
    if half_life_seconds is None or age_weight is None:
        raise InvalidArgumentError("ranking by age takes a half-life in seconds and a weight of the age, both of them")
    return Decay(half_life_seconds, age_weight)


def decay(given: object, time: str | None) -> tuple[str, float, float, int] | None:
    """Return a decay as the extension takes it, for a collection whose time field is `time`."""
    if given is None:
        return None
    if not isinstance(given, Decay):
        raise InvalidArgumentError(f"decay is {_input.shown(given)}: pass drift.Decay(half_life, weight)")
    field = _field("decay", time) if given.field is None else given.field
    at = dt.datetime.now(dt.UTC) if given.at is None else given.at
    return field, float(duration("half_life", given.half_life)), float(given.weight), moment("at", at)


def moment(name: str, given: object) -> int:
    """Return a time as microseconds since 1970 UTC.

    Raises
    ------
    InvalidArgumentError
        When it is no datetime, date, datetime64 or ISO 8601 text.
    """
    at = given
    if isinstance(given, str):
        try:
            at = dt.datetime.fromisoformat(given)
        except ValueError:
            raise InvalidArgumentError(
                f'{name} is {given!r}: text must be ISO 8601, such as "2024-06-01" or "2024-06-01T12:00:00Z"'
            ) from None
    if isinstance(at, (dt.date, np.datetime64)):
        converted = value(at, name)
        if isinstance(converted, tuple):
            return converted[1]
    raise InvalidArgumentError(
        f"{name} is {_input.shown(given)}: it must be a datetime, a date, a datetime64 or ISO 8601 text"
    )


def duration(name: str, given: object) -> int:
    """Return a length of time in microseconds, 1 or more; a number is seconds."""
    if isinstance(given, dt.timedelta):
        micros = given // _MICROSECOND
    elif isinstance(given, np.timedelta64):
        micros = _numpy_duration(name, given)
    elif is_int(given):
        micros = int(given) * 1_000_000
    elif isinstance(given, (float, np.floating)) and math.isfinite(given):
        micros = round(min(float(given) * 1e6, 2.0**63))
    else:
        raise InvalidArgumentError(f"{name} is {_input.shown(given)}: it must be a timedelta or a number of seconds")
    if not 0 < micros < 2**63:
        raise InvalidArgumentError(f"{name} is {_input.shown(given)}: it must be above 0, and at most 292,000 years")
    return micros


def _numpy_duration(name: str, given: np.timedelta64) -> int:
    """Return a length of time of NumPy in microseconds; what is finer is cut off."""
    unit, count = np.datetime_data(given.dtype)
    if np.isnat(given) or unit not in _PICOSECONDS:
        units = ", ".join(_PICOSECONDS)
        raise InvalidArgumentError(
            f"{name} is {_input.shown(given)}: a timedelta64 must have a value, and one of the units {units}"
        )
    # Whole numbers of Python, as those of NumPy would overflow.
    return int(given.astype(np.int64)) * count * _PICOSECONDS[unit] // _PICOSECONDS["us"]


def window(
    filter: FilterLike | None,  # noqa: A002 - the name of the argument that callers know.
    since: TimeLike | None,
    until: TimeLike | None,
    inner: _core.Collection,
) -> Tree | None:
    """Return the tree of a filter and of the times from `since` up to, and without, `until`; None when there are none.

    Raises
    ------
    InvalidArgumentError
        When there is a bound, but the collection has no time field, or a text that stands for no time.
    """
    terms = [] if filter is None else [with_times(to_tree(filter), lambda: dict(inner.fields()))]
    for name, op, bound in (("since", "ge", since), ("until", "lt", until)):
        if bound is not None:
            terms.append((op, _field(name, inner.time), ("timestamp", moment(name, bound))))
    return check(join("and", terms)) if terms else None


def _field(name: str, time: str | None) -> str:
    if time is None:
        raise InvalidArgumentError(
            f"{name} needs the time of rows, but the collection has no time field: create it with "
            'create_collection(..., time="field"), or compare a timestamp field with filter='
        )
    return time


def expiry(given: ExpiresLike, rows: int | None) -> _metadata.Field:
    """Return when rows expire as a metadata field, None where they never do.

    Raises
    ------
    InvalidArgumentError
        When it is neither a moment nor one for each of the `rows`; the message names the row.
    """
    listed: list[Any]
    if isinstance(given, np.ndarray) and given.dtype.kind == "M":
        listed = list(given.ravel())
    elif isinstance(given, (str, dt.date, np.datetime64)):
        if rows is None:
            raise InvalidArgumentError("expires is one moment for ids of unknown number: give one for each row")
        listed = [given] * rows
    elif isinstance(given, (Sequence, np.ndarray)):
        listed = list(given)
    elif (convert := getattr(given, "to_pylist", None) or getattr(given, "to_list", None)) is not None:
        # Columns of pyarrow, polars and pandas, where what is missing among texts is NaN.
        try:
            listed = convert()
        except Exception as error:
            raise InvalidArgumentError(f"expires: {type(given).__name__} gives no moments: {error}") from error
        missing = getattr(given, "isna", None)
        if missing is not None:
            listed = [None if gone else at for at, gone in zip(listed, missing(), strict=True)]
    else:
        raise InvalidArgumentError(f"expires is {_input.shown(given)}: it must be a moment, or one for each row")
    if rows is not None and len(listed) != rows:
        raise InvalidArgumentError(
            f"expires has {len(listed):,} moments for {rows:,} ids: give one, or one for each row"
        )
    moments = [None if _metadata.missing(at) else _expiry(row, at) for row, at in enumerate(listed)]
    return _metadata.EXPIRES, "timestamp", moments


def _expiry(row: int, given: object) -> int:
    micros = moment(name := f"expires of row {row}", given)
    if not _metadata.is_moment(micros):
        raise InvalidArgumentError(f"{name} is {_input.shown(given)}: it must be {_metadata.MOMENTS}")
    return micros
