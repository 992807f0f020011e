"""Golden databases: those of each format version, opened by every later drift.

``python -m tests.golden`` writes the ones of the present version to tests/golden/<version>/ and <version>-<kind>/, each
once, when it is new. `tests/test_golden.py` opens all there are and compares them with the rows that are said here.
"""

from __future__ import annotations

import datetime as dt
import shutil
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

# Collections of the database whose rows have moved between buckets, with their dimension and whether rows are in second
# buckets as well, as under 1-bit codes: that is a column of the moves.
MOVED = {"single": (DIM, False), "double": (64, True)}
MOVED_COUNT = 140

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


def move_files(database: Path) -> list[Path]:
    """Return the files of rows that have moved between buckets."""
    return sorted(database.glob("collections/*/moves/*"))


def write_moved(folder: Path) -> None:
    """Make a database whose buckets were split as they grew, so that rows have moved without being written anew."""
    with drift.connect(folder) as db:
        for name, (dim, doubled) in MOVED.items():
            c = db.create_collection(name, dim=dim, metric="l2", precision="1bit" if doubled else "sq8")
            for ids in (range(20), range(20, MOVED_COUNT)):
                c.upsert(ids, oracle.vector_of(ids, [1] * len(ids), dim))
                c.flush()
            c.maintenance.run_once()


KINDS = {"": write, "-moved": write_moved}


def main() -> int:
    """Write the golden databases of the present version that are not there; 1 if all are."""
    written = 0
    for kind, fill in KINDS.items():
        build = FOLDER / "new"
        fill(build)
        target = FOLDER / f"{version_of(build)}{kind}"
        if target.exists():
            print(f"{target} is there: a golden database is never written anew")
            shutil.rmtree(build)
            continue
        build.rename(target)
        print(target)
        written += 1
    return int(written == 0)


if __name__ == "__main__":
    sys.exit(main())
