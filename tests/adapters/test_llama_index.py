"""drift under LlamaIndex's own index, and each operator of its filters against the reference evaluator."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import drift
import pytest

pytest.importorskip("llama_index.core", reason="the extra suites is not installed")

from drift.adapters.llama_index import DriftVectorStore, _tree
from llama_index.core import MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from tests.filters.reference import matches

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS: dict[str, dict[str, Any]] = {
    "a": {"year": 2020, "lang": "en", "tags": ["x", "y"]},
    "b": {"year": 2024, "lang": "de", "tags": ["y"]},
    "c": {"lang": "en de"},
}


@pytest.fixture
def store(path: str) -> Iterator[DriftVectorStore]:
    made = DriftVectorStore.open(path, 3)
    yield made
    made.client.database.close()


def nodes() -> list[TextNode]:
    return [
        TextNode(
            id_=name,
            text=f"text of {name}",
            metadata=metadata,
            embedding=[1.0, float(at), 0.5],
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"doc-{at % 2}")},
        )
        for at, (name, metadata) in enumerate(ROWS.items())
    ]


def one(key: str, operator: FilterOperator, value: Any) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, operator=operator, value=value)])


FILTERS = [
    (one("year", FilterOperator.EQ, 2020), {"a"}),
    (one("year", FilterOperator.NE, 2020), {"b", "c"}),
    (one("year", FilterOperator.GT, 2020), {"b"}),
    (one("year", FilterOperator.GTE, 2020), {"a", "b"}),
    (one("year", FilterOperator.LT, 2024), {"a"}),
    (one("year", FilterOperator.LTE, 2024), {"a", "b"}),
    (one("lang", FilterOperator.IN, ["en", "fr"]), {"a"}),
    (one("lang", FilterOperator.NIN, ["en", "fr"]), {"b", "c"}),
    (one("tags", FilterOperator.ANY, ["x", "z"]), {"a"}),
    (one("tags", FilterOperator.ALL, ["x", "y"]), {"a"}),
    (one("tags", FilterOperator.CONTAINS, "y"), {"a", "b"}),
    (one("lang", FilterOperator.TEXT_MATCH, "de"), {"b", "c"}),
    (one("year", FilterOperator.IS_EMPTY, None), {"c"}),
    (
        MetadataFilters(
            filters=[one("year", FilterOperator.EQ, 2020), one("lang", FilterOperator.EQ, "de")],
            condition=FilterCondition.OR,
        ),
        {"a", "b"},
    ),
    (MetadataFilters(filters=[one("year", FilterOperator.EQ, 2020)], condition=FilterCondition.NOT), {"b", "c"}),
]


@pytest.mark.parametrize(("filters", "expected"), FILTERS)
def test_filters_mean_what_their_operators_say(filters: MetadataFilters, expected: set[str]) -> None:
    assert {name for name, metadata in ROWS.items() if matches(_tree(filters), metadata)} == expected


@pytest.mark.parametrize(("filters", "expected"), FILTERS)
def test_queries_nodes_and_deletions_are_filtered(
    store: DriftVectorStore, filters: MetadataFilters, expected: set[str]
) -> None:
    assert store.add(nodes()) == list(ROWS)
    found = store.query(VectorStoreQuery(query_embedding=[1.0, 0.0, 0.5], similarity_top_k=5, filters=filters))
    assert set(found.ids or []) == expected
    assert {node.node_id for node in store.get_nodes(filters=filters)} == expected
    store.delete_nodes(["a"], filters)
    assert {node.node_id for node in store.get_nodes()} == set(ROWS) - (expected & {"a"})
    store.delete_nodes(filters=filters)
    assert {node.node_id for node in store.get_nodes()} == set(ROWS) - expected


def test_nodes_come_back_as_they_were(store: DriftVectorStore) -> None:
    store.add(nodes())
    for node, original in zip(store.get_nodes(["a", "b", "c"]), nodes(), strict=True):
        assert node.metadata == original.metadata
        assert node.get_content() == original.get_content()
        assert node.ref_doc_id == original.ref_doc_id
        assert node.embedding == pytest.approx(original.embedding)
    near = store.query(VectorStoreQuery(query_embedding=[1.0, 1.0, 0.5], similarity_top_k=1, doc_ids=["doc-0"]))
    assert near.ids is not None
    assert near.ids[0] in ("a", "c")
    named = store.query(VectorStoreQuery(query_embedding=[1.0, 1.0, 0.5], similarity_top_k=3, node_ids=["b"]))
    assert named.ids == ["b"]
    assert named.similarities == [pytest.approx(1.0, abs=1e-6)]
    store.delete("doc-0")
    assert {node.node_id for node in store.get_nodes()} == {"b"}
    store.clear()
    assert store.get_nodes() == []


def test_an_index_of_llama_index_retrieves_inserts_and_deletes(store: DriftVectorStore) -> None:
    context = StorageContext.from_defaults(vector_store=store)
    embedding = MockEmbedding(embed_dim=3)
    index = VectorStoreIndex([TextNode(id_="n", text="hello")], storage_context=context, embed_model=embedding)
    assert [found.node.get_content() for found in index.as_retriever(similarity_top_k=2).retrieve("hello")] == ["hello"]
    again = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
    again.insert_nodes([TextNode(id_="m", text="world")])
    found = again.as_retriever(similarity_top_k=2).retrieve("world")
    assert {one.node.get_content() for one in found} == {"hello", "world"}


def test_what_drift_does_not_search_is_refused(store: DriftVectorStore) -> None:
    with pytest.raises(drift.InvalidArgumentError, match="vectors alone"):
        store.query(VectorStoreQuery(query_embedding=[1.0] * 3, mode=VectorStoreQueryMode.HYBRID))
    with pytest.raises(drift.InvalidArgumentError, match="no embedding"):
        store.query(VectorStoreQuery(query_str="x"))
    with pytest.raises(drift.InvalidArgumentError, match="as they are"):
        _tree(one("lang", FilterOperator.TEXT_MATCH_INSENSITIVE, "EN"))
    with pytest.raises(drift.InvalidArgumentError, match="clear"):
        store.delete_nodes()


def test_a_collection_with_ids_of_type_int_is_refused(db: drift.Database) -> None:
    with pytest.raises(drift.InvalidArgumentError, match="id_type"):
        DriftVectorStore(db.create_collection("ints", dim=3))


@pytest.fixture
def dated(path: str) -> Iterator[DriftVectorStore]:
    made = DriftVectorStore.open(path, 3, time="last_modified_date")
    moments = {"a": "2026-03-01", "b": "2026-02-28T12:00:00+00:00", "c": "2025-03-01"}
    made.add(
        [
            TextNode(id_=name, text=name, metadata={"last_modified_date": at}, embedding=[1.0, float(place), 0.0])
            for place, (name, at) in enumerate(moments.items())
        ]
    )
    yield made
    made.client.database.close()


def asked(**options: Any) -> VectorStoreQuery:
    return VectorStoreQuery(query_embedding=[1.0, 2.0, 0.0], similarity_top_k=3, **options)


def test_queries_go_by_the_time_of_nodes(dated: DriftVectorStore) -> None:
    assert dated.query(asked()).ids == ["c", "b", "a"]
    assert dated.query(asked(), since="2026-01-01").ids == ["b", "a"]
    assert dated.query(asked(), since=dt.date(2026, 1, 1), until="2026-03-01").ids == ["b"]
    assert dated.query(asked(), decay=drift.Decay(86_400, 9.0, at="2026-03-01")).ids == ["a", "b", "c"]
    newer = one("last_modified_date", FilterOperator.GTE, "2026-02-01")
    assert set(dated.query(asked(filters=newer)).ids or []) == {"a", "b"}
    assert {node.metadata["last_modified_date"] for node in dated.get_nodes(filters=newer)} == {
        "2026-03-01",
        "2026-02-28T12:00:00+00:00",
    }
    index = VectorStoreIndex.from_vector_store(dated, embed_model=MockEmbedding(embed_dim=3))
    retriever = index.as_retriever(similarity_top_k=3, vector_store_kwargs={"since": "2026-03-01"})
    assert [found.node.node_id for found in retriever.retrieve("x")] == ["a"]
    with pytest.raises(drift.InvalidArgumentError, match="no option 'from_'"):
        dated.query(asked(), from_="2026-01-01")


def test_nodes_expire(dated: DriftVectorStore) -> None:
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    made = [TextNode(id_=name, text=name, embedding=[0.0, 1.0, 0.0]) for name in ("gone", "there")]
    dated.add(made, expires=[now - day, now + day])
    assert {node.node_id for node in dated.get_nodes()} == {"a", "b", "c", "there"}
