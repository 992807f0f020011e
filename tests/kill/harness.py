"""The parent of the kill test: starts a child, keeps its journal, kills it, opens what it left and compares.

A round kills either a random while after the child is ready, or (one in five) while it opens the database, so recovery
itself is interrupted too; or, with a shim in the child, at its n-th change of a file, for every n in turn. The database
goes on from round to round; every `FRESH_AFTER` rounds a new one begins.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import drift
import numpy as np

from tests import oracle
from tests.kill import plan

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
FRESH_AFTER = 25
START_SECONDS_MAX = 60.0

# Changes of files that a round lets pass at most before it kills: more than opening, a flush and an optimize make.
OPERATIONS_MAX = 211


@dataclass
class Figures:
    """What a run did."""

    kills: int = 0
    kills_while_opening: int = 0
    kills_within_a_call: int = 0
    acknowledged: int = 0
    unacknowledged_kept: int = 0
    failures: list[str] = field(default_factory=list)


class Journal:
    """What one child told: the model of all that was acknowledged, and the operation under way."""

    def __init__(self, model: plan.Model, version: int) -> None:
        self.model = model
        self.version = version
        self.pending: plan.Operation | None = None
        self.stage = "start"
        self.acknowledged = 0

    def take(self, line: str) -> None:
        """Note one line of the child."""
        if line in ("open", "ready"):
            self.stage = line
        elif line.startswith("begin "):
            self.pending = plan.Operation.read(line.removeprefix("begin "))
            self.version = self.pending.version
        elif line == "done" and self.pending is not None:
            self.model = self.pending.apply(self.model)
            self.pending = None
            self.acknowledged += 1
        else:
            raise AssertionError(f"the child wrote {line!r}")


class Pipe:
    """Lines of a child's output, as they come."""

    def __init__(self, descriptor: int, journal: Journal) -> None:
        self.descriptor = descriptor
        self.journal = journal
        self.rest = b""

    def listen(self, deadline: float, enough: Callable[[], bool]) -> bool:
        """Note lines until ``enough()`` or the deadline (true) or the end of the output (false)."""
        while not enough():
            wait = deadline - time.monotonic()
            if wait <= 0:
                return True
            if not select.select([self.descriptor], [], [], wait)[0]:
                return True
            chunk = os.read(self.descriptor, 1 << 16)
            if not chunk:
                return False
            *lines, self.rest = (self.rest + chunk).split(b"\n")
            for line in lines:
                self.journal.take(line.decode())
        return True


