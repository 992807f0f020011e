"""What a collection was created with, and the fields that it has: the same for `drift` and `drift.aio`."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drift import _core


class Described:
    """The properties of a collection that no call changes, but for its fields."""

    __slots__ = ()

    _inner: _core.Collection

    @property
    def name(self) -> str:
        """Name of the collection."""
        return self._inner.name

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return self._inner.dim

    @property
    def metric(self) -> str:
        """Distance: ``"l2"``, ``"cosine"`` or ``"dot"``."""
        return self._inner.metric

    @property
    def precision(self) -> str:
        """What a search reads first: ``"1bit"`` or ``"sq8"`` codes."""
        return self._inner.precision

    @property
    def id_type(self) -> str:
        """Type of the ids: ``"int"`` or ``"str"``."""
        return self._inner.id_type

    @property
    def time(self) -> str | None:
        """Metadata field that is each row's time; None when there is none."""
        return self._inner.time

    @property
    def ttl(self) -> dt.timedelta | None:
        """Time after its time at which a row expires; None when rows do not expire by it."""
        micros = self._inner.ttl
        return None if micros is None else dt.timedelta(microseconds=micros)

    @property
    def fields(self) -> dict[str, str]:
        """Names and types of the metadata fields, in the order in which they came."""
        return dict(self._inner.fields())
