"""Bulk loads: what they keep of earlier writes, what they leave when stopped, and the memory that they take."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import drift
import numpy as np
import pytest

from tests import oracle

ROOT = Path(__file__).resolve().parents[1]
DIM = 64
LIMIT = 64 << 20


def child(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own."""
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("durability", ["none", "os"])
def test_a_load_keeps_what_was_acknowledged_before_it(tmp_path: Path, durability: str) -> None:
    code = f"""
import os, signal, sys
import drift
from tests import oracle

ids = list(range(12))
rows = oracle.vectors(12, 4, 1)
c = drift.connect(sys.argv[1], durability={durability!r}).create_collection("docs", dim=4, metric="l2")
c.upsert(ids[:3], rows[:3])
c.flush()
c.upsert([4], rows[4:5])
c.delete([1])
c.load([([10, 11], rows[10:])])
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert child(code, tmp_path / "db").returncode == -signal.SIGKILL
    with drift.connect(tmp_path / "db") as db:
        assert sorted(db["docs"].ids().tolist()) == [0, 2, 4, 10, 11]
        assert db["docs"].verify()["problems"] == []


def test_a_stopped_load_leaves_no_file(tmp_path: Path) -> None:
    rows = oracle.vectors(250_000, DIM * 2, 3)
    batches = ((np.arange(at, at + 50_000), rows[at : at + 50_000]) for at in range(0, 250_000, 50_000))
    written = 0

    def stop_behind_the_first_segment(done: int, total: int | None) -> None:
        nonlocal written
        written = done if total is not None else 0
        if total is not None and done > 0:
            assert list((tmp_path / "db").rglob("spool/*")), "the rows are more than the limit leaves room for"
            assert list((tmp_path / "db").rglob("segments/*"))
            raise InterruptedError("enough")

    with drift.connect(tmp_path / "db", memory_limit=LIMIT) as db:
        c = db.create_collection("docs", dim=DIM * 2, metric="l2")
        with pytest.raises(InterruptedError, match="enough"):
            c.load(batches, progress=stop_behind_the_first_segment)
        assert 0 < written < 250_000
        assert len(c) == 0
        left = [file for folder in ("spool", "segments") for file in (tmp_path / "db").rglob(f"{folder}/*")]
        assert left == []
        c.load([(range(10), rows[:10])])
        assert len(c) == 10


def test_a_load_keeps_to_the_memory_limit(tmp_path: Path) -> None:
    code = f"""
import re, sys
import drift
import numpy as np
from tests import oracle

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])

def batches(count):
    for at in range(0, count, 10_000):
        ids = np.arange(at, at + 10_000)
        yield ids, np.random.default_rng(at).normal(size=(10_000, {DIM})).astype(np.float32)

db = drift.connect(sys.argv[1], memory_limit={LIMIT}, durability="os")
# Libraries, thread stacks and what the allocator keeps of a load that fits in the limit do not count.
warm = db.create_collection("warm", dim={DIM}, metric="l2")
warm.load(batches(10_000))
db.drop_collection("warm")
c = db.create_collection("docs", dim={DIM}, metric="l2")
before = peak()
c.load(batches(400_000))
# What stays is codes, two filter entries and the ids of each row.
stays = 400_000 * ({DIM} + 16 + 2 * 24 + 32)
print(peak() - before - stays, len(c))
"""
    done = child(code, tmp_path / "db")
    assert done.returncode == 0, done.stderr
    taken, rows = map(int, done.stdout.split())
    assert rows == 400_000
    assert taken <= 1.25 * LIMIT, f"{taken / 2**20:.0f} MiB"
