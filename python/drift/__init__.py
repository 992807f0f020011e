"""drift: an embedded vector database that stays accurate as data changes.

>>> import drift, numpy as np
>>> with drift.connect("memory://readme") as db:
...     docs = db.create_collection("docs", dim=3, metric="l2")
...     docs.upsert([1, 2, 3], np.eye(3, dtype=np.float32))
...     docs.search([0.9, 0.1, 0.0], k=2).ids.tolist()
[1, 2]

Where to look, each with ``help()``:

* `connect` opens a database, a folder; it gives a `Database`, whose `Database.create_collection` and
  `Database.open_collection` give a `Collection`.
* `Collection.add`, `Collection.upsert`, `Collection.delete` and `Collection.load` write; `Collection.search`,
  `Collection.get`, `Collection.scroll` and `Collection.count` read, and return a `SearchResult`, `Rows` or `Page`.
* `col` begins a filter: ``drift.col("year") >= 2024``. `fuse` and `rank` order results by more than distance.
* `Collection.health`, `Collection.explain` and `Collection.verify` tell how accurate, why, and whether all is sound.
* `Database.backup`, `backups`, `verify_backups` and `restore` keep and use copies.
* Every exception is a `DriftError`, whose message says what is wrong and where.

``drift.aio`` has the same for asyncio, ``drift.adapters`` other frameworks, and ``drift --help`` the command line.
"""

from __future__ import annotations

from drift._backup import Backup, backups, restore, verify_backups
from drift._collection import Collection
from drift._core import __version__
from drift._database import Database, connect
from drift._errors import (
    AlreadyExistsError,
    ClosedError,
    CorruptionError,
    DriftError,
    FencedError,
    ForkError,
    InvalidArgumentError,
    LockedError,
    NotFoundError,
    ReadOnlyError,
    ResourceExhaustedError,
    TimeoutError,  # noqa: A004 - its name is part of the API.
    UnsupportedFormatError,
)
from drift._explain import Explanation, SearchWork, StageSeconds
from drift._filter import Column, Expression, col
from drift._health import Health, TargetRecall, TimelinePoint
from drift._maintenance import Budget, JobRecord, Maintenance
from drift._rank import Ranking, fuse, rank
from drift._result import Page, Rows, SearchResult
from drift._time import Decay

__all__ = [
    "AlreadyExistsError",
    "Backup",
    "Budget",
    "ClosedError",
    "Collection",
    "Column",
    "CorruptionError",
    "Database",
    "Decay",
    "DriftError",
    "Explanation",
    "Expression",
    "FencedError",
    "ForkError",
    "Health",
    "InvalidArgumentError",
    "JobRecord",
    "LockedError",
    "Maintenance",
    "NotFoundError",
    "Page",
    "Ranking",
    "ReadOnlyError",
    "ResourceExhaustedError",
    "Rows",
    "SearchResult",
    "SearchWork",
    "StageSeconds",
    "TargetRecall",
    "TimelinePoint",
    "TimeoutError",
    "UnsupportedFormatError",
    "__version__",
    "backups",
    "col",
    "connect",
    "fuse",
    "rank",
    "restore",
    "verify_backups",
]
