"""How objects show themselves: small HTML tables for notebooks, and counts for people."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# A notebook shows this many rows without scrolling.
ROWS_SHOWN = 20


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return ``1 row`` or ``2,000 rows``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def html_table(title: str, names: Sequence[str], rows: Sequence[Sequence[object]], total: int | None = None) -> str:
    """Return an HTML table of at most 20 rows; every text is escaped.

    Parameters
    ----------
    title : str
        Its caption.
    names : sequence of str
        Its head.
    rows : sequence of sequence of object
        Its cells. Integers get thousands separators, None a dash.
    total : int, optional
        How many rows there are, when `rows` has only the first ones.
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = ["".join(f"<td>{_cell(value)}</td>" for value in row) for row in rows[:ROWS_SHOWN]]
    left = (len(rows) if total is None else total) - len(lines)
    if left > 0:
        lines.append(f'<td colspan="{len(names)}">and {left:,} more</td>')
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return escape(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value))
