"""The recall asked for is kept under filters, also under those that go with the vectors."""

from __future__ import annotations

from typing import Any

import drift
import numpy as np
import pytest
from drift import col

ROWS, DIM, CLUSTERS, QUERIES = 30_000, 64, 24, 150


@pytest.fixture(scope="module")
def clustered() -> tuple[drift.Collection, np.ndarray[Any, Any]]:
    """Rows of some clusters with the cluster and a uniform number; queries from all clusters."""
    random = np.random.default_rng(8)
    centres = random.normal(size=(CLUSTERS, DIM))
    drawn = random.integers(0, CLUSTERS, ROWS + QUERIES)
    vectors = (centres[drawn] + 0.6 * random.normal(size=(len(drawn), DIM))).astype(np.float32)
    c = drift.connect("memory://filter-recall").create_collection("c", dim=DIM, metric="l2")
    c.load([(np.arange(ROWS), vectors[:ROWS], {"uniform": random.random(ROWS), "cluster": drawn[:ROWS]})])
    return c, vectors[ROWS:]


@pytest.mark.parametrize(
    "condition",
    [
        col("uniform") < 0.5,
        col("uniform") < 0.1,
        # Half of the queries are in clusters none of whose rows match.
        col("cluster") < CLUSTERS // 2,
        (col("cluster") < CLUSTERS // 3) & (col("uniform") < 0.5),
        (col("cluster") == 3) | (col("uniform") < 0.02),
    ],
    ids=["half", "tenth", "clusters", "clusters and half", "cluster or few"],
)
def test_filtered_searches_find_the_recall_asked_for(
    clustered: tuple[drift.Collection, np.ndarray[Any, Any]], condition: drift.Expression
) -> None:
    c, queries = clustered
    before = c.stats()
    found = c.search(queries, filter=condition, recall=0.95).ids
    scanned = c.stats()["rows_scanned"] - before["rows_scanned"]
    exact = c.search(queries, filter=condition, exact=True).ids
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), exact.tolist(), strict=True)])
    # 1,500 neighbours: the standard error is .006.
    assert recall >= 0.93
    assert scanned < len(queries) * 2 * ROWS, "it is a search, not a scan of every code"


@pytest.mark.parametrize("share", [2, 10, 20])
def test_filtered_searches_find_rows_beyond_the_cluster_of_the_query(share: int) -> None:
    """Fewer rows of a cluster match than are wanted: the rest are in others, far beyond what rules were measured at."""
    random = np.random.default_rng(9)
    count, dim = 12_000, 32
    centres = 2 * random.normal(size=(count // 50, dim))
    rows = centres[random.integers(0, len(centres), count + QUERIES)] + random.normal(size=(count + QUERIES, dim))
    c = drift.connect(f"memory://beyond-{share}").create_collection("c", dim=dim, metric="l2")
    c.upsert(range(count), rows[:count].astype(np.float32), metadata={"part": np.arange(count) % share})
    c.optimize()
    queries, matching = rows[count:].astype(np.float32), col("part") == 0
    found = c.search(queries, k=10, filter=matching, recall=0.95).ids
    exact = c.search(queries, k=10, filter=matching, exact=True).ids
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), exact.tolist(), strict=True)])
    assert recall >= 0.93, recall
