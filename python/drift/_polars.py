"""Frames and series of polars whose columns have no type.

A column of polars that has no value at all, such as ``[None, None]`` or the insides of ``[[]]``, has the type Null. Its
Arrow form is that of before 0.15, with one buffer where there are none since, which readers of today refuse together
with all other columns. As texts, none of which is there, such columns are what Null is for drift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")


def typed(value: T) -> T:
    """Return a frame or series of polars in which Null is String; anything else as it is.

    Examples
    --------
    >>> import polars
    >>> typed(polars.DataFrame({"id": [1], "note": [None]})).schema
    Schema([('id', Int64), ('note', String)])
    >>> typed([None])
    [None]
    """
    if type(value).__module__.partition(".")[0] != "polars":
        return value
    import polars as pl

    if isinstance(value, pl.DataFrame):
        known = value.schema
        changed = {name: own for name, kind in known.items() if (own := _typed(kind)) != kind}
        frame: T = value.cast(changed) if changed else value
        return frame
    if isinstance(value, pl.Series):
        own = _typed(value.dtype)
        series: T = value if own == value.dtype else value.cast(own)
        return series
    return value


def _typed(kind: Any) -> pl.DataType:
    """Return a type with String in place of Null."""
    import polars as pl

    if kind == pl.Null:
        return pl.String()
    if isinstance(kind, pl.List):
        return pl.List(_typed(kind.inner))
    if isinstance(kind, pl.Array):
        return pl.Array(_typed(kind.inner), kind.size)
    if isinstance(kind, pl.Struct):
        return pl.Struct([pl.Field(field.name, _typed(field.dtype)) for field in kind.fields])
    own: pl.DataType = kind
    return own
