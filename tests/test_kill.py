"""Kill -9, briefly: twenty kills per durability mode. `python -m tests.kill` runs it at length."""

from __future__ import annotations

import shutil

import pytest

from tests import oracle
from tests.kill import harness, plan


@pytest.mark.parametrize("durability", ["always", "os"])
def test_no_acknowledged_write_is_lost_by_a_kill(durability: str) -> None:
    figures = harness.run(20, durability, oracle.run_seed())
    assert figures.failures == []
    assert figures.kills == 20
    assert figures.acknowledged > 20, "the children did no work: the test shows nothing"


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler (cc) for the shim")
@pytest.mark.parametrize("durability", ["always", "os"])
def test_no_acknowledged_write_is_lost_by_a_kill_at_a_change_of_a_file(durability: str) -> None:
    figures = harness.run(30, durability, oracle.run_seed(), at_operations=True)
    assert figures.failures == []
    assert figures.kills == 30
    assert figures.kills_within_a_call > 10, "the shim kills within calls"


def test_the_harness_notices_what_it_is_for() -> None:
    journal = harness.Journal({1: 5, 2: 5, 3: 5}, 5)
    journal.take("begin " + plan.Operation("upsert", (3, 4), 6).line())
    rows = {1: 5, 2: 5, 3: 5}
    assert harness.matches(rows, [1, 2, 3], harness.expected([1, 2, 3], rows))
    lost = harness.explain(journal, [1], harness.expected([1], rows))
    assert "lost [2]" in lost
    back = harness.explain(journal, [1, 2, 3, 9], harness.expected([1, 2, 3, 9], {**rows, 9: 1}))
    assert "back [9]" in back
    wrong = harness.explain(journal, [1, 2, 3], harness.expected([1, 2, 3], {**rows, 2: 4}))
    assert "wrong vector [2]" in wrong
    half = harness.explain(journal, [1, 2, 3], harness.expected([1, 2, 3], {**rows, 3: 6}))
    assert "half a batch" in half
    journal.take("done")
    assert journal.model == {1: 5, 2: 5, 3: 6, 4: 6}
    assert journal.acknowledged == 1
