"""What searches and lookups return: NumPy arrays with ways into Arrow, pandas and polars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from drift import _core
from drift._show import ROWS_SHOWN, count, html_table

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["Rows", "SearchResult"]


class _Columns(NamedTuple):
    """The results without padding, one row per result."""

    query: NDArray[np.int64] | None
    id: NDArray[np.int64] | NDArray[np.object_]
    distance: NDArray[np.float32]

    def named(self) -> dict[str, NDArray[Any]]:
        return {name: values for name, values in self._asdict().items() if values is not None}


def _found(ids: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where `ids` is not padding."""
    if ids.dtype == object:
        return np.array([row_id is not None for row_id in ids.flat], dtype=np.bool_).reshape(ids.shape)
    return np.asarray(ids >= 0)


class SearchResult:
    """The nearest rows of one query or of several.

    Attributes
    ----------
    ids : ndarray of int64 or of object, shape (k,) or (n, k)
        Ids from the nearest to the farthest. Where there are fewer than `k` rows, padded with -1 (int64) or None (str).
    distances : ndarray of float32, shape (k,) or (n, k)
        Ascending; smaller is nearer under every metric: squared L2, ``1 - cos``, or ``-dot``. Padded with infinity.

    Examples
    --------
    >>> import drift, numpy as np
    >>> db = drift.connect("memory://result")
    >>> c = db.create_collection("c", dim=2, metric="l2")
    >>> c.upsert([7, 8], [[0.0, 0.0], [3.0, 4.0]])
    >>> c.search([0.0, 0.0], k=2).to_list()
    [{'id': 7, 'distance': 0.0}, {'id': 8, 'distance': 25.0}]
    """

    __slots__ = ("distances", "ids")

    ids: NDArray[np.int64] | NDArray[np.object_]
    distances: NDArray[np.float32]

    def __init__(self, ids: NDArray[np.int64] | NDArray[np.object_], distances: NDArray[np.float32]) -> None:
        self.ids = ids
        self.distances = distances

    def __len__(self) -> int:
        """Return the length of `ids`: k for one query, the number of queries for several."""
        return len(self.ids)

    def _columns(self) -> _Columns:
        found = _found(self.ids)
        query = None if self.ids.ndim == 1 else np.nonzero(found)[0].astype(np.int64)
        return _Columns(query, self.ids[found], self.distances[found])

    def to_list(self) -> list[Any]:
        """Return the results as plain Python objects, without padding.

        Returns
        -------
        list
            ``[{"id": ..., "distance": ...}, ...]`` for one query; a list of such lists for several.
        """
        if self.ids.ndim == 2:
            return [SearchResult(*row).to_list() for row in zip(self.ids, self.distances, strict=True)]
        columns = self._columns()
        pairs = zip(columns.id.tolist(), columns.distance.tolist(), strict=True)
        return [{"id": row_id, "distance": distance} for row_id, distance in pairs]

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the results through the Arrow PyCapsule interface; pyarrow is not needed.

        Columns are ``query`` (int64, only for several queries), ``id`` (int64 or string) and ``distance`` (float32),
        one row per result, without padding.
        """
        columns = self._columns().named()
        return _core.stream(
            [(name, values.tolist() if values.dtype == object else values) for name, values in columns.items()],
            requested_schema,
        )

    def to_arrow(self) -> pa.Table:
        """Return a ``pyarrow.Table`` with the columns of `__arrow_c_stream__`. Needs the extra ``arrow``."""
        import pyarrow as pa

        return pa.table(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return a ``pandas.DataFrame`` with the columns of `__arrow_c_stream__`. Needs the extra ``pandas``."""
        import pandas as pd

        return pd.DataFrame(self._columns().named())

    def to_polars(self) -> pl.DataFrame:
        """Return a ``polars.DataFrame`` with the columns of `__arrow_c_stream__`. Needs the extra ``polars``."""
        import polars as pl

        return pl.DataFrame(self)

    def __repr__(self) -> str:
        if self.ids.ndim == 2:
            return f"SearchResult({count(self.ids.shape[0], 'query', 'queries')}, k={self.ids.shape[1]})"
        columns = self._columns()
        if not columns.id.size:
            return f"SearchResult(no results, k={len(self)})"
        nearest = f"nearest {columns.id[:1].tolist()[0]!r} at {columns.distance[0]:.6g}"
        return f"SearchResult({count(columns.id.size, 'result')}, {nearest})"

    def _repr_html_(self) -> str:
        columns = self._columns()
        # Ids and query numbers are names: they get no thousands separators.
        query = [] if columns.query is None else [map(str, columns.query[:ROWS_SHOWN].tolist())]
        ids, distances = columns.id[:ROWS_SHOWN].tolist(), columns.distance[:ROWS_SHOWN].tolist()
        rows = list(zip(*query, map(str, ids), distances, strict=True))
        return html_table(repr(self), list(columns.named()), rows, columns.id.size)


