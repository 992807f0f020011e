"""What searches and lookups return: NumPy arrays with ways into Arrow, pandas and polars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from drift import _core, _metadata
from drift._columns import Columns, Tabular, named, series, shown
from drift._errors import InvalidArgumentError
from drift._show import ROWS_SHOWN, count, html_table

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["Page", "Rows", "SearchResult"]

# The columns of rows that are no metadata.
_ROW_COLUMNS = ("id", "vector")
# A notebook shows so many values of a vector.
VALUES_SHOWN = 6


def _asked(fields: list[_metadata.Field] | None, method: str) -> list[_metadata.Field]:
    """Return the metadata fields of an answer that was asked for some."""
    if fields is None:
        raise InvalidArgumentError(f"no metadata was asked for: {method}(..., include=True) returns all fields")
    return fields


def _found(ids: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where `ids` is not padding."""
    if ids.dtype == object:
        return np.array([row_id is not None for row_id in ids.flat], dtype=np.bool_).reshape(ids.shape)
    return np.asarray(ids >= 0)


class SearchResult(Tabular):
    """The nearest rows of one query or of several.

    Attributes
    ----------
    ids : ndarray of int64 or of object, shape (k,) or (n, k)
        Ids from the nearest to the farthest. Where there are fewer than `k` rows, padded with -1 (int64) or None (str).
    distances : ndarray of float32, shape (k,) or (n, k)
        Ascending; smaller is nearer under every metric: squared L2, ``1 - cos``, or ``-dot``. Padded with infinity.
    metadata : list of dict, or list of lists of dict
        The fields asked for with ``include=``, without those that a row lacks. Padding has None.
        Timestamps are datetimes in UTC.

    Examples
    --------
    >>> import drift, numpy as np
    >>> db = drift.connect("memory://result")
    >>> c = db.create_collection("c", dim=2, metric="l2")
    >>> c.upsert([7, 8], [[0.0, 0.0], [3.0, 4.0]])
    >>> c.search([0.0, 0.0], k=2).to_list()
    [{'id': 7, 'distance': 0.0}, {'id': 8, 'distance': 25.0}]
    """

    __slots__ = ("_fields", "distances", "ids")

    ids: NDArray[np.int64] | NDArray[np.object_]
    distances: NDArray[np.float32]

    def __init__(
        self,
        ids: NDArray[np.int64] | NDArray[np.object_],
        distances: NDArray[np.float32],
        fields: list[_metadata.Field] | None = None,
    ) -> None:
        self.ids = ids
        self.distances = distances
        self._fields = fields

    @property
    def metadata(self) -> list[Any]:
        """Metadata of the results, as nested as `ids`.

        Raises
        ------
        InvalidArgumentError
            When none was asked for.
        """
        found = _found(self.ids).ravel()
        rows: list[Any] = _metadata.rows(_asked(self._fields, "search"), found.size)
        rows = [row if is_there else None for row, is_there in zip(rows, found.tolist(), strict=True)]
        if self.ids.ndim == 1:
            return rows
        k = self.ids.shape[1]
        return [rows[at * k : (at + 1) * k] for at in range(len(self.ids))]

    def __len__(self) -> int:
        """Return the length of `ids`: k for one query, the number of queries for several."""
        return len(self.ids)

    def _columns(self) -> Columns:
        found = _found(self.ids)
        query = None if self.ids.ndim == 1 else np.nonzero(found)[0].astype(np.int64)
        there = found.ravel().tolist()
        fields = [
            (name, kind, [value for value, at in zip(values, there, strict=True) if at])
            for name, kind, values in self._fields or ()
        ]
        return Columns(query, self.ids[found], "distance", self.distances[found], fields)

    def to_list(self) -> list[Any]:
        """Return the results as plain Python objects, without padding.

        Returns
        -------
        list
            ``[{"id": ..., "distance": ...}, ...]`` for one query, with ``"metadata": {...}`` where fields were asked
            for; a list of such lists for several.
        """
        if self.ids.ndim == 2:
            return [self._one(at).to_list() for at in range(len(self.ids))]
        columns = self._columns()
        rows: list[dict[str, Any]] = [
            {"id": row_id, "distance": distance}
            for row_id, distance in zip(columns.id.tolist(), columns.values.tolist(), strict=True)
        ]
        if self._fields is not None:
            for row, metadata in zip(rows, _metadata.rows(columns.fields, len(rows)), strict=True):
                row["metadata"] = metadata
        return rows

    def _one(self, query: int) -> SearchResult:
        """Return the results of one of several queries."""
        k = self.ids.shape[1]
        fields = self._fields
        if fields is not None:
            fields = [(name, kind, values[query * k : (query + 1) * k]) for name, kind, values in fields]
        return SearchResult(self.ids[query], self.distances[query], fields)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the results through the Arrow PyCapsule interface; pyarrow is not needed.

        Columns are ``query`` (int64, only for several queries), ``id`` (int64 or string), ``distance`` (float32) and
        the metadata fields that were asked for (timestamps in UTC, JSON as text), one row per result, without padding.
        """
        return self._columns().stream(requested_schema)

    def to_pandas(self) -> pd.DataFrame:
        """Return a ``pandas.DataFrame`` with the columns of `__arrow_c_stream__`. Needs the extra ``pandas``."""
        return self._columns().frame()

    def __repr__(self) -> str:
        if self.ids.ndim == 2:
            return f"SearchResult({count(self.ids.shape[0], 'query', 'queries')}, k={self.ids.shape[1]})"
        columns = self._columns()
        if not columns.id.size:
            return f"SearchResult(no results, k={len(self)})"
        nearest = f"nearest {columns.id[:1].tolist()[0]!r} at {columns.values[0]:.6g}"
        return f"SearchResult({count(columns.id.size, 'result')}, {nearest})"

    def _repr_html_(self) -> str:
        return self._columns().html(repr(self))


def _arrow_columns(
    ids: NDArray[Any], vectors: NDArray[np.float32] | None, fields: list[_metadata.Field]
) -> list[tuple[str, Any]]:
    """Return the columns of rows as the extension takes them."""
    columns: list[tuple[str, Any]] = [("id", ids.tolist() if ids.dtype == object else ids)]
    if vectors is not None:
        columns.append(("vector", vectors))
    return [*columns, *((name, (kind, values)) for name, kind, values in named(fields, _ROW_COLUMNS))]


def _frame(ids: NDArray[Any], vectors: NDArray[np.float32] | None, fields: list[_metadata.Field]) -> pd.DataFrame:
    """Return the columns of rows as a data frame."""
    import pandas as pd

    frame = pd.DataFrame({"id": ids})
    if vectors is not None:
        frame["vector"] = pd.Series(list(vectors), dtype=object)
    for name, kind, values in named(fields, _ROW_COLUMNS):
        frame[name] = series(pd, kind, values)
    return frame


def _rows_html(
    title: str, ids: NDArray[Any], vectors: NDArray[np.float32] | None, fields: list[_metadata.Field]
) -> str:
    """Return rows as an HTML table."""
    names, values = shown(named(fields, _ROW_COLUMNS), len(ids))
    rows: list[tuple[object, ...]] = [(str(row_id),) for row_id in ids[:ROWS_SHOWN].tolist()]
    if vectors is not None:
        dots = ["..."] * (vectors.shape[1] > VALUES_SHOWN)
        texts = [[f"{value:.4g}" for value in vector[:VALUES_SHOWN].tolist()] for vector in vectors[:ROWS_SHOWN]]
        rows = [(*row, " ".join([*text, *dots])) for row, text in zip(rows, texts, strict=True)]
    head = ["id"] if vectors is None else ["id", "vector"]
    rows = [(*row, *value) for row, value in zip(rows, values, strict=True)]
    return html_table(title, [*head, *names], rows, len(ids))


class Rows(Tabular):
    """Rows found by their ids.

    Attributes
    ----------
    ids : ndarray of int64 or of object, shape (n,)
        The ids, in the order in which they were asked for.
    vectors : ndarray of float32, shape (n, dim)
        Their vectors as they were written (float16 widened).
    metadata : list of dict
        The fields asked for with ``include=``, without those that a row lacks. Timestamps are datetimes in UTC.

    Examples
    --------
    >>> import drift
    >>> c = drift.connect("memory://rows").create_collection("c", dim=2, metric="l2")
    >>> c.upsert([7], [[0.5, 2.0]])
    >>> c.get([7]).to_list()
    [{'id': 7, 'vector': [0.5, 2.0]}]
    """

    __slots__ = ("_fields", "ids", "vectors")

    ids: NDArray[np.int64] | NDArray[np.object_]
    vectors: NDArray[np.float32]

    def __init__(
        self,
        ids: NDArray[np.int64] | NDArray[np.object_],
        vectors: NDArray[np.float32],
        fields: list[_metadata.Field] | None = None,
    ) -> None:
        self.ids = ids
        self.vectors = vectors
        self._fields = fields

    @property
    def metadata(self) -> list[dict[str, Any]]:
        """Metadata of the rows.

        Raises
        ------
        InvalidArgumentError
            When none was asked for.
        """
        return _metadata.rows(_asked(self._fields, "get"), len(self.ids))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    def to_list(self) -> list[dict[str, Any]]:
        """Return the rows as plain Python objects.

        Returns
        -------
        list
            ``[{"id": ..., "vector": [...]}, ...]``, with ``"metadata": {...}`` where fields were asked for.
        """
        pairs = zip(self.ids.tolist(), self.vectors.tolist(), strict=True)
        rows: list[dict[str, Any]] = [{"id": row_id, "vector": vector} for row_id, vector in pairs]
        if self._fields is not None:
            for row, metadata in zip(rows, self.metadata, strict=True):
                row["metadata"] = metadata
        return rows

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the rows through the Arrow PyCapsule interface; pyarrow is not needed.

        Columns are ``id`` (int64 or string), ``vector`` (a fixed-size list of float32) and the metadata fields that
        were asked for, as `Collection.load` takes them with ``vector="vector", metadata=True``.
        """
        return _core.stream(_arrow_columns(self.ids, self.vectors, self._fields or []), requested_schema)

    def to_pandas(self) -> pd.DataFrame:
        """Return a ``pandas.DataFrame``: ``id``, ``vector`` with an array in each row, metadata. Needs ``pandas``."""
        return _frame(self.ids, self.vectors, self._fields or [])

    def __repr__(self) -> str:
        return f"Rows({count(len(self), 'row')}, dim={self.vectors.shape[1]})"

    def _repr_html_(self) -> str:
        return _rows_html(repr(self), self.ids, self.vectors, self._fields or [])


