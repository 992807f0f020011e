"""Opening databases, and the handle of an open one."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drift import _backup, _core, _metadata, _time
from drift._address import address
from drift._arguments import hinted
from drift._checks import flag, natural, text
from drift._collection import Collection
from drift._errors import DriftError, InvalidArgumentError
from drift._progress import display
from drift._show import ROWS_SHOWN, count, html_table

if TYPE_CHECKING:
    import datetime as dt
    from types import TracebackType
    from typing import Self, TypeAlias

    import numpy as np

    from drift._backup import Backup
    from drift._progress import Display
    from drift._types import Durability, ExactRows, FieldType, IdType, Metric, Precision, Progress, Recovery

    _State: TypeAlias = tuple[str, bool, str, str, str, int | None]

__all__ = ["Database", "connect"]

# Open handles by process and pickled state, so that a handle that comes back to its own process is the same handle
# and not a second writer. Forked children do not find their parent's.
_open: weakref.WeakValueDictionary[tuple[int, _State], Database] = weakref.WeakValueDictionary()


@hinted
def connect(
    uri: str | os.PathLike[str],
    *,
    read_only: bool = False,
    durability: Durability = "always",
    recovery: Recovery = "strict",
    exact_rows: ExactRows = "disk",
    storage_options: Mapping[str, str] | None = None,
    memory_limit: int | None = None,
) -> Database:
    """Open a database, creating it when it does not exist.

    Parameters
    ----------
    uri : str or path
        A folder, as a path (``~`` is the home folder) or as ``file:///path`` with escapes such as ``%20``, which is
        what ``Path.as_uri`` gives; or ``memory://name`` for a database in the memory of this process.
    read_only : bool
        Refuse every write, and create nothing. Any number of processes may read beside the one that writes: they see
        what was acknowledged when they opened a collection or last called `Database.refresh` or `Collection.refresh`.
    durability : {"always", "interval", "os", "none"}
        When a write returns: after fsync (survives power loss), after reaching the log with an fsync every 100 ms or
        at the system's leisure (both survive the death of the process), or at once.
    recovery : {"strict", "salvage"}
        What opening does with damage. ``"strict"`` raises and changes nothing. ``"salvage"`` puts a copy of all rows
        that can still be read in the place of a collection that neither opens nor can be repaired; `given_up` says
        what was lost. Salvage a copy of the folder: what is damaged is deleted.
    storage_options : mapping of str to str, optional
        Options of an object store. Local and in-memory databases have none.
    exact_rows : {"disk", "memory"}
        Where searches read the exact vectors that the nearest dozen rows are ranked by at the end. ``"memory"`` keeps a
        copy of all flushed ones, as given, beside their codes: ``dim`` times 2 (float16) or 4 bytes more a row, for a
        fifth to a third more queries a second. Files are the same either way.
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
    where = address(uri)
    if storage_options is not None and not isinstance(storage_options, Mapping):
        raise InvalidArgumentError(f"storage_options is {storage_options!r}: it must be a mapping of str to str")
    if storage_options:
        names = ", ".join(sorted(map(str, storage_options)))
        raise InvalidArgumentError(f"storage_options ({names}) are given, but {where!r} is no object store")
    limit = None if memory_limit is None else natural("memory_limit", memory_limit, 64 << 20)
    mode = text("durability", durability, "always", "interval", "os", "none")
    kind = text("recovery", recovery, "strict", "salvage")
    rows = text("exact_rows", exact_rows, "disk", "memory")
    return Database._open(where, flag("read_only", read_only), mode, kind, rows, limit)


def _reopen(*state: Any) -> Database:
    """Unpickle a database: the open handle of this process, or one for reading."""
    uri, _, durability, _, exact_rows, memory_limit = state
    # Salvage is asked for by name, never by unpickling.
    for_reading = (uri, True, durability, "strict", exact_rows, memory_limit)
    for wanted in (state, for_reading):
        live = _open.get((os.getpid(), wanted))
        if live is not None and not live.closed:
            return live
    return Database._open(*for_reading)


