"""drift beside LlamaIndex's own `SimpleVectorStore`: random nodes, filters, deletions and queries, the same answers.

LlamaIndex publishes no suite for vector stores, so its own store is the reference. Left out is what only one of them
knows, or both know otherwise: texts without regard to capitals and nested filters; equality with a whole list (drift
compares elements); `delete_nodes` without arguments, which drift refuses.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("llama_index.core", reason="the extra suites is not installed")

from drift.adapters.llama_index import DriftVectorStore
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)

from tests import oracle

if TYPE_CHECKING:
    from numpy.random import Generator

DIM, IDS = 8, 150
WORDS = ("", "red", "green", "dark red", "blue")
TAGS = ("x", "y", "z")

# The operators that make sense for each field of the nodes below.
ORDERS = (FilterOperator.GT, FilterOperator.GTE, FilterOperator.LT, FilterOperator.LTE)
EQUALITY = (FilterOperator.EQ, FilterOperator.NE)
SETS = (FilterOperator.IN, FilterOperator.NIN)
OPERATORS: dict[str, tuple[FilterOperator, ...]] = {
    "year": (*ORDERS, *EQUALITY, *SETS, FilterOperator.IS_EMPTY),
    "price": (*ORDERS, *EQUALITY, *SETS),
    "word": (*ORDERS, *EQUALITY, *SETS, FilterOperator.TEXT_MATCH, FilterOperator.CONTAINS, FilterOperator.IS_EMPTY),
    "tags": (FilterOperator.CONTAINS, FilterOperator.ANY, FilterOperator.ALL, FilterOperator.IS_EMPTY),
    "never": (*ORDERS, *EQUALITY, *SETS, FilterOperator.CONTAINS, FilterOperator.IS_EMPTY),
}


def value(random: Generator, field: str) -> Any:
    """Return a value as a node may have it in the field."""
    made: dict[str, Any] = {
        "year": int(random.integers(2020, 2026)),
        "price": float(random.integers(1, 9)) / 2,
        "word": str(random.choice(WORDS)),
        "tags": [tag for tag in TAGS if random.random() < 0.4],
        "never": "red",
    }
    return made[field]


def node(random: Generator) -> TextNode:
    number = int(random.integers(IDS))
    fields = [field for field in OPERATORS if field != "never" and random.random() < 0.8]
    return TextNode(
        id_=f"n{number}",
        text=f"text of {number}",
        embedding=random.normal(size=DIM).tolist(),
        metadata={field: value(random, field) for field in fields},
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"doc-{number % 20}")},
    )


def one(random: Generator, used: Counter[str]) -> MetadataFilter:
    field = str(random.choice(list(OPERATORS)))
    operator = OPERATORS[field][random.integers(len(OPERATORS[field]))]
    used[operator.value] += 1
    given: Any = str(random.choice(TAGS)) if field == "tags" else value(random, field)
    if operator in (*SETS, FilterOperator.ANY, FilterOperator.ALL):
        given = [given, *([str(random.choice(TAGS))] if field == "tags" else [value(random, field)])]
    return MetadataFilter(key=field, operator=operator, value=None if operator == FilterOperator.IS_EMPTY else given)


def filters(random: Generator, used: Counter[str]) -> MetadataFilters:
    conditions = list(FilterCondition)
    condition = conditions[random.integers(len(conditions))]
    used[condition.value] += 1
    return MetadataFilters(filters=[one(random, used) for _ in range(random.integers(4))], condition=condition)


def change(random: Generator, stores: tuple[Any, Any], used: Counter[str]) -> None:
    """Add, replace or delete the same nodes in both stores."""
    if random.random() < 0.6:
        added = {made.node_id: made for made in (node(random) for _ in range(random.integers(1, 30)))}
        for store in stores:
            assert store.add(list(added.values())) == list(added)
        return
    ids = [f"n{number}" for number in random.integers(IDS, size=10)]
    narrow = MetadataFilters(filters=[one(random, used), one(random, used)])
    kind = random.integers(4)
    for store in stores:
        if kind == 0:
            store.delete(f"doc-{ids[0][1:]}")
        else:
            store.delete_nodes(None if kind == 1 else ids, None if kind == 2 else narrow)


@pytest.mark.parametrize("seed", range(4))
def test_every_step_gives_the_answers_of_llama_indexs_own_store(seed: int, path: str) -> None:
    random, used, sizes = oracle.rng(700 + seed), Counter[str](), Counter[bool]()
    opened = DriftVectorStore.open(path, DIM)
    stores = SimpleVectorStore(), DriftVectorStore(opened.client, recall=1.0)
    first = list({made.node_id: made for made in (node(random) for _ in range(200))}.values())
    for store in stores:
        store.add(first)
    for _ in range(120):
        change(random, stores, used)
        for _ in range(3):
            chosen = None if random.random() < 0.1 else filters(random, used)
            named = [f"n{number}" for number in random.integers(IDS, size=40)] if random.random() < 0.2 else None
            asked = VectorStoreQuery(
                query_embedding=random.normal(size=DIM).tolist(),
                similarity_top_k=int(random.integers(1, 30)),
                filters=chosen,
                node_ids=named,
            )
            expected, found = (store.query(asked) for store in stores)
            assert found.similarities == pytest.approx(expected.similarities, abs=1e-5), chosen
            # Two nodes may be as near as float32 can tell, and stand in either order.
            matching = stores[0].query(replace(asked, similarity_top_k=IDS))
            known_similarities = dict(zip(matching.ids, matching.similarities, strict=True))
            assert len(set(found.ids)) == len(expected.ids)
            assert [known_similarities[name] for name in found.ids] == pytest.approx(expected.similarities, abs=1e-5)
            sizes[bool(expected.ids)] += 1
        assert {kept.node_id for kept in stores[1].get_nodes()} == set(stores[0].data.embedding_dict)
    assert min(sizes[True], sizes[False]) > 20
    known = {operator.value for operators in OPERATORS.values() for operator in operators}
    assert set(used) == known | {"and", "or", "not"}
    opened.client.database.close()