class Page(Tabular):
    """Rows in order of id, as `Collection.scroll` returns them.

    Attributes
    ----------
    ids : ndarray of int64 or of object, shape (n,)
        Ascending.
    metadata : list of dict
        The fields asked for, without those that a row lacks.
    vectors : ndarray of float32, shape (n, dim), or None
        Their vectors, when asked for.
    cursor : int, str or None
        Where the next page begins; None when this is the last one.
    """

    __slots__ = ("_fields", "cursor", "ids", "vectors")

    ids: NDArray[np.int64] | NDArray[np.object_]
    vectors: NDArray[np.float32] | None
    cursor: int | str | None

    def __init__(
        self,
        ids: NDArray[np.int64] | NDArray[np.object_],
        vectors: NDArray[np.float32] | None,
        fields: list[_metadata.Field],
        *,
        cursor: int | str | None,
    ) -> None:
        self.ids = ids
        self.vectors = vectors
        self.cursor = cursor
        self._fields = fields

    @property
    def metadata(self) -> list[dict[str, Any]]:
        """Metadata of the rows."""
        return _metadata.rows(self._fields, len(self.ids))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    def to_list(self) -> list[dict[str, Any]]:
        """Return the rows as plain Python objects.

        Returns
        -------
        list
            ``[{"id": ..., "vector": [...], "metadata": {...}}, ...]``, the vector only when asked for.
        """
        rows: list[dict[str, Any]] = [{"id": row_id} for row_id in self.ids.tolist()]
        if self.vectors is not None:
            for row, vector in zip(rows, self.vectors.tolist(), strict=True):
                row["vector"] = vector
        for row, metadata in zip(rows, self.metadata, strict=True):
            row["metadata"] = metadata
        return rows

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the rows through the Arrow PyCapsule interface; pyarrow is not needed.

        Columns are ``id``, ``vector`` when asked for, and the metadata fields, as of `Rows`.
        """
        return _core.stream(_arrow_columns(self.ids, self.vectors, self._fields), requested_schema)

    def to_pandas(self) -> pd.DataFrame:
        """Return a ``pandas.DataFrame`` with the columns of `__arrow_c_stream__`. Needs the extra ``pandas``."""
        return _frame(self.ids, self.vectors, self._fields)

    def __repr__(self) -> str:
        return f"Page({count(len(self), 'row')}, cursor={self.cursor!r})"

    def _repr_html_(self) -> str:
        return _rows_html(repr(self), self.ids, self.vectors, self._fields)
