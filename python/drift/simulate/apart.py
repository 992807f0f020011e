"""Runs a workload in a process of its own."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TYPE_CHECKING

from drift._errors import DriftError
from drift.simulate.run import run

if TYPE_CHECKING:
    from drift.simulate.progress import Told
    from drift.simulate.record import Report
    from drift.simulate.settings import Settings
    from drift.simulate.workload import Workload

__all__ = ["run_apart"]


def run_apart(
    workload: Workload,
    engine: str = "drift",
    settings: Settings | None = None,
    *,
    progress: Told = None,
) -> Report:
    """Run a workload as `run` does, in a process of its own: memory and threads of engines do not mix.

    Parameters
    ----------
    workload, engine, settings
        As in `run`.
    progress : bool or callable, optional
        As in `run`; a function is one at the top level of a module, since it is called in the other process.

    Raises
    ------
    InvalidArgumentError
        As `run` does.
    DriftError
        When the process dies.
    """
    workload.truth(progress)
    # Spawned, not forked: a forked child would inherit threads and handles that do not work there.
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(run, workload, engine, settings, progress=progress).result()
        except BrokenProcessPool:
            raise DriftError(f"the process of engine {engine} died") from None
