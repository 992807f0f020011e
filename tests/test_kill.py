"""Kill -9, briefly: a thousand kills. `python -m tests.kill` runs it at length."""

from __future__ import annotations

import shutil

import pytest

from tests import oracle
from tests.kill import compare, harness, nursery, plan

# Kills of each test, and databases in use at a time.
KILLS = 200
BESIDE = 4


@pytest.mark.parametrize("durability", ["always", "interval", "os"])
def test_no_acknowledged_write_is_lost_by_a_kill(durability: str) -> None:
    figures = harness.run(KILLS, durability, oracle.run_seed(), beside=BESIDE)
    assert figures.failures == []
    assert figures.kills == KILLS
    assert figures.acknowledged > KILLS, "the children did no work: the test shows nothing"
    assert figures.retrained > 0, "no child has defined buckets anew"
    assert figures.expired > 0, "no child has deleted expired rows"


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler (cc) for the shim")
@pytest.mark.parametrize("durability", ["always", "os"])
def test_no_acknowledged_write_is_lost_by_a_kill_at_a_change_of_a_file(durability: str) -> None:
    figures = harness.run(KILLS, durability, oracle.run_seed(), at_operations=True, beside=BESIDE)
    assert figures.failures == []
    assert figures.kills == KILLS
    assert figures.kills_within_a_call > KILLS // 3, "the shim kills within calls"


def test_the_harness_notices_what_it_is_for() -> None:
    journal = nursery.Journal({1: 5, 2: 5, 3: 5}, 5)
    journal.take("begin " + plan.Operation("upsert", (3, 4), 6).line())
    rows = {1: 5, 2: 5, 3: 5}
    assert compare.matches(rows, [1, 2, 3], compare.expected([1, 2, 3], rows))
    lost = compare.explain(journal, [1], compare.expected([1], rows))
    assert "lost [2]" in lost
    back = compare.explain(journal, [1, 2, 3, 9], compare.expected([1, 2, 3, 9], {**rows, 9: 1}))
    assert "back [9]" in back
    wrong = compare.explain(journal, [1, 2, 3], compare.expected([1, 2, 3], {**rows, 2: 4}))
    assert "wrong vector [2]" in wrong
    half = compare.explain(journal, [1, 2, 3], compare.expected([1, 2, 3], {**rows, 3: 6}))
    assert "half a batch" in half
    journal.take("done")
    assert journal.model == {1: 5, 2: 5, 3: 6, 4: 6}
    assert journal.acknowledged == 1
