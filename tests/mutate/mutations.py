"""What can become of a folder: each mutation follows from a seed and says what it did."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import drift

from tests import oracle

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

DIM = 8
COUNT = 300
MUTATIONS_MAX = 4

# Bytes by which a file is stretched with a hole: read or allocated as a whole, they go beyond what a child may take.
STRETCH_BYTES = 700 << 20


def build(folder: Path, seed: int) -> None:
    """Make a closed database with every kind of file, in three collections."""
    rows = oracle.vectors(COUNT, DIM, seed)
    with drift.connect(folder, durability="os") as db:
        c = db.create_collection("docs", dim=DIM, metric="l2")
        c.upsert(range(200), rows[:200])
        c.flush()
        c.delete(range(50, 80))
        c.upsert(range(190, 210), rows[190:210])
        c.flush()
        c.upsert(range(210, COUNT), rows[210:])
        c.delete(range(80, 90))
        names = db.create_collection("names", dim=DIM, metric="cosine", id_type="str")
        names.upsert([f"name-{at}" for at in range(40)], rows[:40])
        names.flush()
        names.delete(["name-3"])
        # Its bucket is split when it has grown: rows move without being written anew.
        moved = db.create_collection("moved", dim=DIM, metric="l2")
        for ids in (range(20), range(20, 120)):
            moved.upsert(ids, rows[ids.start : ids.stop])
            moved.flush()
        moved.maintenance.run_once()
    if not any(folder.glob("collections/*/moves/*")):
        raise AssertionError("no row has moved between buckets")


def files(folder: Path) -> list[Path]:
    """All files, in an order that does not depend on the random names of collections and segments."""
    found, folders = [], [str(folder)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders.append(entry.path)
                else:
                    found.append((entry.stat().st_size, Path(entry.path)))
    found.sort(key=lambda entry: (entry[1].parent.name, entry[0], entry[1].name))
    return [path for _, path in found]


def _pick(random: np.random.Generator, found: list[Path]) -> Path:
    return found[int(random.integers(len(found)))]


def _flip(random: np.random.Generator, path: Path) -> str:
    content = bytearray(path.read_bytes())
    for _ in range(int(random.integers(1, 6)) if content else 0):
        content[int(random.integers(len(content)))] ^= 1 << int(random.integers(8))
    path.write_bytes(content)
    return "flipped"


def _overwrite(random: np.random.Generator, path: Path) -> str:
    content = bytearray(path.read_bytes())
    start = int(random.integers(len(content) + 1))
    length = int(random.integers(1, 64))
    byte = bytes([int(random.choice([0, 0xFF, int(random.integers(256))]))])
    content[start : start + length] = byte * len(content[start : start + length])
    path.write_bytes(content)
    return f"overwritten at {start}"


def _cut(random: np.random.Generator, path: Path) -> str:
    content = path.read_bytes()
    keep = int(random.integers(len(content) + 1))
    path.write_bytes(content[:keep])
    return f"cut to {keep}"


def _grow(random: np.random.Generator, path: Path) -> str:
    tail = bytes(int(random.integers(1, 5000))) if random.random() < 0.5 else random.bytes(100)
    path.write_bytes(path.read_bytes() + tail)
    return f"{len(tail)} bytes longer"


def _delete(random: np.random.Generator, path: Path) -> str:
    del random
    path.unlink()
    return "deleted"


def _empty(random: np.random.Generator, path: Path) -> str:
    del random
    path.write_bytes(b"")
    return "emptied"


def _swap(random: np.random.Generator, path: Path) -> str:
    other = _pick(random, files(path.parents[-1] if path.parent == path else path.parent))
    a, b = path.read_bytes(), other.read_bytes()
    path.write_bytes(b)
    other.write_bytes(a)
    return f"swapped with {other.name}"


def _renumber(random: np.random.Generator, path: Path) -> str:
    number = int(random.choice([0, 1, 2, 3, 7, 10**6, 2**63]))
    target = path.with_name(f"{number:020}{path.suffix}")
    if target == path or target.is_dir():
        return "kept its name"
    target.unlink(missing_ok=True)
    path.rename(target)
    return f"renamed to {target.name}"


def _copy(random: np.random.Generator, path: Path) -> str:
    number = int(random.integers(1, 40))
    target = path.with_name(f"{number:020}{path.suffix}")
    if target != path:
        shutil.copy(path, target)
    return f"copied to {target.name}"


def _to_folder(random: np.random.Generator, path: Path) -> str:
    del random
    path.unlink()
    path.mkdir()
    return "turned into a folder"


KINDS: tuple[Callable[[np.random.Generator, Path], str], ...] = (
    *(_flip,) * 5,
    *(_overwrite,) * 2,
    *(_cut,) * 3,
    _grow,
    *(_delete,) * 2,
    _empty,
    *(_swap,) * 2,
    _renumber,
    _copy,
    _to_folder,
)


def stretch(path: Path) -> str:
    """Make a file longer by a hole, which takes no room on the disk."""
    os.truncate(path, path.stat().st_size + STRETCH_BYTES)
    return f"{path.parent.name}/{path.name}: stretched"


def mutate(folder: Path, foreign: Path, random: np.random.Generator) -> list[str]:
    """Mutate a database; one file in ten is replaced by one of another database. Return what was done.

    One database in ten has a file stretched in the end: what is done to files before that reads them whole.
    """
    done = []
    for _ in range(int(random.integers(1, MUTATIONS_MAX + 1))):
        found = files(folder)
        if not found:
            break
        path = _pick(random, found)
        what = f"{path.parent.name}/{path.name}"
        if random.random() < 0.1:
            shutil.copy(_pick(random, files(foreign)), path)
            done.append(f"{what}: foreign")
        else:
            done.append(f"{what}: {KINDS[int(random.integers(len(KINDS)))](random, path)}")
    left = files(folder)
    if left and random.random() < 0.1:
        done.append(stretch(_pick(random, left)))
    return done
