"""The parent of the mutation test: mutates copies of a database and hands them to a child with limits.

A child that dies, is silent for longer than `SECONDS_MAX`, or takes more memory than `memory_max_kib` fails the run.
"""

from __future__ import annotations

import json
import select
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.mutate import mutations

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 5.0
MODES = ("read", "write", "salvage")


@dataclass
class Figures:
    """What a run did."""

    mutated: int = 0
    with_errors: int = 0
    peak_kib: int = 0
    clean_kib: int = 0
    failures: list[str] = field(default_factory=list)


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
        if not select.select([self.process.stdout], [], [], seconds)[0]:
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


def run(count: int, seed: int, first: int = 0, say: Callable[[str], None] = print) -> Figures:
    """Open databases number ``first`` to ``first + count`` of a seed; the figures of the run."""
    figures = Figures()
    # In memory where that is possible: what is tested is not the disk.
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="drift-mutate-", dir=shared if shared.is_dir() else None))
    sound, foreign, copy = folder / "sound", folder / "foreign", folder / "copy"
    mutations.build(sound, seed)
    mutations.build(foreign, seed + 1)
    child = Child()
    try:
        for mode in MODES:
            shutil.copytree(sound, copy)
            clean = child.use(copy, mode, 60.0)
            if isinstance(clean, str) or clean["errors"]:
                raise AssertionError(f"the sound database, opened to {mode}: {clean}")
            figures.clean_kib = clean["peak"]
            shutil.rmtree(copy)
        for number in range(first, first + count):
            random = np.random.default_rng([seed, number])
            shutil.copytree(sound, copy)
            done = mutations.mutate(copy, foreign, random)
            mode = MODES[number % len(MODES)]
            found = child.use(copy, mode, SECONDS_MAX)
            figures.mutated += 1
            if not isinstance(found, str):
                figures.with_errors += bool(found["errors"])
                figures.peak_kib = max(figures.peak_kib, found["peak"])
                if found["peak"] > memory_max_kib(figures.clean_kib):
                    found = f"{found['peak']} KiB, a sound database takes {figures.clean_kib}"
            if isinstance(found, str):
                figures.failures.append(f"number {number} of seed {seed}, opened to {mode}: {found}; {'; '.join(done)}")
                say(f"{figures.failures[-1]}; it is mutated anew by --first {number} --count 1 --seed {seed}")
                child.end()
                child = Child()
            shutil.rmtree(copy)
    finally:
        child.end()
    shutil.rmtree(folder)
    return figures
