"""Types of arguments in signatures: what counts as ids, as vectors, and as an Arrow object."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable
from uuid import UUID

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ArrowArray",
    "ArrowStream",
    "Durability",
    "ExactRows",
    "ExpiresLike",
    "FieldType",
    "IdType",
    "IdsLike",
    "Include",
    "LoadSource",
    "MetadataLike",
    "Metric",
    "Missing",
    "Precision",
    "Progress",
    "Recovery",
    "Routing",
    "TimeLike",
    "VectorsLike",
]


@runtime_checkable
class ArrowArray(Protocol):
    """An object with the Arrow PyCapsule interface for arrays and record batches."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """Return capsules of an Arrow schema and an Arrow array."""
        ...


@runtime_checkable
class ArrowStream(Protocol):
    """An object with the Arrow PyCapsule interface for streams: tables, chunked arrays, readers, data frames."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return a capsule of an Arrow stream."""
        ...


Metric: TypeAlias = Literal["l2", "cosine", "dot"]
Precision: TypeAlias = Literal["1bit", "sq8"]
IdType: TypeAlias = Literal["int", "str"]
Durability: TypeAlias = Literal["always", "interval", "os", "none"]
Recovery: TypeAlias = Literal["strict", "salvage"]
ExactRows: TypeAlias = Literal["disk", "memory"]
Missing: TypeAlias = Literal["error", "skip"]
FieldType: TypeAlias = Literal["bool", "int", "float", "str", "timestamp", "list", "json"]
Routing: TypeAlias = Literal["density", "geometric"]

IdsLike: TypeAlias = (
    int | str | UUID | Sequence[int] | Sequence[str | UUID] | NDArray[np.generic] | ArrowArray | ArrowStream
)
VectorsLike: TypeAlias = ArrayLike | ArrowArray | ArrowStream
MetadataLike: TypeAlias = Sequence[Mapping[str, Any] | None] | Mapping[str, Any] | ArrowArray | ArrowStream
TimeLike: TypeAlias = dt.datetime | dt.date | np.datetime64 | str
ExpiresLike: TypeAlias = TimeLike | Sequence[TimeLike | None] | NDArray[np.datetime64] | ArrowArray | ArrowStream | None
Include: TypeAlias = bool | str | Sequence[str] | None
Progress: TypeAlias = bool | Callable[[int, int | None], object] | None
LoadSource: TypeAlias = (
    str
    | os.PathLike[str]
    | Sequence[str | os.PathLike[str]]
    | ArrowArray
    | ArrowStream
    | Iterable[tuple[IdsLike, VectorsLike] | tuple[IdsLike, VectorsLike, MetadataLike] | ArrowArray | ArrowStream]
)
