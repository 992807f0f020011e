"""A document store and a retriever of Haystack: documents with their meta in collections of drift.

Meta become fields of the rows under their own names; the content of a document is the field ``_content``. Documents
without an embedding are kept in a second collection, ``<collection>.unembedded``, which searches do not see. Needs the
extra ``haystack``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
from haystack import Document, component, default_from_dict, default_to_dict
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy

import drift
from drift.adapters import _haystack_metadata as _metadata
from drift.adapters._haystack_filters import CONTENT, to_filter
from drift.adapters._rows import matching, present

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from drift._types import Metric

__all__ = ["DriftDocumentStore", "DriftEmbeddingRetriever"]


class DriftDocumentStore:
    """Documents in a database of drift.

    Parameters
    ----------
    uri : str
        Where the database is, as for `drift.connect`; it is opened at the first use.
    collection : str
        Name of the collection.
    embedding_dim : int
        Dimension of the embeddings.
    metric : {"cosine", "l2", "dot"}
        Distance of a new collection.
    recall : float
        Share of the true nearest documents that retrievals aim at, in (0, 1].

    Notes
    -----
    Embeddings are kept in float32, and meta that are None are not kept. A blob or a sparse embedding is refused.
    """

    def __init__(
        self,
        uri: str,
        *,
        collection: str = "documents",
        embedding_dim: int = 768,
        metric: Metric = "cosine",
        recall: float = 0.95,
    ) -> None:
        self.uri = uri
        self.collection = collection
        self.embedding_dim = embedding_dim
        self.metric = metric
        self.recall = recall
        self._opened: tuple[Any, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what the store can be made from again."""
        settings = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        made: dict[str, Any] = default_to_dict(self, **settings)
        return made

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DriftDocumentStore:
        """Return the store that `to_dict` described."""
        made: DriftDocumentStore = default_from_dict(cls, data)
        return made

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        if self._opened is not None:
            self._opened[0].database.close()
            self._opened = None

    def count_documents(self) -> int:
        """Return the number of documents."""
        return sum(len(part) for part in self._parts())

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """Return the documents that match filters of Haystack, all of them without."""
        return [document for _, documents in self._matching(filters) for document in documents]

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Write documents, and return how many were written.

        Parameters
        ----------
        documents : list of Document
            Of an id that is given twice, the last wins where duplicates are allowed.
        policy : DuplicatePolicy
            NONE is FAIL.

        Raises
        ------
        ValueError
            When something else than documents is given, or a document has a blob or a sparse embedding.
        DuplicateDocumentError
            When an id exists and the policy is FAIL; then nothing is written.
        """
        if not isinstance(documents, list) or not all(isinstance(one, Document) for one in documents):
            raise ValueError("documents must be a list of Document")
        payloads = {document.id: _payload(document) for document in documents}
        chosen = {document.id: document for document in documents}
        existing = {row_id for row_id in chosen if any(row_id in part for part in self._parts())}
        if policy in (DuplicatePolicy.NONE, DuplicatePolicy.FAIL) and (existing or len(chosen) < len(documents)):
            named = sorted(existing) or sorted({one.id for one in documents})
            raise DuplicateDocumentError(f"documents exist already, or are given twice: {', '.join(named[:5])}")
        if policy == DuplicatePolicy.SKIP:
            chosen = {row_id: one for row_id, one in chosen.items() if row_id not in existing}
        embedded, plain = self._parts()
        for part, other, has in ((embedded, plain, True), (plain, embedded, False)):
            ids = [row_id for row_id, one in chosen.items() if (one.embedding is not None) == has]
            if ids:
                vectors = [chosen[row_id].embedding if has else [1.0] for row_id in ids]
                part.upsert(ids, np.asarray(vectors, np.float32), metadata=[payloads[row_id] for row_id in ids])
                other.delete(ids)
        return len(documents) if policy == DuplicatePolicy.OVERWRITE else len(chosen)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete documents by their ids; unknown ids are allowed."""
        for part in self._parts():
            part.delete(document_ids)

    def delete_all_documents(self, *, recreate_collection: bool = False) -> None:
        """Delete every document; with `recreate_collection` at once, by dropping the collections and their fields."""
        for part in self._parts():
            if recreate_collection:
                part.database.drop_collection(part.name)
            else:
                part.delete(filter={})
        if recreate_collection:
            database = self._parts()[0].database
            self._opened = self._create(database)

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Delete the documents that match filters, and return how many did."""
        return sum(part.delete(filter=to_filter(filters)) for part in self._parts())

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Set `meta` on the documents that match filters, and return how many did."""
        found = [(part, [one.id for one in documents], documents) for part, documents in self._matching(filters)]
        for part, ids, documents in found:
            for document in documents:
                document.meta.update(meta)
            part.update_metadata(ids, [_payload(document) for document in documents])
        return sum(len(ids) for _, ids, _ in found)

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        """Return how many documents match filters."""
        return sum(part.count(filter=to_filter(filters)) for part in self._parts())

    def count_unique_metadata_by_filter(self, filters: dict[str, Any], metadata_fields: list[str]) -> dict[str, int]:
        """Return how many distinct values each field has in the documents that match filters."""
        chosen, parts = to_filter(filters), self._parts()
        return {
            _metadata.plain_name(field): len(_metadata.distinct(_metadata.values(parts, chosen, field)))
            for field in metadata_fields
        }

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """Return the type of each meta field: ``{"year": {"type": "long"}}``."""
        return _metadata.info(self._parts())

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """Return the least and the greatest value of a meta field: ``{"min": ..., "max": ...}``, None without any."""
        return _metadata.extremes(_metadata.values(self._parts(), None, metadata_field))

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """Return distinct values of a meta field, and how many there are.

        Parameters
        ----------
        metadata_field : str
            Its name, with or without ``meta.``.
        search_term : str, optional
            Only values that have it in them, in capitals or not.
        from_, size : int
            The page of values to return, which are in order.
        filters : dict, optional
            Only of documents that match these filters of Haystack.
        """
        found = _metadata.values(self._parts(), to_filter(filters), metadata_field)
        return _metadata.page(found, search_term, from_, size)

    def nearest(
        self, embedding: Sequence[float], filters: dict[str, Any] | None = None, top_k: int = 10
    ) -> list[Document]:
        """Return the `top_k` documents nearest to an embedding, of those that match filters.

        Their scores are ``1 - distance`` under cosine and ``-distance`` otherwise: larger is nearer.
        """
        found = self._parts()[0].search(
            np.asarray(embedding, np.float32), top_k, recall=self.recall, filter=to_filter(filters), include=True
        )
        kept = [at for at, row_id in enumerate(found.ids.tolist()) if row_id is not None]
        vectors = self._parts()[0].get([found.ids[at] for at in kept]).vectors
        shift = 1.0 if self.metric == "cosine" else 0.0
        return [
            _document(found.ids[at], found.metadata[at], vector, shift - float(found.distances[at]))
            for at, vector in zip(kept, vectors, strict=True)
        ]

    async def count_documents_async(self) -> int:
        """Return the number of documents."""
        return await asyncio.to_thread(self.count_documents)

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """Return the documents that match filters."""
        return await asyncio.to_thread(self.filter_documents, filters)

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """Write documents as `write_documents` does."""
        return await asyncio.to_thread(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """Delete documents by their ids."""
        await asyncio.to_thread(self.delete_documents, document_ids)

    async def delete_all_documents_async(self, *, recreate_collection: bool = False) -> None:
        """Delete every document."""
        await asyncio.to_thread(self.delete_all_documents, recreate_collection=recreate_collection)

    async def delete_by_filter_async(self, filters: dict[str, Any]) -> int:
        """Delete the documents that match filters, and return how many did."""
        return await asyncio.to_thread(self.delete_by_filter, filters)

    async def update_by_filter_async(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Set `meta` on the documents that match filters, and return how many did."""
        return await asyncio.to_thread(self.update_by_filter, filters, meta)

    async def count_documents_by_filter_async(self, filters: dict[str, Any]) -> int:
        """Return how many documents match filters."""
        return await asyncio.to_thread(self.count_documents_by_filter, filters)

    async def count_unique_metadata_by_filter_async(
        self, filters: dict[str, Any], metadata_fields: list[str]
    ) -> dict[str, int]:
        """Return how many distinct values each field has in the documents that match filters."""
        return await asyncio.to_thread(self.count_unique_metadata_by_filter, filters, metadata_fields)

    async def get_metadata_fields_info_async(self) -> dict[str, dict[str, str]]:
        """Return the type of each meta field."""
        return await asyncio.to_thread(self.get_metadata_fields_info)

    async def get_metadata_field_min_max_async(self, metadata_field: str) -> dict[str, Any]:
        """Return the least and the greatest value of a meta field."""
        return await asyncio.to_thread(self.get_metadata_field_min_max, metadata_field)

    async def get_metadata_field_unique_values_async(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """Return distinct values of a meta field, and how many there are."""
        unique = self.get_metadata_field_unique_values
        return await asyncio.to_thread(unique, metadata_field, search_term, from_, size, filters)

    def _parts(self) -> tuple[Any, Any]:
        """Return the collections of documents with and without embeddings."""
        if self._opened is None:
            self._opened = self._create(drift.connect(self.uri))
        return self._opened

    def _create(self, database: drift.Database) -> tuple[drift.Collection, drift.Collection]:
        name, dim = self.collection, self.embedding_dim
        return (
            database.create_collection(name, dim, self.metric, "str", exist_ok=True),
            database.create_collection(f"{name}.unembedded", 1, "l2", "str", exist_ok=True),
        )

    def _matching(self, filters: dict[str, Any] | None) -> Iterator[tuple[Any, list[Document]]]:
        chosen, parts = to_filter(filters), self._parts()
        for part in parts:
            for rows in matching(part, chosen):
                found = zip(rows.ids.tolist(), rows.metadata, rows.vectors, strict=True)
                yield part, [_document(*one[:2], one[2] if part is parts[0] else None) for one in found]


@component
class DriftEmbeddingRetriever:
    """Retrieve the documents nearest to an embedding.

    Parameters
    ----------
    document_store : DriftDocumentStore
        Where they are.
    filters : dict, optional
        Filters of Haystack that every retrieval has unless it brings its own.
    top_k : int
        Documents to return.
    """

    def __init__(
        self, document_store: DriftDocumentStore, *, filters: dict[str, Any] | None = None, top_k: int = 10
    ) -> None:
        self.document_store = document_store
        self.filters = filters
        self.top_k = top_k

    def to_dict(self) -> dict[str, Any]:
        """Return what the retriever can be made from again."""
        store = self.document_store.to_dict()
        made: dict[str, Any] = default_to_dict(self, document_store=store, filters=self.filters, top_k=self.top_k)
        return made

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DriftEmbeddingRetriever:
        """Return the retriever that `to_dict` described."""
        settings = data["init_parameters"]
        settings["document_store"] = DriftDocumentStore.from_dict(settings["document_store"])
        made: DriftEmbeddingRetriever = default_from_dict(cls, data)
        return made

    @component.output_types(documents=list[Document])  # type: ignore[untyped-decorator]
    def run(
        self, query_embedding: list[float], filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Return ``{"documents": [...]}``, the nearest first."""
        chosen = self.filters if filters is None else filters
        return {"documents": self.document_store.nearest(query_embedding, chosen, top_k or self.top_k)}


def _payload(document: Document) -> dict[str, Any]:
    if document.blob is not None or document.sparse_embedding is not None:
        raise ValueError(f"document {document.id} has a blob or a sparse embedding, which drift does not keep")
    if CONTENT in document.meta:
        raise ValueError(f"document {document.id} has the meta {CONTENT!r}, which is the content's: rename it")
    return {**present(document.meta), CONTENT: document.content}


def _document(row_id: str, payload: dict[str, Any], vector: Any, score: float | None = None) -> Document:
    meta = present(payload)
    embedding = None if vector is None else vector.tolist()
    return Document(id=row_id, content=meta.pop(CONTENT, None), meta=meta, embedding=embedding, score=score)
