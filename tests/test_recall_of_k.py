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


@pytest.mark.parametrize("k", [1, 2, 4, 10, 40])
def test_recall_is_what_was_asked_for_at_any_k(
    collection: tuple[drift.Collection, np.ndarray[Any, Any]], k: int
) -> None:
    c, queries = collection
    found, exact = (c.search(queries, k, recall=0.9, exact=exact).ids.reshape(QUERIES, k) for exact in (False, True))
    recall = np.mean([len(set(a) & set(b)) / k for a, b in zip(found.tolist(), exact.tolist(), strict=True)])
    # The standard error at k = 1 is .013.
    assert recall >= 0.875
