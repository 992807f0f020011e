"""Damaged files: every kind of file, bytes flipped, cut off or gone.

``verify()`` names the damage; a call meets it with CorruptionError or gives the answer of the sound database, never
fewer rows and never other ones.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import drift
import numpy as np
import pytest

from tests import oracle

if TYPE_CHECKING:
    from pathlib import Path

DIM = 16
COUNT = 300
KINDS = ("manifest", "catalog", "wal", "segments", "bitstore", "buckets", "tombstones")
DAMAGE = (drift.CorruptionError, drift.UnsupportedFormatError)


@dataclass(frozen=True)
class Sound:
    """A closed database that holds every kind of file, and what it answers."""

    folder: Path
    ids: list[int]
    vectors: oracle.F32
    found: oracle.I64


def answers(path: Path, sound_ids: list[int] | None = None) -> tuple[list[int], oracle.F32, oracle.I64]:
    """Open the database and ask for everything it holds."""
    with drift.connect(path, durability="os") as db:
        c = db["docs"]
        ids = oracle.ids_of(c)
        vectors = c.get(sound_ids or ids).vectors
        found = c.search(oracle.vectors(5, DIM, 31), k=20, exact=True).ids
        return ids, vectors, np.asarray(found, np.int64)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """Flushed rows, deleted flushed rows, and rows in the log alone."""
    folder = tmp_path_factory.mktemp("sound") / "db"
    rows = oracle.vectors(COUNT, DIM, 30)
    with drift.connect(folder, durability="os") as db:
        c = db.create_collection("docs", dim=DIM, metric="l2")
        c.upsert(range(200), rows[:200])
        c.flush()
        c.delete(range(50, 80))
        c.flush()
        for start in range(200, COUNT, 10):
            c.upsert(range(start, start + 10), rows[start : start + 10])
        c.delete(range(80, 90))
    ids, vectors, found = answers(folder)
    assert len(ids) == COUNT - 40
    return Sound(folder, ids, vectors, found)


@pytest.fixture
def copy(sound: Sound, tmp_path: Path) -> Path:
    """Return a copy that a test may damage."""
    return shutil.copytree(sound.folder, tmp_path / "copy")


def files(folder: Path, kind: str) -> list[Path]:
    """Files of one kind, the newest last (numbers in names have a fixed width); of logs, the fullest last.

    The newest log may hold no record yet; what happens to such a file costs nothing and cannot be told from a crash
    at its creation.
    """
    found = [path for path in folder.rglob("*") if path.is_file() and path.parent.name == kind]
    return sorted(found, key=lambda path: (path.stat().st_size if kind == "wal" else 0, path.name))


def detected(path: Path) -> bool:
    """Whether opening and verifying says that something is wrong."""
    try:
        with drift.connect(path, durability="os") as db:
            return bool(oracle.problems(db["docs"]))
    except DAMAGE:
        return True


def assert_same_or_refused(path: Path, sound: Sound, what: str) -> None:
    """Fails if the damaged database gives an answer that the sound one does not."""
    try:
        ids, vectors, found = answers(path, sound.ids)
    except DAMAGE:
        return
    assert ids == sound.ids, what
    np.testing.assert_array_equal(vectors, sound.vectors, err_msg=what)
    np.testing.assert_array_equal(found, sound.found, err_msg=what)


def places(length: int, random: np.random.Generator) -> list[int]:
    """Offsets to damage: both ends, the header's fields, and a dozen at random."""
    fixed = {0, 8, 16, 32, 60, 64, 65, length // 2, length - 1}
    return sorted({at for at in fixed | set(random.integers(0, length, size=12).tolist()) if at < length})


def test_the_sound_database_holds_every_kind_of_file_and_verifies(sound: Sound) -> None:
    assert [kind for kind in KINDS if not files(sound.folder, kind)] == []
    with drift.connect(sound.folder, durability="os") as db:
        assert oracle.problems(db["docs"]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_found_by_verify_and_never_changes_an_answer(sound: Sound, tmp_path: Path, kind: str) -> None:
    random = oracle.rng(32)
    target = files(sound.folder, kind)[-1]
    for offset in places(target.stat().st_size, random):
        copy = shutil.copytree(sound.folder, tmp_path / "copy")
        damaged = copy / target.relative_to(sound.folder)
        content = bytearray(damaged.read_bytes())
        content[offset] ^= 1 << int(random.integers(8))
        damaged.write_bytes(content)
        what = f"{kind}: bit flipped in byte {offset} of {len(content)}"
        second = shutil.copytree(copy, tmp_path / "second")
        assert detected(copy), f"{what}, and verify() says nothing"
        assert_same_or_refused(second, sound, what)
        shutil.rmtree(copy)
        shutil.rmtree(second)


def test_damage_to_the_newest_log_never_changes_an_answer(sound: Sound, tmp_path: Path) -> None:
    newest = max(files(sound.folder, "wal"), key=lambda path: path.name)
    for offset in range(0, newest.stat().st_size, 7):
        copy = shutil.copytree(sound.folder, tmp_path / "copy")
        damaged = copy / newest.relative_to(sound.folder)
        content = bytearray(damaged.read_bytes())
        content[offset] ^= 0x10
        damaged.write_bytes(content)
        assert_same_or_refused(copy, sound, f"newest log: bit flipped in byte {offset} of {len(content)}")
        shutil.rmtree(copy)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_short_is_found(sound: Sound, tmp_path: Path, kind: str) -> None:
    target = files(sound.folder, kind)[-1]
    for keep in (0, 1, 63, 64, target.stat().st_size // 2, target.stat().st_size - 1):
        copy = shutil.copytree(sound.folder, tmp_path / "copy")
        damaged = copy / target.relative_to(sound.folder)
        damaged.write_bytes(damaged.read_bytes()[:keep])
        assert_same_or_refused(shutil.copytree(copy, tmp_path / "second"), sound, f"{kind} cut to {keep} bytes")
        assert detected(copy), f"{kind} cut to {keep} bytes, and verify() says nothing"
        shutil.rmtree(copy)
        shutil.rmtree(tmp_path / "second")


@pytest.mark.parametrize("kind", ["segments", "buckets", "tombstones", "wal"])
def test_a_missing_file_is_an_error_that_names_it(sound: Sound, copy: Path, kind: str) -> None:
    gone = files(copy, kind)[-1]
    gone.unlink()
    with pytest.raises(drift.CorruptionError, match=gone.stem):
        answers(copy, sound.ids)


def test_a_missing_bitstore_is_rebuilt(sound: Sound, copy: Path) -> None:
    for file in files(copy, "bitstore"):
        file.unlink()
    ids, vectors, found = answers(copy, sound.ids)
    assert ids == sound.ids
    np.testing.assert_array_equal(vectors, sound.vectors)
    np.testing.assert_array_equal(found, sound.found)


def test_a_file_of_another_place_is_found(sound: Sound, copy: Path) -> None:
    other = copy.parent / "other"
    with drift.connect(other, durability="os") as db:
        c = db.create_collection("docs", dim=DIM, metric="l2")
        c.upsert(range(200), oracle.vectors(200, DIM, 33))
        c.flush()
    shutil.copy(files(other, "segments")[-1], files(copy, "segments")[-1])
    assert_same_or_refused(shutil.copytree(copy, copy.parent / "second"), sound, "a foreign segment")
    assert detected(copy)


def test_the_error_names_the_file(copy: Path) -> None:
    damaged = files(copy, "segments")[-1]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged.write_bytes(content)
    try:
        with drift.connect(copy, durability="os") as db:
            text = " ".join(oracle.problems(db["docs"]))
    except drift.CorruptionError as error:
        text = str(error)
    assert damaged.stem in text


def test_refusing_a_damaged_database_changes_not_one_byte(copy: Path) -> None:
    damaged = files(copy, "manifest")[-1]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\xff")
    before = {path: path.read_bytes() for path in sorted(copy.rglob("*")) if path.is_file()}
    with pytest.raises(drift.CorruptionError):
        answers(copy)
    assert {path: path.read_bytes() for path in sorted(copy.rglob("*")) if path.is_file()} == before


def test_strange_files_in_the_folder_are_left_alone(sound: Sound, copy: Path) -> None:
    strays = [copy / "notes.txt", files(copy, "segments")[-1].parent / "notes.drift", copy / ".hidden"]
    for stray in strays:
        stray.write_text("mine")
    ids, _, _ = answers(copy)
    assert ids == sound.ids
    assert all(stray.read_text() == "mine" for stray in strays)


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(drift.DriftError):
        drift.connect(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "text"
