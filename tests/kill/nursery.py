"""Children of the kill test and what they tell: the process that they are forked from, and the journal of one child.

The children are forks of one process that has imported everything and opened nothing (`tests.kill.child`), so that a
round costs its work alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests import oracle
from tests.kill import plan

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]


class Journal:
    """What one child told: the model of all that was acknowledged, and the operation under way."""

    def __init__(self, model: plan.Model, version: int) -> None:
        self.model = model
        self.version = version
        self.pending: plan.Operation | None = None
        self.stage = "start"
        self.acknowledged = 0
        self.jobs: list[str] = []
        self.child: int | None = None
        self.code: int | None = None

    def take(self, line: str) -> None:
        """Note one line of the child."""
        if line in ("open", "ready"):
            self.stage = line
        elif line.startswith("begin "):
            self.pending = plan.Operation.read(line.removeprefix("begin "))
            self.version = self.pending.version
        elif line.startswith("done") and self.pending is not None:
            self.jobs += line.split()[1:]
            self.model = self.pending.apply(self.model)
            self.pending = None
            self.acknowledged += 1
        elif line.startswith("born "):
            self.child = int(line.removeprefix("born "))
        elif line.startswith("died "):
            self.code = int(line.removeprefix("died "))
        else:
            raise AssertionError(f"the child wrote {line!r}")


class Nursery:
    """The process that children are forked from, and the lines that they write."""

    def __init__(self, folder: Path, shim: Path | None = None) -> None:
        self.errors = (folder / "errors.txt").open("w+b")
        # Only what is in a database counts as a change of a file.
        preload = {} if shim is None else {"LD_PRELOAD": str(shim), "DRIFT_KILL_UNDER": str(folder / "db-")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.kill.child"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env={**os.environ, **preload},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.orders, self.told = self.process.stdin, self.process.stdout
        self.rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # It ends with its input.
        self.orders.close()
        self.process.wait()
        self.told.close()
        self.errors.close()

    def bear(self, orders: dict[str, Any]) -> None:
        """Have a child born that follows `orders`."""
        self.orders.write(json.dumps(orders).encode() + b"\n")
        self.orders.flush()

    def listen(self, journal: Journal, seconds: float, enough: Callable[[], bool]) -> bool:
        """Note lines until ``enough()``, the child's death or `seconds` have passed; whether the child is alive."""
        while journal.code is None and not enough():
            seconds = oracle.await_output(self.told, seconds)
            if not seconds:
                break
            chunk = os.read(self.told.fileno(), 1 << 16)
            if not chunk:
                raise AssertionError(f"the process that children are forked from has ended: {self.complaints()}")
            *lines, self.rest = (self.rest + chunk).split(b"\n")
            for line in lines:
                journal.take(line.decode())
        return journal.code is None

    def complaints(self) -> str:
        """Return what was written to stderr."""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")


def build_shim(folder: Path) -> Path | None:
    """Compile the shim that kills at a change of a file; None without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    shim = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(shim), str(source), "-ldl"], check=True)
    return shim
