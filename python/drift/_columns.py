"""Results as columns, one row for each: what Arrow, pandas and notebooks are given of searches and rankings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drift import _core, _metadata
from drift._show import ROWS_SHOWN, html_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["Columns", "Tabular", "named", "series", "shown"]

# A notebook shows so many characters of a text.
TEXT_SHOWN = 80


class Tabular(ABC):
    """Rows that Arrow can take as columns, and so all that takes Arrow."""

    __slots__ = ()

    @abstractmethod
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the columns as the capsule of an Arrow stream."""

    def to_arrow(self) -> pa.Table:
        """Return a ``pyarrow.Table`` with the columns of `__arrow_c_stream__`. Needs the extra ``arrow``."""
        import pyarrow as pa

        return pa.table(self)

    def to_polars(self) -> pl.DataFrame:
        """Return a ``polars.DataFrame`` with the columns of `__arrow_c_stream__`. Needs the extra ``polars``."""
        import polars as pl

        return pl.DataFrame(self)


class Columns(NamedTuple):
    """The results without padding, one row per result."""

    query: NDArray[np.int64] | None
    id: NDArray[np.int64] | NDArray[np.object_]
    measure: str
    """What `values` are: ``distance`` or ``score``."""
    values: NDArray[np.float32] | NDArray[np.float64]
    fields: list[_metadata.Field]

    def named(self) -> dict[str, NDArray[Any]]:
        """Return the columns but for the metadata."""
        own = {"query": self.query, "id": self.id, self.measure: self.values}
        return {name: values for name, values in own.items() if values is not None}

    def metadata(self) -> list[_metadata.Field]:
        """Return the metadata, named apart from the other columns."""
        return named(self.fields, self.named())

    def stream(self, requested_schema: object | None) -> object:
        """Return all columns as the capsule of an Arrow stream."""
        plain: list[tuple[str, Any]] = [(name, _arrow(values)) for name, values in self.named().items()]
        metadata = [(name, (kind, values)) for name, kind, values in self.metadata()]
        return _core.stream([*plain, *metadata], requested_schema)

    def frame(self) -> pd.DataFrame:
        """Return all columns as a data frame."""
        import pandas as pd

        frame = pd.DataFrame(self.named())
        for name, kind, values in self.metadata():
            frame[name] = series(pd, kind, values)
        return frame

    def html(self, title: str) -> str:
        """Return the first rows as an HTML table."""
        # Ids and query numbers are names: they get no thousands separators.
        query = [] if self.query is None else [map(str, self.query[:ROWS_SHOWN].tolist())]
        ids, measured = self.id[:ROWS_SHOWN].tolist(), self.values[:ROWS_SHOWN].tolist()
        names, values = shown(self.metadata(), self.id.size)
        rows = [
            (*row, *value) for row, value in zip(zip(*query, map(str, ids), measured, strict=True), values, strict=True)
        ]
        return html_table(title, [*self.named(), *names], rows, self.id.size)


def _arrow(values: NDArray[Any]) -> Any:
    """Return a column as the extension takes it."""
    if values.dtype == np.float64:
        return "float", values.tolist()
    return values.tolist() if values.dtype == object else values


def named(fields: list[_metadata.Field], columns: Iterable[str]) -> list[_metadata.Field]:
    """Return metadata; a field that is named like one of the columns gets trailing underscores until it is not."""
    taken = {*columns, *(name for name, _, _ in fields)}
    out = []
    for name, kind, values in fields:
        own = name
        if name in columns:
            while own in taken:
                own += "_"
            taken.add(own)
        out.append((own, kind, values))
    return out


def shown(fields: list[_metadata.Field], rows: int) -> tuple[list[str], list[tuple[object, ...]]]:
    """Return names and first values of metadata for an HTML table of so many rows."""
    first = [(name, kind, values[:ROWS_SHOWN]) for name, kind, values in fields]
    listed = _metadata.rows(first, min(rows, ROWS_SHOWN))
    names = [name for name, _, _ in fields]
    return names, [tuple(_text(row.get(name)) for name in names) for row in listed]


def _text(value: object) -> str:
    """Return a value of metadata as a cell: its text, cut where it is long, nothing where it is missing."""
    text = "" if value is None else str(value)
    return text if len(text) <= TEXT_SHOWN else text[: TEXT_SHOWN - 3] + "..."


def series(pd: Any, kind: str, values: list[Any]) -> Any:
    """Return a column of metadata with the dtype that keeps its values and their absence."""
    if kind == "timestamp":
        return pd.to_datetime(pd.Series(values, dtype="Int64"), unit="us", utc=True)
    dtypes = {"bool": "boolean", "int": "Int64", "float": "float64"}
    rows = _metadata.rows([("value", kind, values)], len(values))
    plain = [row.get("value") for row in rows]
    return pd.Series(plain, dtype=dtypes.get(kind, "object"))
