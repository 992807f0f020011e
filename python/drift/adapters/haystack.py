"""A document store and a retriever of Haystack: documents with their meta in collections of drift.

Meta become fields of the rows under their own names; the content of a document is the field ``_content``. Documents
without an embedding are kept in a second collection, ``<collection>.unembedded``, which searches do not see. Needs the
extra ``haystack``.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import threading
import weakref
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from haystack import Document, component, default_from_dict, default_to_dict
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy

import drift
from drift._address import address
from drift._time import decay_of
from drift.adapters import _haystack_metadata as _metadata
from drift.adapters._haystack_filters import CONTENT, HIDDEN, TIME, to_filter
from drift.adapters._haystack_mixed import MIXED, together, write
from drift.adapters._rows import instant, matching, present

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from drift._types import Metric, TimeLike

__all__ = ["DriftDocumentStore", "DriftEmbeddingRetriever"]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


def _in_thread(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """Return a method for asyncio that calls this one, or what a subclass has in its place, in a thread."""

    @wraps(method)
    async def called(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        own: Callable[P, R] = getattr(self, method.__name__)
        return await asyncio.to_thread(own, *args, **kwargs)

    called.__name__, called.__qualname__ = f"{method.__name__}_async", f"{method.__qualname__}_async"
    return called


class DriftDocumentStore:
    """Documents in a database of drift.

    Parameters
    ----------
    uri : str
        Where the database is, as for `drift.connect`; it is opened at the first use. Stores of one process share it,
        such as those of the components of a pipeline.
    collection : str
        Name of the collection.
    embedding_dim : int
        Dimension of the embeddings.
    metric : {"cosine", "l2", "dot"}
        Distance of a new collection.
    recall : float
        Share of the true nearest documents that retrievals aim at, in (0, 1].
    time : str, optional
        Meta of a new collection that is a document's time, text in ISO 8601 or a datetime; a document without it has
        the time at which it is written. Retrievals may then go by it.
    ttl_seconds : float, optional
        Documents expire so long after their time; it needs `time`.

    Notes
    -----
    Embeddings are kept in float32, and meta that are None are not kept. A blob or a sparse embedding is refused. A meta
    may have values of several types, such as ``1`` and ``"1"``; those of another type than the first one are kept as
    JSON. Integers and floats alone are floats.
    """

    def __init__(
        self,
        uri: str,
        *,
        collection: str = "documents",
        embedding_dim: int = 768,
        metric: Metric = "cosine",
        recall: float = 0.95,
        time: str | None = None,
        ttl_seconds: float | None = None,
    ) -> None:
        if ttl_seconds is not None and time is None:
            raise drift.InvalidArgumentError(
                "ttl_seconds counts from a document's time: give time, the name of its meta"
            )
        self.uri = uri
        self.collection = collection
        self.embedding_dim = embedding_dim
        self.metric = metric
        self.recall = recall
        self.time = time
        self.ttl_seconds = ttl_seconds
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
        """Close the database, unless other stores use it; the next use opens it again."""
        if self._opened is not None:
            self._opened = None
            _release(self)

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
        payloads = {document.id: self._payload(document) for document in documents}
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
                listed = [chosen[row_id].embedding if has else [1.0] for row_id in ids]
                vectors = np.asarray(listed, np.float32)
                write(part, [payloads[row_id] for row_id in ids], partial(part.upsert, ids, vectors))
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
        chosen = self._filter(filters)
        return sum(part.delete(filter=chosen) for part in self._parts())

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Set `meta` on the documents that match filters, and return how many did."""
        found = [(part, [one.id for one in documents], documents) for part, documents in self._matching(filters)]
        for part, ids, documents in found:
            for document in documents:
                document.meta.update(meta)
            write(part, [self._payload(document) for document in documents], partial(part.update_metadata, ids))
        return sum(len(ids) for _, ids, _ in found)

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        """Return how many documents match filters."""
        chosen = self._filter(filters)
        return sum(part.count(filter=chosen) for part in self._parts())

    def count_unique_metadata_by_filter(self, filters: dict[str, Any], metadata_fields: list[str]) -> dict[str, int]:
        """Return how many distinct values each field has in the documents that match filters."""
        chosen, parts = self._filter(filters), self._parts()
        return {
            _metadata.plain_name(field): len(_metadata.distinct(_metadata.values(parts, chosen, field)))
            for field in metadata_fields
        }

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """Return the type of each meta field: ``{"year": {"type": "long"}}``."""
        return _metadata.info(self._parts())

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """Return the least and the greatest value of a meta field: ``{"min": ..., "max": ...}``, None without any.

        Values of several types have no order: those of the field's own type count.
        """
        return _metadata.extremes(_metadata.values(self._parts(), None, metadata_field, mixed=False))

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
        found = _metadata.values(self._parts(), self._filter(filters), metadata_field)
        return _metadata.page(found, search_term, from_, size)

    def nearest(
        self,
        embedding: Sequence[float],
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        *,
        since: TimeLike | None = None,
        until: TimeLike | None = None,
        decay: drift.Decay | None = None,
    ) -> list[Document]:
        """Return the `top_k` documents nearest to an embedding, of those that match filters and are of a time.

        `since`, `until` and `decay` are as in `drift.Collection.search`. Scores are ``1 - distance`` under cosine and
        ``-distance`` otherwise, where the distance has the penalty of `decay` in it: larger is nearer.
        """
        embedded = self._parts()[0]
        found = embedded.search(
            np.asarray(embedding, np.float32),
            top_k,
            recall=self.recall,
            filter=self._filter(filters),
            since=since,
            until=until,
            decay=decay,
            include=True,
        )
        rows = embedded.get([row_id for row_id in found.ids.tolist() if row_id is not None], missing="skip")
        vectors = dict(zip(rows.ids.tolist(), rows.vectors, strict=True))
        shift = 1.0 if self.metric == "cosine" else 0.0
        return [
            _document(row_id, payload, vectors[row_id], shift - distance)
            for row_id, payload, distance in zip(
                found.ids.tolist(), found.metadata, found.distances.tolist(), strict=True
            )
            if row_id in vectors
        ]

    # The same for asyncio.
    count_documents_async = _in_thread(count_documents)
    filter_documents_async = _in_thread(filter_documents)
    write_documents_async = _in_thread(write_documents)
    delete_documents_async = _in_thread(delete_documents)
    delete_all_documents_async = _in_thread(delete_all_documents)
    delete_by_filter_async = _in_thread(delete_by_filter)
    update_by_filter_async = _in_thread(update_by_filter)
    count_documents_by_filter_async = _in_thread(count_documents_by_filter)
    count_unique_metadata_by_filter_async = _in_thread(count_unique_metadata_by_filter)
    get_metadata_fields_info_async = _in_thread(get_metadata_fields_info)
    get_metadata_field_min_max_async = _in_thread(get_metadata_field_min_max)
    get_metadata_field_unique_values_async = _in_thread(get_metadata_field_unique_values)

    def _parts(self) -> tuple[Any, Any]:
        """Return the collections of documents with and without embeddings."""
        if self._opened is None:
            self._opened = self._create(_acquire(self))
        return self._opened

    def _create(self, database: drift.Database) -> tuple[drift.Collection, drift.Collection]:
        name, dim = self.collection, self.embedding_dim
        time, ttl = None if self.time is None else TIME, self.ttl_seconds
        return (
            database.create_collection(name, dim, self.metric, "str", time=time, ttl=ttl, exist_ok=True),
            database.create_collection(f"{name}.unembedded", 1, "l2", "str", time=time, ttl=ttl, exist_ok=True),
        )

    def _filter(self, filters: dict[str, Any] | None) -> drift.Expression | None:
        return to_filter(filters, mixed=any(MIXED in part.fields for part in self._parts()))

    def _payload(self, document: Document) -> dict[str, Any]:
        """Return the fields of a document's row: its meta as they are, its content, and its time where it has one."""
        if document.blob is not None or document.sparse_embedding is not None:
            raise ValueError(f"document {document.id} has a blob or a sparse embedding, which drift does not keep")
        for name in HIDDEN.intersection(document.meta):
            raise ValueError(f"document {document.id} has the meta {name!r}, which the store uses itself: rename it")
        payload = {**present(document.meta), CONTENT: document.content}
        if self.time in payload:
            payload[TIME] = instant(f"meta {self.time!r} of document {document.id}", payload[self.time])
        return payload

    def _matching(self, filters: dict[str, Any] | None) -> Iterator[tuple[Any, list[Document]]]:
        chosen, parts = self._filter(filters), self._parts()
        for part in parts:
            for rows in matching(part, chosen):
                found = zip(rows.ids.tolist(), rows.metadata, rows.vectors, strict=True)
                yield part, [_document(*one[:2], one[2] if part is parts[0] else None) for one in found]