def build_shim(folder: Path) -> Path | None:
    """Compile the shim that kills at a change of a file; None without a C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    shim = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(shim), str(source), "-ldl"], check=True)
    return shim


def one_life(
    path: Path,
    durability: str,
    journal: Journal,
    random: np.random.Generator,
    shim: tuple[Path, int] | None = None,
) -> str | None:
    """Run one child until it is killed, and return what went wrong if it ended by itself.

    With a shim and a number the child kills itself at that change of a file.
    """
    orders = {
        "path": str(path),
        "durability": durability,
        "seed": int(random.integers(2**31)),
        "model": journal.model,
        "version": journal.version,
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.kill.child"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ
        if shim is None
        else {**os.environ, "LD_PRELOAD": str(shim[0]), "DRIFT_KILL_UNDER": str(path), "DRIFT_KILL_AT": str(shim[1])},
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    with child.stdin, child.stdout, child.stderr:
        child.stdin.write(json.dumps(orders).encode() + b"\n")
        child.stdin.flush()
        pipe = Pipe(child.stdout.fileno(), journal)
        if shim is not None:
            # It goes on until the shim kills it.
            pipe.listen(time.monotonic() + START_SECONDS_MAX, lambda: False)
            child.send_signal(signal.SIGKILL)
            error, code = child.stderr.read().decode(), child.wait()
            return None if code == -signal.SIGKILL else f"the child ended by itself with {code}: {error}"
        while_opening = random.random() < 0.2
        awaited = ("open", "ready") if while_opening else ("ready",)
        alive = pipe.listen(time.monotonic() + START_SECONDS_MAX, lambda: journal.stage in awaited)
        if alive and journal.stage in awaited:
            delay = random.exponential(0.004) if while_opening else random.uniform(0, 0.35)
            alive = pipe.listen(time.monotonic() + delay, lambda: False)
        child.send_signal(signal.SIGKILL)
        pipe.listen(time.monotonic() + START_SECONDS_MAX, lambda: False)
        error = child.stderr.read().decode()
        code = child.wait()
    if journal.stage not in ("open", "ready"):
        return f"the child did not come to open the database within {START_SECONDS_MAX:.0f} s: {error}"
    if not alive or code != -signal.SIGKILL:
        return f"the child ended by itself with {code}: {error}"
    return None


def compare(path: Path, durability: str, journal: Journal) -> tuple[list[str], plan.Model]:
    """Open what the child left and return the failures found, and the model that the database holds."""
    try:
        with drift.connect(path, durability=durability) as db:  # type: ignore[arg-type]
            collection = db.create_collection("docs", dim=plan.DIM, metric="l2", exist_ok=True)
            return check_rows(collection, journal)
    except drift.DriftError as error:
        return [f"{type(error).__name__} after a kill: {error}"], journal.model


def check_rows(collection: drift.Collection, journal: Journal) -> tuple[list[str], plan.Model]:
    """Return the failures of an open collection against the journal, and the model it holds."""
    failures = [f"verify: {problem}" for problem in oracle.problems(collection)]
    ids = oracle.ids_of(collection)
    before = journal.model
    after = journal.pending.apply(before) if journal.pending else before
    vectors = collection.get(ids).vectors
    held = next((model for model in (before, after) if matches(model, ids, vectors)), None)
    if held is None:
        return [*failures, explain(journal, ids, vectors)], before
    if len(collection) != len(ids):
        failures.append(f"len() is {len(collection)}, ids() has {len(ids)}")
    for id_ in ids[:: max(1, len(ids) // 5)]:
        hits = collection.search(expected([id_], held)[0], k=3, exact=True).ids.tolist()
        if hits[0] != id_ or len({hit for hit in hits if hit >= 0}) != min(3, len(ids)):
            failures.append(f"exact search for the vector of {id_} finds {hits}")
    return failures, held


def expected(ids: list[int], model: plan.Model) -> oracle.F32:
    """Return the vectors that ids must have."""
    return oracle.vector_of(ids, [model[id_] for id_ in ids], plan.DIM)


def matches(model: plan.Model, ids: list[int], vectors: oracle.F32) -> bool:
    """Whether the database holds exactly this model."""
    return ids == sorted(model) and bool((vectors == expected(ids, model)).all())


def explain(journal: Journal, ids: list[int], vectors: oracle.F32) -> str:
    """Says which rule was broken, for a database that holds neither model."""
    known, before = set(ids), journal.model
    touched = set(journal.pending.ids) if journal.pending else set()
    lost = sorted(set(before) - known - touched)
    back = sorted(known - set(before) - touched)
    sound = [id_ for id_ in ids if id_ in before and id_ not in touched]
    rows = {id_: at for at, id_ in enumerate(ids)}
    wrong = [id_ for id_ in sound if (vectors[rows[id_]] != expected([id_], before)[0]).any()]
    parts = [f"lost {lost}", f"back {back}", f"wrong vector {wrong}"] if lost or back or wrong else ["half a batch"]
    return f"{', '.join(parts)}; under way: {journal.pending}"


def run(
    kills: int, durability: str, seed: int, say: Callable[[str], None] = print, *, at_operations: bool = False
) -> Figures:
    """Kills ``kills`` children, at moments or at changes of files; the figures of the run."""
    random = np.random.default_rng([seed, kills])
    figures = Figures()
    folder = Path(tempfile.mkdtemp(prefix="drift-kill-"))
    path, model, version = folder / "db-0", plan.Model(), 0
    shim = build_shim(folder) if at_operations else None
    if at_operations and shim is None:
        raise RuntimeError("there is no C compiler (cc) for the shim that kills at changes of files")
    for round_ in range(kills):
        if round_ % FRESH_AFTER == 0:
            shutil.rmtree(path, ignore_errors=True)
            path, model, version = folder / f"db-{round_}", plan.Model(), 0
        journal = Journal(model, version)
        # A prime that does not divide the life of a database: each number meets databases of every age.
        at = None if shim is None else (shim, 1 + round_ * 7 % OPERATIONS_MAX)
        ended = one_life(path, durability, journal, random, at)
        failures, held = compare(path, durability, journal)
        failures += [ended] if ended else []
        figures.kills += 1
        figures.acknowledged += journal.acknowledged
        figures.kills_while_opening += journal.stage == "open"
        figures.kills_within_a_call += journal.pending is not None
        figures.unacknowledged_kept += held != journal.model
        if failures:
            figures.failures += [f"kill {round_}: {failure}" for failure in failures]
            say(f"kill {round_} of seed {seed}, durability {durability}; the database is kept in {path}")
            say("\n".join(f"  {failure}" for failure in failures))
            return figures
        model, version = held, journal.version
    shutil.rmtree(folder)
    return figures
