"""`drift.backups`, `drift.verify_backups` and `drift.restore` for asyncio.

They belong to no open database, so each call has a thread of its own event loop.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import drift
from drift import _backup
from drift._progress import Stoppable, display

if TYPE_CHECKING:
    import os
    from datetime import datetime

    from drift._types import Progress


async def backups(uri: str | os.PathLike[str]) -> list[drift.Backup]:
    """Return the finished backups in a folder of backups, oldest first, as `drift.backups`."""
    return await asyncio.to_thread(drift.backups, uri)


async def verify_backups(uri: str | os.PathLike[str]) -> list[str]:
    """Read every byte of the backups in a folder, and return what is wrong, as `drift.verify_backups`."""
    return await asyncio.to_thread(drift.verify_backups, uri)


async def restore(
    backup_uri: str | os.PathLike[str],
    target_uri: str | os.PathLike[str],
    *,
    at: int | datetime | str | None = None,
    progress: Progress = None,
) -> drift.Backup:
    """Make a database of a backup, where there is none yet, as `drift.restore`.

    A `progress` function is called in a thread. When cancelled, the restore stops at its next report of progress and
    leaves nothing, unless it has finished already.

    Examples
    --------
    >>> import asyncio
    >>> from drift import aio
    >>> async def main() -> list[str]:
    ...     async with aio.connect("memory://aio-restore-source") as db:
    ...         await db.create_collection("docs", dim=2)
    ...         await db.backup("memory://aio-restore-folder")
    ...     await aio.restore("memory://aio-restore-folder", "memory://aio-restore-target")
    ...     async with aio.connect("memory://aio-restore-target") as db:
    ...         return await db.list_collections()
    >>> asyncio.run(main())
    ['docs']
    """
    cancelled = threading.Event()
    shown = Stoppable(display(progress, "bytes"), cancelled)
    try:
        return await asyncio.to_thread(_backup.make, backup_uri, target_uri, at, shown)
    except asyncio.CancelledError:
        cancelled.set()
        raise
