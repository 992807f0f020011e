"""Limits: a full disk, a folder that may not be written, few descriptors, memory, the end of the interpreter.

The error says what is missing, reads go on, and nothing acknowledged is lost. Each runs in a process of its own, which
takes the limit upon itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import drift
import pytest

from tests import oracle

ROOT = Path(__file__).resolve().parents[1]

# What each child begins with: rows are written until a limit is met, then read.
PRELUDE = """
import os, resource, sys
import drift
from tests import oracle

path = sys.argv[1]
DIM = 16

def fill(c):
    acknowledged = 0
    try:
        for version in range(4000):
            ids = list(range(version * 20, version * 20 + 20))
            c.upsert(ids, oracle.vector_of(ids, [1] * 20, DIM))
            acknowledged += 20
    except drift.DriftError as error:
        print(type(error).__name__, flush=True)
        assert len(c) >= acknowledged
        assert c.search(oracle.vector_of([3], [1], DIM)[0], k=1, exact=True).ids.tolist() == [3]
        c.get(list(range(acknowledged)))
        return acknowledged
    raise AssertionError("the limit was never met")
"""


def run(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a child and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code, str(path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def assert_whole(path: Path, acknowledged: int) -> None:
    """Fails unless all acknowledged rows are there, and perhaps the batch after them, and the database takes more."""
    with drift.connect(path) as db:
        c = db["docs"]
        assert oracle.problems(c) == []
        assert len(c) in (acknowledged, acknowledged + 20)
        assert (
            c.get(range(acknowledged)).vectors == oracle.vector_of(range(acknowledged), [1] * acknowledged, 16)
        ).all()
        c.upsert([10**6], oracle.vector_of([1], [1], 16))
        c.flush()


def test_a_file_that_may_not_grow_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    done = run(
        """
with drift.connect(path, durability="os") as db:
    c = db.create_collection("docs", dim=DIM, metric="l2")
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    acknowledged = fill(c)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(acknowledged)
""",
        tmp_path / "db",
    )
    kind, acknowledged = done.stdout.split()
    assert kind == "ResourceExhaustedError"
    assert int(acknowledged) > 0
    assert_whole(tmp_path / "db", int(acknowledged))


def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs"]
    if mount is None or umount is None or subprocess.run([mount, *options, str(disk)], check=False).returncode:
        pytest.skip("this system lets nobody mount a small file system here")
    try:
        done = run(
            """
db = drift.connect(path)
acknowledged = fill(db.create_collection("docs", dim=DIM, metric="l2"))
try:
    db.close()
except drift.DriftError as error:
    print(type(error).__name__, file=sys.stderr)
print(acknowledged)
""",
            disk / "db",
        )
        kind, acknowledged = done.stdout.split()
        assert kind == "ResourceExhaustedError"
        shutil.copytree(disk / "db", tmp_path / "copy")
    finally:
        subprocess.run([umount, str(disk)], check=True)
    assert_whole(tmp_path / "copy", int(acknowledged))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_a_folder_that_may_not_be_written_says_so_and_can_be_read() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "db"
        with drift.connect(path) as db:
            c = db.create_collection("docs", dim=16, metric="l2")
            c.upsert(range(20), oracle.vector_of(range(20), [1] * 20, 16))
        before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
        done = run(
            """
os.setgid(65534)
os.setuid(65534)
try:
    drift.connect(path)
except drift.DriftError as error:
    print(type(error).__name__, path in str(error))
with drift.connect(path, read_only=True) as db:
    print(len(db["docs"]))
""",
            path,
        )
        assert done.stdout.split()[1:] == ["True", "20"]
        assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


def test_few_descriptors_are_an_error_and_lose_nothing(tmp_path: Path) -> None:
    done = run(
        """
db = drift.connect(path)
c = db.create_collection("docs", dim=DIM, metric="l2")
c.maintenance.pause()
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 4096))
acknowledged = 0
try:
    for start in range(0, 4000, 20):
        ids = list(range(start, start + 20))
        c.upsert(ids, oracle.vector_of(ids, [1] * 20, DIM))
        acknowledged = start + 20
        c.flush()
    raise AssertionError("the limit was never met")
except drift.DriftError as error:
    print(type(error).__name__)
assert len(c.get(list(range(acknowledged))).ids) == acknowledged
assert c.search(oracle.vector_of([3], [1], DIM)[0], k=1, exact=True).ids.tolist() == [3]
print(acknowledged)
os._exit(0)
""",
        tmp_path / "db",
    )
    kind, acknowledged = done.stdout.split()
    assert kind == "ResourceExhaustedError"
    assert_whole(tmp_path / "db", int(acknowledged))


def test_writers_are_refused_within_the_memory_limit_when_nothing_can_be_flushed(tmp_path: Path) -> None:
    done = run(
        """
from pathlib import Path

WIDE, BATCH, LIMIT = 256, 500, 64 << 20

def resident():
    return 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])

def write(c, start):
    ids = list(range(start, start + BATCH))
    c.upsert(ids, oracle.vector_of(ids, [1] * BATCH, WIDE))

def read(c, rows):
    assert len(c) == rows
    for start in (0, rows - BATCH):
        ids = list(range(start, start + BATCH))
        assert (c.get(ids).vectors == oracle.vector_of(ids, [1] * BATCH, WIDE)).all()
    assert c.search(oracle.vector_of([3], [1], WIDE)[0], k=1, exact=True).ids.tolist() == [3]

db = drift.connect(path, durability="os", memory_limit=LIMIT)
c = db.create_collection("docs", dim=WIDE, metric="l2")
write(c, 0)
c.maintenance.pause()
# No segment can be written: its folder is a file.
segments = next(Path(path).glob("collections/*")) / "segments"
if segments.exists():
    segments.rmdir()
segments.write_bytes(b"")
before, most, rows = resident(), 0, BATCH
try:
    while rows < 10**6:
        write(c, rows)
        rows += BATCH
        most = max(most, resident())
except drift.ResourceExhaustedError as error:
    assert "memory_limit" in str(error), error
# More of them are refused at once, and nothing of them stays.
for _ in range(20):
    try:
        write(c, rows)
        raise AssertionError("there was no room")
    except drift.ResourceExhaustedError:
        pass
read(c, rows)
most = max(most, resident())
segments.unlink()
c.flush()
write(c, rows)
read(c, rows + BATCH)
db.close()
with drift.connect(path) as db:
    read(db["docs"], rows + BATCH)
    assert oracle.problems(db["docs"]) == []
print(rows, most - before, LIMIT)
""",
        tmp_path / "db",
    )
    rows, grown, limit = map(int, done.stdout.split())
    assert rows * 256 * 4 > limit // 4, "the room is used"
    assert grown <= 1.25 * limit


def test_an_interpreter_that_ends_with_open_handles_ends_at_once_and_loses_nothing(tmp_path: Path) -> None:
    for round_ in range(10):
        run(
            f"""
import threading
db = drift.connect(path)
c = db.create_collection("docs", dim=DIM, metric="l2", exist_ok=True)
ids = list(range({round_ * 20}, {round_ * 20 + 20}))
c.upsert(ids, oracle.vector_of(ids, [1] * 20, DIM))
def search():
    while True:
        c.search(oracle.vector_of([3], [1], DIM)[0], k=3)
threading.Thread(target=search, daemon=True).start()
""",
            tmp_path / "db",
        )
    assert_whole(tmp_path / "db", 200)
