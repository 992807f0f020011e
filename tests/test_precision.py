"""Both precisions: recall against the exact answer, through writes, flushes, deletes and a reopening."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import drift
import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.core

K = 10


def clustered(count: int, dim: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Rows around 60 centres, as embeddings are."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(60, dim))
    rows = centres[random.integers(0, 60, count)] + 0.7 * random.normal(size=(count, dim))
    return rows.astype(np.float32)


def recall(c: drift.Collection, queries: Any, target: float) -> float:
    """Share of the exact neighbours that a search with ``recall=target`` finds."""
    found, exact = c.search(queries, k=K, recall=target).ids, c.search(queries, k=K, exact=True).ids
    return float(np.mean([len(set(a) & set(b)) for a, b in zip(found, exact, strict=True)])) / K


@pytest.mark.parametrize("metric", ["cosine", "l2", "dot"])
@pytest.mark.parametrize("dim", [24, 72, 200])
@pytest.mark.parametrize("precision", ["1bit", "sq8"])
def test_recall_holds_through_a_collections_life(tmp_path: Path, precision: Any, dim: int, metric: Any) -> None:
    rows, queries = clustered(6_000, dim, 2), clustered(200, dim, 3)
    with drift.connect(tmp_path / "db", durability="os") as db:
        c = db.create_collection("c", dim=dim, metric=metric, precision=precision)
        assert c.precision == precision
        c.upsert(np.arange(6_000), rows)
        assert recall(c, queries, 0.95) >= 0.95, "in memory"
        c.optimize()
        assert recall(c, queries, 0.95) >= 0.93, "flushed"
        assert c.delete(np.arange(0, 6_000, 2)) == 3_000
        c.upsert(np.arange(10_000, 11_500), rows[:3_000:2])
        c.flush()
        assert recall(c, queries, 0.95) >= 0.93, "deletes and a second segment"
    with drift.connect(tmp_path / "db") as db:
        c = db["c"]
        assert (c.precision, len(c)) == (precision, 4_500)
        assert recall(c, queries, 0.95) >= 0.93, "opened again"
        c.optimize()
        assert recall(c, queries, 0.95) >= 0.93, "optimized"


def test_precision_is_part_of_what_a_collection_is(tmp_path: Path) -> None:
    with drift.connect(tmp_path / "db") as db:
        assert db.create_collection("a", dim=4).precision == "1bit"
        db.create_collection("b", dim=4, precision="sq8")
        with pytest.raises(drift.InvalidArgumentError, match="precision sq8, not 1bit"):
            db.create_collection("b", dim=4, exist_ok=True)
        with pytest.raises(drift.InvalidArgumentError, match='"1bit" or "sq8"'):
            db.create_collection("c", dim=4, precision="f16")  # type: ignore[arg-type]
