"""Databases of earlier format versions, and of this one, hold what they held when they were written."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import drift
import numpy as np
import pytest

from tests import golden, oracle

if TYPE_CHECKING:
    from pathlib import Path

COMMITTED = sorted(golden.FOLDER.glob("[0-9]*")) if golden.FOLDER.is_dir() else []


def check(database: Path) -> None:
    """Fails unless a database holds the golden rows, verifies, and takes writes."""
    ids, vectors = golden.rows()
    with drift.connect(database) as db:
        assert db.list_collections() == ["halves", "ints", "strings"]
        for name in ("ints", "strings"):
            c = db[name]
            named = ids if name == "ints" else [f"row-{id_:03}" for id_ in ids]
            assert oracle.ids_of(c) == named
            np.testing.assert_array_equal(c.get(named).vectors, vectors)
            assert c.get(named, include=True).metadata == golden.metadata(ids)
            assert c.count(drift.col("n") < 50) == sum(id_ < 50 for id_ in ids)
            assert c.search(vectors[:3], k=1, exact=True).ids[:, 0].tolist() == named[:3]
            assert oracle.problems(c) == []
            c.upsert(named[:2], vectors[:2])
            c.optimize()
            assert oracle.problems(c) == []
        halves = oracle.vector_of(range(10), [1] * 10, golden.DIM).astype(np.float16)
        np.testing.assert_array_equal(db["halves"].get(range(10)).vectors, halves.astype(np.float32))


def check_moved(database: Path) -> None:
    """Fails unless a database holds rows that have moved between buckets, verifies, and takes writes."""
    assert len(golden.move_files(database)) >= len(golden.MOVED)
    ids = list(range(golden.MOVED_COUNT))
    with drift.connect(database) as db:
        assert db.list_collections() == sorted(golden.MOVED)
        for name, (dim, _) in golden.MOVED.items():
            c = db[name]
            vectors = oracle.vector_of(ids, [1] * len(ids), dim)
            np.testing.assert_array_equal(c.get(ids).vectors, vectors)
            # Bucket by bucket: each row is where the moves say.
            hits = c.search(vectors[:3], k=len(ids), target_confidence=0.999999, lambda_=0.0, tau=0.0).ids
            assert all(sorted(found) == ids for found in hits.tolist())
            assert oracle.problems(c) == []
            c.upsert(ids[:2], vectors[:2])
            c.optimize()
            assert oracle.problems(c) == []


CHECKS = {"": check, "-moved": check_moved}


@pytest.mark.parametrize("kind", golden.KINDS)
def test_a_database_that_is_written_now_is_as_golden_ones_are(tmp_path: Path, kind: str) -> None:
    golden.KINDS[kind](tmp_path / "db")
    CHECKS[kind](tmp_path / "db")


@pytest.mark.parametrize("database", COMMITTED, ids=lambda path: path.name)
def test_a_golden_database_holds_what_it_held(database: Path, tmp_path: Path) -> None:
    CHECKS[database.name.lstrip("0123456789")](shutil.copytree(database, tmp_path / "db"))
