"""The parent of the mutation test: mutates copies of a database and hands them to a child with limits.

A child that dies, is silent for longer than `SECONDS_MAX`, takes more memory than `memory_max_kib`, or has other rows
than the sound database and tells of nothing, fails the run.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests import oracle
from tests.mutate import mutations

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 5.0
MODES = ("read", "write", "salvage")
TORN = ("cut to", "flipped", "overwritten")


@dataclass
class Figures:
    """What a run did."""

    mutated: int = 0
    with_errors: int = 0
    peak_kib: int = 0
    clean_kib: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Figures) -> None:
        """Count what was done beside it as well."""
        self.mutated += other.mutated
        self.with_errors += other.with_errors
        self.peak_kib = max(self.peak_kib, other.peak_kib)
        self.clean_kib = max(self.clean_kib, other.clean_kib)
        self.failures += other.failures


class Child:
    """A process that opens databases, one after another."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.mutate.child"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def use(self, path: Path, mode: str, seconds: float) -> dict[str, Any] | str:
        """Return what the child found, or what became of it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"path": str(path), "mode": mode}).encode() + b"\n")
        self.process.stdin.flush()
        if not oracle.await_output(self.process.stdout, seconds):
            return f"no answer within {seconds:.0f} s"
        line = self.process.stdout.readline()
        if not line:
            return f"the process ended with {self.process.wait()}"
        found: dict[str, Any] = json.loads(line)
        return found

    def end(self) -> None:
        """End the process and take its pipes down."""
        self.process.kill()
        with self.process:
            pass


def memory_max_kib(clean: int) -> int:
    """Return the peak that a child may reach: twice that of a sound database and 64 MiB."""
    return 2 * clean + (64 << 10)


def is_torn(done: list[str]) -> bool:
    """Whether a log may end in damage: under ``os`` a power loss leaves that, and earlier rows are the answer then."""
    return any(what.startswith("wal/") and what.split(": ")[1].startswith(TORN) for what in done)


class Folders:
    """Mutated databases, one after another, and the process that opens them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.seed = seed
        self.copy = folder / "copy"
        self.sound, self.foreign = folder / "sound", folder / "foreign"
        folder.mkdir()
        mutations.build(self.sound, seed)
        mutations.build(self.foreign, seed + 1)
        self.child = Child()
        self.figures = Figures()
        for mode in MODES:
            shutil.copytree(self.sound, self.copy)
            clean = self.child.use(self.copy, mode, 60.0)
            if isinstance(clean, str) or clean["errors"]:
                raise AssertionError(f"the sound database, opened to {mode}: {clean}")
            self.figures.clean_kib = clean["peak"]
            self.content = clean["content"]
            shutil.rmtree(self.copy)

    def open(self, number: int) -> None:
        """Mutate the database anew, as the number says, and have it opened."""
        shutil.copytree(self.sound, self.copy)
        done = mutations.mutate(self.copy, self.foreign, np.random.default_rng([self.seed, number]))
        mode = MODES[number % len(MODES)]
        found = self.child.use(self.copy, mode, SECONDS_MAX)
        self.figures.mutated += 1
        if not isinstance(found, str):
            self.figures.with_errors += bool(found["errors"])
            self.figures.peak_kib = max(self.figures.peak_kib, found["peak"])
            if found["peak"] > memory_max_kib(self.figures.clean_kib):
                found = f"{found['peak']} KiB, a sound database takes {self.figures.clean_kib}"
            elif not found["errors"] and found["content"] != self.content and not is_torn(done):
                found = "neither an error nor a problem, and other rows than there were"
        if isinstance(found, str):
            what = f"number {number} of seed {self.seed}, opened to {mode}: {found}; {'; '.join(done)}"
            self.figures.failures.append(f"{what}; it is mutated anew by --first {number} --count 1")
            self.child.end()
            self.child = Child()
        shutil.rmtree(self.copy)


def run(count: int, seed: int, first: int = 0, *, beside: int = 1) -> Figures:
    """Open databases number ``first`` to ``first + count`` of a seed, so many at a time; the figures of the run."""
    # In memory where that is possible: what is tested is not the disk.
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="drift-mutate-", dir=shared if shared.is_dir() else None))
    numbers = iter(range(first, first + count))

    def work(worker: int) -> Figures:
        folders = Folders(folder / str(worker), seed)
        try:
            # One iterator serves all threads: `next` on a range's iterator is one step of the interpreter.
            for number in numbers:
                folders.open(number)
        finally:
            folders.child.end()
        return folders.figures

    total = Figures()
    with ThreadPoolExecutor(beside) as threads:
        for figures in threads.map(work, range(beside)):
            total.add(figures)
    shutil.rmtree(folder)
    return total