class Rows:
    """Rows found by their ids.

    Attributes
    ----------
    ids : ndarray of int64 or of object, shape (n,)
        The ids, in the order in which they were asked for.
    vectors : ndarray of float32, shape (n, dim)
        Their vectors as they were written (float16 widened).

    Examples
    --------
    >>> import drift
    >>> c = drift.connect("memory://rows").create_collection("c", dim=2, metric="l2")
    >>> c.upsert([7], [[0.5, 2.0]])
    >>> c.get([7]).to_list()
    [{'id': 7, 'vector': [0.5, 2.0]}]
    """

    __slots__ = ("ids", "vectors")

    ids: NDArray[np.int64] | NDArray[np.object_]
    vectors: NDArray[np.float32]

    def __init__(self, ids: NDArray[np.int64] | NDArray[np.object_], vectors: NDArray[np.float32]) -> None:
        self.ids = ids
        self.vectors = vectors

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    def to_list(self) -> list[dict[str, Any]]:
        """Return the rows as plain Python objects: ``[{"id": ..., "vector": [...]}, ...]``."""
        pairs = zip(self.ids.tolist(), self.vectors.tolist(), strict=True)
        return [{"id": row_id, "vector": vector} for row_id, vector in pairs]

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the rows through the Arrow PyCapsule interface; pyarrow is not needed.

        Columns are ``id`` (int64 or string) and ``vector`` (a fixed-size list of float32), as `Collection.load` takes
        them with ``vector="vector"``.
        """
        ids: Any = self.ids.tolist() if self.ids.dtype == object else self.ids
        return _core.stream([("id", ids), ("vector", self.vectors)], requested_schema)

    def to_arrow(self) -> pa.Table:
        """Return a ``pyarrow.Table`` with the columns of `__arrow_c_stream__`. Needs the extra ``arrow``."""
        import pyarrow as pa

        return pa.table(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return a ``pandas.DataFrame``: ``id``, and ``vector`` with an array in each row. Needs ``pandas``."""
        import pandas as pd

        return pd.DataFrame({"id": self.ids, "vector": list(self.vectors)})

    def to_polars(self) -> pl.DataFrame:
        """Return a ``polars.DataFrame`` with the columns of `__arrow_c_stream__`. Needs the extra ``polars``."""
        import polars as pl

        return pl.DataFrame(self)

    def __repr__(self) -> str:
        return f"Rows({count(len(self), 'row')}, dim={self.vectors.shape[1]})"

    def _repr_html_(self) -> str:
        values_shown = 6
        dots = ["..."] * (self.vectors.shape[1] > values_shown)
        rows = [
            (str(row_id), " ".join([*(f"{value:.4g}" for value in vector[:values_shown].tolist()), *dots]))
            for row_id, vector in zip(self.ids[:ROWS_SHOWN].tolist(), self.vectors[:ROWS_SHOWN], strict=True)
        ]
        return html_table(repr(self), ["id", "vector"], rows, len(self))
