"""Repair and salvage: what is sound comes back, what is not is told, and nothing happens without being asked for."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import drift
import numpy as np
import pytest

from tests import oracle
from tests.test_damage import COUNT, files
from tests.test_damage import sound as sound

if TYPE_CHECKING:
    from pathlib import Path

    from tests.test_damage import Sound


@pytest.fixture
def copy(sound: Sound, tmp_path: Path) -> Path:
    """Return a copy that a test may damage."""
    return shutil.copytree(sound.folder, tmp_path / "copy")


def flip(path: Path, offset: int) -> None:
    """Flip a bit of the byte at an offset, from the end when it is negative."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x40
    path.write_bytes(content)


def salvage(path: Path, name: str | None = "docs") -> tuple[list[int], oracle.F32, list[str]]:
    """Salvage; the database must then verify, also when it is opened as usual. Without a name: the only collection."""
    with drift.connect(path, recovery="salvage", durability="os") as db:
        [only] = db.list_collections()
        name = name or only
        ids = oracle.ids_of(db[name])
        given_up = db.given_up
        assert oracle.problems(db[name]) == []
    with drift.connect(path, durability="os") as db:
        c = db[name]
        assert oracle.problems(c) == []
        assert oracle.ids_of(c) == ids
        assert db.given_up == []
        hits = c.search(c.get(ids[:5]).vectors, k=1, exact=True).ids
        assert np.asarray(hits)[:, 0].tolist() == ids[:5]
        return ids, c.get(ids).vectors, given_up


def test_salvaging_a_sound_database_gives_up_nothing(sound: Sound, copy: Path) -> None:
    ids, vectors, given_up = salvage(copy)
    assert (ids, given_up) == (sound.ids, [])
    np.testing.assert_array_equal(vectors, sound.vectors)


def test_a_damaged_segment_costs_no_other_rows(sound: Sound, copy: Path) -> None:
    target = max(files(copy, "segments"), key=lambda path: path.stat().st_size)
    flip(target, 4096 + 70)  # An exact vector.
    with drift.connect(copy, durability="os") as db:
        assert oracle.problems(db["docs"]) != []
    ids, vectors, given_up = salvage(copy)
    lost = set(sound.ids) - set(ids)
    assert len(lost) == 1
    assert set(ids) < set(sound.ids)
    kept = [at for at, id_ in enumerate(sound.ids) if id_ in set(ids)]
    np.testing.assert_array_equal(vectors, sound.vectors[kept])
    assert "1 rows whose exact vectors are damaged" in " ".join(given_up)


def test_a_segment_that_cannot_be_read_is_given_up_and_named(sound: Sound, copy: Path) -> None:
    target = max(files(copy, "segments"), key=lambda path: path.stat().st_size)
    flip(target, -8)
    with pytest.raises(drift.CorruptionError), drift.connect(copy, durability="os") as db:
        db.open_collection("docs")
    ids, _, given_up = salvage(copy)
    assert set(ids) < set(sound.ids)
    assert set(range(200, COUNT)) <= set(ids), "rows of the log are there"
    assert target.stem in " ".join(given_up)


@pytest.mark.parametrize("kind", ["buckets", "tombstones", "wal", "manifest", "catalog"])
def test_damage_to_other_files_keeps_every_row_that_can_be_read(sound: Sound, copy: Path, kind: str) -> None:
    flip(files(copy, kind)[-1], 80 if kind != "wal" else 200)
    with pytest.raises(drift.CorruptionError), drift.connect(copy, durability="os") as db:
        db.open_collection("docs")
    ids, vectors, given_up = salvage(copy, None if kind == "catalog" else "docs")
    assert given_up != []
    both = sorted(set(ids) & set(sound.ids))
    rows, sound_rows = {id_: at for at, id_ in enumerate(ids)}, {id_: at for at, id_ in enumerate(sound.ids)}
    np.testing.assert_array_equal(vectors[[rows[id_] for id_ in both]], sound.vectors[[sound_rows[i] for i in both]])
    lost = set(sound.ids) - set(ids)
    assert len(lost) <= (10 if kind == "wal" else 0), lost


