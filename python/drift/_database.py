"""Opening databases, and the handle of an open one."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any

from drift import _core
from drift._collection import Collection, natural, text
from drift._errors import DriftError, InvalidArgumentError
from drift._show import ROWS_SHOWN, count, html_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self, TypeAlias

    from drift._types import Durability, IdType, Metric, Precision, Recovery

    _State: TypeAlias = tuple[str, bool, str, str, int | None]

__all__ = ["Database", "connect"]

# Open handles by process and pickled state, so that a handle that comes back to its own process is the same handle
# and not a second writer. Forked children do not find their parent's.
_open: weakref.WeakValueDictionary[tuple[int, _State], Database] = weakref.WeakValueDictionary()


def connect(
    uri: str | os.PathLike[str],
    *,
    read_only: bool = False,
    durability: Durability = "always",
    recovery: Recovery = "strict",
    storage_options: Mapping[str, str] | None = None,
    memory_limit: int | None = None,
) -> Database:
    """Open a database, creating it when it does not exist.

    Parameters
    ----------
    uri : str or path
        A folder, as a path (``~`` is the home folder) or as ``file://...``, or ``memory://name`` for a database in
        the memory of this process.
    read_only : bool
        Refuse every write, and create nothing.
    durability : {"always", "interval", "os", "none"}
        When a write returns: after fsync (survives power loss), after reaching the log with an fsync every 100 ms or
        at the system's leisure (both survive the death of the process), or at once.
    recovery : {"strict", "salvage"}
        What opening does with damage. ``"strict"`` raises and changes nothing. ``"salvage"`` puts a copy of all rows
        that can still be read in the place of a collection that neither opens nor can be repaired; `given_up` says
        what was lost. Salvage a copy of the folder: what is damaged is deleted.
    storage_options : mapping of str to str, optional
        Options of an object store. Local and in-memory databases have none.
    memory_limit : int, optional
        Bytes that bulk loads and memtables may hold in memory, 64 MiB (``64 << 20``) or more; 1 GiB by default.

    Returns
    -------
    Database
        Also a context manager that closes it.

    Raises
    ------
    InvalidArgumentError
        When an argument is out of its bounds.
    NotFoundError
        When there is no database there and `read_only` is true.
    LockedError
        When it is open for writing already, here or in another process.
    CorruptionError
        When a file is damaged; the message names it.
    UnsupportedFormatError
        When it was written in another format version.

    Examples
    --------
    >>> import drift
    >>> db = drift.connect("memory://example")
    >>> db.list_collections()
    []
    """
    address = _address(uri)
    if storage_options:
        names = ", ".join(sorted(storage_options))
        raise InvalidArgumentError(f"storage_options ({names}) are given, but {address!r} is no object store")
    if memory_limit is not None:
        natural("memory_limit", memory_limit, 64 << 20)
    mode = text("durability", durability, "always", "interval", "os", "none")
    kind = text("recovery", recovery, "strict", "salvage")
    return Database._open(address, bool(read_only), mode, kind, memory_limit)


def _address(uri: object) -> str:
    """Return the URI, or the absolute path with ``~`` for the home folder written out."""
    if not isinstance(uri, (str, os.PathLike)):
        raise InvalidArgumentError(f"uri is {uri!r}: it must be a str or a path")
    address = os.fspath(uri)
    if not isinstance(address, str):
        raise InvalidArgumentError(f"uri is {address!r}: it must be a str or a path of str")
    if not address:
        raise InvalidArgumentError("uri is empty: it must name a folder, or be memory://")
    if address == ":memory:":
        raise InvalidArgumentError("uri is ':memory:': a database in memory is memory://, or memory://name")
    if "://" in address:
        return address
    return os.path.abspath(os.path.expanduser(address))  # noqa: PTH100, PTH111 - Path.resolve would follow links.


def _reopen(*state: Any) -> Database:
    """Unpickle a database: the open handle of this process, or a new one."""
    live = _open.get((os.getpid(), state))
    return live if live is not None and not live.closed else Database._open(*state)


class Database:
    """An open database: a set of named collections. `connect` makes it.

    It is safe to use from several threads. It pickles by its URI: unpickled in its own process it is the same handle;
    in another process it is opened there, which only one writer at a time can do.

    Examples
    --------
    >>> import drift
    >>> with drift.connect("memory://database") as db:
    ...     c = db.create_collection("docs", dim=4)
    ...     "docs" in db, db["docs"].dim
    (True, 4)
    """

    __slots__ = ("__weakref__", "_closed", "_inner", "_state")

    _inner: _core.Database
    _state: _State
    _closed: bool

    def __init__(self) -> None:
        raise TypeError("use drift.connect(uri) to open a database")

    @classmethod
    def _open(cls, uri: str, read_only: bool, durability: str, recovery: str, memory_limit: int | None) -> Database:
        self = object.__new__(cls)
        self._inner = _core.Database(uri, read_only, durability, recovery, memory_limit)
        self._state = (uri, read_only, durability, recovery, memory_limit)
        self._closed = False
        _open[os.getpid(), self._state] = self
        return self

    @property
    def uri(self) -> str:
        """The URI that the database was opened with, its path absolute."""
        return self._state[0]

    @property
    def read_only(self) -> bool:
        """Whether every write is refused."""
        return self._state[1]

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def given_up(self) -> list[str]:
        """What ``recovery="salvage"`` has given up since the database was opened: a sentence each, naming the file."""
        return self._inner.given_up()

    def create_collection(
        self,
        name: str,
        dim: int,
        metric: Metric = "cosine",
        id_type: IdType = "int",
        *,
        precision: Precision = "1bit",
        exist_ok: bool = False,
    ) -> Collection:
        """Create a collection.

        Parameters
        ----------
        name : str
            Its name, unique in the database.
        dim : int
            Dimension of its vectors, 1 to 16,384.
        metric : {"cosine", "l2", "dot"}
            Distance: ``1 - cos(a, b)``, ``|a - b|^2`` or ``-<a, b>``.
        id_type : {"int", "str"}
            Type of its ids: int64 from 0, or strings of 1 to 1,024 bytes of UTF-8.
        precision : {"1bit", "sq8"}
            What a search reads first: codes of one bit a dimension, then 8-bit codes of the few rows that pass; or
            8-bit codes alone, which is slower and saves a fifth of the memory. Below 64 dimensions both are the same.
        exist_ok : bool
            Open the collection when it exists with the same `dim`, `metric`, `id_type` and `precision`.

        Raises
        ------
        InvalidArgumentError
            When an argument is out of its bounds, or differs from the existing collection's.
        AlreadyExistsError
            When it exists and `exist_ok` is false.

        Examples
        --------
        >>> import drift
        >>> db = drift.connect("memory://create")
        >>> db.create_collection("docs", dim=384, metric="cosine")
        Collection('docs', 0 rows, dim=384, metric='cosine', id_type='int')
        """
        natural("dim", dim, 1)
        created = self._inner.create_collection(
            text("name", name),
            dim,
            text("metric", metric, "cosine", "l2", "dot"),
            text("id_type", id_type, "int", "str"),
            text("precision", precision, "1bit", "sq8"),
            bool(exist_ok),
        )
        return Collection._of(self, created)

    def open_collection(self, name: str) -> Collection:
        """Open a collection.

        Raises
        ------
        NotFoundError
            When there is none of this name.
        """
        return Collection._of(self, self._inner.open_collection(text("name", name)))

    def __getitem__(self, name: str) -> Collection:
        return self.open_collection(name)

    def __contains__(self, name: object) -> bool:
        return name in self._inner.list_collections()

    def list_collections(self) -> list[str]:
        """Return the names of all collections, sorted."""
        return self._inner.list_collections()

    def drop_collection(self, name: str) -> None:
        """Delete a collection and all its rows.

        Raises
        ------
        NotFoundError
            When there is none of this name.
        """
        self._inner.drop_collection(text("name", name))

    def close(self) -> None:
        """Close the database and its collections. Rows that were written stay; closing again does nothing."""
        self._closed = True
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, self._state

    def __repr__(self) -> str:
        return f"Database({self.uri!r}, {self._summary()})"

    def _summary(self) -> str:
        if self._closed:
            return "closed"
        try:
            collections = len(self._inner.list_collections())
        except DriftError as error:
            return type(error).__name__
        return count(collections, "collection") + ", read-only" * self.read_only

    def _repr_html_(self) -> str:
        try:
            names = [] if self._closed else self._inner.list_collections()
        except DriftError as error:
            return html_table(repr(self), ["", ""], [("error", str(error))])
        rows: list[tuple[object, ...]] = []
        for name in names[:ROWS_SHOWN]:
            try:
                c = self._inner.open_collection(name)
                rows.append((name, len(c), str(c.dim), c.metric, c.id_type))
            except DriftError as error:
                rows.append((name, type(error).__name__, "-", "-", "-"))  # Dropped meanwhile, or damaged.
        return html_table(repr(self), ["collection", "rows", "dim", "metric", "id_type"], rows, len(names))
