"""The Python and shell blocks of Markdown pages, and what each of them needs.

``<!-- needs: langchain_core -->`` above a Python block names the modules that it imports from extras. The blocks of a
page run in their order, those of Python in one namespace, those of the shell in one folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK = re.compile(
    r"(?:<!-- needs: (?P<needs>[\w. ]+) -->\n)?^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)


_SHELL = re.compile(r"^```sh\n(?P<lines>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code, the line that it begins at, and what it needs."""

    code: str
    line: int
    needs: tuple[str, ...]

    def missing(self) -> list[str]:
        """Return what it needs and is not there."""
        return [one for one in self.needs if not find_spec(one)]


def pages() -> list[Path]:
    """Return the pages that have Python blocks."""
    found = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if "```python" in page.read_text()]


def blocks(page: Path) -> list[Block]:
    """Return the Python blocks of a page."""
    text = page.read_text()
    found = [
        Block(match["code"], text[: match.start("code")].count("\n"), tuple((match["needs"] or "").split()))
        for match in _BLOCK.finditer(text)
    ]
    assert len(found) == text.count("```python"), f"a block of {page} is not read"
    return found


def shell_pages() -> list[Path]:
    """Return the pages that have shell blocks."""
    found = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if "```sh" in page.read_text()]


def shell_lines(page: Path) -> list[tuple[int, str]]:
    """Return the lines of the shell blocks of a page, with their numbers; one that a backslash continues is one."""
    text = page.read_text()
    matches = list(_SHELL.finditer(text))
    assert len(matches) == len(re.findall(r"^```(?:sh|bash|shell|console)", text, re.MULTILINE)), f"a block of {page}"
    found: list[tuple[int, str]] = []
    for match in matches:
        first = text[: match.start("lines")].count("\n") + 1
        lines = match["lines"].replace("\\\n", "  ")
        found += [(first + at, line) for at, line in enumerate(lines.splitlines()) if line.strip()]
    return found
