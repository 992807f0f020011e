"""A thousand mutated databases, briefly. `python -m tests.mutate` opens as many as one likes."""

from __future__ import annotations

from tests import oracle
from tests.mutate import harness


def test_no_mutated_database_crashes_hangs_or_eats_memory() -> None:
    figures = harness.run(1_000, oracle.run_seed(), beside=4)
    assert figures.failures == []
    assert figures.mutated == 1_000
    assert figures.with_errors > 300, "most mutations do damage: otherwise the test shows nothing"
