"""Ranking by scores: fusing several searches, boosting rows. NumPy on results.

A search orders rows by distance, and distances of different collections or metrics cannot be added. Scores can: they
are positive, larger is better, and `rank` and `fuse` make them. Nothing here reads or changes the collections that were
searched: a filter over the metadata that results carry is answered by a collection of its own, in memory, so that it
means what it means in a search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from drift import _core, _metadata
from drift._arguments import hinted
from drift._checks import natural
from drift._columns import Columns, Tabular
from drift._errors import InvalidArgumentError
from drift._filter import to_tree
from drift._filter.tree import fields as fields_of
from drift._input import id_text, shown
from drift._result import SearchResult
from drift._show import count

if TYPE_CHECKING:
    from typing import Literal, Self

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from drift._filter import FilterLike

    _Ids: TypeAlias = "NDArray[np.int64] | NDArray[np.object_]"
    _Metadata: TypeAlias = "Sequence[Sequence[Mapping[str, Any] | None]] | None"

__all__ = ["Ranking", "fuse", "rank"]


class Ranking(Tabular):
    """Rows of one query or of several by descending score. `rank` and `fuse` make it; it is immutable.

    Attributes
    ----------
    ids : ndarray of int64 or of object, shape (k,) or (n, k)
        Ids from the best to the worst, padded with -1 (int64) or None (str).
    scores : ndarray of float64, shape (k,) or (n, k)
        Descending, 0 or more; larger is better. Padded with -infinity.

    Examples
    --------
    >>> import drift
    >>> c = drift.connect("memory://ranking").create_collection("c", dim=2, metric="l2")
    >>> c.upsert([1, 2], [[0.0, 0.0], [1.0, 0.0]])
    >>> drift.rank(c.search([0.0, 0.0], k=2), c.metric).boost({2: 3.0}).to_list()
    [{'id': 2, 'score': 1.5}, {'id': 1, 'score': 1.0}]
    """

    __slots__ = ("_kinds", "_metadata", "ids", "scores")

    ids: _Ids
    scores: NDArray[np.float64]
    _metadata: _Metadata
    _kinds: dict[str, str]
    """The types of the metadata's fields."""

    def __init__(self) -> None:
        raise TypeError("use drift.rank(result, metric) or drift.fuse(results)")

    @classmethod
    def _of(cls, ids: NDArray[Any], scores: NDArray[np.float64], metadata: _Metadata, kinds: dict[str, str]) -> Self:
        """Return the ranking of rows in any order."""
        self = object.__new__(cls)
        order = np.argsort(-scores, axis=-1, kind="stable")
        self.ids = np.take_along_axis(ids, order, axis=-1)
        self.scores = np.take_along_axis(scores, order, axis=-1)
        if metadata is not None:
            metadata = [[row[at] for at in to] for row, to in zip(metadata, np.atleast_2d(order).tolist(), strict=True)]
        self._metadata = metadata
        self._kinds = kinds
        return self

    @property
    def metadata(self) -> list[Any] | None:
        """The metadata of the rows, a list of dicts for one query, of lists for several; None if there was none.

        Rows of a result that was searched for without ``include=`` have None, unless another result has theirs.
        """
        if self._metadata is None:
            return None
        rows = [list(row) for row in self._metadata]
        return rows[0] if self.ids.ndim == 1 else rows

    @hinted
    def boost(
        self,
        factors: Mapping[Any, float] | ArrayLike | str,
        *,
        filter: FilterLike | None = None,  # noqa: A002 - as in searches.
    ) -> Ranking:
        """Return the ranking with scores multiplied by factors.

        Parameters
        ----------
        factors : mapping of id to float, array_like of the shape of `ids`, float or str
            0 or more: one for each id, where ids that a mapping lacks keep their scores; one for each place; one for
            all rows; or the name of a metadata field of numbers that are the factors, where rows without it keep their
            scores.
        filter : Expression, dict or str, optional
            Multiplies the scores of the rows that match it alone, by the metadata that the searches were asked for with
            ``include=``. A row that carries none lacks every field.

        Raises
        ------
        InvalidArgumentError
            When a factor is negative or not finite, an array has another shape, or the rows do not carry a field.

        Examples
        --------
        >>> import drift
        >>> c = drift.connect("memory://boost").create_collection("c", dim=1, metric="l2")
        >>> c.upsert([1, 2], [[0.0], [1.0]], metadata={"lang": ["de", "en"], "stars": [1, 5]})
        >>> ranked = drift.rank(c.search([0.0], k=2, include=True), c.metric)
        >>> ranked.boost(3.0, filter="lang = 'en'").ids.tolist(), ranked.boost("stars").scores.tolist()
        ([2, 1], [2.5, 1.0])
        """
        chosen = self._factors(factors)
        if filter is not None:
            chosen = np.where(self._matching(filter), chosen, 1.0)
        if not np.isfinite(chosen).all() or (chosen < 0).any():
            raise InvalidArgumentError("factors must be finite and 0 or more")
        # Padding stays padding: -inf * 0 would be NaN.
        padding = np.isneginf(self.scores)
        scores = np.where(padding, -np.inf, np.where(padding, 0.0, self.scores) * chosen)
        return Ranking._of(self.ids, scores, self._metadata, self._kinds)

    def _factors(self, factors: Mapping[Any, float] | ArrayLike | str) -> NDArray[np.float64]:
        """Return the factors of all places."""
        if isinstance(factors, str):
            field = self._carried(factors)
            found = [row.get(field) for row in self._flat()]
            wrong = next((one for one in found if one is not None and type(one) not in (int, float)), None)
            if wrong is not None:
                raise InvalidArgumentError(f"factors is the field {factors!r}, which has {shown(wrong)}: give numbers")
            listed = [1.0 if one is None else float(one) for one in found]
        elif isinstance(factors, Mapping):
            by_id = {id_text(one): factor for one, factor in factors.items()}
            listed = [float(by_id.get(one, 1.0)) for one in self.ids.ravel().tolist()]
        else:
            given = np.asarray(factors, dtype=np.float64)
            return np.full(self.ids.shape, given) if given.ndim == 0 else self._aligned("factors", given)
        return np.array(listed, dtype=np.float64).reshape(self.ids.shape)

    def _flat(self) -> list[Mapping[str, Any]]:
        """Return what each place carries, one query after the other."""
        if self._metadata is None:
            return [{}] * self.ids.size
        return [row or {} for rows in self._metadata for row in rows]

    def _carried(self, field: str) -> str:
        """Return a field that the rows carry.

        Raises
        ------
        InvalidArgumentError
            When they do not.
        """
        if field in self._kinds:
            return field
        carried = f"carry {', '.join(map(repr, self._kinds))}" if self._kinds else "carry no metadata"
        raise InvalidArgumentError(f"the rows do not carry the field {field!r}, they {carried}: search with include=")

    def _matching(self, condition: FilterLike) -> NDArray[np.bool_]:
        """Return which places match a filter over the metadata that they carry."""
        from drift._database import connect

        for name in fields_of(to_tree(condition)):
            # With dots a name reaches into a JSON field.
            parts = name.split(".")
            roots = {".".join(parts[:at]) for at in range(1, len(parts))}
            if not any(self._kinds.get(root) == "json" for root in roots):
                self._carried(name)
        # A row that has expired since it was found is a row of this ranking all the same.
        kinds: dict[str, Any] = {name: kind for name, kind in self._kinds.items() if name != _metadata.EXPIRES}
        rows = [{name: row.get(name) for name in kinds} for row in self._flat()]
        matching = np.zeros(self.ids.size, dtype=np.bool_)
        with connect("memory://", durability="none") as db:
            c = db.create_collection("rows", dim=1, metric="l2", fields=kinds)
            c.upsert(np.arange(len(rows)), np.zeros((len(rows), 1), dtype=np.float32), rows)
            cursor = None
            while True:
                page = c.scroll(condition, limit=_core.PAGE_ROWS_MAX, cursor=cursor, include=None)
                matching[page.ids.astype(np.int64)] = True
                cursor = page.cursor
                if cursor is None:
                    return matching.reshape(self.ids.shape)

    def top(self, k: int) -> Ranking:
        """Return the best `k` rows, 1 or more."""
        natural("k", k, 1)
        metadata = None if self._metadata is None else [row[:k] for row in self._metadata]
        return Ranking._of(self.ids[..., :k], self.scores[..., :k], metadata, self._kinds)

    def to_list(self) -> list[Any]:
        """Return the rows as plain Python objects, without padding.

        Returns
        -------
        list
            ``[{"id": ..., "score": ...}, ...]`` for one query, with ``"metadata": {...}`` where a search was asked for
            fields; a list of such lists for several.
        """
        lists = []
        for at, (ids, scores) in enumerate(zip(np.atleast_2d(self.ids), np.atleast_2d(self.scores), strict=True)):
            rows: list[dict[str, Any]] = [
                {"id": one, "score": score} for one, score in zip(ids.tolist(), scores.tolist(), strict=True)
            ]
            if self._metadata is not None:
                for row, metadata in zip(rows, self._metadata[at], strict=True):
                    row["metadata"] = dict(metadata or {})
            lists.append([row for row in rows if row["score"] != -np.inf])
        return lists[0] if self.ids.ndim == 1 else lists

    def _columns(self) -> Columns:
        found = ~np.isneginf(self.scores)
        query = None if self.ids.ndim == 1 else np.nonzero(found)[0].astype(np.int64)
        flat, there = self._flat(), np.flatnonzero(found).tolist()
        fields = [
            _metadata.typed(name, [flat[at].get(name) for at in there], kind) for name, kind in self._kinds.items()
        ]
        return Columns(query, self.ids[found], "score", self.scores[found], fields)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Export the rows through the Arrow PyCapsule interface; pyarrow is not needed.

        Columns are ``query`` (int64, only for several queries), ``id`` (int64 or string), ``score`` (float64) and the
        metadata fields that the searches were asked for, one row per result, without padding. A field that has several
        types in them is a float where these are numbers, and else JSON as text.
        """
        return self._columns().stream(requested_schema)

    def to_pandas(self) -> pd.DataFrame:
        """Return a ``pandas.DataFrame`` with the columns of `__arrow_c_stream__`. Needs the extra ``pandas``."""
        return self._columns().frame()

    def __len__(self) -> int:
        """Return the length of `ids`: k for one query, the number of queries for several."""
        return len(self.ids)

    def __repr__(self) -> str:
        if self.ids.ndim == 2:
            return f"Ranking({count(self.ids.shape[0], 'query', 'queries')}, k={self.ids.shape[1]})"
        rows = self.to_list()
        best = f", best {rows[0]['id']!r} at {rows[0]['score']:.6g}" if rows else ""
        return f"Ranking({count(len(rows), 'row')}{best})"

    def _repr_html_(self) -> str:
        return self._columns().html(repr(self))

    def _aligned(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        if values.shape != self.ids.shape:
            raise InvalidArgumentError(
                f"{name} have the shape {values.shape}: it must be that of ids, {self.ids.shape}"
            )
        return values


def rank(result: SearchResult, metric: str) -> Ranking:
    """Return a search's results by score.

    Parameters
    ----------
    result : SearchResult
        Results of `Collection.search`; their metadata come along.
    metric : {"cosine", "l2", "dot"}
        The collection's metric, ``c.metric``: scores are ``1 - distance / 2``, ``1 / (1 + distance)`` or
        ``1 / (1 + exp(distance))``, each between 0 and 1 and falling as the distance grows.

    Raises
    ------
    InvalidArgumentError
        When the metric is none of them.
    """
    if metric not in ("cosine", "l2", "dot"):
        raise InvalidArgumentError(f'metric is {metric!r}: it must be "cosine", "l2" or "dot", such as c.metric')
    distances = result.distances.astype(np.float64)
    padding = np.isinf(distances)
    near = np.where(padding, 0.0, distances)
    if metric == "cosine":
        scores = np.clip(1 - near / 2, 0, 1)
    else:
        # exp overflows beyond 709, where the score is 0 to the last digit that can be told.
        scores = 1 / (1 + (np.exp(np.minimum(near, 700)) if metric == "dot" else np.maximum(near, 0)))
    return Ranking._of(result.ids, np.where(padding, -np.inf, scores), _by_query(result), _kinds([result]))


def fuse(
    results: Sequence[SearchResult | Ranking],
    k: int | None = None,
    *,
    method: Literal["rrf", "weighted"] = "rrf",
    weights: Sequence[float] | None = None,
    constant: float = 60.0,
) -> Ranking:
    """Join several searches into one ranking.

    Parameters
    ----------
    results : sequence of SearchResult or Ranking
        All for one query, or all for the same number of queries, with ids of one type.
    k : int, optional
        Rows to keep per query, 1 or more; all when None.
    method : {"rrf", "weighted"}
        Reciprocal rank fusion, ``sum of weight / (constant + place)``, places counted from 1 (Cormack, Clarke and
        Buettcher, SIGIR 2009), which looks at places alone; or the weighted mean of scores, each result's distances
        scaled so that its nearest row has 1 and its farthest 0. A row that a result lacks gets 0 from it.
    weights : sequence of float, optional
        One for each result, 0 or more, not all 0; 1 each when None.
    constant : float
        Above 0. The larger, the less the first places stand out.

    Returns
    -------
    Ranking
        Rows of equal score stand in the order in which the results name them.

    Raises
    ------
    InvalidArgumentError
        When there are no results, their shapes or ids do not go together, or an option is out of its bounds.

    Examples
    --------
    >>> import drift
    >>> c = drift.connect("memory://fuse").create_collection("c", dim=2, metric="l2")
    >>> c.upsert([1, 2, 3], [[0.0, 0.0], [1.0, 0.0], [3.0, 0.0]])
    >>> both = drift.fuse([c.search([0.0, 0.0], k=2), c.search([4.0, 0.0], k=2)], weights=[1, 2])
    >>> both.ids.tolist()
    [2, 3, 1]
    """
    if method not in ("rrf", "weighted"):
        raise InvalidArgumentError(f'method is {method!r}: it must be "rrf" or "weighted"')
    if not constant > 0:
        raise InvalidArgumentError(f"constant is {constant!r}: it must be above 0")
    shares = _weights(results, weights)
    lists = [np.atleast_2d(result.ids) for result in results]
    shapes = {(result.ids.ndim, len(rows), rows.dtype.kind) for result, rows in zip(results, lists, strict=True)}
    if len(shapes) != 1:
        raise InvalidArgumentError("results must be for the same queries, with ids of one type")
    points = [_points(result, method, constant) * share for result, share in zip(results, shares, strict=True)]
    if method == "weighted":
        points = [one / shares.sum() for one in points]
    sources = [_by_query(result) for result in results]
    fused = [
        _sum(
            np.concatenate([rows[query] for rows in lists]),
            np.concatenate([scores[query] for scores in points]),
            _joined(sources, lists, query),
        )
        for query in range(len(lists[0]))
    ]
    kinds = _kinds(results) if any(source is not None for source in sources) else None
    made = _padded(fused, results[0].ids.ndim, kinds)
    return made if k is None else made.top(k)


def _weights(results: Sequence[object], weights: Sequence[float] | None) -> NDArray[np.float64]:
    if isinstance(results, (str, Mapping)) or not isinstance(results, Sequence) or not results:
        raise InvalidArgumentError("results must be a list of one search result or more")
    shares = np.ones(len(results)) if weights is None else np.asarray(weights, dtype=np.float64)
    if shares.shape != (len(results),):
        raise InvalidArgumentError(f"weights have the shape {shares.shape}: {len(results)} results need one each")
    if not np.isfinite(shares).all() or (shares < 0).any() or not shares.any():
        raise InvalidArgumentError("weights must be finite, 0 or more, and not all 0")
    return shares


def _points(result: SearchResult | Ranking, method: str, constant: float) -> NDArray[np.float64]:
    """Return what each row gets from a result, (queries, k); padding gets NaN."""
    scores = result.scores if isinstance(result, Ranking) else -result.distances.astype(np.float64)
    values = np.atleast_2d(scores)
    padding = np.isneginf(values)
    if method == "rrf":
        points = np.broadcast_to(1 / (constant + 1 + np.arange(values.shape[1])), values.shape)
    else:
        low = np.where(padding, np.inf, values).min(axis=1, keepdims=True, initial=np.inf)
        high = values.max(axis=1, keepdims=True, initial=-np.inf)
        span = np.where(high > low, high - low, 1.0)
        points = np.where(high > low, (np.where(padding, 0.0, values) - np.where(high > low, low, 0.0)) / span, 1.0)
    return np.where(padding, np.nan, points)


def _sum(
    ids: NDArray[Any], points: NDArray[np.float64], metadata: list[Any]
) -> tuple[NDArray[Any], NDArray[np.float64], list[Any]]:
    """Return each id once with the sum of its points, in the order of first appearance."""
    kept = np.nonzero(~np.isnan(points))[0]
    unique, first, inverse = np.unique(ids[kept], return_index=True, return_inverse=True)
    sums = np.zeros(len(unique))
    np.add.at(sums, inverse.ravel(), points[kept])
    order = np.argsort(first, kind="stable")
    if not metadata:
        return unique[order], sums[order], []
    # Of the results that have an id, the first one that carries metadata gives them.
    carried = {
        int(at): metadata[row] for at, row in zip(inverse[::-1], kept[::-1], strict=True) if metadata[row] is not None
    }
    return unique[order], sums[order], [carried.get(at) for at in order.tolist()]


def _padded(
    rows: list[tuple[NDArray[Any], NDArray[np.float64], list[Any]]], ndim: int, kinds: dict[str, str] | None
) -> Ranking:
    width = max(len(ids) for ids, _, _ in rows) if rows else 0
    kind = rows[0][0].dtype if rows else np.dtype(np.int64)
    ids = np.full((len(rows), width), None if kind.hasobject else -1, dtype=kind)
    scores = np.full((len(rows), width), -np.inf)
    payloads: list[list[Any]] = []
    for at, (found, sums, payload) in enumerate(rows):
        ids[at, : len(found)], scores[at, : len(found)] = found, sums
        payloads.append(payload + [None] * (width - len(payload)))
    shape = (width,) if ndim == 1 else (len(rows), width)
    metadata = None if kinds is None else payloads
    return Ranking._of(ids.reshape(shape), scores.reshape(shape), metadata, kinds or {})


def _kinds(results: Sequence[SearchResult | Ranking]) -> dict[str, str]:
    """Return the types of the fields that results carry, one for each name."""
    kinds: dict[str, str] = {}
    for result in results:
        own = result._kinds if isinstance(result, Ranking) else {name: kind for name, kind, _ in result._fields or ()}
        for name, kind in own.items():
            known = kinds.setdefault(name, kind)
            if known != kind:
                kinds[name] = "float" if {known, kind} == {"int", "float"} else "json"
    return kinds


def _by_query(result: SearchResult | Ranking) -> _Metadata:
    """Return the metadata of each query, or None."""
    if isinstance(result, SearchResult) and result._fields is None:
        return None
    found = result.metadata
    if found is None:
        return None
    return [found] if result.ids.ndim == 1 else list(found)


def _joined(sources: list[_Metadata], lists: list[NDArray[Any]], query: int) -> list[Any]:
    if all(source is None for source in sources):
        return []
    return [
        one
        for source, rows in zip(sources, lists, strict=True)
        for one in ([None] * rows.shape[1] if source is None else source[query])
    ]
