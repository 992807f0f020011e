"""A vector store of LlamaIndex: nodes with their metadata in a collection of drift.

Metadata become fields of the rows under their own names, and the node itself is the field ``_node_content``. Queries
of a collection with a time field take ``since=``, ``until=`` and ``decay=``, from ``vector_store_kwargs`` of a
retriever too. Needs the extra ``llama-index``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

import drift
from drift._filter import tree as build
from drift.adapters._rows import as_filter, check_text_ids, instant, matching, present, timed, times

if TYPE_CHECKING:
    import datetime as dt
    import os
    from collections.abc import Sequence

    from llama_index.core.schema import BaseNode

    from drift._filter import Expression, Tree
    from drift._types import ExpiresLike, Metric

__all__ = ["DriftVectorStore"]

# Queries may name the nodes that they look among, and ids themselves are no metadata.
_ID = "_node_id"

_COMPARISONS = {
    FilterOperator.EQ: "eq",
    FilterOperator.NE: "ne",
    FilterOperator.LT: "lt",
    FilterOperator.LTE: "le",
    FilterOperator.GT: "gt",
    FilterOperator.GTE: "ge",
}


class DriftVectorStore(BasePydanticVectorStore):  # type: ignore[misc]
    """Nodes in a collection whose ids are strings.

    Parameters
    ----------
    collection : Collection
        An open collection with ``id_type="str"``.
    recall : float
        Share of the true nearest nodes that queries aim at, in (0, 1].

    Raises
    ------
    InvalidArgumentError
        When the collection's ids are not strings.
    """

    stores_text: bool = True
    flat_metadata: ClassVar[bool] = False
    recall: float = 0.95
    _collection: Any = PrivateAttr()

    def __init__(self, collection: drift.Collection, *, recall: float = 0.95) -> None:
        check_text_ids(collection, "LlamaIndex")
        super().__init__(stores_text=True, recall=recall)
        self._collection = collection

    @classmethod
    def open(
        cls,
        uri: str | os.PathLike[str],
        dim: int,
        *,
        collection: str = "llama_index",
        metric: Metric = "cosine",
        time: str | None = None,
        ttl: dt.timedelta | np.timedelta64 | float | None = None,
    ) -> DriftVectorStore:
        """Open a store, creating the database and the collection where they do not exist.

        Parameters
        ----------
        uri : str or path
            Where the database is, as for `drift.connect`.
        dim : int
            Dimension of the embeddings.
        collection : str
            Name of the collection.
        metric : {"cosine", "l2", "dot"}
            Distance of a new collection.
        time, ttl
            As for `drift.Database.create_collection`: the key of metadata that is a node's time, such as
            ``"last_modified_date"``, and the time after it at which the node expires. The times of nodes are texts in
            ISO 8601.
        """
        database = drift.connect(uri)
        return cls(database.create_collection(collection, dim, metric, "str", time=time, ttl=ttl, exist_ok=True))

    @classmethod
    def class_name(cls) -> str:
        """Return the name that LlamaIndex keeps."""
        return "DriftVectorStore"

    @property
    def client(self) -> Any:
        """The collection of the nodes."""
        return self._collection

    def add(self, nodes: Sequence[BaseNode], *, expires: ExpiresLike = None, **_: Any) -> list[str]:
        """Insert or replace nodes, all or none, and return their ids.

        `expires` is the moment from which the nodes are not there any more, or one for each.
        """
        ids = [node.node_id for node in nodes]
        if nodes:
            vectors = np.asarray([node.get_embedding() for node in nodes], dtype=np.float32)
            time = self._collection.time
            payloads = [timed(_fields(node), time) | {_ID: node.node_id} for node in nodes]
            self._collection.upsert(ids, vectors, metadata=payloads, expires=expires)
        return ids

    def delete(self, ref_doc_id: str, **_: Any) -> None:
        """Delete the nodes of a document."""
        self._collection.delete(filter=as_filter(build.compare("eq", "ref_doc_id", ref_doc_id)))

    def delete_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **_: Any) -> None:
        """Delete the nodes that have one of the ids, where given, and match the filters, where given."""
        if node_ids is None and filters is None:
            raise drift.InvalidArgumentError("give node_ids or filters; clear() deletes every node")
        if filters is None:
            self._collection.delete(node_ids)
        else:
            self._collection.delete(filter=self._expression(filters, node_ids))

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Return the nodes that have one of the ids, where given, and match the filters, where given."""
        if node_ids is not None and filters is None:
            pages = [self._collection.get(node_ids, missing="skip", include=True)]
        else:
            pages = list(matching(self._collection, None if filters is None else self._expression(filters, node_ids)))
        return [_node(*row) for rows in pages for row in zip(rows.metadata, rows.vectors, strict=True)]

    def clear(self) -> None:
        """Delete every node."""
        self._collection.delete(filter={})

    def query(self, query: VectorStoreQuery, **options: Any) -> VectorStoreQueryResult:
        """Return the nodes nearest to the query's embedding.

        Options are `since`, `until` and `decay`, as `drift.Collection.search` has them. Similarities are
        ``1 - distance`` under cosine and ``-distance`` otherwise: larger is nearer.

        Raises
        ------
        InvalidArgumentError
            When the query has no embedding or another mode than DEFAULT, there is another option, or a filter has an
            operator that drift lacks.
        """
        if query.mode != VectorStoreQueryMode.DEFAULT:
            raise drift.InvalidArgumentError(f"mode {query.mode.value} is not there: drift searches by vectors alone")
        if query.query_embedding is None:
            raise drift.InvalidArgumentError("the query has no embedding: drift searches by vectors alone")
        terms = [] if query.filters is None else [_tree(query.filters, self._collection.time)]
        if query.doc_ids:  # LlamaIndex passes empty lists where nothing is named.
            terms.append(build.is_in("ref_doc_id", query.doc_ids))
        if query.node_ids:
            terms.append(build.is_in(_ID, query.node_ids))
        found = self._search(query, as_filter(build.join("and", terms)) if terms else None, times(options))
        shift = 1.0 if self._collection.metric == "cosine" else 0.0
        return VectorStoreQueryResult(
            nodes=[_node(payload, None) for _, payload, _ in found],
            similarities=[shift - distance for *_, distance in found],
            ids=[row_id for row_id, *_ in found],
        )

    def _search(
        self, query: VectorStoreQuery, chosen: Expression | None, options: dict[str, Any]
    ) -> list[tuple[str, dict[str, Any], float]]:
        vector = np.asarray(query.query_embedding, np.float32)
        result = self._collection.search(
            vector, query.similarity_top_k, recall=self.recall, filter=chosen, include=True, **options
        )
        rows = zip(result.ids.tolist(), result.metadata, result.distances.tolist(), strict=True)
        return [row for row in rows if row[0] is not None]

    def _expression(self, filters: MetadataFilters, node_ids: list[str] | None) -> Expression:
        terms = [_tree(filters, self._collection.time)]
        if node_ids is not None:
            terms.append(build.is_in(_ID, node_ids))
        return as_filter(build.join("and", terms))


