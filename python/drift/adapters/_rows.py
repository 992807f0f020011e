"""What the adapters of document stores share: pages of matching rows, and filters made of trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drift._filter import Expression
from drift._filter.tree import check

if TYPE_CHECKING:
    from collections.abc import Iterator

    import drift
    from drift._filter import Tree

# Rows that are held at once while all matching rows are read.
PAGE_ROWS = 1_000


def as_filter(tree: Tree) -> Expression:
    """Return the expression of a tree."""
    return Expression.of(check(tree))


def matching(collection: drift.Collection, filter: Expression | None) -> Iterator[Any]:  # noqa: A002
    """Yield the rows that match, page by page, with vectors and metadata."""
    opened: Any = collection
    cursor = None
    while True:
        page = opened.scroll(filter=filter, limit=PAGE_ROWS, cursor=cursor)
        if len(page.ids):
            yield opened.get(page.ids, missing="skip", include=True)
        cursor = page.cursor
        if cursor is None:
            return


def present(metadata: dict[str, Any] | None) -> dict[str, Any]:
    """Return metadata without missing values."""
    return {name: value for name, value in (metadata or {}).items() if value is not None}
