"""Folders that hold other things than a database: nothing of them is touched, and no rows are lost with a folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import drift
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = [[1.0, 2.0], [3.0, 4.0]]

# The user of a test that is run by root, for whom no folder is unreadable: "nobody", on every system.
NOBODY = 65534


def others(folder: Path) -> dict[str, str]:
    """Return the texts of the files that are not drift's."""
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*.txt")}


def test_a_database_beside_other_files_touches_none_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "project"
    for name in ("notes.txt", "src/main.txt", "catalog/own.txt", "segments/own.txt", ".hidden/own.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    before = others(folder)
    monkeypatch.chdir(folder)
    with drift.connect(".") as db:
        c = db.create_collection("docs", dim=2)
        c.add([1, 2], ROWS)
        c.flush()
        c.optimize()
        assert c.verify()["problems"] == []
        db.create_collection("gone", dim=2)
        db.drop_collection("gone")
        db.backup(tmp_path / "backups")
    (folder / "collections" / "own").mkdir()
    (folder / "collections" / "own" / "own.txt").write_text("mine")
    (folder / "collections" / "own.txt").write_text("mine")
    before |= {"collections/own/own.txt": "mine", "collections/own.txt": "mine"}
    for _ in range(2):
        with drift.connect(".") as db:
            assert db.list_collections() == ["docs"]
            assert db["docs"].ids().tolist() == [1, 2]
    assert others(folder) == before
    drift.restore(tmp_path / "backups", tmp_path / "again")
    with drift.connect(tmp_path / "again") as db:
        assert len(db["docs"]) == 2
    assert others(tmp_path / "again") == {}, "a backup has what is the database's"


def test_temporary_files_of_others_stay_wherever_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    with drift.connect(folder) as db:
        c = db.create_collection("docs", dim=2)
        c.add([1, 2], ROWS)
        c.flush()
    (own,) = (folder / "collections").iterdir()
    number = f"{1:020}"
    theirs = [
        folder / "data.2024.tmp",
        folder / f"{number}.0.tmp",
        folder / "src" / "report.3.tmp",
        folder / "src" / "catalog" / f"{number}.0.tmp",
        folder / "manifest" / f"{number}.0.tmp",
        folder / "catalog" / "own.1.tmp",
        folder / "catalog" / "old" / f"{number}.0.tmp",
        folder / "files" / "own.1.tmp",
        folder / "collections" / "own.1.tmp",
        folder / "collections" / "own" / "wal" / f"{number}.wal.0.tmp",
        own / "notes.5.tmp",
        own / "wal" / "notes.5.tmp",
        own / "notes" / f"{number}.wal.5.tmp",
    ]
    leftovers = [
        folder / "catalog" / f"{number}.0.tmp",
        own / "wal" / f"{number}.wal.12.tmp",
        own / "spool" / f"{7:032x}.0.tmp",
    ]
    for file in theirs + leftovers:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("data")
    with drift.connect(folder) as db:
        assert [str(file) for file in leftovers if file.exists()] == [], "what a crash left is removed"
        assert db["docs"].ids().tolist() == [1, 2]
    assert [str(file) for file in theirs if not file.exists()] == []


@contextmanager
def unprivileged(folder: Path) -> Iterator[None]:
    """Run as a user to whom ``folder`` belongs, and for whom permissions count."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(folder, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("place", ["lost+found", "backups/private", "catalog/private", "collections/private"])
def test_a_folder_of_somebody_else_that_cannot_be_read_is_passed_over(place: str) -> None:
    # Not `tmp_path`, which is below a folder that only its own user may enter.
    with tempfile.TemporaryDirectory() as parent, unprivileged(Path(parent)):
        folder = Path(parent) / "project"
        foreign = folder / place
        foreign.mkdir(parents=True)
        foreign.chmod(0)
        try:
            for rows in (ROWS, ROWS):
                with drift.connect(folder) as db:
                    c = db.create_collection("docs", dim=2, exist_ok=True)
                    c.upsert([1, 2], rows)
                    c.flush()
                    assert c.verify()["problems"] == []
            with drift.connect(folder, read_only=True) as db:
                assert db.list_collections() == ["docs"]
        finally:
            foreign.chmod(0o700)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_folder_whose_collections_are_of_another_program_is_refused(tmp_path: Path, read_only: bool) -> None:
    (tmp_path / "collections" / "theirs").mkdir(parents=True)
    (tmp_path / "collections" / "theirs" / "segment.txt").write_text("rows")
    for _ in range(2):
        with pytest.raises(drift.InvalidArgumentError, match=r"collections/theirs/segment\.txt.*use another folder"):
            drift.connect(tmp_path, read_only=read_only)
        with pytest.raises(drift.InvalidArgumentError, match="use another folder"):
            drift.connect(tmp_path, recovery="salvage")
    assert others(tmp_path) == {"collections/theirs/segment.txt": "rows"}


def test_a_lost_catalog_loses_no_rows(tmp_path: Path) -> None:
    folder, kept = tmp_path / "db", tmp_path / "catalog"
    with drift.connect(folder) as db:
        c = db.create_collection("docs", dim=2, metric="l2")
        c.add([1, 2], ROWS, metadata={"name": ["a", "b"]})
        c.flush()
    shutil.move(folder / "catalog", kept)
    for read_only in (True, False):
        with pytest.raises(drift.CorruptionError, match=r'put the folder "catalog" back.*recovery="salvage"'):
            drift.connect(folder, read_only=read_only)
    shutil.copytree(kept, folder / "catalog", dirs_exist_ok=True)
    with drift.connect(folder) as db:
        assert db["docs"].get([1, 2], include=True).to_list()[1]["metadata"] == {"name": "b"}

    shutil.rmtree(folder / "catalog")
    with drift.connect(folder, recovery="salvage") as db:
        (name,) = db.list_collections()
        assert name.startswith("salvaged-")
        assert db[name].get([1, 2]).vectors.tolist() == ROWS
    with drift.connect(folder) as db:
        assert db.list_collections() == [name]