def _tree(filters: MetadataFilters | MetadataFilter, time: str | None = None) -> Tree:
    """Return filters of LlamaIndex as a tree; texts that the field `time` is compared with are times.

    NOT holds where none of its filters does, and no filters hold everywhere, as in LlamaIndex's own store.
    """
    if isinstance(filters, MetadataFilter):
        value: Any = filters.value
        if time is not None and filters.key == time:
            value = [instant(time, one) for one in value] if isinstance(value, list) else instant(time, value)
        return _condition(filters.key, filters.operator, value)
    terms = [_tree(one, time) for one in filters.filters]
    if not terms:
        return build.EVERYTHING
    joined = build.join("or" if filters.condition in (FilterCondition.OR, FilterCondition.NOT) else "and", terms)
    return build.negate(joined) if filters.condition == FilterCondition.NOT else joined


def _condition(key: str, operator: FilterOperator, value: Any) -> Tree:
    if operator in _COMPARISONS:
        return build.compare(_COMPARISONS[operator], key, value)
    if operator in (FilterOperator.IN, FilterOperator.ANY):
        return build.is_in(key, value)
    if operator == FilterOperator.NIN:
        return build.negate(build.is_in(key, value))
    if operator == FilterOperator.ALL:
        return build.join("and", [build.compare("eq", key, one) for one in value])
    if operator in (FilterOperator.CONTAINS, FilterOperator.TEXT_MATCH):
        return build.contains(key, value)
    if operator == FilterOperator.IS_EMPTY:
        return build.join("or", [build.null(key), build.compare("eq", key, "")])
    raise drift.InvalidArgumentError(f"operator {operator.value} is not there: texts are compared as they are")


def _fields(node: BaseNode) -> dict[str, Any]:
    """Return the fields of a node's row; an empty list is empty as a missing value is, and the node itself keeps it."""
    return {name: value for name, value in present(node_to_metadata_dict(node)).items() if value != []}


def _node(payload: dict[str, Any], vector: Any) -> BaseNode:
    node = metadata_dict_to_node(payload)
    if vector is not None:
        node.embedding = vector.tolist()
    return node
