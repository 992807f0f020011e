"""Haystack's own tests of document stores, sync and async, filters included, and the retriever in a pipeline."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("haystack", reason="the extra suites is not installed")

from drift import InvalidArgumentError
from drift.adapters.haystack import DriftDocumentStore, DriftEmbeddingRetriever
from haystack import Document, Pipeline
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack.testing.document_store import (
    CountDocumentsByFilterTest,
    CountUniqueMetadataByFilterTest,
    DocumentStoreBaseExtendedTests,
    GetMetadataFieldMinMaxTest,
    GetMetadataFieldsInfoTest,
    GetMetadataFieldUniqueValuesTest,
)
from haystack.testing.document_store_async import (
    CountDocumentsAsyncTest,
    CountDocumentsByFilterAsyncTest,
    CountUniqueMetadataByFilterAsyncTest,
    DeleteAllAsyncTest,
    DeleteByFilterAsyncTest,
    DeleteDocumentsAsyncTest,
    FilterDocumentsAsyncTest,
    GetMetadataFieldMinMaxAsyncTest,
    GetMetadataFieldsInfoAsyncTest,
    GetMetadataFieldUniqueValuesAsyncTest,
    UpdateByFilterAsyncTest,
    WriteDocumentsAsyncTest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class Store:
    """The store that a suite is given, and when documents are equal: drift keeps embeddings in float32, in no order."""

    @pytest.fixture
    def document_store(self, path: str) -> Iterator[DriftDocumentStore]:
        store = DriftDocumentStore(path)
        yield store
        store.close()

    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        found, wanted = ({one.id: one for one in documents} for documents in (received, expected))
        assert len(received) == len(found)
        assert found.keys() == wanted.keys()
        for row_id, one in found.items():
            assert (one.content, one.meta) == (wanted[row_id].content, wanted[row_id].meta)
            embedding = wanted[row_id].embedding
            assert one.embedding == (None if embedding is None else pytest.approx(embedding, rel=1e-6))


class TestHaystacksSuite(
    Store,
    DocumentStoreBaseExtendedTests,
    CountDocumentsByFilterTest,
    CountUniqueMetadataByFilterTest,
    GetMetadataFieldMinMaxTest,
    GetMetadataFieldUniqueValuesTest,
    GetMetadataFieldsInfoTest,
):
    def test_write_documents(self, document_store: Any) -> None:
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document])


class TestHaystacksAsyncSuite(
    Store,
    CountDocumentsAsyncTest,
    CountDocumentsByFilterAsyncTest,
    CountUniqueMetadataByFilterAsyncTest,
    DeleteAllAsyncTest,
    DeleteByFilterAsyncTest,
    DeleteDocumentsAsyncTest,
    FilterDocumentsAsyncTest,
    GetMetadataFieldMinMaxAsyncTest,
    GetMetadataFieldUniqueValuesAsyncTest,
    GetMetadataFieldsInfoAsyncTest,
    UpdateByFilterAsyncTest,
    WriteDocumentsAsyncTest,
):
    @pytest.fixture
    def filterable_docs(self) -> list[Document]:
        from haystack.testing.document_store import create_filterable_docs

        return create_filterable_docs()

    async def test_write_documents_async(self, document_store: Any) -> None:
        document = Document(content="test doc")
        assert await document_store.write_documents_async([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([document])


def test_a_pipeline_retrieves_what_is_near_and_matches(path: str) -> None:
    store = DriftDocumentStore(path, embedding_dim=3)
    store.write_documents(
        [
            Document(id="x", content="x axis", embedding=[1.0, 0.0, 0.0], meta={"axis": 0}),
            Document(id="y", content="y axis", embedding=[0.0, 1.0, 0.0], meta={"axis": 1}),
            Document(id="none", content="no embedding", meta={"axis": 1}),
        ]
    )
    pipeline = Pipeline()
    pipeline.add_component("retriever", DriftEmbeddingRetriever(store, top_k=5))
    again = Pipeline.loads(pipeline.dumps(), allowed_modules=["drift.adapters.haystack"])
    store.close()
    query: dict[str, Any] = {"query_embedding": [0.9, 0.1, 0.0]}
    found = again.run({"retriever": query})["retriever"]["documents"]
    assert [document.id for document in found] == ["x", "y"]
    assert found[0].score == pytest.approx(0.9939, abs=1e-3)
    query["filters"] = {"field": "meta.axis", "operator": "==", "value": 1}
    found = again.run({"retriever": query})["retriever"]["documents"]
    assert [document.id for document in found] == ["y"]
    again.get_component("retriever").document_store.close()


def test_a_document_that_gains_an_embedding_is_there_once(path: str) -> None:
    store = DriftDocumentStore(path, embedding_dim=2)
    store.write_documents([Document(id="a", content="without")])
    with_embedding = Document(id="a", content="with", embedding=[1.0, 2.0])
    store.write_documents([with_embedding], policy=DuplicatePolicy.OVERWRITE)
    assert store.count_documents() == 1
    assert store.filter_documents()[0].embedding == [1.0, 2.0]
    store.close()


def test_filters_that_drift_cannot_evaluate_are_refused(path: str) -> None:
    store = DriftDocumentStore(path)
    for wrong in (
        {"field": "id", "operator": "==", "value": "a"},
        {"field": "meta.x", "operator": "like", "value": "a"},
        {"operator": "XOR", "conditions": [{"field": "meta.x", "operator": "==", "value": 1}]},
        {"operator": "AND", "conditions": []},
    ):
        with pytest.raises(FilterError):
            store.filter_documents(wrong)
    store.close()


def test_retrievals_go_by_the_time_of_documents(path: str) -> None:
    store = DriftDocumentStore(path, embedding_dim=2, time="date")
    moments = {"new": "2026-03-01T00:00:00", "older": "2026-02-28T12:00:00", "old": "2025-03-01"}
    documents = [
        Document(id=name, content=name, meta={"date": at}, embedding=[1.0, float(place)])
        for place, (name, at) in enumerate(moments.items())
    ]
    store.write_documents(documents)
    assert {one.id: one.meta for one in store.filter_documents()} == {one.id: one.meta for one in documents}
    assert set(store.get_metadata_fields_info()) == {"date"}
    pipeline = Pipeline()
    settings: dict[str, Any] = {"since": dt.datetime(2025, 1, 1, tzinfo=dt.UTC), "until": "2026-03-01"}
    pipeline.add_component("window", DriftEmbeddingRetriever(store, **settings))
    pipeline.add_component("fresh", DriftEmbeddingRetriever(store, half_life_seconds=3e7, age_weight=1_000.0))
    again = Pipeline.loads(pipeline.dumps(), allowed_modules=["drift.adapters.haystack"])
    store.close()
    query = {"query_embedding": [1.0, 2.0]}
    found = again.run({"window": query, "fresh": query})
    assert [one.id for one in found["window"]["documents"]] == ["old", "older"]
    assert [one.id for one in found["fresh"]["documents"]] == ["new", "older", "old"]
    found = again.run({"window": {**query, "since": "2026-01-01"}, "fresh": {**query, "until": "2026-01-01"}})
    assert [one.id for one in found["window"]["documents"]] == ["older"]
    assert [one.id for one in found["fresh"]["documents"]] == ["old"]
    for name in ("window", "fresh"):
        again.get_component(name).document_store.close()


def test_documents_expire_by_their_time(path: str) -> None:
    store = DriftDocumentStore(path, embedding_dim=2, time="date", ttl_seconds=86_400)
    now = dt.datetime.now(dt.UTC)
    store.write_documents(
        [
            Document(
                id="gone", content="a", meta={"date": (now - dt.timedelta(days=2)).isoformat()}, embedding=[1.0, 0.0]
            ),
            Document(id="there", content="b", meta={"date": now.isoformat()}, embedding=[1.0, 0.0]),
            Document(id="gone too", content="c", meta={"date": "2020-01-01"}),
            Document(id="undated", content="d"),
        ]
    )
    assert {one.id for one in store.filter_documents()} == {"there", "undated"}
    assert [one.id for one in store.nearest([1.0, 0.0])] == ["there"]
    store.close()


def test_settings_of_time_that_do_not_fit_are_refused(path: str) -> None:
    with pytest.raises(InvalidArgumentError, match="give time"):
        DriftDocumentStore(path, ttl_seconds=1.0)
    store = DriftDocumentStore(path, embedding_dim=2, time="date")
    with pytest.raises(InvalidArgumentError, match="half-life in seconds and a weight of the age, both"):
        DriftEmbeddingRetriever(store, half_life_seconds=1.0)
    with pytest.raises(InvalidArgumentError, match="meta 'date' of document x is 'soon'"):
        store.write_documents([Document(id="x", content="x", meta={"date": "soon"})])
    store.close()


MIXED: dict[str, Any] = {
    "int": 1,
    "text": "1",
    "float": 1.5,
    "bool": True,
    "list": ["1", "x"],
    "nested": {"deep": 1},
    "other": "y",
}


def mixed(path: str) -> DriftDocumentStore:
    store = DriftDocumentStore(path, embedding_dim=2)
    store.write_documents([Document(id="first", meta={"p": 7}, embedding=[0.0, 1.0])])
    assert "_mixed" not in store._parts()[0].fields
    documents = [
        Document(id=name, content="c", meta={"p": value, "q": name}, embedding=[1.0, float(at)])
        for at, (name, value) in enumerate(MIXED.items())
    ]
    assert store.write_documents([*documents, Document(id="none", meta={"q": "none"})]) == len(documents) + 1
    return store


def test_meta_of_several_types_come_back_as_they_were_and_are_found(path: str) -> None:
    store = mixed(path)
    everything = {*MIXED, "first", "none"}
    store.close()  # What stands apart is found in a database that is opened again.
    assert {one.id: one.meta.get("p") for one in store.filter_documents()} == {**MIXED, "first": 7, "none": None}
    assert all(
        type(one.meta["p"]) is type(MIXED[one.id]) for one in store.nearest([1.0, 0.0], top_k=7) if one.meta["p"] != 7
    )
    for operator, value, expected in (
        ("==", 1, {"int"}),
        ("==", "1", {"text", "list"}),
        ("==", True, {"bool"}),
        ("!=", "1", everything - {"text", "list"}),
        (">", 1, {"first", "float"}),
        ("<=", 1, {"int"}),
        ("in", [1, "y"], {"int", "other"}),
        ("not in", [1, "y", None], everything - {"int", "other", "none"}),
        ("==", None, {"none"}),
        ("!=", None, everything - {"none"}),
    ):
        filters = {"field": "meta.p", "operator": operator, "value": value}
        assert {one.id for one in store.filter_documents(filters)} == expected, filters
        assert store.count_documents_by_filter(filters) == len(expected), filters
        negated = {"operator": "NOT", "conditions": [filters]}
        assert {one.id for one in store.filter_documents(negated)} == everything - expected, negated
        near = store.nearest([1.0, 0.0], filters, top_k=9)
        assert {one.id for one in near} == expected - {"none"}, filters
    assert store.get_metadata_field_min_max("p") == {"min": 1, "max": 7}
    assert store.get_metadata_fields_info() == {"p": {"type": "long"}, "q": {"type": "keyword"}}
    assert store.count_unique_metadata_by_filter({}, ["p"]) == {"p": 8}
    store.close()


def test_a_value_of_another_type_replaces_and_is_replaced(path: str) -> None:
    store = mixed(path)

    def found(value: object) -> set[str]:
        return {one.id for one in store.filter_documents({"field": "meta.p", "operator": "==", "value": value})}

    assert store.update_by_filter({"field": "meta.q", "operator": "==", "value": "int"}, {"p": "new"}) == 1
    assert (found("new"), found(1)) == ({"int"}, set())
    assert store.update_by_filter({"field": "meta.p", "operator": "==", "value": "new"}, {"p": 3}) == 1
    assert (found("new"), found(3)) == (set(), {"int"})
    store.write_documents([Document(id="text", meta={"p": 4})], policy=DuplicatePolicy.OVERWRITE)
    assert (found(4), found("1")) == ({"text"}, {"list"})
    assert store.delete_by_filter({"field": "meta.p", "operator": "==", "value": "y"}) == 1
    assert "other" not in {one.id for one in store.filter_documents()}
    store.close()


def test_times_among_other_values_and_names_of_the_store_are_refused(path: str) -> None:
    store = DriftDocumentStore(path, embedding_dim=2)
    for meta, message in (
        ([{"p": 1}, {"p": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}], "'p' is int at row 0 and timestamp at row 1"),
        ([{"a.b": 1}, {"a.b": "1"}], "'a.b' is int at row 0 and str at row 1"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            store.write_documents([Document(id=str(at), meta=one) for at, one in enumerate(meta)])
    with pytest.raises(ValueError, match="_mixed"):
        store.write_documents([Document(id="x", meta={"_mixed": 1})])
    assert store.count_documents() == 0
    store.close()
