"""The recall asked for holds where a filter leaves few of a small group, and work stays in proportion."""

from __future__ import annotations

from typing import Any

import drift
import numpy as np
import pytest

QUERIES = 400


def share_found(found: Any, truth: Any) -> float:
    """Return the share of the true neighbours that were found."""
    k = truth.shape[1]
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(found.tolist(), truth.tolist(), strict=True)]))


def chunks(random: np.random.Generator, rows: int) -> Any:
    """Twenty rows around each centre, as parts of one document."""
    centres = random.normal(size=(rows // 20, 64))
    return centres[random.integers(0, len(centres), rows)] + 0.25 * random.normal(size=(rows, 64))


def sparse(random: np.random.Generator, rows: int) -> Any:
    """Histograms: a few large shares of a hundred."""
    return random.dirichlet(np.full(100, 0.05), size=rows)


@pytest.mark.parametrize("precision", ["1bit", "sq8"])
@pytest.mark.parametrize("shape", [chunks, sparse])
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_matching_rows_are_found_where_the_next_ones_are_in_other_groups(
    shape: Any, precision: Any, share: float
) -> None:
    random = np.random.default_rng(7)
    vectors = shape(random, 20_000 + QUERIES).astype(np.float32)
    rows, queries = vectors[:-QUERIES], vectors[-QUERIES:]
    drawn = random.random(len(rows))
    with drift.connect("memory://") as db:
        c = db.create_collection("c", dim=rows.shape[1], metric="cosine", precision=precision)
        c.load([(np.arange(len(rows)), rows, {"drawn": drawn.tolist()})])
        for k in (1, 3, 10, 30, 100):
            found, truth = (
                c.search(queries, k, filter=drift.col("drawn") < share, exact=exact).ids for exact in (False, True)
            )
            assert share_found(found.reshape(QUERIES, k), truth.reshape(QUERIES, k)) >= 0.91, k


@pytest.mark.parametrize("k", [150, 300])
def test_more_neighbours_than_rules_were_measured_for_are_sought_beyond_a_cluster(k: int) -> None:
    random = np.random.default_rng(8)
    centres = 1.25 * random.normal(size=(200, 64))
    vectors = centres[random.integers(0, 200, 20_000 + QUERIES)] + 0.125 * random.normal(size=(20_000 + QUERIES, 64))
    vectors = vectors.astype(np.float32)
    with drift.connect("memory://") as db:
        c = db.create_collection("c", dim=64, metric="l2")
        c.load([(np.arange(20_000), vectors[:20_000])])
        for recall in (0.95, 0.99):
            found, truth = (c.search(vectors[20_000:], k, recall=recall, exact=exact).ids for exact in (False, True))
            assert share_found(found, truth) >= recall - 0.03


def test_any_of_equally_near_rows_will_do() -> None:
    random = np.random.default_rng(9)
    kinds = random.random((200, 128)) < 0.5
    vectors = kinds[random.integers(0, 200, 20_000 + QUERIES)] ^ (random.random((20_000 + QUERIES, 128)) < 0.08)
    vectors = vectors.astype(np.float32)
    with drift.connect("memory://") as db:
        c = db.create_collection("c", dim=128, metric="l2")
        c.load([(np.arange(20_000), vectors[:20_000])])
        before = c.stats()["rows_scanned"]
        found = c.search(vectors[20_000:], 10, recall=0.95)
        scanned = (c.stats()["rows_scanned"] - before) / QUERIES
        farthest = c.search(vectors[20_000:], 10, exact=True).distances[:, -1:]
        assert float(np.mean(found.distances <= farthest)) >= 0.92
        assert scanned < 5_000, "nothing is scanned whole for the sake of one of many"
