"""Each scene of `python -m tests.processes` once: fork, spawn, threads, Ctrl-C in long calls, the interpreter's end."""

from __future__ import annotations

from tests import oracle
from tests.processes import harness


def test_processes_that_fork_spawn_are_interrupted_or_end_lose_nothing_and_do_not_hang() -> None:
    figures = harness.run(len(harness.SCENES), oracle.run_seed())
    assert figures.failures == []
    assert figures.interrupted == 5
    assert figures.acknowledged > 100, "the processes did no work: the test shows nothing"
