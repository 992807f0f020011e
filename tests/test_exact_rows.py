"""Exact vectors in memory: the same answers as from disk, for their bytes."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import drift
import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

ROWS, DIM = 3_000, 40


def _vectors(count: int, seed: int, dtype: str) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(dtype)


def _open(folder: Path, exact_rows: drift._types.ExactRows) -> drift.Database:
    return drift.connect(folder, exact_rows=exact_rows)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_answers_are_the_same_for_the_bytes_of_the_rows(tmp_path: Path, dtype: str) -> None:
    queries = _vectors(50, 1, "float32")
    with _open(tmp_path, "memory") as db:
        c = db.create_collection("c", dim=DIM, metric="l2")
        c.load([(np.arange(ROWS), _vectors(ROWS, 2, dtype))])
        c.delete(range(100))
        c.upsert(range(ROWS - 100, ROWS + 100), _vectors(200, 3, dtype))
        c.flush()
        c.optimize()
        kept = c.search(queries, recall=0.95)
        bytes_kept = c.stats()["memory_bytes"]
    with _open(tmp_path, "disk") as db:
        c = db["c"]
        read = c.search(queries, recall=0.95)
        np.testing.assert_array_equal(kept.ids, read.ids)
        np.testing.assert_array_equal(kept.distances, read.distances)
        bytes_read = c.stats()["memory_bytes"]
        vectors = c.get(c.ids()).vectors
    stored = ROWS * DIM * np.dtype(dtype).itemsize
    assert stored <= bytes_kept - bytes_read <= 1.1 * stored
    with _open(tmp_path, "memory") as db:
        c = db["c"]
        np.testing.assert_array_equal(c.search(queries, recall=0.95).ids, read.ids)
        np.testing.assert_array_equal(c.get(c.ids()).vectors, vectors)
        assert c.stats()["memory_bytes"] - bytes_read >= stored


def test_damaged_rows_are_found_when_they_are_read_into_memory(tmp_path: Path) -> None:
    with drift.connect(tmp_path) as db:
        db.create_collection("c", dim=DIM).load([(np.arange(ROWS), _vectors(ROWS, 2, "float32"))])
    file = max(tmp_path.rglob("*.drift"), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    content[4096 + 500 * (4 * DIM + 4)] ^= 1
    file.write_bytes(content)
    with _open(tmp_path, "memory") as db, pytest.raises(drift.CorruptionError, match="checksum"):
        db.open_collection("c")


def test_the_choice_goes_with_the_handle(tmp_path: Path) -> None:
    with _open(tmp_path, "memory") as db:
        db.create_collection("c", dim=DIM).load([(np.arange(ROWS), _vectors(ROWS, 2, "float32"))])
        state = pickle.dumps(db)
        assert pickle.loads(state) is db  # noqa: S301 - Pickled above.
        used = db["c"].stats()["memory_bytes"]
    with pickle.loads(state) as db:  # noqa: S301 - Pickled above.
        assert db["c"].stats()["memory_bytes"] == pytest.approx(used, rel=0.05)
    with drift.connect(tmp_path) as db:
        assert db["c"].stats()["memory_bytes"] < used - ROWS * DIM * 4


def test_another_name_is_an_error_that_lists_them(tmp_path: Path) -> None:
    with pytest.raises(drift.InvalidArgumentError, match=r'"disk".*"memory"'):
        drift.connect(tmp_path / "none", exact_rows="ram")  # type: ignore[arg-type]
    assert not (tmp_path / "none").exists()
