"""What a collection is asked: rows by id, searches, counts, pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from drift import _core, _input, _metadata, _time
from drift._arguments import hinted
from drift._checks import flag, is_int, is_number, natural, text
from drift._errors import InvalidArgumentError
from drift._explain import Explanation
from drift._filter import to_tree
from drift._filter.doubts import doubts
from drift._result import Page, Rows, SearchResult

if TYPE_CHECKING:
    from uuid import UUID

    from drift._filter import FilterLike
    from drift._time import Decay
    from drift._types import IdsLike, Include, Missing, Routing, TimeLike, VectorsLike


class Reading:
    """The reading half of `drift.Collection`."""

    __slots__ = ()

    _inner: _core.Collection
    _dim: int

    @hinted
    def count(
        self,
        filter: FilterLike | None = None,  # noqa: A002
        *,
        since: TimeLike | None = None,
        until: TimeLike | None = None,
    ) -> int:
        """Return the number of rows, or of those that match a filter.

        Parameters
        ----------
        filter : Expression, dict or str, optional
            As in `search`.
        since, until
            As in `search`.
        """
        tree = _time.window(filter, since, until, self._inner)
        return len(self._inner) if tree is None else self._inner.count(tree)

    def check_filter(self, filter: FilterLike) -> list[str]:  # noqa: A002
        """Return what is likely wrong with a filter that finds nothing.

        A field that no row has and a value of another type than its field's are no errors: they match nothing. A field
        that is nearly the name of another is one in every call that takes a filter, unless it asks for its existence.

        Parameters
        ----------
        filter : Expression, dict or str
            As in `search`.

        Returns
        -------
        list of str
            A sentence for each such condition; empty when every field is known and every type fits.

        Examples
        --------
        >>> import drift
        >>> c = drift.connect("memory://check-filter").create_collection("c", dim=1, metric="l2")
        >>> c.upsert([1], [[0.0]], metadata=[{"year": 2024}])
        >>> c.count("year = '2024'"), c.check_filter("year = '2024'")
        (0, ["the field 'year' is int and is compared with the text '2024': write it as a number, without quotes"])
        """
        return doubts(to_tree(filter), dict(self._inner.fields()))

    @hinted
    def scroll(
        self,
        filter: FilterLike | None = None,  # noqa: A002
        *,
        since: TimeLike | None = None,
        until: TimeLike | None = None,
        limit: int = 100,
        cursor: int | str | UUID | None = None,
        include: Include = True,
        vectors: bool = False,
    ) -> Page:
        """Return rows in ascending order of id, a page at a time.

        Parameters
        ----------
        filter : Expression, dict or str, optional
            Only rows that match it.
        since, until
            As in `search`.
        limit : int
            Rows of a page, 1 to 65,536.
        cursor : int, str or UUID, optional
            ``.cursor`` of the page before, or any id; the first page when None. Rows that are written between two calls
            are seen when their ids are still ahead.
        include : bool, str or sequence of str
            Metadata fields to return: all, or these.
        vectors : bool
            Whether to return the vectors.

        Returns
        -------
        Page
            ``.ids``, ``.metadata``, ``.vectors`` (None unless asked for) and ``.cursor``, None on the last page.

        Examples
        --------
        >>> import drift
        >>> c = drift.connect("memory://scroll").create_collection("c", dim=1, metric="l2")
        >>> c.upsert([3, 1, 2], [[0.0], [1.0], [2.0]], metadata={"name": ["c", "a", "b"]})
        >>> page = c.scroll(limit=2)
        >>> page.ids.tolist(), page.metadata, page.cursor
        ([1, 2], [{'name': 'a'}, {'name': 'b'}], 2)
        >>> c.scroll(limit=2, cursor=page.cursor).ids.tolist()
        [3]
        """
        limit, vectors = natural("limit", limit, 1), flag("vectors", vectors)
        start = None if cursor is None else _cursor(_input.id_text(cursor), self._inner.id_type)
        tree = _time.window(filter, since, until, self._inner)
        # One row more than the page has tells whether another page follows; the engine has no room for it beyond its
        # largest page, and is asked for that row alone.
        asked = limit + 1 if limit < _core.PAGE_ROWS_MAX else limit
        ids, rows, fields = self._inner.page(tree, start, asked, vectors, _metadata.include(include))
        last = ids[limit - 1 : limit].tolist()
        more = len(ids) > limit
        if last and asked == limit:
            more = len(self._inner.page(tree, last[0], 1, False, None)[0]) > 0
        fields = [(name, kind, values[:limit]) for name, kind, values in fields]
        return Page(ids[:limit], rows[:limit] if vectors else None, fields, cursor=last[0] if more else None)

    @hinted
    def get(self, ids: IdsLike, *, missing: Missing = "error", include: Include = None) -> Rows:
        """Return the stored vectors, and metadata, of rows.

        Parameters
        ----------
        ids : sequence of int, str or UUID, integer array, Arrow array, int, str or UUID
            A single id counts as a sequence of one.
        missing : {"error", "skip"}
            What to do about an unknown id.
        include : bool, str or sequence of str
            Metadata fields to return: True for all, or these.

        Returns
        -------
        Rows
            ``.ids`` of shape (n,) in the order asked for, ``.vectors`` float32 of shape (n, dim), ``.metadata`` a list
            of n dictionaries.

        Raises
        ------
        NotFoundError
            When an id is unknown and `missing` is "error"; the message names the id and the row.

        Examples
        --------
        >>> import drift
        >>> c = drift.connect("memory://get").create_collection("c", dim=2, metric="dot")
        >>> c.upsert([5], [[0.5, 2.0]])
        >>> c.get([5, 6], missing="skip").vectors.tolist()
        [[0.5, 2.0]]
        """
        fields = _metadata.include(include)
        given = _input.ids(ids, self._inner.id_type)
        found, vectors, metadata = self._inner.get(given, text("missing", missing, "error", "skip"), fields)
        return Rows(found, vectors, None if fields is None else metadata)

    @hinted
    def search(
        self,
        q: VectorsLike,
        k: int = 10,
        *,
        recall: float | None = 0.95,
        exact: bool = False,
        filter: FilterLike | None = None,  # noqa: A002
        since: TimeLike | None = None,
        until: TimeLike | None = None,
        decay: Decay | None = None,
        include: Include = None,
        nprobe: int | None = None,
        threads: int | None = None,
        target_confidence: float | None = None,
        routing: Routing | None = None,
        lambda_: float | None = None,
        tau: float | None = None,
    ) -> SearchResult:
        """Find the nearest rows of one query or of several.

        Parameters
        ----------
        q : array_like or Arrow array, shape (dim,) or (n, dim)
            One query or several.
            A C-contiguous float32 array is not copied.
        k : int
            Results per query, 0 to 65,536.
        recall : float, optional
            Share of the true nearest rows to aim at, in (0, 1], where 1 is `exact`; the database's default when None.
        exact : bool
            Compare with every row: the true nearest rows, at a cost that grows with their number.
        filter : Expression, dict or str, optional
            Only rows whose metadata match it: ``drift.col("year") >= 2024``, ``{"year": {"$gte": 2024}}`` or
            ``"year >= 2024"``. It is applied before rows are ranked: m matching rows give min(k, m) results. A misspelt
            field is refused with the one that was meant.
        since, until : datetime, date, datetime64 or ISO 8601 text, optional
            Only rows whose time is `since` or later, and before `until`; without a time zone they are UTC. They need
            a collection with a time field.
        decay : Decay, optional
            Rank by distance and age; ``.distances`` are then distances plus the penalties for age.
        include : bool, str or sequence of str
            Metadata fields to return with the results: True for all, or these.
        nprobe : int, optional
            Expert override of `recall`: buckets to scan, 1 or more; with `target_confidence` the most of them.
        threads : int, optional
            Threads for several queries, 1 or more; all cores when None.
        target_confidence : float, optional
            Expert override of `recall`: a confidence in (0, 1] that a model of the buckets estimates, and at which the
            search stops. What recall it comes to depends on the data; ``explain`` and ``health`` tell.
        routing : {"density", "geometric"}, optional
            The model. "density" (when None) ranks buckets by ``exp(-lambda_ * d / spread) * (1 - exp(-live / tau))``,
            d being the distance of the query to the centroid, spread the standard deviation of the distances between
            centroids, live the bucket's rows that are not deleted; it scans the likeliest ones until their shares sum
            up to `target_confidence`. "geometric" scans buckets in the usual order until they have that share of the
            ball around the query through the k-th row so far (Quake's adaptive partition scanning); not under dot.
        lambda_ : float, optional
            How fast the likelihood falls with distance, 0 to 10,000; 3.5 when None.
        tau : float, optional
            Live rows at which a bucket counts for 63 % of a full one; when None, a tenth of what a bucket aims at, 3.2
            up to 50,000 rows. 0 leaves the term out.

        Returns
        -------
        SearchResult
            ``.ids`` and ``.distances`` of shape (k,) for one query and (n, k) for several, and ``.metadata``.

        Raises
        ------
        InvalidArgumentError
            When the query's shape, type or values or an option are wrong; the message names which.

        Examples
        --------
        >>> import drift, numpy as np
        >>> c = drift.connect("memory://search").create_collection("c", dim=2, metric="l2")
        >>> c.upsert([1, 2, 3], [[0, 0], [1, 0], [0, 3]])
        >>> r = c.search(np.zeros(2, dtype=np.float32), k=2)
        >>> r.ids.tolist(), r.distances.tolist()
        ([1, 2], [0.0, 1.0])
        """
        values = _input.queries(q, self._dim)
        narrowed = filter is not None or since is not None or until is not None
        tree = _time.window(filter, since, until, self._inner) if narrowed else None
        faded = None if decay is None else _time.decay(decay, self._inner.time)
        fields = None if include is None else _metadata.include(include)
        # Nearly all searches are so, and a look at each option takes a tenth of the shortest.
        if not (type(k) is int and type(recall) is float and nprobe is None and type(threads) in _COUNTS):
            _refuse_no_numbers(k=k, recall=recall, nprobe=nprobe, threads=threads)
        try:
            confidence = _confidence(target_confidence, routing, lambda_, tau)
            found = self._inner.search(values, k, recall, exact, nprobe, threads, tree, fields, confidence, faded)
        except (TypeError, OverflowError) as error:
            raise _misfit(error, k, recall, exact, nprobe, threads) from None
        ids, distances, metadata = found
        return SearchResult(ids, distances, None if fields is None else metadata)

    @hinted
    def explain(
        self,
        q: VectorsLike,
        k: int = 10,
        *,
        recall: float | None = 0.95,
        filter: FilterLike | None = None,  # noqa: A002
        since: TimeLike | None = None,
        until: TimeLike | None = None,
        nprobe: int | None = None,
        target_confidence: float | None = None,
        routing: Routing | None = None,
        lambda_: float | None = None,
        tau: float | None = None,
    ) -> Explanation:
        """Search for one query, and explain how far the search went and why.

        Parameters
        ----------
        q : array_like or Arrow array, shape (dim,)
            One query.
        k, recall, filter, since, until, nprobe, target_confidence, routing, lambda_, tau
            As in `search`; `k` from 1.

        Returns
        -------
        Explanation
            Buckets in order of rank, the rule in force, what stopped the search, work and times; ``print()`` it.

        Raises
        ------
        InvalidArgumentError
            When the query's shape, type or values or an option are wrong; the message names which.

        Examples
        --------
        >>> import drift, numpy as np
        >>> c = drift.connect("memory://explain").create_collection("c", dim=2, metric="l2")
        >>> c.load([(range(100), np.random.default_rng(1).normal(size=(100, 2)))])["rows"]
        100
        >>> e = c.explain([0.0, 0.0], k=5, nprobe=2)
        >>> e.stop, e.work.buckets, e.scanned.sum() == 2
        ('nprobe', 2, np.True_)
        """
        values = _input.queries(q, self._dim)
        _refuse_no_numbers(k=k, recall=recall, nprobe=nprobe)
        tree = _time.window(filter, since, until, self._inner)
        try:
            confidence = _confidence(target_confidence, routing, lambda_, tau)
            figures = self._inner.explain(values, k, recall, nprobe, tree, confidence)
        except (TypeError, OverflowError) as error:
            raise _misfit(error, k, recall, False, nprobe, None) from None
        return Explanation.read(int(k), figures)


def _cursor(given: object, id_type: str) -> int | str:
    """Return an id of the collection's type."""
    if id_type == "str" and isinstance(given, str):
        return text("cursor", given)
    whole = int(given) if is_int(given) else None
    if id_type == "int" and whole is not None and -(2**63) <= whole < 2**63:
        return whole
    raise InvalidArgumentError(f"cursor is {_input.shown(given)}: pass the .cursor of the page before")


def _confidence(
    target: object, routing: object, lambda_: object, tau: object
) -> tuple[float | None, str | None, float | None, float | None] | None:
    """Return the options of the expert routing as the extension takes them; None when there are none."""
    if target is None and routing is None and lambda_ is None and tau is None:
        return None
    if routing is not None:
        routing = text("routing", routing, "density", "geometric")
    return _number("target_confidence", target), routing, _number("lambda_", lambda_), _number("tau", tau)


# Types of `threads` that there is nothing to refuse of.
_COUNTS = (type(None), int)


def _refuse_no_numbers(**options: object) -> None:
    """Refuse truth values and NumPy's lengths of time, which the extension would take for the numbers within them."""
    for name, value in options.items():
        if isinstance(value, (bool, np.timedelta64)):
            raise InvalidArgumentError(f"{name} is {value!r}: it must be a number")


def _number(name: str, value: object) -> float | None:
    """Return `value` when it is a number or None; the engine checks its bounds."""
    if value is None:
        return None
    if not is_number(value):
        raise InvalidArgumentError(f"{name} is {value!r}: it must be a number")
    return float(value)


def _misfit(error: Exception, k: object, recall: object, exact: object, nprobe: object, threads: object) -> Exception:
    """Return the error that names the option which the extension could not convert."""
    for name, value, least in (("k", k, 0), ("nprobe", nprobe, 1), ("threads", threads, 1)):
        if value is None and name != "k":
            continue
        try:
            natural(name, value, least)
        except InvalidArgumentError as named:
            return named
    if recall is not None and not is_number(recall):
        return InvalidArgumentError(f"recall is {recall!r}: it must be a number above 0 and at most 1")
    if not isinstance(exact, (bool, np.bool_)):
        return InvalidArgumentError(f"exact is {exact!r}: it must be True or False")
    return InvalidArgumentError(str(error))
