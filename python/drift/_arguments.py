"""What to say about a name that a call does not have, where other libraries and tools call one of its own so.

One table serves the keyword arguments of methods and the options of the command line.
"""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

__all__ = ["hinted", "meant", "nearest"]

P = ParamSpec("P")
R = TypeVar("R")

# Names of arguments in FAISS, Chroma, Qdrant, LanceDB, Pinecone, Milvus and Weaviate, and of options in other command
# lines; what they may be here: the first that the method or the command has.
_MEANT: Final = {
    "ids": ("id",),
    "data": ("vectors", "q", "source"),
    "embedding": ("vectors", "q", "vector"),
    "embeddings": ("vectors", "q", "vector"),
    "vector": ("vectors", "q"),
    "vectors": ("q", "vector"),
    "query": ("q", "vector"),
    "queries": ("q", "vector"),
    "query_vector": ("q", "vector"),
    "query_embedding": ("q", "vector"),
    "query_embeddings": ("q",),
    "metadatas": ("metadata",),
    "payload": ("metadata", "include"),
    "payloads": ("metadata",),
    "properties": ("metadata", "fields"),
    "top_k": ("k", "limit"),
    "topk": ("k", "limit"),
    "n_results": ("k", "limit"),
    "limit": ("k",),
    "k": ("limit",),
    "n": ("k", "limit"),
    "offset": ("cursor",),
    "where": ("filter",),
    "filters": ("filter",),
    "expr": ("filter",),
    "query_filter": ("filter",),
    "columns": ("include", "metadata", "fields"),
    "fields": ("include", "metadata", "field"),
    "output_fields": ("include",),
    "include_metadata": ("include",),
    "with_payload": ("include",),
    "with_vectors": ("vectors",),
    "ef": ("recall",),
    "ef_search": ("recall",),
    "dimension": ("dim",),
    "dimensions": ("dim",),
    "size": ("dim", "k", "limit"),
    "distance": ("metric",),
    "space": ("metric",),
    "schema": ("fields",),
    "ttl": ("expires",),
    "get_or_create": ("exist_ok",),
    "path": ("source", "uri"),
    "force": ("yes",),
}


def meant(given: str, names: Collection[str]) -> str | None:
    """Return the one of `names` that other libraries call `given`, if there is one.

    Examples
    --------
    >>> meant("top_k", ["query", "limit"])
    'limit'
    >>> meant("top_k", ["ids"]) is None
    True
    """
    if given in names:
        return given
    return next((name for name in _MEANT.get(given.lower(), ()) if name in names), None)


def nearest(given: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that `given` is a slip of, if there is one."""
    return next(iter(get_close_matches(given, list(names), 1)), None)


def hinted(method: Callable[P, R]) -> Callable[P, R]:
    """Return the same method, whose TypeError about an unknown keyword argument says which one is meant.

    Examples
    --------
    >>> @hinted
    ... def search(query: str, k: int = 10) -> int:
    ...     return k
    >>> search("q", top_k=5)
    Traceback (most recent call last):
        ...
    TypeError: search() has no argument 'top_k': it is called k here
    """
    names = list(inspect.signature(method).parameters)

    def refusal(error: TypeError, given: Iterable[str]) -> TypeError:
        # An error of the call itself has no frame inside the method.
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            return error
        unknown = next((name for name in given if name not in names), None)
        return error if unknown is None else TypeError(_refusal(method.__name__, unknown, names))

    if inspect.iscoroutinefunction(method):

        @wraps(method)
        async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
            try:
                return await method(*args, **kwargs)
            except TypeError as error:
                raise refusal(error, kwargs) from None

        return cast("Callable[P, R]", awaited)

    @wraps(method)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except TypeError as error:
            raise refusal(error, kwargs) from None

    return called


def _refusal(method: str, unknown: str, names: list[str]) -> str:
    own = [name for name in names if name != "self"]
    if (known := meant(unknown, own)) is not None:
        hint = f"it is called {known} here"
    elif (close := nearest(unknown, own)) is not None:
        hint = f"did you mean {close}?"
    else:
        hint = f"there are {', '.join(own)}"
    return f"{method}() has no argument {unknown!r}: {hint}"
