"""drift for asyncio: the same databases and collections, with every call awaitable.

Each handle wraps the one of `drift` and hands its calls to the threads of its database, where they run without the
GIL; the event loop stays free. Names, arguments, results and exceptions are those of `drift`. What differs:

* `connect`, `Database.create_collection` and `Database.open_collection` may be awaited, or entered with ``async with``.
* What Python keeps for plain objects has a name instead: ``await c.count()`` for ``len(c)``, ``await c.contains(id)``
  for ``id in c``, ``await db.contains(name)`` for ``name in db``, ``await db.open_collection(name)`` for ``db[name]``.
* Properties (``name``, ``dim``, ``metric``, ``uri``, ...) touch no file and stay properties.

**Threads.** `connect` starts at most `threads` threads per database, by default the number of cores and four more (a
call that waits for the disk needs no core), at most 32. Further calls wait their turn, first come first served. The
threads end with ``await db.close()``.

**Cancellation.** A cancelled task raises ``CancelledError`` at once. Its call never starts when it still waits for a
thread. When it has started, it ends by itself and its result is dropped: a search keeps its thread until then, and a
write takes effect as a whole. Since the task cannot know which of the two happened, make the write again: `upsert` and
`delete` may be repeated. `Collection.load`, `Database.backup` and `restore` stop at their next report of progress with
nothing changed, unless they have committed already; `Collection.optimize` and `Collection.verify` stop there too.
`connect` closes what it opened, and ``close`` closes all the same. Timeouts (``asyncio.timeout``) cancel, and so behave
in the same way.

Arguments are read in the thread: leave arrays as they are until the call returns. A `progress` function is called in
the thread too. Handles belong to no event loop: any loop, of any thread, may await them.

>>> import asyncio, numpy as np
>>> from drift import aio
>>> async def main() -> list[int]:
...     async with aio.connect("memory://aio") as db:
...         docs = await db.create_collection("docs", dim=3, metric="l2")
...         await docs.upsert([1, 2, 3], np.eye(3, dtype=np.float32))
...         one, two = await asyncio.gather(docs.search([0.9, 0.1, 0.0], k=1), docs.search([0.0, 0.0, 1.0], k=1))
...         return [*one.ids.tolist(), *two.ids.tolist()]
>>> asyncio.run(main())
[1, 3]
"""

from __future__ import annotations

from drift.aio._backup import backups, restore, verify_backups
from drift.aio._collection import Collection
from drift.aio._database import Database, connect

__all__ = ["Collection", "Database", "backups", "connect", "restore", "verify_backups"]