def test_salvage_says_when_nothing_tells_what_the_rows_are(copy: Path) -> None:
    for manifest in files(copy, "manifest"):
        flip(manifest, 80)
    with (
        drift.connect(copy, recovery="salvage", durability="os") as db,
        pytest.raises(drift.CorruptionError, match="restore it from a backup"),
    ):
        db.open_collection("docs")


def test_salvage_needs_to_write(copy: Path) -> None:
    with pytest.raises(drift.InvalidArgumentError, match="read_only=False"):
        drift.connect(copy, recovery="salvage", read_only=True)
    with pytest.raises(drift.InvalidArgumentError, match="recovery"):
        drift.connect(copy, recovery="guess")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["bitstore", "manifest"])
def test_repair_writes_derived_and_older_files_anew(sound: Sound, copy: Path, kind: str) -> None:
    target = files(copy, kind)[-1 if kind == "bitstore" else -2]
    flip(target, 80)
    with drift.connect(copy, durability="os") as db:
        report = db["docs"].verify(repair=True)
        assert report["problems"] == []
        assert target.stem in " ".join(report["repaired"])
    with drift.connect(copy, durability="os") as db:
        assert oracle.problems(db["docs"]) == []
        assert oracle.ids_of(db["docs"]) == sound.ids


def test_repair_says_what_it_cannot(copy: Path) -> None:
    target = files(copy, "segments")[-1]
    flip(target, 4096 + 70)
    with drift.connect(copy, durability="os") as db:
        report = db["docs"].verify(repair=True)
    assert target.stem in " ".join(report["problems"])
    assert report["repaired"] == []


def test_repairing_what_is_sound_changes_nothing(copy: Path) -> None:
    with drift.connect(copy, durability="os") as db:
        before = db["docs"].stats()["manifest"]
        assert db["docs"].verify(repair=True)["repaired"] == []
        assert db["docs"].stats()["manifest"] == before


def test_a_lost_catalog_is_damage_and_costs_no_collection(sound: Sound, copy: Path) -> None:
    with drift.connect(copy, durability="os") as db:
        db.create_collection("gone", dim=4).upsert([8], [[1.0, 0.0, 0.0, 0.0]])
        db.drop_collection("gone")
        db.create_collection("newest", dim=4).upsert([7], [[1.0, 0.0, 0.0, 0.0]])
    files(copy, "catalog")[-1].unlink()
    for _ in range(2):
        with pytest.raises(drift.CorruptionError, match="a newer one is lost"):
            drift.connect(copy)
    with drift.connect(copy, recovery="salvage", durability="os") as db:
        (found,) = (name for name in db.list_collections() if name.startswith("salvaged-"))
        assert db[found].ids().tolist() == [7]
        assert sorted(db["docs"].ids().tolist()) == sound.ids
        assert db.given_up != []
    with drift.connect(copy) as db:
        assert db[found].ids().tolist() == [7]


def test_a_dropped_collection_that_comes_back_goes_again(tmp_path: Path) -> None:
    with drift.connect(tmp_path / "db", durability="os") as db:
        db.create_collection("kept", dim=2).upsert([1], [[1.0, 0.0]])
        db.create_collection("gone", dim=2).upsert([2], [[1.0, 0.0]])
    shutil.copytree(tmp_path / "db", tmp_path / "before")
    with drift.connect(tmp_path / "db") as db:
        db.drop_collection("gone")
    shutil.copytree(tmp_path / "before" / "collections", tmp_path / "db" / "collections", dirs_exist_ok=True)
    with drift.connect(tmp_path / "db") as db:
        assert db.list_collections() == ["kept"]
        assert db["kept"].ids().tolist() == [1]
    assert len([folder for folder in (tmp_path / "db" / "collections").iterdir() if any(folder.rglob("*.*"))]) == 1
