"""Folders that hold other things than a database: nothing of them is touched, and no rows are lost with a folder."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import drift
import pytest

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [[1.0, 2.0], [3.0, 4.0]]


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
