"""A vector store of LangChain: texts with their metadata in a collection of drift.

Metadata become fields of the rows under their own names, so that ``filter=`` takes every spelling that drift knows; the
text of a document is the field ``_text``. Searches of a collection with a time field take ``since=``, ``until=`` and
``decay=``, in ``search_kwargs`` of a retriever too. Needs the extra ``langchain``.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore
from langchain_core.vectorstores.utils import maximal_marginal_relevance

import drift
from drift.adapters._rows import check_text_ids, present, timed, times

if TYPE_CHECKING:
    import datetime as dt
    import os
    from collections.abc import Callable, Iterable, Sequence
    from typing import Self

    from langchain_core.embeddings import Embeddings

    from drift._filter import FilterLike
    from drift._types import ExpiresLike, Metric, TimeLike

__all__ = ["DriftVectorStore"]

_TEXT = "_text"


class DriftVectorStore(VectorStore):  # type: ignore[misc]
    """Documents in a collection whose ids are strings.

    Parameters
    ----------
    embedding : Embeddings
        Turns texts into vectors of the collection's dimension.
    collection : Collection
        An open collection with ``id_type="str"``.
    recall : float
        Share of the true nearest documents that searches aim at, in (0, 1].

    Raises
    ------
    InvalidArgumentError
        When the collection's ids are not strings.
    """

    def __init__(self, embedding: Embeddings, collection: drift.Collection, *, recall: float = 0.95) -> None:
        check_text_ids(collection, "LangChain")
        self._embedding = embedding
        self._collection: Any = collection
        self._recall = recall

    @classmethod
    def open(
        cls,
        uri: str | os.PathLike[str],
        embedding: Embeddings,
        *,
        collection: str = "langchain",
        metric: Metric = "cosine",
        time: str | None = None,
        ttl: dt.timedelta | np.timedelta64 | float | None = None,
        **options: Any,
    ) -> Self:
        """Open a store, creating the database and the collection where they do not exist.

        Parameters
        ----------
        uri : str or path
            Where the database is, as for `drift.connect`.
        embedding : Embeddings
            Its dimension is found by embedding one word.
        collection : str
            Name of the collection.
        metric : {"cosine", "l2", "dot"}
            Distance of a new collection.
        time, ttl
            As for `drift.Database.create_collection`: the key of metadata that is a document's time, and the time after
            it at which the document expires. Texts in ISO 8601 under that key become datetimes.
        **options
            As for `drift.connect`.
        """
        database = drift.connect(uri, **options)
        dim = len(embedding.embed_query("dimension"))
        opened = database.create_collection(collection, dim, metric, "str", time=time, ttl=ttl, exist_ok=True)
        return cls(embedding, opened)

    @property
    def embeddings(self) -> Embeddings:
        """What turns texts into vectors."""
        return self._embedding

    @property
    def collection(self) -> drift.Collection:
        """The collection of the documents."""
        opened: drift.Collection = self._collection
        return opened

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        expires: ExpiresLike = None,
        **_: Any,
    ) -> list[str]:
        """Insert or replace texts, all or none, and return their ids; a missing id is made up.

        `expires` is the moment from which the documents are not there any more, or one for each.
        """
        given = list(texts)
        time = self._collection.time
        payloads = [timed(dict(one), time) for one in metadatas] if metadatas else [{} for _ in given]
        chosen = [one or uuid.uuid4().hex for one in (ids or [None] * len(given))]
        if not len(given) == len(payloads) == len(chosen):
            raise drift.InvalidArgumentError(f"{len(given)} texts, {len(payloads)} metadatas and {len(chosen)} ids")
        for payload, text in zip(payloads, given, strict=True):
            if _TEXT in payload:
                raise drift.InvalidArgumentError(f"metadata has the key {_TEXT!r}, which is the text's: rename it")
            payload[_TEXT] = text
        if given:
            vectors = np.asarray(self._embedding.embed_documents(given), dtype=np.float32)
            self._collection.upsert(chosen, vectors, metadata=payloads, expires=expires)
        return chosen

    def delete(
        self,
        ids: list[str] | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        since: TimeLike | None = None,
        until: TimeLike | None = None,
        **_: Any,
    ) -> bool:
        """Delete documents by their ids, or by a filter and their times; unknown ids are allowed."""
        if (ids is None) == (filter is None and since is None and until is None):
            raise drift.InvalidArgumentError("give ids, or else filter, since or until; filter={} means every document")
        if ids is None:
            self._collection.delete(filter=filter, since=since, until=until)
        else:
            self._collection.delete(ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return documents by their ids; unknown ids are left out."""
        rows = self._collection.get(list(ids), missing="skip", include=True)
        return [_document(row_id, payload) for row_id, payload in zip(rows.ids.tolist(), rows.metadata, strict=True)]

    def similarity_search(
        self,
        query: str,
        k: int = 4,
        filter: FilterLike | None = None,  # noqa: A002
        **options: Any,
    ) -> list[Document]:
        """Return the `k` documents nearest to a text, of those that match `filter`.

        Options of every search are `since`, `until` and `decay`, as `drift.Collection.search` has them.
        """
        return [document for document, _ in self.similarity_search_with_score(query, k, filter, **options)]

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        filter: FilterLike | None = None,  # noqa: A002
        **options: Any,
    ) -> list[tuple[Document, float]]:
        """Return the `k` nearest documents with their distances; smaller is nearer."""
        return self._search(self._embedding.embed_query(query), k, filter, options)

    def similarity_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        filter: FilterLike | None = None,  # noqa: A002
        **options: Any,
    ) -> list[Document]:
        """Return the `k` documents nearest to a vector."""
        return [document for document, _ in self._search(embedding, k, filter, options)]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: FilterLike | None = None,  # noqa: A002
        **options: Any,
    ) -> list[Document]:
        """Return `k` of the `fetch_k` nearest documents, chosen to be near the text and unlike each other."""
        vector = self._embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, filter, **options)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: FilterLike | None = None,  # noqa: A002
        **options: Any,
    ) -> list[Document]:
        """Return `k` of the `fetch_k` documents nearest to a vector, unlike each other."""
        found = [document for document, _ in self._search(embedding, fetch_k, filter, options)]
        if not found:
            return []
        rows = self._collection.get([document.id for document in found], missing="skip")
        # Other threads may delete rows meanwhile, and rows expire.
        there = dict(zip(rows.ids.tolist(), rows.vectors, strict=True))
        found = [document for document in found if document.id in there]
        vectors = [there[document.id] for document in found]
        chosen = maximal_marginal_relevance(np.asarray(embedding), vectors, lambda_mult, k)
        return [found[at] for at in chosen]

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        uri: str | os.PathLike[str] = "memory://",
        **options: Any,
    ) -> Self:
        """Open a store as `open` does, in memory unless `uri` says otherwise, and add texts."""
        store = cls.open(uri, embedding, **options)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def _search(
        self,
        vector: Sequence[float],
        k: int,
        filter: FilterLike | None,  # noqa: A002
        options: dict[str, Any],
    ) -> list[tuple[Document, float]]:
        query = np.asarray(vector, dtype=np.float32)
        found = self._collection.search(query, k, recall=self._recall, filter=filter, include=True, **times(options))
        rows = zip(found.ids.tolist(), found.metadata, found.distances.tolist(), strict=True)
        return [(_document(row_id, payload), distance) for row_id, payload, distance in rows if row_id is not None]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        metric = self._collection.metric

        def score(distance: float) -> float:
            result = drift.SearchResult(np.zeros(1, np.int64), np.array([distance], np.float32))
            return float(drift.rank(result, metric).scores[0])

        return score


def _document(row_id: str, payload: dict[str, Any]) -> Document:
    metadata = present(payload)
    return Document(id=row_id, page_content=metadata.pop(_TEXT, ""), metadata=metadata)