class Database:
    """An open database: a set of named collections. `connect` makes it.

    It is safe to use from several threads. It pickles by its URI. Unpickled where it is open it is the same handle;
    anywhere else it is opened with ``read_only=True``, as the process that pickled it may be writing. `refresh` takes
    up what was written since; to write in another process, `connect` there.

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
    def _open(
        cls, uri: str, read_only: bool, durability: str, recovery: str, exact_rows: str, memory_limit: int | None
    ) -> Database:
        self = object.__new__(cls)
        self._inner = _core.Database(uri, read_only, durability, recovery, exact_rows, memory_limit)
        self._state = (uri, read_only, durability, recovery, exact_rows, memory_limit)
        self._closed = False
        _open[os.getpid(), self._state] = self
        return self

    @property
    def uri(self) -> str:
        """The URI that the database was opened with, or its path, absolute; of a ``file://`` URI the path too."""
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

    @hinted
    def create_collection(
        self,
        name: str,
        dim: int,
        metric: Metric = "cosine",
        id_type: IdType = "int",
        *,
        precision: Precision = "1bit",
        fields: Mapping[str, FieldType] | None = None,
        time: str | None = None,
        ttl: dt.timedelta | np.timedelta64 | float | None = None,
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
        fields : mapping of str to type, optional
            Metadata fields of its rows: ``bool``, ``int``, ``float``, ``str``, ``timestamp``, ``list`` (of str) or
            ``json``. Declared, they are fixed; otherwise writes bring them, with the type of their first value; a
            field of ints that is given floats becomes one of floats, unless it has ints that no float64 is equal to.
        time : str, optional
            Metadata field, of type ``timestamp``, that is each row's time: `since=`, `until=` and `decay=` of reads
            go by it. A row that is written without it gets the clock's time.
        ttl : timedelta, timedelta64 or float, optional
            Rows expire so long after their time; a number is seconds. From then on no call shows them, and background
            maintenance deletes them. It needs `time`.
        exist_ok : bool
            Open the collection when it exists with the same `dim`, `metric`, `id_type` and `precision`, and the same
            `fields`, `time` and `ttl` where these are given.

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
        created = self._inner.create_collection(
            text("name", name),
            natural("dim", dim, 1),
            text("metric", metric, "cosine", "l2", "dot"),
            text("id_type", id_type, "int", "str"),
            text("precision", precision, "1bit", "sq8"),
            _metadata.fields(fields),
            None if time is None else text("time", time),
            None if ttl is None else _time.duration("ttl", ttl),
            flag("exist_ok", exist_ok),
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
        return sorted(self._inner.list_collections())

    def drop_collection(self, name: str) -> None:
        """Delete a collection and all its rows.

        Raises
        ------
        NotFoundError
            When there is none of this name.
        """
        self._inner.drop_collection(text("name", name))

    def refresh(self) -> bool:
        """Take up what another process has written since a read-only database was opened or last refreshed.

        Collections that came appear, handles to dropped ones are closed, and all open ones are as their last
        acknowledged write left them. Calls that are under way end on what they began with.

        Returns
        -------
        bool
            Whether there was anything new; False for a handle that writes, which is never behind.

        Raises
        ------
        NotFoundError
            When the database is gone.

        Examples
        --------
        >>> import drift
        >>> writer = drift.connect("memory://refresh")
        >>> reader = drift.connect("memory://refresh", read_only=True)
        >>> _ = writer.create_collection("docs", dim=2)
        >>> "docs" in reader, reader.refresh(), "docs" in reader
        (False, True, True)
        """
        return self._inner.refresh()

    def backup(self, uri: str | os.PathLike[str], *, incremental: bool = True, progress: Progress = None) -> Backup:
        """Copy the database into a folder of backups, from which `restore` makes databases.

        Reads, writes and maintenance go on meanwhile, in this process and in others; a read-only handle can back up
        too. Every write that was acknowledged before the call is in the backup. Each file is read back and compared. A
        backup that does not finish is not listed by `backups`, and the next one removes its files.

        Parameters
        ----------
        uri : str or path
            A folder of backups of this database; a missing one is created. Best on another disk.
        incremental : bool
            Copy only what earlier backups in the folder do not have. False copies everything once more, so that damage
            to earlier files cannot reach this backup.
        progress : bool or callable, optional
            True shows a bar for each collection; a callable gets the bytes of a collection so far and in all. An
            exception in it stops the backup.

        Raises
        ------
        InvalidArgumentError
            When the folder is in the database, or holds anything but backups of it.
        CorruptionError
            When a file of the database is damaged; the message names it.
        LockedError
            When another backup into the folder is under way.

        Examples
        --------
        >>> import drift
        >>> db = drift.connect("memory://backup-source")
        >>> _ = db.create_collection("docs", dim=2)
        >>> db.backup("memory://backup-folder").collections
        ('docs',)
        """
        return self._backup(uri, incremental, display(progress, "bytes"))

    def _backup(self, uri: str | os.PathLike[str], incremental: bool, shown: Display | None) -> Backup:
        return _backup.take(self._inner, uri, incremental, shown)

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
            names = [] if self._closed else self.list_collections()
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
