"""Golden databases: one of each format version, opened by every later drift.

``python -m tests.golden`` writes the one of the present version to tests/golden/<version>/, once, when the version is
new. `tests/test_golden.py` opens all there are and compares them with the rows that `rows` says.
"""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import drift
import numpy as np

from tests import oracle

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = Path(__file__).with_name("golden")
DIM = 16
COUNT = 120

# Ids that are deleted: flushed ones, and ones in the log.
DELETED = (*range(20, 30), *range(100, 105))


def version_of(database: Path) -> int:
    """Return the format version that a database's catalog has in its header."""
    catalog = next(iter(sorted((database / "catalog").iterdir())))
    return int.from_bytes(catalog.read_bytes()[8:12], "little")


def rows() -> tuple[list[int], oracle.F32]:
    """Return the ids and vectors that a golden database holds."""
    ids = [id_ for id_ in range(COUNT) if id_ not in DELETED]
    return ids, oracle.vector_of(ids, [2 if id_ < 5 else 1 for id_ in ids], DIM)


def metadata(ids: Iterable[int]) -> list[dict[str, Any]]:
    """Return the metadata of rows: each type of field, and rows that lack some."""
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    return [
        {"n": id_, "half": id_ / 2, "name": f"größe {id_}", "even": id_ % 2 == 0, "tags": ["a", "b"][: id_ % 3]}
        | ({"at": at + dt.timedelta(seconds=id_), "extra": {"deep": [id_, None]}} if id_ % 4 else {})
        for id_ in ids
    ]


def write(folder: Path) -> None:
    """Make a database with every kind of file, a collection of each id type, f16 rows, and rows in the log alone."""
    with drift.connect(folder) as db:
        for name, metric in (("ints", "l2"), ("strings", "cosine")):
            id_type = "int" if name == "ints" else "str"
            c = db.create_collection(name, dim=DIM, metric=metric, id_type=id_type)  # type: ignore[arg-type]

            def ids(numbers: range, text: bool = id_type == "str") -> list[int] | list[str]:
                return [f"row-{number:03}" for number in numbers] if text else list(numbers)

            c.upsert(ids(range(80)), oracle.vector_of(range(80), [1] * 80, DIM), metadata(range(80)))
            c.flush()
            c.delete(ids(range(20, 30)))
            c.upsert(ids(range(5)), oracle.vector_of(range(5), [2] * 5, DIM), metadata(range(5)))
            c.flush()
            last = range(80, COUNT)
            c.upsert(ids(last), oracle.vector_of(last, [1] * len(last), DIM), metadata(last))
            c.delete(ids(range(100, 105)))
        halves = db.create_collection("halves", dim=DIM, metric="dot")
        halves.upsert(range(10), oracle.vector_of(range(10), [1] * 10, DIM).astype(np.float16))
        halves.flush()


def main() -> int:
    """Write the golden database of the present version; 1 if there is one."""
    build = FOLDER / "new"
    write(build)
    target = FOLDER / str(version_of(build))
    if target.exists():
        print(f"{target} is there: a golden database is never written anew")
        return 1
    build.rename(target)
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
