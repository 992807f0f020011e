"""The parent of the kill test: has children born and killed, opens what they left and compares.

A round kills either a moment after some of the child's calls have returned, or (one in five) while it opens the
database, so recovery itself is interrupted too; or, with a shim in the child, at its n-th change of a file, for every n
in turn. The database goes on for `LIFE` rounds, then a new one begins: such a life follows from the seed and its
number alone, so that a run goes on where another ended, and several lives run beside each other.

What survives the death of a process is what the kernel was given, whatever the disk does later. So the databases are
in memory where the system has such a folder, which makes a kill cost the work of the engine alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.kill import plan
from tests.kill.compare import compare
from tests.kill.nursery import Journal, Nursery, build_shim

if TYPE_CHECKING:
    from collections.abc import Callable

# Kills of one database.
LIFE = 25
START_SECONDS_MAX = 60.0

# Calls of a child that return before it is killed, on average, and the mean time from there in calls of mean length:
# the next one is under way, or the one after it.
CALLS_MEAN = 8
MOMENT_CALLS_MEAN = 1.0

# Time that a child's opening takes, before any was measured.
OPENING_SECONDS = 0.005

# Changes of files that a round lets pass at most before it kills: more than opening, a flush and an optimize make.
OPERATIONS_MAX = 211


@dataclass
class Figures:
    """What a run did."""

    kills: int = 0
    kills_while_opening: int = 0
    kills_within_a_call: int = 0
    kills_within_a_job: int = 0
    kills_within_large_jobs: int = 0
    retrained: int = 0
    expired: int = 0
    acknowledged: int = 0
    unacknowledged_kept: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Figures) -> None:
        """Count what another run did as well."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class Rounds:
    """The rounds of some lives, one after another, with the process that their children are forked from."""

    def __init__(self, folder: Path, shim: Path | None, durability: str, seed: int) -> None:
        self.folder = folder
        self.shim = shim
        self.durability = durability
        self.seed = seed
        folder.mkdir()
        self.nursery = Nursery(folder, shim)
        # Means of what this machine takes, which give moments a scale.
        self.opening = OPENING_SECONDS
        self.calls = {plan.SMALL.ids: OPENING_SECONDS, plan.LARGE.ids: OPENING_SECONDS}

    def live(self, life: int, kills: int) -> Figures:
        """Kill children of one database until there are enough or one shows a failure."""
        random = np.random.default_rng([self.seed, life])
        figures = Figures()
        path, model, version = self.folder / f"db-{life}", plan.Model(), 0
        for round_ in range(life * LIFE, life * LIFE + kills):
            journal = Journal(model, version)
            # A prime that does not divide a life: each number meets databases of every age.
            kill_at = None if self.shim is None else 1 + round_ * 7 % OPERATIONS_MAX
            ended = self.one_kill(path, life, journal, random, kill_at)
            failures, held = compare(path, self.durability, journal)
            failures += [ended] if ended else []
            figures.kills += 1
            figures.acknowledged += journal.acknowledged
            figures.kills_while_opening += journal.stage == "open"
            figures.kills_within_a_call += journal.pending is not None
            figures.kills_within_a_job += journal.pending is not None and journal.pending.kind in plan.JOBS
            in_maintenance = journal.pending is not None and journal.pending.kind in ("maintain", "optimize")
            figures.kills_within_large_jobs += in_maintenance and plan.life_of(life) is plan.LARGE
            figures.retrained += journal.jobs.count("retrain")
            figures.expired += journal.jobs.count("expire")
            figures.unacknowledged_kept += held != journal.model
            if failures:
                figures.failures += [f"kill {round_}, database kept in {path}: {failure}" for failure in failures]
                return figures
            model, version = held, journal.version
        shutil.rmtree(path)
        return figures

    def one_kill(
        self, path: Path, life: int, journal: Journal, random: np.random.Generator, kill_at: int | None
    ) -> str | None:
        """Run one child until it is killed, and return what went wrong if it ended by itself.

        With a number the child kills itself at that change of a file, by the shim.
        """
        seed, ids = int(random.integers(2**31)), plan.life_of(life).ids
        model, version = journal.model, journal.version
        orders = {"path": str(path), "durability": self.durability, "life": life, "seed": seed}
        self.nursery.bear({**orders, "model": model, "version": version, "kill_at": kill_at})

        def await_(enough: Callable[[], bool], seconds: float = START_SECONDS_MAX) -> bool:
            return self.nursery.listen(journal, seconds, enough)

        alive = True
        if kill_at is not None:
            await_(lambda: False)
        else:
            while_opening = random.random() < 0.2
            calls = 0 if while_opening else int(random.geometric(1 / CALLS_MEAN)) - 1
            moment = float(random.uniform() if while_opening else random.exponential(MOMENT_CALLS_MEAN))
            # Its birth and its first words come in any order.
            alive = await_(lambda: journal.child is not None and journal.stage != "start")
            began = time.monotonic()
            if alive and not while_opening:
                alive = await_(lambda: journal.stage == "ready")
                self.opening += (time.monotonic() - began - self.opening) / 16
                began = time.monotonic()
                alive = alive and await_(lambda: journal.acknowledged >= calls)
                self.calls[ids] += ((time.monotonic() - began) / calls - self.calls[ids]) / 16 if calls else 0.0
            if alive and journal.stage != "start":
                alive = await_(lambda: False, moment * (self.opening if while_opening else self.calls[ids]))
        if journal.code is None and journal.child is not None:
            os.kill(journal.child, signal.SIGKILL)
        await_(lambda: False)
        if journal.stage not in ("open", "ready"):
            waited = f"within {START_SECONDS_MAX:.0f} s"
            return f"child {journal.child} did not open the database {waited}: {self.nursery.complaints()}"
        if not alive or journal.code != -signal.SIGKILL:
            return f"the child ended by itself with {journal.code}: {self.nursery.complaints()}"
        return None


def default_folder() -> Path:
    """Return where databases are made unless the caller says where: in memory if that is possible."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() else Path(tempfile.gettempdir())


def run(
    kills: int,
    durability: str,
    seed: int,
    *,
    first: int = 0,
    at_operations: bool = False,
    beside: int = 1,
    where: Path | None = None,
) -> Figures:
    """Kill children number `first` to ``first + kills``, at moments or at changes of files.

    `first` is a multiple of `LIFE`; so many databases as `beside` says are in use at a time, below the folder `where`.
    """
    folder = Path(tempfile.mkdtemp(prefix="drift-kill-", dir=where or default_folder()))
    shim = build_shim(folder) if at_operations else None
    if at_operations and shim is None:
        raise RuntimeError("there is no C compiler (cc) for the shim that kills at changes of files")
    lives = iter([(at // LIFE, min(LIFE, first + kills - at)) for at in range(first, first + kills, LIFE)])

    def work(number: int) -> Figures:
        rounds = Rounds(folder / f"of-{number}", shim, durability, seed)
        figures = Figures()
        with rounds.nursery:
            # One iterator serves all threads: `next` on a list's iterator is one step of the interpreter.
            for life, count in lives:
                figures.add(rounds.live(life, count))
                if figures.failures:
                    break
        return figures

    total = Figures()
    with ThreadPoolExecutor(beside) as threads:
        for figures in threads.map(work, range(beside)):
            total.add(figures)
    if not total.failures:
        shutil.rmtree(folder)
    return total
