"""`drift.Collection` for asyncio."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from drift._arguments import hinted
from drift._described import Described
from drift._progress import display
from drift.aio._maintenance import Maintenance

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self
    from uuid import UUID

    import numpy as np
    from numpy.typing import NDArray

    import drift
    from drift import Decay, Explanation, Health, Page, Rows, SearchResult, _core
    from drift._filter import FilterLike
    from drift._types import (
        ExpiresLike,
        IdsLike,
        Include,
        LoadSource,
        MetadataLike,
        Missing,
        Progress,
        Routing,
        TimeLike,
        VectorsLike,
    )
    from drift.aio._calls import Calls
    from drift.aio._database import Database


def _restore(database: Database, sync: drift.Collection) -> Collection:
    return Collection._of(database, sync, database._calls)


class Collection(Described):
    """Rows of an id, a vector and metadata. `Database.create_collection` and `Database.open_collection` make it.

    Every method takes, returns and raises what the one of `drift.Collection` does.

    Examples
    --------
    >>> import asyncio
    >>> from drift import aio
    >>> async def main() -> tuple[int, bool]:
    ...     async with aio.connect("memory://aio-collection") as db:
    ...         async with db.create_collection("docs", dim=2, metric="l2") as c:
    ...             await c.upsert([10, 11], [[0.0, 0.0], [1.0, 1.0]])
    ...             return await c.count(), await c.contains(10)
    >>> asyncio.run(main())
    (2, True)
    """

    __slots__ = ("__weakref__", "_calls", "_database", "_inner", "_sync")

    _inner: _core.Collection
    _sync: drift.Collection
    _database: Database
    _calls: Calls

    def __init__(self) -> None:
        raise TypeError("use await Database.open_collection(name) or await Database.create_collection(name, dim)")

    @classmethod
    def _of(cls, database: Database, sync: drift.Collection, calls: Calls) -> Collection:
        self = object.__new__(cls)
        self._database = database
        self._sync = sync
        self._inner = sync._inner
        self._calls = calls
        return self

    @property
    def database(self) -> Database:
        """The database of the collection."""
        return self._database

    @hinted
    async def add(
        self,
        ids: IdsLike,
        vectors: VectorsLike,
        metadata: MetadataLike | None = None,
        *,
        expires: ExpiresLike = None,
    ) -> None:
        """Insert rows whose ids do not exist yet, all or none, as `drift.Collection.add`."""
        await self._calls.run(self._sync.add, ids, vectors, metadata, expires=expires)

    @hinted
    async def upsert(
        self,
        ids: IdsLike,
        vectors: VectorsLike,
        metadata: MetadataLike | None = None,
        *,
        expires: ExpiresLike = None,
    ) -> None:
        """Insert rows, replacing those whose ids exist, all or none, as `drift.Collection.upsert`."""
        await self._calls.run(self._sync.upsert, ids, vectors, metadata, expires=expires)

    @hinted
    async def update_metadata(
        self,
        ids: IdsLike | None = None,
        metadata: MetadataLike | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        since: TimeLike | None = None,
        until: TimeLike | None = None,
    ) -> int:
        """Change metadata of rows by id or by filter, as `drift.Collection.update_metadata`."""
        return await self._calls.run(self._sync.update_metadata, ids, metadata, filter=filter, since=since, until=until)

    @hinted
    async def delete(
        self,
        ids: IdsLike | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        since: TimeLike | None = None,
        until: TimeLike | None = None,
    ) -> int:
        """Delete rows by id or by filter, and return how many there were, as `drift.Collection.delete`."""
        return await self._calls.run(self._sync.delete, ids, filter=filter, since=since, until=until)

    @hinted
    async def get(self, ids: IdsLike, *, missing: Missing = "error", include: Include = None) -> Rows:
        """Return the stored vectors, and metadata, of rows, as `drift.Collection.get`."""
        return await self._calls.run(self._sync.get, ids, missing=missing, include=include)

    async def check_filter(self, filter: FilterLike) -> list[str]:  # noqa: A002
        """Return what is likely wrong with a filter that finds nothing, as `drift.Collection.check_filter`."""
        return await self._calls.run(self._sync.check_filter, filter)

    @hinted
    async def scroll(
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
        """Return rows in ascending order of id, a page at a time, as `drift.Collection.scroll`."""
        scroll = self._sync.scroll
        return await self._calls.run(
            scroll,
            filter,
            since=since,
            until=until,
            limit=limit,
            cursor=cursor,
            include=include,
            vectors=vectors,
        )

    @hinted
    async def search(
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
        """Find the nearest rows of one query or of several, as `drift.Collection.search`.

        Several queries in one call are faster than as many calls. When cancelled, the search ends by itself.
        """
        return await self._calls.run(
            self._sync.search,
            q,
            k,
            recall=recall,
            exact=exact,
            filter=filter,
            since=since,
            until=until,
            decay=decay,
            include=include,
            nprobe=nprobe,
            threads=threads,
            target_confidence=target_confidence,
            routing=routing,
            lambda_=lambda_,
            tau=tau,
        )

    @hinted
    async def explain(
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
        """Search for one query, and explain how far the search went and why, as `drift.Collection.explain`."""
        return await self._calls.run(
            self._sync.explain,
            q,
            k,
            recall=recall,
            filter=filter,
            since=since,
            until=until,
            nprobe=nprobe,
            target_confidence=target_confidence,
            routing=routing,
            lambda_=lambda_,
            tau=tau,
        )

    @hinted
    async def load(
        self,
        source: LoadSource,
        id: str = "id",  # noqa: A002 - its name is part of the API.
        vector: str = "embedding",
        *,
        metadata: Include = None,
        progress: Progress = None,
    ) -> dict[str, Any]:
        """Load many rows at once, all or none, as `drift.Collection.load`.

        `source` is read, and a `progress` function is called, in a thread of the database. When cancelled, the load
        stops at its next report of progress, without a row changed, unless it has committed already.
        """
        return await self._calls.watched(partial(self._sync._load, source, id, vector, metadata), display(progress))

    @hinted
    async def count(
        self,
        filter: FilterLike | None = None,  # noqa: A002
        *,
        since: TimeLike | None = None,
        until: TimeLike | None = None,
    ) -> int:
        """Return the number of rows, or of those that match a filter, as `drift.Collection.count`."""
        return await self._calls.run(self._sync.count, filter, since=since, until=until)

    async def contains(self, id: object) -> bool:  # noqa: A002 - a row's id.
        """Return whether there is a row of this id: ``id in c`` of `drift.Collection`."""
        return await self._calls.run(self._sync.__contains__, id)

    async def ids(self) -> NDArray[np.int64] | NDArray[np.object_]:
        """Return the ids of all rows, in the order in which they were last written: int64 or str objects."""
        return await self._calls.run(self._sync.ids)

    async def flush(self) -> None:
        """Move rows from memory into segments on disk, durably, whatever the durability."""
        await self._calls.run(self._sync.flush)

    async def refresh(self) -> bool:
        """Take up what another process has written, as `drift.Collection.refresh`."""
        return await self._calls.run(self._sync.refresh)

    async def health(self) -> Health:
        """Return measured recall and the state of buckets, as `drift.Collection.health`."""
        return await self._calls.run(self._sync.health)

    @property
    def maintenance(self) -> Maintenance:
        """Background maintenance: pause, resume, run now, budget."""
        return Maintenance(self._sync.maintenance, self._calls)

    async def optimize(self, *, progress: Progress = None) -> dict[str, Any]:
        """Split, merge and rewrite buckets and segments, as `drift.Collection.optimize`.

        When cancelled, it ends after a step; what is done stays.
        """
        return await self._calls.watched(self._sync._optimize, display(progress, "steps"))

    async def verify(self, *, repair: bool = False, progress: Progress = None) -> dict[str, Any]:
        """Read every stored byte and check it, as `drift.Collection.verify`. When cancelled, it ends early."""
        return await self._calls.watched(partial(self._sync._verify, repair), display(progress, "bytes"))

    async def stats(self) -> dict[str, Any]:
        """Return counts of rows, buckets, segments, bytes and work, as `drift.Collection.stats`."""
        return await self._calls.run(self._sync.stats)

    async def close(self) -> None:
        """Close this handle. Closing again, or after the database, does nothing."""
        if not self._calls.closed:
            await self._calls.run(self._sync.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._database, self._sync)

    def __repr__(self) -> str:
        return f"aio.{self._sync!r}"

    def _repr_html_(self) -> str:
        return self._sync._repr_html_()
