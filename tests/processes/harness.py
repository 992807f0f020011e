"""The parent of a round: starts the process, sends Ctrl-C where the scene has it, and looks at what is left.

However a process ends, it ends within :data:`SECONDS_MAX`; the database opens, is sound and holds every row that was
acknowledged; each backup that is listed is whole, and a restore that was stopped is no database.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

import drift

from tests import oracle
from tests.processes import child

ROOT = Path(__file__).resolve().parents[2]

# A process that has not ended by then hangs, even where twenty others run.
SECONDS_MAX = 120

# Longest pause before Ctrl-C: some repetitions of the longest operation.
PAUSE_SECONDS_MAX = 0.3

# A new folder begins after this many rounds.
FRESH_AFTER = 25

SCENES = [*child.SCENES, *child.OPERATIONS]


@dataclass
class Figures:
    """What a run did."""

    rounds: int = 0
    interrupted: int = 0
    acknowledged: int = 0
    failures: list[str] = field(default_factory=list)


def kill_after(process: subprocess.Popen[str], ended: threading.Event) -> None:
    """Kill a process that does not end in time, of which a stop of all processes is a second at most."""
    for _ in range(SECONDS_MAX):
        if ended.wait(1.0):
            return
    process.kill()


def run_child(scene: str, folder: Path, seed: int, pause: float | None) -> tuple[list[int], str]:
    """Run a round's process; returns the rows that it acknowledged, and what was wrong with it."""
    command = [sys.executable, "-m", "tests.processes.child", scene, str(folder), str(seed)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ended = threading.Event()
    watch = threading.Thread(target=kill_after, args=(process, ended))
    watch.start()
    try:
        first = process.stdout.readline()
        if first == "ready\n" and pause is not None:
            try:
                process.wait(timeout=pause)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    finally:
        ended.set()
        watch.join()
    problem = "" if process.returncode == 0 and first == "ready\n" else f"status {process.returncode}: {err[-2000:]}"
    whole = out[: out.rfind("\n") + 1].split()
    return [int(line) for line in whole], "it hung" if process.returncode == -signal.SIGKILL else problem


def look(folder: Path, acknowledged: list[int]) -> str:
    """Say what is wrong with what a round left; nothing when all is well."""
    with drift.connect(folder / "db") as db:
        c = db["docs"]
        found = oracle.problems(c)
        if found:
            return f"verify: {found}"
        ids = [*range(0, child.ROWS, 97), *(first + at for first in acknowledged for at in range(20))]
        if not (c.get(ids).vectors == oracle.vector_of(ids, [1] * len(ids), child.DIM)).all():
            return "a row has another vector"
    backups = folder / "backups"
    if backups.exists() and drift.backups(backups):
        found = drift.verify_backups(backups)
        if found:
            return f"a backup that is listed: {found}"
    for restored in folder.glob("restored-*"):
        try:
            with drift.connect(restored) as db:
                if oracle.problems(db["docs"]) or len(db["docs"]) < child.ROWS:
                    return f"{restored} opens and is not whole"
        except drift.DriftError:
            pass
        shutil.rmtree(restored)
    return ""


def run(rounds: int, seed: int, first: int = 0) -> Figures:
    """Run rounds ``first`` to ``rounds``; a folder that fails is kept, and its path told."""
    figures = Figures()
    folder = Path(tempfile.mkdtemp(prefix="drift-processes-"))
    for number in range(first, rounds):
        random = oracle.rng(seed * 1_000_003 + number)
        scene = SCENES[number % len(SCENES)]
        pause = float(random.uniform(0, PAUSE_SECONDS_MAX)) if scene in child.OPERATIONS else None
        acknowledged, problem = run_child(scene, folder, int(random.integers(1 << 30)), pause)
        try:
            problem = problem or look(folder, acknowledged)
        except (drift.DriftError, OSError) as error:
            problem = f"{type(error).__name__}: {error}"
        figures.rounds += 1
        figures.interrupted += pause is not None
        figures.acknowledged += 20 * len(acknowledged)
        if problem:
            figures.failures.append(f"round {number} ({scene}), kept in {folder}: {problem}")
            folder = Path(tempfile.mkdtemp(prefix="drift-processes-"))
        elif number % FRESH_AFTER == FRESH_AFTER - 1:
            shutil.rmtree(folder)
            folder.mkdir()
    shutil.rmtree(folder)
    return figures
