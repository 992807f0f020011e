"""The handle of an open collection: writes, lookups, searches, bulk loads, upkeep."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from drift import _core, _input, _metadata, _polars, _source, _time
from drift._arguments import hinted
from drift._checks import flag, is_int, is_unicode, text
from drift._described import Described
from drift._errors import DriftError, InvalidArgumentError, NotFoundError
from drift._health import Health
from drift._maintenance import Maintenance
from drift._progress import closing, display
from drift._reading import Reading
from drift._show import count, html_table

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from drift._database import Database
    from drift._filter import FilterLike
    from drift._progress import Display
    from drift._types import (
        ExpiresLike,
        IdsLike,
        Include,
        LoadSource,
        MetadataLike,
        Progress,
        TimeLike,
        VectorsLike,
    )

__all__ = ["Collection"]


def _restore(database: Database, name: str) -> Collection:
    return database.open_collection(name)


class Collection(Described, Reading):
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
    def database(self) -> Database:
        """The database of the collection."""
        return self._database

    def _row(
        self, ids: IdsLike, vectors: VectorsLike, metadata: MetadataLike | None, expires: ExpiresLike
    ) -> tuple[_input.Ids, _input.Vectors, list[_metadata.Field] | None]:
        given, values = _input.pair(ids, vectors, self._inner.id_type, self._dim)
        rows = len(given) if isinstance(given, (np.ndarray, list)) else None
        fields = _metadata.columns(metadata, rows, lambda: self.fields)
        if expires is not None:
            fields = [*(fields or []), _time.expiry(expires, _input.length(given, values))]
        return given, values, fields

    @hinted
    def add(
        self,
        ids: IdsLike,
        vectors: VectorsLike,
        metadata: MetadataLike | None = None,
        *,
        expires: ExpiresLike = None,
    ) -> None:
        """Insert rows whose ids do not exist yet, all or none.

        Parameters
        ----------
        ids : sequence of int, str or UUID, integer array, Arrow array, shape (n,)
            int64 from 0 or strings of 1 to 1,024 bytes, as the collection's `id_type` says. Each id once. A
            `uuid.UUID` is a string, ``str(uuid)``, here and wherever ids are given; ids that come back are strings.
        vectors : array_like or Arrow array, shape (n, dim)
            C-contiguous float32 and float16 arrays and Arrow fixed-size lists of them are not copied on the way in;
            float64 is rounded to float32; float16 is stored as such. Values must be finite, and under cosine no
            vector may be zero.
        metadata : sequence of dict, dict of columns, or Arrow table, optional
            One dictionary (or None) per row; or one column per field; or a table of such columns. Values are bool,
            int (int64), float, str, datetime or date (UTC where they have no time zone), lists of str; anything else
            that JSON can hold becomes a JSON field. A field has one type in a collection; rows may lack any field. A
            row without the collection's time field gets the clock's time.
        expires : datetime, date, datetime64, ISO 8601 text, or a sequence of them and None, optional
            When the rows expire: one moment, or one for each row (a column of pandas, polars or pyarrow, too), None
            for never. It is kept in the metadata field
            ``_expires``, which `update_metadata` changes. From then on no call shows the row.

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
        self._inner.add(*self._row(ids, vectors, metadata, expires))

    @hinted
    def upsert(
        self,
        ids: IdsLike,
        vectors: VectorsLike,
        metadata: MetadataLike | None = None,
        *,
        expires: ExpiresLike = None,
    ) -> None:
        """Insert rows, replacing those whose ids exist, all or none. Of an id that is given twice, the last wins.

        Parameters
        ----------
        ids, vectors, metadata, expires
            As in `add`. A row that is replaced loses the metadata that it had, its time and expiry among them.

        Raises
        ------
        InvalidArgumentError
            When a shape, a type or a value is wrong; the message names the row and the column.
        """
        self._inner.upsert(*self._row(ids, vectors, metadata, expires))

    @hinted
    def update_metadata(
        self,
        ids: IdsLike | None = None,
        metadata: MetadataLike | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        since: TimeLike | None = None,
        until: TimeLike | None = None,
    ) -> int:
        """Change metadata of rows by id or by filter, and return how many there were; all else of them stays.

        Parameters
        ----------
        ids : sequence of int or str, integer array, Arrow array, int or str, optional
            Rows that exist, each once; all are changed, or none.
        metadata : sequence of dict, dict of columns, or Arrow table
            As in `add`; with a filter one dict, which each row that matches is given. A field that is given as None is
            removed from its row; the time field then gets the clock's time.
        filter : Expression, dict or str, optional
            Changes the rows that match it now, about a thousand at a time; one that another writer replaces meanwhile
            stays as that has left it.
        since, until
            As in `search`, with `filter` or without.

        Raises
        ------
        NotFoundError
            When an id is unknown; the message names the id and the row.
        InvalidArgumentError
            When a value is of another type than its field; the message names the field and the row. When an id is
            given twice; the message names both rows.

        Examples
        --------
        >>> import drift
        >>> c = drift.connect("memory://update").create_collection("c", dim=2)
        >>> c.upsert([1, 2], [[1.0, 0.0], [0.0, 1.0]], metadata=[{"year": 2023, "lang": "en"}, {"year": 2020}])
        >>> c.update_metadata([1], [{"year": 2024, "lang": None}])
        1
        >>> c.update_metadata(filter="year < 2024", metadata={"old": True})
        1
        >>> c.get([1, 2], include=True).metadata
        [{'year': 2024}, {'year': 2020, 'old': True}]
        """
        if metadata is None:
            raise InvalidArgumentError("metadata is missing: pass the fields that are to change, as metadata=")
        tree = _time.window(filter, since, until, self._inner)
        if (ids is None) == (tree is None):
            raise InvalidArgumentError("update_metadata takes either ids or filter=, since= and until=")
        if tree is not None:
            if not isinstance(metadata, Mapping):
                raise InvalidArgumentError(
                    f"metadata is {_input.shown(metadata)}: with a filter pass one dict, which all rows that match get"
                )
            changes, removed = _metadata.changes([metadata], 1, lambda: self.fields)
            return self._inner.update_where(tree, changes, [name for _, name in removed])
        given = _input.ids(ids, self._inner.id_type)
        rows = len(given) if isinstance(given, (np.ndarray, list)) else None
        if isinstance(metadata, dict) and rows == 1 and not isinstance(ids, (list, tuple, np.ndarray)):
            metadata = [metadata]
        changes, removed = _metadata.changes(metadata, rows, lambda: self.fields)
        try:
            return self._inner.update_metadata(given, changes, removed)
        except NotFoundError as error:
            # The engine looks the rows up as for `get`, and its hint is an option of that.
            raise NotFoundError(str(error).partition(": pass missing=")[0]) from None

    @hinted
    def delete(
        self,
        ids: IdsLike | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        since: TimeLike | None = None,
        until: TimeLike | None = None,
    ) -> int:
        """Delete rows by id or by filter, and return how many there were.

        Parameters
        ----------
        ids : sequence of int, str or UUID, integer array, Arrow array, int, str or UUID, optional
            Unknown ids are allowed. A single id counts as a sequence of one.
        filter : Expression, dict or str, optional
            Deletes the rows that match it now; one that another writer replaces meanwhile stays.
        since, until
            As in `search`, with `filter` or without.

        Examples
        --------
        >>> import drift
        >>> c = drift.connect("memory://delete").create_collection("c", dim=2)
        >>> c.upsert([1, 2], [[1.0, 0.0], [0.0, 1.0]], metadata={"year": [2020, 2024]})
        >>> c.delete(filter=drift.col("year") < 2022)
        1
        """
        tree = _time.window(filter, since, until, self._inner)
        if ids is not None and tree is None:
            return self._inner.delete(_input.ids(ids, self._inner.id_type))
        if ids is not None or tree is None:
            raise InvalidArgumentError("delete takes either ids or filter=, since= and until=")
        return self._inner.delete_where(tree)

    @hinted
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

        Rows whose ids exist are replaced, and of an id that comes twice the last row wins.

        Parameters
        ----------
        source : path, sequence of paths, Arrow table or stream, or iterable of batches
            Parquet files; any object with the Arrow PyCapsule interface; or an iterable of ``(ids, vectors)`` pairs,
            of ``(ids, vectors, metadata)`` or of Arrow batches. Only one batch is in memory at a time; float16 columns
            stay float16, float64 and integers become float32.
        id, vector : str
            Names of the columns of the ids and of the vectors.
        metadata : bool, str or sequence of str
            Columns that become metadata: True for all others, or these; a column of the name of the collection's time
            field always does. Integers, floats, booleans, text, dates, timestamps and lists of text are taken as they
            are, structs, maps and other lists as JSON; other columns (decimals, times of day, bytes) are refused by
            name. A column ``_expires`` of timestamps among them is when rows expire, null for never.
        progress : bool or callable, optional
            True shows a bar (tqdm or rich when installed); a callable gets the rows so far and their total, or None
            for an unknown total: at the start and the end of each stage (reading, training, writing) and every 50 ms
            at most in between. An exception in it stops the load. It may search the collection and write to it, but
            once all rows are read the load holds what some calls wait for: in the callback `flush`, `close`,
            `optimize`, `verify`, `health`, another `load`, `delete` by filter, `update_metadata` and dropping the
            collection raise `LockedError`, as does a write that finds no room in memory. A source of rows may call
            anything.

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
        with closing(shown) as update:
            id, vector = text("id", id), text("vector", vector)  # noqa: A001
            fields = _metadata.include(metadata)
            if isinstance(source, (str, os.PathLike)):
                return self._inner.load_parquet(_source.paths([source]), id, vector, fields, update)
            if _input.is_arrow(source):
                table = _polars.typed(source)
                return self._inner.load_arrow(table, id, vector, fields, update)  # type: ignore[arg-type]
            if _source.are_paths(source):
                return self._inner.load_parquet(_source.paths(source), id, vector, fields, update)
            if _source.are_batches(source):
                batches = _source.batches(source, self._inner.id_type, self._dim, lambda: self.fields)
                return self._inner.load_batches(batches, id, vector, fields, update)
            raise _source.refusal(source)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._inner)

    def __contains__(self, id: object) -> bool:  # noqa: A002 - a row's id.
        if self._inner.id_type == "str":
            id = _input.id_text(id)  # noqa: A001
            return isinstance(id, str) and is_unicode(id) and self._inner.contains(id)
        if not is_int(id) or not 0 <= id < 2**63:
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

    def optimize(self, *, progress: Progress = None) -> dict[str, Any]:
        """Split, merge and rewrite buckets and segments until they are near their target sizes.

        Nothing needs it: maintenance does the same bit by bit. Ctrl-C, or an exception in `progress`, ends it after a
        step; what is done stays.

        Parameters
        ----------
        progress : bool or callable, optional
            True shows a bar; a callable gets the steps so far and in all (flush, retrain, restructure, compact). What
            would wait for the call raises `LockedError` in it, as in that of `load`.

        Returns
        -------
        dict
            Counts of what was done, and ``seconds`` (float).
        """
        return self._optimize(display(progress, "steps"))

    def _optimize(self, shown: Display | None) -> dict[str, Any]:
        with closing(shown) as update:
            return self._inner.optimize(update)

    def verify(self, *, repair: bool = False, progress: Progress = None) -> dict[str, Any]:
        """Read every stored byte and check it.

        Parameters
        ----------
        repair : bool
            Write anew what is damaged and follows from sound bytes: logs, the bitstore, manifests before the newest.
            Damaged vectors, ids and the newest manifest cannot be repaired; they stay in ``problems``. Restore those
            from a backup, or open the database with ``recovery="salvage"``.
        progress : bool or callable, optional
            True shows a bar; a callable gets the bytes of segments so far and in all, twice when `repair` finds
            damage. What would wait for the check raises `LockedError` in it, as in that of `load`. An exception in it,
            or Ctrl-C, ends the check.

        Returns
        -------
        dict
            ``files``, ``bytes``, ``rows`` (int); ``problems``: a list of sentences that name the file and the offset,
            empty when all is well; ``repaired``: the problems that are gone.
        """
        return self._verify(repair, display(progress, "bytes"))

    def _verify(self, repair: bool, shown: Display | None) -> dict[str, Any]:
        checked = flag("repair", repair)
        with closing(shown) as update:
            return self._inner.verify(checked, update)

    def stats(self) -> dict[str, Any]:
        """Return counts of rows, buckets, segments, bytes and work, how long searches take, and what is wrong.

        Returns
        -------
        dict
            Counts (int). ``search_ms``: ``calls`` of `search` in this process since the collection was opened, and the
            milliseconds that half (``p50``), 95 and 99 of 100 of them took at most, read from classes an eighth wide;
            None before the first. ``jobs``: the newest 256 finished background jobs, as `health` has them. ``degraded``
            and ``poisoned``: why background work fails or writes are refused, else None.

        Examples
        --------
        >>> import drift
        >>> c = drift.connect("memory://stats").create_collection("c", dim=2)
        >>> c.add([1], [[1.0, 0.0]])
        >>> c.stats()["rows"], c.stats()["search_ms"]
        (1, None)
        >>> _ = c.search([1.0, 0.0])
        >>> sorted(c.stats()["search_ms"])
        ['calls', 'p50', 'p95', 'p99']
        """
        return self._inner.stats()

    def close(self) -> None:
        """Close the collection, for all handles to it of this database object. Closing again does nothing."""
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
            stats = self._inner.stats()
            timed = stats.pop("search_ms")
            rows = [(name, value) for name, value in stats.items() if value and name != "jobs"]
            if timed is not None:
                rows += [(f"search {name}, ms", f"{timed[name]:.3g}") for name in ("p50", "p95", "p99")]
        except DriftError as error:
            rows = [("error", str(error))]
        return html_table(repr(self), ["", ""], rows)
