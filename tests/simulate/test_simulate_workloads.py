"""Every generator: valid steps, the same again from the same seed, and what its name promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import drift
import numpy as np
import pytest
from drift.simulate import Delete, Insert, Replace, Search, Workload, generate, read

from tests.conftest import SAMPLE
from tests.simulate.cases import NAMES, plain, replayed, small

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("name", NAMES)
def test_steps_are_valid_and_every_search_has_rows_and_queries(name: str) -> None:
    workload = small(name)
    searches = list(replayed(workload))
    assert len(searches) == workload.searches >= 3
    for step, live in searches:
        assert len(live) >= 10
        assert 0 <= step.start < step.end <= len(workload.queries)
    assert workload.rows_max >= max(len(live) for _, live in searches)
    assert sum(isinstance(step, Insert) for step in workload.steps) > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides_everything(name: str) -> None:
    first, again, other = small(name), small.__wrapped__(name), small(name, 8)
    assert plain(first) == plain(again)
    assert first.digest() == again.digest() != other.digest()
    np.testing.assert_array_equal(first.vectors, again.vectors)
    np.testing.assert_array_equal(first.queries, again.queries)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_can_be_the_source(name: str) -> None:
    source = read(SAMPLE, time="month", rows=1_000, seed=3)
    workload = generate(name, source=source, steps=5, queries=20)
    assert workload.dim == 384
    assert list(replayed(workload))


def counts(name: str) -> list[int]:
    return [len(live) for _, live in replayed(small(name))]


def test_windows_and_churn_hold_the_number_of_rows() -> None:
    for name in ("moving", "churn", "sliding-window", "replay", "replace"):
        found = counts(name)
        assert max(found) - min(found) <= 1, name


def test_windows_delete_the_oldest_first() -> None:
    for name in ("moving", "sliding-window", "replay"):
        deleted = np.concatenate([step.ids for step in small(name).steps if isinstance(step, Delete)])
        np.testing.assert_array_equal(deleted, np.arange(len(deleted)))


def test_churn_brings_deleted_ids_back() -> None:
    workload = small("churn")
    inserted = np.concatenate([step.ids for step in workload.steps if isinstance(step, Insert)])
    assert len(inserted) > len(np.unique(inserted))


@pytest.mark.parametrize("name", ["random-deletion", "regional-deletion"])
def test_half_of_the_rows_is_deleted_and_as_many_come(name: str) -> None:
    found = counts(name)
    assert min(found) == found[0] - found[0] // 2
    assert found[-1] == found[0]


def test_regional_deletion_empties_regions() -> None:
    def spread(name: str) -> float:
        workload = generate(name, rows=4_000, dim=16, steps=64, queries=20)
        first = next(step for step in workload.steps if isinstance(step, Delete))
        return float(workload.vectors[first.ids].var(axis=0).sum())

    assert spread("regional-deletion") < 0.5 * spread("random-deletion")


def test_each_needle_query_asks_for_its_own_group() -> None:
    workload = small("needles")
    hay = len(workload.vectors) - 10 * len(workload.queries)
    for (step, _), ids in zip(replayed(workload), workload.truth(), strict=True):
        for query, found in zip(range(step.start, step.end), ids, strict=True):
            assert set(found.tolist()) == set(range(hay + 10 * query, hay + 10 * query + 10))


def test_clusters_move_by_their_speed() -> None:
    def shift(speed: float) -> float:
        vectors = generate("moving", rows=4_000, dim=16, steps=8, queries=20, clusters=1, speed=speed).vectors
        return float(np.linalg.norm(vectors[:500].mean(axis=0) - vectors[-500:].mean(axis=0)))

    assert shift(0) < 0.3 < 3 < shift(0.5)


def test_expiration_keeps_one_row_in_26_and_forgets_most_soon() -> None:
    workload = generate("expiration", rows=20_000, dim=4, steps=40, queries=20)
    *_, (_, live) = replayed(workload)
    old = [row_id for row_id in live if row_id < 10_000]
    assert 0.8 < len(old) / (10_000 / 26) < 1.25


def test_replay_asks_for_the_newest_rows_in_the_order_of_time() -> None:
    source = read(SAMPLE, time="month")
    workload = generate("replay", source=source, steps=6, queries=30)
    assert source.times is not None
    time_of = {vector.tobytes(): time for vector, time in zip(source.vectors, source.times.tolist(), strict=True)}
    times = [time_of[vector.tobytes()] for vector in workload.vectors]
    assert times == sorted(times)
    for step, live in replayed(workload):
        asked = [time_of[query.tobytes()] for query in workload.queries[step.start : step.end]]
        assert min(asked) >= np.median([times[row] for row in live.values()])


def test_the_walk_mixes_operations_as_quake_does() -> None:
    steps = generate("skewed-walk", rows=4_000, dim=4, steps=200, queries=20).steps
    searches = sum(isinstance(step, Search) for step in steps)
    assert 0.42 < searches / 400 < 0.58


def test_replacement_uses_each_row_once() -> None:
    rows = np.concatenate([step.rows for step in small("replace").steps if isinstance(step, Replace)])
    assert len(np.unique(rows)) == len(rows) > 500


def test_wrong_parameters_are_refused_by_name() -> None:
    mistakes: dict[str, Callable[[], object]] = {
        "ghost": lambda: generate("ghost"),
        "speed": lambda: generate("churn", speed=1),
        "steps": lambda: generate("churn", steps=1),
        "turnover": lambda: generate("churn", rows=2_000, dim=4, turnover=1.5),
        "source": lambda: generate("replay", rows=2_000, dim=4),
        "needs 360": lambda: generate("churn", rows=100, dim=4),
        "rows": lambda: generate("churn", rows=0, dim=4),
    }
    for named, call in mistakes.items():
        with pytest.raises(drift.InvalidArgumentError, match=named):
            call()


def test_a_workload_refuses_steps_that_cannot_be() -> None:
    rows = np.eye(4, dtype=np.float32)
    wrong = {
        "lives already": (Insert(np.array([0, 1])), Search(0, 1), Insert(np.array([1]))),
        "does not live": (Insert(np.array([0])), Delete(np.array([1]))),
        "not one of the 4 rows": (Insert(np.array([4])),),
        "twice": (Insert(np.array([0, 0])),),
        "are not among the 4 queries": (Insert(np.array([0])), Search(2, 5)),
    }
    for message, steps in wrong.items():
        with pytest.raises(drift.InvalidArgumentError, match=message):
            Workload(name="wrong", vectors=rows, queries=rows, steps=steps)
    with pytest.raises(drift.InvalidArgumentError, match="1 ids are given 2 rows"):
        Replace(np.array([0]), np.array([1, 2]))
    broken = rows.copy()
    broken[2, 1] = np.nan
    with pytest.raises(drift.InvalidArgumentError, match="row 2 is not finite"):
        Workload(name="wrong", vectors=broken, queries=rows, steps=())
