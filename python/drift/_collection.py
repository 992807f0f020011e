"""The handle of an open collection: writes, lookups, searches, bulk loads, upkeep."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from drift import _core, _input, _source
from drift._errors import DriftError, InvalidArgumentError
from drift._health import Health
from drift._maintenance import Maintenance
from drift._progress import display
from drift._result import Rows, SearchResult
from drift._show import count, html_table

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray

    from drift._database import Database
    from drift._progress import Display
    from drift._types import IdsLike, LoadSource, Missing, Progress, VectorsLike

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
    """Rows of an id and a vector. `Database.create_collection` and `Database.open_collection` make it.

    It is safe to use from several threads; readers never wait for writers. It pickles by its database's URI and its
    name. It is also a context manager that closes it.

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

    def _pair(self, ids: IdsLike, vectors: VectorsLike) -> tuple[_input.Ids, _input.Vectors]:
        return _input.pair(ids, vectors, self._inner.id_type, self._dim)

    def add(self, ids: IdsLike, vectors: VectorsLike) -> None:
        """Insert rows whose ids do not exist yet, all or none.

        Parameters
        ----------
        ids : sequence of int or str, integer array, Arrow array, shape (n,)
            int64 from 0 or strings of 1 to 1,024 bytes, as the collection's `id_type` says. Each id once.
        vectors : array_like or Arrow array, shape (n, dim)
            C-contiguous float32 and float16 arrays and Arrow fixed-size lists of them are not copied on the way in;
            float64 is rounded to float32; float16 is stored as such. Values must be finite, and under cosine no
            vector may be zero.

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
        self._inner.add(*self._pair(ids, vectors))

    def upsert(self, ids: IdsLike, vectors: VectorsLike) -> None:
        """Insert rows, replacing those whose ids exist, all or none. Of an id that is given twice, the last wins.

        Parameters
        ----------
        ids, vectors
            As in `add`.

        Raises
        ------
        InvalidArgumentError
            When a shape, a type or a value is wrong; the message names the row and the column.
        """
        self._inner.upsert(*self._pair(ids, vectors))

    def delete(self, ids: IdsLike) -> int:
        """Delete rows, and return how many of the ids existed.

        Parameters
        ----------
        ids : sequence of int or str, integer array, Arrow array, int or str
            Unknown ids are allowed. A single id counts as a sequence of one.
        """
        return self._inner.delete(_input.ids(ids, self._inner.id_type))

    def get(self, ids: IdsLike, *, missing: Missing = "error") -> Rows:
        """Return the stored vectors of rows.

        Parameters
        ----------
        ids : sequence of int or str, integer array, Arrow array, int or str
            A single id counts as a sequence of one.
        missing : {"error", "skip"}
            What to do about an unknown id.

        Returns
        -------
        Rows
            ``.ids`` of shape (n,) in the order asked for, ``.vectors`` float32 of shape (n, dim).

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
        return Rows(*self._inner.get(_input.ids(ids, self._inner.id_type), text("missing", missing, "error", "skip")))

    def search(
        self,
        query: VectorsLike,
        k: int = 10,
        *,
        recall: float | None = 0.95,
        exact: bool = False,
        nprobe: int | None = None,
        threads: int | None = None,
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
        nprobe : int, optional
            Buckets to scan, 1 or more, instead of what `recall` asks for.
        threads : int, optional
            Threads for several queries, 1 or more; all cores when None.

        Returns
        -------
        SearchResult
            ``.ids`` and ``.distances`` of shape (k,) for one query and (n, k) for several.

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
        try:
            ids, distances = self._inner.search(values, k, recall, exact, nprobe, threads)
        except (TypeError, OverflowError) as error:
            raise _misfit(error, k, recall, exact, nprobe, threads) from None
        return SearchResult(ids, distances)

    def load(
        self,
        source: LoadSource,
        id: str = "id",  # noqa: A002 - its name is part of the API.
        vector: str = "embedding",
        *,
        progress: Progress = None,
    ) -> dict[str, Any]:
        """Load many rows at once, all or none, straight into buckets.

        Parameters
        ----------
        source : path, sequence of paths, Arrow table or stream, or iterable of batches
            Parquet files; any object with the Arrow PyCapsule interface; or an iterable of ``(ids, vectors)`` pairs
            or Arrow batches. Only one batch is in memory at a time; float16 columns stay float16.
        id, vector : str
            Names of the columns of the ids and of the vectors.
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
        return self._load(source, id, vector, display(progress))

    def _load(self, source: LoadSource, id: str, vector: str, shown: Display | None) -> dict[str, Any]:  # noqa: A002
        update = None if shown is None else shown.update
        try:
            id, vector = text("id", id), text("vector", vector)  # noqa: A001
            if isinstance(source, (str, os.PathLike)):
                report = self._inner.load_parquet(_source.paths([source]), id, vector, update)
            elif _input.is_arrow(source):
                report = self._inner.load_arrow(source, id, vector, update)  # type: ignore[arg-type]
            elif _source.are_paths(source):
                report = self._inner.load_parquet(_source.paths(source), id, vector, update)
            elif _source.are_batches(source):
                batches = _source.batches(source, self._inner.id_type, self._dim)
                report = self._inner.load_batches(batches, id, vector, update)
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
