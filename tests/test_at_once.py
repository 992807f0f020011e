"""Searches right after writes, before any job has run: jobs are paused, so that nothing mends what a write leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import drift
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

DIM = 64
K = 10


@pytest.fixture
def collection() -> Iterator[drift.Collection]:
    """Return an empty collection whose jobs are paused."""
    with drift.connect("memory://") as db:
        found = db.create_collection("rows", DIM, "l2")
        found.maintenance.pause()
        yield found


class Clusters:
    """Draws rows around centres that lie far apart."""

    def __init__(self, count: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.centres = 3.0 * self.rng.standard_normal((count, DIM))

    def draw(self, count: int, clusters: range) -> NDArray[np.float32]:
        """Return rows of these clusters."""
        chosen = self.rng.choice(list(clusters), count)
        return np.asarray(self.centres[chosen] + self.rng.standard_normal((count, DIM)), dtype=np.float32)


def recall(collection: drift.Collection, queries: NDArray[np.float32]) -> float:
    """Return the share of the true neighbours that a default search finds."""
    found = collection.search(queries, K).ids
    truth = collection.search(queries, K, exact=True).ids
    assert (truth >= 0).all()
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found.tolist(), truth.tolist(), strict=True)]))


def test_rows_that_replace_all_others_do_not_crowd_into_what_these_left(collection: drift.Collection) -> None:
    data = Clusters(60, 1)
    collection.load([(np.arange(40), data.draw(40, range(1)))])
    assert collection.stats()["buckets"] <= 2
    collection.delete(np.arange(40))
    collection.upsert(np.arange(100, 8_100), data.draw(8_000, range(60)))
    collection.flush()
    assert collection.stats()["buckets"] > 100, "the new rows have defined buckets of their own"
    assert recall(collection, data.draw(300, range(60))) >= 0.93
    collection.verify()


def test_rows_of_a_new_kind_define_buckets_and_those_there_stay(collection: drift.Collection) -> None:
    data = Clusters(60, 2)
    collection.load([(np.arange(6_000), data.draw(6_000, range(40)))])
    before = collection.stats()["buckets"]
    collection.upsert(np.arange(10_000, 14_000), data.draw(4_000, range(40)))
    collection.flush()
    assert collection.stats()["buckets"] == before, "rows like those that are there find their buckets"
    collection.upsert(np.arange(20_000, 24_000), data.draw(4_000, range(40, 60)))
    collection.flush()
    assert collection.stats()["buckets"] > before + 30
    assert recall(collection, data.draw(600, range(60))) >= 0.93
    assert recall(collection, data.draw(300, range(40))) >= 0.9, "a part of the queries may find a little less"


def test_a_search_among_deleted_rows_goes_on_until_it_has_k(collection: drift.Collection) -> None:
    data = Clusters(40, 3)
    rows = np.concatenate([data.draw(500, range(cluster, cluster + 1)) for cluster in range(20)])
    collection.load([(np.arange(len(rows)), rows)])
    collection.delete(np.arange(5_000))
    queries = data.draw(200, range(10))
    found = collection.search(queries, K).ids
    assert (found >= 5_000).all(), "k living rows are there, however many dead ones are nearer"
    assert recall(collection, queries) >= 0.9
