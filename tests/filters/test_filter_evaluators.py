"""2,000 random filters on 2,000 random payloads: the reference evaluator, Qdrant and drift match the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from drift._filter import to_tree
from qdrant_client import QdrantClient, models

from tests import oracle
from tests.filters import chosen, qdrant, spell
from tests.filters.reference import matches

if TYPE_CHECKING:
    from collections.abc import Iterator

    import drift

# Ten groups of 200 filters on 200 rows: 400,000 decisions, in a time that a test may take.
GROUPS, FILTERS, ROWS = 10, 200, 200


def trees(group: int) -> list[tuple[Any, ...]]:
    random = oracle.rng(9_100 + group)
    return [chosen.tree(random) for _ in range(FILTERS)]


def payloads(group: int) -> list[dict[str, Any]]:
    random = oracle.rng(9_200 + group)
    return [chosen.payload(random) for _ in range(ROWS)]


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    client = QdrantClient(":memory:")
    client.create_collection("c", vectors_config=models.VectorParams(size=1, distance=models.Distance.EUCLID))
    yield client
    client.close()


@pytest.mark.parametrize("group", range(GROUPS))
def test_the_reference_and_qdrant_match_the_same_rows(group: int, client: QdrantClient) -> None:
    rows = payloads(group)
    points = [models.PointStruct(id=at, vector=[float(at)], payload=qdrant.payload(row)) for at, row in enumerate(rows)]
    client.upsert("c", points)
    sizes = []
    for tree in trees(group):
        expected = [at for at, row in enumerate(rows) if matches(tree, row)]
        found, _ = client.scroll("c", scroll_filter=qdrant.as_filter(tree), limit=ROWS, with_payload=False)
        assert sorted(int(point.id) for point in found) == expected, tree
        sizes.append(len(expected))
    assert sum(0 < size < ROWS for size in sizes) > FILTERS / 2, "most filters separate the rows"


def test_all_spellings_of_random_trees_become_them() -> None:
    for group in range(GROUPS):
        for tree in trees(group):
            assert to_tree(spell.expression(tree)) == tree
            assert to_tree(spell.mapping(tree)) == tree
            assert to_tree(spell.sql(tree)) == tree


@pytest.mark.parametrize("group", range(GROUPS))
def test_drift_matches_the_rows_of_the_reference(group: int, db: drift.Database) -> None:
    rows = payloads(group)
    c: Any = db.create_collection("c", dim=2, metric="l2")
    vectors = oracle.vectors(ROWS, 2, group)
    c.upsert(range(ROWS), vectors, metadata=rows)
    for flushed in (False, True):
        if flushed:
            c.flush()
        for at, tree in enumerate(trees(group)):
            expected = [row_id for row_id, row in enumerate(rows) if matches(tree, row)]
            spelled = [spell.expression, spell.mapping, spell.sql][at % 3](tree)
            result = c.search(np.zeros(2, np.float32), k=ROWS, filter=spelled)
            assert sorted(result.ids[result.ids >= 0].tolist()) == expected, (flushed, tree)
            assert c.count(filter=spelled) == len(expected), (flushed, tree)
