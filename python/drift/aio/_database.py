"""`drift.connect` and `drift.Database` for asyncio."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import drift
from drift._arguments import hinted
from drift._progress import display
from drift.aio._calls import Calls, Opening, thread_count
from drift.aio._collection import Collection

if TYPE_CHECKING:
    import datetime as dt
    import os
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    import numpy as np

    from drift import Backup
    from drift._types import Durability, ExactRows, FieldType, IdType, Metric, Precision, Progress, Recovery


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
    threads: int | None = None,
) -> Opening[Database]:
    """Open a database, creating it when it does not exist: ``await`` it, or enter it with ``async with``.

    Parameters
    ----------
    uri, read_only, durability, recovery, exact_rows, storage_options, memory_limit
        As in `drift.connect`.
    threads : int, optional
        Calls that run at once, 1 to 256; further ones wait their turn. The number of cores and four more when None,
        at most 32.

    Raises
    ------
    DriftError
        As `drift.connect`, when it is awaited.

    Examples
    --------
    >>> import asyncio
    >>> from drift import aio
    >>> async def main() -> list[str]:
    ...     async with aio.connect("memory://aio-connect") as db:
    ...         return await db.list_collections()
    >>> asyncio.run(main())
    []
    """
    options: dict[str, Any] = {
        "read_only": read_only,
        "durability": durability,
        "recovery": recovery,
        "exact_rows": exact_rows,
        "storage_options": storage_options,
        "memory_limit": memory_limit,
    }
    return Opening(_connect(uri, options, threads))


async def _connect(uri: str | os.PathLike[str], options: dict[str, Any], threads: int | None) -> Database:
    calls = Calls(f"database {str(uri)!r}", thread_count(threads))
    return Database._of(await calls.open(drift.connect, uri, **options), calls)


def _restore(database: drift.Database, threads: int) -> Database:
    return Database._of(database, Calls(f"database {database.uri!r}", threads))


class Database:
    """An open database: a set of named collections. `drift.aio.connect` makes it.

    It pickles by its URI as `drift.Database` does; unpickling opens it, and blocks meanwhile.

    Examples
    --------
    >>> import asyncio
    >>> from drift import aio
    >>> async def main() -> bool:
    ...     async with aio.connect("memory://aio-database") as db:
    ...         await db.create_collection("docs", dim=4)
    ...         return await db.contains("docs")
    >>> asyncio.run(main())
    True
    """

    __slots__ = ("__weakref__", "_calls", "_sync")

    _sync: drift.Database
    _calls: Calls

    def __init__(self) -> None:
        raise TypeError("use await drift.aio.connect(uri) to open a database")

    @classmethod
    def _of(cls, sync: drift.Database, calls: Calls) -> Database:
        self = object.__new__(cls)
        self._sync = sync
        self._calls = calls
        return self

    @property
    def uri(self) -> str:
        """The URI that the database was opened with, its path absolute."""
        return self._sync.uri

    @property
    def read_only(self) -> bool:
        """Whether every write is refused."""
        return self._sync.read_only

    @property
    def closed(self) -> bool:
        """Whether the database is closed."""
        return self._sync.closed

    @property
    def given_up(self) -> list[str]:
        """What ``recovery="salvage"`` has given up: a sentence each."""
        return self._sync.given_up

    @property
    def threads(self) -> int:
        """Calls that run at once."""
        return self._calls.threads

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
    ) -> Opening[Collection]:
        """Create a collection, as `drift.Database.create_collection`: ``await`` it, or enter it."""
        create = self._sync.create_collection
        options = {"precision": precision, "fields": fields, "time": time, "ttl": ttl, "exist_ok": exist_ok}
        return Opening(self._collection(create, name, dim, metric, id_type, **options))

    def open_collection(self, name: str) -> Opening[Collection]:
        """Open a collection, as `drift.Database.open_collection`: ``await`` it, or enter it."""
        return Opening(self._collection(self._sync.open_collection, name))

    async def _collection(self, call: Any, *args: Any, **options: Any) -> Collection:
        return Collection._of(self, await self._calls.run(call, *args, **options), self._calls)

    async def contains(self, name: object) -> bool:
        """Return whether there is a collection of this name: ``name in db`` of `drift.Database`."""
        return await self._calls.run(self._sync.__contains__, name)

    async def list_collections(self) -> list[str]:
        """Return the names of all collections, sorted."""
        return await self._calls.run(self._sync.list_collections)

    async def drop_collection(self, name: str) -> None:
        """Delete a collection and all its rows, as `drift.Database.drop_collection`."""
        await self._calls.run(self._sync.drop_collection, name)

    async def refresh(self) -> bool:
        """Take up what another process has written, as `drift.Database.refresh`."""
        return await self._calls.run(self._sync.refresh)

    async def backup(
        self, uri: str | os.PathLike[str], *, incremental: bool = True, progress: Progress = None
    ) -> Backup:
        """Copy the database into a folder of backups, as `drift.Database.backup`.

        A `progress` function is called in a thread of the database. When cancelled, the backup stops at its next report
        of progress, and is not listed, unless it has finished already.
        """
        return await self._calls.watched(partial(self._sync._backup, uri, incremental), display(progress, "bytes"))

    async def close(self) -> None:
        """Close the database, its collections and its threads. Calls that were made before begin before.

        It goes on when it is cancelled. Closing again waits for the end of the first.
        """
        await self._calls.close(self._sync.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._sync, self._calls.threads)

    def __repr__(self) -> str:
        return f"aio.{self._sync!r}"

    def _repr_html_(self) -> str:
        return self._sync._repr_html_()
