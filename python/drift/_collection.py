"""The handle of an open collection: writes, lookups, searches, bulk loads, upkeep."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from drift import _core, _input, _metadata, _source
from drift._errors import DriftError, InvalidArgumentError
from drift._explain import Explanation
from drift._filter import to_tree
from drift._health import Health
from drift._maintenance import Maintenance
from drift._progress import display
from drift._result import Page, Rows, SearchResult
from drift._show import count, html_table

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from drift._database import Database
    from drift._filter import FilterLike
    from drift._progress import Display
    from drift._types import IdsLike, Include, LoadSource, MetadataLike, Missing, Progress, Routing, VectorsLike

__all__ = ["Collection"]


def natural(name: str, value: object, least: int = 0) -> int:
    """Return `value` when it is an int of at least `least`; the engine checks the upper bound."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value < 2**63:
        raise InvalidArgumentError(f"{name} is {value!r}: it must be an int, {least} or more")
    return int(value)


def text(name: str, value: object, *choices: str) -> str:
    """Return `value` when it is a str; the engine checks that it is one of `choices`."""
    if not isinstance(value, str):
        wanted = " or ".join(f'"{choice}"' for choice in choices) if choices else "a str"
        raise InvalidArgumentError(f"{name} is {value!r}: it must be {wanted}")
    return value


def _restore(database: Database, name: str) -> Collection:
    return database.open_collection(name)


