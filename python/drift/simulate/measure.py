"""Time, processor time and memory: how the figures of a run are taken."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from drift.simulate.steps import F32

__all__ = ["Latency", "Spent", "latency", "resident_mb", "searching", "timed"]


@dataclass(frozen=True)
class Latency:
    """Times of single calls.

    Attributes
    ----------
    calls : int
        Number of calls.
    per_second : float
        Calls divided by the sum of their times.
    p50_ms, p99_ms, p999_ms : float
        Quantiles, milliseconds. With fewer than 1,000 calls the last is the longest or nearly so.
    """

    calls: int
    per_second: float
    p50_ms: float
    p99_ms: float
    p999_ms: float


def latency(seconds: Sequence[float]) -> Latency | None:
    """Return the figures of calls that took so long, or None for no calls."""
    if not seconds:
        return None
    p50, p99, p999 = (float(value) * 1e3 for value in np.quantile(seconds, (0.5, 0.99, 0.999)))
    return Latency(len(seconds), len(seconds) / sum(seconds), p50, p99, p999)


@dataclass
class Spent:
    """What some work took.

    Attributes
    ----------
    seconds : float
        Elapsed time.
    cpu : float
        Processor time of the process, all threads.
    cpu_others : float
        That of threads other than the calling one.
    """

    seconds: float = 0.0
    cpu: float = 0.0
    cpu_others: float = 0.0


@contextmanager
def timed(spent: Spent) -> Iterator[None]:
    """Add what the body takes."""
    wall, cpu, own = time.perf_counter(), time.process_time(), time.thread_time()
    yield
    used = time.process_time() - cpu
    spent.seconds += time.perf_counter() - wall
    spent.cpu += used
    spent.cpu_others += max(0.0, used - (time.thread_time() - own))


def resident_mb() -> float | None:
    """Return the resident memory of this process in MiB, or None where the system does not say (only Linux does)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), None)


@contextmanager
def searching(search: Callable[[F32], object], queries: F32, threads: int) -> Iterator[list[float]]:
    """Search in other threads for as long as the body runs.

    Parameters
    ----------
    search : callable
        Searches for one query.
    queries : ndarray of float32, shape (n, dim)
        Asked round and round.
    threads : int
        Number of threads; none start at 0.

    Yields
    ------
    list of float
        Seconds of each call, complete after the body.

    Raises
    ------
    Exception
        What a search raised, after the body.
    """
    seconds: list[float] = []
    failures: list[Exception] = []
    done = Event()

    def loop(at: int) -> None:
        try:
            while not done.is_set():
                start = time.perf_counter()
                search(queries[at % len(queries)])
                seconds.append(time.perf_counter() - start)
                at += 1
        except Exception as error:
            failures.append(error)

    workers = [Thread(target=loop, args=(number * 31,)) for number in range(threads if len(queries) else 0)]
    for worker in workers:
        worker.start()
    try:
        yield seconds
    finally:
        done.set()
        for worker in workers:
            worker.join()
    if failures:
        raise failures[0]
