"""LangChain's own integration tests of vector stores, sync and async, and what they do not ask."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Any

import drift
import pytest

pytest.importorskip("langchain_tests", reason="the extra suites is not installed")

from drift.adapters.langchain import DriftVectorStore
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_tests.integration_tests.vectorstores import VectorStoreIntegrationTests

if TYPE_CHECKING:
    from collections.abc import Iterator

EMBEDDING = DeterministicFakeEmbedding(size=8)


class TestLangChainsSuite(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, path: str) -> Iterator[DriftVectorStore]:
        store = DriftVectorStore.open(path, self.get_embeddings(), durability="os")
        yield store
        store.collection.database.close()


@pytest.fixture
def store(path: str) -> Iterator[DriftVectorStore]:
    made = DriftVectorStore.open(path, EMBEDDING, durability="os")
    yield made
    made.collection.database.close()


def contents(documents: list[Document]) -> set[str]:
    return {document.page_content for document in documents}


@pytest.mark.parametrize("spelled", [drift.col("year") >= 2024, {"year": {"$gte": 2024}}, "year >= 2024"])
def test_every_spelling_of_a_filter_is_taken(store: DriftVectorStore, spelled: Any) -> None:
    texts = ["old", "new", "newer"]
    store.add_texts(texts, [{"year": year} for year in (2020, 2024, 2025)])
    assert contents(store.similarity_search("anything", k=3, filter=spelled)) == {"new", "newer"}
    assert contents(store.max_marginal_relevance_search("anything", k=2, filter=spelled)) == {"new", "newer"}
    store.delete(filter=spelled)
    assert contents(store.similarity_search("anything", k=3)) == {"old"}


def test_documents_are_there_after_a_restart(path: str) -> None:
    with drift.connect(path, durability="os") as db:
        first = DriftVectorStore(EMBEDDING, db.create_collection("d", dim=8, id_type="str"))
        first.add_texts(["a text"], [{"tags": ["x", "y"], "page": 3, "nested": {"deep": 1}}], ids=["7"])
    with drift.connect(path) as db:
        again = DriftVectorStore(EMBEDDING, db["d"])
        expected = Document(
            id="7", page_content="a text", metadata={"tags": ["x", "y"], "page": 3, "nested": {"deep": 1}}
        )
        assert again.get_by_ids(["7", "8"]) == [expected]
        assert again.similarity_search("a text", filter="nested.deep = 1 AND tags = 'x'") == [expected]


def test_relevance_scores_are_between_zero_and_one(store: DriftVectorStore) -> None:
    store.add_texts(["one", "two", "three"])
    scored = store.similarity_search_with_relevance_scores("two", k=3)
    assert scored[0][0].page_content == "two"
    assert scored[0][1] == pytest.approx(1.0, abs=1e-5)
    assert all(0 <= score <= 1 for _, score in scored)


def test_a_store_is_made_of_texts() -> None:
    store = DriftVectorStore.from_texts(["one", "two"], EMBEDDING, [{"n": 1}, {"n": 2}], ids=["a", "b"])
    assert [document.id for document in store.similarity_search("two", k=1)] == ["b"]
    assert store.as_retriever(search_kwargs={"k": 1, "filter": "n = 1"}).invoke("two")[0].id == "a"


def test_a_collection_with_ids_of_type_int_is_refused(db: drift.Database) -> None:
    with pytest.raises(drift.InvalidArgumentError, match="id_type"):
        DriftVectorStore(EMBEDDING, db.create_collection("ints", dim=8))


def test_wrong_calls_say_what_is_wrong(store: DriftVectorStore) -> None:
    with pytest.raises(drift.InvalidArgumentError, match="2 texts, 1 metadatas"):
        store.add_texts(["a", "b"], [{}])
    with pytest.raises(drift.InvalidArgumentError, match="rename it"):
        store.add_texts(["a"], [{"_text": "b"}])
    with pytest.raises(drift.InvalidArgumentError, match="give ids, or else filter"):
        store.delete()


DAY = dt.timedelta(days=1)
TODAY = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


@pytest.fixture
def dated(path: str) -> Iterator[DriftVectorStore]:
    made = DriftVectorStore.open(path, EMBEDDING, time="written", durability="os")
    texts = ["today", "yesterday", "last year"]
    moments = [TODAY, (TODAY - DAY).isoformat(), (TODAY - 365 * DAY).date().isoformat()]
    made.add_texts(texts, [{"written": at} for at in moments])
    yield made
    made.collection.database.close()


def test_searches_are_narrowed_to_a_window_of_time(dated: DriftVectorStore) -> None:
    window: dict[str, Any] = {"since": TODAY - DAY, "until": TODAY}
    assert contents(dated.similarity_search("x", k=3, **window)) == {"yesterday"}
    assert contents(dated.similarity_search("x", k=3, until="2026-01-01")) == {"last year"}
    assert contents(dated.max_marginal_relevance_search("x", k=3, since=TODAY - DAY)) == {"today", "yesterday"}
    vector = EMBEDDING.embed_query("x")
    assert contents(dated.similarity_search_by_vector(vector, k=3, since=TODAY)) == {"today"}
    retriever = dated.as_retriever(search_kwargs={"k": 3, "since": TODAY - DAY, "filter": {"written": {"$lt": TODAY}}})
    assert contents(retriever.invoke("x")) == {"yesterday"}
    assert contents(asyncio.run(retriever.ainvoke("x"))) == {"yesterday"}
    dated.delete(until=TODAY - DAY)
    assert contents(dated.similarity_search("x", k=3)) == {"today", "yesterday"}


def test_newer_documents_stand_before_older_ones(dated: DriftVectorStore) -> None:
    decay = drift.Decay(30 * DAY, weight=100.0, at=TODAY)
    scored = dated.similarity_search_with_score("last year", k=3, decay=decay)
    assert [document.page_content for document, _ in scored] == ["today", "yesterday", "last year"]
    assert dated.similarity_search("last year", k=1)[0].page_content == "last year"


def test_documents_expire(path: str) -> None:
    now = dt.datetime.now(dt.UTC)
    store = DriftVectorStore.open(path, EMBEDDING, time="at", ttl=30 * DAY, durability="os")
    store.add_texts(["old", "new"], [{"at": now - 31 * DAY}, {"at": now}], ids=["old", "new"])
    store.add_texts(["gone", "there"], expires=[now - DAY, now + DAY], ids=["gone", "there"])
    assert contents(store.similarity_search("x", k=4)) == {"new", "there"}
    assert contents(store.get_by_ids(["old", "new", "gone", "there"])) == {"new", "there"}
    store.collection.database.close()


def test_an_option_that_does_nothing_is_refused(store: DriftVectorStore) -> None:
    store.add_texts(["a"])
    with pytest.raises(drift.InvalidArgumentError, match="no option 'sinse': there are since, until and decay"):
        store.similarity_search("a", sinse=TODAY)
    with pytest.raises(drift.InvalidArgumentError, match="no time field"):
        store.similarity_search("a", since=TODAY)
    with pytest.raises(drift.InvalidArgumentError, match="ISO 8601"):
        DriftVectorStore.from_texts(["a"], EMBEDDING, [{"at": "Monday"}], time="at", uri="memory://langchain-times")