# The open databases by process and URI, and the stores that use them: a pipeline that is loaded makes a store for each
# of its components, and a database can be opened for writing only once.
_shared: dict[tuple[int, str], tuple[drift.Database, weakref.WeakSet[DriftDocumentStore]]] = {}
_lock = threading.Lock()


def _acquire(store: DriftDocumentStore) -> drift.Database:
    key = (os.getpid(), address(store.uri))
    with _lock:
        if key not in _shared or _shared[key][0].closed:
            _shared[key] = (drift.connect(store.uri), weakref.WeakSet())
        database, users = _shared[key]
        users.add(store)
        return database


def _release(store: DriftDocumentStore) -> None:
    key = (os.getpid(), address(store.uri))
    with _lock:
        database, users = _shared.get(key, (None, weakref.WeakSet()))
        users.discard(store)
        if database is not None and not users:
            del _shared[key]
            database.close()


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
    since, until : datetime or ISO 8601 text, optional
        Times that every retrieval has unless it brings its own: only documents whose time is `since` or later, and
        before `until`. They need a store with `time`.
    half_life_seconds, age_weight : float, optional
        Both, to rank newer documents before older ones as `drift.Decay` does.
    """

    def __init__(
        self,
        document_store: DriftDocumentStore,
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        since: str | dt.datetime | None = None,
        until: str | dt.datetime | None = None,
        half_life_seconds: float | None = None,
        age_weight: float | None = None,
    ) -> None:
        self.document_store = document_store
        self.filters = filters
        self.top_k = top_k
        self.since = since
        self.until = until
        self.half_life_seconds = half_life_seconds
        self.age_weight = age_weight
        self._decay = decay_of(half_life_seconds, age_weight)

    def to_dict(self) -> dict[str, Any]:
        """Return what the retriever can be made from again."""
        store = self.document_store.to_dict()
        made: dict[str, Any] = default_to_dict(
            self,
            document_store=store,
            filters=self.filters,
            top_k=self.top_k,
            since=_text(self.since),
            until=_text(self.until),
            half_life_seconds=self.half_life_seconds,
            age_weight=self.age_weight,
        )
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
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        since: str | dt.datetime | None = None,
        until: str | dt.datetime | None = None,
    ) -> dict[str, list[Document]]:
        """Return ``{"documents": [...]}``, the nearest first."""
        found = self.document_store.nearest(
            query_embedding,
            self.filters if filters is None else filters,
            self.top_k if top_k is None else top_k,
            since=self.since if since is None else since,
            until=self.until if until is None else until,
            decay=self._decay,
        )
        return {"documents": found}


def _text(time: str | dt.datetime | None) -> str | None:
    return time.isoformat() if isinstance(time, dt.datetime) else time


def _document(row_id: str, payload: dict[str, Any], vector: Any, score: float | None = None) -> Document:
    meta = present(together(payload))
    for name in HIDDEN - {CONTENT}:
        meta.pop(name, None)
    embedding = None if vector is None else vector.tolist()
    return Document(id=row_id, content=meta.pop(CONTENT, None), meta=meta, embedding=embedding, score=score)