class Collection:
    """Rows of an id, a vector and metadata. `Database.create_collection` and `Database.open_collection` make it.

    It is safe to use from several threads; readers never wait for writers. It pickles by its database's URI and its
    name, as `Database` does: for reading in other processes. It is also a context manager that closes it.

    Examples
    --------
    >>> import drift, numpy as np
    >>> db = drift.connect("memory://collection")
    >>> c = db.create_collection("docs", dim=2, metric="l2")
    >>> c.upsert([10, 11], np.array([[0, 0], [1, 1]], dtype=np.float32))
    >>> len(c), 10 in c, c.delete([10, 99])
    (2, True, 1)
    """

    __slots__ = ("__weakref__", "_database", "_dim", "_inner")

    _inner: _core.Collection
    _database: Database
    _dim: int

    def __init__(self) -> None:
        raise TypeError("use Database.open_collection or Database.create_collection")

    @classmethod
    def _of(cls, database: Database, core: _core.Collection) -> Collection:
        self = object.__new__(cls)
        self._database = database
        self._inner = core
        self._dim = core.dim
        return self

    @property
    def name(self) -> str:
        """Name of the collection."""
        return self._inner.name

    @property
    def dim(self) -> int:
        """Dimension of the vectors."""
        return self._dim

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
    def database(self) -> Database:
        """The database of the collection."""
        return self._database

    @property
    def fields(self) -> dict[str, str]:
        """Names and types of the metadata fields, in the order in which they came."""
        return dict(self._inner.fields())

    def _row(
        self, ids: IdsLike, vectors: VectorsLike, metadata: MetadataLike | None
    ) -> tuple[_input.Ids, _input.Vectors, list[_metadata.Field] | None]:
        given, values = _input.pair(ids, vectors, self._inner.id_type, self._dim)
        rows = len(given) if isinstance(given, (np.ndarray, list)) else None
        return given, values, _metadata.columns(metadata, rows, lambda: self.fields)

    def add(self, ids: IdsLike, vectors: VectorsLike, metadata: MetadataLike | None = None) -> None:
        """Insert rows whose ids do not exist yet, all or none.

        Parameters
        ----------
        ids : sequence of int or str, integer array, Arrow array, shape (n,)
            int64 from 0 or strings of 1 to 1,024 bytes, as the collection's `id_type` says. Each id once.
        vectors : array_like or Arrow array, shape (n, dim)
            C-contiguous float32 and float16 arrays and Arrow fixed-size lists of them are not copied on the way in;
            float64 is rounded to float32; float16 is stored as such. Values must be finite, and under cosine no
            vector may be zero.
        metadata : sequence of dict, dict of columns, or Arrow table, optional
            One dictionary (or None) per row; or one column per field; or a table of such columns. Values are bool,
            int (int64), float, str, datetime or date (UTC where they have no time zone), lists of str; anything else
            that JSON can hold becomes a JSON field. A field has one type in a collection; rows may lack any field.

        Raises
        ------
        AlreadyExistsError
            When an id exists or is given twice; the message names the id and the row.
        InvalidArgumentError
            When a shape, a type or a value is wrong; the message names the row and the column.

        Examples
        --------
        >>> import drift
        >>> c = drift.connect("memory://add").create_collection("c", dim=2, id_type="str")
        >>> c.add(["a", "b"], [[1.0, 0.0], [0.0, 1.0]])
        >>> c.ids().tolist()
        ['a', 'b']
        """
        self._inner.add(*self._row(ids, vectors, metadata))

    def upsert(self, ids: IdsLike, vectors: VectorsLike, metadata: MetadataLike | None = None) -> None:
        """Insert rows, replacing those whose ids exist, all or none. Of an id that is given twice, the last wins.

        Parameters
        ----------
        ids, vectors, metadata
            As in `add`. A row that is replaced loses the metadata that it had.

        Raises
        ------
        InvalidArgumentError
            When a shape, a type or a value is wrong; the message names the row and the column.
        """
        self._inner.upsert(*self._row(ids, vectors, metadata))

    def update_metadata(self, ids: IdsLike, metadata: MetadataLike) -> None:
        """Change metadata of rows, all or none; their vectors and the fields that are not given stay.

        Parameters
        ----------
        ids : sequence of int or str, integer array, Arrow array, int or str
            Rows that exist.
        metadata : sequence of dict, dict of columns, or Arrow table
            As in `add`. A field that is given as None is removed from its row.

        Raises
        ------
        NotFoundError
            When an id is unknown; the message names the id and the row.
        InvalidArgumentError
            When a value is of another type than its field; the message names the field and the row.

        Examples
        --------
        >>> import drift
        >>> c = drift.connect("memory://update").create_collection("c", dim=2)
        >>> c.upsert([1], [[1.0, 0.0]], metadata=[{"year": 2023, "lang": "en"}])
        >>> c.update_metadata([1], [{"year": 2024, "lang": None}])
        >>> c.get([1], include=True).metadata
        [{'year': 2024}]
        """
        given = _input.ids(ids, self._inner.id_type)
        rows = len(given) if isinstance(given, (np.ndarray, list)) else None
        if isinstance(metadata, dict) and rows == 1 and not isinstance(ids, (list, tuple, np.ndarray)):
            metadata = [metadata]
        changes, removed = _metadata.changes(metadata, rows, lambda: self.fields)
        self._inner.update_metadata(given, changes, removed)

    def delete(self, ids: IdsLike | None = None, *, filter: FilterLike | None = None) -> int:  # noqa: A002
        """Delete rows by id or by filter, and return how many there were.

        Parameters
        ----------
        ids : sequence of int or str, integer array, Arrow array, int or str, optional
            Unknown ids are allowed. A single id counts as a sequence of one.
        filter : Expression, dict or str, optional
            Deletes the rows that match it now; one that another writer replaces meanwhile stays.

        Examples
        --------
        >>> import drift
        >>> c = drift.connect("memory://delete").create_collection("c", dim=2)
        >>> c.upsert([1, 2], [[1.0, 0.0], [0.0, 1.0]], metadata={"year": [2020, 2024]})
        >>> c.delete(filter=drift.col("year") < 2022)
        1
        """
        if (ids is None) == (filter is None):
            raise InvalidArgumentError("delete takes either ids or filter=")
        if filter is not None:
            return self._inner.delete_where(to_tree(filter))
        return self._inner.delete(_input.ids(ids, self._inner.id_type))

    def count(self, filter: FilterLike | None = None) -> int:  # noqa: A002
        """Return the number of rows, or of those that match a filter.

        Parameters
        ----------
        filter : Expression, dict or str, optional
            As in `search`.
        """
        return len(self._inner) if filter is None else self._inner.count(to_tree(filter))

    def scroll(
        self,
        filter: FilterLike | None = None,  # noqa: A002
        *,
        limit: int = 100,
        cursor: int | str | None = None,
        include: Include = True,
        vectors: bool = False,
    ) -> Page:
        """Return rows in ascending order of id, a page at a time.

        Parameters
        ----------
        filter : Expression, dict or str, optional
            Only rows that match it.
        limit : int
            Rows of a page, 1 to 65,536.
        cursor : int or str, optional
            ``.cursor`` of the page before; the first page when None. Rows that are written between two calls are seen
            when their ids are still ahead.
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
        natural("limit", limit, 1)
        if cursor is not None and isinstance(cursor, str) != (self._inner.id_type == "str"):
            raise InvalidArgumentError(f"cursor is {cursor!r}: pass the .cursor of the page before")
        tree = None if filter is None else to_tree(filter)
        found = self._inner.page(tree, cursor, limit, bool(vectors), _metadata.include(include))
        return Page(*found, limit=limit, with_vectors=vectors)

    def get(self, ids: IdsLike, *, missing: Missing = "error", include: Include = None) -> Rows:
        """Return the stored vectors, and metadata, of rows.

        Parameters
        ----------
        ids : sequence of int or str, integer array, Arrow array, int or str
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

    def search(
        self,
        query: VectorsLike,
        k: int = 10,
        *,
        recall: float | None = 0.95,
        exact: bool = False,
        filter: FilterLike | None = None,  # noqa: A002
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
        query : array_like or Arrow array, shape (dim,) or (n, dim)
            A C-contiguous float32 array is not copied.
        k : int
            Results per query, 0 to 65,536.
        recall : float, optional
            Share of the true nearest rows to aim at, in (0, 1]; the database's default when None.
        exact : bool
            Compare with every row: the true nearest rows, at a cost that grows with their number.
        filter : Expression, dict or str, optional
            Only rows whose metadata match it: ``drift.col("year") >= 2024``, ``{"year": {"$gte": 2024}}`` or
            ``"year >= 2024"``. It is applied before rows are ranked: m matching rows give min(k, m) results.
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
            Live rows at which a bucket counts for 63 % of a full one; 3.2 when None, a tenth of what a bucket aims at.
            0 leaves the term out.

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
        values = _input.queries(query, self._dim)
        tree = None if filter is None else to_tree(filter)
        fields = None if include is None else _metadata.include(include)
        try:
            confidence = _confidence(target_confidence, routing, lambda_, tau)
            found = self._inner.search(values, k, recall, exact, nprobe, threads, tree, fields, confidence)
        except (TypeError, OverflowError) as error:
            raise _misfit(error, k, recall, exact, nprobe, threads) from None
        ids, distances, metadata = found
        return SearchResult(ids, distances, None if fields is None else metadata)

    def explain(
        self,
        query: VectorsLike,
        k: int = 10,
        *,
        recall: float | None = 0.95,
        filter: FilterLike | None = None,  # noqa: A002
        nprobe: int | None = None,
        target_confidence: float | None = None,
        routing: Routing | None = None,
        lambda_: float | None = None,
        tau: float | None = None,
    ) -> Explanation:
        """Search for one query, and explain how far the search went and why.

        Parameters
        ----------
        query : array_like or Arrow array, shape (dim,)
            One query.
        k, recall, filter, nprobe, target_confidence, routing, lambda_, tau
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
        values = _input.queries(query, self._dim)
        try:
            confidence = _confidence(target_confidence, routing, lambda_, tau)
            tree = None if filter is None else to_tree(filter)
            return Explanation.read(int(k), self._inner.explain(values, k, recall, nprobe, tree, confidence))
        except (TypeError, OverflowError) as error:
            raise _misfit(error, k, recall, False, nprobe, None) from None

    def load(
        self,
        source: LoadSource,
        id: str = "id",  # noqa: A002 - its name is part of the API.
        vector: str = "embedding",
        *,
        metadata: Include = None,
        progress: Progress = None,
    ) -> dict[str, Any]:
        """Load many rows at once, all or none, straight into buckets.

        Parameters
        ----------
        source : path, sequence of paths, Arrow table or stream, or iterable of batches
            Parquet files; any object with the Arrow PyCapsule interface; or an iterable of ``(ids, vectors)`` pairs,
            of ``(ids, vectors, metadata)`` or of Arrow batches. Only one batch is in memory at a time; float16 columns
            stay float16.
        id, vector : str
            Names of the columns of the ids and of the vectors.
        metadata : bool, str or sequence of str
            Columns that become metadata: True for all others, or these. Integers, floats, booleans, text, dates,
            timestamps and lists of text are taken; other columns are refused by name.
        progress : bool or callable, optional
            True shows a bar (tqdm or rich when installed); a callable gets the rows so far and their total, or None
            for an unknown total: at the start and the end of each stage (reading, training, writing) and every 50 ms
            at most in between. An exception in it stops the load.

        Returns
        -------
        dict
            ``rows``, ``buckets``, ``segments`` (int) and ``seconds`` (float).

        Raises
        ------
        InvalidArgumentError
            When a column is missing or a value is wrong; the message names the file, the column and the row.
        NotFoundError
            When a file does not exist.

        Examples
        --------
        >>> import drift, numpy as np
        >>> c = drift.connect("memory://load").create_collection("c", dim=2, metric="l2")
        >>> batches = ((range(i, i + 10), np.full((10, 2), i, dtype=np.float32)) for i in (0, 10))
        >>> c.load(batches)["rows"]
        20
        """
        return self._load(source, id, vector, metadata, display(progress))

    def _load(
        self,
        source: LoadSource,
        id: str,  # noqa: A002
        vector: str,
        metadata: Include,
        shown: Display | None,
    ) -> dict[str, Any]:
        update = None if shown is None else shown.update
        try:
            id, vector = text("id", id), text("vector", vector)  # noqa: A001
            fields = _metadata.include(metadata)
            if isinstance(source, (str, os.PathLike)):
                report = self._inner.load_parquet(_source.paths([source]), id, vector, fields, update)
            elif _input.is_arrow(source):
                report = self._inner.load_arrow(source, id, vector, fields, update)  # type: ignore[arg-type]
            elif _source.are_paths(source):
                report = self._inner.load_parquet(_source.paths(source), id, vector, fields, update)
            elif _source.are_batches(source):
                batches = _source.batches(source, self._inner.id_type, self._dim, lambda: self.fields)
                report = self._inner.load_batches(batches, id, vector, fields, update)
            else:
                raise _source.refusal(source)
        finally:
            if shown is not None:
                shown.close()
        return report

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._inner)

    def __contains__(self, id: object) -> bool:  # noqa: A002 - a row's id.
        if self._inner.id_type == "str":
            return isinstance(id, str) and self._inner.contains(id)
        if isinstance(id, bool) or not isinstance(id, (int, np.integer)) or not 0 <= id < 2**63:
            return False
        return self._inner.contains(int(id))

    def ids(self) -> NDArray[np.int64] | NDArray[np.object_]:
        """Return the ids of all rows, in the order in which they were last written: int64 or str objects."""
        return self._inner.ids()

    def flush(self) -> None:
        """Move rows from memory into segments on disk, durably, whatever the durability."""
        self._inner.flush()

    def refresh(self) -> bool:
        """Take up what another process has written since a read-only collection was opened or last refreshed.

        Returns
        -------
        bool
            Whether there was anything new; False for a handle that writes, which is never behind.

        Raises
        ------
        NotFoundError
            When the collection was dropped; the handle goes on showing its last state.
        """
        return self._inner.refresh()

    def health(self) -> Health:
        """Return the measured recall of live queries, and the state of buckets, segments and jobs."""
        return Health.read(self._inner.health())

    @property
    def maintenance(self) -> Maintenance:
        """Background maintenance: pause, resume, run now, budget."""
        return Maintenance(self._inner)

    def optimize(self) -> dict[str, Any]:
        """Split, merge and rewrite buckets and segments until they are near their target sizes.

        Returns
        -------
        dict
            Counts of what was done, and ``seconds`` (float).
        """
        return self._inner.optimize()

    def verify(self, *, repair: bool = False) -> dict[str, Any]:
        """Read every stored byte and check it.

        Parameters
        ----------
        repair : bool
            Write anew what is damaged and follows from sound bytes: logs, the bitstore, manifests before the newest.
            Damaged vectors, ids and the newest manifest cannot be repaired; they stay in ``problems``. Restore those
            from a backup, or open the database with ``recovery="salvage"``.

        Returns
        -------
        dict
            ``files``, ``bytes``, ``rows`` (int); ``problems``: a list of sentences that name the file and the offset,
            empty when all is well; ``repaired``: the problems that are gone.
        """
        return self._inner.verify(bool(repair))

    def stats(self) -> dict[str, Any]:
        """Return counts of rows, buckets, segments, bytes and work, and what is wrong.

        Returns
        -------
        dict
            Counts (int); ``degraded`` and ``poisoned``: why background work fails or writes are refused, else None.
        """
        return self._inner.stats()

    def close(self) -> None:
        """Close this handle. Closing again does nothing."""
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._database, self.name)

    def __repr__(self) -> str:
        return f"Collection({self.name!r}, {self._summary()}, {self._schema()})"

    def _summary(self) -> str:
        try:
            return count(len(self._inner), "row")
        except DriftError as error:
            return "closed" if type(error).__name__ == "ClosedError" else type(error).__name__

    def _schema(self) -> str:
        return f"dim={self._dim}, metric={self.metric!r}, id_type={self.id_type!r}"

    def _repr_html_(self) -> str:
        try:
            # What is zero has not happened yet, and a notebook is small.
            rows = [(name, value) for name, value in self._inner.stats().items() if value]
        except DriftError as error:
            rows = [("error", str(error))]
        return html_table(repr(self), ["", ""], rows)


def _confidence(
    target: object, routing: object, lambda_: object, tau: object
) -> tuple[float | None, str | None, float | None, float | None] | None:
    """Return the options of the expert routing as the extension takes them; None when there are none."""
    if target is None and routing is None and lambda_ is None and tau is None:
        return None
    if routing is not None:
        routing = text("routing", routing, "density", "geometric")
    return _number("target_confidence", target), routing, _number("lambda_", lambda_), _number("tau", tau)


def _number(name: str, value: object) -> float | None:
    """Return `value` when it is a number or None; the engine checks its bounds."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
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
    if recall is not None and not isinstance(recall, (int, float, np.number)):
        return InvalidArgumentError(f"recall is {recall!r}: it must be a number above 0 and at most 1")
    if not isinstance(exact, (bool, np.bool_)):
        return InvalidArgumentError(f"exact is {exact!r}: it must be True or False")
    return InvalidArgumentError(str(error))
