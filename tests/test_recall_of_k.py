"""The recall asked for holds for any k, whatever k the stop rules were measured for."""

from __future__ import annotations

from typing import Any

import drift
import numpy as np
import pytest

ROWS, DIM, QUERIES = 20_000, 128, 500


@pytest.fixture(scope="module")
def collection() -> tuple[drift.Collection, np.ndarray[Any, Any]]:
    """Rows and queries on a bent surface of 8 dimensions, with some noise beside it, as embeddings are."""
    random = np.random.default_rng(4)
    count = ROWS + QUERIES
    directions = random.normal(size=(8, DIM)) / np.sqrt(8)
    surface = np.tanh(random.normal(size=(count, 8)) @ directions + 0.1 * random.normal(size=(count, DIM)))
    vectors = surface.astype(np.float32)
    c = drift.connect("memory://recall-of-k").create_collection("c", dim=DIM, metric="l2")
    c.load([(np.arange(ROWS), vectors[:ROWS])])
    return c, vectors[ROWS:]


@pytest.mark.parametrize("k", [1, 2, 4, 10, 20, 40, 100, 200])
def test_recall_is_what_was_asked_for_at_any_k(
    collection: tuple[drift.Collection, np.ndarray[Any, Any]], k: int
) -> None:
    c, queries = collection
    found, exact = (c.search(queries, k, recall=0.9, exact=exact).ids.reshape(QUERIES, k) for exact in (False, True))
    recall = np.mean([len(set(a) & set(b)) / k for a, b in zip(found.tolist(), exact.tolist(), strict=True)])
    # The standard error at k = 1 is .013.
    assert recall >= 0.875


@pytest.mark.parametrize("precision", ["1bit", "sq8"])
@pytest.mark.parametrize("k", [1, 10, 20, 50, 100])
def test_more_neighbours_than_a_cluster_has_are_sought_in_others(k: int, precision: Any) -> None:
    random = np.random.default_rng(5)
    centres = random.normal(size=(1_000, 64))
    vectors = (
        5 * centres[random.integers(0, 1_000, ROWS + QUERIES)] + random.normal(size=(ROWS + QUERIES, 64))
    ).astype(np.float32)
    with drift.connect("memory://") as db:
        c = db.create_collection("c", dim=64, metric="l2", precision=precision)
        c.load([(np.arange(ROWS), vectors[:ROWS])])
        found, exact = (c.search(vectors[ROWS:], k, recall=0.95, exact=exact).ids for exact in (False, True))
    recall = np.mean([len(set(a) & set(b)) / k for a, b in zip(found.tolist(), exact.tolist(), strict=True)])
    assert recall >= 0.91


@pytest.mark.parametrize("k", [1, 10, 100])
def test_a_few_long_rows_are_the_nearest_of_all_by_inner_product(k: int) -> None:
    random = np.random.default_rng(6)
    lengths = random.gamma(2, 0.3, size=300)
    cluster = random.choice(300, ROWS + QUERIES, p=random.dirichlet(np.full(300, 0.5)))
    spread = lengths[cluster, None] * random.normal(size=(ROWS + QUERIES, 48))
    vectors = (random.normal(size=(300, 48))[cluster] + spread).astype(np.float32)
    with drift.connect("memory://") as db:
        c = db.create_collection("c", dim=48, metric="dot")
        c.load([(np.arange(ROWS), vectors[:ROWS])])
        found, exact = (c.search(vectors[ROWS:], k, recall=0.95, exact=exact).ids for exact in (False, True))
    recall = np.mean([len(set(a) & set(b)) / k for a, b in zip(found.tolist(), exact.tolist(), strict=True)])
    # The standard error at k = 1 is .01.
    assert recall >= 0.92


@pytest.mark.parametrize("seed", range(4))
def test_noise_of_many_dimensions_is_no_harder_than_its_rows(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, queries = (random.normal(size=(count, 384)).astype(np.float32) for count in (8_000, 300))
    with drift.connect("memory://") as db:
        c = db.create_collection("c", dim=384, metric="l2")
        for at in range(0, len(rows), 1_000):
            c.upsert(np.arange(at, at + 1_000), rows[at : at + 1_000])
        c.flush()
        exact = c.search(queries, 10, exact=True).ids.tolist()
        for asked in (0.7, 0.8, 0.9):
            found = c.search(queries, 10, recall=asked).ids.tolist()
            assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, exact, strict=True)]) >= asked - 0.01
