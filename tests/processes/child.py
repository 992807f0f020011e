"""The process of a round: a database is in use while the process forks, spawns, is interrupted or ends.

``python -m tests.processes.child SCENE FOLDER SEED``. It prints ``ready`` when the parent may act and, for each batch
that is acknowledged from then on, the number of its first row; it ends with status 0 unless something is wrong.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import drift

from tests import oracle

if TYPE_CHECKING:
    from collections.abc import Callable

DIM = 16

# Rows that the database begins with: optimize, verify and a backup take some milliseconds of them.
ROWS = 3000


def tell(line: object) -> None:
    """Print a line that the parent reads at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def write(c: drift.Collection, first: int, count: int = 20) -> None:
    """Upsert rows and tell the parent of the first one, from which on they are acknowledged."""
    ids = list(range(first, first + count))
    c.upsert(ids, oracle.vector_of(ids, [1] * count, DIM))
    tell(first)


def search(c: drift.Collection, id_: int = 3) -> None:
    """Search, and fail unless a row that was acknowledged long ago is found."""
    assert c.search(oracle.vector_of([id_], [1], DIM)[0], k=1, exact=True).ids.tolist() == [id_]


def begin(folder: Path) -> tuple[drift.Database, drift.Collection]:
    """Open the database, made on the first round, with its first rows."""
    db = drift.connect(folder / "db", durability="os")
    c = db.create_collection("docs", dim=DIM, metric="l2", exist_ok=True)
    if len(c) < ROWS:
        c.upsert(range(ROWS), oracle.vector_of(range(ROWS), [1] * ROWS, DIM))
        c.flush()
    return db, c


def fork(folder: Path, seed: int) -> None:
    """Fork amid writes: the child gets ForkError, ends as interpreters do, and the parent goes on."""
    db, c = begin(folder)
    tell("ready")
    write(c, ROWS + seed % 50 * 20)
    child = os.fork()
    if child == 0:
        refused = 0
        calls: list[Callable[[], object]] = [lambda: search(c), lambda: write(c, 0), lambda: len(c), db.close]
        for call in calls:
            try:
                call()
            except drift.ForkError:
                refused += 1
            except drift.ClosedError:
                pass
        if seed % 2:
            os._exit(0 if refused >= 3 else 1)
        sys.exit(0 if refused >= 3 else 1)
    write(c, ROWS + 1000)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "the child was not refused, or did not end well"
    search(c)
    db.close()


def count_rows(c: drift.Collection, answers: multiprocessing.Queue[int]) -> None:
    """In a spawned process: the handle that came along reads."""
    search(c)
    answers.put(len(c))


def spawn(folder: Path, seed: int) -> None:
    """Pass a handle to a spawned process while this one writes."""
    db, c = begin(folder)
    tell("ready")
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[int] = context.Queue()
    process = context.Process(target=count_rows, args=(c, answers))
    process.start()
    write(c, ROWS + seed % 50 * 20)
    assert answers.get(timeout=60) >= ROWS
    process.join()
    assert process.exitcode == 0
    db.close()


def threads(folder: Path, seed: int) -> None:
    """Eight threads on one handle, which is closed under half of them."""
    db, c = begin(folder)
    tell("ready")

    def work(thread: int) -> None:
        try:
            for round_ in range(20):
                search(c)
                if thread % 2:
                    write(c, ROWS + (seed % 5 * 400 + thread * 20 + round_) % 2000)
        except drift.ClosedError:
            pass

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers[: seed % 9]:
        worker.join()
    db.close()
    for worker in workers:
        worker.join()


def leave(folder: Path, seed: int) -> None:
    """End with open handles, amid searches and writes of daemon threads and background work."""
    _, c = begin(folder)

    def work(thread: int) -> None:
        while True:
            search(c)
            if thread == 0:
                ids = list(range(ROWS))
                c.upsert(ids, oracle.vector_of(ids, [1] * ROWS, DIM))

    for thread in range(3):
        threading.Thread(target=work, args=(thread,), daemon=True).start()
    tell("ready")
    write(c, ROWS + seed % 50 * 20)
    if seed % 3 == 1:
        sys.exit(0)
    if seed % 3 == 2:
        os._exit(0)


def interrupted(operation: Callable[[drift.Database, drift.Collection, Path, int], None], folder: Path) -> None:
    """Repeat an operation until Ctrl-C ends it; afterwards the handle works as before."""
    db, c = begin(folder)
    try:
        tell("ready")
        for turn in range(10**9):
            operation(db, c, folder, turn)
    except KeyboardInterrupt:
        pass
    search(c)
    write(c, ROWS)
    assert oracle.problems(c) == []
    db.close()


def load(_db: drift.Database, c: drift.Collection, _folder: Path, turn: int) -> None:
    """Replace rows by a bulk load of a few batches."""
    version = [1] * 500
    batches = [list(range(start, start + 500)) for start in range(0, ROWS, 500)]
    c.load((ids, oracle.vector_of(ids, version, DIM)) for ids in batches)
    assert turn >= 0


def backup(db: drift.Database, _c: drift.Collection, folder: Path, _turn: int) -> None:
    """Back up everything."""
    db.backup(folder / "backups", incremental=False)


def restore(db: drift.Database, _c: drift.Collection, folder: Path, turn: int) -> None:
    """Restore the newest backup into a folder of its own."""
    if not (folder / "backups").exists() or not drift.backups(folder / "backups"):
        db.backup(folder / "backups")
    drift.restore(folder / "backups", folder / f"restored-{os.getpid()}-{turn}")


def optimize(_db: drift.Database, c: drift.Collection, _folder: Path, turn: int) -> None:
    """Delete, write and optimize."""
    ids = list(range(turn % 7, ROWS, 7))
    c.upsert(ids, oracle.vector_of(ids, [1] * len(ids), DIM))
    c.optimize()


def verify(_db: drift.Database, c: drift.Collection, _folder: Path, _turn: int) -> None:
    """Read everything."""
    assert oracle.problems(c) == []


SCENES: dict[str, Callable[[Path, int], None]] = {"fork": fork, "spawn": spawn, "threads": threads, "leave": leave}
OPERATIONS = {"load": load, "backup": backup, "restore": restore, "optimize": optimize, "verify": verify}


def main() -> None:
    """Run the scene that the arguments name."""
    # A shell that runs the harness in the background has it ignore Ctrl-C, and its children with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    scene, folder, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if scene in SCENES:
        SCENES[scene](folder, seed)
    else:
        interrupted(OPERATIONS[scene], folder)


if __name__ == "__main__":
    main()
